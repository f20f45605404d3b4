"""Pieces cut along any lines come together as whole chunks, each once, with every value."""

import itertools
from collections import deque
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harmony_vds.model.blocks import blocks
from harmony_vds.model.scratch import waiting_bytes
from harmony_vds.outputs.scratch import Scratch
from harmony_vds.outputs.tiles import Tiling


@st.composite
def cut_arrays(draw):
    """An array, how it is cut into pieces along each dimension, and the chunks wanted."""
    shape = tuple(draw(st.lists(st.integers(1, 9), min_size=0, max_size=3)))
    chunks = tuple(draw(st.integers(1, 10)) for _ in shape)
    cuts = [sorted({0, n, *draw(st.lists(st.integers(0, n), max_size=3))}) for n in shape]
    blocks = list(
        itertools.product(
            *([slice(a, b) for a, b in itertools.pairwise(own)] for own in cuts)
        )
    )  # fmt: skip
    return shape, chunks, draw(st.permutations(blocks))


@given(cut_arrays(), st.sampled_from([0, 40, 10**6]))
def test_chunks_hold_what_the_pieces_held_whether_parts_wait_in_memory_or_not(
    tmp_path_factory, cut, budget
):
    shape, chunks, blocks = cut
    values = np.arange(np.prod(shape, dtype=int), dtype=np.int32).reshape(shape)
    found = np.full(shape, -1, np.int32)
    scratch = tmp_path_factory.getbasetemp() / "scratch"
    seen = []
    with Tiling(shape, chunks, values.dtype, Scratch(scratch), budget) as tiling:
        for block in blocks:
            for numbers, tile in tiling.add(block, values[block]):
                seen.append(numbers)
                place = tuple(
                    slice(n * c, n * c + size)
                    for n, c, size in zip(numbers, chunks, tile.shape, strict=True)
                )
                found[place] = tile
    assert np.array_equal(found, values)
    counts = [range(-(-n // c)) for n, c in zip(shape, chunks, strict=True)]
    assert sorted(seen) == list(itertools.product(*counts))
    assert not list(scratch.parent.glob("scratch*"))


def test_chunk_that_was_never_complete_is_an_error(tmp_path: Path):
    tiling = Tiling((4,), (4,), np.dtype("i2"), Scratch(tmp_path / "scratch"))
    with pytest.raises(ValueError, match="1 chunks of the output were never complete"), tiling:
        assert list(tiling.add((slice(0, 3),), np.zeros(3, np.int16))) == []


def test_texts_wait_in_memory_whatever_the_budget(tmp_path: Path):
    texts = np.array(["a", "bc"], object)
    with Tiling((2,), (2,), texts.dtype, Scratch(tmp_path / "scratch"), 0) as tiling:
        assert list(tiling.add((slice(0, 1),), texts[:1])) == []
        ((_, tile),) = tiling.add((slice(1, 2),), texts[1:])
    assert tile.tolist() == ["a", "bc"]


def test_files_of_waiting_parts_go_as_their_chunks_are_complete(tmp_path: Path):
    scratch = Scratch(tmp_path / "scratch", segment=100)
    kept = deque(scratch.keep(bytes([n]) * 40) for n in range(10))
    for number in range(10, 200):  # ten parts wait at any time
        assert scratch.take(*kept.popleft(), 40) == bytes([number - 10]) * 40
        kept.append(scratch.keep(bytes([number]) * 40))
        assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 10 * 40 + 2 * 120
    scratch.close()
    assert not list(tmp_path.iterdir())


@given(st.data())
def test_no_more_waits_on_disk_than_the_price_says(tmp_path_factory, data):
    """Pieces as they are read: whole chunks of the store, cut to the kept positions."""
    cuts = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))
    kept = [np.arange(a, a + n) for a, n in data.draw(
        st.lists(st.tuples(st.integers(0, 5), st.integers(1, 9)),
                 min_size=len(cuts), max_size=len(cuts)))]  # fmt: skip
    shape = tuple(own.size for own in kept)
    chunks = tuple(min(c, n) for c, n in zip(cuts, shape, strict=True))
    values = np.zeros(shape, np.int16)
    most = waiting_bytes(kept, cuts, 2, segment=1)
    folder = tmp_path_factory.mktemp("scratch")
    with Tiling(shape, chunks, values.dtype, Scratch(folder / "x", segment=1), 0) as tiling:
        for block in blocks(kept, cuts, 2, window=1):
            assert all(tile.size for _, tile in tiling.add(block, values[block]))
            assert sum(path.stat().st_size for path in folder.iterdir()) <= most
