"""Blocks of a store for dask: tens of MiB along chunk boundaries, each one planned read.

A task for each chunk would cost more than many chunks do, and would fetch them one by one.
"""

from collections.abc import Hashable
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from harmony_vds.model.chunks import numbers_of
from harmony_vds.stores.cuts import largest_chunk
from harmony_vds.stores.lazy import LazySelection, base_of, positions_at

BLOCK_BYTES = 64 * 2**20
"""Most decoded bytes of one block, unless a single chunk exceeds it."""

type Lengths = tuple[tuple[int, ...], ...]


def preferred_blocks(variable: xr.Variable, most: int = BLOCK_BYTES) -> dict[Hashable, Any]:
    """Dimension → lengths of the blocks in which a lazily opened variable is best read.

    What xarray takes for ``chunks={}`` from an encoding's ``preferred_chunks``. They end at chunk
    boundaries, so that no chunk is fetched twice.

    Parameters
    ----------
    variable
        Of an opened store's tree, or derived of one lazily.
    most
        Decoded bytes a block should not exceed; a block holds more than half of them where the
        selection has that many. Whole chunks count, even where few of their cells are wanted.

    Returns
    -------
    dict
        Empty for variables that are not lazy, and for points and transpositions, whose chunks lie
        anyhow.

    **Reads:** nothing.
    """
    base = None if variable._in_memory else base_of(variable)  # noqa: SLF001
    lengths = None if base is None else _block_lengths(base, most)
    if lengths is None or tuple(map(sum, lengths)) != variable.shape:
        return {}
    return dict(zip(variable.dims, lengths, strict=True))


def _block_lengths(selection: LazySelection, most: int) -> Lengths:
    """Lengths of the blocks along each dimension, grown from a chunk along the last ones first."""
    array = selection.array
    chunk = largest_chunk(array.cuts)
    size = max(int(np.prod(chunk, dtype=np.int64)) * array.dtype.itemsize, 1)
    lengths: list[tuple[int, ...]] = []
    parts = list(zip(selection.key.tuple, array.shape, array.cuts, strict=True))
    for key, length, cut in reversed(parts):
        if isinstance(key, int | np.integer):
            continue
        numbers = numbers_of(positions_at(key, length), cut)
        touched, ranks = np.unique(numbers, return_inverse=True)
        together = max(1, min(touched.size, most // size))
        size *= together
        lengths.append(_runs(ranks // together))
    return tuple(reversed(lengths))


def _runs(blocks: npt.NDArray[np.int64]) -> tuple[int, ...]:
    """Lengths of the runs of equal numbers; even parts where they come back again and again."""
    ends = np.flatnonzero(np.diff(blocks)) + 1
    count = np.unique(blocks).size
    if ends.size > 2 * count:
        return tuple(part.size for part in np.array_split(blocks, count))
    return tuple(stop - start for start, stop in pairwise([0, *ends.tolist(), blocks.size]))
