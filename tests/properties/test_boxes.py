"""Boxes against a brute-force oracle: one cell at a time, whole numbers, no numpy.

Angles are whole picodegrees here, so that nothing is rounded but the stored coordinates themselves.
Where a coordinate lies so near to an edge that its own precision cannot tell in from out, either
answer is right; everywhere else exactly one is.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harmony_vds.model.extent import BoundingBox
from harmony_vds.model.grid import Axis, AxisKind, Grid
from harmony_vds.planning.spatial import grid_plan, select_box

PICO = 10**12
TURN = 360 * PICO
IN, OUT, EITHER = "in", "out", "either"


def pico(number: float) -> int:
    """A double to the nearest picodegree, by its exact value."""
    return round(Fraction(number) * PICO)


def decimal(number: float) -> int:
    """A box edge as the user wrote it, digit for digit."""
    return round(Fraction(repr(float(number))) * PICO)


# -- the grids ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Convention:
    """How a store writes its longitudes and latitudes."""

    lon: tuple[float, ...]
    lat: tuple[float, ...]
    dtype: str = "f8"
    packed: float | None = None
    bounds: bool = False

    def grid(self, *, north_up: bool = False, west_up: bool = False, turn: float = 0.0) -> Grid:
        return Grid.rectilinear(
            x=self._axis(AxisKind.X, self.lon[::-1] if west_up else self.lon, turn),
            y=self._axis(AxisKind.Y, self.lat[::-1] if north_up else self.lat, 0.0),
        )

    def _axis(self, kind: AxisKind, centres: Sequence[float], turn: float) -> Axis:
        values = np.array(centres, self.dtype).astype(float)
        if self.packed is not None:  # whole multiples of a single-precision factor
            values = np.round(np.array(centres) / self.packed) * float(np.float32(self.packed))
        values = values + turn
        largest = max(abs(v) for v in values.tolist())
        single = self.dtype == "f4" or self.packed is not None
        resolution = float(np.spacing(np.float32(largest) if single else largest))
        name = "lon" if kind is AxisKind.X else "lat"
        bounds = _bounds(values.tolist(), kind) if self.bounds else None
        return Axis(f"/{name}", f"/{name}", kind, values, f"degrees_{name}", resolution, bounds)


def _bounds(values: list[float], kind: AxisKind) -> np.ndarray:
    """Bounds half-way between neighbours; at a jump of a whole turn stated in the centre's turn."""
    pairs = []
    for own, (west, east) in zip(
        values, reaches(values, TURN if kind is AxisKind.X else 0), strict=True
    ):
        pairs.append([own - west / PICO, own + east / PICO])
    return np.array(pairs)


def steps_of(first: float, step: float, count: int) -> tuple[float, ...]:
    return tuple(float(Fraction(repr(first)) + i * Fraction(repr(step))) for i in range(count))


LAT5 = steps_of(-87.5, 5.0, 36)
LAT_POLES = steps_of(-90.0, 7.5, 25)
GAUSSIAN_LIKE = (-88.2, -85.6, -82.9, -71.3, -50.05, -20.0, -1.3, 0.0, 1.3, 20.0, 50.05, 71.3, 88.2)

