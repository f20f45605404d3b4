"""The areas of a grid's cells, which an area average weighs them by."""

from collections.abc import Iterator

import numpy as np

from harmony_vds.errors import TooLargeError
from harmony_vds.model.areas import (
    WGS84,
    CellAreas,
    Ellipsoid,
    area_north_of_equator,
    areas_of_cells,
)
from harmony_vds.model.arrays import Floats
from harmony_vds.model.grid import Axis, Grid, GridKind
from harmony_vds.model.selection import AxisSelection
from harmony_vds.planning.places import corners
from harmony_vds.planning.spatial import half_widths

MOST_CELLS = 2**25
"""Cells of a grid without parallels and meridians whose areas are held: 256 MiB."""
_AT_ONCE = 2**18
"""Cells whose corners are held at once."""
_ARITHMETIC = 1e-9


def areas_of(
    grid: Grid, rows: AxisSelection, columns: AxisSelection, ellipsoid: Ellipsoid = WGS84
) -> CellAreas:
    """The areas of the kept cells of a grid on an ellipsoid.

    Raises
    ------
    TooLargeError
        The grid is not one of latitudes and longitudes, and too many of its cells are kept.

    **Reads:** nothing.
    """
    if grid.kind is GridKind.RECTILINEAR:
        return areas_between(grid.y, grid.x, rows, columns, ellipsoid)
    if len(rows) * len(columns) > MOST_CELLS:
        raise TooLargeError(
            f"An average over area would need the areas of {len(rows) * len(columns):,} cells of a "
            f"{grid.kind} grid; at most {MOST_CELLS:,} are held. Ask for a smaller box."
        )
    cells = np.empty((len(rows), len(columns)))
    top = 0
    for down in _bands(rows, max(1, _AT_ONCE // max(len(columns), 1))):
        left = 0
        for across in columns.pieces:
            around = corners(grid, np.array(down), np.array(across))
            own = areas_of_cells(*around, ellipsoid)
            cells[top : top + len(down), left : left + len(across)] = own
            left += len(across)
        top += len(down)
    dimensions = (grid.dimensions[0], grid.dimensions[1])
    return CellAreas(dimensions, np.ones(len(rows)), np.ones(len(columns)), cells)


def _bands(rows: AxisSelection, high: int) -> Iterator[range]:
    for piece in rows.pieces:
        for start in range(piece.start, piece.stop, high):
            yield range(start, min(start + high, piece.stop))


def areas_between(
    y: Axis, x: Axis, rows: AxisSelection, columns: AxisSelection, ellipsoid: Ellipsoid = WGS84
) -> CellAreas:
    """Areas of cells that lie between parallels and meridians, by their bounds where stored.

    Without bounds, cells meet half-way between centres and end at the poles, and columns that are
    stored more than once share their area. A single row or column without bounds has no known
    width, and all its cells weigh by the other side alone.

    Parameters
    ----------
    y, x
        Latitudes and longitudes, degrees.
    rows, columns
        What is kept of them.
    ellipsoid
        What latitudes are of.

    **Reads:** nothing.
    """
    below, above = half_widths(y.values, y.bounds)
    south = np.clip(y.values - below, -90.0, 90.0)
    north = np.clip(y.values + above, -90.0, 90.0)
    each = area_north_of_equator(north, ellipsoid) - area_north_of_equator(south, ellipsoid)
    return CellAreas(
        (y.dimension, x.dimension),
        _known(each)[rows.positions],
        _known(np.radians(_widths(x)))[columns.positions],
    )


def _known(sides: Floats) -> Floats:
    return sides if (sides > 0).any() else np.ones_like(sides)


def _widths(x: Axis) -> Floats:
    """Degrees of longitude of each column: together no more than a turn."""
    below, above = half_widths(x.values, x.bounds, period=360.0)
    widths = below + above
    if not np.nansum(widths) > 360.0 + _ARITHMETIC + x.resolution * x.values.size:
        return widths
    # Columns that are stored at both edges of the data, or a world of points at both its edges.
    turned = np.round(np.mod(x.values, 360.0) / _ARITHMETIC) * _ARITHMETIC % 360.0
    places, own, times = np.unique(turned, return_inverse=True, return_counts=True)
    after = np.mod(np.roll(places, -1) - places, 360.0)
    after[places.size == 1] = 360.0
    return np.asarray(((after + np.roll(after, 1)) / 2 / times)[own], np.float64)
