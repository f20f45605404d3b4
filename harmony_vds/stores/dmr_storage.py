"""Where a DMR++ says that a variable's values lie: ``dmrpp:chunks`` and what may stand for it."""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harmony_vds.errors import StoreError
from harmony_vds.model.arrays import Integers
from harmony_vds.model.chunks import ChunkIndex, refuse_excess
from harmony_vds.stores.dmr import DMRPP, DmrVariable, Element, number
from harmony_vds.stores.metadata import default_fill

_FILTERS = ("shuffle", "deflate", "fletcher32")
"""In the order in which HDF5 applies them; documents without version do not keep to it."""
_LARGEST_BLOCK = 4 * 2**20
"""Bytes of the pieces into which contiguous values are cut."""


@dataclass(frozen=True, eq=False)
class DmrStorage:
    """The stored form of one variable."""

    dtype: np.dtype[Any]
    """Type of its elements as stored."""
    chunk_shape: tuple[int, ...]
    """Shape of one chunk."""
    filters: tuple[dict[str, Any], ...]
    """Configurations of numcodecs, in order of encoding."""
    fill: Any
    """What reads where no chunk was written; None for text."""
    numbers: Integers
    """Chunk numbers, a row for each chunk."""
    offsets: Integers
    """First byte of each chunk."""
    lengths: Integers
    """Stored bytes of each chunk."""
    hrefs: tuple[str | None, ...]
    """File of each chunk as written; None for the document's own."""
    inline: bytes | None = None
    """The one chunk, where it stands in the document."""


def storage_of(variable: DmrVariable, *, ordered: bool) -> DmrStorage:
    """How the values of `variable` are stored.

    Parameters
    ----------
    variable
        A variable of a DMR++.
    ordered
        Whether the document lists filters in the order of encoding: those with a version do.

    Raises
    ------
    StoreError
        They are stored in a way that is not read; the text is the end of a sentence about it.

    **Reads:** nothing.
    """
    element = variable.element
    for name, told in (
        ("vlsa", "text of varying length"),
        ("specialstructuredata", "a structure"),
    ):
        if element.find(f"{DMRPP}{name}") is not None:
            raise StoreError(f"it holds {told}, which this service does not read")
    chunks = element.find(f"{DMRPP}chunks")
    for name in ("compact", "missingdata"):
        if (own := element.find(f"{DMRPP}{name}")) is not None:
            return _inline(variable, own, compressed=name == "missingdata")
    single = element.findall(f"{DMRPP}chunk")
    if chunks is None and not single:
        raise StoreError("the DMR++ does not say where its values lie")
    dtype = _stored_type(variable, chunks)
    if chunks is None:
        return _contiguous(variable, dtype, single, None)
    if chunks.find(f"{DMRPP}block") is not None or chunks.get("LBChunk") == "true":
        raise StoreError("its chunks lie in several pieces each, which this service does not read")
    sizes = chunks.findtext(f"{DMRPP}chunkDimensionSizes")
    pieces = chunks.findall(f"{DMRPP}chunk")
    if sizes is None or not variable.shape:
        return _contiguous(variable, dtype, pieces, chunks)
    filters = _filters(chunks, dtype.itemsize, ordered=ordered)
    return _chunked(variable, dtype, filters, chunks)


def _stored_type(variable: DmrVariable, chunks: Element | None) -> np.dtype[Any]:
    if variable.dtype is None:
        fixed = variable.element.find(f"{DMRPP}FixedLengthStringArray")
        length = _integers([fixed.get("string_length", "")])[0] if fixed is not None else 0
        if not 0 < length < 2**20:
            raise StoreError("it holds text of varying length, which this service does not read")
        return np.dtype(f"S{length}")
    big = chunks is not None and chunks.get("byteOrder") == "BE"
    return variable.dtype.newbyteorder(">" if big else "<")