CONVENTIONS = {
    "-180..180, half cells": Convention(steps_of(-177.5, 5.0, 72), LAT5),
    "-180..180, centres on the edge": Convention(steps_of(-180.0, 7.5, 48), LAT_POLES),
    "0..360, half cells, float32": Convention(steps_of(2.5, 5.0, 72), LAT5, "f4"),
    "0..360, centres on the edge, bounds": Convention(
        steps_of(0.0, 7.5, 48), LAT_POLES, bounds=True
    ),
    "20..380": Convention(steps_of(20.25, 4.5, 80), LAT5),
    "73.125..433, float32": Convention(steps_of(73.125, 5.625, 64), GAUSSIAN_LIKE, "f4"),
    "a jump in the middle": Convention(
        steps_of(0.0, 7.5, 24) + steps_of(-180.0, 7.5, 24), LAT_POLES
    ),
    "a jump in the middle, bounds, float32": Convention(
        steps_of(0.7, 7.2, 25) + steps_of(-179.3, 7.2, 25), GAUSSIAN_LIKE, "f4", bounds=True
    ),
    "0 and 360 both stored": Convention(steps_of(0.0, 7.5, 49), LAT_POLES),
    "-180 and 180 both stored, float32": Convention(steps_of(-180.0, 4.8, 76), LAT5, "f4"),
    "twenty degrees stored twice": Convention(steps_of(-190.0, 5.0, 77), LAT5),
    "regional 57..185": Convention(steps_of(57.0, 3.2, 41), steps_of(-70.0, 2.5, 33)),
    "regional across the antimeridian": Convention(
        steps_of(150.1, 2.2, 14) + steps_of(-179.1, 2.2, 14), steps_of(-20.3, 1.7, 20), "f4"
    ),
    "packed by float32 0.01": Convention(
        steps_of(-179.95, 7.49, 48), steps_of(-89.95, 9.99, 19), packed=0.01
    ),
    "thirds of degrees, float32": Convention(
        tuple(float(Fraction(10 * i, 3)) for i in range(108)),
        tuple(float(Fraction(20 * i, 7) - 90) for i in range(64)),
        "f4",
    ),
    "four columns": Convention((0.0, 90.0, 180.0, 270.0), (-45.0, 45.0)),
    "two columns": Convention((-90.0, 90.0), (-60.0, 0.0, 60.0)),
    "one column with bounds": Convention((0.0,), LAT5, bounds=True),
}


# -- the oracle -----------------------------------------------------------------------------------


