"""References in Parquet: metadata in one document, chunks in records of a fixed number of rows.

The chunks of an array are numbered in C order; chunk `n` is row ``n % record_size`` of its record
``n // record_size``, a file of its own. Only the records that a selection touches are fetched, and
each is read as whole columns.
"""

import asyncio
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from harmony_vds.access.fetch import Fetcher
from harmony_vds.access.http import Received
from harmony_vds.access.loop import bridge, run
from harmony_vds.errors import MissingSourceError, StoreError
from harmony_vds.model.chunks import ChunkIndex, ChunkKind, Indexers, chunk_numbers
from harmony_vds.model.limits import REQUESTS_IN_FLIGHT
from harmony_vds.model.store import StoreLocation
from harmony_vds.stores.crowding import refuse_crowded_json
from harmony_vds.stores.folders import Folder, PlainFolder
from harmony_vds.stores.freshness import SourceWatch
from harmony_vds.stores.layouts import ArrayLayout, read_layouts
from harmony_vds.stores.reference_table import complete
from harmony_vds.stores.references import ReferenceStore

if TYPE_CHECKING:
    import pyarrow as pa

METADATA_LIMIT = 128 * 2**20
"""Most bytes of the metadata document."""
RECORD_LIMIT = 64 * 2**20
"""Most bytes of one record as stored; published ones have about half a megabyte."""
LARGEST_RECORD = 2**29
"""Most bytes of one record, unpacked."""
_COLUMNS = ("path", "offset", "size", "raw")
MOST_ROWS = 2**24
"""Most rows of one record; kerchunk writes 10,000 or 100,000."""


@dataclass(eq=False)
class _Filling:
    """The index of one array while its records arrive."""

    index: ChunkIndex
    numbers: dict[str, int] = field(default_factory=dict)
    """Addresses of the source files, numbered."""
    inlined: dict[int, bytes] = field(default_factory=dict)
    """Inline chunks by their number in C order."""
    known: set[int] = field(default_factory=set)
    """Records that have been read."""

    @property
    def so_far(self) -> ChunkIndex:
        """What is known; chunks of records not read yet are `ChunkKind.UNREAD`."""
        partial = bool((self.index.kinds == ChunkKind.UNREAD).any())
        return replace(self.index, locations=tuple(self.numbers), is_partial=partial)


