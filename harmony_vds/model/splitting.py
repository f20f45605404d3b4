"""Uncompressed chunks cut into pieces, so that references name exactly what is kept of them.

The elements of an uncompressed chunk lie one after another, those of the last dimension fastest. So
a run of positions along one dimension is a run of bytes, if it has one position of every slower
dimension and all of every faster one. Pieces of an array are all of one shape, as Zarr wants them:
the largest that begins and ends where what is kept does, and crosses no edge of a chunk.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from harmony_vds.model.chunks import ChunkIndex, ChunkKind, chunk_numbers
from harmony_vds.model.selection import AxisSelection

MOST_PIECES = 50_000
"""Pieces of one array up to which exactness is worth it: each is an entry of some 100 bytes."""


def free_dimensions(index: ChunkIndex, layout: Any, kept: Sequence[AxisSelection]) -> int:
    """How many leading dimensions of an array references can cut anywhere, not only at edges.

    Parameters
    ----------
    index
        Where its chunks lie.
    layout
        Its Zarr metadata.
    kept
        What is wanted along each dimension.

    **Reads:** nothing.
    """
    last = _last_cut(index, kept)
    if last < 0 or not _is_plain(index, layout, kept):
        return 0
    for dimension in range(last, -1, -1):
        shape = _piece_shape(index, kept, dimension)
        if math.prod(own.size for own in _starts(index, kept, shape)) <= MOST_PIECES:
            return dimension + 1
    return 0


def in_pieces(index: ChunkIndex, layout: Any, kept: Sequence[AxisSelection]) -> ChunkIndex | None:
    """The index of `kept` alone, in pieces of chunks; None where whole chunks serve.

    Its shape is that of `kept`, and so is its order.

    Parameters
    ----------
    index, layout
        As in `free_dimensions`.
    kept
        What is kept along each dimension: at edges of chunks, except along free dimensions.

    **Reads:** nothing.
    """
    last = _last_cut(index, kept)
    if last < 0 or not _is_plain(index, layout, kept):
        return None
    shape = _piece_shape(index, kept, last)
    starts = _starts(index, kept, shape)
    numbers = [own // chunk for own, chunk in zip(starts, index.chunk_shape, strict=True)]
    box = np.ix_(*numbers)
    virtual = index.kinds[box] == ChunkKind.VIRTUAL
    strides = [math.prod(index.chunk_shape[axis + 1 :]) for axis in range(len(shape))]
    within = [
        own % chunk * stride
        for own, chunk, stride in zip(starts, index.chunk_shape, strides, strict=True)
    ]
    skipped = sum(np.ix_(*within)) * index.itemsize
    return ChunkIndex(
        shape=tuple(len(own) for own in kept),
        chunk_shape=shape,
        itemsize=index.itemsize,
        kinds=index.kinds[box],
        sources=index.sources[box],
        offsets=np.where(virtual, index.offsets[box] + skipped, 0),
        lengths=np.where(virtual, math.prod(shape) * index.itemsize, 0),
        locations=index.locations,
    )


def _is_plain(index: ChunkIndex, layout: Any, kept: Sequence[AxisSelection]) -> bool:
    """Whether all kept chunks are nothing but their elements, in C order."""
    if any(own is not None for own in index.boundaries) or not _stores_elements(layout):
        return False
    box = np.ix_(*(chunk_numbers(_sorted(own), c)
                   for own, c in zip(kept, index.chunk_shape, strict=True)))  # fmt: skip
    lengths = index.lengths[box][index.kinds[box] == ChunkKind.VIRTUAL]
    return bool((lengths == math.prod(index.chunk_shape) * index.itemsize).all())


def _stores_elements(layout: Any) -> bool:
    codecs = getattr(layout, "codecs", None)
    if codecs is not None:  # Zarr v3
        return [own.to_dict().get("name") for own in codecs] == ["bytes"]
    order = getattr(layout, "order", None)
    return order == "C" and not layout.filters and layout.compressor is None


def _sorted(kept: AxisSelection) -> npt.NDArray[np.int64]:
    return np.sort(kept.positions)


def _last_cut(index: ChunkIndex, kept: Sequence[AxisSelection]) -> int:
    """The last dimension that is cut inside of a chunk; -1 where none is."""
    inside = [
        axis
        for axis, (own, chunk) in enumerate(zip(kept, index.chunk_shape, strict=True))
        if not _is_at_edges(own, chunk)
    ]
    return max(inside, default=-1)


def _is_at_edges(kept: AxisSelection, chunk: int) -> bool:
    """Whether all pieces begin and end with chunks, one that ends short being the last."""
    return all(
        piece.start % chunk == 0
        and (piece.stop % chunk == 0 or (piece.stop == kept.size and piece is kept.pieces[-1]))
        for piece in kept.pieces
    )


def _piece_shape(
    index: ChunkIndex, kept: Sequence[AxisSelection], dimension: int
) -> tuple[int, ...]:
    """The shape of pieces that are cut along `dimension`."""
    run = _run(kept[dimension], index.chunk_shape[dimension])
    return (1,) * dimension + (run,) + index.chunk_shape[dimension + 1 :]


def _run(kept: AxisSelection, chunk: int) -> int:
    """The longest run that divides what is kept of a dimension and crosses no edge of a chunk.

    The last run may go on behind what is kept: readers leave out what is there.
    """
    *others, last = kept.pieces
    run = 0
    for piece in others:
        run = math.gcd(run, len(piece))
        if len(piece) > _to_edge(piece, chunk):
            run = math.gcd(run, _to_edge(piece, chunk), chunk)
    edge = _to_edge(last, chunk)
    if len(last) > edge:
        return math.gcd(run, edge, chunk)
    if run == 0 or -(-len(last) // run) * run > edge:
        run = math.gcd(run, len(last))
    return run


def _to_edge(piece: range, chunk: int) -> int:
    """Positions from the first one to the end of its chunk."""
    return chunk - piece.start % chunk


def _starts(
    index: ChunkIndex, kept: Sequence[AxisSelection], shape: Sequence[int]
) -> list[npt.NDArray[np.int64]]:
    """First positions of pieces along each dimension, in the order of what is kept."""
    found = []
    for own, chunk, run in zip(kept, index.chunk_shape, shape, strict=True):
        firsts = [
            piece.start - piece.start % chunk if run == chunk else piece.start
            for piece in own.pieces
        ]
        parts = [
            np.arange(first, piece.stop, run, dtype=np.int64)
            for first, piece in zip(firsts, own.pieces, strict=True)
        ]
        found.append(np.concatenate(parts))
    return found
