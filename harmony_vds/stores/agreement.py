"""Whether a store describes an array as its source file does, in what decides its values."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from harmony_vds.model.joined_times import is_time
from harmony_vds.model.stored import StoredArray
from harmony_vds.stores.headers import SourceArray
from harmony_vds.stores.metadata import decode_fill, default_fill

type Difference = tuple[str, object, object]
"""What differs, as the store has it, as the file has it."""

_PACKING = {"scale_factor": 1.0, "add_offset": 0.0}
_SAME = 1e-6
"""Relative difference of packing numbers that went through text or another type on their way."""
_KNOWN = {"zlib", "shuffle", "fletcher32"}
_MADE = {"astype", "bitround", "fixedscaleoffset", "quantize"}
"""Filters by which writers of stores unpack values; files have attributes for that, or nothing."""
_CALENDARS = {"gregorian": "standard", "": "standard"}


@dataclass(frozen=True, eq=False)
class Described:
    """An array as the store describes it."""

    dtype: np.dtype[Any]
    """Type of its values, of whatever byte order."""
    attributes: Mapping[str, Any]
    """Its attributes."""
    stored: StoredArray | None = None
    """Its chunks; None where they are not known as bytes of one shape."""
    repaired: bool = False
    """Whether its marks for missing data were put right on opening."""
    coordinate: bool = False
    """Whether it is the coordinate of its own dimension, of which nothing may be missing."""


def disagreements(own: Described, source: SourceArray) -> Iterator[Difference]:
    """What `own` and `source` do not agree upon. **Reads:** nothing."""
    if source.dtype.kind in "iufc" and own.dtype.kind in "SUVMm":
        yield "the type", own.dtype.str, source.dtype.newbyteorder("=").str
    if {own.dtype.kind, source.dtype.kind} <= set("iufc"):
        yield from _types(own, source)
        yield from _packing(own.attributes, source.attributes)
        yield from _signs(own.attributes, source.attributes)
        if not (own.repaired or own.coordinate):
            yield from _marks(own, source)
    yield from _chunks(own, source)
    yield from _units(own.attributes, source.attributes)


def _types(own: Described, source: SourceArray) -> Iterator[Difference]:
    here = own.dtype.newbyteorder("=") if own.stored is None else own.stored.dtype
    there = source.dtype.newbyteorder("=") if own.stored is None else source.dtype
    if here != there:
        yield "the type", here.str, there.str


def _packing(here: Mapping[str, Any], there: Mapping[str, Any]) -> Iterator[Difference]:
    for name, neutral in _PACKING.items():
        first, second = (_number(own.get(name, neutral)) for own in (here, there))
        if first is None or second is None:
            continue
        if not np.isclose(first, second, rtol=_SAME, atol=0, equal_nan=True):
            yield name, _shown(here.get(name)), _shown(there.get(name))


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


def _chunks(own: Described, source: SourceArray) -> Iterator[Difference]:
    """Of files that are cut into chunks: their shape, less the dimensions that stores add."""
    if own.stored is None or source.chunk_shape is None:
        return
    here, there = own.stored.chunk_shape, source.chunk_shape
    added = len(here) - len(there)
    # Some writers cut chunks that are longer than the file to its length.
    fits = all(
        mine in (theirs, min(theirs, size))
        for mine, theirs, size in zip(here[max(added, 0) :], there, source.shape, strict=False)
    )
    if added < 0 or not fits or set(here[: max(added, 0)]) - {1}:
        yield "chunks of", here, there
    ids = [str(codec["id"]) for codec in own.stored.codecs]
    if set(ids) & _MADE or set(source.filters) - _KNOWN - {"gzip"}:
        return
    pair = [_filters(named, own.dtype) for named in (ids, source.filters)]
    if pair[0] != pair[1]:
        told = [" and ".join(filters) or "none" for filters in pair]
        yield "the filters", told[0], told[1]
    elif "shuffle" in pair[0]:
        sizes = [
            codec.get("elementsize", 4) for codec in own.stored.codecs if codec["id"] == "shuffle"
        ]
        if set(sizes) != {source.dtype.itemsize}:
            yield "shuffled elements of", f"{sizes[0]} bytes", source.dtype.itemsize


def _filters(ids: Any, dtype: np.dtype[Any]) -> list[str]:
    """Filters that change how bytes are read."""
    named = ["zlib" if own == "gzip" else own for own in ids]
    idle = {"fletcher32"} | ({"shuffle"} if dtype.itemsize == 1 else set())
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
    try:
        plain = np.ravel(np.asarray(value))
    except ValueError:  # lists of different lengths
        return None
    return float(plain[0]) if plain.size == 1 and plain.dtype.kind in "iuf" else None


def _shown(value: Any) -> str:
    return "none" if value is None else repr(value.item() if hasattr(value, "item") else value)
