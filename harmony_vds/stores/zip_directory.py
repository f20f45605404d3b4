"""The table of contents of a zip file, read by byte ranges: where each member lies, not what it is.

The library parses it; what it says is then checked, for nothing in a zip file need be true. What a
member's own header says is checked when the member is read.
"""

import hashlib
import io
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from harmony_vds.access.answers import host_path
from harmony_vds.access.fetch import Fetcher
from harmony_vds.access.loop import run
from harmony_vds.errors import StoreError
from harmony_vds.stores.freshness import SourceWatch

LARGEST_DIRECTORY = 16 * 2**20
"""Most bytes of the table of contents: some two hundred thousand members."""
_BLOCK = 2**17
"""Bytes at the end that are fetched at once; they hold all of most tables."""
_HEADER = struct.Struct("<4s5H3I2H")
_LONGEST_EXTRA = 2**16 - 1
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


class Member(NamedTuple):
    """One file inside the zip file."""

    name: str
    """Its path."""
    start: int
    """First byte of its header; its data follow."""
    stop: int
    """Byte that its data cannot reach beyond: where the next member begins."""
    stored: int
    """Bytes as stored."""
    size: int
    """Bytes unpacked, as the table says."""
    crc: int
    """Checksum of the unpacked bytes."""
    method: int
    """0 for stored, 8 for deflated; others are not read."""
    is_encrypted: bool
    """Whether a password is needed."""

    def data_start(self, record: bytes | memoryview) -> int:
        """Where the data begin in `record`, the bytes from `start` on.

        Raises
        ------
        StoreError
            The header there is none, or one of another member.

        **Reads:** nothing.
        """
        if self.is_encrypted or self.method not in _METHODS:
            how = "encrypted" if self.is_encrypted else f"packed by the method {self.method}"
            raise StoreError(f"Its member {self.name} is {how}; stored and deflated ones are read.")
        if len(record) >= _HEADER.size:
            mark, _, flags, method, _, _, _, _, _, name, extra = _HEADER.unpack_from(record)
            begin = _HEADER.size + name
            coding = "utf-8" if flags & 0x800 else "cp437"
            written = bytes(record[_HEADER.size : begin]).decode(coding, "replace")
            fits = self.start + begin + extra + self.stored <= self.stop
            if mark == b"PK\x03\x04" and (method, written) == (self.method, self.name) and fits:
                return int(begin + extra)
        raise StoreError(f"Its table of contents is wrong about its member {self.name}.")

    def unpacked(self, record: bytes | memoryview) -> bytes | memoryview:
        """What the member holds, out of its `record`; errors as `data_start`, or damaged data.

        **Reads:** nothing.
        """
        begin = self.data_start(record)
        body = memoryview(record)[begin : begin + self.stored]
        if self.method == zipfile.ZIP_DEFLATED:
            inflating = zlib.decompressobj(-zlib.MAX_WBITS)
            try:
                body = memoryview(inflating.decompress(body, self.size + 1))
            except zlib.error as error:
                raise StoreError(f"Its member {self.name} cannot be unpacked: {error}.") from None
        if len(body) != self.size or zlib.crc32(body) != self.crc:
            raise StoreError(f"Its member {self.name} is not what its table of contents says.")
        return body


@dataclass(frozen=True, eq=False)
class ZipDirectory:
    """All members of one zip file."""

    members: Mapping[str, Member]
    """By path; of several of one path the last, as everywhere."""
    digest: str
    """Tells this state of the zip file from others: it goes over the checksums of all members."""


def read_directory(href: str, fetcher: Fetcher, watch: SourceWatch) -> ZipDirectory:
    """The table of contents of the zip file at `href`; `watch` learns its present state.

    Raises
    ------
    StoreError
        It is no zip file, its table is too large, or members lie outside the file or overlap.
    ForbiddenError, UpstreamError
        It cannot be read.

    **Reads:** metadata.
    """
    file = _RangeFile(href, fetcher, watch)
    try:
        with zipfile.ZipFile(file) as opened:
            listed, end = opened.infolist(), opened.start_dir
    except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error) as error:
        raise StoreError(f"{host_path(href)} is no zip file that can be read: {error}.") from None
    try:
        members = _checked([own for own in listed if not own.is_dir()], end)
    except StoreError as error:
        raise StoreError(f"{host_path(href)} is not read: {error}") from None
    whole = hashlib.sha256()
    for name in sorted(members):
        whole.update(repr(members[name]).encode())
    return ZipDirectory(members, whole.hexdigest()[:16])


def _checked(listed: list[zipfile.ZipInfo], end: int) -> dict[str, Member]:
    """The members, none of which reaches into another or out of the file."""
    starts = np.array([own.header_offset for own in listed], np.int64)
    stored = np.array([own.compress_size for own in listed], np.int64)
    order = np.argsort(starts, kind="stable")
    stops = np.empty_like(starts)
    stops[order] = np.append(starts[order][1:], end)
    if (starts < 0).any() or (starts + _HEADER.size + stored > stops).any():
        raise StoreError("members overlap, or reach out of it.")
    members = {}
    for own, stop in zip(listed, stops.tolist(), strict=True):
        name = own.filename
        if {"", ".", ".."} & set(name.split("/")) or "\\" in name:
            raise StoreError(f"a member has the path {name[:200]!r}, which leads out of it.")
        least = own.header_offset + _HEADER.size + own.compress_size
        most = least + len(name.encode()) + _LONGEST_EXTRA
        members[name] = Member(
            name, own.header_offset, min(stop, most), own.compress_size, own.file_size, own.CRC,
            own.compress_type, bool(own.flag_bits & 1),
        )  # fmt: skip
    return members


class _RangeFile(io.RawIOBase):
    """The zip file as the library wants to see it; only its end is ever fetched."""

    def __init__(self, href: str, fetcher: Fetcher, watch: SourceWatch) -> None:
        super().__init__()
        self._href, self._fetcher, self._watch = href, fetcher, watch
        first = run(fetcher.fetch_range(href, 0, 1))
        if first.size is None:
            raise StoreError(f"The server does not say how long {host_path(href)} is.")
        watch.check(href, first)
        self._size, self._position = first.size, 0
        self._begin, self._block = self._size, b""

    def readable(self) -> bool:
        """True. **Reads:** nothing."""
        return True

    def seekable(self) -> bool:
        """True. **Reads:** nothing."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Move as files do. **Reads:** nothing."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise OSError(f"{host_path(self._href)} has no byte {base + offset}.")
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        """Where the next byte is read. **Reads:** nothing."""
        return self._position

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes, fewer at the end of the file. **Reads:** metadata."""
        left = max(self._size - self._position, 0)
        count = left if size is None or size < 0 else min(size, left)
        if count > LARGEST_DIRECTORY:
            raise StoreError(
                f"{host_path(self._href)} has a table of contents of {count:,} bytes; at most "
                f"{LARGEST_DIRECTORY:,} are read. Publish it with fewer members: in shards, in "
                "larger chunks, or unpacked."
            )
        start = self._position
        if count and not self._begin <= start <= start + count <= self._begin + len(self._block):
            self._begin = min(start, max(self._size - _BLOCK, 0))
            self._fill(max(start + count, min(self._begin + _BLOCK, self._size)))
        self._position += count
        return self._block[start - self._begin : start - self._begin + count]

    def _fill(self, stop: int) -> None:
        received = run(self._fetcher.fetch_range(self._href, self._begin, stop - self._begin))
        self._watch.check(self._href, received)
        self._block = received.body
