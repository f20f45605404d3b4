"""Coordinates of many cells from the exact coordinates of few.

Transforming coordinates point by point costs more than everything else that reprojection does. Over
a tile of target cells they are smooth functions of row and column, so they are worked out exactly
at the nodes of a polynomial and interpolated between. How far that is off is measured at other
points; a tile where it is off by too much is worked out point by point. Tiles lie at multiples of
`TILE` from the target's first cell, so coordinates do not depend on the block that is asked for.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from harmony_vds.model.arrays import Floats

type Locate = Callable[[Floats, Floats], Floats]
"""Exact (y, x), shape (2, ...), at target (rows, columns) of equal shape, which are counted in
cells from the target's corner; not-a-number where there is none."""

TILE = 64
"""Rows and columns of a tile."""
_NODES = 8
_SAFETY = 8.0
"""By how much the largest error may exceed the one that is measured."""


@cache
def _basis() -> tuple[Floats, Floats, Floats, Floats]:
    """Nodes and check points in [0, TILE], and the weights from nodes to centres and checks."""
    angles = np.pi * np.arange(_NODES) / (_NODES - 1)
    nodes = TILE * (1 - np.cos(angles)) / 2
    checks = (nodes[1:] + nodes[:-1]) / 2
    return nodes, checks, _weights(nodes, np.arange(0.5, TILE)), _weights(nodes, checks)


def _weights(nodes: Floats, places: Floats) -> Floats:
    """Lagrange's weights, shape (places, nodes)."""
    weights = np.ones((places.size, nodes.size))
    for own in range(nodes.size):
        for other in range(nodes.size):
            if own != other:
                weights[:, own] *= (places - nodes[other]) / (nodes[own] - nodes[other])
    return weights


@dataclass(frozen=True, eq=False)
class Tiles:
    """The coordinates of a rectangle of tiles."""

    known: Floats
    """Exact ones at the nodes; shape (2, tile rows, tile columns, nodes, nodes)."""
    off: Floats
    """By how much interpolated ones may be off, (y, x); shape (2, tile rows, tile columns).
    Not-a-number where a tile is to be worked out point by point."""


class Lattice:
    """The coordinates of a target's cells in another reference system; immutable."""

    def __init__(self, locate: Locate, most_off: tuple[float, float], *, turns: bool) -> None:
        self.locate = locate
        self.most_off = np.array(most_off)[:, None, None]
        """Most that interpolated (y, x) may be off."""
        self.turns = turns
        """Whether x are longitudes, in degrees."""

    def tiles(self, rows: range, columns: range) -> Tiles:
        """What is known of a rectangle of tiles. **Reads:** nothing."""
        nodes, checks, _, to_checks = _basis()
        known = self._exact(rows, columns, nodes)
        known[1] = self._unrolled(known[1])
        true = self._exact(rows, columns, checks)
        away = np.abs(to_checks @ known @ to_checks.T - true)
        if self.turns:
            away[1] = np.abs(away[1] - 360.0 * np.round(away[1] / 360.0))
        off = _SAFETY * away.max(axis=(-2, -1))
        return Tiles(known, np.where((off <= self.most_off).all(axis=0), off, np.nan))

    def coordinates(self, rows: slice, columns: slice) -> Floats:
        """(y, x) of a block's centres, off by `most_off` at most; shape (2, rows, columns).

        **Reads:** nothing.
        """
        _, _, to_cells, _ = _basis()
        tall, wide = _touched(rows), _touched(columns)
        own = self.tiles(tall, wide)
        found = _joined(to_cells @ own.known @ to_cells.T)
        top, left = tall.start * TILE, wide.start * TILE
        within = (slice(rows.start - top, rows.stop - top),
                  slice(columns.start - left, columns.stop - left))  # fmt: skip
        found = found[:, *within]
        unfit = np.isnan(own.off[0])
        if unfit.any():
            rough = np.nonzero(unfit.repeat(TILE, axis=0).repeat(TILE, axis=1)[within])
            found[:, *rough] = self.exact(rough, rows, columns)
        return found

    def exact(
        self, cells: tuple[npt.NDArray[np.int64], ...], rows: slice, columns: slice
    ) -> Floats:
        """Exact (y, x) of some `cells` of a block, given by their indices. **Reads:** nothing."""
        return self.locate(cells[0] + (rows.start + 0.5), cells[1] + (columns.start + 0.5))

    def _exact(self, rows: range, columns: range, places: Floats) -> Floats:
        y = (np.array(rows)[:, None] * TILE + places).ravel()
        x = (np.array(columns)[:, None] * TILE + places).ravel()
        found = self.locate(*np.meshgrid(y, x, indexing="ij"))
        shape = (2, len(rows), places.size, len(columns), places.size)
        return found.reshape(shape).transpose(0, 1, 3, 2, 4).copy()

    def _unrolled(self, longitudes: Floats) -> Floats:
        """Longitudes of each tile without a jump of a turn."""
        if not self.turns:
            return longitudes
        middle = longitudes[..., _NODES // 2, _NODES // 2][..., None, None]
        return longitudes - 360.0 * np.round((longitudes - middle) / 360.0)


def _touched(cells: slice) -> range:
    """Tiles that a range of cells touches."""
    return range(cells.start // TILE, -(-cells.stop // TILE))


def _joined(tiles: Floats) -> Floats:
    """Cells of tiles side by side: (2, R, C, T, T) to (2, R·T, C·T)."""
    two, tall, wide, _, _ = tiles.shape
    return tiles.transpose(0, 1, 3, 2, 4).reshape(two, tall * TILE, wide * TILE)
