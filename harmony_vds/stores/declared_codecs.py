"""Which codecs may run, of those that the metadata of an array declare.

A codec that is not known may run code, or make objects or gigabytes out of a few bytes.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from harmony_vds.errors import StoreError

_UNKNOWN_FORM = "its metadata list codecs in a form that is not known"
_MOST_CODECS = 32
"""Codecs of one array, as HDF5 has it."""
_BYTE_CODECS = {
    "adler32", "astype", "bitround", "blosc", "bz2", "crc32", "crc32c", "delta", "fixedscaleoffset",
    "fletcher32", "gzip", "jenkins_lookup3", "lz4", "lzma", "packbits", "quantize", "shuffle",
    "zlib", "zstd",
}  # fmt: skip
_CODECS = {2: _BYTE_CODECS | {"vlen-utf8", "vlen-bytes"},
           3: _BYTE_CODECS | {"bytes", "transpose", "sharding_indexed", "vlen-utf8",
                              "vlen-bytes"}}  # fmt: skip


def refuse_unknown_codecs(document: Mapping[str, Any], zarr_format: int) -> None:
    """Raise for a codec that is not known to be harmless, also inside of shards.

    Parameters
    ----------
    document
        An array's ``.zarray`` or ``zarr.json``.
    zarr_format
        2 or 3.

    Raises
    ------
    StoreError
        There is one; the text is the end of a sentence about the array.

    **Reads:** nothing.
    """
    _refuse_any(_codecs(document, zarr_format), zarr_format)


def _codecs(document: Mapping[str, Any], zarr_format: int) -> list[Any]:
    if zarr_format == 3:
        given = document.get("codecs")
        if document.get("storage_transformers"):  # which zarr passes over
            raise StoreError("it has storage transformers, and none is known")
    else:
        filters = document.get("filters") or []
        given = [*filters, document.get("compressor")] if isinstance(filters, list) else None
    if not isinstance(given, list):
        raise StoreError("its metadata list no codecs")
    return [codec for codec in given if codec is not None]


def _refuse_any(codecs: Sequence[Any], zarr_format: int) -> None:
    """As `refuse_unknown_codecs`, of a list of codecs."""
    if len(codecs) > _MOST_CODECS:
        raise StoreError(
            f"its chunks are encoded {len(codecs):,} times; at most {_MOST_CODECS} are"
        )
    for codec in codecs:
        told = codec.get("name" if zarr_format == 3 else "id") if isinstance(codec, dict) else codec
        name = str(told).removeprefix("numcodecs.")
        if name not in _CODECS[zarr_format]:
            raise StoreError(
                f"its chunks are encoded with {name[:80]!r}, which this service does not decode"
            )
        if not isinstance(codec, Mapping):
            raise StoreError(_UNKNOWN_FORM)
        settings = codec.get("configuration") or codec if zarr_format == 3 else codec
        _refuse_odd_types(name, settings)
        _refuse_odd_numbers(name, settings)
        if name == "sharding_indexed":
            inner = codec.get("configuration") or {}
            for part in ("codecs", "index_codecs"):
                listed = inner.get(part) or [] if isinstance(inner, Mapping) else None
                if not isinstance(listed, list):
                    raise StoreError(_UNKNOWN_FORM)
                _refuse_any(listed, zarr_format)


def _refuse_odd_types(name: str, settings: object) -> None:
    """Raise for a filter that would make texts of megabytes, or objects, out of numbers."""
    for key in ("dtype", "astype", "encode_dtype", "decode_dtype"):
        told = settings.get(key) if isinstance(settings, Mapping) else None
        try:
            usual = told is None or np.dtype(told).kind in "iufbc"
        except (TypeError, ValueError):
            usual = False
        if not usual:
            raise StoreError(
                f"its filter {name} makes values of the type {str(told)[:40]!r}, which is not read"
            )


def _refuse_odd_numbers(name: str, settings: object) -> None:
    """Raise for settings by which a filter gives numbers that mean nothing, and no error."""
    told = settings if isinstance(settings, Mapping) else {}
    if name == "shuffle":
        size = told.get("elementsize", 4)
        if type(size) is not int or size < 1:
            raise StoreError(f"its filter shuffle has elements of {str(size)[:40]} bytes")
    if name == "fixedscaleoffset":
        scale, offset = told.get("scale"), told.get("offset")
        if not (_is_number(scale) and _is_number(offset) and scale != 0):
            raise StoreError(
                f"its filter fixedscaleoffset has the scale {str(scale)[:40]} and the offset "
                f"{str(offset)[:40]}, by which no number can be unpacked"
            )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
