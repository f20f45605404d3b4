"""icechunk repositories: metadata and native chunks by icechunk, virtual chunks by our fetcher.

icechunk's own reader would follow redirects, obey the containers and endpoints that are stored in
the repository, and multiply our retries by its own; so it is asked only where chunks lie.
"""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import icechunk
import msgspec
import numpy as np
import pandas as pd
from zarr.core.buffer import default_buffer_prototype

from harmony_vds.access.fetch import Fetcher
from harmony_vds.access.gateway import Access
from harmony_vds.errors import StoreError
from harmony_vds.model.chunks import ChunkIndex, ChunkKind, Indexers
from harmony_vds.model.store import StoreLocation
from harmony_vds.stores.cache import ManifestCache, UnusableEntryError
from harmony_vds.stores.cuts import cut_of
from harmony_vds.stores.freshness import SourceWatch
from harmony_vds.stores.repositories import open_session, persist, twice
from harmony_vds.stores.zarr import ManifestStore

_BATCH = 100_000
_WORTH_KEEPING = 4_096
"""Chunks from which on an array's index is kept on disk; fewer are enumerated as fast."""


@dataclass(frozen=True)
class KeptIndexes:
    """The indexes of one snapshot that are kept between requests, each an entry of its own."""

    cache: ManifestCache | None
    """Where; None if nothing is kept."""
    href: str
    """Address of the repository."""
    snapshot: str
    """Which snapshot."""

    def load(self, path: str) -> ChunkIndex | None:
        """The index of the array at `path` as it was kept, if it was. **Reads:** nothing."""
        if self.cache is None:
            return None
        found = self.cache.load("icechunk", self.href, self.snapshot, path)
        try:
            return None if found is None else found.index(path)
        except UnusableEntryError:
            self.cache.remove("icechunk", self.href, self.snapshot, path)
            return None

    def keep(self, path: str, index: ChunkIndex) -> ChunkIndex:
        """Keep `index` for later. **Reads:** nothing."""
        if self.cache is not None:
            self.cache.keep("icechunk", self.href, self.snapshot, path, indexes=[(path, index)])
        return index


