"""Points and lines that Harmony drew as areas, where a table is asked for."""

import numpy as np
import pytest
import shapely

from harmony_vds.model.places import Place
from harmony_vds.model.request import Request, Source
from harmony_vds.model.shape import Feature, Shape
from harmony_vds.planning.slivers import with_places
from harmony_vds.shapes.extent import box_around

HALF = 5e-5


def asked(*geometries: shapely.Geometry, form: str = "text/csv") -> Request:
    features = tuple(Feature(str(n), own) for n, own in enumerate(geometries, 1))
    own = Shape(features, box_around(geometries), 0, "")
    return with_places(Request((Source("", "A"),), shape=own, media_type=form))


def square(x: float, y: float) -> shapely.Geometry:
    return shapely.box(x - HALF, y - HALF, x + HALF, y + HALF)


def corridor(*line: tuple[float, float], begins: int = 0) -> shapely.Polygon:
    """A line, 1e-4 degrees wide: along its left side and back along its right."""
    places = np.array(line)
    ahead = np.gradient(places, axis=0)
    left = np.stack([-ahead[:, 1], ahead[:, 0]], axis=1)
    left *= HALF / np.linalg.norm(ahead, axis=1, keepdims=True)
    ring = np.concatenate([places + left, (places - left)[::-1]])
    return shapely.Polygon(np.roll(ring, -begins, axis=0))


def test_square_on_the_antimeridian_is_one_place() -> None:
    halves = [shapely.box(180 - HALF, 9.9, 180, 9.9001), shapely.box(-180, 9.9, HALF - 180, 9.9001)]
    points = asked(shapely.MultiPolygon([square(10, 20), *halves])).points
    assert points == (Place(10, 20, "1.1"), Place(180, 9.90005, "1.2"))


def test_squares_beside_the_antimeridian_are_places_of_their_own() -> None:
    west, east = square(HALF - 180, 5), square(180 - HALF, 7)
    assert len(asked(shapely.MultiPolygon([west, east])).points) == 2


@pytest.mark.parametrize("begins", [0, 1, 3])
def test_corridor_is_its_middle_line_in_its_order(begins: int) -> None:
    line = ((0.0, 0.0), (10.0, 10.0), (30.0, 5.0), (31.0, -40.0))
    own = asked(corridor(*line, begins=begins))
    assert own.shape is None
    assert own.line in (line, line[::-1])
    if begins == 0:
        assert own.line == line


def test_corridor_as_harmony_draws_it_begins_where_the_line_does() -> None:
    ring = [(-4e-5, 4e-5), (4e-5, -4e-5), (10.00004, 9.99996), (9.99996, 10.00004)]
    assert asked(shapely.Polygon(ring)).line == ((0, 0), (10, 10))


@pytest.mark.parametrize(
    "geometry",
    [shapely.box(0, 0, 10, 10), shapely.Polygon([(0, 0), (10, 0), (5, 8), (0, 4), (0, 2)]),
     shapely.Polygon([(0, 0), (10, 0), (5, 5)])],
)  # fmt: skip
def test_area_that_is_no_corridor_stays_a_shape(geometry: shapely.Geometry) -> None:
    own = asked(geometry)
    assert own.shape is not None
    assert not own.is_placed


def test_corridor_stays_a_shape_where_no_table_is_asked_for() -> None:
    assert asked(corridor((0, 0), (10, 10)), form="application/x-netcdf4").shape is not None
