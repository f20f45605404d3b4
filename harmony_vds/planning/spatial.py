"""A box in degrees as positions along latitude and longitude axes.

Edge rules. A cell is in when its centre lies in the closed box, to within the precision to which
the store's data type states coordinates. A box that holds no centre along an axis but overlaps
cells takes the one whose centre is nearest to the middle of the box; of two that are equally near
the southern or the western one. Longitudes are compared modulo 360, whatever numbers the store
uses, and a box of a whole turn keeps every column as it is stored.

Where a box crosses the edge of the data, the kept cells come out as one piece that runs on eastward
(or westward, if the store does), its longitudes continued past the edge: in the turn that the box
was given in if any column is stored in that turn, otherwise on from the western piece as it is
stored. A column stored twice, once at each edge of the data, comes out once.
"""

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from harmony_vds.errors import StoreError
from harmony_vds.model.arrays import Floats
from harmony_vds.model.extent import BoundingBox
from harmony_vds.model.grid import Axis, Grid
from harmony_vds.model.plan import GridPlan
from harmony_vds.model.selection import AxisSelection, runs

_ARITHMETIC = 1e-9
"""Degrees: well above the rounding of sums of angles, far below any cell."""
_MOST_TURNS = 3
"""Turns from the meridian of Greenwich within which longitudes lie."""
_MOST_PIECES = 64
"""Pieces of columns, repeated ones included, of which one order can be made at all."""


@dataclass(frozen=True, eq=False)
class HorizontalSelection:
    """Positions kept on a grid."""

    y: AxisSelection
    """Rows."""
    x: AxisSelection
    """Columns, in output order."""
    shifts: Floats | None
    """Multiples of 360 to add to the kept longitudes; see `GridPlan.shifts`."""

    @property
    def is_empty(self) -> bool:
        """Whether no cell is kept. **Reads:** nothing."""
        return len(self.y) == 0 or len(self.x) == 0


def select_box(grid: Grid, box: BoundingBox) -> HorizontalSelection:
    """The cells of `grid` in `box`, by the edge rules above.

    Raises
    ------
    StoreError
        An axis is in no order, or holds missing values.

    **Reads:** nothing.
    """
    x, shifts = select_longitudes(grid.x, box.west, box.width)
    return HorizontalSelection(select_latitudes(grid.y, box.south, box.north), x, shifts)


def select_latitudes(axis: Axis, south: float, north: float) -> AxisSelection:
    """Rows whose centres lie in the closed range [south, north], degrees_north.

    **Reads:** nothing.
    """
    values = _complete(axis)
    _refuse_beyond_poles(axis, values)
    tolerance = max(axis.resolution, _ARITHMETIC)
    inside = (values >= south - tolerance) & (values <= north + tolerance)
    if not inside.any():
        below, above = half_widths(values, axis.bounds)
        low, high = np.maximum(values - below, -90.0), np.minimum(values + above, 90.0)
        touches = (low <= north + tolerance) & (high >= south - tolerance)
        middle = np.clip((south + north) / 2, -90.0, 90.0)
        inside = _nearest(values, middle, touches, tolerance)
    selection = AxisSelection.of_mask(inside)
    if len(selection.pieces) > 1:
        raise _in_no_order("latitudes", axis)
    return selection


def select_longitudes(axis: Axis, west: float, width: float) -> tuple[AxisSelection, Floats | None]:
    """Columns whose centres lie in the closed arc of `width` degrees that starts at `west`.

    **Reads:** nothing.
    """
    values = _complete(axis)
    farthest = float(np.abs(values).max(initial=0.0))
    if width < 360:
        _refuse_beyond(axis, "longitudes", farthest, _MOST_TURNS * 360.0)
    tolerance = max(axis.resolution, _ARITHMETIC)
    if width >= 360 - tolerance:
        return AxisSelection.whole(values.size), None
    # Degrees east of the western edge, in [-tolerance, 360 - tolerance).
    eastward = np.mod(values - west + tolerance, 360.0) - tolerance
    inside = eastward <= width + tolerance
    if not inside.any():
        inside, eastward = _nearest_column(axis, eastward, width, tolerance)
    selection = AxisSelection(values.size, tuple(_in_order(inside, eastward, axis, tolerance)))
    positions = selection.positions
    turns = np.round((west + eastward[positions] - values[positions]) / 360.0)
    if positions.size == 0 or (turns == turns[0]).all():
        return selection, None
    if (turns != 0).all():
        turns -= turns.min()
    return selection, turns * 360.0