class IcechunkStore(ManifestStore):
    """A zarr v3 store over one snapshot of a repository."""

    zarr_format = 3

    def __init__(
        self,
        session: icechunk.Session,
        fetcher: Fetcher,
        written_at: datetime | None,
        kept: "KeptIndexes",
    ) -> None:
        super().__init__(fetcher, SourceWatch(written_at))
        self._inner = session.store
        self._kept = kept

    async def document(self, key: str) -> bytes | None:
        """The metadata document, native or inline chunk under `key`. **Reads:** metadata."""
        buffers = default_buffer_prototype()
        ask = twice(self.fetcher, self._kept.href, lambda: self._inner.get(key, buffers))
        found = await self._persist(key, ask)
        return None if found is None else found.to_bytes()

    async def children(self, prefix: str) -> Iterable[str]:
        """Names directly below `prefix`. **Reads:** metadata."""

        async def listed() -> list[str]:
            return [name.rstrip("/") async for name in self._inner.list_dir(prefix)]

        names = await self._persist(prefix or "/", listed)
        return sorted(name for name in names if name != "zarr.json")

    async def _persist[T](self, what: str, attempt: Callable[[], Awaitable[T]]) -> T:
        return await persist(self.fetcher, f"icechunk could not read {what}", attempt)

    def split_chunk_key(self, key: str) -> tuple[str, tuple[int, ...]] | None:
        """Array path and chunk numbers that `key` names. **Reads:** nothing."""
        path, found, numbers = f"/{key}".rpartition("/c/")
        if not found:
            return (f"/{key}".removesuffix("/c"), ()) if f"/{key}".endswith("/c") else None
        try:
            return path, tuple(int(part) for part in numbers.split("/"))
        except ValueError:
            return None

    def chunk_key(self, path: str, numbers: tuple[int, ...]) -> str:
        """The key of a chunk, e.g. ``sst/c/0/1/2``. **Reads:** nothing."""
        return "/".join([path.strip("/"), "c", *map(str, numbers)])

    async def build_index(
        self,
        path: str,
        selection: Indexers | None,  # noqa: ARG002  icechunk enumerates all or nothing
    ) -> ChunkIndex:
        """The chunk index of the array at `path`. **Reads:** metadata."""
        metadata = await self._array_metadata(path)
        return await self._persist(path, lambda: self._read_index(path, metadata))

    async def _read_index(self, path: str, metadata: dict[str, Any]) -> ChunkIndex:
        shape = tuple(metadata["shape"])
        try:
            chunks, boundaries = cut_of(metadata["chunk_grid"], shape)
            itemsize = _itemsize(metadata["data_type"])
            index = ChunkIndex.empty(shape, chunks, itemsize, boundaries)
        except StoreError as error:
            raise StoreError(f"The array {path} cannot be read: {error}.") from None
        if boundaries or index.kinds.size < _WORTH_KEEPING:
            return await self._listed(path, index)
        return self._kept.load(path) or self._kept.keep(path, await self._listed(path, index))

    async def _listed(self, path: str, index: ChunkIndex) -> ChunkIndex:
        """`index`, filled in by icechunk."""
        try:
            return await self._enumerated(path, index)
        except icechunk.InvalidInputError as error:  # a container that the repository does not name
            told = str(error).partition("\n")[0]
            raise StoreError(f"The chunks of {path} cannot be found: {told}") from None
        except IndexError:
            raise StoreError(f"The repository holds chunks of {path} outside its shape.") from None

    async def _enumerated(self, path: str, index: ChunkIndex) -> ChunkIndex:
        """The same, its errors left as they are."""
        numbers: dict[str, int] = {}
        batches = self._inner.array_chunk_iterator(path, batch_size=_BATCH)
        async for coordinates, kinds, paths, offsets, lengths, _ in batches:
            place = tuple(np.asarray(coordinates, np.int64).T) if index.shape else ...
            # By hashing: sorting a hundred thousand URLs would take a second.
            inverse, names = pd.factorize(np.asarray(paths, dtype=object))
            # VirtualiZarr's rename_paths gives a scalar that was never written a path too: that of
            # its folder, with an offset and a length that mean nothing.
            nowhere = np.array([str(name).endswith("/") for name in names], np.bool_)[inverse]
            # icechunk numbers the kinds as ChunkKind does.
            index.kinds[place] = np.where(nowhere, ChunkKind.ABSENT, kinds)
            index.offsets[place], index.lengths[place] = offsets, np.where(nowhere, 0, lengths)
            known = np.array([numbers.setdefault(name, len(numbers)) for name in names], np.int32)
            index.sources[place] = known[inverse]
        return replace(index, locations=tuple(numbers))

    async def _array_metadata(self, path: str) -> dict[str, Any]:
        body = await self.document(f"{path.strip('/')}/zarr.json")
        if body is None:
            raise StoreError(f"The repository holds no array {path}.")
        return msgspec.json.decode(body, type=dict[str, Any])


def _itemsize(data_type: object) -> int:
    """Bytes of one element of a zarr v3 data type; 1 where the length varies."""
    name = data_type if isinstance(data_type, str) else ""
    if isinstance(data_type, dict):
        settings = data_type.get("configuration", {})
        return int(settings.get("length_bytes", 8))
    return {"string": 1, "variable_length_bytes": 1, "bool": 1}.get(name) or np.dtype(name).itemsize


def open_icechunk(
    location: StoreLocation, access: Access, cache: ManifestCache | None = None
) -> tuple[IcechunkStore, StoreLocation]:
    """The state of a repository that `location` names, or the tip of ``main``, pinned.

    Raises
    ------
    StoreError
        There is no repository, or it has no such state.
    ForbiddenError
        It may not be read.
    UpstreamError
        It cannot be read now.

    **Reads:** metadata.
    """
    session, written_at = open_session(location, access)
    pinned = replace(location, snapshot=session.snapshot_id)
    kept = KeptIndexes(cache, location.href, session.snapshot_id)
    return IcechunkStore(session, access.fetcher, written_at, kept), pinned
