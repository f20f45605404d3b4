"""How a zarr v3 array is cut into chunks: all of one shape, or of lengths that are listed."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr
from zarr.core.metadata import ArrayV3Metadata

from harmony_vds.errors import StoreError
from harmony_vds.model.chunks import MOST_CHUNKS, Cut

type Boundaries = tuple[npt.NDArray[np.int64] | None, ...]


def cut_of(
    chunk_grid: Mapping[str, Any], shape: Sequence[int]
) -> tuple[tuple[int, ...], Boundaries]:
    """Shape of the largest chunk, and the boundaries along each dimension where lengths differ.

    Parameters
    ----------
    chunk_grid
        ``chunk_grid`` of the array's metadata: ``regular``, or ``rectilinear`` with its
        ``chunk_shapes``, where a pair is a length and how often it follows.
    shape
        Shape of the array.

    Raises
    ------
    StoreError
        It is another kind of grid, or its chunks do not cover the array.

    **Reads:** nothing.
    """
    try:
        return _cut(chunk_grid, shape)
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError):
        raise StoreError("its chunk grid cannot be understood") from None


def _cut(chunk_grid: Mapping[str, Any], shape: Sequence[int]) -> tuple[tuple[int, ...], Boundaries]:
    """As `cut_of`; metadata of another form raise whatever they come to."""
    name, settings = chunk_grid.get("name"), chunk_grid.get("configuration", {})
    if name == "regular":
        return tuple(settings["chunk_shape"]), ()
    if name != "rectilinear" or settings.get("kind", "inline") != "inline":
        raise StoreError(f"its chunk grid {name!r} is of a kind that is not known")
    listed = settings["chunk_shapes"]
    if len(listed) != len(shape):
        raise StoreError(f"its chunk grid has {len(listed)} dimensions instead of {len(shape)}")
    largest: list[int] = []
    boundaries: list[npt.NDArray[np.int64] | None] = []
    for own, size in zip(listed, shape, strict=True):
        if isinstance(own, int):
            largest.append(own)
            boundaries.append(None)
            continue
        lengths = np.array(list(_lengths(own)), np.int64)
        if lengths.size == 0 or lengths.min() < 1 or lengths.sum() < size:
            raise StoreError(f"its chunks do not cover a dimension of {size}")
        largest.append(int(lengths.max()))
        boundaries.append(np.concatenate([[0], np.cumsum(lengths)]))
    return tuple(largest), tuple(boundaries)


def cuts_of_array(array: zarr.Array[Any]) -> tuple[Cut, ...]:
    """How each dimension of an opened array is cut; errors as in `cut_of`. **Reads:** nothing."""
    if not isinstance(array.metadata, ArrayV3Metadata):
        return tuple(array.chunks)
    chunk_grid: Any = array.metadata.chunk_grid.to_dict()
    largest, boundaries = cut_of(chunk_grid, array.shape)
    varying = boundaries or (None,) * array.ndim
    return tuple(n if own is None else own for n, own in zip(largest, varying, strict=True))


def largest_chunk(cuts: Sequence[Cut]) -> tuple[int, ...]:
    """Shape of the largest chunk. **Reads:** nothing."""
    return tuple(own if isinstance(own, int) else int(np.diff(own).max()) for own in cuts)


def _lengths(listed: Sequence[Any]) -> Iterator[int]:
    """Chunk lengths, runs written out."""
    found = 0
    for own in listed:
        length, times = own if isinstance(own, list | tuple) else (own, 1)
        found += times
        if found > MOST_CHUNKS:
            raise StoreError(f"it has more than {MOST_CHUNKS:,} chunks")
        for _ in range(times):
            yield int(length)
