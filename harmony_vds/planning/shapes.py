"""A shape as cells of a grid: `inside` of all its features, and the smallest window around them.

`harmony_vds.planning.within` has the edge rules.
"""

from dataclasses import dataclass, replace

import numpy as np

from harmony_vds.model.extent import BoundingBox
from harmony_vds.model.grid import Axis, Grid
from harmony_vds.model.shape import Shape
from harmony_vds.planning.meeting import Flags
from harmony_vds.planning.spatial import HorizontalSelection, half_widths, select_box
from harmony_vds.planning.within import inside

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
    """The cells of `grid` in `shape`, and in `box` if there is one, by its edge rules.

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
