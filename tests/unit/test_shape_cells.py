"""Which cells of a grid a shape holds: the cases that have a name."""

import json
import time

import numpy as np
import pytest
import shapely
from planar import axis, grid, shape
from shapely import LineString, MultiPoint, MultiPolygon, Point, Polygon, box

from harmony_vds.model.extent import BoundingBox
from harmony_vds.model.grid import AxisKind, Grid
from harmony_vds.planning.shapes import select_shape
from harmony_vds.planning.spatial import select_box
from harmony_vds.planning.within import inside
from harmony_vds.shapes.geojson import parse_shape

TENS = grid(np.arange(-175.0, 180, 10), np.arange(-85.0, 90, 10))
EAST = grid(np.arange(5.0, 360, 10), np.arange(85.0, -90, -10))


def centres(own: Grid, *geometries: shapely.Geometry, bbox: BoundingBox | None = None):
    """Longitudes and latitudes of the cells that are in, as the output has them."""
    found = select_shape(own, shape(*geometries), bbox)
    kept = found.kept
    x = own.x.values[kept.x.positions] + (0 if kept.shifts is None else kept.shifts)
    y = own.y.values[kept.y.positions]
    assert found.inside.flags.shape == (y.size, x.size)
    return {(float(x[c]), float(y[r])) for r, c in np.argwhere(found.inside.flags)}


def test_cells_are_in_by_their_centres_and_the_edge_belongs_to_the_area() -> None:
    triangle = Polygon([(0, 0), (40, 0), (0, 40)])
    whole = {(x, y) for x in (5, 15, 25, 35) for y in (5, 15, 25, 35) if x + y <= 40}
    assert centres(TENS, triangle) == whole
    assert (25, 15) in whole  # on the slope


def test_window_is_the_smallest_that_holds_the_cells() -> None:
    found = select_shape(TENS, shape(Polygon([(0, 0), (40, 0), (0, 40)])))
    assert len(found.kept.y) == len(found.kept.x) == 4
    assert found.inside.flags.any(axis=0).all()
    assert found.inside.flags.any(axis=1).all()


def test_hole_leaves_its_cells_out_but_not_those_on_its_edge() -> None:
    ring = box(0, 0, 50, 50).difference(box(6, 6, 44, 44))
    assert (25, 25) not in centres(TENS, ring)
    assert (5, 25) in centres(TENS, ring)
    edged = box(0, 0, 50, 50).difference(box(15, 15, 35, 35))
    assert (15, 25) in centres(TENS, edged)


def test_area_across_the_antimeridian_comes_out_in_one_piece() -> None:
    halves = MultiPolygon([box(165, 0, 180, 10), box(-180, 0, -165, 10)])
    found = select_shape(TENS, shape(halves))
    assert found.kept.x.positions.tolist() == [34, 35, 0, 1]
    assert found.kept.shifts is not None
    assert (TENS.x.values[found.kept.x.positions] + found.kept.shifts).tolist() == [
        165, 175, 185, 195,
    ]  # fmt: skip
    assert found.inside.flags.all()


def test_area_across_greenwich_comes_out_in_one_piece_of_an_eastern_store() -> None:
    assert centres(EAST, box(-12, 0, 12, 10)) == {(-5, 5), (5, 5)}


@pytest.mark.parametrize("own", [TENS, EAST])
def test_area_that_holds_no_centre_takes_the_cells_it_touches(own: Grid) -> None:
    assert centres(own, box(1, 1, 2, 2)) == {(5, 5)}
    assert centres(own, box(9, 1, 11, 2)) == {(5, 5), (15, 5)}
    assert centres(own, box(10, 1, 11, 2)) == {(5, 5), (15, 5)}  # the edge of both


def test_each_small_island_of_a_feature_takes_its_cell() -> None:
    islands = MultiPolygon([box(0, 0, 20, 20), box(31, 31, 32, 32), box(51, 1, 52, 2)])
    assert centres(TENS, islands) == {(5, 5), (5, 15), (15, 5), (15, 15), (35, 35), (55, 5)}


def test_line_takes_every_cell_that_it_passes_through() -> None:
    assert centres(TENS, LineString([(1, 1), (28, 3)])) == {(5, 5), (15, 5), (25, 5)}


def test_line_drawn_as_a_sliver_takes_every_cell_though_it_passes_over_a_centre() -> None:
    sliver = LineString([(2, 2), (28, 27)]).buffer(5e-5, cap_style="flat")
    through = LineString([(2, 2), (28, 28)]).buffer(5e-5, cap_style="flat")
    assert {(5, 5), (15, 15), (25, 25)} < centres(TENS, through)
    assert {(5, 5), (15, 5), (15, 15), (25, 15), (25, 25)} == centres(TENS, sliver)


def test_points_and_points_drawn_as_squares_take_their_cells() -> None:
    assert centres(TENS, MultiPoint([(1, 2), (-179, 88)])) == {(5, 5), (-175, 85)}
    squares = MultiPolygon([Point(x, y).buffer(5e-5, 1) for x, y in ((15, 15), (1, 2), (38, 49))])
    assert centres(TENS, squares) == {(15, 15), (5, 5), (35, 45)}


def test_point_in_a_corner_takes_all_four_cells() -> None:
    assert centres(TENS, Point(10, 20)) == {(5, 15), (5, 25), (15, 15), (15, 25)}


def test_point_on_the_antimeridian_takes_the_cells_of_both_sides() -> None:
    assert {(x % 360, y) for x, y in centres(TENS, Point(180, 5))} == {(175, 5), (185, 5)}


