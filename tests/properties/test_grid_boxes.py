"""Boxes on projected and curvilinear grids against pyproj, one cell at a time.

Where a centre lies so near to an edge of the box, or to a pole, that rounding tells in from out,
either answer is right; everywhere else exactly one is.
"""

import math
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pyproj import CRS, Transformer

from harmony_vds.model.extent import BoundingBox
from harmony_vds.model.grid import Axis, AxisKind, Grid, GridKind
from harmony_vds.model.selection import AxisSelection
from harmony_vds.planning.boxes import cells_in_box
from harmony_vds.planning.cells import CellCuts, Cells
from harmony_vds.planning.extents import _rim, extent

NEAR = 1e-7
"""Degrees from an edge within which either answer is right."""


@dataclass(frozen=True)
class Layout:
    """A grid on a plane: its system, first centres, steps and numbers of columns and rows."""

    crs: str
    x: tuple[float, float, int]
    y: tuple[float, float, int]


LAYOUTS = {
    "arctic, the pole in a cell": Layout("EPSG:3413", (-3.1e6, 400e3, 16), (3.3e6, -410e3, 17)),
    "antarctic, the pole on a corner": Layout("EPSG:3031", (-2.8e6, 4e5, 15), (2.8e6, -4e5, 15)),
    "a pole in the middle of a cell": Layout("EPSG:6931", (-4e6, 500e3, 17), (4e6, -500e3, 17)),
    "global cylinder": Layout("EPSG:6933", (-16.9e6, 1.3e6, 27), (6.9e6, -1.3e6, 11)),
    "beyond the antimeridian": Layout("EPSG:6933", (14e6, 1.1e6, 12), (6.9e6, -1.3e6, 11)),
    "a zone": Layout("EPSG:32601", (166e3, 60e3, 12), (7.9e6, -90e3, 14)),
    "sinusoidal": Layout("+proj=sinu +R=6371007.181", (-19e6, 1.9e6, 21), (9e6, -1.2e6, 16)),
    "cone": Layout("+proj=lcc +lat_1=30 +lat_2=60 +lat_0=45 +lon_0=-100", (-4e6, 5e5, 17),
                   (3e6, -5e5, 13)),
    "disk": Layout("+proj=geos +h=35785831 +lon_0=140.7 +sweep=y", (-5.5e6, 7e5, 17),
                   (5.5e6, -7e5, 17)),
    "turned poles": Layout("+proj=ob_tran +o_proj=longlat +o_lat_p=39.25 +o_lon_p=0 +lon_0=198",
                           (-22.0, 2.9, 16), (21.0, -2.7, 15)),
}  # fmt: skip


def axis(kind: AxisKind, first: float, step: float, size: int) -> Axis:
    name = kind.lower()
    return Axis(f"/{name}", f"/{name}", kind, first + step * np.arange(size), "m", 1e-9)


@cache
def grid(name: str) -> Grid:
    layout = LAYOUTS[name]
    crs = CRS.from_user_input(layout.crs).to_wkt()
    x, y = axis(AxisKind.X, *layout.x), axis(AxisKind.Y, *layout.y)
    return Grid(GridKind.PROJECTED, x, y, ("/y", "/x"), crs)


@cache
def places(name: str) -> tuple[tuple[float, float] | None, ...]:
    """Each cell's longitude and latitude, row by row; None where it has no place."""
    own = grid(name)
    back = Transformer.from_crs(own.crs, 4326, always_xy=True)
    cylinder = "6933" in LAYOUTS[name].crs
    found: list[tuple[float, float] | None] = []
    for y in own.y.values.tolist():
        for x in own.x.values.tolist():
            lon, lat = back.transform(x, y)
            known = math.isfinite(lon) and math.isfinite(lat)
            if known and not cylinder and "ob_tran" not in LAYOUTS[name].crs:
                again = back.transform(lon, lat, direction="INVERSE")
                known = math.dist(again, (x, y)) < 1000
            found.append((lon, lat) if known else None)
    return tuple(found)


def state(place: tuple[float, float] | None, box: BoundingBox) -> str:
    """Whether a place is in a box, or so near to its edge that either may be said."""
    if place is None:
        return "out"
    lon, lat = place
    eastward = (lon - box.west) % 360
    beside = 0.0 if box.width >= 360 else max(eastward - box.width, 0.0)
    beside = min(beside, 360 - eastward) if beside else 0.0
    above = max(lat - box.north, box.south - lat, 0.0)
    if abs(lat) > 89.9999:
        return "out" if above > 0.001 else "either"
    if beside > NEAR or above > NEAR:
        return "out"
    edges = [abs(lat - box.north), abs(lat - box.south), beside]
    if box.width < 360:
        edges += [min(eastward, 360 - eastward), abs(eastward - box.width)]
    inner = min(e for e in edges if e is not edges[2])
    return "either" if inner <= NEAR or beside else "in"


WESTS = st.one_of(st.floats(-180, 180), st.sampled_from([-180.0, 0.0, 179.5, 170.0]))
HEIGHTS = st.tuples(st.floats(-90, 90), st.floats(-90, 90)).map(sorted)


@st.composite
def boxes(draw: st.DrawFn) -> BoundingBox:
    """Of any size, many of them across the antimeridian, some around a pole."""
    west, width = draw(WESTS), draw(st.one_of(st.floats(0, 359), st.sampled_from([360.0, 30.0])))
    south, north = draw(HEIGHTS)
    south, north = draw(st.sampled_from([(south, north), (south, 90.0), (-90.0, north)]))
    if width == 360:
        return BoundingBox(-180, south, 180, north)
    east = west + width
    return BoundingBox(west, south, east - 360 if east > 180 else east, north)


