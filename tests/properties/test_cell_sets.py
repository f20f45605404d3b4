"""A bit for each cell tells what a byte for each would, and which chunks hold any of the cells."""

import itertools
import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from properties.test_chunk_arithmetic import cuts, touched

from harmony_vds.model.cell_set import CellSet
from harmony_vds.model.chunks import ChunkIndex, ChunkKind, ChunkTally
from harmony_vds.model.masking import asked_chunks
from harmony_vds.model.plan import Mask
from harmony_vds.model.selection import AxisSelection

FLAGS = arrays(bool, array_shapes(min_dims=1, max_dims=3, max_side=20))


@given(flags=FLAGS, data=st.data())
def test_any_part_of_a_set_is_that_part_of_its_flags(
    flags: np.ndarray, data: st.DataObject
) -> None:
    own = CellSet.of(flags)
    block = tuple(
        slice(*sorted(data.draw(st.tuples(st.integers(0, n), st.integers(0, n)))))
        for n in flags.shape
    )
    assert np.array_equal(own.part(block), flags[block])
    assert (own.count, own.is_full) == (flags.sum(), flags.all())
    for axis in range(flags.ndim):
        others = tuple(n for n in range(flags.ndim) if n != axis)
        assert np.array_equal(own.lines(axis), flags.any(axis=others))


@given(
    flags=arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=20)),
    together=st.integers(1, 90),
)
def test_set_is_the_same_however_many_rows_are_looked_at_together(
    flags: np.ndarray, together: int
) -> None:
    own = CellSet.in_bands(flags.shape, lambda rows: flags[rows], together)
    assert own.sha256 == CellSet.of(flags).sha256
    assert np.array_equal(np.stack(own.places), np.stack(np.nonzero(flags)))
    rows, columns = slice(flags.shape[0] // 3, None), slice(flags.shape[1] // 2, None)
    assert np.array_equal(own.cut(rows, columns).flags, flags[rows, columns])
    assert np.array_equal(own.at(*np.indices(flags.shape)), flags)


@given(case=cuts(), data=st.data())
def test_tally_counts_only_chunks_that_hold_a_cell_asked_for(
    case: tuple[ChunkIndex, list[AxisSelection]], data: st.DataObject
) -> None:
    index, kept = case
    axes = data.draw(st.permutations(range(len(kept))))[: data.draw(st.integers(1, 3))]
    if not axes or not all(len(own) for own in kept):
        return
    names = [f"/d{n}" for n in range(len(kept))]
    flags = data.draw(arrays(bool, tuple(len(kept[n]) for n in axes)))
    mask = Mask(tuple(names[n] for n in axes), CellSet.of(flags), frozenset({"/a"}))
    positions = [own.positions for own in kept]
    asked = asked_chunks([mask], "/a", names, positions, index.cuts)
    held = set()
    for place in itertools.product(*(range(len(own)) for own in kept)):
        if flags[tuple(place[n] for n in axes)]:
            cell = [own[n] for own, n in zip(positions, place, strict=True)]
            held.add(tuple(int(p) // c for p, c in zip(cell, index.chunk_shape, strict=True)))
    kinds = [index.kinds[number] for number in held]
    fetched = [n for n in held if index.kinds[n] in (ChunkKind.NATIVE, ChunkKind.VIRTUAL)]
    assert held <= touched(index, kept)
    assert index.sparing(asked).tally([own.indices for own in kept]) == ChunkTally(
        len(held), kinds.count(ChunkKind.ABSENT), len(fetched),
        sum(int(index.lengths[n]) for n in fetched),
        len(held) * math.prod(index.chunk_shape) * index.itemsize,
    )  # fmt: skip
