"""Outlines of geometries on the plane of a projected grid, where its cells are rectangles."""

import numpy as np
import numpy.typing as npt
import shapely

from harmony_vds.model.arrays import Floats
from harmony_vds.model.grid import Grid
from harmony_vds.planning.places import from_degrees, to_degrees

_LONGEST = 0.5
"""Cells that a straight piece of an outline may span."""
_MOST_HALVINGS = 24
_MOST_PIECES = 2**22
_SAME = 1e-5
"""Degrees, a metre: far less than any cell of a projected grid."""


def on_plane(grid: Grid, parts: npt.NDArray[np.object_]) -> npt.NDArray[np.object_]:
    """The outlines of `parts` as lines and points on the plane of `grid`.

    Edges are straight in degrees and bent on the plane, so they are halved until no piece spans
    more than half a cell. What the projection does not show is left out, and so are the pieces that
    would lie across its seam.

    Parameters
    ----------
    grid
        Projected.
    parts
        Single areas, lines and points in degrees.

    Returns
    -------
    numpy.ndarray
        Geometries in units of the grid's reference system.

    **Reads:** nothing.
    """
    found: list[shapely.Geometry] = []
    for part in parts:
        if shapely.get_dimensions(part) == 0:
            x, y = _placed(grid, shapely.get_coordinates(part)).T
            known = np.isfinite(x)
            found += [shapely.points(a, b) for a, b in zip(x[known], y[known], strict=True)]
            continue
        outline = shapely.boundary(part) if shapely.get_dimensions(part) == 2 else part
        for line in shapely.get_parts(outline):
            pieces = _pieces(grid, shapely.get_coordinates(line))
            if len(pieces):
                found.append(shapely.multilinestrings(shapely.linestrings(pieces)))
    return np.array([*found, None], object)[:-1]


def _pieces(grid: Grid, positions: Floats) -> Floats:
    """Short straight pieces on the plane; shape (pieces, 2 ends, 2 of x and y)."""
    cell = [_smallest_step(axis.values) for axis in (grid.x, grid.y)]
    degrees, plane = positions, _placed(grid, positions)
    for _ in range(_MOST_HALVINGS):
        steps = np.abs(np.diff(plane, axis=0)) / cell
        known = np.isfinite(plane)[:, 0]
        # Pieces that end off the map are halved, too: part of them may be on it.
        long = (steps > _LONGEST).any(axis=1) | (known[1:] != known[:-1])
        if not long.any() or len(degrees) > _MOST_PIECES:
            break
        at = np.flatnonzero(long) + 1
        middles = (degrees[at - 1] + degrees[at]) / 2
        degrees = np.insert(degrees, at, middles, axis=0)
        plane = np.insert(plane, at, _placed(grid, middles), axis=0)
    ends = np.stack([plane[:-1], plane[1:]], axis=1)
    steps = np.abs(np.diff(plane, axis=0)) / cell
    short: Floats = ends[(steps <= 2 * _LONGEST).all(axis=1)]
    return short


def _placed(grid: Grid, positions: Floats) -> Floats:
    """Places on the plane; not-a-number where they do not come back to themselves."""
    x, y = from_degrees(grid, positions[:, 0], positions[:, 1])
    longitudes, latitudes = to_degrees(grid, x, y)
    away = np.abs(np.mod(longitudes - positions[:, 0] + 180.0, 360.0) - 180.0)
    away *= np.cos(np.radians(positions[:, 1]))
    with np.errstate(invalid="ignore"):
        same = (away <= _SAME) & (np.abs(latitudes - positions[:, 1]) <= _SAME)
    return np.stack([np.where(same, x, np.nan), np.where(same, y, np.nan)], axis=1)


def _smallest_step(values: Floats) -> float:
    steps = np.abs(np.diff(values))
    return float(steps[steps > 0].min()) if (steps > 0).any() else 1.0
