"""The cells of curvilinear grids as quadrilaterals in degrees, and which of them others touch."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely

from harmony_vds.model.arrays import Flags, Floats, Positions
from harmony_vds.model.grid import Grid
from harmony_vds.planning.meeting import Boxes, meeting
from harmony_vds.planning.places import centres, corners

_AT_ONCE = 2**17
"""Cells whose corners are worked out together."""
_MARGIN = 2.0
"""Spacings of centres around a part within which cells may touch it."""


def cells_touched(
    grid: Grid, rows: Positions, columns: Positions, parts: npt.NDArray[np.object_]
) -> Flags:
    """The cells of a curvilinear grid at `rows` and `columns` that any of `parts` touches.

    **Reads:** nothing.
    """
    down = np.arange(rows.min(), rows.max() + 1)
    across = np.arange(columns.min(), columns.max() + 1)
    found = np.zeros((down.size, across.size), np.bool_)
    step = max(_AT_ONCE // across.size, 1)
    for start in range(0, down.size, step):
        own = down[start : start + step]
        found[start : start + step] = _met(grid, own, across, parts)
    return found[np.ix_(rows - down[0], columns - across[0])]


def _met(grid: Grid, rows: Positions, columns: Positions, parts: npt.NDArray[np.object_]) -> Flags:
    """Which cells of some neighbouring rows and columns any of `parts` touches."""
    x, y = centres(grid, rows, columns)
    near = parts[_may_touch(x, y, shapely.bounds(parts))]
    if not near.size:
        return np.zeros(x.shape, np.bool_)
    west, north = corners(grid, slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    order = ((slice(None, -1), slice(None, -1)), (slice(None, -1), slice(1, None)),
             (slice(1, None), slice(1, None)), (slice(1, None), slice(None, -1)))  # fmt: skip
    # Corners in the turn of their own centre, so that no cell spans the antimeridian backwards.
    around = np.stack([x + _turned(west[own] - x) for own in order])
    heights = np.stack([north[own] for own in order])
    polar = np.abs(sum(_turned(np.roll(around, -1, 0) - around))) > 180.0
    pole = np.where(y > 0, 90.0, -90.0)
    boxes = Boxes(
        np.where(polar, x - 180.0, around.min(axis=0)),
        np.where(polar, np.minimum(heights.min(axis=0), pole), heights.min(axis=0)),
        np.where(polar, x + 180.0, around.max(axis=0)),
        np.where(polar, np.maximum(heights.max(axis=0), pole), heights.max(axis=0)),
    )
    everywhere = [shapely.transform(near, lambda own, by=by: own + by) for by in _SHIFTS]
    cells = _Outlines(around, heights, polar, boxes)
    met: Flags = meeting(np.concatenate([near, *everywhere]), boxes, cells.at)[0]
    return met & np.isfinite(x)


@dataclass(frozen=True, eq=False)
class _Outlines:
    """The outlines of cells of shape (rows, columns), in degrees."""

    around: Floats
    """Longitudes of the corners, shape (4, rows, columns)."""
    heights: Floats
    """Their latitudes."""
    polar: Flags
    """Which cells go round a pole."""
    boxes: Boxes
    """The boxes around all of them."""

    def at(self, rows: Positions, columns: Positions) -> npt.NDArray[np.object_]:
        """Polygons of single cells; the box where a cell is polar or has no place."""
        corner = (slice(None), rows, columns)
        quads = np.stack([self.around[corner], self.heights[corner]], axis=-1).transpose(1, 0, 2)
        known = np.isfinite(quads).all(axis=(1, 2)) & ~self.polar[rows, columns]
        shown = np.asarray(self.boxes.at(rows, columns), object)
        shown[known] = shapely.convex_hull(shapely.multipoints(quads[known]))
        return shown


_SHIFTS = (np.array([360.0, 0.0]), np.array([-360.0, 0.0]))


def _may_touch(x: Floats, y: Floats, bounds: Floats) -> Flags:
    """Which of some bounds come within a few cells of any centre."""
    known = np.isfinite(x)
    if not known.any():
        return np.zeros(len(bounds), np.bool_)
    gaps = [np.abs(np.diff(y, axis=axis)) for axis in (0, 1)]
    tall = _MARGIN * max((float(np.nanmax(own)) for own in gaps if np.isfinite(own).any()),
                         default=0.0)  # fmt: skip
    flat = np.cos(np.radians(np.minimum(np.abs(y[known]).max(), 89.0)))
    gaps = [np.abs(_turned(np.diff(x, axis=axis))) for axis in (0, 1)]
    wide = _MARGIN * max((float(np.nanmax(own)) for own in gaps if np.isfinite(own).any()),
                         default=0.0)  # fmt: skip
    wide = min(max(wide, tall / flat), 360.0)
    south, north = y[known].min() - tall, y[known].max() + tall
    middle = (bounds[:, 0] + bounds[:, 2]) / 2
    half = (bounds[:, 2] - bounds[:, 0]) / 2 + wide
    places = np.sort(x[known])
    beside = [
        bool((np.abs(_turned(places - own)) <= reach).any())
        for own, reach in zip(middle, half, strict=True)
    ]
    return np.array(beside) & (bounds[:, 1] <= north) & (bounds[:, 3] >= south)


def _turned(angles: Floats) -> Floats:
    """Differences of longitudes in [-180, 180]."""
    turned: Floats = angles - 360.0 * np.round(angles / 360.0)
    return turned
