"""The references of a kerchunk document as columns, read piece by piece.

Published documents hold millions of references. As Python objects they would take gigabytes and
minutes; here each piece of the text becomes columns (names, source numbers, offsets, lengths)
before the next one is decoded, and Python takes no step for each reference.
"""

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from operator import itemgetter
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pandas as pd

from harmony_vds.errors import StoreError
from harmony_vds.model.chunks import ChunkIndex, ChunkKind, Indexers
from harmony_vds.stores.chunk_names import by_folder, numbers_in, places
from harmony_vds.stores.layouts import MOST_DOCUMENTS, ArrayLayout

type Reference = str | list[Any] | dict[str, Any]
"""Text, ``[url, offset, length]``, or a metadata document that was not made text."""
_LONGEST_SHOWN = 300
"""Characters that are shown of what should be an address."""

MOST_REFERENCES = 2**25
"""Most references of a store; the largest published ones have some millions."""
MOST_INLINE = 2**21
"""Most of them that hold their chunk themselves."""
MOST_SOURCES = 2**21
"""Most source files of a store."""
MOST_PLACES = 2**19
"""Most folders that chunks are named in: one for each array, or for each row of its chunks."""

_TEMPLATE = re.compile(r"\{\{\s*(\w+)\s*\}\}")


@dataclass(frozen=True, eq=False)
class _Columns:
    """References of one array, in the document's order."""

    names: bytes
    """Keys without the array's path, e.g. ``0.1.2``, joined by newlines."""
    sources: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ReferenceTable:
    """What a document refers to, by array."""

    documents: dict[str, bytes] = field(default_factory=dict)
    """Metadata documents by key."""
    others: dict[str, dict[str, Reference]] = field(default_factory=dict)
    """By array and name: inline chunks, and what cannot be read."""
    _columns: dict[str, list[_Columns]] = field(default_factory=dict)
    _numbers: dict[str, int] = field(default_factory=dict)
    """Addresses of the source files as written, numbered."""
    _templates: dict[str, str] = field(default_factory=dict)
    """What ``{{name}}`` stands for in them."""
    _counted: dict[str, int] = field(default_factory=dict)
    _inlined: dict[str, dict[tuple[int, ...], bytes]] = field(default_factory=dict)

    def add(self, references: Mapping[str, Any]) -> None:
        """Take in references of any kind. **Reads:** nothing.

        Raises
        ------
        StoreError
            A metadata document is a byte range, or not valid base64.
        """
        ranges: dict[str, Any] = {}
        for written, reference in references.items():
            key = written.strip("/") if written.endswith("//") else written
            if key.rpartition("/")[2].startswith(".z"):
                self.documents[key] = inline(key, reference)
                self._count("metadata documents", 1, MOST_DOCUMENTS)
            elif isinstance(reference, list) and len(reference) == 3:
                ranges[key] = reference
            else:
                self._set_aside(key, reference)
        self.add_ranges(ranges)

    def add_ranges(self, ranges: Mapping[str, Any]) -> None:
        """Take in references that all are ``[url, offset, length]``. **Reads:** nothing."""
        if not ranges:
            return
        self._count("references", len(ranges), MOST_REFERENCES)
        urls, offsets, lengths = (list(map(itemgetter(n), ranges.values())) for n in range(3))
        starts, sizes = _whole_numbers(offsets), _whole_numbers(lengths)
        sources = self._sources(urls)
        if starts is None or sizes is None or sources is None:
            usable = {key: own for key, own in ranges.items() if _defect(key, list(own)) is None}
            for key in ranges.keys() - usable.keys():
                self._set_aside(key, list(ranges[key]))
            self.add_ranges(usable)
            return
        for path, names, chosen in by_folder(ranges):
            columns = _Columns(names, sources[chosen], starts[chosen], sizes[chosen])
            self._columns.setdefault(path, []).append(columns)
        self._count("folders of chunks", 0, MOST_PLACES, len(self._columns))

    def _set_aside(self, key: str, reference: Reference) -> None:
        path, _, name = key.rpartition("/")
        self.others.setdefault(path, {})[name] = reference
        self._count("inline references", 1, MOST_INLINE)

    def _count(self, what: str, more: int, most: int, held: int = 0) -> None:
        """Raise once the document holds too much of something."""
        held = held or self._counted.get(what, 0) + more
        self._counted[what] = held
        if held > most:
            raise StoreError(f"It holds more than {most:,} {what}, the most that are read.")

    def _sources(self, urls: list[Any]) -> npt.NDArray[np.int32] | None:
        """The number of each address, or None if one of them is unusable."""
        try:
            codes, found = pd.factorize(np.array(urls, dtype=object))
        except (TypeError, ValueError):
            return None
        fresh = [url for url in found if url not in self._numbers]
        if -1 in codes or not all(
            isinstance(url, str) and ("://" in complete(url) or "{{" in url) for url in fresh
        ):
            return None
        numbers = [self._numbers.setdefault(url, len(self._numbers)) for url in found]
        self._count("source files", 0, MOST_SOURCES, len(self._numbers))
        known: npt.NDArray[np.int32] = np.array(numbers, np.int32)[codes]
        return known

    def expand(self, templates: Mapping[str, Any]) -> None:
        """Let ``{{name}}`` in the addresses of source files stand for ``templates[name]``.

        Raises
        ------
        StoreError
            A template is an expression: it would have to be run.

        **Reads:** nothing.
        """
        for name, meant in templates.items():
            if not isinstance(meant, str) or "{{" in meant or "{%" in meant:
                raise StoreError(
                    f"The template {name!r} is more than a text to put in its place; expressions "
                    "are not run. Publish the references in full."
                )
        self._templates.update(templates)

    async def index(
        self,
        path: str,
        layout: ArrayLayout,
        selection: Indexers | None = None,  # noqa: ARG002  all is known
    ) -> ChunkIndex:
        """As `index_of`. **Reads:** nothing."""
        return self.index_of(path, layout)

    def index_of(self, path: str, layout: ArrayLayout) -> ChunkIndex:
        """The chunk index of the array at `path`.

        Raises
        ------
        StoreError
            A reference is unusable; the text names it.

        **Reads:** nothing.
        """
        index = ChunkIndex.empty(layout.shape, layout.chunk_shape, layout.itemsize)
        for columns in self._columns_of(path, layout):
            place, kept = places(columns.names, index.kinds.shape)
            index.kinds[place] = ChunkKind.VIRTUAL
            index.sources[place] = columns.sources[kept]
            index.offsets[place], index.lengths[place] = (
                columns.offsets[kept],
                columns.lengths[kept],
            )
        own = self._compacted(path, index)
        for numbers, body in self.inlined(path, layout).items():
            index.kinds[numbers] = ChunkKind.INLINE
            index.lengths[numbers] = len(body)
        return replace(index, locations=own)

    async def inline(
        self, path: str, layout: ArrayLayout, numbers: tuple[int, ...]
    ) -> bytes | None:
        """The inline chunk at `numbers` of the array at `path`, if any. **Reads:** nothing."""
        return self.inlined(path, layout).get(numbers)

    def inlined(self, path: str, layout: ArrayLayout) -> dict[tuple[int, ...], bytes]:
        """The inline chunks of the array at `path` by their numbers.

        Raises
        ------
        StoreError
            A reference is unusable; the text names it.

        **Reads:** nothing.
        """
        if path in self._inlined:
            return self._inlined[path]
        found = self._inlined[path] = {}
        grid = ChunkIndex.grid_shape(layout.shape, layout.chunk_shape)
        for folder, prefix in self._folders(path, layout, self.others):
            for name, reference in self.others[folder].items():
                numbers = numbers_in(prefix + name, grid)
                if numbers is None:
                    continue  # left over from a longer array; zarr never asks for it
                key = f"{folder}/{name}"
                defect = None if isinstance(reference, str) else _defect(key, reference)
                if defect:
                    raise StoreError(defect)
                found[numbers] = inline(key, reference)
        return found

    def _columns_of(self, path: str, layout: ArrayLayout) -> Iterator[_Columns]:
        for folder, prefix in self._folders(path, layout, self._columns):
            for columns in self._columns[folder]:
                if not prefix:
                    yield columns
                    continue
                lead = prefix.encode()
                names = lead + columns.names.replace(b"\n", b"\n" + lead)
                yield replace(columns, names=names)

    @staticmethod
    def _folders(path: str, layout: ArrayLayout, held: Mapping[str, Any]) -> list[tuple[str, str]]:
        """Folders that hold chunks of an array, and what goes before their names: ``1.2.``."""
        found = [(path, "")] if path in held else []
        if layout.separator == "/" and len(layout.shape) > 1:
            below = f"{path}/"
            found += [
                (folder, folder.removeprefix(below).replace("/", ".") + ".")
                for folder in held
                if folder.startswith(below)
            ]
        return found

    def _compacted(self, path: str, index: ChunkIndex) -> tuple[str, ...]:
        """The source files of one array alone, which `index` then counts from 0."""
        virtual = index.kinds == ChunkKind.VIRTUAL
        used = np.zeros(len(self._numbers), np.bool_)
        used[index.sources[virtual]] = True
        renumbered = (np.cumsum(used) - 1).astype(np.int32)
        index.sources[virtual] = renumbered[index.sources[virtual]]
        return tuple(
            self._address(path, url)
            for url, wanted in zip(self._numbers, used, strict=True)
            if wanted
        )

    def _address(self, path: str, url: str) -> str:
        """The address that `url` means, names in braces replaced."""
        if "{{" in url:
            url = _TEMPLATE.sub(lambda found: self._templates.get(found[1], found[0]), url)
            if "{{" in url or "://" not in complete(url):
                raise StoreError(
                    f"A reference of {path} names {url[:_LONGEST_SHOWN]!r}, which is no complete "
                    "address: expressions in braces are not run."
                )
        return complete(url)


