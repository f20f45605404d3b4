"""A shape as cells of a grid, and the window around them.

`harmony_vds.planning.within` has the edge rules.
"""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import shapely

from harmony_vds.model.arrays import Flags, Floats, Positions
from harmony_vds.model.cell_set import CellSet
from harmony_vds.model.extent import BoundingBox
from harmony_vds.model.grid import Axis, ByCells, Grid, GridKind
from harmony_vds.model.shape import Shape
from harmony_vds.planning.boxes import holds
from harmony_vds.planning.cells import Cells
from harmony_vds.planning.places import edges, index_in
from harmony_vds.planning.plane import on_plane
from harmony_vds.planning.simplified import simplified
from harmony_vds.planning.spatial import HorizontalSelection, half_widths, select_box
from harmony_vds.planning.tiles import in_tiles
from harmony_vds.planning.within import Parts, layers_inside, parts_inside, singles

_ARITHMETIC = 1e-9
"""Degrees: well above the rounding of sums of angles, far below any cell."""


@dataclass(frozen=True, eq=False)
class ShapeSelection:
    """The window of a shape on a grid, and the cells in it."""

    kept: HorizontalSelection
    """The window; empty if no cell is in."""
    inside: CellSet
    """Over the rows and columns of the window, in output order."""
    note: str = ""
    """What the user should know of how the shape was taken."""


def select_shape(grid: Grid, shape: Shape, box: BoundingBox | None = None) -> ShapeSelection:
    """The cells of `grid` in `shape`, and in `box` if there is one, by its edge rules.

    What was found last is kept: every part of an output, and every smaller request, has the same.

    Raises
    ------
    StoreError
        An axis is in no order, or holds missing values.

    **Reads:** nothing.
    """
    return _select_shape(ByCells.of(grid), shape, box)


@lru_cache(maxsize=1)  # a bit for each cell may be 80 MB
def _select_shape(cells: ByCells, shape: Shape, box: BoundingBox | None) -> ShapeSelection:
    grid = cells.grid
    kept = select_box(grid, _with_cells_around(shape.bbox, grid))
    parts, note = simplified(_parts(shape), grid)
    found = parts_inside(grid, kept.y.positions, kept.x.positions, parts)
    if box is None:
        return replace(_trimmed(kept, found), note=note)
    boxed = select_box(grid, box)
    rows, columns = (
        _places_in(a.positions, b.positions, a.size)
        for a, b in ((boxed.y, kept.y), (boxed.x, kept.x))
    )
    both = CellSet.in_bands(
        (rows.size, columns.size), lambda band: _placed(found, rows[band], columns)
    )
    return replace(_trimmed(boxed, both), note=note)


def _placed(found: CellSet, rows: Positions, columns: Positions) -> Flags:
    """The cells of `found` at its `rows` and `columns`, shape (r, c); none where one is -1."""
    common = np.zeros((rows.size, columns.size), np.bool_)
    down = np.flatnonzero(rows >= 0)
    if down.size:
        first, last = rows[down].min(), rows[down].max() + 1
        part = found.part((slice(int(first), int(last)), slice(None)))
        across = columns >= 0
        common[np.ix_(down, across)] = part[np.ix_(rows[down] - first, columns[across])]
    return common


def _places_in(positions: Positions, others: Positions, size: int) -> Positions:
    """Where each of `positions` stands among `others`; -1 where it does not."""
    places = np.full(size, -1, np.int64)
    places[others] = np.arange(others.size)
    found: Positions = places[positions]
    return found


def cells_in_shape(grid: Grid, shape: Shape) -> Cells:
    """The cells of any but a rectilinear `grid` in `shape`. **Reads:** nothing."""
    parts = _parts(shape)
    if grid.kind is not GridKind.PROJECTED:
        return Cells.of(grid.dimensions, layers_inside(grid, parts))
    rows, columns = _window(grid, shape, parts)
    first = (int(rows[0]), int(columns[0])) if rows.size and columns.size else (0, 0)
    return Cells(grid.dimensions, grid.shape, first, parts_inside(grid, rows, columns, parts).flags)


def _window(grid: Grid, shape: Shape, parts: Parts) -> tuple[Positions, Positions]:
    """Rows and columns of a projected grid between which all cells of a shape lie."""

    def within(longitudes: Floats, latitudes: Floats) -> Flags:
        return holds(shape.bbox, longitudes, latitudes, _ARITHMETIC)

    centres = in_tiles(grid, shape.bbox, within)
    found = [
        np.flatnonzero(centres.inside.any(axis=axis)) + first
        for axis, first in zip((1, 0), centres.first, strict=True)
    ]
    bounds = shapely.bounds(on_plane(grid, parts)).reshape(-1, 4)
    windows = []
    for axis, centre, sides in ((grid.y, found[0], (1, 3)), (grid.x, found[1], (0, 2))):
        touched = _cells_between(axis, bounds[:, sides[0]], bounds[:, sides[1]])
        own = np.concatenate([centre, touched])
        ends = (int(own.min()), int(own.max()) + 1) if own.size else (0, 0)
        windows.append(np.arange(*ends))
    return windows[0], windows[1]


def _cells_between(axis: Axis, low: Floats, high: Floats) -> Positions:
    """The first and last cells along an axis that ranges of values touch."""
    ends = edges(axis, slice(None))
    if not (low.size and ends.size):
        return np.empty(0, np.int64)
    near = (low <= ends.max()) & (high >= ends.min())
    clipped = np.clip(np.stack([low[near], high[near]]), ends.min(), ends.max())
    found = index_in(axis, clipped.ravel())
    # A range that ends on an edge touches the cell beyond it, too.
    beside = np.concatenate([found - 1, found, found + 1])
    return beside[(beside >= 0) & (beside < axis.values.size)]


def _parts(shape: Shape) -> Parts:
    return np.concatenate([singles(own.geometry) for own in shape.features])


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


def _trimmed(kept: HorizontalSelection, found: CellSet) -> ShapeSelection:
    """The smallest window that holds all cells of `found`."""
    rows, columns = (np.flatnonzero(found.lines(axis)) for axis in (0, 1))
    top, bottom = (int(rows[0]), int(rows[-1]) + 1) if rows.size else (0, 0)
    left, right = (int(columns[0]), int(columns[-1]) + 1) if columns.size else (0, 0)
    shifts = None if kept.shifts is None else kept.shifts[left:right]
    if shifts is not None and (shifts.size == 0 or (shifts == shifts[0]).all()):
        shifts = None  # in one turn: as stored
    elif shifts is not None and (shifts != 0).all():
        shifts = shifts - shifts.min()
    return ShapeSelection(
        replace(kept, y=kept.y.part(top, bottom), x=kept.x.part(left, right), shifts=shifts),
        found.cut(slice(top, bottom), slice(left, right)),
    )
