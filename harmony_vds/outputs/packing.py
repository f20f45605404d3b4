"""How the chunks of a Zarr array are encoded, and what of the archive's may stay as it is.

HDF5 shuffles the bytes of a chunk and deflates them; Zarr v3 has no such codecs of its own. But a
frame of Blosc holds just that: a header of 24 bytes before the very stream. So a chunk of the
archive becomes one of Zarr's own codecs, which every reader has, without being compressed anew.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import deflate
import numcodecs
import numpy as np
import numpy.typing as npt

from harmony_vds.model.stored import Held, RawChunks
from harmony_vds.model.subset import SubsetVariable
from harmony_vds.outputs.filters import LEVEL, Filters, filters_of, whole_chunk

_LEVEL = 3
"""Of Zstandard: what it has by default."""
_BLOSC_LEVEL = 2
"""The same level, as Blosc counts; the next one takes twice the time for 1 to 4 % fewer bytes."""
_LARGEST_FRAME = 2**29
"""Bytes of a chunk that Blosc surely takes as one block."""
_SHUFFLED, _NOT_COMPRESSED, _NOT_SPLIT, _ZLIB = 1, 2, 16, 3 << 5  # bits of a frame's third byte


@dataclass(frozen=True, eq=False)
class Packing:
    """The type, chunks and codec of one Zarr array."""

    dtype: np.dtype[Any]
    """As in its chunks, byte order included."""
    chunks: tuple[int, ...]
    """Shape of a chunk."""
    codec: Any
    """Zarr's codec, as the array's metadata tell it."""
    pack: Callable[[npt.NDArray[Any]], bytes]
    """A chunk as that codec reads it, of values that may end before it does."""
    raw: RawChunks | None = None
    """Chunks of the archive that it can read once they are framed."""
    shuffled: bool = False
    """Whether their bytes are shuffled."""

    def stored(self, held: Held) -> bytes | memoryview:
        """A chunk as it lies in the output, of values or one of `raw`. **Reads:** nothing."""
        if isinstance(held, np.ndarray):
            return self.pack(held)
        nbytes = int(np.prod(self.chunks, dtype=np.int64)) * self.dtype.itemsize
        return blosc_frame(held, nbytes, self.dtype.itemsize, shuffled=self.shuffled)


def packing_of(variable: SubsetVariable, chunks: tuple[int, ...], fill: Any) -> Packing:
    """The codec of a variable of numbers, for the archive's own chunks if any can be copied.

    Parameters
    ----------
    variable
        What is written.
    chunks
        Shape of the chunks of the output.
    fill
        What stands in the part of an edge chunk that lies beyond the array.

    **Reads:** nothing.
    """
    from zarr.codecs import BloscCodec, ZstdCodec

    dtype = variable.data.dtype
    filters = filters_of(variable, chunks)
    nbytes = int(np.prod(chunks, dtype=np.int64)) * dtype.itemsize
    if filters.raw is not None and chunks and not filters.checksum and nbytes <= _LARGEST_FRAME:
        shuffled = filters.shuffle and dtype.itemsize > 1
        deflated = BloscCodec(
            cname="zlib", clevel=LEVEL, shuffle="shuffle" if shuffled else "noshuffle",
            typesize=dtype.itemsize, blocksize=nbytes,
        )  # fmt: skip
        pack = partial(_framed, filters, nbytes, dtype.itemsize, shuffled)
        return Packing(dtype, chunks, deflated, pack, filters.raw, shuffled)
    native = dtype.newbyteorder("<")
    own: Any = numcodecs.Zstd(_LEVEL)
    codec: Any = ZstdCodec(level=_LEVEL)
    if dtype.itemsize > 1:
        own = numcodecs.Blosc("zstd", _BLOSC_LEVEL, numcodecs.Blosc.SHUFFLE)
        codec = BloscCodec(cname="zstd", clevel=_BLOSC_LEVEL, shuffle="shuffle",
                           typesize=dtype.itemsize)  # fmt: skip
    return Packing(native, chunks, codec, partial(_packed, own, chunks, fill, native))


def _framed(
    filters: Filters, nbytes: int, itemsize: int, shuffled: bool, values: npt.NDArray[Any]
) -> bytes:
    """A chunk of values as HDF5 would store it, framed."""
    return blosc_frame(filters.encoded(values), nbytes, itemsize, shuffled=shuffled)


def _packed(
    codec: Any, chunks: tuple[int, ...], fill: Any, dtype: np.dtype[Any], values: npt.NDArray[Any]
) -> bytes:
    """A chunk of values, filled up to its whole shape and compressed."""
    return bytes(codec.encode(whole_chunk(values, chunks, fill, dtype)))


def blosc_frame(stream: bytes | memoryview, nbytes: int, itemsize: int, *, shuffled: bool) -> bytes:
    """A zlib stream as a frame of Blosc with a single block.

    Parameters
    ----------
    stream
        What zlib made, of shuffled bytes or of others.
    nbytes
        Bytes that it inflates to.
    itemsize
        Bytes of an element, by which they are shuffled.
    shuffled
        Whether they are.

    **Reads:** nothing.

    >>> import numcodecs, zlib
    >>> frame = blosc_frame(zlib.compress(b"data" * 9), 36, 1, shuffled=False)
    >>> bytes(numcodecs.Blosc().decode(frame))[:8]
    b'datadata'
    """
    if len(stream) == nbytes:  # a block of its own length is taken for one that is not compressed
        body = deflate.zlib_decompress(stream, nbytes)
        plain = numcodecs.Shuffle(itemsize).decode(body) if shuffled else body
        header = struct.pack("<4B3i", 2, 1, _NOT_COMPRESSED | _ZLIB, itemsize, nbytes, nbytes,
                             16 + nbytes)  # fmt: skip
        return header + bytes(plain)
    flags = _NOT_SPLIT | _ZLIB | (_SHUFFLED if shuffled else 0)
    start = 24  # the header, where the only block begins, and its length
    return b"".join((
        struct.pack("<4B5i", 2, 1, flags, itemsize, nbytes, nbytes, start + len(stream), 20,
                    len(stream)),
        stream,
    ))  # fmt: skip
