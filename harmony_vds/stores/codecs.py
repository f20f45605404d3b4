"""Decodes chunks fast and within bounds, for the filters that archives use.

A chunk's decoded size is known from its array, so nothing is inflated past it: a few bytes that
claim to be gigabytes end in an error. What is not known here is left to zarr's own pipeline.
"""

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import deflate
import numcodecs
import numpy as np
import numpy.typing as npt
import zarr
from numcodecs.registry import get_codec
from zarr.codecs import BytesCodec
from zarr.core.metadata import ArrayV3Metadata

from harmony_vds.errors import StoreError

type Stored = bytes | memoryview
type Step = Callable[[Stored], Stored]
"""Undoes one filter; raises ValueError for what cannot be undone."""

_KEEP_SIZE = {"shuffle": 0, "fletcher32": 4}
"""Filters whose output is longer than their input by a known number of bytes."""

_BOUNDED = {"zlib", "gzip"}
"""Compressors that need no more than a bound of the size before them."""

_FLETCHER32 = 4
"""Bytes of its checksum."""
_COUNT = 4
"""Bytes of the number of texts, and of the length of each."""
_BLOSC_HEADER = 16
"""Bytes in which Blosc tells how long what follows is, packed and unpacked."""


@dataclass(frozen=True)
class ChunkDecoder:
    """Turns the stored bytes of one chunk into an array."""

    dtype: np.dtype[Any]
    """Type of the elements as stored, byte order included."""
    chunk_shape: tuple[int, ...]
    """Shape of the largest chunk; edge chunks are stored whole."""
    steps: tuple[Step, ...]
    """Filters to undo, in this order."""
    shuffled: bool = False
    """Whether the last of them is a shuffle by whole elements, which windows need not undo."""
    codecs: tuple[Mapping[str, Any], ...] = ()
    """What `steps` were made of."""
    _others: dict[tuple[int, ...], "ChunkDecoder"] = field(default_factory=dict, compare=False)

    def for_chunk(self, shape: tuple[int, ...]) -> "ChunkDecoder":
        """This decoder for a chunk of another shape: chunks of one array may differ.

        **Reads:** nothing.
        """
        if shape == self.chunk_shape:
            return self
        if shape not in self._others:
            other = decoder_of(self.dtype, shape, self.codecs)
            if other is None:
                raise StoreError(f"A chunk of the shape {shape} cannot be decoded.")
            self._others[shape] = other
        return self._others[shape]

    def decode(self, stored: Stored) -> npt.NDArray[Any]:
        """The array in `stored`, shape `chunk_shape`.

        Raises
        ------
        StoreError
            The bytes are damaged, or not what the array's metadata say.

        **Reads:** nothing.
        """
        body = self._undo(stored, self.steps)
        return np.frombuffer(body, self.dtype).reshape(self.chunk_shape)

    def verify(self, stored: Stored) -> None:
        """Prove that a chunk can be decoded, to the bytes that its array says it has.

        Errors as in `decode`. **Reads:** nothing.
        """
        self._undo(stored, self.steps[:-1] if self.shuffled else self.steps)

    def decode_into(self, stored: Stored, window: Any, out: npt.NDArray[Any], target: Any) -> None:
        """Put the cells at `window` of a chunk to `target` of `out`.

        Both are indexes of one slice or integer array for each dimension. Shuffled bytes are put
        together for these cells alone, in their place. Errors as in `decode`.
        **Reads:** nothing.
        """
        in_place = isinstance(target, tuple) and all(isinstance(own, slice) for own in target)
        if not self.shuffled or not in_place:
            out[target] = self._window(stored, window)
            return
        cells = out[target].view(np.uint8)
        for number, plane in enumerate(self._planes(stored)):
            cells[..., number :: self.dtype.itemsize] = plane[window]

    def _window(self, stored: Stored, window: Any) -> npt.NDArray[Any]:
        if not self.shuffled:
            cells: npt.NDArray[Any] = self.decode(stored)[window]
            return cells
        planes = [plane[window] for plane in self._planes(stored)]
        out = np.empty(planes[0].shape, self.dtype)
        for number, plane in enumerate(planes):
            out.view(np.uint8)[..., number :: self.dtype.itemsize] = plane
        return out

    def _planes(self, stored: Stored) -> npt.NDArray[np.uint8]:
        """The first bytes of all elements, then the second ones, and so on."""
        body = self._undo(stored, self.steps[:-1])
        return np.frombuffer(body, np.uint8).reshape(self.dtype.itemsize, *self.chunk_shape)

    def _undo(self, stored: Stored, steps: tuple[Step, ...]) -> Stored:
        body = stored
        try:
            for step in steps:
                body = step(body)
        except (ValueError, RuntimeError, deflate.DeflateError) as error:
            told = str(error).partition("\n")[0].rstrip(".")
            raise StoreError(f"A chunk cannot be decoded: {told}.") from None
        if len(body) != self.nbytes:
            raise StoreError(f"A chunk decodes to {len(body):,} bytes instead of {self.nbytes:,}.")
        return body

    @property
    def nbytes(self) -> int:
        """Bytes of a decoded chunk. **Reads:** nothing."""
        return int(np.prod(self.chunk_shape, dtype=np.int64)) * self.dtype.itemsize


