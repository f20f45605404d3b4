"""Sums of many numbers in double precision, exact to its last digits.

Each sum carries what rounding took from it (A. Neumaier, Zeitschrift für Angewandte Mathematik und
Mechanik 54, 1974, pages 39-51), so that a record of a hundred years is added up as well as a week.
"""

from typing import Self

import numpy as np
import numpy.typing as npt

from harmony_vds.model.arrays import Floats


class Sums:
    """An array of running sums."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._sum = np.zeros(shape)
        self._lost = np.zeros(shape)

    def add(self, place: slice, numbers: Floats) -> Self:
        """Add to the sums at `place` of the first dimension. **Reads:** nothing."""
        before = self._sum[place]
        after = before + numbers
        larger = np.abs(before) >= np.abs(numbers)
        self._lost[place] += np.where(
            larger, (before - after) + numbers, (numbers - after) + before
        )
        self._sum[place] = after
        return self

    def total(self) -> Floats:
        """The sums; nothing can be added after. **Reads:** nothing."""
        self._sum += self._lost
        return self._sum


def quotient(above: Floats, below: npt.NDArray[np.float64] | npt.NDArray[np.int32]) -> Floats:
    """`above` over `below`, not-a-number where that is nothing; in place of `above`.

    **Reads:** nothing.
    """
    known = below > 0
    np.divide(above, below, out=above, where=known)
    above[~known] = np.nan
    return above
