"""Prices, blocks and tallies against enumeration, one chunk and one cell at a time."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from harmony_vds.model.blocks import blocks
from harmony_vds.model.chunks import ChunkIndex, ChunkKind, ChunkTally, distinct
from harmony_vds.model.selection import AxisSelection

SHAPES = st.lists(
    st.tuples(st.integers(1, 12), st.integers(1, 6)), min_size=0, max_size=3
)  # (size, chunk) of each dimension


@st.composite
def indices(draw: st.DrawFn, dimensions: list[tuple[int, int]]) -> ChunkIndex:
    """A manifest with chunks of every kind, each of its own length."""
    shape = tuple(size for size, _ in dimensions)
    chunk_shape = tuple(chunk for _, chunk in dimensions)
    itemsize = draw(st.sampled_from([1, 2, 4, 8]))
    index = ChunkIndex.empty(shape, chunk_shape, itemsize)
    seed = draw(st.integers(0, 10**6))
    random = np.random.default_rng(seed)
    grid = index.kinds.shape
    index.kinds[...] = random.integers(0, ChunkKind.UNASKED, grid)
    index.lengths[...] = random.integers(1, 10**6, grid)
    return index


@st.composite
def selections(draw: st.DrawFn, size: int) -> AxisSelection:
    """Whole, one range, wrapped around the edge, scattered, or nothing."""
    kind = draw(st.sampled_from(["whole", "range", "wrapped", "scattered", "scattered", "none"]))
    cut = st.integers(0, size)
    if kind == "whole":
        return AxisSelection.whole(size)
    if kind == "range":
        a, b = sorted((draw(cut), draw(cut)))
        return AxisSelection(size, (range(a, b),) if a < b else ())
    if kind == "wrapped":
        a, b = sorted((draw(cut), draw(cut)))
        return AxisSelection(size, tuple(r for r in (range(b, size), range(a)) if r))
    if kind == "none":
        return AxisSelection(size, ())
    return AxisSelection.of_mask(
        np.array(draw(st.lists(st.booleans(), min_size=size, max_size=size)))
    )


@st.composite
def cuts(draw: st.DrawFn) -> tuple[ChunkIndex, list[AxisSelection]]:
    dimensions = draw(SHAPES)
    return draw(indices(dimensions)), [draw(selections(size)) for size, _ in dimensions]


def touched(index: ChunkIndex, kept: list[AxisSelection]) -> set[tuple[int, ...]]:
    """The chunks that hold a kept cell, found cell by cell."""
    cells = itertools.product(*(own.positions.tolist() for own in kept))
    return {tuple(p // c for p, c in zip(cell, index.chunk_shape, strict=True)) for cell in cells}


@given(case=cuts())
def test_tally_counts_every_chunk_that_holds_a_kept_cell(
    case: tuple[ChunkIndex, list[AxisSelection]],
) -> None:
    index, kept = case
    count = missing = requests = stored = decoded = 0
    chunk_bytes = index.itemsize
    for chunk in index.chunk_shape:
        chunk_bytes *= chunk
    for number in touched(index, kept):
        count += 1
        decoded += chunk_bytes
        kind = index.kinds[number]
        if kind == ChunkKind.ABSENT:
            missing += 1
        elif kind in (ChunkKind.NATIVE, ChunkKind.VIRTUAL):
            requests += 1
            stored += int(index.lengths[number])
    expected = ChunkTally(count, missing, requests, stored, decoded)
    assert index.tally([own.indices for own in kept]) == expected


@given(case=cuts(), data=st.data())
def test_keeping_less_never_costs_more(
    case: tuple[ChunkIndex, list[AxisSelection]], data: st.DataObject
) -> None:
    index, kept = case
    narrower = []
    for own in kept:
        mask = np.zeros(own.size, bool)
        for position in own.positions.tolist():
            mask[position] = data.draw(st.booleans())
        narrower.append(AxisSelection.of_mask(mask))
    less = index.tally([own.indices for own in narrower])
    more = index.tally([own.indices for own in kept])
    for field in ("chunks", "missing", "requests", "stored", "decoded"):
        assert getattr(less, field) <= getattr(more, field)


@given(case=cuts(), window=st.integers(1, 600))
def test_blocks_hold_every_cell_once_and_every_chunk_in_one_block(
    case: tuple[ChunkIndex, list[AxisSelection]], window: int
) -> None:
    index, kept = case
    positions = [own.positions for own in kept]
    pieces = blocks(positions, index.chunk_shape, index.itemsize, window)
    shape = tuple(len(own) for own in kept)
    covered = np.zeros(shape, int)
    holders: dict[tuple[int, ...], set[int]] = {}
    for number, block in enumerate(pieces):
        covered[block] += 1
        inside = [p[s].tolist() for p, s in zip(positions, block, strict=True)]
        for cell in itertools.product(*inside):
            chunk = tuple(p // c for p, c in zip(cell, index.chunk_shape, strict=True))
            holders.setdefault(chunk, set()).add(number)
    assert (covered == 1).all()
    assert all(len(own) == 1 for own in holders.values())
    for block in pieces:
        size = index.itemsize
        for side in block:
            size *= side.stop - side.start
        if size > window:
            assert not any(
                splits_cleanly(p[s].tolist(), c)
                for p, s, c in zip(positions, block, index.chunk_shape, strict=True)
            ), "a block exceeds the window although chunk boundaries would let it be cut"


def splits_cleanly(kept: list[int], chunk: int) -> bool:
    """Whether some cut along this dimension leaves no chunk on both of its sides."""
    numbers = [p // chunk for p in kept]
    return any(not set(numbers[:i]) & set(numbers[i:]) for i in range(1, len(numbers)))


@given(size=st.integers(1, 30), data=st.data())
def test_a_selection_is_its_positions(size: int, data: st.DataObject) -> None:
    kept = data.draw(selections(size))
    listed = [i for start, stop in kept.as_lists() for i in range(start, stop)]
    assert kept.positions.tolist() == listed
    assert list(kept.indices) == sorted(listed)
    assert len(kept) == len(listed)
    assert kept.is_whole == (listed == list(range(size)) and len(kept.pieces) == 1)
    assert kept.wraps == (listed != sorted(listed))


@given(st.lists(st.integers(0, 9)), st.booleans())
def test_distinct_numbers_are_those_of_a_set_in_order(numbers: list[int], ascending: bool) -> None:
    asked = np.array(sorted(numbers) if ascending else numbers, np.int64)
    assert distinct(asked).tolist() == sorted(set(numbers))
