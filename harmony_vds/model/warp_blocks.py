"""Cuts a variable on a target grid into blocks of which each needs a bounded window of the store.

A block is one rectangle of the target and some of the other dimensions. Rectangles are halved until
their window of the store's grid, and their own values, fit; where rows of the target are rows of
the store they are cut where another chunk of the store begins, so that few chunks are read twice.
Rectangle by rectangle, all other dimensions come one after another.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from harmony_vds.model.approach import Approach
from harmony_vds.model.arrays import Positions
from harmony_vds.model.blocks import Edges, blocks_of, edges_of_blocks
from harmony_vds.model.chunks import Cut, numbers_of
from harmony_vds.model.lattice import TILE
from harmony_vds.model.scatter import Way
from harmony_vds.model.subset import Block
from harmony_vds.model.window import Window

BLOCK_BYTES = 16 * 2**20
"""Bytes of a block, and of its window of the store; a single chunk of either may exceed them."""
BENT_CELLS = 2**18
"""Cells of a rectangle whose places are worked out one by one."""


@dataclass(frozen=True, eq=False)
class Rectangle:
    """One rectangle of a target, and the blocks that lie on it."""

    rows: slice
    columns: slice
    window: Window | None
    """What it needs of the grid; None where nothing of it lies under it."""
    leading: Edges
    """For each block its part of the other dimensions, in the variable's order; shape (blocks,
    other dimensions, 2)."""

    @property
    def cells(self) -> int:
        """Cells of the rectangle, or of its window where that has more. **Reads:** nothing."""
        own = _cells(self.rows, self.columns)
        return max(own, 0 if self.window is None else self.window.cells)

    @property
    def deepest(self) -> int:
        """Layers of the block that has most. **Reads:** nothing."""
        return int(np.diff(self.leading)[..., 0].prod(axis=1).max(initial=0))


@dataclass(frozen=True)
class WarpBlock:
    """One block of a target and what it needs."""

    leading: tuple[slice, ...]
    """Its part of the other dimensions, in the variable's order."""
    rows: slice
    columns: slice
    window: Window | None
    """What it needs of the grid; None where nothing of it lies under the block."""

    @property
    def block(self) -> Block:
        """Its place in the output, other dimensions first. **Reads:** nothing."""
        return (*self.leading, self.rows, self.columns)

    def reads(self, dimensions: int, axes: tuple[int, ...]) -> list[Block]:
        """What to read for it of a variable with rows and columns `axes`. **Reads:** nothing."""
        return window_reads(self.window, self.leading, dimensions, axes) if self.window else []


def window_reads(
    window: Window, leading: Sequence[slice], dimensions: int, axes: tuple[int, ...]
) -> list[Block]:
    """The boxes of a variable that hold a window, west to east.

    Of a track, which has no columns, `axes` is its one dimension. **Reads:** nothing.
    """
    others = [axis for axis in range(dimensions) if axis not in axes]
    found = []
    for columns in window.columns:
        key = [slice(0, 0)] * dimensions
        within = (window.rows, columns)[: len(axes)]
        for axis, own in zip((*others, *axes), (*leading, *within), strict=True):
            key[axis] = own
        found.append(tuple(key))
    return found


def warp_blocks(
    approach: Approach,
    positions: Sequence[Positions],
    cuts: Sequence[Cut],
    axes: tuple[int, ...],
    itemsize: int,
) -> tuple[WarpBlock, ...]:
    """The blocks of a variable on a target, in the order in which to read them.

    Parameters as for `rectangles`. **Reads:** nothing.
    """
    return tuple(
        WarpBlock(leading, own.rows, own.columns, own.window)
        for own in rectangles(approach, positions, cuts, axes, itemsize)
        for leading in blocks_of(own.leading)
    )


