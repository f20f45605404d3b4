"""What is kept for references begins and ends where every variable's chunks do, and no later."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from harmony_vds.model.selection import AxisSelection
from harmony_vds.planning.snapping import snapped


@st.composite
def cut_dimensions(draw):
    size = draw(st.integers(1, 60))
    cuts = []
    for _ in range(draw(st.integers(1, 3))):
        if draw(st.booleans()):
            cuts.append(draw(st.integers(1, size + 3)))
        else:
            inner = draw(st.sets(st.integers(1, max(size - 1, 1)), max_size=6)) - {size}
            cuts.append(np.array(sorted({0, size, *inner}), np.int64))
    mask = np.array(draw(st.lists(st.booleans(), min_size=size, max_size=size)))
    mask[draw(st.integers(0, size - 1))] = True
    kept = AxisSelection.of_mask(mask)
    if len(kept.pieces) == 2 and draw(st.booleans()):  # a box across the edge of the data
        kept = AxisSelection(size, kept.pieces[::-1])
    return kept, cuts


def edges(size, cut):
    return {0, size, *(range(0, size, cut) if isinstance(cut, int) else map(int, cut))}


@given(cut_dimensions())
def test_snapped_pieces_hold_what_was_kept_and_end_at_edges_of_every_variable(case):
    kept, cuts = case
    found = snapped(kept, cuts)
    assert set(kept.positions) <= set(found.positions)
    assert len(set(found.positions.tolist())) == len(found)
    shared = set.intersection(*(edges(kept.size, cut) for cut in cuts))
    assert all({piece.start, piece.stop} <= shared for piece in found.pieces)
    for cut in cuts:  # only the last chunk of the output may be shorter than the others
        short = isinstance(cut, int) and kept.size % cut
        assert not short or all(piece.stop < kept.size for piece in found.pieces[:-1])


@given(cut_dimensions())
def test_snapping_twice_is_snapping_once(case):
    kept, cuts = case
    once = snapped(kept, cuts)
    assert snapped(once, cuts) == once


@given(cut_dimensions())
def test_snapped_piece_of_one_range_is_the_smallest_that_all_edges_allow(case):
    kept, cuts = case
    first = AxisSelection(kept.size, kept.pieces[:1])
    shared = set.intersection(*(edges(kept.size, cut) for cut in cuts))
    low = max(edge for edge in shared if edge <= first.pieces[0].start)
    high = min(edge for edge in shared if edge >= first.pieces[0].stop)
    assert snapped(first, cuts).pieces == (range(low, high),)


def test_box_across_the_edge_keeps_its_order_where_chunks_divide_the_dimension():
    assert snapped(AxisSelection(72, (range(70, 72), range(2))), [24]).pieces == (
        range(48, 72),
        range(24),
    )
    assert snapped(AxisSelection(70, (range(69, 70), range(2))), [24]).is_whole
    assert snapped(AxisSelection(72, (range(30, 72), range(26))), [24]).is_whole
