"""Cuts an output variable into pieces of bounded size along the store's chunk boundaries.

Every chunk of the store falls into exactly one piece, so reading piece by piece fetches no chunk
twice and the bytes fetched equal the price.
"""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from harmony_vds.model.chunks import Cut, distinct, numbers_of
from harmony_vds.model.subset import Block

WINDOW_BYTES = 32 * 2**20
"""Bytes of one piece; a single chunk may exceed it."""
AHEAD_BYTES = 64 * 2**20
"""Bytes of the pieces that are read while an earlier one is written."""
ENCODING_BYTES = 24 * 2**20
"""Bytes of chunks of an output that are being encoded, or wait until those before are."""
PARTS_BYTES = 8 * 2**20
"""Bytes of parts of unfinished chunks that are held in memory."""


type Edges = npt.NDArray[np.int64]
"""Pieces in one array: where each begins along each dimension, and where the next one does; shape
(pieces, dimensions, 2)."""


def blocks(
    positions: Sequence[npt.NDArray[np.int64]],
    cuts: Sequence[Cut],
    itemsize: int,
    window: int = WINDOW_BYTES,
) -> tuple[Block, ...]:
    """The pieces of an output variable, in index order; parameters as for `edges_of_blocks`.

    **Reads:** nothing.
    """
    return tuple(blocks_of(edges_of_blocks(positions, cuts, itemsize, window)))


def edges_of_blocks(
    positions: Sequence[npt.NDArray[np.int64]],
    cuts: Sequence[Cut],
    itemsize: int,
    window: int = WINDOW_BYTES,
) -> Edges:
    """The pieces of an output variable, in index order: numbers alone, where there are many.

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
        return np.empty((0, len(positions), 2), np.int64)
    whole = [(0, kept.size) for kept in positions]
    inner = [boundaries(kept, cut) for kept, cut in zip(positions, cuts, strict=True)]
    return split_edges(whole, inner, itemsize, window)


def split(
    block: Block, cuts: Sequence[npt.NDArray[np.int64]], itemsize: float, window: int
) -> list[Block]:
    """`block` halved, along the first dimension that can be, until its parts fit the window.

    `cuts` are the positions at which each dimension may be cut. **Reads:** nothing.
    """
    return blocks_of(split_edges([(o.start, o.stop) for o in block], cuts, itemsize, window))


def edges_of(pieces: Sequence[Block]) -> Edges:
    """Some pieces, one or more, in one array. **Reads:** nothing."""
    return np.array([[(s.start, s.stop) for s in own] for own in pieces], np.int64)


def blocks_of(edges: Edges) -> list[Block]:
    """Pieces in one array, one by one. **Reads:** nothing."""
    return [tuple(slice(start, stop) for start, stop in own) for own in edges.tolist()]


def split_edges(
    spans: Sequence[tuple[int, int]],
    cuts: Sequence[npt.NDArray[np.int64]],
    nbytes: float,
    window: int,
) -> Edges:
    """As `split`, of first positions and those behind the last, given as numbers alone.

    `nbytes` are those of one position of each dimension. Parts of equal length along one dimension
    are cut alike along the next. **Reads:** nothing.
    """
    if not spans:
        return np.empty((1, 0, 2), np.int64)
    around = nbytes * math.prod([stop - start for start, stop in spans[1:]])
    edges = _parts(spans[0], cuts[0], around, window)
    lengths = np.diff(edges)
    kept = np.array([spans[1:]], np.int64).reshape(1, -1, 2)
    inner = {
        length: kept
        if around * length <= window
        else split_edges(spans[1:], cuts[1:], nbytes * length, window)
        for length in np.unique(lengths).tolist()
    }
    counts = np.array([len(inner[length]) for length in lengths.tolist()])
    found = np.empty((counts.sum(), len(spans), 2), np.int64)
    found[:, 0, 0] = np.repeat(edges[:-1], counts)
    found[:, 0, 1] = np.repeat(edges[1:], counts)
    behind = np.cumsum(counts)
    for length, own in inner.items():
        first = (behind - counts)[lengths == length]
        found[first[:, None] + np.arange(len(own)), 1:] = own
    return found


def _parts(
    span: tuple[int, int], cuts: npt.NDArray[np.int64], around: float, window: int
) -> npt.NDArray[np.int64]:
    """The edges of `span` halved at `cuts` until its parts fit the window or cannot be cut."""
    edges = np.array([span[0], *cuts[(cuts > span[0]) & (cuts < span[1])], span[1]], np.int64)
    if edges.size < 4 or around * (edges[2:] - edges[:-2]).min() > window:
        halved = around * (span[1] - span[0]) > window  # no two parts fit together
        return edges if halved else edges[[0, -1]]
    found, listed, waiting = [span[0]], edges.tolist(), [(0, edges.size - 1)]
    while waiting:
        first, last = waiting.pop()
        if last - first == 1 or around * (listed[last] - listed[first]) <= window:
            found.append(listed[last])
        else:
            middle = first + 1 + (last - first - 1) // 2
            waiting += [(middle, last), (first, middle)]
    return np.array(found, np.int64)


def boundaries(kept: npt.NDArray[np.int64], cut: Cut) -> npt.NDArray[np.int64]:
    """Output positions at which another chunk begins, where cutting there splits no chunk.

    **Reads:** nothing.
    """
    numbers = numbers_of(kept, cut)
    cuts = np.flatnonzero(np.diff(numbers)) + 1
    visited = numbers[np.concatenate([[0], cuts])]
    if distinct(visited).size < visited.size:
        return np.empty(0, np.int64)  # wrapped: the same chunk serves both ends
    return cuts


def reads_of(
    pieces: Edges, positions: Sequence[npt.NDArray[np.int64]], cuts: Sequence[Cut]
) -> tuple[list[npt.NDArray[np.int64]], npt.NDArray[np.int64]] | None:
    """The chunks that `pieces` touch, and which piece each is of; None where several touch one.

    Parameters
    ----------
    pieces
        Boxes of output positions, one or more.
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
    edges = pieces.copy()
    edges[..., 1] -= 1  # the last position of each
    for axis, (kept, cut) in enumerate(zip(positions, cuts, strict=True)):
        numbers = numbers_of(kept, cut)
        firsts = np.concatenate([[0], np.flatnonzero(np.diff(numbers)) + 1])
        own = numbers[firsts]
        once = distinct(own)
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
    piece_of = np.full(math.prod(shape), -1, np.int64)
    piece_of[_members(edges, shape)] = np.repeat(
        np.arange(len(pieces)), (edges[..., 1] - edges[..., 0] + 1).prod(axis=1)
    )
    return (visited, piece_of) if (piece_of >= 0).all() else None


def _members(edges: npt.NDArray[np.int64], shape: tuple[int, ...]) -> npt.NDArray[np.int64]:
    """Flat positions of all that is in boxes of an array, box after box.

    `edges` are the first and last position of each box along each axis; shape (boxes, axes, 2).
    """
    sizes = edges[..., 1] - edges[..., 0] + 1
    counts = sizes.prod(axis=1)
    left = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    flat, stride = np.zeros_like(left), 1
    for axis in range(len(shape) - 1, -1, -1):
        left, inside = np.divmod(left, np.repeat(sizes[:, axis], counts))
        flat += stride * (inside + np.repeat(edges[:, axis, 0], counts))
        stride *= shape[axis]
    return flat
