"""Keeps zarr's own codecs within bounds, for arrays that the planned reader leaves to them.

They inflate whatever they are given: a hundred kilobytes of bzip2 become gigabytes. How large a
chunk may become is known from its array; nothing is inflated far beyond that.
"""

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import zarr
from numcodecs.abc import Codec as Numcodec
from zarr.abc.codec import BytesBytesCodec
from zarr.codecs import ShardingCodec
from zarr.core.array_spec import ArraySpec
from zarr.core.buffer import Buffer
from zarr.core.metadata import ArrayV2Metadata

from harmony_vds.stores.codecs import declared_size, refuse_short

_SLACK = 2**20
"""Bytes that anything may have: indexes, headers, what compresses badly."""
_LARGEST_TEXTS = 2**26
"""Most bytes of one chunk of texts, whose length no metadata tell."""
_LARGEST_DICTIONARY = 2**28
"""Most bytes that unpacking LZMA may use by itself."""
_PIECE = 2**22

type _Unpacker = Any
"""A decompressor of the standard library, all of which work alike but for some names."""

_UNPACKERS: dict[str, Callable[[], _Unpacker]] = {
    "zlib": zlib.decompressobj,
    "gzip": lambda: zlib.decompressobj(zlib.MAX_WBITS | 16),
    "bz2": bz2.BZ2Decompressor,
    "lzma": lambda: lzma.LZMADecompressor(memlimit=_LARGEST_DICTIONARY),
}
_DECLARING = {"zstd", "lz4", "blosc"}
"""Compressors whose output begins with the size of their input."""
_CHECKED = _UNPACKERS.keys() | _DECLARING | {"fletcher32"}
"""Codecs whose input is looked at before they get it."""


def inflated(name: str, body: bytes, most: int) -> bytes | None:
    """What `body` unpacks to, or None where it tells its size, which is fit, and is left to others.

    Parameters
    ----------
    name
        The compressor, as numcodecs calls it; any other codec passes.
    body
        What it made.
    most
        Bytes that it may unpack to.

    Raises
    ------
    ValueError
        It would unpack to more, or is damaged or cut short.

    **Reads:** nothing.
    """
    refuse_short(name, body)
    if name in _UNPACKERS:
        return _unpacked(_UNPACKERS[name], body, most)
    if name not in _DECLARING:
        return None
    told = declared_size(name, body)
    if told > most:
        raise ValueError(f"it claims {told:,} bytes where at most {most:,} make sense")
    return _streamed(body, most) if told < 0 else None


def _unpacked(begin: Callable[[], _Unpacker], body: bytes, most: int) -> bytes:
    found, rest = bytearray(), body
    while rest:  # there may be several parts, one after the other
        part = begin()
        while not part.eof:
            piece = part.decompress(rest, _PIECE)
            rest = getattr(part, "unconsumed_tail", b"")
            found += piece
            if len(found) > most:
                raise ValueError(f"it unpacks to more than the {most:,} bytes that make sense")
            if not piece and not rest and not part.eof:
                raise ValueError("it breaks off")
        rest = part.unused_data
    return bytes(found)


def _streamed(body: bytes, most: int) -> bytes:
    """Zstandard that does not tell its size."""
    import pyarrow as pa

    try:
        with pa.CompressedInputStream(pa.py_buffer(body), "zstd") as stream:
            found: bytes = stream.read(most + 1)
    except pa.ArrowException as error:
        raise ValueError(str(error)) from None
    if len(found) > most:
        raise ValueError(f"it unpacks to more than the {most:,} bytes that make sense")
    return found