def _nearest_column(
    axis: Axis, eastward: Floats, width: float, tolerance: float
) -> tuple[npt.NDArray[np.bool_], Floats]:
    """The column nearest to the middle of an arc that holds no centre, if one touches it."""
    below, above = half_widths(axis.values, axis.bounds, period=360.0)
    turned = eastward - 360.0  # the same cells, seen west of the arc
    touches = (eastward - below <= width + tolerance) | (turned + above >= -tolerance)
    middle = width / 2
    closer = np.abs(turned - middle) < np.abs(eastward - middle)
    seen = np.where(closer, turned, eastward)
    return _nearest(seen, middle, touches, tolerance), seen


def _nearest(
    centres: Floats, middle: float, touches: npt.NDArray[np.bool_], tolerance: float
) -> npt.NDArray[np.bool_]:
    """The touching cell nearest to `middle`: of two equally near the one with the lesser centre.

    The choice is by place, not by index, so that a store turned over gives the same cell.
    """
    chosen = np.zeros(centres.size, np.bool_)
    if touches.any():
        distance = np.where(touches, np.abs(centres - middle), np.inf)
        near = np.flatnonzero(distance <= distance.min() + 2 * tolerance)
        chosen[near[np.argmin(centres[near])]] = True
    return chosen


def _in_order(
    inside: npt.NDArray[np.bool_], eastward: Floats, axis: Axis, tolerance: float
) -> list[range]:
    """Contiguous pieces of the kept columns, ordered so that longitudes run on in one direction."""
    ascending = _runs_east(axis.values)
    steps = np.diff(eastward)
    cuts = np.flatnonzero((steps <= 0) if ascending else (steps >= 0)) + 1
    pieces: list[range] = []
    for run in runs(inside):
        edges = [run.start, *(int(c) for c in cuts if run.start < c < run.stop), run.stop]
        pieces += [range(a, b) for a, b in pairwise(edges)]
    if len(pieces) > _MOST_PIECES:
        raise _in_no_order("longitudes", axis)
    pieces = _without_repeats(pieces, eastward, tolerance)
    pieces.sort(key=lambda piece: eastward[piece.start], reverse=not ascending)
    onward = np.diff(eastward[AxisSelection(eastward.size, tuple(pieces)).positions])
    if len(pieces) > 2 or not ((onward > 0) if ascending else (onward < 0)).all():
        raise _in_no_order("longitudes", axis)
    return pieces


def _runs_east(values: Floats) -> bool:
    """Whether stored longitudes run eastward, a jump from one turn to the next aside."""
    turns = _turned(np.diff(values))
    return bool(np.median(turns) >= 0) if turns.size else True


def _turned(angles: Floats) -> Floats:
    """`angles` less whole turns, in [-180, 180]; half a turn keeps its sign."""
    return angles - 360.0 * np.round(angles / 360.0)


def _without_repeats(pieces: list[range], eastward: Floats, tolerance: float) -> list[range]:
    """The pieces less the columns that the store holds twice: the longest piece keeps its own."""
    kept: list[range] = []
    taken = np.empty(0)
    for piece in sorted(pieces, key=len, reverse=True):
        own = eastward[piece.start : piece.stop]
        new = (np.abs(own[:, None] - taken[None, :]) > 2 * tolerance).all(axis=1)
        kept += [range(piece.start + r.start, piece.start + r.stop) for r in runs(new)]
        taken = np.concatenate([taken, own[new]])
    return kept


