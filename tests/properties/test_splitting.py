"""References to pieces of uncompressed chunks hold exactly what was kept, byte for byte."""

import math
from types import SimpleNamespace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from harmony_vds.model.chunks import ChunkIndex, ChunkKind
from harmony_vds.model.selection import AxisSelection
from harmony_vds.model.splitting import free_dimensions, in_pieces
from harmony_vds.planning.snapping import snapped

PLAIN = SimpleNamespace(order="C", filters=None, compressor=None)
PACKED = SimpleNamespace(order="C", filters=None, compressor="zlib")


@st.composite
def kept_of(draw, size):
    """One range, or two that wrap around the end."""
    start = draw(st.integers(0, size - 1))
    stop = draw(st.integers(start + 1, size))
    if start > 1 and draw(st.booleans()):
        second = range(draw(st.integers(1, start - 1)))
        return AxisSelection(size, (range(start, size), second))
    return AxisSelection(size, (range(start, stop),))


@st.composite
def arrays(draw):
    """An array in chunks, its bytes in a file in any order, and what is kept of it."""
    shape = tuple(draw(st.lists(st.integers(1, 9), min_size=1, max_size=3)))
    chunks = tuple(draw(st.integers(1, size + 1)) for size in shape)
    index = ChunkIndex.empty(shape, chunks, 2)
    grid = index.kinds.shape
    places = draw(st.permutations(range(math.prod(grid))))
    values = np.arange(math.prod(shape), dtype=np.int16).reshape(shape)
    padded = np.full([n * c for n, c in zip(grid, chunks, strict=True)], -1, np.int16)
    padded[tuple(map(slice, shape))] = values
    length = math.prod(chunks) * 2
    stored = bytearray(length * len(places))
    for number, place in zip(np.ndindex(grid), places, strict=True):
        box = tuple(slice(n * c, n * c + c) for n, c in zip(number, chunks, strict=True))
        stored[place * length : (place + 1) * length] = padded[box].tobytes()
        index.kinds[number] = ChunkKind.VIRTUAL
        index.offsets[number], index.lengths[number] = place * length, length
    index.sources[...] = 0
    return values, index, bytes(stored), [draw(kept_of(size)) for size in shape]


def read(pieces: ChunkIndex, stored: bytes) -> np.ndarray:
    """As readers of Zarr put chunks of one shape side by side."""
    chunk, grid = pieces.chunk_shape, pieces.kinds.shape
    out = np.empty([n * c for n, c in zip(grid, chunk, strict=True)], np.int16)
    for number in np.ndindex(grid):
        first, length = pieces.offsets[number], pieces.lengths[number]
        box = tuple(slice(n * c, n * c + c) for n, c in zip(number, chunk, strict=True))
        out[box] = np.frombuffer(stored[first : first + length], np.int16).reshape(chunk)
    return out[tuple(map(slice, pieces.shape))]


@given(arrays())
def test_pieces_of_uncompressed_chunks_are_exactly_what_was_kept(case):
    values, index, stored, kept = case
    free = free_dimensions(index, PLAIN, kept)
    widened = [
        snapped(own, [1 if axis < free else chunk])
        for axis, (own, chunk) in enumerate(zip(kept, index.chunk_shape, strict=True))
    ]
    pieces = in_pieces(index, PLAIN, widened)
    positions = [own.positions for own in widened]
    if pieces is None:  # whole chunks serve
        assert free == 0
    else:
        np.testing.assert_array_equal(read(pieces, stored), values[np.ix_(*positions)])
    for own, wanted in zip(positions, kept, strict=True):
        assert np.array_equal(own, wanted.positions)


def plane(shape, chunk, layout=PLAIN, short=0):
    """The index of one chunk or more in one file, as `layout` says it is stored."""
    index = ChunkIndex.empty(shape, chunk, 4)
    index.kinds[...] = ChunkKind.VIRTUAL
    index.lengths[...] = math.prod(chunk) * 4 - short
    return index, layout


def cut(size, start, stop):
    return AxisSelection(size, (range(start, stop),))


def test_rows_of_one_chunk_are_one_piece():
    kept = [cut(10, 3, 8), cut(20, 0, 20)]
    pieces = in_pieces(*plane((10, 20), (10, 20)), kept)
    assert (pieces.chunk_shape, pieces.kinds.shape) == ((5, 20), (1, 1))
    assert (pieces.offsets.item(), pieces.lengths.item()) == (3 * 20 * 4, 5 * 20 * 4)


def test_columns_of_one_chunk_are_a_piece_for_each_row():
    kept = [cut(10, 3, 8), cut(20, 5, 9)]
    pieces = in_pieces(*plane((10, 20), (10, 20)), kept)
    assert (pieces.chunk_shape, pieces.kinds.shape) == ((1, 4), (5, 1))
    assert pieces.offsets[:, 0].tolist() == [(row * 20 + 5) * 4 for row in range(3, 8)]


def test_what_is_compressed_filtered_turned_or_of_another_length_is_not_cut():
    kept = [cut(10, 3, 8), cut(20, 0, 20)]
    turned = SimpleNamespace(order="F", filters=None, compressor=None)
    shuffled = SimpleNamespace(order="C", filters=["shuffle"], compressor=None)
    crc = SimpleNamespace(codecs=[SimpleNamespace(to_dict=lambda own=own: {"name": own})
                                  for own in ("bytes", "crc32c")])  # fmt: skip
    for layout in (PACKED, turned, shuffled, crc, None):
        index, _ = plane((10, 20), (10, 20))
        assert free_dimensions(index, layout, kept) == 0
        assert in_pieces(index, layout, kept) is None
    short = plane((10, 20), (10, 20), short=4)
    assert free_dimensions(*short, kept) == 0
    assert free_dimensions(*plane((10, 20), (10, 20)), kept) == 1


def test_more_pieces_than_are_worth_it_are_given_up_from_the_fastest_dimension_on():
    kept = [cut(200_000, 1, 150_000), cut(20, 5, 9)]
    assert free_dimensions(*plane((200_000, 20), (200_000, 20)), kept) == 1
