"""Which chunks of an array hold cells that were asked for.

A country's outline keeps few of the chunks of its window. The others are neither priced nor read:
what they hold is blanked anyway.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from harmony_vds.model.chunks import Cut
    from harmony_vds.model.plan import Mask

type Flags = npt.NDArray[np.bool_]
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


def asked_chunks(
    masks: Iterable["Mask"],
    path: str,
    dimensions: Sequence[str],
    positions: Sequence[npt.NDArray[np.int64]],
    cuts: Sequence["Cut"],
) -> tuple[AskedChunks, ...]:
    """The chunks of a variable with cells inside of its own among `masks`; empty where all have.

    Under several masks a chunk may be kept that each of them reaches in another cell.

    Parameters
    ----------
    masks
        Of the plan.
    path, dimensions
        Of the variable, full paths.
    positions
        Stored positions that are kept along each of its dimensions, in output order.
    cuts
        How the store's chunks cut each.

    **Reads:** nothing.
    """
    found = []
    for mask in masks:
        if path not in mask.variables or any(own.size == 0 for own in positions):
            continue
        axes = [dimensions.index(own) for own in mask.dimensions]
        flags = mask.inside.in_chunks([positions[n] for n in axes], [cuts[n] for n in axes])
        found.append(AskedChunks(tuple(sorted(axes)), flags.transpose(np.argsort(axes))))
    return tuple(own for own in found if not own.flags.all())
