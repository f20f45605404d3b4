"""Boxes on grids: the cases that have a name."""

import numpy as np
import pytest
from planar import axis, grid

from harmony_vds.errors import StoreError
from harmony_vds.model.extent import BoundingBox
from harmony_vds.model.grid import AxisKind, Grid
from harmony_vds.model.selection import AxisSelection
from harmony_vds.planning.spatial import HorizontalSelection, grid_plan, select_box


def columns(own: Grid, west: float, east: float) -> list[float]:
    """Longitudes of the output."""
    kept = select_box(own, BoundingBox(west, -90, east, 90))
    return (own.x.values[kept.x.positions] + (0 if kept.shifts is None else kept.shifts)).tolist()


def rows(own: Grid, south: float, north: float) -> list[float]:
    return own.y.values[select_box(own, BoundingBox(-180, south, 180, north)).y.positions].tolist()


EAST = np.arange(0.0, 360.0, 10.0)
CENTRED = np.arange(-180.0, 180.0, 10.0)


def test_box_across_the_antimeridian_comes_out_in_one_piece() -> None:
    assert columns(grid(CENTRED), 165, -165) == [170, 180, 190]


def test_box_across_greenwich_of_an_eastern_store_comes_out_in_one_piece() -> None:
    assert columns(grid(EAST), -15, 15) == [-10, 0, 10]


def test_box_across_the_edge_of_a_westward_store_runs_on_westward() -> None:
    assert columns(grid(EAST[::-1]), -15, 15) == [10, 0, -10]


def test_a_wrapped_box_in_another_turn_goes_on_from_the_western_piece_as_stored() -> None:
    assert columns(grid(CENTRED), 525, 555) == [170, 180, 190]


def test_a_jump_in_the_middle_of_the_store_is_continued() -> None:
    assert columns(grid([160, 170, 180, -170, -160]), 165, -155) == [170, 180, 190, 200]


@pytest.mark.parametrize("west, east", [(180, 180), (-180, -180), (180, -180), (540, -180)])
def test_the_antimeridian_is_one_meridian(west: float, east: float) -> None:
    assert [v % 360 for v in columns(grid(CENTRED), west, east)] == [180]


def test_a_meridian_written_in_two_turns_is_no_whole_turn() -> None:
    # 180.1 - -179.9 is 360 but for the rounding of doubles.
    assert BoundingBox(180.1, 0, -179.9, 0).width == pytest.approx(0, abs=1e-9)
    assert columns(grid([90.1, 180.1, -90.1]), 180.1, -179.9) == [180.1]


@pytest.mark.parametrize(
    "west, east, width",
    [(-180, 180, 360), (0, 720, 360), (170, -170, 20), (400, 30, 350), (10, 10, 0), (1, 0, 359)],
)
def test_the_width_of_a_box_is_counted_eastward(west: float, east: float, width: float) -> None:
    assert BoundingBox(west, 0, east, 0).width == width


@pytest.mark.parametrize("lon", [np.arange(0.0, 361, 10), np.arange(360.0, -1, -10)])
def test_a_column_stored_twice_comes_out_once(lon: np.ndarray) -> None:
    for west, east, count in ((0, 10, 2), (350, 360, 2), (-10, 10, 3), (0, 0, 1), (5, 4, 36)):
        found = columns(grid(lon), west, east)
        assert len(found) == count
        assert len({v % 360 for v in found}) == count
        steps = np.diff(found)
        assert (steps == (10 if lon[0] == 0 else -10)).all()


def test_a_whole_turn_keeps_the_store_as_it_is() -> None:
    assert columns(grid(np.arange(0.0, 361, 10)), -180, 180) == list(range(0, 361, 10))


def test_a_box_thinner_than_a_cell_takes_the_nearest_cell() -> None:
    assert columns(grid(EAST), 13, 14) == [10]
    assert columns(grid(EAST), 356, 357) == [0]
    assert rows(grid(EAST, [-10, 0, 10]), 6, 7) == [10]


def test_of_two_equally_near_cells_the_western_and_southern_is_taken() -> None:
    for lon, lat in ((EAST, [-10, 0, 10]), (EAST[::-1], [10, 0, -10])):
        assert columns(grid(lon), 15, 15) == [10]
        assert columns(grid(lon), 355, 355) == [350]
        assert rows(grid(EAST, lat), 5, 5) == [0]


def test_a_box_beside_a_regional_store_keeps_nothing() -> None:
    own = grid([100, 110, 120])
    assert columns(own, 124, 130) == [120]  # within the last cell, which ends at 125
    assert columns(own, 126, 130) == []
    assert columns(own, -130, 94) == []