def _inline(variable: DmrVariable, element: Element, *, compressed: bool) -> DmrStorage:
    """Values that stand in the document: as they are, or deflated."""
    text = "".join((element.text or "").split())
    try:
        body = base64.b64decode(text, validate=True)
    except binascii.Error:
        raise StoreError("its values in the DMR++ are not valid base64") from None
    count = int(np.prod(variable.shape, dtype=object))
    dtype = variable.dtype
    if dtype is None:
        if not body or count == 0 or len(body) % count:
            raise StoreError("it holds text of varying length, which this service does not read")
        dtype = np.dtype(f"S{len(body) // count}")
    deflated = compressed and count != 1
    if not deflated and len(body) != count * dtype.itemsize:
        raise StoreError(
            f"its values in the DMR++ have {len(body):,} bytes instead of "
            f"{count * dtype.itemsize:,}"
        )
    none, rank = np.empty(0, np.int64), len(variable.shape)
    filters = ({"id": "zlib", "level": 1},) if deflated else ()
    return DmrStorage(
        dtype, tuple(max(n, 1) for n in variable.shape), filters,
        _fill(variable, None, missing=False), none.reshape(0, rank), none, none, (), body,
    )  # fmt: skip


def _contiguous(
    variable: DmrVariable, dtype: np.dtype[Any], pieces: Sequence[Element], chunks: Element | None
) -> DmrStorage:
    """Values in one piece, cut into blocks of rows so that a few do not cost all."""
    if chunks is not None and chunks.get("compressionType"):
        raise StoreError("it is compressed without chunks, which this service does not read")
    if len(pieces) > 1:
        raise StoreError("its values lie in several pieces, which this service does not read")
    shape, filled = variable.shape, _fill(variable, chunks, missing=not pieces)
    whole = int(np.prod(shape, dtype=object)) * dtype.itemsize
    blocks = _row_blocks(shape, dtype.itemsize)
    refuse_excess(shape, blocks, dtype.itemsize)
    if not pieces or not whole:
        none = np.empty(0, np.int64)
        return DmrStorage(
            dtype, blocks, (), filled, none.reshape(0, len(shape)), none, none, ()
        )  # fmt: skip
    offset, length = _integers([pieces[0].get("offset", ""), pieces[0].get("nBytes", "")])
    if length != whole:
        raise StoreError(f"its values have {length:,} bytes instead of {whole:,}")
    grid = ChunkIndex.grid_shape(shape, blocks)
    count = int(np.prod(grid, dtype=np.int64))
    numbers = np.stack(np.unravel_index(np.arange(count), grid), -1) if grid else np.empty((1, 0))
    size = whole // count
    return DmrStorage(
        dtype, blocks, (), filled, numbers.astype(np.int64), offset + size * np.arange(count),
        np.full(count, size), (pieces[0].get("href"),) * count,
    )  # fmt: skip


