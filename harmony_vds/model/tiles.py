"""Cuts a variable that is averaged into tiles of its average, and each tile into slabs to read.

A tile is a box of the dimensions that stay; its slabs run through the dimensions that go, one after
another, so that a tile is done when its last slab is read. Every chunk of the store falls into
exactly one slab of one tile: whatever the length of the record or the size of the grid, each chunk
is read once and memory holds a few slabs and the sums of a few tiles.
"""

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from harmony_vds.model.arrays import Positions
from harmony_vds.model.blocks import Edges, blocks_of, boundaries, split_edges
from harmony_vds.model.chunks import Cut
from harmony_vds.model.subset import Block

SLAB_BYTES = 24 * 2**20
"""Bytes of one slab as stored; a single chunk may exceed it."""
SLABS_AHEAD = 1
"""Slabs that are read while an earlier one is added up."""
PIECES_BYTES = 8 * 2**20
"""Bytes of the pieces of a slab that are decoded, and of what is computed with them."""
SUMS_BYTES = 16 * 2**20
"""Bytes of the running sums of one tile; those of a single chunk may exceed it."""


@dataclass(frozen=True)
class Tile:
    """One piece of an average, and what is read for it."""

    block: Block
    """Where it lies, over the dimensions of the variable: whole along those averaged over."""
    slabs: tuple[Block, ...]
    """What to read for it, over the dimensions of the variable, in index order."""


@dataclass(frozen=True, eq=False)
class TileEdges:
    """All tiles of an average in a few arrays: a record may have a million slabs."""

    blocks: Edges
    """Where the tiles lie, in index order; shape (tiles, dimensions, 2)."""
    along: tuple[int, ...]
    """Dimensions that are averaged over, by number, rising."""
    kinds: Positions
    """Which of `slabs` each tile has; shape (tiles,)."""
    slabs: tuple[Edges, ...]
    """Pieces of the dimensions that are averaged over, alike for tiles of as many cells; each of
    shape (slabs, dimensions that are averaged over, 2)."""

    @classmethod
    def of(
        cls, positions: Sequence[Positions], cuts: Sequence[Cut], itemsize: int,
        along: Collection[int], sums: int,
    ) -> Self:  # fmt: skip
        """The tiles of an average; none where nothing is kept.

        Parameters
        ----------
        positions
            For each dimension of the variable the stored positions that are kept, in output order.
        cuts
            How the store's chunks cut each dimension.
        itemsize
            Bytes of one stored element.
        along
            Dimensions that are averaged over, by number.
        sums
            Bytes of the running sums for one element of the average.

        **Reads:** nothing.
        """
        gone = tuple(sorted(along))
        if any(kept.size == 0 for kept in positions):
            return cls(np.empty((0, len(positions), 2), np.int64), gone, np.empty(0, np.int64), ())
        whole = [(0, kept.size) for kept in positions]
        inner = [boundaries(kept, cut) for kept, cut in zip(positions, cuts, strict=True)]
        nowhere = np.empty(0, np.int64)
        outer = [nowhere if axis in gone else own for axis, own in enumerate(inner)]
        # Several dimensions that go are an area, whose chunks are neighbours in a file and fetched
        # together: it is read whole where that fits. One that goes may be a record of any length.
        reach = [
            positions[axis].size if len(gone) > 1 else _widest(inner[axis], positions[axis].size)
            for axis in gone
        ]
        through = math.prod(positions[axis].size for axis in gone)
        each = max(sums * SLAB_BYTES / SUMS_BYTES, itemsize * math.prod(reach)) / through
        blocks = split_edges(whole, outer, each, SLAB_BYTES)
        cells, kinds = np.unique(_layers(blocks, gone), return_inverse=True)
        record = [whole[axis] for axis in gone], [inner[axis] for axis in gone]
        slabs = [split_edges(*record, itemsize * own, SLAB_BYTES) for own in cells.tolist()]
        return cls(blocks, gone, kinds.ravel(), tuple(slabs))

    @property
    def all_slabs(self) -> Edges:
        """What to read, tile by tile; shape (slabs, dimensions, 2). **Reads:** nothing."""
        counts = np.array([len(own) for own in self.slabs], np.int64)[self.kinds]
        found = np.repeat(self.blocks, counts, axis=0)
        if len(counts):
            through = [self.slabs[kind] for kind in self.kinds.tolist()]
            found[:, self.along] = np.concatenate(through)
        return found

    def working_bytes(self, itemsize: int, sums: int) -> int:
        """Bytes held while the largest tile is computed; parameters as for `of`.

        **Reads:** nothing.
        """
        most = 0
        cells = _layers(self.blocks, self.along)
        for kind, own in enumerate(self.slabs):
            stay = int(cells[self.kinds == kind].max())
            largest = int(np.diff(own)[..., 0].prod(axis=1).max()) * stay * itemsize
            slabs = min(len(own), SLABS_AHEAD + 1) * largest
            most = max(most, stay * sums + slabs + PIECES_BYTES)
        return most

    def one_by_one(self) -> Iterator[Tile]:
        """The tiles, in index order. **Reads:** nothing."""
        for block, kind in zip(blocks_of(self.blocks), self.kinds.tolist(), strict=True):
            slabs = [
                tuple(
                    through[self.along.index(axis)] if axis in self.along else own
                    for axis, own in enumerate(block)
                )
                for through in blocks_of(self.slabs[kind])
            ]
            yield Tile(block, tuple(slabs))


def _layers(blocks: Edges, along: Sequence[int]) -> Positions:
    """How many cells each block has in the dimensions that stay."""
    lengths = np.diff(blocks)[..., 0]
    return np.asarray(np.delete(lengths, along, axis=1).prod(axis=1), np.int64)


def _widest(cuts: Positions, size: int) -> int:
    """The most positions between two cuts."""
    return int(np.diff(np.concatenate([[0], cuts, [size]])).max())
