"""What is read layer by layer, counted at once, is what reading the layers apart takes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harmony_vds.model.blocks import blocks_of, edges_of_blocks
from harmony_vds.model.chunks import ChunkIndex, ChunkKind, ChunkTally, chunk_numbers
from harmony_vds.model.spans import merged_spans
from harmony_vds.model.warp_blocks import WarpBlock
from harmony_vds.model.window import Window
from harmony_vds.planning.layered_reads import LayeredReads

KINDS = (ChunkKind.VIRTUAL, ChunkKind.VIRTUAL, ChunkKind.NATIVE, ChunkKind.INLINE, ChunkKind.ABSENT)


@st.composite
def indexes(draw: st.DrawFn) -> ChunkIndex:
    """Of (time, level, y, x): chunks of a few files, some bytes apart."""
    shape = (draw(st.integers(1, 7)), draw(st.integers(1, 3)), 12, 18)
    index = ChunkIndex.empty(shape, (draw(st.integers(1, 3)), 1, 5, 4), 2)
    grid, some = index.kinds.shape, np.random.default_rng(draw(st.integers(0, 2**32)))
    index.kinds[...] = some.choice(KINDS, grid)
    index.sources[...] = some.integers(0, 3, grid)
    index.lengths[...] = some.integers(1, 40, grid)
    index.offsets[...] = 30 * some.permutation(index.kinds.size).reshape(grid)
    return index


@st.composite
def windows(draw: st.DrawFn) -> Window | None:
    if draw(st.integers(0, 5)) == 0:
        return None
    top, left = draw(st.integers(0, 11)), draw(st.integers(0, 17))
    columns = (slice(left, draw(st.integers(left + 1, 18))),)
    if left and draw(st.booleans()):  # across the edge of a grid that goes round
        columns = (slice(left, 18), slice(0, draw(st.integers(1, left))))
    return Window(slice(top, draw(st.integers(top + 1, 12))), columns)


def one_by_one(
    index: ChunkIndex, positions: list[np.ndarray], block: WarpBlock, gap: int
) -> ChunkTally:
    found = ChunkTally()
    for part in block.reads(4, (2, 3)):
        kept = [np.sort(axis[own]) for axis, own in zip(positions, part, strict=True)]
        told = index.tally(kept)
        numbers = [chunk_numbers(own, cut) for own, cut in zip(kept, index.cuts, strict=True)]
        if gap >= 0:
            spans = merged_spans(index, numbers, gap)
            native = index.kinds_of(numbers) == ChunkKind.NATIVE
            alone = int(index.lengths[np.ix_(*numbers)][native].sum())
            told = ChunkTally(
                told.chunks, told.missing, len(spans) + int(native.sum()), spans.nbytes + alone,
                told.decoded,
            )  # fmt: skip
        found += told
    return found


@given(
    index=indexes(),
    under=st.lists(windows(), min_size=1, max_size=6),
    order=st.sampled_from(["as stored", "backwards", "shuffled", "some"]),
    nbytes=st.sampled_from([1, 20, 1000]),
    gap=st.sampled_from([-1, 0, 25]),
)
def test_layers_cost_together_what_they_cost_one_by_one(
    index: ChunkIndex, under: list[Window | None], order: str, nbytes: int, gap: int
) -> None:
    positions = [np.arange(size) for size in index.shape]
    times = {
        "as stored": slice(None),
        "backwards": slice(None, None, -1),
        "some": slice(1, None, 2),
        "shuffled": np.random.default_rng(3).permutation(index.shape[0]),
    }
    positions[0] = positions[0][times[order]]
    layers = edges_of_blocks(positions[:2], index.cuts[:2], nbytes, 40)
    expected, found = ChunkTally(), ChunkTally()
    reads = LayeredReads(index, positions, (2, 3), gap)
    for own in under:
        for piece in blocks_of(layers):
            block = WarpBlock(piece, slice(0, 4), slice(0, 4), own)
            expected += one_by_one(index, positions, block, gap)
        for columns in () if own is None else own.columns:
            found += reads.under([positions[2][own.rows], positions[3][columns]], layers)
    assert found == expected


@pytest.mark.parametrize("gap", [-1, 0])
def test_a_grid_without_other_dimensions_has_one_layer(gap: int) -> None:
    index = ChunkIndex.empty((12, 18), (5, 4), 2)
    index.kinds[...], index.lengths[...], index.sources[...] = ChunkKind.VIRTUAL, 7, 0
    index.offsets[...] = 1000 * np.arange(index.kinds.size).reshape(index.kinds.shape)
    reads = LayeredReads(index, [np.arange(12), np.arange(18)], (0, 1), gap)
    parts = [np.arange(6), np.arange(3, 5)]
    assert reads.under(parts, edges_of_blocks([], [], 2, 40)) == ChunkTally(4, 0, 4, 28, 160)
