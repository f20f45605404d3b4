"""How the chunks of an array are encoded, in words that can be held against its source file.

Also of arrays that zarr's own pipeline reads: a filter that the source does not know makes other
numbers of its bytes, and most such filters notice nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from zarr.core.metadata import ArrayV2Metadata, ArrayV3Metadata

_RETYPING = {"astype": "encode_dtype", "fixedscaleoffset": "astype", "quantize": "astype"}
"""Filters after which elements are of another type, and the setting that names it."""
_PLAIN = {"bytes"}


@dataclass(frozen=True)
class Encoding:
    """What becomes of the elements of an array on their way into its chunks."""

    dtype: np.dtype[Any]
    """Type of the elements that the chunks hold, byte order included."""
    chunk_shape: tuple[int, ...] | None
    """Shape of its chunks; None where they differ."""
    codecs: tuple[Mapping[str, Any], ...]
    """In order of encoding, as numcodecs spells them; ``transpose`` is one."""

    @classmethod
    def of(cls, metadata: ArrayV2Metadata | ArrayV3Metadata) -> "Encoding":
        """The encoding that zarr's metadata describe. **Reads:** nothing."""
        native = np.dtype(metadata.dtype.to_native_dtype())
        if isinstance(metadata, ArrayV2Metadata):
            chain = [*(metadata.filters or ()), metadata.compressor]
            codecs = [codec.get_config() for codec in chain if codec is not None]
            if metadata.order == "F" and len(metadata.shape) > 1:
                codecs.insert(0, {"id": "transpose"})
            chunk_shape: tuple[int, ...] | None = metadata.chunks
        else:
            told: list[Any] = [codec.to_dict() for codec in metadata.codecs]
            codecs = [{**own.get("configuration", {}), "id": _short(own["name"])} for own in told]
            big = any(own["id"] == "bytes" and str(own.get("endian")) == "big" for own in codecs)
            native = native.newbyteorder(">" if big else "<")
            codecs = [own for own in codecs if own["id"] not in _PLAIN]
            chunk_shape = getattr(metadata.chunk_grid, "chunk_shape", None)
        dtype = reduce(_retyped, codecs, native)
        return cls(dtype, chunk_shape, tuple(codecs))

    @property
    def unpacked(self) -> tuple[float, float]:
        """What decoding multiplies numbers by, and then adds to them. **Reads:** nothing."""
        factor, summand = 1.0, 0.0
        for codec in reversed(self.codecs):
            if codec["id"] == "fixedscaleoffset":
                by, to = float(codec["scale"]), float(codec["offset"])
                factor, summand = factor / by, summand / by + to
        return factor, summand


def _short(name: object) -> str:
    return str(name).removeprefix("numcodecs.")


def _retyped(dtype: np.dtype[Any], codec: Mapping[str, Any]) -> np.dtype[Any]:
    told = codec.get(_RETYPING.get(str(codec["id"]), ""))
    return dtype if told is None else np.dtype(told)
