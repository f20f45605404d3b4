"""Dask arrays over a store: blocks of tens of MiB along chunk boundaries, each one planned read.

A task for each chunk would cost more than many chunks do, and would fetch them one by one; dask's
own names would hash what they stand for.
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


def tree_in_blocks(tree: xr.DataTree, most: int = BLOCK_BYTES) -> xr.DataTree:
    """`tree` with the lazily opened variables of all groups as dask arrays.

    As `dataset_in_blocks` does it for one group.

    **Reads:** nothing.
    """
    blocked: Any = tree.map_over_datasets(dataset_in_blocks, kwargs={"most": most})
    return blocked if isinstance(blocked, xr.DataTree) else xr.DataTree(blocked)


def dataset_in_blocks(dataset: xr.Dataset, most: int = BLOCK_BYTES) -> xr.Dataset:
    """`dataset` with its lazily opened variables as dask arrays; see `variable_in_blocks`.

    Coordinates of dimensions stay: xarray keeps those in memory once they are used.

    **Reads:** nothing.
    """
    blocked = {
        name: variable_in_blocks(variable, most)
        for name, variable in dataset.variables.items()
        if variable.dims != (name,)
    }
    coordinates = {name: own for name, own in blocked.items() if name in dataset.coords}
    data = {name: own for name, own in blocked.items() if name not in dataset.coords}
    return dataset.assign(data).assign_coords(coordinates)


def variable_in_blocks(variable: xr.Variable, most: int = BLOCK_BYTES) -> xr.Variable:
    """A lazily opened variable, cut or decoded or not, as a dask array; others as they are.

    Parameters
    ----------
    variable
        Of an opened store's tree, or derived of one lazily.
    most
        Decoded bytes a block should not exceed; a block holds more than half of them where the
        selection has that many. Whole chunks count, even where few of their cells are wanted.

    Returns
    -------
    xarray.Variable
        The same values. Its blocks end at chunk boundaries, so no chunk is fetched twice. Equal
        selections of equal stores get equal names, ``vds-`` and a hash.

    **Reads:** nothing.
    """
    if variable.chunks is not None or variable._in_memory:  # noqa: SLF001  .data would load
        return variable
    from dask.base import tokenize

    base = base_of(variable)
    lengths = None if base is None else _block_lengths(base, most)[: variable.ndim]
    if lengths is None or tuple(map(sum, lengths)) != variable.shape:
        lengths = _even_lengths(variable, most)  # points or a transposition: chunks lie anyhow
    name = f"vds-{tokenize(variable._data, lengths)}"  # noqa: SLF001
    return variable.chunk(
        dict(zip(variable.dims, lengths, strict=True)), name=name, inline_array=True
    )


def preferred_blocks(variable: xr.Variable, most: int = BLOCK_BYTES) -> dict[Hashable, Any]:
    """Dimension → lengths of the blocks in which a lazily opened variable is best read.

    What xarray takes for ``chunks={}`` from an encoding's ``preferred_chunks``; empty for variables
    that are not lazy. **Reads:** nothing.
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


def _even_lengths(variable: xr.Variable, most: int) -> Lengths:
    from dask.array.core import normalize_chunks

    lengths: Lengths = normalize_chunks(  # type: ignore[no-untyped-call]
        "auto", variable.shape, limit=most, dtype=variable.dtype
    )
    return lengths
