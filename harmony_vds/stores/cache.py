"""Manifests kept on disk between requests: metadata documents and chunk indexes, memory-mapped.

Each work item starts in a new process, and parsing half a gigabyte of references again would take
most of its time. An entry is a folder that appears by one rename and is never changed afterwards,
so that any number of processes may read, write and remove entries at once. It holds plain numbers
and texts, each under a checksum; whatever is wrong with one, it is built anew. Nothing is
unpickled, and nothing in it is secret: manifests whose sources carry queries, which may be
signatures, are not kept.

An entry is found only by what the place of the manifest says of its present state, which is asked
with the user's own credentials; so nobody is given what they may not read.
"""

import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO

import deflate
import numpy as np
import numpy.typing as npt

from harmony_vds.model.chunks import ChunkIndex

logger = logging.getLogger(__name__)

_VERSION = 1
"""Of the form of entries; entries of other versions are not found."""
_COLUMNS = {"kinds": "|u1", "sources": "<i4", "offsets": "<i8", "lengths": "<i8"}
_UNFINISHED = ".new-"
_OLD = 3600.0
"""Seconds after which an unfinished entry was given up by its writer."""


class UnusableEntryError(Exception):
    """An entry was evicted, damaged or cannot be read; to be built anew."""


@dataclass(frozen=True, eq=False)
class KeptArray:
    """Where the columns of one array lie in those of its entry."""

    shape: tuple[int, ...]
    chunk_shape: tuple[int, ...]
    itemsize: int
    start: int
    """First row."""
    checksums: Mapping[str, int]
    """CRC-32 of its rows, by column."""

    @property
    def grid(self) -> tuple[int, ...]:
        """Number of chunks along each dimension. **Reads:** nothing."""
        return ChunkIndex.grid_shape(self.shape, self.chunk_shape)


@dataclass(frozen=True, eq=False)
class KeptManifest:
    """One entry, opened."""

    texts: Mapping[str, bytes]
    """What was kept by name: metadata documents and inline chunks."""
    notes: Mapping[str, Any]
    """What its writer wanted to know again."""
    arrays: Mapping[str, KeptArray]
    """The arrays whose indexes are kept."""
    columns: Mapping[str, npt.NDArray[Any]]
    """Rows of all arrays, memory-mapped."""
    _addresses: bytes

    @cached_property
    def locations(self) -> tuple[str, ...]:
        """URLs of the source files. **Reads:** nothing."""
        return tuple(json.loads(self._addresses))

    def index(self, path: str) -> ChunkIndex:
        """The chunk index of the array at `path`, one of `arrays`.

        Raises
        ------
        UnusableEntryError
            Its rows are damaged.

        **Reads:** nothing.
        """
        own = self.arrays[path]
        rows = slice(own.start, own.start + int(np.prod(own.grid, dtype=np.int64)))
        columns = {name: column[rows] for name, column in self.columns.items()}
        for name, column in columns.items():
            if deflate.crc32(column.view(np.uint8).data) != own.checksums[name]:
                raise UnusableEntryError(f"the {name} of {path} are damaged")
        kinds, sources, offsets, lengths = (columns[name].reshape(own.grid) for name in _COLUMNS)
        return ChunkIndex(
            own.shape, own.chunk_shape, own.itemsize, kinds, sources, offsets, lengths,
            self.locations,
        )  # fmt: skip


@dataclass(frozen=True)
class ManifestCache:
    """A folder of kept manifests, bounded in size; works as if empty where it is of no use."""

    folder: str
    """Made when first written to."""
    limit: int
    """Most bytes in all."""

    @classmethod
    def of(cls, folder: str, limit: int) -> "ManifestCache | None":
        """The cache in `folder`; None if that is empty. **Reads:** nothing."""
        return cls(folder, limit) if folder else None

    def load(self, *key: str) -> KeptManifest | None:
        """What was kept under `key`; None if nothing usable was. **Reads:** nothing."""
        entry = self._entry(key)
        try:
            kept = _opened(entry)
        except (OSError, ValueError, KeyError, TypeError, UnusableEntryError) as error:
            if not entry.exists():
                return None
            logger.info("%s is not usable and is built anew: %s", entry, error)
            self.remove(*key)
            return None
        with suppress(OSError):
            os.utime(entry)
        return kept

    def keep(
        self,
        *key: str,
        indexes: Iterable[tuple[str, ChunkIndex]],
        texts: Mapping[str, bytes] | None = None,
        notes: Mapping[str, Any] | None = None,
    ) -> KeptManifest | None:
        """Keep a manifest under `key`, and give it as `load` would; None if it cannot be kept.

        Parameters
        ----------
        key
            Kind and address of the manifest, and what tells this state of it from any other.
        indexes
            Path and index of each array; taken one at a time.
        texts
            Metadata documents and inline chunks by name; taken, as `notes`, after the last index.
        notes
            Anything that JSON can hold.

        **Reads:** nothing.
        """
        try:
            Path(self.folder).mkdir(mode=0o700, parents=True, exist_ok=True)
            place = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=self.folder))
        except OSError as error:
            logger.info("%s cannot be written: %s", self.folder, error.strerror)
            return None
        try:
            _write(place, indexes, texts or {}, notes or {}, self.limit)
            with suppress(OSError):  # another process was faster
                place.rename(self._entry(key))
            self._evict()
        except (OSError, UnusableEntryError) as error:
            logger.info("%s is not kept: %s", key[1].partition("?")[0], error)
            return None
        finally:
            shutil.rmtree(place, ignore_errors=True)
        return self.load(*key)

    def remove(self, *key: str) -> None:
        """Forget what was kept under `key`. **Reads:** nothing."""
        self._discard(self._entry(key))

    def _entry(self, key: tuple[str, ...]) -> Path:
        told = json.dumps([_VERSION, *key]).encode()
        return Path(self.folder, sha256(told).hexdigest()[:40])

    def _evict(self) -> None:
        """Remove what was used longest ago until the rest is within the limit."""
        entries: list[tuple[float, int, Path]] = []
        for found in os.scandir(self.folder):
            with suppress(OSError):
                used = found.stat().st_mtime
                size = sum(own.stat().st_size for own in os.scandir(found.path))
                if not found.name.startswith(_UNFINISHED):
                    entries.append((used, size, Path(found.path)))
                elif used < time.time() - _OLD:
                    shutil.rmtree(found.path, ignore_errors=True)
        total = sum(size for _, size, _ in entries)
        for _, size, entry in sorted(entries):
            if total <= self.limit:
                break
            self._discard(entry)
            total -= size

    def _discard(self, entry: Path) -> None:
        """Take an entry away at once, so that nobody opens half of it, and then remove it."""
        aside = entry.with_name(f"{_UNFINISHED}{entry.name}-{os.getpid()}")
        with suppress(OSError):
            entry.rename(aside)
        shutil.rmtree(aside, ignore_errors=True)