def _whole_numbers(column: list[Any]) -> npt.NDArray[np.int64] | None:
    """A column of whole numbers, none of them negative; None if it is something else."""
    if {*map(type, column)} - {int}:  # numpy takes true for 1
        return None
    try:
        numbers = np.array(column)
    except OverflowError:
        return None
    return numbers.astype(np.int64) if numbers.dtype.kind == "i" and numbers.min() >= 0 else None


def inline(key: str, reference: Reference) -> bytes:
    """The bytes that stand in the document itself. **Reads:** nothing.

    Raises
    ------
    StoreError
        It is a byte range, or not valid base64.
    """
    if isinstance(reference, dict):  # metadata documents also come as objects
        return msgspec.json.encode(reference)
    if not isinstance(reference, str):
        raise StoreError(f"The reference {key} should be text and is a byte range.")
    if not reference.startswith("base64:"):
        return reference.encode("utf-8")
    try:
        return base64.b64decode(reference[7:], validate=True)
    except binascii.Error:
        raise StoreError(f"The inline reference {key} is not valid base64.") from None


def complete(url: str) -> str:
    """`url`, given a scheme where it is a bare path."""
    return f"file://{url}" if url.startswith("/") else url


def _defect(key: str, reference: Reference) -> str | None:
    """What is wrong with a reference that should be a byte range; None if nothing is."""
    if not isinstance(reference, list) or len(reference) != 3 or not isinstance(reference[0], str):
        return (
            f"The reference {key} names a file without offset and length, which this service does "
            "not read."
        )
    url, *numbers = reference
    if not all(type(number) is int and 0 <= number < 2**63 for number in numbers):
        return f"The reference {key} has an unusable offset or length."
    if "://" not in complete(url):
        return f"The reference {key} names {url[:_LONGEST_SHOWN]!r}, which is no complete address."
    return None
