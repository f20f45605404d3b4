"""A shape as cells of a grid.

Edge rules. A cell is in when its centre lies in an area or on its edge, to within the precision to
which the store's data type states coordinates. A part of a shape that holds no centre (an island
smaller than a cell, say), a line, a point, and an area that is nowhere wider than `THIN` (a line or
point drawn as an area, as Harmony draws those of EDR requests) takes every cell that it touches.
The window of the output is the smallest that holds all of these cells.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import shapely

from harmony_vds.model.extent import BoundingBox
from harmony_vds.model.grid import Axis, Grid
from harmony_vds.model.shape import Shape
from harmony_vds.planning.meeting import Boxes, Flags, Floats, meeting
from harmony_vds.planning.spatial import HorizontalSelection, half_widths, select_box

THIN = 2e-4
"""Degrees; Harmony draws lines and points 1e-4 degrees wide."""
_ARITHMETIC = 1e-9
"""Degrees: well above the rounding of sums of angles, far below any cell."""


@dataclass(frozen=True, eq=False)
class ShapeSelection:
    """The window of a shape on a grid, and the cells in it."""

    kept: HorizontalSelection
    """The window; empty if no cell is in."""
    inside: Flags
    """Shape (rows, columns) of the window, in output order."""


def select_shape(grid: Grid, shape: Shape, box: BoundingBox | None = None) -> ShapeSelection:
    """The cells of `grid` in `shape`, and in `box` if there is one, by the edge rules above.

    Raises
    ------
    StoreError
        An axis is in no order, or holds missing values.

    **Reads:** nothing.
    """
    kept = select_box(grid, _with_cells_around(shape.bbox, grid) if box is None else box)
    rows, columns = kept.y.positions, kept.x.positions
    found = np.zeros((rows.size, columns.size), np.bool_)
    for feature in shape.features:
        found |= inside(grid, rows, columns, feature.geometry)
    return _trimmed(kept, found)


def inside(
    grid: Grid,
    rows: npt.NDArray[np.int64],
    columns: npt.NDArray[np.int64],
    geometry: shapely.Geometry,
) -> Flags:
    """Which cells at `rows` and `columns` of `grid` are in `geometry`.

    Parameters
    ----------
    grid
        Where the cells lie.
    rows, columns
        Their positions, in any order; shapes (r,) and (c,).
    geometry
        Of a `harmony_vds.model.shape.Feature`: degrees, longitudes in [-180, 180].

    Returns
    -------
    numpy.ndarray
        Shape (r, c).

    **Reads:** nothing.
    """
    if not (rows.size and columns.size):
        return np.zeros((rows.size, columns.size), np.bool_)
    parts = _singles(geometry)
    thin = _are_thin(parts)
    x, y = _turned(grid.x.values[columns]), grid.y.values[rows]
    wide, tall = max(grid.x.resolution, _ARITHMETIC), max(grid.y.resolution, _ARITHMETIC)
    centres = _boxes(x - wide, y - tall, x + wide, y + tall)
    found, useful = _meeting_all_turns(parts[~thin], centres, wide)
    left = np.concatenate([parts[thin], parts[~thin][~useful]])
    if left.size:
        below, above = (own[columns] for own in half_widths(grid.x.values, grid.x.bounds, 360.0))
        under, over = (own[rows] for own in half_widths(grid.y.values, grid.y.bounds))
        cells = _boxes(
            x - below, np.maximum(y - under, -90.0), x + above, np.minimum(y + over, 90.0)
        )
        found |= _meeting_all_turns(left, cells, float(max(below.max(), above.max())))[0]
    return found


def _singles(geometry: shapely.Geometry) -> npt.NDArray[np.object_]:
    """The areas, lines and points that a geometry consists of."""
    return np.asarray(shapely.get_parts(shapely.get_parts(geometry)), object)


def _are_thin(parts: npt.NDArray[np.object_]) -> Flags:
    """Lines, points, and areas of a mean width up to `THIN`."""
    around = shapely.length(parts)
    width = 2.0 * shapely.area(parts) / np.where(around > 0, around, 1.0)
    return np.asarray((shapely.get_dimensions(parts) < 2) | (width <= THIN))


def _meeting_all_turns(
    parts: npt.NDArray[np.object_], boxes: Boxes, reach: float
) -> tuple[Flags, Flags]:
    """As `meeting`, for boxes that reach at most `reach` degrees beyond [-180, 180]."""
    if not parts.size:
        return np.zeros(boxes.shape, np.bool_), np.zeros(0, np.bool_)
    bounds = shapely.bounds(parts)
    owners = [np.arange(parts.size)]
    everywhere = [parts]
    for near, by in ((bounds[:, 0] <= reach - 180.0, 360.0), (bounds[:, 2] >= 180.0 - reach, -360)):
        moved = shapely.transform(parts[near], lambda own, by=by: own + np.array([by, 0.0]))
        owners.append(np.flatnonzero(near))
        everywhere.append(np.asarray(moved, object))
    found, useful = meeting(np.concatenate(everywhere), boxes)
    any_turn = np.zeros(parts.size, np.bool_)
    any_turn[np.concatenate(owners)[useful]] = True
    return found, any_turn


def _boxes(west: Floats, south: Floats, east: Floats, north: Floats) -> Boxes:
    """Boxes of rows and columns, without room for each."""
    return Boxes(west[None, :], south[:, None], east[None, :], north[:, None])


def _turned(longitudes: Floats) -> Floats:
    """Longitudes in [-180, 180)."""
    within = (longitudes >= -180.0) & (longitudes < 180.0)
    return np.where(within, longitudes, np.mod(longitudes + 180.0, 360.0) - 180.0)


def _with_cells_around(box: BoundingBox, grid: Grid) -> BoundingBox:
    """A box that also holds the centres of cells which the edge of `box` touches."""
    x, y = _widest(grid.x, 360.0), _widest(grid.y, None)
    if box.width + 2 * x >= 360.0:
        return BoundingBox(-180.0, box.south - y, 180.0, box.north + y)
    return BoundingBox(box.west - x, box.south - y, box.east + x, box.north + y)


def _widest(axis: Axis, period: float | None) -> float:
    """Most degrees that a cell reaches from its centre, and a little more."""
    own = half_widths(axis.values, axis.bounds, period)
    widest = max((float(side.max()) for side in own if side.size), default=0.0)
    return (widest if np.isfinite(widest) else 0.0) + axis.resolution + _ARITHMETIC


def _trimmed(kept: HorizontalSelection, found: Flags) -> ShapeSelection:
    """The smallest window that holds all cells of `found`."""
    rows, columns = (np.flatnonzero(found.any(axis=axis)) for axis in (1, 0))
    top, bottom = (int(rows[0]), int(rows[-1]) + 1) if rows.size else (0, 0)
    left, right = (int(columns[0]), int(columns[-1]) + 1) if columns.size else (0, 0)
    shifts = None if kept.shifts is None else kept.shifts[left:right]
    if shifts is not None and (shifts.size == 0 or (shifts == shifts[0]).all()):
        shifts = None  # in one turn: as stored
    elif shifts is not None and (shifts != 0).all():
        shifts = shifts - shifts.min()
    return ShapeSelection(
        replace(kept, y=kept.y.part(top, bottom), x=kept.x.part(left, right), shifts=shifts),
        found[top:bottom, left:right],
    )
