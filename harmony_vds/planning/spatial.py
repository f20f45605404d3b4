"""A box in degrees as positions along latitude and longitude axes.

Edge rules. A cell is in when its centre lies in the closed box, to within the precision to which
the store's data type states coordinates. A box that holds no centre but overlaps cells takes the
one whose centre is nearest to the middle of the box. Longitudes are compared modulo 360, whatever
numbers the store uses. Where a box crosses the edge of the data, the kept cells come out as one
piece that runs on eastward (or westward, if the store does), its longitudes continued past the
edge; a column stored twice, once at each edge of the data, comes out once.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harmony_vds.errors import StoreError
from harmony_vds.model.extent import BoundingBox
from harmony_vds.model.grid import Axis, Grid
from harmony_vds.model.plan import GridPlan
from harmony_vds.model.selection import AxisSelection

type Floats = npt.NDArray[np.float64]

_ARITHMETIC = 1e-9
"""Degrees: well above the rounding of sums of angles, far below any cell."""


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
    tolerance = max(axis.resolution, _ARITHMETIC)
    inside = (values >= south - tolerance) & (values <= north + tolerance)
    if not inside.any():
        below, above = half_widths(values, axis.bounds)
        low, high = np.maximum(values - below, -90.0), np.minimum(values + above, 90.0)
        touches = (low <= north) & (high >= south)
        middle = np.clip((south + north) / 2, -90.0, 90.0)
        inside = _nearest(np.abs(values - middle), touches)
    selection = AxisSelection.of_mask(inside)
    if len(selection.pieces) > 1:
        raise StoreError(f"The latitudes of {axis.path} are in no order; a box cannot cut them.")
    return selection


def select_longitudes(axis: Axis, west: float, width: float) -> tuple[AxisSelection, Floats | None]:
    """Columns whose centres lie in the closed arc of `width` degrees that starts at `west`.

    **Reads:** nothing.
    """
    values = _complete(axis)
    tolerance = max(axis.resolution, _ARITHMETIC)
    if width >= 360 - tolerance:
        return AxisSelection.whole(values.size), None
    # Degrees east of the western edge, in [-tolerance, 360 - tolerance).
    eastward = np.mod(values - west + tolerance, 360.0) - tolerance
    inside = eastward <= width + tolerance
    if not inside.any():
        inside, eastward = _nearest_column(axis, eastward, width)
    pieces = _in_order(inside, eastward, axis, tolerance)
    selection = AxisSelection(values.size, tuple(pieces))
    positions = selection.positions
    shifts = np.round((west + eastward[positions] - values[positions]) / 360.0) * 360.0
    continues = positions.size and bool(np.any(shifts != shifts[0]))
    return selection, shifts if continues else None


def _nearest_column(
    axis: Axis, eastward: Floats, width: float
) -> tuple[npt.NDArray[np.bool_], Floats]:
    """The column nearest to the middle of an arc that holds no centre, if one touches it."""
    below, above = half_widths(axis.values, axis.bounds, period=360.0)
    turned = eastward - 360.0  # the same cells, seen west of the arc
    touches = (eastward - below <= width) | (turned + above >= 0)
    middle = width / 2
    distance = np.minimum(np.abs(eastward - middle), np.abs(turned - middle))
    inside = _nearest(distance, touches)
    closer = np.abs(turned - middle) < np.abs(eastward - middle)
    return inside, np.where(closer, turned, eastward)


def _nearest(distance: Floats, touches: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    chosen = np.zeros(distance.size, np.bool_)
    if touches.any():
        chosen[np.argmin(np.where(touches, distance, np.inf))] = True
    return chosen


def _in_order(
    inside: npt.NDArray[np.bool_], eastward: Floats, axis: Axis, tolerance: float
) -> list[range]:
    """Contiguous pieces of the kept columns, ordered so that longitudes run on in one direction."""
    steps = np.diff(eastward)
    turns = np.mod(np.diff(axis.values) + 180.0, 360.0) - 180.0
    ascending = bool(np.median(turns) >= 0) if turns.size else True
    breaks = (steps <= 0) if ascending else (steps >= 0)
    pieces: list[range] = []
    for start in np.flatnonzero(inside):
        joined = pieces and start == pieces[-1].stop and not breaks[start - 1]
        if joined:
            pieces[-1] = range(pieces[-1].start, int(start) + 1)
        else:
            pieces.append(range(int(start), int(start) + 1))
    pieces.sort(key=lambda piece: eastward[piece.start], reverse=not ascending)
    if len(pieces) == 2:
        pieces = _without_repeat(pieces, eastward, tolerance)
    if len(pieces) > 2:
        raise StoreError(f"The longitudes of {axis.path} are in no order; a box cannot cut them.")
    return pieces


def _without_repeat(pieces: list[range], eastward: Floats, tolerance: float) -> list[range]:
    """Two pieces less the column that the store holds at both edges of the data."""
    first, second = pieces
    if abs(eastward[first[-1]] - eastward[second[0]]) > tolerance:
        return pieces
    rest = second[1:]
    return [first, rest] if rest else [first]


def half_widths(
    values: Floats, bounds: Floats | None, period: float | None = None
) -> tuple[Floats, Floats]:
    """How far each cell reaches below and above its centre, shapes (size,), in degrees.

    From the bounds where the store has them; otherwise cells meet half-way between centres. A
    single cell without bounds has no known width. **Reads:** nothing.
    """
    if bounds is not None and np.isfinite(bounds).all():
        away = bounds - values[:, None]
        if period is not None:
            away = np.mod(away + period / 2, period) - period / 2
        below, above = -away.min(axis=1), away.max(axis=1)
        if (below >= 0).all() and (above >= 0).all():
            return below, above
    if values.size < 2:
        return np.zeros(values.size), np.zeros(values.size)
    steps = np.diff(values)
    if period is not None:
        steps = np.mod(steps + period / 2, period) - period / 2
    half = np.abs(steps) / 2
    before = np.concatenate([half[:1], half])
    after = np.concatenate([half, half[-1:]])
    return (before, after) if np.median(steps) >= 0 else (after, before)


def grid_plan(grid: Grid, kept: HorizontalSelection) -> GridPlan:
    """What is kept of `grid`, with the outer edges of its cells. **Reads:** nothing."""
    rows, columns = kept.y.positions, kept.x.positions
    below, above = half_widths(grid.y.values, grid.y.bounds)
    south = float(np.min(grid.y.values[rows] - below[rows]))
    north = float(np.max(grid.y.values[rows] + above[rows]))
    left, right = half_widths(grid.x.values, grid.x.bounds, period=360.0)
    longitudes = grid.x.values[columns] + (0.0 if kept.shifts is None else kept.shifts)
    west = float(np.min(longitudes - left[columns]))
    east = float(np.max(longitudes + right[columns]))
    if east - west >= 360.0 - _ARITHMETIC:
        west, east = (-180.0, 180.0) if west < -_ARITHMETIC else (0.0, 360.0)
    box = BoundingBox(
        round(west, 9), round(max(south, -90.0), 9), round(east, 9), round(min(north, 90.0), 9)
    )
    return GridPlan(grid.x.path, grid.y.path, box, kept.shifts)


def _complete(axis: Axis) -> Floats:
    if not np.isfinite(axis.values).all():
        raise StoreError(
            f"The coordinate {axis.path} holds missing values; a box cannot cut it. The publisher "
            "must store it in full."
        )
    return axis.values
