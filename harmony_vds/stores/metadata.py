"""Attributes as the source files had them, recovered from what manifests make of them.

zarr v2 has a ``fill_value`` for chunks that were never written, CF has a ``_FillValue`` that marks
missing data, and the writers of reference files mix the two in opposite ways:

- kerchunk drops the attribute and puts it into ``fill_value``; where a variable has none it writes
  ``null`` for times and for variables that bear a mark of the netCDF library, and otherwise HDF5's
  own fill value: the library's default, or 0 in files that the library did not write;
- VirtualiZarr keeps the attribute and puts the HDF5 fill, usually 0, into ``fill_value``.

Taking ``fill_value`` for ``_FillValue`` turns valid zeros of the second kind into missing data;
ignoring it hands the missing data of the first kind out as values. `fill_role` tells the two apart
for a whole hierarchy.
"""

import base64
import binascii
import json
import math
import struct
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any

import numpy as np

# Fill values that the netCDF library gives variables which define none.
_NETCDF_DEFAULTS = {
    "i1": -127,
    "u1": 255,
    "i2": -32767,
    "u2": 65535,
    "i4": -2147483647,
    "u4": 4294967295,
    "i8": -9223372036854775806,
    "u8": 18446744073709551614,
    "f4": 9.969209968386869e36,
    "f8": 9.969209968386869e36,
}

type Attributes = dict[str, Any]


class FillRole(Enum):
    """What the ``fill_value`` of a hierarchy's arrays says about missing data."""

    UNWRITTEN = "unwritten"
    """Only what absent chunks read as; ``_FillValue`` attributes say what is missing."""
    MASK = "mask"
    """It stands for ``_FillValue``."""
    MASK_UNLESS_ZERO = "mask unless zero"
    """It stands for ``_FillValue``, but a zero may just be HDF5's own default."""


def fill_role(
    arrays: Mapping[str, Mapping[str, Any]], attributes: Mapping[str, Mapping[str, Any]]
) -> FillRole:
    """What ``fill_value`` means throughout a zarr v2 hierarchy, told by its writer's habits.

    Parameters
    ----------
    arrays
        Path → ``.zarray`` document. VirtualiZarr leaves an empty ``attributes`` in each.
    attributes
        Path → ``.zattrs`` document of the same arrays.

    **Reads:** nothing.
    """
    keeps_attribute = any("_FillValue" in own for own in attributes.values())
    if keeps_attribute or any("attributes" in document for document in arrays.values()):
        return FillRole.UNWRITTEN
    if any(_tells_undeclared(path, arrays[path], attributes[path]) for path in arrays):
        return FillRole.MASK
    # In netCDF-3 kerchunk writes null wherever nothing is declared.
    return FillRole.MASK if _is_netcdf3(arrays.values()) else FillRole.MASK_UNLESS_ZERO


def _is_netcdf3(documents: Iterable[Mapping[str, Any]]) -> bool:
    """Whether arrays have the looks of netCDF-3: big-endian throughout, nothing compressed."""
    orders = set()
    for document in documents:
        if document.get("filters") or document.get("compressor"):
            return False
        orders.add(str(document.get("dtype", ""))[:1])
    return ">" in orders and orders <= {">", "|"}


def _tells_undeclared(
    path: str, document: Mapping[str, Any], attributes: Mapping[str, Any]
) -> bool:
    """Whether an array declares no ``_FillValue`` and shows it by something else than 0.

    Then a 0 elsewhere in the hierarchy was declared. Some nulls show nothing: kerchunk writes them
    for text and for every time, and marks of the netCDF library stand on dimensions of files that
    it did not write.
    """
    kind = str(document.get("dtype", ""))[1:]
    if document.get("fill_value") is not None:
        return is_default_fill(document["fill_value"], kind)
    is_dimension = attributes.get("_ARRAY_DIMENSIONS") == [path.rpartition("/")[2]]
    is_time = "since" in str(attributes.get("units"))
    return kind[:1] in ("i", "u", "f") and not is_dimension and not is_time