def _bound(shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    """Most bytes that make sense at any step of encoding a chunk."""
    if dtype.kind in "OT":
        return _LARGEST_TEXTS
    return 2 * int(np.prod(shape, dtype=object)) * max(dtype.itemsize, 8) + _SLACK


class _Bounded2(Numcodec):  # type: ignore[misc]
    """A codec of version 2."""

    codec_id = "bounded"

    def __init__(self, inner: Numcodec, most: int) -> None:
        self.codec_id = inner.codec_id
        self._inner, self._most = inner, most

    def encode(self, buf: Any) -> Any:  # noqa: ARG002
        """Refuse: stores are read-only. **Reads:** nothing."""
        raise PermissionError("a virtual store is read-only")

    def decode(self, buf: Any, out: Any = None) -> Any:
        """What the codec makes of `buf`, within bounds. **Reads:** nothing."""
        found = inflated(str(self.codec_id), memoryview(buf).cast("B").tobytes(), self._most)
        return self._inner.decode(buf, out) if found is None else found

    def get_config(self) -> Any:
        """That of the codec. **Reads:** nothing."""
        return self._inner.get_config()


@dataclass(frozen=True)
class _Bounded3(BytesBytesCodec):
    """A codec of version 3."""

    inner: BytesBytesCodec
    is_fixed_size: bool = field(default=False, init=False)

    def to_dict(self) -> Any:
        """That of the codec. **Reads:** nothing."""
        return self.inner.to_dict()

    async def _decode_single(self, chunk_bytes: Buffer, chunk_spec: ArraySpec) -> Buffer:
        name = str(self.inner.to_dict()["name"]).removeprefix("numcodecs.")
        most = _bound(chunk_spec.shape, np.dtype(chunk_spec.dtype.to_native_dtype()))
        found = inflated(name, chunk_bytes.to_bytes(), most)
        if found is None:
            decoded: Buffer = await self.inner._decode_single(chunk_bytes, chunk_spec)  # noqa: SLF001
            return decoded
        return chunk_spec.prototype.buffer.from_bytes(found)

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: ArraySpec) -> int:
        """That of the codec. **Reads:** nothing."""
        return self.inner.compute_encoded_size(input_byte_length, chunk_spec)


@dataclass(frozen=True)
class _Counted3(BytesBytesCodec):
    """Stands behind a codec of texts in version 3, and looks at what that is to decode."""

    name: str
    is_fixed_size: bool = field(default=True, init=False)

    def to_dict(self) -> Any:
        """Its name, as if it were a codec. **Reads:** nothing."""
        return {"name": f"counted {self.name}"}

    async def _decode_single(self, chunk_bytes: Buffer, chunk_spec: ArraySpec) -> Buffer:  # noqa: ARG002
        refuse_short(self.name, chunk_bytes.to_bytes())
        return chunk_bytes

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: ArraySpec) -> int:  # noqa: ARG002
        """As many bytes as before. **Reads:** nothing."""
        return input_byte_length


def within_bounds(array: zarr.Array[Any]) -> zarr.Array[Any]:
    """`array`, whose chunks inflate to no more than they can sensibly hold. **Reads:** nothing."""
    metadata = array.metadata
    if isinstance(metadata, ArrayV2Metadata):
        most = _bound(metadata.chunks, np.dtype(metadata.dtype.to_native_dtype()))
        filters: Any = tuple(_Bounded2(own, most) for own in metadata.filters or ())
        packed = metadata.compressor and _Bounded2(metadata.compressor, most)
        bounded: Any = replace(metadata, filters=filters or None, compressor=packed)
    else:
        bounded = replace(metadata, codecs=_all_bounded(metadata.codecs))
    inner = array.async_array
    return zarr.Array(zarr.AsyncArray(bounded, inner.store_path, inner.config))


def _all_bounded(codecs: Any) -> Any:
    return tuple(bounded for own in codecs for bounded in _bounded(own))


def _bounded(codec: Any) -> Iterator[Any]:
    if isinstance(codec, ShardingCodec):
        yield replace(
            codec,
            codecs=_all_bounded(codec.codecs),
            index_codecs=_all_bounded(codec.index_codecs),
        )
        return
    name = str(codec.to_dict()["name"]).removeprefix("numcodecs.")
    yield _Bounded3(codec) if name in _CHECKED else codec
    if name.startswith("vlen-"):
        yield _Counted3(name)
