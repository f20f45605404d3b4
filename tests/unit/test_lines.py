"""The cells that a line passes: compared with the outlines of all cells, one by one."""

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from harmony_vds.cli.places import line_of
from harmony_vds.errors import RequestError, TooLargeError
from harmony_vds.model.grid import Axis, AxisKind, Grid, GridKind
from harmony_vds.planning.lines import places_along

LAT, LON = np.arange(-85.0, 90, 10), np.arange(-170.0, 190, 20)


def axis(kind: AxisKind, values: np.ndarray) -> Axis:
    return Axis(f"/{kind}", f"/{kind}", kind, values, "degrees", 1e-12)


def grid(lat: np.ndarray = LAT, lon: np.ndarray = LON) -> Grid:
    return Grid.rectilinear(axis(AxisKind.X, lon), axis(AxisKind.Y, lat))


def cells_of(places) -> list[tuple[int, int]]:
    return [
        (int((own.latitude + 90) // 10), int((own.longitude + 180) % 360 // 20)) for own in places
    ]


@settings(max_examples=100, deadline=None)
@given(
    st.tuples(st.integers(-1790, 1790), st.integers(-890, 890)),
    st.tuples(st.integers(-1790, 1790), st.integers(-890, 890)),
    st.booleans(),
)
def test_every_cell_that_a_line_passes_has_one_place_in_the_order_of_the_line(a, b, north_up):
    (x, y), (x2, y2) = ((own[0] / 10 + 0.0123, own[1] / 10 + 0.0321) for own in (a, b))
    across = (x2 - x + 180) % 360 - 180
    line = shapely.LineString([(x, y), (x + across, y2)])
    passed = {}
    for row, south in enumerate(range(-90, 90, 10)):
        for column, west in enumerate(range(-180, 180, 20)):
            for turn in (-360, 0, 360):
                cell = shapely.box(west + turn, south, west + turn + 20, south + 10)
                inside = line.intersection(cell)
                if inside.length > 1e-6:
                    passed[row, column] = line.project(inside.interpolate(0.5, normalized=True))
    found = cells_of(places_along(grid(LAT[::-1] if north_up else LAT), ((x, y), (x2, y2))))
    if a == b:
        assert len(found) == 1
    else:
        assert found == sorted(passed, key=passed.__getitem__)


def test_a_line_crosses_the_antimeridian_the_shorter_way():
    found = cells_of(places_along(grid(), ((170.0, 5.0), (-150.0, 5.0))))
    assert found == [(9, 17), (9, 0), (9, 1)]


def test_parts_of_a_line_beside_the_grid_are_left_out():
    own = grid(np.arange(5.0, 20, 1), np.arange(0.0, 20, 1))
    places = places_along(own, ((-40.0, 10.2), (60.0, 10.2)))
    assert [round(place.longitude) for place in places if 0 <= place.longitude <= 19] == [
        *range(20)
    ]
    assert len(places) <= 22  # and up to one cell outside on each side


def test_along_a_curvilinear_grid_each_cell_comes_once_in_a_row():
    lat, lon = np.mgrid[0:20, 0:20] * 0.5 + 10.0
    own = Grid(GridKind.CURVILINEAR, axis(AxisKind.X, lon), axis(AxisKind.Y, lat), ("/y", "/x"))
    places = places_along(own, ((10.0, 10.0), (19.0, 10.1), (19.0, 19.0)))
    cells = [(round((p.latitude - 10) / 0.5), round((p.longitude - 10) / 0.5)) for p in places]
    assert len(cells) == len(set(cells))
    assert cells == [(0, n) for n in range(19)] + [(n, 18) for n in range(1, 19)]


def test_a_line_through_more_cells_than_are_looked_at_is_refused():
    own = grid(np.arange(-89.995, 90, 0.01), np.arange(-179.995, 180, 0.01))
    with pytest.raises(TooLargeError, match="shorter"):
        places_along(own, ((-170.0, -80.0), (0.0, 80.0)))


@pytest.mark.parametrize("text", ["10 20", "10,20,30,40", "POINT(1 2)", "a b, c d", "0 0, 0 91"])
def test_what_is_no_line_is_refused(text):
    with pytest.raises(RequestError):
        line_of(text)