def is_default_fill(fill: Any, kind: str) -> bool:
    """Whether `fill` is what the netCDF library gives a type such as ``i2``. **Reads:** nothing."""
    default = _NETCDF_DEFAULTS.get(kind)
    return default is not None and isinstance(fill, int | float | np.number) and fill == default


def default_fill(dtype: np.dtype[Any]) -> Any:
    """What the netCDF library gives variables of `dtype` that define no fill value, or None.

    **Reads:** nothing.
    """
    found = _NETCDF_DEFAULTS.get(f"{dtype.kind}{dtype.itemsize}")
    return None if found is None else dtype.type(found)


def own_attributes(
    name: str, stored: Mapping[str, Any], dtype: np.dtype[Any], fill_value: Any, role: FillRole
) -> Attributes:
    """The attributes of a variable, ``_FillValue`` decoded to the variable's own type.

    Parameters
    ----------
    name
        Its name, without path.
    stored
        Attributes as the metadata document holds them.
    dtype
        Type of the variable as stored.
    fill_value
        The metadata's fill value, decoded.
    role
        What ``fill_value`` means in this hierarchy.

    **Reads:** nothing.
    """
    attributes = {
        key: _regular(value) for key, value in stored.items() if key != "_ARRAY_DIMENSIONS"
    }
    declared = attributes.pop("_FillValue", None)
    if declared is None and dtype.kind in "iuf" and _masks(name, stored, fill_value, dtype, role):
        declared = fill_value
    decoded = decode_fill(declared, dtype)
    if decoded is not None:
        attributes["_FillValue"] = decoded
    return attributes


def _regular(value: Any) -> Any:
    """An attribute as it is, but lists of lists of different lengths as a text: no array is so."""
    try:
        np.asarray(value)
    except ValueError:
        return json.dumps(value)
    return value


def _masks(
    name: str, stored: Mapping[str, Any], fill_value: Any, dtype: np.dtype[Any], role: FillRole
) -> bool:
    if role is FillRole.UNWRITTEN or fill_value is None:
        return False
    if is_default_fill(fill_value, f"{dtype.kind}{dtype.itemsize}"):
        # Declared or not, nobody can tell any more. Data lose more by a forgotten _FillValue than
        # by a needless one; scalars and coordinates need none.
        return stored.get("_ARRAY_DIMENSIONS", []) not in ([], [name])
    return role is FillRole.MASK or fill_value != 0


def decode_fill(declared: Any, dtype: np.dtype[Any]) -> Any:
    """A ``_FillValue`` as a scalar of `dtype`, or None where it does not fit.

    xarray writes floating fill values into JSON as base64 of a little-endian double, others write
    numbers or the words NaN and Infinity. **Reads:** nothing.
    """
    if declared is None or dtype.kind not in "iufS":
        return None
    if isinstance(declared, str) and dtype.kind == "f":
        try:
            declared = float(declared)
        except ValueError:
            try:
                declared = struct.unpack("<d", base64.b64decode(declared, validate=True))[0]
            except (binascii.Error, struct.error):
                return None
    if dtype.kind == "S":
        told = declared.encode() if isinstance(declared, str) else declared
        return told if isinstance(told, bytes) else None
    return _number_of(declared, dtype)


def _number_of(declared: Any, dtype: np.dtype[Any]) -> Any:
    """A number, or a list of one, as a scalar of `dtype`; None where it is none or does not fit."""
    try:
        given = np.ravel(np.asarray(declared))
    except ValueError:  # lists of different lengths
        return None
    if given.size != 1 or given.dtype.kind not in "iufb":
        return None
    number = given[0].item()
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            value = dtype.type(number)
        return None if np.isinf(value) and not math.isinf(number) else value
    limits = np.iinfo(dtype)
    whole = math.isfinite(number) and number == int(number)
    return dtype.type(int(number)) if whole and limits.min <= number <= limits.max else None
