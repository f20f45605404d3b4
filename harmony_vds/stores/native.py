"""Native Zarr, versions 2 and 3: chunks are objects of their own, and no manifest lists them.

Every object comes through our fetcher. A chunk that does not exist (404) was never written; one
that is refused or fails is an error. How long chunks are is asked of their place before a price is
told, up to a bound.
"""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

import numpy as np
import numpy.typing as npt
from zarr.abc.store import ByteRequest
from zarr.core.buffer import Buffer, BufferPrototype

from harmony_vds.access.fetch import Fetcher
from harmony_vds.access.http import Received
from harmony_vds.access.loop import bridge, network_loop
from harmony_vds.errors import MissingSourceError, StoreError
from harmony_vds.model.chunks import ChunkIndex, ChunkKind, Indexers, chunk_numbers
from harmony_vds.model.store import StoreLocation
from harmony_vds.stores.folders import PlainFolder
from harmony_vds.stores.freshness import SourceWatch
from harmony_vds.stores.hierarchy import HierarchyStore, shard_range
from harmony_vds.stores.native_metadata import NativeMetadata, read_metadata

MOST_QUESTIONS = 2_048
"""Chunks of one selection whose length is asked for; beyond, their decoded size is the bound."""


@dataclass(frozen=True, eq=False)
class _Known:
    """What is known of one array's chunks so far."""

    index: ChunkIndex
    """Chunks that nobody asked for yet are `ChunkKind.UNREAD`."""
    guessed: npt.NDArray[np.bool_]
    """Chunks that may not exist, because there were too many to ask."""
    asking: asyncio.Lock = field(default_factory=asyncio.Lock)


class NativeStore(HierarchyStore):
    """A hierarchy of objects at one address."""

    def __init__(self, metadata: NativeMetadata, href: str, fetcher: Fetcher) -> None:
        super().__init__(metadata, fetcher, SourceWatch(None))
        self._href = href
        self._known: dict[str, _Known] = {}

    async def document(self, key: str) -> bytes | None:
        """The metadata document or chunk under `key`. **Reads:** chunks, where it names one."""
        if key in self.metadata.documents:
            return self.metadata.documents[key]
        split = self.split_chunk_key(key)
        if split is None:
            return None
        limit = self.metadata.arrays[split[0]].most_stored
        received = await self._asked(self.fetcher.fetch_whole(self._url(key), limit), key)
        return None if received is None else received.body

    def may_lack(self, path: str, numbers: tuple[int, ...]) -> bool:
        """Whether nobody asked for this chunk before it was read. **Reads:** nothing."""
        return bool(self._known[path].guessed[numbers])

    def doubt(self, path: str) -> str | None:
        """Why the price of the array at `path` is a bound, if it is one. **Reads:** nothing."""
        known, sharded = self._known.get(path), super().doubt(path)
        if sharded is not None:
            return sharded
        if known is not None and known.guessed.any():
            return f"more than {MOST_QUESTIONS:,} chunks would have to be asked for their length"
        return None

    async def build_index(self, path: str, selection: Indexers | None) -> ChunkIndex:
        """The chunk index of the array at `path`, at least of `selection`. **Reads:** metadata."""
        layout = self.metadata.arrays[path]
        if path not in self._known:
            index = ChunkIndex.empty(
                layout.shape, layout.chunk_shape, layout.itemsize, layout.boundaries
            )
            index.kinds[...] = ChunkKind.UNREAD
            guessed = np.zeros(index.kinds.shape, np.bool_)
            self._known[path] = _Known(replace(index, is_partial=True), guessed)
        known = self._known[path]
        wanted = selection or [range(size) for size in layout.shape]
        async with known.asking:
            await self._ask(path, known, wanted)
        unread = bool((known.index.kinds == ChunkKind.UNREAD).any())
        return replace(known.index, is_partial=unread)

    async def _ask(self, path: str, known: _Known, selection: Indexers) -> None:
        """Ask how long the chunks of `selection` are, unless that is known."""
        index, layout = known.index, self.metadata.arrays[path]
        box = np.ix_(*(
            chunk_numbers(np.sort(own) if isinstance(own, np.ndarray) else own, cut)
            for own, cut in zip(selection, index.cuts, strict=True)
        ))  # fmt: skip
        unread = np.zeros(index.kinds.shape, np.bool_)
        unread[box] = index.kinds[box] == ChunkKind.UNREAD
        places = list(zip(*np.nonzero(unread), strict=True)) if layout.shape else [()]
        if not unread.any():
            return
        if len(places) > MOST_QUESTIONS:
            index.kinds[unread], index.lengths[unread] = ChunkKind.NATIVE, layout.most_stored
            known.guessed[unread] = True
            return
        questions = (self._size(self.chunk_key(path, tuple(map(int, p)))) for p in places)
        for place, size in zip(places, await asyncio.gather(*questions), strict=True):
            index.kinds[place] = ChunkKind.ABSENT if size is None else ChunkKind.NATIVE
            index.lengths[place] = size or 0

    async def _size(self, key: str) -> int | None:
        """Bytes of the object under `key`, or None if there is none."""
        received = await self._asked(self.fetcher.fetch_range(self._url(key), 0, 1), key)
        if received is not None and received.size is None:
            raise StoreError(f"The server does not say how long {self._url(key)} is.")
        return None if received is None else received.size

    def _url(self, key: str) -> str:
        return f"{self._href}/{quote(key)}"

    async def _asked(self, work: Coroutine[Any, Any, Received], key: str) -> Received | None:
        """What came of `work`, which runs on the network loop; None for what does not exist."""
        try:
            here = asyncio.get_running_loop() is network_loop()
            received = await (work if here else bridge(work))
        except MissingSourceError:
            return None
        self.watch.check(self._url(key), received)
        return received

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """The bytes under `key`, or None where it does not exist; of shards only what is asked.

        **Reads:** chunks.
        """
        place = None if byte_range is None else await self._place(key)
        if byte_range is None or place is None:
            return await super().get(key, prototype, byte_range)
        index, position = place
        if index.kinds[position] == ChunkKind.ABSENT:
            return None
        size = int(index.lengths[position])
        if self.may_lack(self.split_chunk_key(key)[0], position):  # type: ignore[index]
            found = await self._size(key)
            if found is None:
                return None
            size = found
        start, stop = shard_range(byte_range, size)
        work = self.fetcher.fetch_range(self._url(key), start, stop - start)
        received = await self._asked(work, key)
        if received is None:
            raise StoreError(f"{self._url(key)} vanished while it was read.")
        return prototype.buffer.from_bytes(received.body)


def open_native(location: StoreLocation, fetcher: Fetcher) -> tuple[NativeStore, StoreLocation]:
    """The hierarchy at a location, pinned by the digest of its metadata.

    Raises
    ------
    StoreError
        There is none, or its members are neither consolidated nor can be listed.
    ForbiddenError, UpstreamError
        It cannot be read.

    **Reads:** metadata.
    """
    metadata = read_metadata(PlainFolder(location.href, fetcher))
    store = NativeStore(metadata, location.href, fetcher)
    return store, replace(location, snapshot=metadata.digest)