def test_cell_that_straddles_the_antimeridian_is_touched_from_both_sides() -> None:
    own = grid(np.arange(-180.0, 180, 10), [0.0, 10.0])
    for place in (Point(177, 1), Point(-177, 1)):
        assert {x % 360 for x, _ in centres(own, place)} == {180}


def test_area_around_the_pole_takes_the_rows_at_the_pole() -> None:
    cap = box(-180, 60, 180, 90)
    found = select_shape(TENS, shape(cap))
    assert TENS.y.values[found.kept.y.positions].tolist() == [65, 75, 85]
    assert len(found.kept.x) == 36
    assert found.inside.flags.all()
    assert centres(TENS, Point(0, 90)) >= {(-5, 85), (5, 85)}


def test_box_and_shape_together_keep_what_both_hold() -> None:
    triangle = Polygon([(0, 0), (40, 0), (0, 40)])
    kept = centres(TENS, triangle, bbox=BoundingBox(10, 0, 60, 60))
    assert kept == {(x, y) for x, y in centres(TENS, triangle) if x > 10}


def test_halves_at_the_antimeridian_are_one_part() -> None:
    # The eastern half holds no centre, and the whole does.
    halves = MultiPolygon([box(160, 0, 180, 20), box(-180, 0, -178, 20)])
    assert centres(TENS, halves) == {(x, y) for x in (165, 175) for y in (5, 15)}
    neither = MultiPolygon([box(178, 1, 180, 2), box(-180, 1, -178, 2)])
    assert centres(TENS, neither) == {(175, 5), (185, 5)}


def test_box_does_not_make_a_part_small() -> None:
    # In the box lies a margin of the area without a centre; the area holds centres elsewhere.
    assert centres(TENS, box(0, 0, 42, 40), bbox=BoundingBox(41, 0, 60, 40)) == set()


def test_shape_beside_the_data_keeps_nothing() -> None:
    regional = grid([100.0, 110.0], [0.0, 10.0])
    found = select_shape(regional, shape(box(20, 0, 30, 10)))
    assert found.kept.is_empty
    assert found.inside.flags.size == 0


def test_single_precision_centres_count_as_the_decimals_they_stand_for() -> None:
    values = np.array([0.1, 0.2, 0.3], np.float32).astype(float)
    own = Grid.rectilinear(
        axis(AxisKind.X, values, resolution=float(np.spacing(np.float32(1)))),
        axis(AxisKind.Y, [0.0, 1.0]),
    )
    found = select_shape(own, shape(box(0.05, -1, 0.1, 2)))
    assert found.kept.x.positions.tolist() == [0]


def test_bounds_tell_which_cells_are_touched() -> None:
    own = Grid.rectilinear(
        axis(AxisKind.X, [0, 10], [[-1, 1], [2, 18]]), axis(AxisKind.Y, [0.0, 10.0])
    )
    assert centres(own, Point(1.5, 0)) == set()
    assert centres(own, Point(2.5, 0)) == {(10, 0)}


def test_cells_of_any_window_are_found_in_any_order_of_rows_and_columns() -> None:
    place = Polygon([(-20, -30), (60, -10), (10, 50)])
    rows, columns = np.array([12, 3, 8]), np.array([20, 17, 19, 22])
    whole = inside(TENS, np.arange(18), np.arange(36), place).flags
    assert np.array_equal(inside(TENS, rows, columns, place).flags, whole[np.ix_(rows, columns)])


def test_collection_of_areas_lines_and_points_takes_all_their_cells() -> None:
    line = LineString([(31, 1), (31, 19)])
    mixed = shapely.GeometryCollection([box(0, 0, 20, 20), line, Point(51, 51)])
    assert centres(TENS, mixed) == {
        (5, 5), (5, 15), (15, 5), (15, 15), (35, 5), (35, 15), (55, 55),
    }  # fmt: skip


@pytest.mark.parametrize("own", [TENS, EAST])
@pytest.mark.parametrize(
    "edges",
    [(-20, -30, 60, 40), (165, 5, 179, 85), (-180, -90, 180, 90), (-25, -25, -15, 25)],
)
def test_area_like_a_box_cuts_as_the_box(own: Grid, edges) -> None:
    found, kept = select_shape(own, shape(box(*edges))), select_box(own, BoundingBox(*edges))
    assert found.inside.flags.all()
    assert (found.kept.x, found.kept.y) == (kept.x, kept.y)
    assert np.array_equal(
        0 if found.kept.shifts is None else found.kept.shifts,
        0 if kept.shifts is None else kept.shifts,
    )


@pytest.mark.scale
def test_million_positions_are_read_and_cut_in_seconds() -> None:
    around = np.linspace(0, 2 * np.pi, 999_999, endpoint=False)
    reach = 30 + 5 * np.sin(40 * around) + 0.5 * np.sin(3001 * around)
    ring = np.stack([160 + 2 * reach * np.cos(around), reach * np.sin(around)], axis=1).round(6)
    closed = [*ring.tolist(), ring[0].tolist()]
    document = json.dumps({"type": "Polygon", "coordinates": [closed]}).encode()
    begun = time.process_time()
    own = parse_shape(document, 1_000_000)
    fine = grid(np.arange(-179.95, 180, 0.1), np.arange(-89.95, 90, 0.1))
    found = select_shape(fine, own)
    assert time.process_time() - begun < 20
    assert found.inside.flags.shape == (709, 1415)
    x = (fine.x.values[found.kept.x.positions] - 50) % 360 + 50
    y = fine.y.values[found.kept.y.positions]
    x, y = (own[::17, ::17] for own in np.meshgrid(x, y))
    assert np.array_equal(
        found.inside.flags[::17, ::17], shapely.intersects_xy(Polygon(ring), x, y)
    )