def rectangles(
    approach: Approach,
    positions: Sequence[Positions],
    cuts: Sequence[Cut],
    axes: tuple[int, ...],
    itemsize: int,
) -> list[Rectangle]:
    """The rectangles in which a variable on a target is made, in the order in which to read them.

    Their rows are counted from the first of all rows, whichever of them come out.

    Parameters
    ----------
    approach
        How its values are made.
    positions
        For each of the variable's dimensions the stored positions that are kept, in output order.
    cuts
        How the store's chunks cut each of them.
    axes
        Which of them are the grid's rows and columns; of a track the one that carries it.
    itemsize
        Bytes of the larger of a stored element and one that comes out.

    **Reads:** nothing.
    """
    warp = approach.warp
    others = [axis for axis in range(len(positions)) if axis not in axes]
    thickness = math.prod(_first_chunk(positions[axis], cuts[axis]) for axis in others)
    at = [_edges(warp, number, positions[axis], cuts[axis]) for number, axis in enumerate(axes)]
    rows_at, columns_at = at if len(at) > 1 else (*at, np.empty(0, np.int64))
    whole = (approach.rows, slice(0, warp.target.shape[1]))
    apart = [positions[own] for own in others], [cuts[own] for own in others]
    known: dict[int, Edges] = {}
    found = []
    for rows, columns, window in _rectangles(
        approach, whole, (rows_at, columns_at), itemsize * thickness
    ):
        size = itemsize * max(_cells(rows, columns), 0 if window is None else window.cells)
        layers = BLOCK_BYTES // size  # all that cuts depend on
        if layers not in known:
            known[layers] = edges_of_blocks(*apart, size, BLOCK_BYTES)
        found.append(Rectangle(rows, columns, window, known[layers]))
    return found


def whole_planes(
    dimensions: Sequence[str], shape: Sequence[int], along: Sequence[str]
) -> tuple[Cut, ...]:
    """How a variable is cut that is held in memory: not along the dimensions of its grid.

    **Reads:** nothing.
    """
    return tuple(size if own in along else 1 for own, size in zip(dimensions, shape, strict=True))


def _rectangles(
    approach: Approach,
    whole: tuple[slice, slice],
    edges: tuple[Positions, Positions],
    depth: int,
) -> Iterator[tuple[slice, slice, Window | None]]:
    """`whole` halved until each part fits; `depth` is the bytes behind each of its cells."""
    rows, columns = whole
    cells = _cells(rows, columns)
    samples = cells * approach.parts**2
    most = BLOCK_BYTES if approach.warp.is_cylindrical else min(BLOCK_BYTES, BENT_CELLS * depth)
    if cells * depth <= 64 * BLOCK_BYTES:  # no window of more than that is worth working out
        window = approach.window(rows, columns)
        held = 0 if window is None else window.cells
        if cells == 1 or (samples * depth <= most and held * depth <= BLOCK_BYTES):
            yield rows, columns, window
            return
    for part in _halves(whole, edges):
        yield from _rectangles(approach, part, edges, depth)


def _halves(
    whole: tuple[slice, slice], edges: tuple[Positions, Positions]
) -> list[tuple[slice, slice]]:
    """Two parts, cut across the longer side near its middle, at an edge if there is one."""
    lengths = [own.stop - own.start for own in whole]
    axis = int(lengths[1] > lengths[0])
    own = whole[axis]
    middle = (own.start + own.stop) / 2
    inner = edges[axis][(edges[axis] > own.start) & (edges[axis] < own.stop)]
    if not inner.size:
        inner = np.arange(own.start // TILE + 1, -(-own.stop // TILE)) * TILE
    if not inner.size:
        inner = np.array([own.start + lengths[axis] // 2])
    at = int(inner[np.abs(inner - middle).argmin()])
    parts = slice(own.start, at), slice(at, own.stop)
    return [(part, whole[1]) if axis == 0 else (whole[0], part) for part in parts]


def _edges(warp: Way, number: int, positions: Positions, cut: Cut) -> Positions:
    """Rows (0) or columns (1) of the target at which another chunk of the store begins."""
    places = (warp.rows, warp.columns)[number]
    if places is None or not np.isfinite(places).any():
        return np.empty(0, np.int64)
    good = np.flatnonzero(np.isfinite(places))
    chunks = numbers_of(positions[np.floor(places[good]).astype(np.int64)], cut)
    return np.asarray(good[1:][np.diff(chunks) != 0])


def _first_chunk(positions: Positions, cut: Cut) -> int:
    """How many kept positions lie in the chunk of the first."""
    numbers = numbers_of(positions, cut)
    return int((numbers == numbers[0]).sum()) if numbers.size else 1


def _cells(rows: slice, columns: slice) -> int:
    return int((rows.stop - rows.start) * (columns.stop - columns.start))
