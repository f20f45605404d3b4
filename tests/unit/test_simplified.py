"""Outlines of very many positions, against shapely point by point on the outlines as they came."""

import numpy as np
import pytest
import shapely
from planar import shape

from harmony_vds.model.grid import Axis, AxisKind, Grid
from harmony_vds.planning.shapes import select_shape
from harmony_vds.planning.simplified import SHARE, simplified


def grid(step: float) -> Grid:
    x, y = np.arange(-180 + step / 2, 180, step), np.arange(-90 + step / 2, 90, step)
    return Grid.rectilinear(
        Axis("/lon", "/lon", AxisKind.X, x, "degrees_east", 0.0),
        Axis("/lat", "/lat", AxisKind.Y, y, "degrees_north", 0.0),
    )


def coast(count: int, wide: float = 40.0, middle: float = 10.0) -> shapely.Polygon:
    """A coast with bays of all sizes, of very many positions."""
    around = np.linspace(0, 2 * np.pi, count, endpoint=False)
    reach = 1 + 0.2 * np.sin(7 * around) + 0.05 * np.sin(61 * around) + 0.01 * np.sin(311 * around)
    return shapely.Polygon(
        np.column_stack([middle + wide * reach * np.cos(around), 30 * reach * np.sin(around)])
    )


def test_simplified_coast_keeps_all_cells_but_those_within_its_tolerance_of_the_outline() -> None:
    own, place = grid(0.5), coast(80_000)
    found = select_shape(own, shape(place))
    assert "from 80,001 to" in found.note
    x = own.x.values[found.kept.x.positions]
    y = own.y.values[found.kept.y.positions]
    x, y = np.meshgrid(x, y)
    shapely.prepare(place)
    differs = found.inside.flags != shapely.intersects_xy(place, x, y)
    away = shapely.distance(place.exterior, shapely.points(x[differs], y[differs]))
    assert (away <= SHARE * 0.5).all()
    assert found.inside.count == pytest.approx(place.area * 4, rel=0.002)


@pytest.mark.parametrize(
    "parts",
    [
        [coast(4_000)],  # few positions
        [coast(80_000, wide=150.0, middle=0.0).intersection(shapely.box(-180, -90, 180, 90))],
        [shapely.LineString(coast(80_000).exterior.coords)],  # no area
        [coast(80_000).exterior.buffer(5e-5)],  # a line drawn as an area
    ],
    ids=["few", "antimeridian", "line", "sliver"],
)
def test_what_is_small_or_thin_or_ends_at_the_antimeridian_stays_as_it_is(parts: list) -> None:
    before = np.array(parts, object)
    after, note = simplified(before, grid(0.5))
    assert after is before
    assert not note


def test_each_part_is_simplified_by_itself() -> None:
    small = shapely.box(100, 10, 100.2, 10.1)
    after, note = simplified(np.array([small, coast(80_000)], object), grid(0.5))
    assert after[0] is small
    assert shapely.get_num_coordinates(after[1]) < 20_000
    assert "none by more than 0.0005 degrees" in note
