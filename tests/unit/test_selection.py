"""Selections along an axis: what they hold, and how scattered they may be."""

import numpy as np
import pytest

from harmony_vds.errors import StoreError
from harmony_vds.model.selection import AxisSelection


def test_selection_of_a_mask_holds_what_is_true() -> None:
    chosen = AxisSelection.of_mask(np.array([True, True, False, True]))
    assert chosen.pieces == (range(2), range(3, 4))
    assert chosen.positions.tolist() == [0, 1, 3]


def test_selection_in_millions_of_pieces_is_refused_before_they_are_made() -> None:
    every_other = np.arange(2_000_004) % 2 == 1
    with pytest.raises(StoreError, match="lies in 1,000,002 pieces; at most 1,000,000"):
        AxisSelection.of_mask(every_other)
