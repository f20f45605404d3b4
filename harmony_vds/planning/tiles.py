"""Projected grids in tiles: one whose sampled places lie clear of a box is not looked at by cells.

Each tile is sampled at a lattice of its cells. All of it lies within a cap around one sample that
reaches to the furthest and one spacing of samples beyond. A cap clear of the box leaves its tile
out; one well within the box takes it whole; every other tile is worked out cell by cell, as are
those with samples that have no place.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harmony_vds.model.arrays import Flags, Floats
from harmony_vds.model.extent import BoundingBox
from harmony_vds.model.grid import Grid
from harmony_vds.model.selection import runs
from harmony_vds.model.sphere import vectors
from harmony_vds.planning.cells import Cells
from harmony_vds.planning.places import centres

type Within = Callable[[Floats, Floats], Flags]
"""Whether longitudes and latitudes, degrees, are in."""

TILE = 64
"""Cells along each side of a tile."""
_STEPS = 4
"""Spacings of samples along each side."""


def in_tiles(grid: Grid, box: BoundingBox, within: Within, tile: int = TILE) -> Cells:
    """The cells of a projected grid whose centres are `within`, all of which lie in `box`.

    **Reads:** nothing.
    """
    unsure, sure = _judged(grid, box, tile)
    touched = unsure | sure
    if not touched.any():
        return Cells(grid.dimensions, grid.shape, (0, 0), np.zeros((0, 0), np.bool_))
    rows, columns = (np.flatnonzero(touched.any(axis=axis)) for axis in (1, 0))
    first = (int(rows[0]) * tile, int(columns[0]) * tile)
    stop = [
        min((int(own[-1]) + 1) * tile, size)
        for own, size in zip((rows, columns), grid.shape, strict=True)
    ]
    inside = np.zeros((stop[0] - first[0], stop[1] - first[1]), np.bool_)
    for row in rows:
        down = slice(int(row) * tile, min((int(row) + 1) * tile, stop[0]))
        for tiles, known in ((unsure[row], False), (sure[row], True)):
            for run in runs(tiles):
                across = slice(run.start * tile, min(run.stop * tile, stop[1]))
                part = inside[
                    down.start - first[0] : down.stop - first[0],
                    across.start - first[1] : across.stop - first[1],
                ]
                part[...] = True if known else within(*centres(grid, down, across))
    return Cells(grid.dimensions, grid.shape, first, inside)


@dataclass(frozen=True, eq=False)
class _Caps:
    """Circles on the sphere, each around one tile; arrays of shape (tiles down, tiles across)."""

    longitudes: Floats
    """Their middles, degrees."""
    latitudes: Floats
    radii: Floats
    """Degrees; infinite where a tile has samples without a place."""

    @property
    def half_widths(self) -> Floats:
        """Degrees of longitude from the middle to either side; 180 where a pole is inside."""
        flat = np.cos(np.radians(self.latitudes))
        reach = np.sin(np.radians(np.minimum(self.radii, 90.0)))
        polar = np.abs(self.latitudes) + self.radii >= 90.0
        ratio = np.divide(reach, flat, out=np.ones_like(reach), where=flat > reach)
        return np.where(polar, 180.0, np.degrees(np.arcsin(ratio)))


def _judged(grid: Grid, box: BoundingBox, tile: int) -> tuple[Flags, Flags]:
    """Which tiles must be worked out by cells, and which are in as a whole."""
    caps = _caps(grid, tile)
    half, middle = box.width / 2, box.west + box.width / 2
    away = np.abs(np.mod(caps.longitudes - middle + 180.0, 360.0) - 180.0)
    wide, high = caps.half_widths, caps.radii
    beside = (away - wide > half) & (away + wide < 360.0 - half)
    above = (caps.latitudes - high > box.north) | (caps.latitudes + high < box.south)
    all_round = box.width >= 360.0
    between = (caps.latitudes + high < box.north) & (caps.latitudes - high > box.south)
    sure = between & ((away + wide < half) | all_round)
    known = np.isfinite(high)
    clear = known & (above | (beside & (not all_round)))
    return ~clear & ~(sure & known), sure & known


def _caps(grid: Grid, tile: int) -> _Caps:
    """A circle on the sphere around each tile, which holds all centres of its cells."""
    step = tile // _STEPS if tile % _STEPS == 0 else 1
    down, across = (
        np.unique(np.append(np.arange(0, size, step), size - 1)).astype(np.int64)
        for size in grid.shape
    )
    places = centres(grid, down, across)
    found = vectors(*places)
    counts = [-(-size // tile) for size in grid.shape]
    per = [
        np.clip(np.arange(count)[:, None] * (tile // step) + np.arange(tile // step + 1), 0, top)
        for count, top in zip(counts, (down.size - 1, across.size - 1), strict=True)
    ]
    middle = tuple(own[:, own.shape[1] // 2] for own in per)
    around = found[np.ix_(*middle)]
    radii = np.zeros(around.shape[:2])
    gaps = [_angles(found[1:], found[:-1]), _angles(found[:, 1:], found[:, :-1])]
    spacing = np.zeros(around.shape[:2])
    for i in range(per[0].shape[1]):
        for j in range(per[1].shape[1]):
            at = (per[0][:, i], per[1][:, j])
            radii = np.maximum(radii, _angles(found[np.ix_(*at)], around))
            for axis, own in enumerate(gaps):
                if own.size:
                    near = [np.minimum(k, n - 1) for k, n in zip(at, own.shape, strict=True)]
                    inner = (i, j)[axis] < per[axis].shape[1] - 1
                    spacing = np.maximum(spacing, own[np.ix_(*near)]) if inner else spacing
    radii = radii + spacing + 1e-6
    return _Caps(
        places[0][np.ix_(*middle)],
        places[1][np.ix_(*middle)],
        np.where(np.isfinite(radii), radii, np.inf),
    )


def _angles(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> Floats:
    """Angles between unit vectors, degrees; not-a-number where either is unknown."""
    chord = np.linalg.norm(a - b, axis=-1)
    return np.degrees(2 * np.arcsin(np.clip(chord / 2, 0.0, 1.0)))
