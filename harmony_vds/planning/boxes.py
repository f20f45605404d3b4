"""A box in degrees as cells of grids whose rows and columns do not follow parallels and meridians.

A cell is in when its centre lies in the closed box, to within the precision to which the store
states it; a centre at a pole lies on every meridian. A box that holds no centre takes the one cell
that it touches whose centre is nearest to its middle (see `harmony_vds.planning.touched`). The
positions of a track have no extent and are touched by nothing. Cells without a place are never in.
"""

import numpy as np

from harmony_vds.model.arrays import Flags, Floats
from harmony_vds.model.extent import BoundingBox
from harmony_vds.model.grid import Grid, GridKind
from harmony_vds.planning.cells import Cells
from harmony_vds.planning.places import sound
from harmony_vds.planning.tiles import TILE, in_tiles
from harmony_vds.planning.touched import touched_on_plane, touched_on_sphere

_ARITHMETIC = 1e-9
"""Degrees: well above the rounding of sums of angles, far below any cell."""
_AT_ONCE = 2**20
"""Cells whose places are compared together."""


def cells_in_box(grid: Grid, box: BoundingBox, tile: int = TILE) -> Cells:
    """The cells of `grid` in `box`, by the rules above.

    Parameters
    ----------
    grid
        Any but a rectilinear one.
    box
        Closed.
    tile
        Cells along each side of the tiles that a projected grid is looked at in.

    **Reads:** nothing.
    """
    if grid.kind is GridKind.PROJECTED:

        def within(longitudes: Floats, latitudes: Floats) -> Flags:
            return holds(box, longitudes, latitudes, _ARITHMETIC)

        found = in_tiles(grid, box, within, tile)
        return touched_on_plane(grid, box) if found.is_empty else found
    inside = np.zeros(grid.shape, np.bool_)
    tolerance = max(grid.x.resolution, grid.y.resolution, _ARITHMETIC)
    flat, x, y = inside.reshape(-1), np.ravel(grid.x.values), np.ravel(grid.y.values)
    for start in range(0, flat.size, _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        flat[part] = holds(box, *sound(x[part], y[part]), tolerance)
    found = Cells.of(grid.dimensions, inside)
    if found.is_empty and grid.kind is GridKind.CURVILINEAR and inside.ndim == 2:
        return touched_on_sphere(grid, box)
    return found


def holds(box: BoundingBox, longitudes: Floats, latitudes: Floats, tolerance: float) -> Flags:
    """Whether places lie in a closed box, to within `tolerance` degrees. **Reads:** nothing."""
    if box.width >= 360.0 - tolerance:
        within = np.isfinite(longitudes)
    else:
        eastward = np.mod(longitudes - box.west + tolerance, 360.0) - tolerance
        within = (eastward <= box.width + tolerance) | (np.abs(latitudes) >= 90.0 - tolerance)
    # Comparisons with not-a-number are false.
    return within & (latitudes >= box.south - tolerance) & (latitudes <= box.north + tolerance)