def test_polar_boxes_take_the_cells_at_the_pole() -> None:
    half = grid(EAST, [-85, -75, 75, 85])
    assert rows(half, 90, 90) == [85]
    assert rows(half, -90, -90) == [-85]
    assert rows(grid(EAST, [-90, 0, 90]), 89, 90) == [90]


def test_bounds_tell_how_far_a_cell_reaches() -> None:
    own = grid([0, 10, 20], lon_bounds=[[-1, 1], [2, 18], [19, 21]])
    assert columns(own, 1.2, 1.8) == []
    assert columns(own, 2.5, 3) == [10]
    assert columns(own, 18.5, 18.9) == []


def test_bounds_may_be_stated_in_another_turn_than_their_centre() -> None:
    own = grid([0, 10], lon_bounds=[[355, 5], [5, 15]])
    assert columns(own, 356, 357) == [0]


def test_one_column_around_the_globe_meets_every_box() -> None:
    for centre, edges in ((0, [-180, 180]), (180, [0, 360])):
        own = grid([centre], lon_bounds=[edges])
        assert columns(own, 99, 100) == [centre]


def test_a_single_cell_without_bounds_has_no_width() -> None:
    own = grid([10.0])
    assert columns(own, 9, 11) == [10]
    assert columns(own, 10.5, 11) == []


def test_single_precision_centres_count_as_the_decimals_they_stand_for() -> None:
    values = np.array([0.1, 0.2, 0.3], np.float32).astype(float)
    own = Grid.rectilinear(
        axis(AxisKind.X, values, resolution=float(np.spacing(np.float32(1)))),
        axis(AxisKind.Y, [0.0]),
    )
    assert values[0] > 0.1  # so a strict comparison would lose it
    assert columns(own, 0.05, 0.1) == [values[0]]
    assert columns(own, 0.3, 0.4) == [values[2]]


@pytest.mark.parametrize("lon", [[0, 20, 10, 30, 5], [0, 10, 5, 15]])
def test_longitudes_in_no_order_are_refused(lon: list[float]) -> None:
    with pytest.raises(StoreError, match="/lon are in no order"):
        select_box(grid(lon), BoundingBox(-1, -90, 31, 90))


def test_latitudes_in_no_order_are_refused() -> None:
    with pytest.raises(StoreError, match="/lat are in no order"):
        select_box(grid(EAST, [0, 50, 10]), BoundingBox(0, -5, 20, 15))


def test_missing_coordinates_are_refused_by_a_box_and_tolerated_without() -> None:
    own = grid([0, np.nan, 20], [0, 10, np.nan])
    with pytest.raises(StoreError, match="missing values"):
        select_box(own, BoundingBox(0, 0, 10, 10))
    around = grid_plan(own, whole(own)).bbox
    assert (around.west, around.south, around.east, around.north) == (0, -5, 20, 15)


@pytest.mark.parametrize("lon", [[], [np.nan, np.nan]])
def test_a_store_without_any_longitude_covers_the_globe(lon: list[float]) -> None:
    own = grid(lon, [0.0, 10.0])
    around = grid_plan(own, whole(own)).bbox
    assert (around.west, around.south, around.east, around.north) == (-180, -5, 180, 15)


def whole(own: Grid) -> HorizontalSelection:
    return HorizontalSelection(
        AxisSelection.whole(own.y.values.size), AxisSelection.whole(own.x.values.size), None
    )


@pytest.mark.parametrize(
    "lon, expected",
    [
        (EAST + 5, (0, 360)),
        (CENTRED + 5, (-180, 180)),
        ([170, 180, -170, -160], (165, 205)),  # not the 340 degrees on the other side
        ([160, 150, 140], (135, 165)),
        (np.arange(0.0, 361, 10), (-180, 180)),  # half a cell before 0
    ],
)
def test_the_box_of_a_whole_grid_is_that_of_its_cells(lon, expected) -> None:
    own = grid(lon)
    around = grid_plan(own, whole(own)).bbox
    assert (around.west, around.east) == expected
    assert (around.south, around.north) == (-67.5, 67.5)


def test_the_box_of_a_cut_ends_at_the_edges_of_its_cells() -> None:
    own = grid(CENTRED)
    kept = select_box(own, BoundingBox(165, -10, -165, 10))
    around = grid_plan(own, kept).bbox
    assert (around.west, around.south, around.east, around.north) == (165, -22.5, 195, 22.5)
