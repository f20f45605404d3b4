"""Pieces cut along any lines come together as whole chunks, each once, with every value."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    with Tiling(shape, chunks, values.dtype, scratch, budget) as tiling:
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
    assert not scratch.exists()


def test_chunk_that_was_never_complete_is_an_error(tmp_path: Path):
    tiling = Tiling((4,), (4,), np.dtype("i2"), tmp_path / "scratch")
    with pytest.raises(ValueError, match="1 chunks of the output were never complete"), tiling:
        assert list(tiling.add((slice(0, 3),), np.zeros(3, np.int16))) == []


def test_texts_wait_in_memory_whatever_the_budget(tmp_path: Path):
    texts = np.array(["a", "bc"], object)
    with Tiling((2,), (2,), texts.dtype, tmp_path / "scratch", 0) as tiling:
        assert list(tiling.add((slice(0, 1),), texts[:1])) == []
        ((_, tile),) = tiling.add((slice(1, 2),), texts[1:])
    assert tile.tolist() == ["a", "bc"]
