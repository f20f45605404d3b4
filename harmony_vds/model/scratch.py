"""How much of an output's chunks waits on disk for the pieces that complete them."""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from harmony_vds.model.chunks import Cut, numbers_of, starts_of

SEGMENT_BYTES = 16 * 2**20
"""Bytes of one file of waiting parts."""

_PART_BYTES = 24
"""Memory that tells where one part lies."""
_LEAST_CHUNK = 2**19
"""Bytes of the least chunk that is chosen to suit series."""


def bytes_of_parts(written: int, steps: int) -> int:
    """Memory that tells where parts lie, of chunks that suit maps or series instead of the store.

    Each chunk that suits a series may meet a piece for every step.

    Parameters
    ----------
    written
        Bytes of the output before compression.
    steps
        Number of its times.

    **Reads:** nothing.
    """
    return _PART_BYTES * max(steps, 1) * -(-written // _LEAST_CHUNK)


def waiting_bytes(
    positions: Sequence[npt.NDArray[np.int64]],
    cuts: Sequence[Cut],
    itemsize: int,
    segment: int = SEGMENT_BYTES,
) -> int:
    """Bytes at most of parts on disk, where an output is chunked like its store.

    A piece holds whole chunks of the store. Where the kept positions begin inside of one, chunks of
    the output are met by several pieces. Pieces come in index order, so parts of two rows of chunks
    along the first dimension wait at a time, and files hold those of a third until it is complete.

    Parameters
    ----------
    positions
        Stored positions kept along each dimension, in output order.
    cuts
        How the store's chunks cut each dimension.
    itemsize
        Bytes of one element.
    segment
        Bytes of one file of parts.

    **Reads:** nothing.
    """
    whole = math.prod(own.size for own in positions) * itemsize
    if not whole or all(_is_aligned(*own) for own in zip(positions, cuts, strict=True)):
        return 0
    size = positions[0].size
    length = cuts[0] if isinstance(cuts[0], int) else int(np.diff(cuts[0]).max())
    return min(whole, 3 * (whole // size) * min(length, size) + segment)


def _is_aligned(kept: npt.NDArray[np.int64], cut: Cut) -> bool:
    """Whether chunks of the output along a dimension are chunks of the store."""
    if not isinstance(cut, int):
        return False
    first = numbers_of(kept[:1], cut)
    begins = bool((starts_of(first, cut) == kept[:1]).all())
    return begins and int(kept[-1] - kept[0]) == kept.size - 1 and bool((np.diff(kept) > 0).all())