def _row_blocks(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """Chunks of equal size along the first dimension that has a length."""
    axis = next((i for i, n in enumerate(shape) if n > 1), None)
    if axis is None:
        return tuple(max(n, 1) for n in shape)
    row = int(np.prod(shape[axis + 1 :], dtype=object)) * itemsize
    sizes = np.arange(1, min(max(_LARGEST_BLOCK // max(row, 1), 1), shape[axis]) + 1)
    rows = int(sizes[shape[axis] % sizes == 0][-1])
    if rows * row * 64 < _LARGEST_BLOCK:
        return tuple(max(n, 1) for n in shape)
    return (*(1 for _ in shape[:axis]), rows, *shape[axis + 1 :])


def _chunked(
    variable: DmrVariable,
    dtype: np.dtype[Any],
    filters: tuple[dict[str, Any], ...],
    chunks: Element,
) -> DmrStorage:
    """How a variable is stored whose chunks have places; raise where these make no grid."""
    shape, pieces = variable.shape, chunks.findall(f"{DMRPP}chunk")
    sizes = _integers(chunks.findtext(f"{DMRPP}chunkDimensionSizes").split())
    if len(sizes) != len(shape) or (sizes < 1).any():
        raise StoreError("its chunks have another number of dimensions than it has")
    chunk_shape = tuple(int(n) for n in sizes)
    refuse_excess(shape, chunk_shape, dtype.itemsize)
    grid = ChunkIndex.grid_shape(shape, chunk_shape)
    missing = len(pieces) < int(np.prod(grid, dtype=object))
    if any(_integers([piece.get("fm") or "0"])[0] for piece in pieces):
        raise StoreError("some of its chunks are stored without its filters")
    corners = [piece.get("chunkPositionInArray", "").strip(" []").split(",") for piece in pieces]
    if any(len(corner) != len(shape) or corner == [""] for corner in corners):
        raise StoreError("some of its chunks have no place in it")
    positions = _integers([along for corner in corners for along in corner])
    positions = positions.reshape(-1, len(shape))
    numbers = positions // sizes
    if (positions % sizes).any() or (numbers >= np.array(grid)).any():
        raise StoreError("some of its chunks lie outside its grid of chunks")
    if len(np.unique(numbers, axis=0)) < len(numbers):
        raise StoreError("the DMR++ describes one of its chunks twice")
    return DmrStorage(
        dtype,
        chunk_shape,
        filters,
        _fill(variable, chunks, missing=missing),
        numbers,
        _integers([piece.get("offset", "") for piece in pieces]),
        _integers([piece.get("nBytes", "") for piece in pieces]),
        tuple(piece.get("href") for piece in pieces),
    )


def _filters(chunks: Element, itemsize: int, *, ordered: bool) -> tuple[dict[str, Any], ...]:
    names = (chunks.get("compressionType") or "").split()
    unknown = [name for name in names if name not in _FILTERS]
    if unknown:
        raise StoreError(f"it is stored with the filter {unknown[0]!r}, which is not read")
    if not ordered:
        names = [name for name in _FILTERS if name in names]
    levels = (chunks.get("deflateLevel") or chunks.get("deflate_level") or "").split()
    level = int(levels[0]) if levels and levels[0].isdigit() and len(levels[0]) == 1 else 6
    known: dict[str, dict[str, Any]] = {
        "shuffle": {"id": "shuffle", "elementsize": itemsize},
        "deflate": {"id": "zlib", "level": level},
        "fletcher32": {"id": "fletcher32"},
    }
    return tuple(known[name] for name in names)


def _fill(variable: DmrVariable, chunks: Element | None, *, missing: bool) -> Any:
    """What unwritten cells read as; writers give it six digits, other places give all of them."""
    if variable.dtype is None:
        return None
    declared = variable.attributes.get("_FillValue")
    declared = declared if isinstance(declared, np.generic) else None
    text = None if chunks is None else chunks.get("fillValue")
    if text is None:
        if declared is None and missing:
            raise StoreError("some of its chunks were never written and nothing tells their value")
        told = 0 if declared is None else declared
    else:
        try:
            told = number(text, variable.dtype)
        except (ValueError, OverflowError):
            raise StoreError(f"its fill value {text[:40]!r} is not usable") from None
    for exact in (declared, default_fill(variable.dtype)):
        if exact is not None and variable.dtype.kind == "f":
            with np.errstate(invalid="ignore"):
                if abs(float(exact) - float(told)) <= 1e-5 * abs(float(exact)):
                    return variable.dtype.type(exact)
    return variable.dtype.type(told)


def _integers(texts: Sequence[str]) -> Integers:
    """Whole numbers, none of them negative."""
    try:
        found = np.array([int(text) for text in texts], np.int64)
    except (ValueError, OverflowError):
        raise StoreError("one of its offsets, lengths or places is no usable number") from None
    if (found < 0).any():
        raise StoreError("one of its offsets, lengths or places is negative")
    return found