def kept(cells: Cells) -> np.ndarray:
    """What is kept, over all of the grid."""
    return cells.at({})


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_kept_cell_has_its_centre_in_the_box_and_no_dropped_one_has(name: str) -> None:
    @settings(max_examples=25)
    @given(box=boxes(), tile=st.sampled_from([4, 5, 8, 64]))
    def check(box: BoundingBox, tile: int) -> None:
        own = kept(cells_in_box(grid(name), box, tile)).ravel()
        states = [state(place, box) for place in places(name)]
        if "in" not in states and "either" not in states:
            assert own.sum() <= 1  # the cell that the box touches
            return
        assume("in" in states)
        for cell, told in zip(own.tolist(), states, strict=True):
            assert told == "either" or cell == (told == "in")

    check()


@pytest.mark.parametrize("name", LAYOUTS)
def test_turning_an_axis_over_keeps_the_same_cells(name: str) -> None:
    @settings(max_examples=10)
    @given(box=boxes(), tile=st.sampled_from([4, 8, 64]))
    def check(box: BoundingBox, tile: int) -> None:
        one = grid(name)
        turned = [replace(own, values=own.values[::-1]) for own in (one.x, one.y)]
        other = replace(one, x=turned[0], y=turned[1])
        found = kept(cells_in_box(one, box, tile)), kept(cells_in_box(other, box, tile))
        np.testing.assert_array_equal(found[0], found[1][::-1, ::-1])

    check()


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_places_of_the_cells_alone_keep_the_same_ones(name: str) -> None:
    """A curvilinear grid of the same places, rows and columns exchanged or not."""
    own = grid(name)
    known = [(math.nan, math.nan) if place is None else place for place in places(name)]
    lon, lat = np.array(known).T.reshape(2, *own.shape)

    @settings(max_examples=12)
    @given(box=boxes(), exchanged=st.booleans(), turn=st.sampled_from([0.0, 360.0]))
    def check(box: BoundingBox, exchanged: bool, turn: float) -> None:
        states = np.array([state(place, box) for place in places(name)]).reshape(own.shape)
        if "in" not in states:
            return
        x, y = (lon.T, lat.T) if exchanged else (lon, lat)
        axes = [Axis("/p", "", kind, values, "", 1e-12)
                for kind, values in ((AxisKind.X, x + turn), (AxisKind.Y, y))]  # fmt: skip
        stored = Grid(GridKind.CURVILINEAR, *axes, ("/j", "/i"))
        found = kept(cells_in_box(stored, box))
        np.testing.assert_array_equal(found.T if exchanged else found, kept(cells_in_box(own, box)))

    check()


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_extent_holds_every_kept_centre(name: str) -> None:
    @settings(max_examples=10)
    @given(box=boxes())
    def check(box: BoundingBox) -> None:
        own = grid(name)
        cells = kept(cells_in_box(own, box))
        rows, columns = (np.arange(size) for size in own.shape)
        around = extent(own, (rows, columns), cells)
        assert (around is None) == (not cells.any())
        for place, cell in zip(places(name), cells.ravel().tolist(), strict=True):
            if cell and around is not None:
                wider = replace(around, south=around.south - 1e-6, north=around.north + 1e-6)
                assert state(place, wider) != "out"

    check()


CELLS = st.lists(st.lists(st.booleans(), min_size=4, max_size=4), min_size=3, max_size=3)


@settings(max_examples=60)
@given(first=CELLS, second=CELLS, rows=st.sets(st.integers(0, 2), min_size=1))
def test_windows_hold_all_cells_and_end_at_some(
    first: list[list[bool]], second: list[list[bool]], rows: set[int]
) -> None:
    """Of two variables on one pair of dimensions, with steps left out by another selection."""
    cuts, wanted = CellCuts(), np.zeros((3, 4), bool)
    taken = AxisSelection.of_mask(np.isin(np.arange(3), list(rows)))
    for path, told in (("/a", first), ("/b", second)):
        cells = Cells.of(("/y", "/x"), np.array(told))
        cuts.add(path, cells)
        wanted |= kept(cells)
    wanted[[row for row in range(3) if row not in rows]] = False
    settled = cuts.settle({"/y": taken})
    if settled is None:
        assert not wanted.any()
        return
    y, x = settled["/y"].positions, settled["/x"].positions
    assert wanted[np.ix_(y, x)].sum() == wanted.sum()
    assert set(y) <= rows
    for lines, own in ((wanted.any(axis=1), y), (wanted.any(axis=0), x)):
        assert own[0] == np.flatnonzero(lines)[0]
        assert own[-1] == np.flatnonzero(lines)[-1]
    masks = cuts.masks(settled, {"/a": ("/y", "/x"), "/b": ("/y", "/x")})
    for path, told in (("/a", first), ("/b", second)):
        inside = np.ones((y.size, x.size), bool)
        for mask in masks:
            inside &= mask.inside.flags if path in mask.variables else True
        np.testing.assert_array_equal(inside, np.array(told)[np.ix_(y, x)])


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(1, 800), share=st.floats(0.5, 1))
def test_cells_at_the_rim_are_found_in_pieces_as_at_once(
    seed: int, rows: int, share: float
) -> None:
    inside = np.random.default_rng(seed).random((rows, 5)) < share
    padded = np.pad(inside, 1)
    around = [padded[1 + i : 1 + i + rows, 1 + j : 6 + j] for i, j in
              ((-1, 0), (1, 0), (0, -1), (0, 1))]  # fmt: skip
    expected = np.argwhere(inside & ~np.logical_and.reduce(around))
    np.testing.assert_array_equal(np.stack(_rim(inside), axis=-1), expected)
