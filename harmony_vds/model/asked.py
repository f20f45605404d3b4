"""Which chunks of an array hold cells that were asked for.

A country's outline keeps few of the chunks of its window. The others are neither priced nor read:
what they hold is blanked anyway.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harmony_vds.model.arrays import Flags

type Numbers = Sequence[npt.NDArray[np.int64]]


@dataclass(frozen=True, eq=False)
class AskedChunks:
    """Chunks of one array, as some of its dimensions tell them apart."""

    axes: tuple[int, ...]
    """These dimensions, rising."""
    flags: Flags
    """True for chunks with a cell that was asked for; shape: numbers of chunks along `axes`."""

    def at(self, numbers: Numbers) -> Flags:
        """The flags of a box of chunks, to be broadcast over it.

        Parameters
        ----------
        numbers
            Chunk numbers along every dimension of the array.

        **Reads:** nothing.
        """
        own = [numbers[axis] for axis in self.axes]
        known = [n < size for n, size in zip(own, self.flags.shape, strict=True)]
        within = np.zeros([n.size for n in own], np.bool_)
        inner = [n[held] for n, held in zip(own, known, strict=True)]
        within[np.ix_(*known)] = self.flags[np.ix_(*inner)]
        shape = [1] * len(numbers)
        for axis, size in zip(self.axes, within.shape, strict=True):
            shape[axis] = size
        return within.reshape(shape)
