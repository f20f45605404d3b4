"""One group of a store as a store of its own, for records that point into a hierarchy."""

from collections.abc import Iterable, Mapping
from typing import Any

from zarr.abc.store import ByteRequest
from zarr.core.buffer import Buffer, BufferPrototype

from harmony_vds.errors import StoreError
from harmony_vds.model.chunks import ChunkIndex, Indexers
from harmony_vds.model.store import StoreLocation
from harmony_vds.stores.zarr import ManifestStore


class GroupStore(ManifestStore):
    """What lies below one group of another store, under paths that begin there."""

    def __init__(self, whole: ManifestStore, group: str) -> None:
        super().__init__(whole.fetcher, whole.watch)
        self._whole = whole
        self._prefix = f"/{group.strip('/')}"
        self.zarr_format = whole.zarr_format
        self.fill_role = whole.fill_role
        self.is_wrapped = whole.is_wrapped
        self.defects = {
            path.removeprefix(self._prefix): reason
            for path, reason in whole.defects.items()
            if path.startswith(f"{self._prefix}/")
        }

    def _key(self, key: str) -> str:
        return f"{self._prefix}/{key}".strip("/")

    async def document(self, key: str) -> bytes | None:
        """As of the whole store. **Reads:** metadata."""
        return await self._whole.document(self._key(key))

    async def children(self, prefix: str) -> Iterable[str]:
        """As of the whole store. **Reads:** metadata."""
        return await self._whole.children(self._key(prefix))

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """As of the whole store. **Reads:** chunks."""
        return await self._whole.get(self._key(key), prototype, byte_range)

    async def build_index(self, path: str, selection: Indexers | None) -> ChunkIndex:
        """As of the whole store. **Reads:** metadata."""
        return await self._whole.index(f"{self._prefix}{path}", selection)

    def attributes(self, path: str, stored: Mapping[str, Any]) -> Mapping[str, Any]:
        """As of the whole store. **Reads:** nothing."""
        return self._whole.attributes(f"{self._prefix}{path}".rstrip("/"), stored)

    def may_lack(self, path: str, numbers: tuple[int, ...]) -> bool:
        """As of the whole store. **Reads:** nothing."""
        return self._whole.may_lack(f"{self._prefix}{path}", numbers)

    def unwrapped(
        self, path: str, numbers: tuple[int, ...], record: bytes | memoryview
    ) -> bytes | memoryview:
        """As of the whole store. **Reads:** nothing."""
        return self._whole.unwrapped(f"{self._prefix}{path}", numbers, record)

    def doubt(self, path: str) -> str | None:
        """As of the whole store. **Reads:** nothing."""
        return self._whole.doubt(f"{self._prefix}{path}")

    def split_chunk_key(self, key: str) -> tuple[str, tuple[int, ...]] | None:
        """Array path and chunk numbers that `key` names. **Reads:** nothing."""
        found = self._whole.split_chunk_key(self._key(key))
        return None if found is None else (found[0].removeprefix(self._prefix), found[1])

    def chunk_key(self, path: str, numbers: tuple[int, ...]) -> str:
        """The key of a chunk of the array at `path`. **Reads:** nothing."""
        key = self._whole.chunk_key(f"{self._prefix}{path}", numbers)
        return f"/{key}".removeprefix(f"{self._prefix}/")


async def group_store(whole: ManifestStore, location: StoreLocation) -> GroupStore:
    """The group that `location` names, as a store.

    Raises
    ------
    StoreError
        There is none; the text lists groups that are there.

    **Reads:** metadata.
    """
    group = location.group.strip("/")
    if not await _is_group(whole, group):
        names = [name for name in await whole.children("") if await _is_group(whole, name)]
        offered = f"its groups are {', '.join(names[:12])}" if names else "it has no groups"
        raise StoreError(f"{location.href} holds no group {group!r}; {offered}.")
    return GroupStore(whole, group)


async def _is_group(store: ManifestStore, key: str) -> bool:
    if store.zarr_format == 2:
        return await store.document(f"{key}/.zgroup") is not None
    body = await store.document(f"{key}/zarr.json")
    return body is not None and b'"array"' not in body.partition(b'"node_type"')[2][:20]
