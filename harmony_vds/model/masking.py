"""Which chunks of a variable its masks keep: those with a cell inside."""

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from harmony_vds.model.asked import AskedChunks
from harmony_vds.model.chunks import Cut
from harmony_vds.model.plan import Mask


def asked_chunks(
    masks: Iterable[Mask],
    path: str,
    dimensions: Sequence[str],
    positions: Sequence[npt.NDArray[np.int64]],
    cuts: Sequence[Cut],
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
