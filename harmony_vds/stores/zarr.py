"""A chunk manifest as a read-only zarr store whose chunks come through our own fetcher.

zarr and xarray do the reading; this store only answers "give me this key": metadata from the
manifest, chunks by byte range. A chunk that the manifest does not hold is absent (zarr then fills
it in); a chunk that cannot be fetched is an error, never absent.
"""

import asyncio
from abc import abstractmethod
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, Literal

from zarr.abc.store import (
    ByteRequest,
    OffsetByteRequest,
    RangeByteRequest,
    Store,
    SuffixByteRequest,
)
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.core.sync import sync

from harmony_vds.access.fetch import Fetcher
from harmony_vds.access.loop import bridge
from harmony_vds.errors import VdsError
from harmony_vds.model.chunks import ChunkIndex, ChunkKind, Indexers
from harmony_vds.stores.freshness import SourceWatch
from harmony_vds.stores.metadata import FillRole


class ManifestStore(Store):
    """What all forms of manifest share; subclasses know their metadata and references."""

    zarr_format: Literal[2, 3]
    """2 for reference files, 3 for icechunk."""
    fill_role = FillRole.UNWRITTEN
    """What the arrays' ``fill_value`` says about missing data."""
    is_wrapped = False
    """Whether the byte ranges of chunks hold more than them; `unwrapped` then takes them out."""

    def __init__(self, fetcher: Fetcher, watch: SourceWatch) -> None:
        super().__init__(read_only=True)
        self._is_open = True
        self.fetcher = fetcher
        self.watch = watch
        # Full path of an array → why it is left out, as the end of a sentence without its dot.
        self.defects: dict[str, str] = {}
        self._built: dict[str, ChunkIndex] = {}
        self._building: dict[str, asyncio.Lock] = {}
        self._failed: dict[str, VdsError] = {}

    @abstractmethod
    async def document(self, key: str) -> bytes | None:
        """The metadata document or store-held chunk under `key`. **Reads:** metadata."""

    @abstractmethod
    async def build_index(self, path: str, selection: Indexers | None) -> ChunkIndex:
        """The chunk index of the array at `path`, e.g. ``/grp/sst``; at least of `selection`.

        A manifest that can be read in parts gives a partial index and is asked again for each
        selection. **Reads:** metadata.
        """

    async def index(self, path: str, selection: Indexers | None = None) -> ChunkIndex:
        """The chunk index of the array at `path`, built once. **Reads:** metadata.

        Parameters
        ----------
        path
            Full path of the array.
        selection
            Positions along each dimension; elsewhere chunks may be `ChunkKind.UNREAD`. None: all.
        """
        known = self._failed.get(path)
        async with self._building.setdefault(path, asyncio.Lock()):
            failed = self._failed.get(path)
            if failed is not None and failed is not known:
                raise failed  # for who went before: a hundred chunks do not each try again
            built = self._built.get(path)
            if built is None or built.is_partial:
                try:
                    built = self._built[path] = await self.build_index(path, selection)
                except VdsError as error:
                    self._failed[path] = error
                    raise
            return built

    def chunk_index(self, path: str, selection: Indexers | None = None) -> ChunkIndex:
        """As `index`, for callers outside zarr's loop. **Reads:** metadata."""
        built = self._built.get(path)
        return sync(self.index(path, selection)) if built is None or built.is_partial else built

    @abstractmethod
    async def children(self, prefix: str) -> Iterable[str]:
        """Names directly below `prefix`, which has no trailing slash. **Reads:** metadata."""

    def attributes(self, path: str, stored: Mapping[str, Any]) -> Mapping[str, Any]:  # noqa: ARG002
        """The attributes of the array or group at `path`.

        JSON knows one kind of number; manifests that know more say so here. **Reads:** nothing.

        Parameters
        ----------
        path
            Full path.
        stored
            What its metadata document holds.
        """
        return stored

    def may_lack(self, path: str, numbers: tuple[int, ...]) -> bool:  # noqa: ARG002
        """Whether a chunk that the index has may turn out not to exist.

        Never, where a manifest lists the chunks. **Reads:** nothing.
        """
        return False

    def unwrapped(
        self,
        path: str,  # noqa: ARG002
        numbers: tuple[int, ...],  # noqa: ARG002
        record: bytes | memoryview,
    ) -> bytes | memoryview:
        """The chunk in the byte range that the index names for it.

        Raises
        ------
        StoreError
            The bytes are not those of the chunk.

        **Reads:** nothing.
        """
        return record

    def doubt(self, path: str) -> str | None:  # noqa: ARG002
        """Why the price of reading the array at `path` is a bound and not exact, if it is one.

        **Reads:** nothing.
        """
        return None

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """The bytes under `key`, or None where the manifest has none. **Reads:** chunks."""
        body = await self._bytes(key)
        if body is None:
            return None
        return prototype.buffer.from_bytes(_cut(body, byte_range))

    async def _bytes(self, key: str) -> bytes | None:
        place = await self._place(key)
        if place is None:
            return await self.document(key)
        index, position = place
        kind = index.kinds[position]
        if kind == ChunkKind.ABSENT:
            return None
        if kind != ChunkKind.VIRTUAL:
            return await self.document(key)
        url = index.locations[index.sources[position]]
        start, length = int(index.offsets[position]), int(index.lengths[position])
        return await bridge(self.fetch(url, start, length))

    async def fetch(self, url: str, start: int, length: int) -> bytes:
        """Bytes of a source file, unless it changed; to be awaited on the network loop.

        **Reads:** chunks.
        """
        received = await self.fetcher.fetch_range(url, start, length)
        self.watch.check(url, received)
        return received.body

    async def _place(self, key: str) -> tuple[ChunkIndex, tuple[int, ...]] | None:
        """The chunk that `key` names, or None for metadata."""
        if key.rsplit("/", 1)[-1] in ("zarr.json", ".zarray", ".zattrs", ".zgroup", ".zmetadata"):
            return None
        split = self.split_chunk_key(key)
        if split is None:
            return None
        path, numbers = split
        index = await self.index(path, [range(0)] * len(numbers))
        inside = len(numbers) == index.kinds.ndim and all(
            0 <= n < size for n, size in zip(numbers, index.kinds.shape, strict=True)
        )
        if inside and index.is_partial:
            chunk = index.chunk_shape
            cells = [range(n * c, n * c + 1) for n, c in zip(numbers, chunk, strict=True)]
            index = await self.index(path, cells)
        return (index, numbers) if inside else None

    @abstractmethod
    def split_chunk_key(self, key: str) -> tuple[str, tuple[int, ...]] | None:
        """Array path and chunk numbers that `key` names, or None. **Reads:** nothing."""

    @abstractmethod
    def chunk_key(self, path: str, numbers: tuple[int, ...]) -> str:
        """The key of a chunk of the array at `path`. **Reads:** nothing."""

    async def get_partial_values(
        self,
        prototype: BufferPrototype,
        key_ranges: Iterable[tuple[str, ByteRequest | None]],
    ) -> list[Buffer | None]:
        """Several `get` in order. **Reads:** chunks."""
        return [await self.get(key, prototype, byte_range) for key, byte_range in key_ranges]

    async def exists(self, key: str) -> bool:
        """Whether the manifest holds `key`. **Reads:** metadata."""
        place = await self._place(key)
        if place is None:
            return await self.document(key) is not None
        index, position = place
        return bool(index.kinds[position] != ChunkKind.ABSENT)

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """Names directly below `prefix` but for those with defects. **Reads:** metadata."""
        for name in await self.children(prefix.strip("/")):
            if "/" + f"{prefix.strip('/')}/{name}".lstrip("/") not in self.defects:
                yield name

    async def list(self) -> AsyncIterator[str]:
        """Nothing: a manifest may hold millions of keys. **Reads:** nothing."""
        nothing: tuple[str, ...] = ()
        for name in nothing:
            yield name

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:  # noqa: ARG002
        """Nothing: a manifest may hold millions of keys. **Reads:** nothing."""
        nothing: tuple[str, ...] = ()
        for name in nothing:
            yield name

    async def set(self, key: str, value: Buffer) -> None:  # noqa: ARG002
        """Refuse: the store is read-only. **Reads:** nothing."""
        raise PermissionError(f"{key} cannot be written: a virtual store is read-only.")

    async def delete(self, key: str) -> None:
        """Refuse: the store is read-only. **Reads:** nothing."""
        raise PermissionError(f"{key} cannot be deleted: a virtual store is read-only.")

    @property
    def supports_writes(self) -> bool:
        """False. **Reads:** nothing."""
        return False

    @property
    def supports_deletes(self) -> bool:
        """False. **Reads:** nothing."""
        return False

    @property
    def supports_listing(self) -> bool:
        """True, for one level at a time. **Reads:** nothing."""
        return True

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)


def _cut(body: bytes, wanted: ByteRequest | None) -> bytes:
    if isinstance(wanted, RangeByteRequest):
        return body[wanted.start : wanted.end]
    if isinstance(wanted, OffsetByteRequest):
        return body[wanted.offset :]
    if isinstance(wanted, SuffixByteRequest):
        return body[-wanted.suffix :]
    return body
