"""A store's arrays as xarray sees them: nothing is read before values are asked for.

They travel: a pickle holds a ticket and a path, and opens the store again where it is unpacked.
"""

import asyncio
import lzma
import zlib
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import zarr
from xarray import Variable
from xarray.backends import BackendArray
from xarray.backends.zarr import ZarrArrayWrapper
from xarray.core import indexing

from harmony_vds.access.gateway import WorkerAccess
from harmony_vds.errors import StoreError
from harmony_vds.model.asked import AskedChunks
from harmony_vds.model.chunks import Cut
from harmony_vds.model.stored import StoredArray
from harmony_vds.stores.cuts import cuts_of_array
from harmony_vds.stores.inflation import within_bounds
from harmony_vds.stores.reader import PlannedArray
from harmony_vds.stores.sparing import spared
from harmony_vds.stores.tickets import OpenArrays

_UNDECODABLE = (ValueError, TypeError, RuntimeError, EOFError, OSError, zlib.error, lzma.LZMAError)
"""What zarr's codecs raise for chunks that are not theirs; what a fetch raises is none of these."""


class StoreArray(BackendArray):
    """One array of an open store; immutable, so that copies are the array itself."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __init__(self, path: str, cuts: tuple[Cut, ...], opened: OpenArrays | None) -> None:
        self.path = path
        self.cuts = cuts
        self.opened = opened

    @abstractmethod
    def __getitem__(self, key: indexing.ExplicitIndexer) -> npt.NDArray[Any]:
        """The values at `key`. **Reads:** chunks."""

    @abstractmethod
    def sparing(self, asked: tuple[AskedChunks, ...]) -> "StoreArray":
        """The same array without the chunks that nobody asked for. **Reads:** nothing."""

    async def async_getitem(self, key: indexing.ExplicitIndexer) -> npt.NDArray[Any]:
        """As ``array[key]``, without keeping the caller's event loop waiting. **Reads:** chunks."""
        return await asyncio.to_thread(self.__getitem__, key)

    def __dask_tokenize__(self) -> object:
        if self.opened is None:
            return type(self).__name__, id(self)
        return (*self.opened.ticket.identity, self.path)

    def __reduce__(self) -> tuple[Callable[..., "StoreArray"], tuple[object, ...]]:
        if self.opened is None:
            raise TypeError(f"{self.path} does not belong to an opened store and stays here.")
        return array_again, (*self.opened.travelling(), self.path)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self


class LazyArray(StoreArray):
    """An array read by the planned reader."""

    def __init__(self, array: PlannedArray, opened: OpenArrays | None = None) -> None:
        super().__init__(array.path, array.cuts or array.decoder.chunk_shape, opened)
        self.planned = array
        self.shape = array.shape
        self.dtype = array.decoder.dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> npt.NDArray[Any]:
        """The values at `key`. **Reads:** chunks."""
        values: npt.NDArray[Any] = indexing.explicit_indexing_adapter(
            _tidied(key, self.shape), self.shape, indexing.IndexingSupport.OUTER, self._read
        )
        return values

    def sparing(self, asked: tuple[AskedChunks, ...]) -> "LazyArray":
        """The same array without the chunks that nobody asked for. **Reads:** nothing."""
        return LazyArray(replace(self.planned, asked=asked))

    def _read(self, key: tuple[Any, ...]) -> npt.NDArray[Any]:
        positions = [positions_at(own, size) for own, size in zip(key, self.shape, strict=True)]
        values = self.planned.read(positions)
        single = tuple(axis for axis, own in enumerate(key) if isinstance(own, int | np.integer))
        return values.squeeze(single) if single else values


class PlainArray(StoreArray):
    """An array read chunk by chunk through zarr."""

    def __init__(self, path: str, array: zarr.Array[Any], opened: OpenArrays | None = None) -> None:
        super().__init__(path, cuts_of_array(array), opened)
        self._array = array
        self._wrapper = ZarrArrayWrapper(array)  # type: ignore[no-untyped-call]
        self.shape = self._wrapper.shape
        self.dtype = self._wrapper.dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> npt.NDArray[Any]:
        """The values at `key`. **Reads:** chunks."""
        try:
            values: npt.NDArray[Any] = self._wrapper[_tidied(key, self.shape)]
        except _UNDECODABLE as error:
            told = str(error).partition("\n")[0].rstrip(".")
            raise StoreError(f"A chunk of {self.path} cannot be decoded: {told}.") from None
        return values

    def sparing(self, asked: tuple[AskedChunks, ...]) -> "PlainArray":
        """The same array without the chunks that nobody asked for. **Reads:** nothing."""
        return PlainArray(self.path, spared(self._array, self.path, asked))


