"""Outlines of far more positions than the cells of a grid can show, made of fewer.

Only large areas are looked at, of shapes with more than `FEW` positions, on grids with latitudes
and longitudes along rows and columns. No outline moves by more than `SHARE` of the smallest step of
the grid, so that a cell may change sides only where its centre lies that close to an outline. What
touches the antimeridian or a pole stays as it is, for its edge there is none of the shape's own;
and so does what would fall to pieces.
"""

import numpy as np
import shapely

from harmony_vds.model.arrays import Flags, Floats
from harmony_vds.model.grid import Grid, GridKind
from harmony_vds.planning.within import THIN, Parts, are_thin

FEW = 50_000
"""Positions that are not worth leaving out any of."""
SHARE = 1e-3
"""Of the smallest step between centres: how far an outline may move."""
_LARGE = 1_000
"""Positions of an area from which on it is looked at."""


def simplified(parts: Parts, grid: Grid) -> tuple[Parts, str]:
    """`parts`, those that it helps with fewer positions, and what the user should know of it.

    Parameters
    ----------
    parts
        Single geometries in degrees.
    grid
        Whose cells are to be told apart.

    Returns
    -------
    tuple
        As many parts, of which those that were changed have at most half of the positions; and a
        sentence, empty where nothing was changed.

    **Reads:** nothing.
    """
    before = shapely.get_num_coordinates(parts)
    if before.sum() <= FEW or grid.kind is not GridKind.RECTILINEAR:
        return parts, ""
    tolerance = SHARE * min(_smallest_step(axis.values) for axis in (grid.x, grid.y))
    large = np.flatnonzero((before >= _LARGE) & _may_move(parts, tolerance))
    fewer = np.asarray(shapely.simplify(parts[large], tolerance, preserve_topology=False), object)
    after = shapely.get_num_coordinates(fewer)
    helps = (2 * after <= before[large]) & _are_alike(fewer)
    if not helps.any():
        return parts, ""
    found = parts.copy()
    found[large[helps]] = fewer[helps]
    return found, (
        f"The shape's outlines were simplified from {before.sum():,} to "
        f"{shapely.get_num_coordinates(found).sum():,} positions, none by more than "
        f"{tolerance:.2g} degrees, a thousandth of the smallest step of the grid."
    )


def _may_move(parts: Parts, tolerance: float) -> Flags:
    """Which parts are areas with an outline of their own all round."""
    west, south, east, north = shapely.bounds(parts).T
    apart = (west > tolerance - 180) & (east < 180 - tolerance)
    apart &= (south > tolerance - 90) & (north < 90 - tolerance)
    wide = 2 * shapely.area(parts) > (THIN + 4 * tolerance) * shapely.length(parts)
    return np.asarray(apart & (shapely.get_dimensions(parts) == 2) & wide & ~are_thin(parts))


def _are_alike(parts: Parts) -> Flags:
    """Which parts are still single areas."""
    single = shapely.get_type_id(parts) == shapely.GeometryType.POLYGON
    return np.asarray(single & ~shapely.is_empty(parts) & shapely.is_valid(parts))


def _smallest_step(values: Floats) -> float:
    steps = np.abs(np.diff(values))
    steps = steps[steps > 0]
    return float(steps.min()) if steps.size else 0.0
