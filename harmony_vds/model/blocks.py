"""Cuts an output variable into pieces of bounded size along the store's chunk boundaries.

Every chunk of the store falls into exactly one piece, so reading piece by piece fetches no chunk
twice and the bytes fetched equal the price.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from harmony_vds.model.chunks import Cut, numbers_of
from harmony_vds.model.subset import Block

WINDOW_BYTES = 32 * 2**20
"""Bytes of one piece; a single chunk may exceed it."""
AHEAD_BYTES = 64 * 2**20
"""Bytes of the pieces that are read while an earlier one is written."""


def blocks(
    positions: Sequence[npt.NDArray[np.int64]],
    cuts: Sequence[Cut],
    itemsize: int,
    window: int = WINDOW_BYTES,
) -> tuple[Block, ...]:
    """The pieces of an output variable, in index order.

    Parameters
    ----------
    positions
        For each dimension the stored positions that are kept, in output order.
    cuts
        How the store's chunks cut each dimension.
    itemsize
        Bytes of one element.
    window
        Bytes a piece should not exceed.

    **Reads:** nothing.
    """
    if any(kept.size == 0 for kept in positions):
        return ()
    whole = tuple(slice(0, kept.size) for kept in positions)
    inner = [boundaries(kept, cut) for kept, cut in zip(positions, cuts, strict=True)]
    return tuple(split(whole, inner, itemsize, window))


def split(
    block: Block, cuts: Sequence[npt.NDArray[np.int64]], itemsize: float, window: int
) -> list[Block]:
    """`block` halved, along the first dimension that can be, until its parts fit the window.

    `cuts` are the positions at which each dimension may be cut. **Reads:** nothing.
    """
    size = itemsize * int(np.prod([s.stop - s.start for s in block], dtype=np.int64))
    if size <= window:
        return [block]
    for axis, span in enumerate(block):
        inner = cuts[axis][(cuts[axis] > span.start) & (cuts[axis] < span.stop)]
        if inner.size:
            middle = int(inner[inner.size // 2])
            first = (*block[:axis], slice(span.start, middle), *block[axis + 1 :])
            second = (*block[:axis], slice(middle, span.stop), *block[axis + 1 :])
            return [
                *split(first, cuts, itemsize, window),
                *split(second, cuts, itemsize, window),
            ]
    return [block]


def boundaries(kept: npt.NDArray[np.int64], cut: Cut) -> npt.NDArray[np.int64]:
    """Output positions at which another chunk begins, where cutting there splits no chunk.

    **Reads:** nothing.
    """
    numbers = numbers_of(kept, cut)
    cuts = np.flatnonzero(np.diff(numbers)) + 1
    visited = numbers[np.concatenate([[0], cuts])]
    if np.unique(visited).size < visited.size:
        return np.empty(0, np.int64)  # wrapped: the same chunk serves both ends
    return cuts