class LazySelection(indexing.LazilyIndexedArray):
    """A selection of a store's array, which dask knows by its name instead of its pickle."""

    __slots__ = ()

    def __dask_tokenize__(self) -> object:
        return self.array.__dask_tokenize__(), *map(_key_token, self.key.tuple)


def _tidied(key: indexing.ExplicitIndexer, shape: tuple[int, ...]) -> indexing.ExplicitIndexer:
    """`key` with its empty slices forward: xarray cannot take apart one that runs backward."""
    if isinstance(key, indexing.VectorizedIndexer):
        return key
    parts = (
        slice(0, 0) if isinstance(own, slice) and not range(*own.indices(size)) else own
        for own, size in zip(key.tuple, shape, strict=True)
    )
    return type(key)(tuple(parts))


def _key_token(key: Any) -> object:
    if isinstance(key, slice):
        return key.start, key.stop, key.step
    array = np.asarray(key, np.int64)
    return array.shape, array.tobytes()


def positions_at(key: Any, size: int) -> npt.NDArray[np.int64]:
    """The positions that one part of an outer key means, of a dimension of length `size`.

    Raises
    ------
    IndexError
        Some lie outside.

    **Reads:** nothing.
    """
    if isinstance(key, slice):
        return np.arange(*key.indices(size), dtype=np.int64)
    positions = np.atleast_1d(np.asarray(key, np.int64))
    if positions.size and not (-size <= positions.min() and positions.max() < size):
        raise IndexError(
            f"Positions {positions.min():,} to {positions.max():,} reach outside a dimension of "
            f"length {size:,}."
        )
    return np.where(positions < 0, positions + size, positions)


def lazy_array(opened: OpenArrays, path: str) -> StoreArray:
    """The array at a full path of an open store. **Reads:** nothing."""
    planned = opened.planned.get(path)
    if planned is None:
        return PlainArray(path, within_bounds(opened.arrays[path]), opened)
    return LazyArray(planned, opened)


def lazy_data(opened: OpenArrays, path: str) -> LazySelection:
    """What a `xarray.Variable` over an array of an open store holds. **Reads:** nothing."""
    return LazySelection(lazy_array(opened, path))


def stored_array(variable: Variable) -> StoredArray | None:
    """The array behind a variable whose values are all of it, undecoded; None for any other.

    **Reads:** nothing.
    """
    data: Any = variable._data  # noqa: SLF001  .data would load
    while isinstance(data, indexing.MemoryCachedArray | indexing.CopyOnWriteArray):
        data = data.array
    if not isinstance(data, LazySelection) or not isinstance(data.array, LazyArray):
        return None
    planned = data.array.planned
    is_whole = data.shape == planned.shape and all(
        isinstance(own, slice) and own.indices(size) == (0, size, 1)
        for own, size in zip(data.key.tuple, planned.shape, strict=True)
    )
    regular = all(isinstance(own, int) for own in data.array.cuts)
    return planned if is_whole and regular else None


def sparing(variable: Variable, asked: tuple[AskedChunks, ...]) -> Variable:
    """A variable over an array of an open store, of which only chunks `asked` for are read.

    Cells of the others hold what stands for chunks that are not there. Any other variable is
    given back as it is, and so is this one where all are asked for.

    **Reads:** nothing.
    """
    base = base_of(variable) if asked else None
    if base is None:
        return variable
    data = LazySelection(base.array.sparing(asked), base.key)
    return Variable(variable.dims, data, variable.attrs, variable.encoding)


def array_again(packed: bytes, access: WorkerAccess, path: str) -> StoreArray:
    """The array that was pickled, of the store in its then state, opened once in a process.

    Raises
    ------
    StaleSourceError
        The store has changed since.
    StoreError, ForbiddenError, UpstreamError
        It does not open here.

    **Reads:** metadata.
    """
    from harmony_vds.stores.open import open_again  # which needs everything here

    return lazy_array(open_again(packed, access), path)


def base_of(variable: Variable) -> LazySelection | None:
    """The selection of a store's array below a variable's lazy decoding; None where there is none.

    **Reads:** nothing.
    """
    data: Any = variable._data  # noqa: SLF001  .data would load
    while not isinstance(data, LazySelection):
        if not isinstance(data, indexing.ExplicitlyIndexed) or not hasattr(data, "array"):
            return None
        data = data.array
    return data
