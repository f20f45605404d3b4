"""Laws of shapes: on any grid of latitudes and longitudes, whatever numbers it uses."""

import json

import numpy as np
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from harmony_vds.model.extent import BoundingBox
from harmony_vds.model.grid import Axis, AxisKind, Grid
from harmony_vds.model.shape import Shape
from harmony_vds.planning.shapes import select_shape
from harmony_vds.planning.spatial import select_box
from harmony_vds.planning.within import inside
from harmony_vds.shapes.geojson import parse_shape


@st.composite
def grids(draw: st.DrawFn, *, globe: bool = False) -> Grid:
    """Regular grids in any direction, turn and convention; regional ones, too."""
    size = draw(st.sampled_from([4.0, 7.5, 10.0, 22.5, 3.3]))
    columns = int(360 // size) if globe else draw(st.integers(2, int(360 // size)))
    rows = int(180 // size) if globe else draw(st.integers(2, int(180 // size)))
    west = draw(st.sampled_from([-180.0, 0.0, -360.0, 33.0, 179.0]))
    south = -90.0 if globe else draw(st.floats(-90, 90 - rows * size))
    x = west + size * (np.arange(columns) + 0.5)
    if draw(st.booleans()):
        x = (x + 180) % 360 - 180  # with a jump in the middle, where it has one
    y = south + size * (np.arange(rows) + 0.5)
    x, y = (own[::-1] if draw(st.booleans()) else own for own in (x, y))
    return Grid.rectilinear(
        Axis("/lon", "/lon", AxisKind.X, x, "", 1e-12), Axis("/lat", "/lat", AxisKind.Y, y, "", 0)
    )


@st.composite
def rings(draw: st.DrawFn) -> list[tuple[float, float]]:
    """Simple rings around a place, anywhere on the Earth, maybe across the antimeridian."""
    x, y = draw(st.floats(-180, 180)), draw(st.floats(-60, 60))
    count = draw(st.integers(3, 9))
    reach = [draw(st.floats(0.05, 29)) for _ in range(count)]
    angles = np.linspace(0, 2 * np.pi, count, endpoint=False) + draw(st.floats(0, 6))
    return [
        (x + 2.5 * r * np.cos(a), y + r * np.sin(a)) for r, a in zip(reach, angles, strict=True)
    ]


def shape(*polygons: list, turn: float = 0.0) -> Shape:
    """Polygons, each a ring or a list of rings."""
    together = [own if isinstance(own[0], list) else [own] for own in polygons]
    coordinates = [
        [[[x + turn, y] for x, y in [*ring, ring[0]]] for ring in polygon] for polygon in together
    ]
    document = {"type": "MultiPolygon", "coordinates": coordinates}
    return parse_shape(json.dumps(document).encode(), 10_000)


def cells(own: Grid, *shapes: Shape) -> np.ndarray:
    """Which cells of the whole grid are in any of the shapes."""
    found = np.zeros(own.shape, bool)
    for each in shapes:
        for feature in each.features:
            found |= inside(
                own, np.arange(own.shape[0]), np.arange(own.shape[1]), feature.geometry
            ).flags.reshape(found.shape)
    return found


def shown(own: Grid, each: Shape) -> np.ndarray:
    """As `cells`, from the window of the output."""
    chosen = select_shape(own, each)
    found = np.zeros(own.shape, bool)
    found[np.ix_(chosen.kept.y.positions, chosen.kept.x.positions)] = chosen.inside.flags
    return found


def strict(own: Grid, ring: list[tuple[float, float]]) -> tuple[np.ndarray, np.ndarray]:
    """Cells whose centre lies clearly inside a ring, and clearly outside, point by point."""
    area = shapely.make_valid(shapely.Polygon(ring))
    x, y = np.meshgrid(own.x.values, own.y.values)
    held, away = np.zeros(x.shape, bool), np.full(x.shape, np.inf)
    for turn in (-720, -360, 0, 360, 720):
        points = shapely.points(x + turn, y)
        held |= shapely.intersects(area, points)
        away = np.minimum(away, shapely.distance(shapely.boundary(area), points))
    return held & (away > 1e-6), ~held & (away > 1e-6)


def away(own: Grid, ring: list[tuple[float, float]]) -> np.ndarray:
    """How far each cell's centre lies from a ring's area, in degrees, whatever the turn."""
    area = shapely.make_valid(shapely.Polygon(ring))
    x, y = np.meshgrid(own.x.values, own.y.values)
    turns = (-720, -360, 0, 360, 720)
    return np.min([shapely.distance(area, shapely.points(x + turn, y)) for turn in turns], axis=0)


@settings(max_examples=30)
@given(grids(), rings())
def test_cells_are_those_whose_centres_are_inside_point_by_point(own: Grid, ring) -> None:
    held, out = strict(own, ring)
    found = cells(own, shape(ring))
    assert not (held & ~found).any()
    if held.any():
        assert not (out & found).any()
    else:  # it holds no centre and takes what it touches
        size = min(np.abs(np.diff(own.x.values)).min(), np.abs(np.diff(own.y.values)).min())
        assert away(own, ring)[found].max(initial=0) <= size * 0.708  # half a cell's diagonal


@settings(max_examples=50)
@given(grids(), rings())
def test_window_holds_all_cells_and_no_empty_row_or_column_at_its_edge(own: Grid, ring) -> None:
    each = shape(ring)
    assert np.array_equal(shown(own, each), cells(own, each))
    found = select_shape(own, each).inside.flags
    if found.size:
        assert found[0].any()
        assert found[-1].any()
        assert found[:, 0].any()
        assert found[:, -1].any()


@settings(max_examples=30)
@given(grids(), rings(), st.sampled_from([-360.0, 360.0]))
def test_another_turn_of_the_shape_changes_nothing(own: Grid, ring, turn: float) -> None:
    assert np.array_equal(cells(own, shape(ring)), cells(own, shape(ring, turn=turn)))


@settings(max_examples=30)
@given(grids(), rings(), st.sampled_from([-360.0, 360.0]))
def test_another_turn_of_the_grid_changes_nothing(own: Grid, ring, turn: float) -> None:
    moved = Grid.rectilinear(
        Axis("/lon", "/lon", AxisKind.X, own.x.values + turn, "", 1e-12), own.y
    )
    assert np.array_equal(cells(own, shape(ring)), cells(moved, shape(ring)))


@settings(max_examples=30)
@given(grids(), rings(), st.booleans(), st.booleans())
def test_turning_a_grid_over_turns_the_cells_over(own: Grid, ring, x: bool, y: bool) -> None:
    across, down = slice(None, None, -1 if x else 1), slice(None, None, -1 if y else 1)
    turned = Grid.rectilinear(
        Axis("/lon", "/lon", AxisKind.X, own.x.values[across], "", 1e-12),
        Axis("/lat", "/lat", AxisKind.Y, own.y.values[down], "", 0),
    )
    assert np.array_equal(cells(turned, shape(ring)), cells(own, shape(ring))[down, across])


@settings(max_examples=30)
@given(grids(), rings())
def test_direction_of_a_ring_means_nothing(own: Grid, ring) -> None:
    assert np.array_equal(cells(own, shape(ring)), cells(own, shape(ring[::-1])))


@settings(max_examples=50)
@given(grids(globe=True), rings())
def test_shape_and_its_complement_cover_the_earth_and_share_only_edges(own: Grid, ring) -> None:
    earth = [(-180.0, -90.0), (180.0, -90.0), (180.0, 90.0), (-180.0, 90.0)]
    each = shape(ring)
    rest = shape([earth, ring])
    assert (cells(own, each) | cells(own, rest)).all()
    held, out = strict(own, ring)
    assert not (cells(own, rest) & held).any()
    assert (cells(own, rest) >= out).all()


@settings(max_examples=30)
@given(grids(), rings(), rings())
def test_shapes_together_hold_what_each_holds(own: Grid, one, other) -> None:
    features = [
        {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [[*r, r[0]]]}}
        for r in (one, other)
    ]
    both = parse_shape(
        json.dumps({"type": "FeatureCollection", "features": features}).encode(), 1000
    )
    assert np.array_equal(shown(own, both), cells(own, shape(one), shape(other)))


@settings(max_examples=30)
@given(grids(), rings(), st.floats(0.2, 0.9))
def test_hole_takes_its_cells_out(own: Grid, ring, share: float) -> None:
    middle = np.mean(ring, axis=0)
    hole = [tuple(middle + share * (np.array(p) - middle)) for p in ring]
    if not shapely.Polygon(ring, [hole]).is_valid:
        return
    in_hole, out_of_hole = strict(own, hole)
    in_ring, _ = strict(own, ring)
    found = cells(own, shape([ring, hole]))
    assert not (found & in_hole).any() or not (in_ring & out_of_hole).any()
    assert (found >= (in_ring & out_of_hole)).all()


@settings(max_examples=30)
@given(grids(), st.floats(-180, 180), st.floats(-89, 80), st.floats(0.5, 170), st.floats(0.5, 60))
def test_shape_like_a_box_is_cut_as_the_box(own: Grid, west, south, width, height) -> None:
    # Edges that no float stands for lie a rounding off, which is within every grid's exactness.
    west, south, width, height = (round(v, 3) for v in (west, south, width, height))
    east, north = west + width, min(south + height, 90.0)
    ring = [(west, south), (east, south), (east, north), (west, north)]
    box = BoundingBox(west, south, east, north)
    kept, found = select_box(own, box), select_shape(own, shape(ring))
    held = strict(own, ring)[0]
    if not held.any():
        return  # a box then takes the nearest cell, a shape all that it touches
    assert found.inside.is_full
    assert (found.kept.y, found.kept.x) == (kept.y, kept.x)
    shifts = [
        np.zeros(len(kept.x)) if own is None else own for own in (found.kept.shifts, kept.shifts)
    ]
    assert np.array_equal(shifts[0] - shifts[0][0], shifts[1] - shifts[1][0])


@settings(max_examples=30)
@given(grids(), rings(), st.floats(-180, 180), st.floats(1, 179))
def test_box_and_shape_together_keep_what_both_keep(own: Grid, ring, west, width) -> None:
    box = BoundingBox(west, -90, west + width, 90)
    kept = select_box(own, box)
    both = select_shape(own, shape(ring), box)
    found = np.zeros(own.shape, bool)
    found[np.ix_(both.kept.y.positions, both.kept.x.positions)] = both.inside.flags
    in_box = np.zeros(own.shape, bool)
    in_box[np.ix_(kept.y.positions, kept.x.positions)] = True
    assert not (found & ~in_box).any()
    assert (found >= (in_box & strict(own, ring)[0])).all()