def decoder_of(
    dtype: np.dtype[Any],
    chunk_shape: tuple[int, ...],
    codecs: Sequence[Mapping[str, Any]],
) -> ChunkDecoder | None:
    """The decoder for chunks encoded by `codecs`, or None if one of them is not known here.

    Parameters
    ----------
    dtype
        Type of the elements as stored.
    chunk_shape
        Shape of the chunks.
    codecs
        Configurations as numcodecs spells them (``id`` and settings), in order of encoding.

    **Reads:** nothing.
    """
    if dtype.kind not in "iufb" or not all(chunk_shape):
        return None
    size, exact = int(np.prod(chunk_shape, dtype=np.int64)) * dtype.itemsize, True
    steps: list[Step] = []
    for codec in codecs:
        name = str(codec.get("id"))
        if not exact and name not in _KEEP_SIZE and name not in _BOUNDED:
            return None  # two compressors in a row: the size between them is unknown
        step = _step(codec, size)
        if step is None:
            return None
        steps.append(step)
        if name in _KEEP_SIZE:
            size += _KEEP_SIZE[name]
        else:  # what compresses badly grows a little
            size, exact = size + size // 8 + 4096, False
    first = codecs[0] if codecs else {}
    by_element = first.get("elementsize", 4) == dtype.itemsize
    shuffled = bool(chunk_shape) and first.get("id") == "shuffle" and by_element
    return ChunkDecoder(dtype, chunk_shape, tuple(reversed(steps)), shuffled, tuple(codecs))


def _step(codec: Mapping[str, Any], size: int) -> Step | None:
    """What undoes `codec`, whose input had `size` bytes; views, for a copy costs like inflating."""
    name = str(codec.get("id"))
    if name == "zlib":
        return lambda body: memoryview(deflate.zlib_decompress(body, size))
    if name == "gzip":
        return lambda body: memoryview(deflate.gzip_decompress(body, size))
    if name == "shuffle":
        inner = numcodecs.Shuffle(int(codec.get("elementsize", 4)))
        return lambda body: memoryview(inner.decode(body)).cast("B")
    if name == "fletcher32":
        checked = get_codec(dict(codec))

        def without_sum(body: Stored) -> Stored:
            refuse_short(name, body)
            return memoryview(checked.decode(body)).cast("B")

        return without_sum
    if name not in _DECLARED:
        return None
    bounded = get_codec(dict(codec))

    def undo(body: Stored) -> Stored:
        told = declared_size(name, body)
        if told != size:
            raise ValueError(f"it claims {told} bytes instead of {size}")
        refuse_short(name, body)
        return memoryview(bounded.decode(body)).cast("B")

    return undo


