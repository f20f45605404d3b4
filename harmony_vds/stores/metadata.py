"""Attributes as the source files had them, recovered from what manifests make of them.

zarr v2 has a ``fill_value`` for chunks that were never written, CF has a ``_FillValue`` that marks
missing data, and the writers of reference files mix the two in opposite ways:

- kerchunk drops the attribute and puts it into ``fill_value``; where a variable has none it writes
  ``null``;
- VirtualiZarr keeps the attribute and puts the HDF5 fill, usually 0, into ``fill_value``.

Taking ``fill_value`` for ``_FillValue`` turns valid zeros of the second kind into missing data;
ignoring it hands the missing data of the first kind out as values. `fill_role` tells the two apart
for a whole hierarchy.
"""

import base64
import binascii
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
    arrays: Iterable[Mapping[str, Any]], attributes: Iterable[Mapping[str, Any]]
) -> FillRole:
    """What ``fill_value`` means throughout a zarr v2 hierarchy, told by its writer's habits.

    Parameters
    ----------
    arrays
        The ``.zarray`` documents. VirtualiZarr leaves an empty ``attributes`` in each.
    attributes
        The ``.zattrs`` documents of the same arrays.

    **Reads:** nothing.
    """
    documents = list(arrays)
    keeps_attribute = any("_FillValue" in own for own in attributes)
    if keeps_attribute or any("attributes" in document for document in documents):
        return FillRole.UNWRITTEN
    if any(document.get("fill_value") is None for document in documents):
        return FillRole.MASK
    return FillRole.MASK_UNLESS_ZERO


def own_attributes(
    stored: Mapping[str, Any], dtype: np.dtype[Any], fill_value: Any, role: FillRole
) -> Attributes:
    """The attributes of a variable, ``_FillValue`` decoded to the variable's own type.

    Parameters
    ----------
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
    attributes = {key: value for key, value in stored.items() if key != "_ARRAY_DIMENSIONS"}
    declared = attributes.pop("_FillValue", None)
    if declared is None and dtype.kind in "iuf" and _masks(fill_value, dtype, role):
        declared = fill_value
    decoded = decode_fill(declared, dtype)
    if decoded is not None:
        attributes["_FillValue"] = decoded
    return attributes


def _masks(fill_value: Any, dtype: np.dtype[Any], role: FillRole) -> bool:
    if role is FillRole.UNWRITTEN or fill_value is None:
        return False
    if fill_value == _NETCDF_DEFAULTS.get(f"{dtype.kind}{dtype.itemsize}"):
        return False  # the library's default; readers treat it as missing anyway
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
        return declared.encode() if isinstance(declared, str) else declared
    try:
        value = np.asarray(declared).astype(dtype)[()]
    except (ValueError, TypeError, OverflowError):
        return None
    fits = dtype.kind == "f" or int(value) == declared
    return value if fits else None
