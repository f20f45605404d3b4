"""Cuts an output variable into pieces of bounded size along the store's chunk boundaries.

Every chunk of the store falls into exactly one piece, so reading piece by piece fetches no chunk
twice and the bytes fetched equal the price.
"""

import math
from bisect import bisect_left, bisect_right
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
    found: list[Block] = []
    waiting, listed = [block], [own.tolist() for own in cuts]  # plain numbers: there may be many
    while waiting:
        own = waiting.pop()
        halves = _halves(own, listed, itemsize, window)
        if halves is None:
            found.append(own)
        else:
            waiting += reversed(halves)
    return found


def _halves(
    block: Block, cuts: Sequence[list[int]], itemsize: float, window: int
) -> tuple[Block, Block] | None:
    """The two parts of a block that is too large and can be cut."""
    if itemsize * math.prod([own.stop - own.start for own in block]) <= window:
        return None
    for axis, span in enumerate(block):
        low = bisect_right(cuts[axis], span.start)
        high = bisect_left(cuts[axis], span.stop)
        if low < high:
            middle = cuts[axis][low + (high - low) // 2]
            first = (*block[:axis], slice(span.start, middle), *block[axis + 1 :])
            second = (*block[:axis], slice(middle, span.stop), *block[axis + 1 :])
            return first, second
    return None


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


def reads_of(
    pieces: Sequence[Block], positions: Sequence[npt.NDArray[np.int64]], cuts: Sequence[Cut]
) -> tuple[list[npt.NDArray[np.int64]], npt.NDArray[np.int64]] | None:
    """The chunks that `pieces` touch, and which piece each is of; None where several touch one.

    Parameters
    ----------
    pieces
        Boxes of output positions.
    positions, cuts
        As for `blocks`.

    Returns
    -------
    list of numpy.ndarray
        Chunk numbers along each dimension; their outer product is the box of the chunk grid.
    numpy.ndarray
        Number of the piece of each chunk of the box, in C order; shape (chunks,).

    **Reads:** nothing.
    """
    visited: list[npt.NDArray[np.int64]] = []
    edges = np.array([[(s.start, s.stop - 1) for s in own] for own in pieces], np.int64)
    for axis, (kept, cut) in enumerate(zip(positions, cuts, strict=True)):
        numbers = numbers_of(kept, cut)
        firsts = np.concatenate([[0], np.flatnonzero(np.diff(numbers)) + 1])
        own = numbers[firsts]
        once = np.unique(own)
        if once.size < own.size:  # wrapped: only a piece of all positions touches each chunk once
            if (edges[:, axis, 0] > 0).any() or (edges[:, axis, 1] < kept.size - 1).any():
                return None
            own, edges[:, axis, 1] = once, once.size - 1
        else:
            edges[:, axis] = np.searchsorted(firsts, edges[:, axis], side="right") - 1
        visited.append(own)
    shape = tuple(own.size for own in visited)
    if int((edges[..., 1] - edges[..., 0] + 1).prod(axis=1).sum()) != math.prod(shape):
        return None
    piece_of = np.full(shape, -1, np.int64)
    for number, own_edges in enumerate(edges.tolist()):
        piece_of[tuple(slice(low, high + 1) for low, high in own_edges)] = number
    return (visited, piece_of.ravel()) if (piece_of >= 0).all() else None
