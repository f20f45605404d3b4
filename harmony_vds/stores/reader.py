"""The planned reader: a selection of one array, read as merged ranges, many at once.

zarr asks for chunks one key at a time and decodes them in Python; here the chunk box of a selection
is known as a whole, so its byte ranges are merged, fetched together, decoded in threads and cropped
straight into the result.
"""

import asyncio
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from harmony_vds.access.loop import run
from harmony_vds.errors import StoreError
from harmony_vds.model.chunks import ChunkIndex, ChunkKind
from harmony_vds.model.limits import REQUESTS_IN_FLIGHT
from harmony_vds.model.spans import Span, merged_spans
from harmony_vds.stores.codecs import ChunkDecoder
from harmony_vds.stores.zarr import ManifestStore

BYTES_IN_FLIGHT = 96 * 2**20

type Positions = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class PlannedArray:
    """One array of a store, readable by selections."""

    manifest: ManifestStore
    """The store."""
    path: str
    """Full path of the array."""
    shape: tuple[int, ...]
    """Its shape."""
    decoder: ChunkDecoder
    """Decodes its chunks."""
    fill: Any
    """Value of cells whose chunk the manifest does not hold."""
    gap: int
    """Most unwanted bytes between two chunks that are fetched together."""

    def read(self, positions: Sequence[Positions]) -> npt.NDArray[Any]:
        """The cells at the outer product of `positions`, one 1-D array for each dimension.

        Raises
        ------
        StoreError, ForbiddenError, UpstreamError
            A chunk cannot be fetched or decoded.

        **Reads:** chunks.
        """
        out = np.full([p.size for p in positions], self.fill, self.decoder.dtype)
        if out.size:
            index = self.manifest.chunk_index(self.path)
            box = _ChunkBox.of(positions, self.decoder.chunk_shape)
            run(_Reading(self, index, box, out).all_chunks())
        return out


@dataclass(frozen=True, eq=False)
class _Reading:
    """One read while it goes on, on the network loop."""

    array: PlannedArray
    index: ChunkIndex
    box: "_ChunkBox"
    out: npt.NDArray[Any]
    room: "_Room" = field(default_factory=lambda: _Room())  # noqa: PLW0108  defined below

    async def all_chunks(self) -> None:
        """Fetch, decode and place every chunk of the box that the manifest holds."""
        kinds = self.index.kinds[np.ix_(*self.box.numbers)].ravel()
        held = np.flatnonzero((kinds == ChunkKind.NATIVE) | (kinds == ChunkKind.INLINE))
        try:
            async with asyncio.TaskGroup() as tasks:
                for span in merged_spans(self.index, self.box.numbers, self.array.gap):
                    await self.room.enter(span.length)
                    tasks.create_task(self._span(span))
                for member in held:
                    await self.room.enter(0)
                    tasks.create_task(self._held(int(member)))
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None

    async def _span(self, span: Span) -> None:
        """Chunks of one source file that came with one request."""
        try:
            url = self.index.locations[span.source]
            body = await self.array.manifest.fetch(url, span.start, span.length)
            whole = memoryview(body)
            for member in map(int, span.members):
                numbers = self.box.chunk(member)
                start = int(self.index.offsets[numbers]) - span.start
                await self._place(member, whole[start : start + int(self.index.lengths[numbers])])
        finally:
            self.room.leave(span.length)

    async def _held(self, member: int) -> None:
        """A chunk that the store itself holds, native or inline."""
        try:
            key = self.array.manifest.chunk_key(self.array.path, self.box.chunk(member))
            body = await self.array.manifest.document(key)
            if body is None:
                raise StoreError(f"{self.array.path} lost its chunk {key} while it was read.")
            await self._place(member, body)
        finally:
            self.room.leave(0)

    async def _place(self, member: int, stored: bytes | memoryview) -> None:
        """Decode a chunk in a thread and put the wanted cells into the result."""
        crop = self.box.crop(member)

        def work() -> None:
            self.out[crop.target] = self.array.decoder.decode_window(stored, crop.origin)

        await asyncio.get_running_loop().run_in_executor(_decoders(), work)


@dataclass(frozen=True, eq=False)
class _Crop:
    """Which cells of a chunk go where."""

    origin: Any
    """Index into the chunk."""
    target: Any
    """Index into the result."""


@dataclass(frozen=True, eq=False)
class _ChunkBox:
    """The chunks that a selection touches, and the cells wanted of each."""

    numbers: list[Positions]
    """Chunk numbers along each dimension."""
    cuts: list[list[tuple[Positions, Positions]]]
    """For each dimension and chunk number: (positions in the chunk, positions in the result)."""

    @classmethod
    def of(cls, positions: Sequence[Positions], chunk_shape: Sequence[int]) -> "_ChunkBox":
        numbers, cuts = [], []
        for wanted, chunk in zip(positions, chunk_shape, strict=True):
            own = wanted // chunk
            order = np.argsort(own, kind="stable")
            found, firsts = np.unique(own[order], return_index=True)
            numbers.append(found)
            parts = np.split(order, firsts[1:])
            cuts.append([(wanted[part] % chunk, part) for part in parts])
        return cls(numbers, cuts)

    def _place_of(self, member: int) -> tuple[int, ...]:
        sizes = [n.size for n in self.numbers]
        return tuple(int(i) for i in np.unravel_index(member, sizes)) if sizes else ()

    def chunk(self, member: int) -> tuple[int, ...]:
        """Chunk numbers of the chunk at a flat position of the box."""
        place = self._place_of(member)
        return tuple(int(own[i]) for own, i in zip(self.numbers, place, strict=True))

    def crop(self, member: int) -> _Crop:
        """The cells wanted of the chunk at a flat position of the box."""
        place = self._place_of(member)
        pairs = [own[i] for own, i in zip(self.cuts, place, strict=True)]
        return _Crop(_outer([p[0] for p in pairs]), _outer([p[1] for p in pairs]))


def _outer(positions: list[Positions]) -> Any:
    """An index for the outer product of `positions`; slices where they are contiguous."""
    if all(p.size and p[-1] - p[0] + 1 == p.size and (np.diff(p) == 1).all() for p in positions):
        return tuple(slice(int(p[0]), int(p[-1]) + 1) for p in positions)
    return np.ix_(*positions)


class _Room:
    """Bounds the requests in flight, by count and by bytes."""

    def __init__(self) -> None:
        self._slots = asyncio.Semaphore(REQUESTS_IN_FLIGHT)
        self._changed = asyncio.Event()
        self._nbytes = 0

    async def enter(self, nbytes: int) -> None:
        """Wait until there is room; a single request larger than all room goes alone."""
        await self._slots.acquire()
        while self._nbytes and self._nbytes + nbytes > BYTES_IN_FLIGHT:
            self._changed.clear()
            await self._changed.wait()
        self._nbytes += nbytes

    def leave(self, nbytes: int) -> None:
        """Give the room back."""
        self._nbytes -= nbytes
        self._slots.release()
        self._changed.set()


@lru_cache(maxsize=1)
def _decoders() -> ThreadPoolExecutor:
    """Threads that decode; the codecs release the interpreter's lock."""
    return ThreadPoolExecutor(os.cpu_count() or 2, thread_name_prefix="harmony-vds-decode")