def reaches(values: list[float], period: int) -> list[tuple[int, int]]:
    """How far each cell reaches towards lesser and greater numbers, in picodegrees."""
    whole = [pico(v) for v in values]
    if len(whole) == 1:
        return [(180 * PICO, 180 * PICO)] if period else [(0, 0)]
    found = []
    for i, own in enumerate(whole):
        steps = []
        for j in (i - 1, i + 1):
            if 0 <= j < len(whole):
                step = whole[j] - own
                if period and abs(step) > period // 2:
                    step -= period * (1 if step > 0 else -1)
                steps.append(step)
        steps = steps if len(steps) == 2 else [steps[0], -steps[0]]
        found.append((-min(steps) // 2, max(steps) // 2))
    return found


def turns_of(value: int, low: int) -> list[int]:
    """The same longitude in every turn that could matter to an arc that starts at `low`."""
    base = (low - value) // TURN
    return [value + (base + k) * TURN for k in range(-1, 4)]


def judge(value: int, low: int, high: int, tolerance: int) -> str:
    """Whether one number lies in the closed range, by its precision."""
    if low - tolerance // 2 <= value <= high + tolerance // 2:
        return IN
    return EITHER if low - 2 * tolerance <= value <= high + 2 * tolerance else OUT


def best(verdicts: Sequence[str]) -> str:
    return IN if IN in verdicts else EITHER if EITHER in verdicts else OUT


@dataclass(frozen=True)
class Arc:
    """One axis of a box, in picodegrees."""

    low: int
    high: int
    period: int

    def places(self, value: int) -> list[int]:
        return turns_of(value, self.low) if self.period else [value]


def arcs(box: BoundingBox) -> tuple[Arc, Arc]:
    """Longitudes and latitudes of a box, from its written digits."""
    west, east = decimal(box.west), decimal(box.east)
    while east < west:
        east += TURN
    return (
        Arc(west, min(east, west + TURN), TURN),
        Arc(decimal(box.south), decimal(box.north), 0),
    )


def check_axis(axis: Axis, arc: Arc, kept: list[int]) -> bool:
    """Compare what is kept of an axis with the rules; tells whether a centre lies in the box."""
    values = [pico(v) for v in axis.values.tolist()]
    tolerance = max(pico(axis.resolution), PICO // 10**9)
    verdicts = [
        best([judge(p, arc.low, arc.high, tolerance) for p in arc.places(v)]) for v in values
    ]
    assert len(set(kept)) == len(kept)
    certain = [i for i, verdict in enumerate(verdicts) if verdict == IN]
    if any(verdicts[i] != OUT for i in kept) or certain:
        assert all(verdicts[i] != OUT for i in kept), "a kept centre lies outside the box"
        same = {v % arc.period if arc.period else v for v in (values[i] for i in kept)}
        for i in certain:
            place = values[i] % arc.period if arc.period else values[i]
            near = min(abs(place - s) for s in same) if same else None
            assert near is not None, "a centre in the box was dropped"
            stored_twice = min(near, (arc.period or TURN) - near) <= 2 * tolerance
            assert i in kept or stored_twice, "a centre in the box was dropped"
        return bool(certain)
    check_nearest(axis, arc, kept, tolerance)
    return False


def check_nearest(axis: Axis, arc: Arc, kept: list[int], tolerance: int) -> None:
    """A box without a centre: the nearest of the cells that it touches, or none."""
    values = [pico(v) for v in axis.values.tolist()]
    limit = 90 * PICO
    reach = reaches(axis.values.tolist(), arc.period)
    if axis.bounds is None and len(values) == 1:
        reach = [(0, 0)]
    low, high = arc.low, arc.high
    middle = (low + high) // 2
    if not arc.period:
        middle = max(-limit, min(limit, middle))
    distance, touch = [], []
    for value, (below, above) in zip(values, reach, strict=True):
        places = arc.places(value)
        overlaps = []
        for place in places:
            start, stop = place - below, place + above
            if not arc.period:
                start, stop = max(start, -limit), min(stop, limit)
            gap = max(start - high, low - stop)  # negative where cell and box overlap
            overlaps.append(IN if gap <= 0 else EITHER if gap <= 3 * tolerance else OUT)
        touch.append(best(overlaps))
        distance.append(min(abs(place - middle) for place in places))
    if not kept:
        assert IN not in touch, "the box lies in a cell and nothing was kept"
        return
    assert len(kept) == 1, "a box without a centre keeps one cell"
    assert touch[kept[0]] != OUT, "the cell kept does not meet the box"
    for own, verdict in zip(distance, touch, strict=True):
        assert verdict != IN or distance[kept[0]] <= own + 4 * tolerance, "another is nearer"


# -- the boxes ------------------------------------------------------------------------------------


@st.composite
def edges(draw: st.DrawFn, values: tuple[float, ...], reach: float) -> float:
    """An edge: anywhere, on a centre, half-way between two, or just beside."""
    kind = draw(st.sampled_from(["any", "centre", "between", "beside", "round"]))
    if kind == "any":
        return draw(st.integers(-int(reach * 1000), int(reach * 1000))) / 1000
    if kind == "round":
        return float(draw(st.sampled_from([-180, 180, 0, 360, -90, 90, 45, -360])))
    i = draw(st.integers(0, len(values) - 1))
    centre = Fraction(repr(values[i]))
    if kind == "between" and len(values) > 1:
        j = i + 1 if i + 1 < len(values) else i - 1
        return float(round((centre + Fraction(repr(values[j]))) / 2, 9))
    shift = draw(st.sampled_from([-1, 1])) * Fraction(1, 1000) if kind == "beside" else 0
    return float(round(centre + shift, 9))


def within(number: float, limit: float) -> float:
    """The number, or where it is beyond the limit the same longitude in a turn that is not."""
    while abs(number) > limit:
        number = float(Fraction(repr(number)) - math.copysign(360, number))
    return number


@st.composite
def boxes(draw: st.DrawFn, convention: Convention) -> BoundingBox:
    a, b = (draw(edges(convention.lat, 90.0)) for _ in range(2))
    south, north = (max(-90.0, min(90.0, v)) for v in sorted((a, b)))
    west, east = (draw(edges(convention.lon, 400.0)) for _ in range(2))
    shape = draw(st.sampled_from(["any", "any", "thin lon", "thin lat", "point", "polar", "wide"]))
    thin = Fraction(draw(st.integers(0, 2000)), 1000)
    if shape in ("thin lon", "point"):
        east = float(Fraction(repr(west)) + (0 if shape == "point" else thin))
    if shape in ("thin lat", "point"):
        north = min(90.0, float(Fraction(repr(south)) + (0 if shape == "point" else thin)))
    if shape == "polar":
        south, north = draw(st.sampled_from([(90.0, 90.0), (-90.0, -90.0), (88.0, 90.0)]))
    if shape == "wide":
        east = float(Fraction(repr(west)) + 300 + 50 * thin)
    return BoundingBox(within(west, 720.0), south, within(east, 720.0), north)


def is_whole_turn(axis: Axis, arc: Arc) -> bool:
    return arc.high - arc.low >= TURN - max(pico(axis.resolution), PICO // 10**9)


# -- the laws -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CONVENTIONS)
def test_exactly_the_cells_that_meet_the_box_are_kept(name: str) -> None:
    convention = CONVENTIONS[name]

    @given(box=boxes(convention), north_up=st.booleans(), west_up=st.booleans())
    def law(box: BoundingBox, north_up: bool, west_up: bool) -> None:
        grid = convention.grid(north_up=north_up, west_up=west_up)
        kept = select_box(grid, box)
        x, y = arcs(box)
        rows, columns = kept.y.positions.tolist(), kept.x.positions.tolist()
        check_axis(grid.y, y, rows)
        if is_whole_turn(grid.x, x):
            assert columns == list(range(grid.x.values.size))
            assert kept.shifts is None
            return
        held = check_axis(grid.x, x, columns)
        check_longitudes_run_on(grid, kept, x, west_up=west_up, held=held)

    law()


def check_longitudes_run_on(grid, kept, x: Arc, *, west_up: bool, held: bool) -> None:
    """One strictly monotonic piece, equal to the stored values but for whole turns, in the box."""
    columns = kept.x.positions.tolist()
    stored = [grid.x.values[c] for c in columns]
    shifts = [0.0] * len(stored) if kept.shifts is None else kept.shifts.tolist()
    assert all(s % 360 == 0 for s in shifts)
    out = [pico(v) + pico(s) for v, s in zip(stored, shifts, strict=True)]
    assert all(b < a if west_up else b > a for a, b in pairwise(out))
    if kept.shifts is not None:
        assert 0.0 in shifts, "no column keeps the number that the store gives it"
    if held:  # all in one turn of the box
        tolerance = 2 * max(pico(grid.x.resolution), PICO // 10**9)
        turn = (min(out) + tolerance - x.low) // TURN * TURN
        assert all(x.low - tolerance <= o - turn <= x.high + tolerance for o in out)


@pytest.mark.parametrize("name", CONVENTIONS)
def test_turning_the_store_over_keeps_the_same_cells(name: str) -> None:
    convention = CONVENTIONS[name]

    @settings(max_examples=100)
    @given(box=boxes(convention), north_up=st.booleans(), west_up=st.booleans())
    def law(box: BoundingBox, north_up: bool, west_up: bool) -> None:
        one = convention.grid()
        other = convention.grid(north_up=north_up, west_up=west_up)
        first, second = select_box(one, box), select_box(other, box)
        assert sorted(one.y.values[first.y.positions]) == sorted(other.y.values[second.y.positions])
        assert places(one, first) == places(other, second)

    law()


def places(grid: Grid, kept) -> list[int]:
    """Kept longitudes in one turn, to a nanodegree, sorted."""
    microns = (round(v * 10**6) for v in grid.x.values[kept.x.positions].tolist())
    return sorted(m % (360 * 10**6) for m in microns)


@pytest.mark.parametrize("name", CONVENTIONS)
def test_whole_turns_of_data_or_box_change_nothing(name: str) -> None:
    convention = replace(CONVENTIONS[name], dtype="f8")

    @settings(max_examples=100)
    @given(
        box=boxes(convention),
        data_turn=st.sampled_from([-360.0, 0.0, 360.0]),
        box_turn=st.sampled_from([-360.0, 0.0, 360.0]),
    )
    def law(box: BoundingBox, data_turn: float, box_turn: float) -> None:
        moved = [float(Fraction(repr(v)) + int(box_turn)) for v in (box.west, box.east)]
        if max(map(abs, moved)) > 720:
            moved = [box.west, box.east]
        turned = BoundingBox(moved[0], box.south, moved[1], box.north)
        one, other = convention.grid(), convention.grid(turn=data_turn)
        first, second = select_box(one, box), select_box(other, turned)
        assert places(one, first) == places(other, second)
        assert first.y == second.y

    law()


@pytest.mark.parametrize("name", CONVENTIONS)
def test_cutting_a_cut_again_changes_nothing(name: str) -> None:
    convention = CONVENTIONS[name]

    @settings(max_examples=100)
    @given(box=boxes(convention), west_up=st.booleans())
    def law(box: BoundingBox, west_up: bool) -> None:
        grid = convention.grid(west_up=west_up)
        once = select_box(grid, box)
        if once.is_empty or not (holds_centre(grid.x, arcs(box)[0], once.x.positions.tolist())):
            return
        if not holds_centre(grid.y, arcs(box)[1], once.y.positions.tolist()):
            return
        smaller = cut(grid, once)
        twice = select_box(smaller, box)
        assert twice.x.is_whole
        assert twice.y.is_whole
        assert twice.shifts is None

    law()


def holds_centre(axis: Axis, arc: Arc, kept: list[int]) -> bool:
    tolerance = max(pico(axis.resolution), PICO // 10**9)
    return all(
        IN in [judge(p, arc.low, arc.high, tolerance) for p in arc.places(pico(axis.values[i]))]
        for i in kept
    )


def cut(grid: Grid, kept) -> Grid:
    """The grid of an output."""
    shifts = np.zeros(len(kept.x)) if kept.shifts is None else kept.shifts
    x, y = kept.x.positions, kept.y.positions
    cut_bounds = grid.x.bounds is not None
    return Grid.rectilinear(
        replace(grid.x, values=grid.x.values[x] + shifts,
                bounds=grid.x.bounds[x] + shifts[:, None] if cut_bounds else None),
        replace(grid.y, values=grid.y.values[y],
                bounds=grid.y.bounds[y] if grid.y.bounds is not None else None),
    )  # fmt: skip


@pytest.mark.parametrize("name", CONVENTIONS)
def test_two_cuts_keep_the_same_cells_in_either_order(name: str) -> None:
    convention = CONVENTIONS[name]

    @settings(max_examples=100)
    @given(first=boxes(convention), second=boxes(convention))
    def law(first: BoundingBox, second: BoundingBox) -> None:
        grid = convention.grid()
        cells = []
        for a, b in ((first, second), (second, first)):
            one = select_box(grid, a)
            if one.is_empty or not holds_both(grid, a, one):
                return
            smaller = cut(grid, one)
            two = select_box(smaller, b)
            if two.is_empty or not holds_both(smaller, b, two):
                return
            cells.append((sorted(smaller.y.values[two.y.positions]), places(smaller, two)))
        assert cells[0][0] == cells[1][0]
        assert set(cells[0][1]) == set(cells[1][1])

    law()


def holds_both(grid: Grid, box: BoundingBox, kept) -> bool:
    x, y = arcs(box)
    return holds_centre(grid.x, x, kept.x.positions.tolist()) and holds_centre(
        grid.y, y, kept.y.positions.tolist()
    )


@pytest.mark.parametrize("name", CONVENTIONS)
def test_the_outer_edges_of_a_cut_enclose_its_cells(name: str) -> None:
    convention = CONVENTIONS[name]

    @settings(max_examples=100)
    @given(box=boxes(convention), west_up=st.booleans())
    def law(box: BoundingBox, west_up: bool) -> None:
        grid = convention.grid(west_up=west_up)
        kept = select_box(grid, box)
        if kept.is_empty:
            return
        around = grid_plan(grid, kept).bbox
        low, high = pico(around.west) - 2000, pico(around.east) + 2000
        assert around.west <= around.east <= around.west + 360
        for value in grid.x.values[kept.x.positions].tolist():
            assert any(low <= place <= high for place in turns_of(pico(value), low))
        for value in grid.y.values[kept.y.positions].tolist():
            assert around.south - 1e-9 <= value <= around.north + 1e-9

    law()
