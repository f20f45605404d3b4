"""Repairs of attributes that published stores are known to get wrong; each one is reported.

A repair is made only where what was meant can be told for certain from the attributes themselves.
"""

import math
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np
import xarray as xr

from harmony_vds.model.chunks import ChunkIndex, ChunkKind, Indexers
from harmony_vds.model.paths import group_of, name_of
from harmony_vds.model.store import IndexSource
from harmony_vds.stores.metadata import Attributes, default_fill

_FLOAT32_DIGITS = 2.0**-22
"""Relative error of a number that went through float32 arithmetic twice."""
_ELSEWHERE = "fmissing_value"
"""GMAO's own attribute for what ``_FillValue`` should say."""


def missing_mark(
    stored: Mapping[str, Any],
    own: Attributes,
    dtype: np.dtype[Any],
    around: Mapping[str, Any],
) -> tuple[Any, str] | None:
    """The ``_FillValue`` that a variable should have had, and why; None where nothing is wrong.

    Parameters
    ----------
    stored
        Its attributes as the manifest holds them.
    own
        Its attributes as they will be handed out, ``_FillValue`` in the variable's type if it has
        a usable one.
    dtype
        Type of the variable as stored.
    around
        Attributes of its group.

    **Reads:** nothing.
    """
    if "_FillValue" in own or dtype.kind not in "iuf":
        return None
    declared = stored.get("_FillValue")
    if declared is not None:
        packed = packed_sentinel(declared, dtype, own)
        if packed is None:
            return None
        return packed, (
            f"its _FillValue {declared:g} is the unpacked form of {packed}, which marks missing "
            "data here"
        )
    if "missing_value" in own:
        return None  # CF's older mark (section 2.5.1): readers mask by it as it stands
    for name, place, held in (
        (_ELSEWHERE, "its", own),
        ("missing_value", "its group's", around),
    ):
        value = _as_stored(held.get(name), dtype)
        if value is not None and (place == "its" or _has_no_coordinate_role(own, dtype)):
            return value, f"it has no _FillValue; {place} {name} {value:g} marks missing data"
    return None


def _has_no_coordinate_role(own: Mapping[str, Any], dtype: np.dtype[Any]) -> bool:
    """Whether a mark that stands for a whole group may be meant for this variable too."""
    return dtype.kind == "f" and "axis" not in own and "bounds" not in own


def _as_stored(value: Any, dtype: np.dtype[Any]) -> Any:
    """`value` in the variable's type, or None where it is no number of that type."""
    if isinstance(value, list | tuple | np.ndarray) and len(value) == 1:
        value = value[0]
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        return None
    if dtype.kind == "f":
        return dtype.type(value)
    limits = np.iinfo(dtype)
    whole = math.isfinite(value) and int(value) == value and limits.min <= value <= limits.max
    return dtype.type(int(value)) if whole else None


def packed_sentinel(declared: Any, dtype: np.dtype[Any], attributes: Mapping[str, Any]) -> Any:
    """The packed value whose unpacked form is `declared`, or None if there is none for certain.

    Writers that decode before they write leave ``packed * scale_factor + add_offset`` in the
    attribute: -54.53 instead of -32768 with a scale of 0.01 and an offset of 273.15. The candidates
    are the type's limits and the netCDF library's default; another value must fit to a thousandth
    of a step. **Reads:** nothing.
    """
    scale, offset = attributes.get("scale_factor"), attributes.get("add_offset", 0.0)
    if dtype.kind not in "iu" or not all(map(_is_number, (declared, scale, offset))) or not scale:
        return None
    limits = np.iinfo(dtype)
    for candidate in _candidates(dtype):
        unpacked = candidate * float(scale) + float(offset)
        largest = max(abs(declared), abs(offset), abs(candidate * float(scale)))
        if abs(unpacked - declared) <= largest * _FLOAT32_DIGITS:
            return dtype.type(candidate)
    steps = (float(declared) - float(offset)) / float(scale)
    if math.isfinite(steps) and abs(steps - round(steps)) <= 1e-3:
        nearest = round(steps)
        return dtype.type(nearest) if limits.min <= nearest <= limits.max else None
    return None


def _candidates(dtype: np.dtype[Any]) -> Iterator[int]:
    limits = np.iinfo(dtype)
    yield int(limits.min)
    yield int(limits.max)
    default = default_fill(dtype)
    if default is not None:
        yield int(default)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def with_added(
    source: IndexSource, added: Collection[str], tree: xr.DataTree, meant: Mapping[str, str]
) -> IndexSource:
    """`source`, which also answers for coordinates and scalars that opening added.

    Parameters
    ----------
    source
        Gives the chunk indexes of arrays.
    added
        Full paths of what the manifest lacks.
    tree
        The store with all of it.
    meant
        Full path of what is the same as another array of the manifest → path of that one.

    **Reads:** nothing; the result as `source`.
    """

    def index_of(path: str, selection: Indexers | None = None) -> ChunkIndex:
        if path in meant or path not in added:
            return source(meant.get(path, path), selection)
        own = tree[group_of(path)].variables[name_of(path)]
        index = ChunkIndex.empty(own.shape, own.shape, own.dtype.itemsize)
        index.kinds[...] = ChunkKind.INLINE
        return index

    return index_of
