"""Whether a store describes an array as its source file does, in what decides its values."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from harmony_vds.model.joined_times import is_time
from harmony_vds.stores.encoding import Encoding
from harmony_vds.stores.headers import SourceArray
from harmony_vds.stores.metadata import decode_fill, default_fill

type Difference = tuple[str, object, object]
"""What differs, as the store has it, as the file has it."""

_PACKING = {"scale_factor": 1.0, "add_offset": 0.0}
_AS_STORED = (1.0, 0.0)
"""What decoding multiplies by and adds where it leaves numbers as they are."""
_SAME = 1e-6
"""Relative difference of packing numbers that went through text or another type on their way."""
_IDLE = {"astype", "bitround", "fixedscaleoffset", "quantize", "fletcher32"}
"""Filters after which decoding gives what was stored, or what the packing accounts for."""
_OPTIONAL = {"blosc", "bz2", "szip", "zstd"}
"""Compressors that are left out where they do not help; deflate is, too, but by hardly a writer."""
_CALENDARS = {"gregorian": "standard", "": "standard"}


@dataclass(frozen=True, eq=False)
class Described:
    """An array as the store describes it."""

    dtype: np.dtype[Any]
    """Type of its values, of whatever byte order."""
    attributes: Mapping[str, Any]
    """Its attributes."""
    encoding: Encoding
    """How its chunks are encoded."""
    repaired: bool = False
    """Whether its marks for missing data were put right on opening."""
    coordinate: bool = False
    """Whether it is the coordinate of its own dimension, of which nothing may be missing."""
    shape: tuple[int, ...] | None = None
    """Its shape, where it is that of one file alone."""
    unwritten: Any = None
    """What cells of chunks that it does not hold read as; None where it holds all that are read."""
    span: tuple[int, int] = (0, 0)
    """First byte of its chunks in the file, and the byte after the last of them."""


def disagreements(own: Described, source: SourceArray) -> Iterator[Difference]:
    """What `own` and `source` do not agree upon. **Reads:** nothing."""
    if source.dtype.kind in "iufc" and own.dtype.kind in "SUVMm":
        yield "the type", own.dtype.str, source.dtype.newbyteorder("=").str
    if {own.dtype.kind, source.dtype.kind} <= set("iufc"):
        yield from _types(own, source)
        yield from _packing(own, source.attributes)
        yield from _signs(own.attributes, source.attributes)
        unpacked = own.encoding.unpacked != _AS_STORED  # and marks with the values
        if not (own.repaired or own.coordinate or unpacked):
            yield from _marks(own, source)
        yield from _extent(own, source)
    yield from _chunks(own, source)
    yield from _encoded(own.encoding, source)
    yield from _units(own.attributes, source.attributes)


def _types(own: Described, source: SourceArray) -> Iterator[Difference]:
    here, there = own.encoding.dtype, source.dtype
    if here != there:
        yield "the type", here.str, there.str


def _packing(own: Described, there: Mapping[str, Any]) -> Iterator[Difference]:
    here = _unpacked(own)
    for name, neutral in _PACKING.items():
        first, second = (_number(told.get(name, neutral)) for told in (here, there))
        if second is None:
            continue
        if first is None or not np.isclose(first, second, rtol=_SAME, atol=0, equal_nan=True):
            yield name, _shown(here.get(name)), _shown(there.get(name))


def _unpacked(own: Described) -> Mapping[str, Any]:
    """Its attributes, of which those of packing say what its filters do, too."""
    factor, summand = own.encoding.unpacked
    if (factor, summand) == _AS_STORED:
        return own.attributes
    scale, offset = (_number(own.attributes.get(name, to)) for name, to in _PACKING.items())
    if scale is None or offset is None:
        return own.attributes
    return {
        **own.attributes, "scale_factor": scale * factor, "add_offset": scale * summand + offset
    }  # fmt: skip


def _signs(here: Mapping[str, Any], there: Mapping[str, Any]) -> Iterator[Difference]:
    told = [str(own.get("_Unsigned", "")).lower() for own in (here, there)]
    if told[0] != told[1]:
        yield "_Unsigned", _shown(here.get("_Unsigned")), _shown(there.get("_Unsigned"))


def _marks(own: Described, source: SourceArray) -> Iterator[Difference]:
    here, there = (
        decode_fill(attributes.get("_FillValue"), own.dtype)
        for attributes in (own.attributes, source.attributes)
    )
    if there is None and here is not None and here and here == source.fill:
        return  # kerchunk takes what HDF5 fills with for a mark, which it is, but for HDF5's own 0
    # Who declares nothing means the default of the netCDF library.
    default = default_fill(own.dtype)
    first, second = (default if mark is None else mark for mark in (here, there))
    if not (first == second or (first != first and second != second)):  # noqa: PLR0124  not-a-number
        yield "_FillValue", _shown(here), _shown(there)


def _extent(own: Described, source: SourceArray) -> Iterator[Difference]:
    """Of how much it is, where in the file it lies, and what is there of it."""
    if own.shape is not None and own.shape != source.shape:
        yield "the shape", own.shape, source.shape
    if source.span is not None:
        (first, end), (start, stop) = own.span, source.span
        if not start <= first <= end <= stop:
            yield "its bytes from", f"{first:,} to {end:,}", f"from {start:,} to {stop:,}"
    as_stored = own.encoding.unpacked == _AS_STORED
    if as_stored and own.unwritten is not None and source.fill is not None:
        here, there = own.unwritten, source.fill
        if not (here == there or (here != here and there != there)):  # noqa: PLR0124  not-a-number
            yield "for what is not written", _shown(here), _shown(there)


def _chunks(own: Described, source: SourceArray) -> Iterator[Difference]:
    """Of files that are cut into chunks: their shape, less the dimensions that stores add."""
    here, there = own.encoding.chunk_shape, source.chunk_shape
    if here is None or there is None:
        return
    added = len(here) - len(there)
    # Some writers cut chunks that are longer than the file to its length.
    fits = all(
        mine in (theirs, min(theirs, size))
        for mine, theirs, size in zip(here[max(added, 0) :], there, source.shape, strict=False)
    )
    if added < 0 or not fits or set(here[: max(added, 0)]) - {1}:
        yield "chunks of", here, there


def _encoded(own: Encoding, source: SourceArray) -> Iterator[Difference]:
    """Of files whose filters are all known: which of them change how bytes are read."""
    if source.filters is None:
        return
    ids = [str(codec["id"]) for codec in own.codecs]
    # HDF5 leaves single chunks unpacked that packing would not make smaller, and some writers note
    # that in the store; a store that wrongly leaves it out has chunks of another length.
    there = [name for name in source.filters if name in ids or name not in _OPTIONAL]
    pair = [_filters(named, own.dtype) for named in (ids, there)]
    if pair[0] != pair[1]:
        told = [" and ".join(filters) or "none" for filters in pair]
        yield "the filters", told[0], told[1]
    elif "shuffle" in pair[0]:
        sizes = [codec.get("elementsize", 4) for codec in own.codecs if codec["id"] == "shuffle"]
        if set(sizes) != {source.dtype.itemsize}:
            yield "shuffled elements of", f"{sizes[0]} bytes", source.dtype.itemsize


def _filters(ids: Iterable[str], dtype: np.dtype[Any]) -> list[str]:
    """Filters that change how bytes are read."""
    named = ["zlib" if own == "gzip" else own for own in ids]
    idle = _IDLE | ({"shuffle"} if dtype.itemsize == 1 else set())
    return [own for own in named if own not in idle]


def _units(here: Mapping[str, Any], there: Mapping[str, Any]) -> Iterator[Difference]:
    units = [str(own.get("units", "")).strip() for own in (here, there)]
    if not any(is_time(own) for own in units):
        if [own.casefold().split() for own in units[:1]] != [units[1].casefold().split()]:
            yield "units", _shown(here.get("units")), _shown(there.get("units"))
        return
    calendars = [str(own.get("calendar", "")).strip().lower() for own in (here, there)]
    calendars = [_CALENDARS.get(own, own) for own in calendars]
    if calendars[0] != calendars[1]:
        yield "calendar", calendars[0], calendars[1]
    elif not _same_times(units[0], units[1], calendars[0]):
        yield "units", repr(units[0]), repr(units[1])


def _same_times(here: str, there: str, calendar: str) -> bool:
    """Whether equal numbers mean equal times in both units."""
    if here == there:
        return True
    import cftime

    try:
        pair = [cftime.num2date([0, 1], units, calendar) for units in (here, there)]
    except (ValueError, OverflowError):  # no unit of fixed length, or no date
        return False
    return bool((pair[0] == pair[1]).all())


def _number(value: Any) -> float | None:
    """A number, also in words; None for anything else."""
    try:
        plain = np.ravel(np.asarray(float(value) if isinstance(value, str) else value))
    except ValueError:  # no number, or lists of different lengths
        return None
    return float(plain[0]) if plain.size == 1 and plain.dtype.kind in "iuf" else None


def _shown(value: Any) -> str:
    return "none" if value is None else repr(value.tolist() if hasattr(value, "item") else value)
