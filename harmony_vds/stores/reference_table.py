"""The references of a kerchunk document as columns, read piece by piece.

Published documents hold millions of references. As Python objects they would take gigabytes and
minutes; here each piece of the text becomes columns (names, source numbers, offsets, lengths)
before the next one is decoded, and Python takes no step for each reference.
"""

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pandas as pd

from harmony_vds.errors import StoreError
from harmony_vds.model.chunks import ChunkIndex, ChunkKind

type Reference = str | list[Any] | dict[str, Any]
"""Text, ``[url, offset, length]``, or a metadata document that was not made text."""

_HEAD = re.compile(rb'\s*\{\s*(?:"version"\s*:\s*\d+\s*,\s*)?"refs"\s*:\s*\{')
_CUT = re.compile(rb'\]\s*,(?=\s*")')
_ODD_KEYS = ("/.z", "\n.z", "//")
_PIECE = 2**20
_LONGEST_NUMBER = 9
"""Digits; more chunks along a dimension than that do not fit in a file."""


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
            elif isinstance(reference, list) and len(reference) == 3:
                ranges[key] = reference
            else:
                self._set_aside(key, reference)
        self.add_ranges(ranges)

    def add_ranges(self, ranges: Mapping[str, Any]) -> None:
        """Take in references that all are ``[url, offset, length]``. **Reads:** nothing."""
        if not ranges:
            return
        urls, offsets, lengths = (list(map(itemgetter(n), ranges.values())) for n in range(3))
        starts, sizes = _whole_numbers(offsets), _whole_numbers(lengths)
        sources = self._sources(urls)
        if starts is None or sizes is None or sources is None:
            usable = {key: own for key, own in ranges.items() if _defect(key, list(own)) is None}
            for key in ranges.keys() - usable.keys():
                self._set_aside(key, list(ranges[key]))
            self.add_ranges(usable)
            return
        for path, names, chosen in _by_path(ranges):
            columns = _Columns(names, sources[chosen], starts[chosen], sizes[chosen])
            self._columns.setdefault(path, []).append(columns)

    def _set_aside(self, key: str, reference: Reference) -> None:
        path, _, name = key.rpartition("/")
        self.others.setdefault(path, {})[name] = reference

    def _sources(self, urls: list[Any]) -> npt.NDArray[np.int32] | None:
        """The number of each address, or None if one of them is unusable."""
        try:
            codes, found = pd.factorize(np.array(urls, dtype=object))
        except (TypeError, ValueError):
            return None
        fresh = [url for url in found if url not in self._numbers]
        if -1 in codes or not all(
            isinstance(url, str) and "://" in _complete(url) for url in fresh
        ):
            return None
        numbers = [self._numbers.setdefault(url, len(self._numbers)) for url in found]
        known: npt.NDArray[np.int32] = np.array(numbers, np.int32)[codes]
        return known

    def fill(self, path: str, index: ChunkIndex) -> ChunkIndex:
        """`index` with the chunks of the array at `path` put in.

        Raises
        ------
        StoreError
            A reference is unusable; the text names it.

        **Reads:** nothing.
        """
        for columns in self._columns.get(path, ()):
            place, kept = _places(columns.names, index.kinds.shape)
            index.kinds[place] = ChunkKind.VIRTUAL
            index.sources[place] = columns.sources[kept]
            index.offsets[place], index.lengths[place] = (
                columns.offsets[kept],
                columns.lengths[kept],
            )
        own = self._compacted(index)
        for name, reference in self.others.get(path, {}).items():
            numbers = _chunk_numbers(name, index.kinds.shape)
            if numbers is None:
                continue  # left over from a longer array; zarr never asks for it
            defect = None if isinstance(reference, str) else _defect(f"{path}/{name}", reference)
            if defect:
                raise StoreError(defect)
            index.kinds[numbers] = ChunkKind.INLINE
            index.lengths[numbers] = len(inline(f"{path}/{name}", reference))
        return ChunkIndex(
            index.shape, index.chunk_shape, index.itemsize, index.kinds, index.sources,
            index.offsets, index.lengths, own,
        )  # fmt: skip

    def _compacted(self, index: ChunkIndex) -> tuple[str, ...]:
        """The source files of one array alone, which `index` then counts from 0."""
        virtual = index.kinds == ChunkKind.VIRTUAL
        used = np.zeros(len(self._numbers), np.bool_)
        used[index.sources[virtual]] = True
        renumbered = (np.cumsum(used) - 1).astype(np.int32)
        index.sources[virtual] = renumbered[index.sources[virtual]]
        return tuple(
            _complete(url) for url, wanted in zip(self._numbers, used, strict=True) if wanted
        )


