"""The planned reader as xarray sees it: arrays that read nothing before values are asked for."""

from typing import Any

import numpy as np
import numpy.typing as npt
from xarray.backends import BackendArray
from xarray.core import indexing

from harmony_vds.stores.reader import PlannedArray


class LazyArray(BackendArray):
    """A `PlannedArray` as xarray sees it: nothing is read before values are asked for."""

    def __init__(self, array: PlannedArray) -> None:
        self.array = array
        self.shape = array.shape
        self.dtype = array.decoder.dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> npt.NDArray[Any]:
        values: npt.NDArray[Any] = indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self._read
        )
        return values

    def _read(self, key: tuple[Any, ...]) -> npt.NDArray[Any]:
        positions = [
            np.arange(*own.indices(size), dtype=np.int64)
            if isinstance(own, slice)
            else np.atleast_1d(np.asarray(own, np.int64)) % max(size, 1)
            for own, size in zip(key, self.shape, strict=True)
        ]
        values = self.array.read(positions)
        single = tuple(axis for axis, own in enumerate(key) if isinstance(own, int | np.integer))
        return values.squeeze(single) if single else values