def half_widths(
    values: Floats, bounds: Floats | None, period: float | None = None
) -> tuple[Floats, Floats]:
    """How far each cell reaches below and above its centre, shapes (size,), in degrees.

    From the bounds where the store has them; otherwise cells meet half-way between centres. A
    single cell without bounds has no known width. **Reads:** nothing.
    """
    if bounds is not None and np.isfinite(bounds).all():
        away = bounds - values[:, None]
        if period is not None:  # bounds may be stated in another turn than their centre
            apart = (away.min(axis=1) > 0) | (away.max(axis=1) < 0)
            away = np.where(apart[:, None], _turned(away), away)
        below, above = -away.min(axis=1), away.max(axis=1)
        if (below >= 0).all() and (above >= 0).all():
            return below, above
    if values.size < 2:
        return np.zeros(values.size), np.zeros(values.size)
    steps = np.diff(values)
    if period is not None:
        steps = _turned(steps)
    half = np.abs(steps) / 2
    before = np.concatenate([half[:1], half])
    after = np.concatenate([half, half[-1:]])
    return (before, after) if np.median(steps) >= 0 else (after, before)


def grid_plan(grid: Grid, kept: HorizontalSelection) -> GridPlan:
    """What is kept of `grid`, with the outer edges of its cells. **Reads:** nothing."""
    rows, columns = kept.y.positions, kept.x.positions
    south, north = _edges(grid.y.values[rows], half_widths(grid.y.values, grid.y.bounds), rows)
    longitudes = grid.x.values[columns] + (0.0 if kept.shifts is None else kept.shifts)
    reach = half_widths(grid.x.values, grid.x.bounds, period=360.0)
    west, east = _edges(_one_turn(longitudes), reach, columns)
    if not east - west < 360.0 - _ARITHMETIC:
        west, east = (0.0, 360.0) if west >= -_ARITHMETIC else (-180.0, 180.0)
    surplus = 360.0 * math.ceil(max(east - 720.0, 0.0) / 360.0)  # a box ends within two turns
    west, east = west - surplus, east - surplus
    south, north = max(south, -90.0), min(north, 90.0)
    box = BoundingBox(round(west, 9), round(south, 9), round(east, 9), round(north, 9))
    return GridPlan(
        grid.x.path, grid.y.path, box, kept.shifts, grid.x.bounds_path,
        kind=grid.kind, crs=grid.crs, dimensions=grid.dimensions,
    )  # fmt: skip


def _edges(
    centres: Floats, reach: tuple[Floats, Floats], kept: npt.NDArray[np.int64]
) -> tuple[float, float]:
    """The outer edges of kept cells; without limit where no centre is known."""
    below, above = (np.nan_to_num(own[kept]) for own in reach)
    known = np.isfinite(centres)
    if not known.any():
        return -np.inf, np.inf
    return float(np.min((centres - below)[known])), float(np.max((centres + above)[known]))


def _one_turn(longitudes: Floats) -> Floats:
    """Longitudes that jump back by a turn on their way, such as 170 … -170, without the jump."""
    steps = _turned(np.diff(longitudes))
    if longitudes.size < 2 or not ((steps > 0).all() or (steps < 0).all()):
        return longitudes
    return np.concatenate([longitudes[:1], longitudes[0] + np.cumsum(steps)])


def _in_no_order(what: str, axis: Axis) -> StoreError:
    return StoreError(
        f"The {what} of {axis.path} are in no order; a box cannot cut them. Ask without a box."
    )


def _refuse_beyond_poles(axis: Axis, values: Floats) -> None:
    """Raise where centres lie more than a cell beyond a pole: such numbers are no latitudes."""
    reach = max((own.max(initial=0.0) for own in half_widths(values, axis.bounds)), default=0.0)
    farthest = float(np.abs(values).max(initial=0.0))
    _refuse_beyond(axis, "latitudes", farthest, 90.0 + 2 * min(reach, 45.0) + _ARITHMETIC)


def _refuse_beyond(axis: Axis, what: str, farthest: float, limit: float) -> None:
    if farthest > limit:
        raise StoreError(
            f"The {what} of {axis.path} reach {farthest:g} degrees; a box cannot cut them. Ask "
            "without a box, or have the publisher correct them."
        )


def _complete(axis: Axis) -> Floats:
    if not np.isfinite(axis.values).all():
        raise StoreError(
            f"The coordinate {axis.path} holds missing values; a box cannot cut it. The publisher "
            "must store it in full."
        )
    return axis.values