def read_document(body: bytes, piece: int = _PIECE) -> tuple[ReferenceTable, dict[str, Any]]:
    """The references in the text of a kerchunk document, and what else is said beside them.

    The text is cut between references and decoded in pieces. A cut that is none, inside a nested
    list or a text, leaves a piece that is not JSON; it is then tried with a longer piece.

    Parameters
    ----------
    body
        The text.
    piece
        Least bytes decoded at once.

    Raises
    ------
    msgspec.DecodeError
        The text is not a JSON object.
    StoreError
        A metadata document is a byte range, or not valid base64.

    **Reads:** nothing.
    """
    table = ReferenceTable()
    head = _HEAD.match(body)
    position, size = head.end() if head else 0, piece
    while head and (cut := _CUT.search(body, position + size)):
        if not _add_piece(table, b"{%b}" % body[position : cut.start() + 1]):
            size *= 2
            continue
        position, size = cut.end(), piece
    rest = body[position:] if position else body
    document = msgspec.json.decode((b'{"refs":{' if head else b"") + rest, type=dict[str, Any])
    references = document.pop("refs", None) if "refs" in document else document
    if isinstance(references, dict):
        table.add(references)
    return table, document


def _add_piece(table: ReferenceTable, text: bytes) -> bool:
    """Add the references in `text`; False if it is not JSON."""
    try:
        ranges = msgspec.json.decode(text, type=dict[str, tuple[str, int, int]])
    except msgspec.ValidationError:
        pass  # metadata or inline chunks stand between the ranges
    except msgspec.DecodeError:
        return False
    else:
        keys = "\n".join(ranges)
        if not any(odd in keys for odd in _ODD_KEYS) and not keys.startswith(".z"):
            table.add_ranges(ranges)
            return True
    try:
        table.add(msgspec.json.decode(text, type=dict[str, Any]))
    except msgspec.DecodeError:
        return False
    return True


def _whole_numbers(column: list[Any]) -> npt.NDArray[np.int64] | None:
    """A column of whole numbers, none of them negative; None if it is something else."""
    try:
        numbers = np.array(column)
    except (ValueError, OverflowError):
        return None
    return numbers.astype(np.int64) if numbers.dtype.kind == "i" and numbers.min() >= 0 else None


def _by_path(keys: Iterable[str]) -> list[tuple[str, bytes, Any]]:
    """Keys by array: its path, the joined names, and which of the keys they are."""
    keys = list(keys)
    path = keys[0].rpartition("/")[0]
    joined = "\n".join(keys)
    prefix = f"{path}/"
    # All of one array, as most pieces are: told by counting, without looking at each key.
    if (
        joined.count(f"\n{prefix}") == joined.count("\n") == len(keys) - 1
        and joined.count("/") == len(keys) * prefix.count("/")
        and path
    ):
        names = joined.replace(f"\n{prefix}", "\n").removeprefix(prefix)
        return [(path, names.encode(), slice(None))]
    parts = [key.rpartition("/") for key in keys]
    codes, paths = pd.factorize(np.array([part[0] for part in parts], dtype=object))
    found = []
    for number, path in enumerate(paths):
        chosen = np.flatnonzero(codes == number)
        names = "\n".join(parts[i][2].replace("\n", " ") for i in chosen)
        found.append((path, names.encode("utf-8", "replace"), chosen))
    return found


def _places(names: bytes, grid: tuple[int, ...]) -> tuple[tuple[Any, ...], Any]:
    """Chunk numbers of `names` as an index into the grid, and which of the names they belong to."""
    if not grid:
        return (), -1  # every key of a scalar means its one chunk; the last one counts
    numbers = _parsed(names, len(grid))
    if numbers is not None:
        inside = (numbers < np.array(grid)).all(axis=1)
        return tuple(numbers[inside].T), inside
    each = [_chunk_numbers(name, grid) for name in names.decode().split("\n")]
    kept = np.array([own is not None for own in each], np.bool_)
    places = np.array([own for own in each if own is not None], np.int64).reshape(-1, len(grid))
    return tuple(places.T), kept


def _parsed(names: bytes, ndim: int) -> npt.NDArray[np.int64] | None:
    """The numbers in names such as ``0.1.2``, a row for each; None if one of them is no such."""
    text = np.frombuffer(names + b"\n", np.uint8)
    ends = np.flatnonzero((text == ord(".")) | (text == ord("\n")))
    digits = np.diff(ends, prepend=-1) - 1
    if ends.size % ndim or digits.min() < 1 or digits.max() > _LONGEST_NUMBER:
        return None
    lines = (text[ends] == ord("\n")).reshape(-1, ndim)
    if not lines[:, -1].all() or lines[:, :-1].any():
        return None
    if int(((text >= ord("0")) & (text <= ord("9"))).sum()) != int(digits.sum()):
        return None
    numbers = np.zeros(ends.size, np.int64)
    for place in range(int(digits.max())):
        has = digits > place
        numbers[has] += (text[ends[has] - 1 - place] - ord("0")).astype(np.int64) * 10**place
    return numbers.reshape(-1, ndim)


def _chunk_numbers(name: str, grid: tuple[int, ...]) -> tuple[int, ...] | None:
    """The chunk that `name` means, or None if the array has none of that name."""
    if not grid:
        return ()
    parts = name.split(".")
    if len(parts) != len(grid) or not all(part.isascii() and part.isdigit() for part in parts):
        return None
    numbers = tuple(map(int, parts))
    return numbers if all(n < m for n, m in zip(numbers, grid, strict=True)) else None


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


def _complete(url: str) -> str:
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
    if "://" not in _complete(url):
        return f"The reference {key} names {url!r}, which is no complete address."
    return None