@dataclass(frozen=True, eq=False)
class RecordedReferences:
    """The references of a hierarchy in records, fetched when a selection touches them."""

    folder: Folder
    """Holds the records."""
    size: int
    """Rows of a record."""
    _arrays: dict[str, _Filling] = field(default_factory=dict)

    async def index(self, path: str, layout: ArrayLayout, selection: Indexers | None) -> ChunkIndex:
        """The chunk index of the array at `path`, at least of `selection`.

        Raises
        ------
        StoreError
            A record is damaged, or a reference in it unusable; the text names it.

        **Reads:** metadata.
        """
        filling = self._arrays.get(path)
        if filling is None:
            empty = ChunkIndex.empty(layout.shape, layout.chunk_shape, layout.itemsize)
            empty.kinds[...] = ChunkKind.UNREAD
            filling = self._arrays[path] = _Filling(empty)
        wanted = self._touched(filling.index, selection)
        missing = [number for number in wanted if number not in filling.known]
        for start in range(0, len(missing), REQUESTS_IN_FLIGHT):
            batch = missing[start : start + REQUESTS_IN_FLIGHT]
            names = [f"{path}/refs.{number}.parq" for number in batch]
            for number, name, body in zip(batch, names, await self._bodies(names), strict=True):
                try:
                    self._take(filling, number, body)
                except StoreError as error:
                    raise StoreError(f"{self.folder.href}/{name} {error}") from None
                except ValueError as error:  # such as texts that are none, also in its schema
                    raise StoreError(f"{self.folder.href}/{name} is damaged: {error}.") from None
                filling.known.add(number)
        return filling.so_far

    async def inline(
        self, path: str, layout: ArrayLayout, numbers: tuple[int, ...]
    ) -> bytes | None:
        """The inline chunk at `numbers` of the array at `path`, if any. **Reads:** metadata."""
        chunk = layout.chunk_shape
        await self.index(
            path, layout, [range(n * c, n * c + 1) for n, c in zip(numbers, chunk, strict=True)]
        )
        filling = self._arrays[path]
        flat = np.ravel_multi_index(numbers, filling.index.kinds.shape) if numbers else 0
        return filling.inlined.get(int(flat))

    def _touched(self, index: ChunkIndex, selection: Indexers | None) -> list[int]:
        """Numbers of the records that hold the chunks of a selection."""
        if selection is None:
            return list(range(-(-index.kinds.size // self.size)))
        if index.kinds.ndim == 0:
            return [0]
        numbers = [chunk_numbers(s, c) for s, c in zip(selection, index.chunk_shape, strict=True)]
        flat = np.ravel_multi_index(np.ix_(*numbers), index.kinds.shape)
        return [int(number) for number in np.unique(flat // self.size)]

    async def _bodies(self, names: Sequence[str]) -> list[bytes | None]:
        """The records of these names; None for each that does not exist."""
        try:
            return await bridge(self._together(names))
        except BaseExceptionGroup as failures:  # the first stands for all: it ended the others
            raise failures.exceptions[0] from None

    async def _together(self, names: Sequence[str]) -> list[bytes | None]:
        """As `_bodies`, on the network loop; the first failure ends the others."""
        async with asyncio.TaskGroup() as tasks:
            started = [tasks.create_task(self._body(name)) for name in names]
        return [task.result() for task in started]

    async def _body(self, name: str) -> bytes | None:
        try:
            received = await self.folder.read(name, RECORD_LIMIT)
        except MissingSourceError:  # written only where it holds a reference
            return None
        return received.body

    def _take(self, filling: _Filling, number: int, body: bytes | None) -> None:
        """Put the rows of a record into the index."""
        index = filling.index
        start = number * self.size
        rows = min(self.size, index.kinds.size - start)
        kinds = index.kinds.reshape(-1)[start : start + rows]
        if body is None:
            kinds[:] = ChunkKind.ABSENT
            return
        columns = _read_columns(body, rows, self.size if index.kinds.size > self.size else None)
        sources, addresses = _sources(columns["path"])
        offsets, lengths = _whole(columns["offset"]), _whole(columns["size"])
        inlined = np.asarray(columns["raw"].is_valid())
        virtual = (sources >= 0) & ~inlined
        if (offsets[virtual] < 0).any() or (lengths[virtual] < 0).any():
            raise StoreError("holds an unusable offset or length.")
        if (virtual & (lengths == 0)).any():
            raise StoreError(
                "names a file without offset and length, which this service does not read."
            )
        known = [filling.numbers.setdefault(own, len(filling.numbers)) for own in addresses]
        kinds[:] = np.select([virtual, inlined], [ChunkKind.VIRTUAL, ChunkKind.INLINE], 0)
        index.sources.reshape(-1)[start : start + rows] = np.where(
            virtual, np.array([*known, -1], np.int32)[sources], -1
        )
        index.offsets.reshape(-1)[start : start + rows] = np.where(virtual, offsets, 0)
        held = index.lengths.reshape(-1)[start : start + rows]
        held[:] = np.where(virtual, lengths, 0)
        for row in np.flatnonzero(inlined).tolist():
            told = columns["raw"][row].as_py()
            text = told.encode() if isinstance(told, str) else told
            if not isinstance(text, bytes):
                raise StoreError(f"holds values of type {columns['raw'].type} in place of bytes.")
            filling.inlined[start + row] = text
            held[row] = len(text)


def _read_columns(body: bytes, rows: int, most: int | None) -> "Mapping[str, pa.Array]":
    """The first `rows` rows of a record, by column.

    A record of several has `most` rows, or those alone; with any others, chunks would be counted
    wrongly from it on.
    """
    import pyarrow as pa
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(
            pa.BufferReader(body), read_dictionary=["path"],
            thrift_string_size_limit=2**24, thrift_container_size_limit=2**20,
        )  # fmt: skip
        told = file.metadata
        unpacked = sum(told.row_group(n).total_byte_size for n in range(told.num_row_groups))
        if told.num_rows > MOST_ROWS or unpacked > LARGEST_RECORD:
            raise StoreError(
                f"has {told.num_rows:,} rows and unpacks to {unpacked:,} bytes; at most "
                f"{MOST_ROWS:,} rows and {LARGEST_RECORD:,} bytes are read."
            )
        if told.num_rows < rows or (most is not None and told.num_rows not in (rows, most)):
            raise StoreError(f"has {told.num_rows:,} rows instead of {most or rows:,}.")
        table = file.read(columns=list(_COLUMNS), use_threads=False)
        # Not those of its schema: the names of its parts may be damaged, and tell others.
        lacking = [own for own in _COLUMNS if own not in table.column_names]
        if lacking:
            raise StoreError(f"has no column {' and no column '.join(lacking)}.")
        table = table.slice(0, rows).unify_dictionaries().combine_chunks()
        return {name: table.column(name).combine_chunks() for name in table.column_names}
    except KeyError:  # of the dictionary that was asked for
        raise StoreError("has no column path, or one of lists or parts.") from None
    except (pa.ArrowException, OSError) as error:
        told_why = str(error).partition("\n")[0]
        raise StoreError(f"cannot be read as Parquet: {told_why}.") from None


def _sources(column: "pa.Array") -> tuple[npt.NDArray[np.int32], list[str]]:
    """For each row the number of its source file, -1 where there is none; and the addresses."""
    import pyarrow as pa

    if pa.types.is_null(column.type):
        return np.full(len(column), -1, np.int32), []
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    codes = column.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int32)
    used, codes = np.unique(codes, return_inverse=True)
    if used.size and used[0] < 0:
        used, codes = used[1:], codes - 1
    written = [column.dictionary[int(number)].as_py() for number in used]
    texts = [
        own.decode("utf-8", "replace") if isinstance(own, bytes) else str(own) for own in written
    ]
    for text in texts:
        if "://" not in complete(text):
            raise StoreError(f"names {text!r}, which is no complete address.")
    return codes.astype(np.int32), [complete(text) for text in texts]


def _whole(column: "pa.Array") -> npt.NDArray[np.int64]:
    """A column of whole numbers; -1 where there is none."""
    import pyarrow as pa

    if pa.types.is_null(column.type):
        return np.full(len(column), -1, np.int64)
    if not pa.types.is_integer(column.type):
        raise StoreError(f"has offsets or sizes of type {column.type}.")
    numbers: npt.NDArray[Any] = column.cast(pa.int64()).fill_null(-1).to_numpy()
    return numbers


def open_records(
    location: StoreLocation,
    fetcher: Fetcher,
    folder: Folder | None = None,
    *,
    refuse_stale: bool = False,
) -> tuple[ReferenceStore, StoreLocation]:
    """The store of a folder of kerchunk Parquet, and its location pinned by its metadata.

    Parameters
    ----------
    location
        Where it is published.
    fetcher
        Reads the sources.
    folder
        Holds the metadata and records; None: they are objects at the location.
    refuse_stale
        Whether a source newer than the metadata is an error, or only a warning.

    Raises
    ------
    StoreError
        The folder holds no such references.
    ForbiddenError, UpstreamError
        It cannot be read.

    **Reads:** metadata.
    """
    folder = folder or PlainFolder(location.href, fetcher)
    received = run(folder.read(".zmetadata", METADATA_LIMIT))
    try:
        refuse_crowded_json(received.body)
        told = json.loads(received.body)
        size, written = told["record_size"], told["metadata"]
    except StoreError as error:
        raise StoreError(f"{folder.href}/.zmetadata is not read: {error}") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise StoreError(
            f"{folder.href}/.zmetadata is not the metadata of kerchunk Parquet: it lacks "
            "`metadata` or `record_size`."
        ) from None
    if not isinstance(written, dict):
        raise StoreError(f"{folder.href}/.zmetadata holds `metadata` that are no JSON object.")
    if type(size) is not int or not 1 <= size <= MOST_ROWS:
        raise StoreError(
            f"{folder.href}/.zmetadata gives records of {str(size)[:40]} rows; 1 to "
            f"{MOST_ROWS:,} are read."
        )
    documents = {
        key: own.encode() if isinstance(own, str) else json.dumps(own).encode()
        for key, own in written.items()
    }
    store = ReferenceStore(
        read_layouts(documents),
        RecordedReferences(folder, size),
        fetcher,
        SourceWatch(received.modified, refuse_stale),
    )
    return store, replace(location, snapshot=_pin(received))


def _pin(received: Received) -> str:
    """What tells this state of the metadata from others, also where only records changed."""
    told = f"{received.etag} {received.modified}".encode()
    return hashlib.sha256(received.body + told).hexdigest()[:16]
