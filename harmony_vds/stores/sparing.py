"""A zarr array without the chunks that nobody asked for, for arrays that zarr itself reads."""

from typing import Any

import numpy as np
import zarr
from zarr.abc.store import ByteRequest
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import StorePath, WrapperStore

from harmony_vds.model.asked import AskedChunks
from harmony_vds.stores.zarr import ManifestStore


class _SparingStore(WrapperStore[ManifestStore]):
    """A store in which the chunks of one array that nobody asked for are absent."""

    def __init__(self, store: ManifestStore, path: str, asked: tuple[AskedChunks, ...]) -> None:
        super().__init__(store)
        self._path = path
        self._asked = asked

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """The bytes under `key`; None for a chunk that was not asked for. **Reads:** chunks."""
        split = self._store.split_chunk_key(key)
        if split is not None and split[0] == self._path:
            numbers = [np.array([own]) for own in split[1]]
            if not all(own.at(numbers).all() for own in self._asked):
                return None
        return await self._store.get(key, prototype, byte_range)


def spared(array: zarr.Array[Any], path: str, asked: tuple[AskedChunks, ...]) -> zarr.Array[Any]:
    """`array`, whose chunks that hold nothing `asked` for read as its fill value.

    **Reads:** nothing.
    """
    inner = array.async_array
    own: Any = inner.store_path.store
    place = StorePath(_SparingStore(own, path, asked), inner.store_path.path)
    return zarr.Array(zarr.AsyncArray(inner.metadata, place, inner.config))
