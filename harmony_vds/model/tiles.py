"""Cuts a variable that is averaged into tiles of its average, and each tile into slabs to read.

A tile is a box of the dimensions that stay; its slabs run through the dimensions that go, one after
another, so that a tile is done when its last slab is read. Every chunk of the store falls into
exactly one slab of one tile: whatever the length of the record or the size of the grid, each chunk
is read once and memory holds a few slabs and the sums of a few tiles.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harmony_vds.model.blocks import boundaries, split
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


def tiles(
    positions: Sequence[npt.NDArray[np.int64]],
    cuts: Sequence[Cut],
    itemsize: int,
    along: Collection[int],
    sums: int,
) -> tuple[Tile, ...]:
    """The tiles of an average, in index order; none where nothing is kept.

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
    if any(kept.size == 0 for kept in positions):
        return ()
    whole = tuple(slice(0, kept.size) for kept in positions)
    inner = [boundaries(kept, cut) for kept, cut in zip(positions, cuts, strict=True)]
    nowhere = np.empty(0, np.int64)
    outer = [nowhere if axis in along else own for axis, own in enumerate(inner)]
    within = [own if axis in along else nowhere for axis, own in enumerate(inner)]
    # Several dimensions that go are an area, whose chunks are neighbours in a file and fetched
    # together: it is read whole where that fits. One that goes may be a record of any length.
    reach = [
        own.stop if len(along) > 1 else _widest(cut, own.stop)
        for axis, (cut, own) in enumerate(zip(inner, whole, strict=True)) if axis in along
    ]  # fmt: skip
    through = math.prod(whole[axis].stop for axis in along)
    each = max(sums * SLAB_BYTES / SUMS_BYTES, itemsize * math.prod(reach)) / through
    return tuple(
        Tile(block, tuple(split(block, within, itemsize, SLAB_BYTES)))
        for block in split(whole, outer, each, SLAB_BYTES)
    )


def working_bytes(found: Sequence[Tile], along: Collection[int], itemsize: int, sums: int) -> int:
    """Bytes held while the largest of the tiles `found` is computed; the others as for `tiles`.

    **Reads:** nothing.
    """
    most = 0
    for tile in found:
        stay = [own for axis, own in enumerate(tile.block) if axis not in along]
        largest = max(_cells(slab) for slab in tile.slabs) * itemsize
        slabs = min(len(tile.slabs), SLABS_AHEAD + 1) * largest
        most = max(most, _cells(stay) * sums + slabs + PIECES_BYTES)
    return most


def _cells(block: Sequence[slice]) -> int:
    return math.prod(own.stop - own.start for own in block)


def _widest(cuts: npt.NDArray[np.int64], size: int) -> int:
    """The most positions between two cuts."""
    return int(np.diff(np.concatenate([[0], cuts, [size]])).max())
