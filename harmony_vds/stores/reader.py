"""The planned reader: a selection of one array, read as merged ranges, many at once.

zarr asks for chunks one key at a time and decodes them in Python; here the chunk box of a selection
is known as a whole, so its byte ranges are merged, fetched together, decoded in threads and cropped
straight into the result.
"""

import asyncio
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from harmony_vds.access.loop import run
from harmony_vds.errors import StoreError
from harmony_vds.model.arrays import Positions, tightened
from harmony_vds.model.asked import AskedChunks
from harmony_vds.model.chunks import (
    ChunkIndex,
    ChunkKind,
    Cut,
    lengths_of,
    numbers_of,
    starts_of,
)
from harmony_vds.model.limits import BYTES_IN_FLIGHT, DECODERS, REQUESTS_IN_FLIGHT
from harmony_vds.model.spans import Span, merged_spans
from harmony_vds.model.stored import Held
from harmony_vds.stores.codecs import ChunkDecoder
from harmony_vds.stores.zarr import ManifestStore

_SHARE_BYTES = 4 * 2**20
"""Decoded bytes that one thread takes on at once: small chunks are not worth waking one each."""

type Along = slice | Positions
"""Positions along one dimension; a slice where they are contiguous."""


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
    cuts: tuple[Cut, ...] = ()
    """How each dimension is cut; empty where all chunks have the decoder's shape."""
    asked: tuple[AskedChunks, ...] = ()
    """Chunks that are read, all others left out; empty where all are."""

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
            index = self.manifest.chunk_index(self.path, positions).sparing(self.asked)
            box = _ChunkBox.of(positions, index.cuts)
            run(_Reading(self, index, box, out, _room()).all_chunks())
        return out

    def read_stored(self, positions: Sequence[Positions]) -> dict[tuple[int, ...], Held]:
        """The chunks of a box as they are stored; see `harmony_vds.model.stored.StoredArray`.

        **Reads:** chunks.
        """
        index = self.manifest.chunk_index(self.path, positions)
        box = _ChunkBox.of(positions, index.cuts)
        reading = _StoredReading(self, index, box, np.empty(0), _room())
        run(reading.all_chunks())
        return reading.found

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the elements as stored. **Reads:** nothing."""
        return self.decoder.dtype

    @property
    def chunk_shape(self) -> tuple[int, ...]:
        """Shape of the chunks, of the largest where they differ. **Reads:** nothing."""
        return self.decoder.chunk_shape

    @property
    def codecs(self) -> tuple[Mapping[str, Any], ...]:
        """How chunks are encoded, in this order. **Reads:** nothing."""
        return self.decoder.codecs


@dataclass(frozen=True, eq=False)
class _Reading:
    """One read while it goes on, on the network loop."""

    array: PlannedArray
    index: ChunkIndex
    box: "_ChunkBox"
    out: npt.NDArray[Any]
    room: "_Room"

    async def all_chunks(self) -> None:
        """Fetch, decode and place every chunk of the box that the manifest holds."""
        kinds = self.index.kinds_of(self.box.numbers).ravel()
        held = np.flatnonzero((kinds == ChunkKind.NATIVE) | (kinds == ChunkKind.INLINE))
        try:
            async with asyncio.TaskGroup() as tasks:
                for span in merged_spans(self.index, self.box.numbers, self.array.gap):
                    await self.room.enter(span.length)
                    self.room.leave_after(tasks.create_task(self._span(span)), span.length)
                for member in held.tolist():
                    await self.room.enter(0)
                    self.room.leave_after(tasks.create_task(self._held(member)), 0)
        except BaseExceptionGroup as failures:  # the first stands for all: it ended the others
            raise failures.exceptions[0] from None

    async def _span(self, span: Span) -> None:
        """Chunks of one source file that come with one request."""
        url = self.index.locations[span.source]
        body = memoryview(await self.array.manifest.fetch(url, span.start, span.length))
        ends = span.starts + span.lengths
        columns = span.members.tolist(), span.starts.tolist(), ends.tolist()
        await self._place([(m, body[start:end]) for m, start, end in zip(*columns, strict=True)])

    async def _held(self, member: int) -> None:
        """A chunk that the store itself holds, native or inline."""
        manifest, path, numbers = self.array.manifest, self.array.path, self.box.chunk(member)
        key = manifest.chunk_key(path, numbers)
        body = await manifest.document(key)
        if body is None and manifest.may_lack(path, numbers):
            return
        if body is None:
            raise StoreError(f"{self.array.path} lost its chunk {key} while it was read.")
        await self._place([(member, body)])

    async def _place(self, pieces: list[tuple[int, bytes | memoryview]]) -> None:
        """Decode chunks in threads and put the wanted cells of each into the result."""
        shared = max(1, _SHARE_BYTES // max(self.array.decoder.nbytes, 1))
        loop = asyncio.get_running_loop()
        parts = [pieces[first : first + shared] for first in range(0, len(pieces), shared)]
        threads = _decoders()
        await asyncio.gather(*(loop.run_in_executor(threads, self._take_all, p) for p in parts))

    def _take_all(self, pieces: list[tuple[int, bytes | memoryview]]) -> None:
        """Take some chunks, unwrapped; in a thread."""
        manifest, path = self.array.manifest, self.array.path
        for member, piece in pieces:
            stored = piece
            if manifest.is_wrapped:
                stored = manifest.unwrapped(path, self.box.chunk(member), piece)
            try:
                self._take(member, stored)
            except StoreError as error:
                told = str(error).rstrip(".")
                raise StoreError(f"{told} ({self._whereabouts(member)}).") from None

    def _whereabouts(self, member: int) -> str:
        """Which chunk it is, and whose file holds it, in words."""
        numbers = self.box.chunk(member)
        named = ".".join(map(str, numbers)) or "0"
        told = f"chunk {named} of {self.array.path.lstrip('/')}"
        if self.index.kinds[numbers] != ChunkKind.VIRTUAL:
            return told
        url = self.index.locations[self.index.sources[numbers]].partition("?")[0]
        return f"{told}, in {url}"

    def _take(self, member: int, stored: bytes | memoryview) -> None:
        """Put the wanted cells of a chunk into the result; in a thread."""
        crop = self.box.crop(member)
        decoder = self.array.decoder.for_chunk(crop.shape)
        decoder.decode_into(stored, crop.origin, self.out, crop.target)


@dataclass(frozen=True, eq=False)
class _StoredReading(_Reading):
    """One read that keeps whole chunks as they come."""

    found: dict[tuple[int, ...], Held] = field(default_factory=dict)

    async def all_chunks(self) -> None:
        await super().all_chunks()
        for member in range(self.box.size):  # what the manifest does not hold
            numbers = self.box.chunk(member)
            if numbers not in self.found:
                kept = self.box.kept(member)
                self.found[numbers] = np.full(kept, self.array.fill, self.array.dtype)

    def _take(self, member: int, stored: bytes | memoryview) -> None:
        numbers = self.box.chunk(member)
        decoder = self.array.decoder
        spans = zip(numbers, decoder.chunk_shape, self.array.shape, strict=True)
        whole = tuple(min(c, size - n * c) for n, c, size in spans)
        if self.box.kept(member) == whole:
            decoder.verify(stored)
            self.found[numbers] = stored
        else:
            self.found[numbers] = decoder.decode(stored)[self.box.crop(member).origin]


@dataclass(frozen=True, eq=False)
class _Crop:
    """Which cells of a chunk go where."""

    shape: tuple[int, ...]
    """Shape of the chunk as stored."""
    origin: Any
    """Index into the chunk."""
    target: Any
    """Index into the result."""


@dataclass(frozen=True, eq=False)
class _ChunkBox:
    """The chunks that a selection touches, and the cells wanted of each."""

    numbers: list[Positions]
    """Chunk numbers along each dimension."""
    cuts: list[list[tuple[Along, Along]]]
    """For each dimension and chunk number: (positions in the chunk, positions in the result)."""
    lengths: list[Positions]
    """For each dimension and chunk number: length of the chunk as stored."""

    @classmethod
    def of(cls, positions: Sequence[Positions], dimensions: Sequence[Cut]) -> "_ChunkBox":
        numbers, cuts, lengths = [], [], []
        for wanted, cut in zip(positions, dimensions, strict=True):
            own = numbers_of(wanted, cut)
            order = np.argsort(own, kind="stable")
            found, firsts = np.unique(own[order], return_index=True)
            inside = wanted - starts_of(own, cut)
            parts = np.split(order, firsts[1:])
            numbers.append(found)
            cuts.append([(tightened(inside[part]), tightened(part)) for part in parts])
            lengths.append(lengths_of(found, cut))
        return cls(numbers, cuts, lengths)

    def _place_of(self, member: int) -> list[int]:
        place = []
        for own in reversed(self.numbers):
            member, along = divmod(member, own.size)
            place.append(along)
        return place[::-1]

    def chunk(self, member: int) -> tuple[int, ...]:
        """Chunk numbers of the chunk at a flat position of the box."""
        place = self._place_of(member)
        return tuple(int(own[i]) for own, i in zip(self.numbers, place, strict=True))

    @property
    def size(self) -> int:
        """How many chunks there are."""
        return int(np.prod([own.size for own in self.numbers], dtype=np.int64))

    def kept(self, member: int) -> tuple[int, ...]:
        """How many positions are wanted along each dimension, of contiguous ones."""
        pairs = zip(self.cuts, self._place_of(member), strict=True)
        along = [own[i][1] for own, i in pairs]
        return tuple(a.stop - a.start if isinstance(a, slice) else a.size for a in along)

    def crop(self, member: int) -> _Crop:
        """The cells wanted of the chunk at a flat position of the box."""
        place = self._place_of(member)
        pairs = [own[i] for own, i in zip(self.cuts, place, strict=True)]
        shape = tuple(int(own[i]) for own, i in zip(self.lengths, place, strict=True))
        return _Crop(shape, _outer([p[0] for p in pairs]), _outer([p[1] for p in pairs]))


def _outer(parts: list[Along]) -> Any:
    """An index for the outer product of `parts`."""
    if all(isinstance(own, slice) for own in parts):
        return tuple(parts)
    return np.ix_(*(np.arange(p.start, p.stop) if isinstance(p, slice) else p for p in parts))


class _Room:
    """Bounds the requests in flight of all reads together, by count and by bytes.

    Used on the network loop alone.
    """

    def __init__(self) -> None:
        self._slots = asyncio.Semaphore(REQUESTS_IN_FLIGHT)
        self._changed = asyncio.Event()
        self._nbytes = 0

    async def enter(self, nbytes: int) -> None:
        """Wait until there is room; a single request larger than all room goes alone."""
        await self._slots.acquire()
        try:
            while self._nbytes and self._nbytes + nbytes > BYTES_IN_FLIGHT:
                self._changed.clear()
                await self._changed.wait()
        except asyncio.CancelledError:
            self._slots.release()
            raise
        self._nbytes += nbytes

    def leave_after(self, task: asyncio.Task[None], nbytes: int) -> None:
        """Give the room back when `task` ends, also where it is cancelled before it begins."""
        task.add_done_callback(lambda _: self._leave(nbytes))

    def _leave(self, nbytes: int) -> None:
        self._nbytes -= nbytes
        self._slots.release()
        self._changed.set()


@lru_cache(maxsize=1)
def _room() -> _Room:
    return _Room()


@lru_cache(maxsize=1)
def _decoders() -> ThreadPoolExecutor:
    """Threads that decode; the codecs release the interpreter's lock."""
    threads = min(os.cpu_count() or 2, DECODERS)
    return ThreadPoolExecutor(threads, thread_name_prefix="harmony-vds-decode")