def _opened(entry: Path) -> KeptManifest:
    """The entry in a folder; any error means that it is not usable."""
    told = (entry / "entry.json").read_bytes()
    if int(told[:8], 16) != deflate.crc32(told[8:]):
        raise UnusableEntryError("its description is damaged")
    description = json.loads(told[8:])
    body = (entry / "texts.bin").read_bytes()
    addresses = (entry / "locations.json").read_bytes()
    if [deflate.crc32(body), deflate.crc32(addresses)] != description["checksums"]:
        raise UnusableEntryError("its texts are damaged")
    columns = {
        name: np.load(entry / f"{name}.npy", mmap_mode="r", allow_pickle=False).view(np.ndarray)
        for name in _COLUMNS
    }
    for name, column in columns.items():
        if column.shape != (description["rows"],) or column.dtype.str != _COLUMNS[name]:
            raise UnusableEntryError(f"its {name} have another size")
    arrays = {
        path: KeptArray(tuple(shape), tuple(chunks), itemsize, start, checksums)
        for path, (shape, chunks, itemsize, start, checksums) in description["arrays"].items()
    }
    texts = {name: body[start:end] for name, (start, end) in description["texts"].items()}
    return KeptManifest(texts, description["notes"], arrays, columns, addresses)


def _write(
    place: Path,
    indexes: Iterable[tuple[str, ChunkIndex]],
    texts: Mapping[str, bytes],
    notes: Mapping[str, Any],
    limit: int,
) -> None:
    """Write an entry into the new folder `place`."""
    numbers: dict[str, int] = {}
    rows, arrays = _write_columns(place, indexes, numbers, limit)
    body = b"".join(texts.values())
    ends = np.cumsum([len(own) for own in texts.values()], dtype=np.int64).tolist()
    addresses = json.dumps(list(numbers)).encode()
    description = json.dumps({
        "rows": rows,
        "arrays": arrays,
        "texts": dict(zip(texts, zip([0, *ends], ends, strict=False), strict=True)),
        "notes": notes,
        "checksums": [deflate.crc32(body), deflate.crc32(addresses)],
    }).encode()  # fmt: skip
    (place / "texts.bin").write_bytes(body)
    (place / "locations.json").write_bytes(addresses)
    (place / "entry.json").write_bytes(b"%08x" % deflate.crc32(description) + description)


def _write_columns(
    place: Path, indexes: Iterable[tuple[str, ChunkIndex]], numbers: dict[str, int], limit: int
) -> tuple[int, dict[str, Any]]:
    """Write the rows of all arrays one after another; how many, and which are whose.

    Sources are numbered by `numbers`, which takes in new ones.
    """
    rows = 0
    arrays: dict[str, Any] = {}
    with ExitStack() as opened:
        files = {
            name: opened.enter_context((place / f"{name}.npy").open("wb")) for name in _COLUMNS
        }
        for name in _COLUMNS:
            _write_header(files[name], name, rows)
        for path, index in indexes:
            checksums = {}
            for name, column in _rows(index, numbers):
                stored = np.ascontiguousarray(column, _COLUMNS[name]).reshape(-1).view(np.uint8)
                checksums[name] = deflate.crc32(stored.data)
                files[name].write(stored.data)
            arrays[path] = (index.shape, index.chunk_shape, index.itemsize, rows, checksums)
            rows += index.kinds.size
            if rows * 21 > limit:
                raise UnusableEntryError("it is larger than the whole cache may be")
        for name in _COLUMNS:
            files[name].seek(0)
            _write_header(files[name], name, rows)
    return rows, arrays


def _write_header(file: BinaryIO, name: str, rows: int) -> None:
    """The header of a column; NumPy leaves room in it for more rows."""
    described = {"descr": _COLUMNS[name], "fortran_order": False, "shape": (rows,)}
    np.lib.format.write_array_header_1_0(file, described)


def _rows(index: ChunkIndex, numbers: dict[str, int]) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    """The columns of an index, its sources numbered by `numbers`, which takes in new ones."""
    for address in index.locations:
        if "?" in address and not address.startswith(("s3:", "file:")):
            raise UnusableEntryError("the address of a source carries a query")
        numbers.setdefault(address, len(numbers))
    known = np.array([*(numbers[own] for own in index.locations), -1], np.int32)
    yield "kinds", index.kinds
    yield "sources", known[index.sources]
    yield "offsets", index.offsets
    yield "lengths", index.lengths
