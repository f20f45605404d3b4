"""How the chunks of a netCDF variable are encoded, and what of the archive's may stay as it is.

HDF5 writes whatever it is given as a chunk and checks nothing, so what is copied must have been
encoded by the filters that the variable declares, in their order, over the same type and shape.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import deflate
import numcodecs
import numpy as np
import numpy.typing as npt

from harmony_vds.model.stored import Held, RawChunks
from harmony_vds.model.subset import SubsetVariable

LEVEL = 1
"""Of libdeflate: 4 saves 1 to 3 % of the bytes of shuffled chunks for up to a fifth more time."""


@dataclass(frozen=True, eq=False)
class Filters:
    """The type, chunks and filters of one variable of the output."""

    dtype: np.dtype[Any]
    """As in the file, byte order included."""
    chunks: tuple[int, ...]
    """Shape of a chunk."""
    fill: Any
    """What stands in the part of an edge chunk that lies beyond the array."""
    shuffle: bool = True
    """Whether bytes are shuffled before they are compressed."""
    checksum: bool = False
    """Whether a checksum (Fletcher32) is put behind the values first of all."""
    raw: RawChunks | None = None
    """Chunks of the archive that are encoded in this very way."""

    @cached_property
    def _shuffler(self) -> Any:
        return numcodecs.Shuffle(self.dtype.itemsize)

    def encoded(self, values: npt.NDArray[Any]) -> bytes:
        """A chunk as it lies in the file, of values that may end before it does.

        **Reads:** nothing.
        """
        body: Any = whole_chunk(values, self.chunks, self.fill, self.dtype).view(np.uint8)
        if self.checksum:
            body = numcodecs.Fletcher32().encode(body)
        if self.shuffle and self.dtype.itemsize > 1:
            body = self._shuffler.encode(body)
        return bytes(deflate.zlib_compress(memoryview(body).cast("B"), LEVEL))

    def stored(self, held: Held) -> bytes | memoryview:
        """A chunk as it lies in the file, of values or of a chunk of `raw`. **Reads:** nothing."""
        return self.encoded(held) if isinstance(held, np.ndarray) else held


def whole_chunk(
    values: npt.NDArray[Any], chunks: tuple[int, ...], fill: Any, dtype: np.dtype[Any]
) -> npt.NDArray[Any]:
    """The cells of a chunk one after another, `fill` behind values that end before it does.

    **Reads:** nothing.
    """
    whole = values
    if values.shape != chunks:
        whole = np.full(chunks, fill, dtype)
        whole[tuple(slice(0, size) for size in values.shape)] = values
    return np.ascontiguousarray(whole, dtype).reshape(-1)


def filters_of(variable: SubsetVariable, chunks: tuple[int, ...]) -> Filters:
    """The filters of a variable, the archive's own if any of its chunks can be copied.

    **Reads:** nothing.
    """
    dtype = variable.data.dtype
    native = (np.dtype("i1") if dtype.kind == "b" else dtype).newbyteorder("=")
    stated = variable.data.attrs.get("_FillValue")
    fill = 0 if stated is None else np.ravel(np.asarray(stated))[0]
    raw = variable.copyable
    if raw is None or raw.array.chunk_shape != chunks or dtype.kind == "b":
        return Filters(native, chunks, fill)
    names = _names(raw.array.codecs, dtype.itemsize)
    if names not in _COPIED or not any(raw.fits(block) for block in variable.blocks):
        return Filters(native, chunks, fill)
    return Filters(
        dtype, chunks, fill, shuffle="shuffle" in names, checksum="fletcher32" in names, raw=raw
    )


_COPIED = (
    ("shuffle", "zlib"),
    ("zlib",),
    ("fletcher32", "shuffle", "zlib"),
    ("fletcher32", "zlib"),
)
"""Chains of filters that netCDF's library declares in this order."""


def _names(codecs: Sequence[Mapping[str, Any]], itemsize: int) -> tuple[str, ...]:
    """What the codecs are called, without a shuffle of single bytes, which changes nothing."""
    names = []
    for own in codecs:
        name, size = str(own.get("id")), int(own.get("elementsize", 4))
        if name == "shuffle" and itemsize == 1:
            continue
        names.append(name if name != "shuffle" or size == itemsize else f"shuffle by {size}")
    return tuple(names)