def refuse_short(name: str, body: Stored) -> None:
    """Raise for bytes shorter than they say, where the codec itself would believe them.

    It would read what lies behind them, or make room for more texts than memory can hold.

    Parameters
    ----------
    name
        The codec; others than ``blosc``, ``fletcher32``, ``vlen-utf8`` and ``vlen-bytes`` see it
        themselves.
    body
        A whole encoded chunk.

    Raises
    ------
    ValueError
        It is shorter than it must be.

    **Reads:** nothing.
    """
    if name == "fletcher32" and len(body) < _FLETCHER32:
        raise ValueError(f"it has {len(body)} bytes, which are no checksum")
    if name == "blosc" and len(body) >= _BLOSC_HEADER:
        told = int(struct.unpack_from("<I", body, 12)[0])
        if told > len(body):
            raise ValueError(f"it breaks off after {len(body):,} of {told:,} bytes")
    if name.startswith("vlen-") and len(body) >= _COUNT:
        told = int(struct.unpack_from("<I", body)[0])
        if _COUNT * (told + 1) > len(body):  # each text has a length of its own before it
            raise ValueError(f"it claims {told:,} texts in {len(body):,} bytes")


def declared_size(name: str, body: Stored) -> int:
    """Bytes that `body` says it unpacks to; -1 if it does not say. **Reads:** nothing.

    Parameters
    ----------
    name
        ``zstd``, ``lz4`` or ``blosc``.
    body
        A whole compressed chunk.
    """
    return _DECLARED[name](body)


def _lz4_size(body: Stored) -> int:
    return int(struct.unpack_from("<I", body)[0]) if len(body) >= 4 else -1


def _blosc_size(body: Stored) -> int:
    return int(struct.unpack_from("<I", body, 4)[0]) if len(body) >= _BLOSC_HEADER else -1


def _zstd_size(body: Stored) -> int:
    """Frame_Content_Size of a Zstandard frame (RFC 8878, section 3.1.1.1); -1 if not stated."""
    if len(body) < 6 or body[:4] != b"\x28\xb5\x2f\xfd":
        return -1
    descriptor = body[4]
    flag, single = descriptor >> 6, bool(descriptor & 0x20)
    width = {0: 1 if single else 0, 1: 2, 2: 4, 3: 8}[flag]
    start = 5 + (0 if single else 1) + (0, 1, 2, 4)[descriptor & 3]
    if width == 0 or len(body) < start + width:
        return -1
    value = int.from_bytes(body[start : start + width], "little")
    return value + 256 if width == 2 else value


_DECLARED = {"zstd": _zstd_size, "lz4": _lz4_size, "blosc": _blosc_size}
"""Compressors whose output begins with the size of their input, and where it stands."""


def stored_dtype(array: zarr.Array[Any]) -> np.dtype[Any]:
    """The type of an array's elements as its chunks hold them, byte order included.

    **Reads:** nothing.
    """
    dtype = np.dtype(array.metadata.dtype.to_native_dtype())
    if isinstance(array.metadata, ArrayV3Metadata):
        serializer = next((c for c in array.metadata.codecs if isinstance(c, BytesCodec)), None)
        endian = getattr(serializer, "endian", None)
        return dtype.newbyteorder(">" if getattr(endian, "value", endian) == "big" else "<")
    return dtype


def codec_chain(array: zarr.Array[Any]) -> list[Mapping[str, Any]] | None:
    """The byte codecs of a zarr array as numcodecs spells them, in order of encoding.

    None where the array uses anything that works on more than bytes (transposition, sharding,
    arithmetic filters): zarr's own pipeline reads those. **Reads:** nothing.
    """
    if isinstance(array.metadata, ArrayV3Metadata):
        return _chain_v3([codec.to_dict() for codec in array.metadata.codecs])
    if array.metadata.order != "C":
        return None
    chain = [*(array.metadata.filters or ()), array.metadata.compressor]
    return [codec.get_config() for codec in chain if codec is not None]


def _chain_v3(codecs: Any) -> list[Mapping[str, Any]] | None:
    chain: list[Mapping[str, Any]] = []
    for number, codec in enumerate(codecs):
        name = str(codec["name"]).removeprefix("numcodecs.")
        if (number == 0) != (name == "bytes"):
            return None
        if number:
            chain.append({"id": name, **codec.get("configuration", {})})
    return [_for_decoding(codec) for codec in chain]


def _for_decoding(codec: Mapping[str, Any]) -> Mapping[str, Any]:
    """Without settings that decoding does not need and that v3 spells in other words."""
    return {"id": codec["id"]} if codec["id"] in ("blosc", "zstd") else codec
