"""Attributes for netCDF, from what a JSON manifest kept of them.

JSON knows one kind of number, so the types that the source file gave its attributes are restored
where CF prescribes them: packing attributes by the digits they have, limits and flags by the type
of their variable. What netCDF cannot hold is turned into text or left out.
"""

import json
import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from harmony_vds.model.decoding import PACKING

_OF_VARIABLE_TYPE = {"flag_values", "flag_masks", "missing_value"}
# Of the variable's type they limit stored numbers, of floating type the unpacked ones.
_LIMITS = {"valid_min", "valid_max", "valid_range", "actual_range"}
_ILLEGAL = re.compile(r"[\x00-\x1f\x7f/]")
_LONGEST_NAME = 250
"""Bytes; netCDF's own limit is 256."""
_RESERVED = {"_FillValue", "_NCProperties", "_Netcdf4Dimid", "_Netcdf4Coordinates", "_nc3_strict",
             "CLASS", "NAME", "DIMENSION_LIST", "REFERENCE_LIST", "_ARRAY_DIMENSIONS"}  # fmt: skip


def netcdf_attributes(
    attributes: Mapping[str, Any], dtype: np.dtype[Any] | None = None
) -> dict[str, Any]:
    """`attributes` in types that netCDF-4 holds; `dtype` is that of the variable, None for groups.

    ``_FillValue`` is left out: it is set when a variable is defined. **Reads:** nothing.
    """
    packing = packing_type([attributes[name] for name in PACKING if name in attributes])
    converted = {}
    for name, value in attributes.items():
        if name in _RESERVED or not name:
            continue
        if name in PACKING and isinstance(value, int | float) and not isinstance(value, np.generic):
            held: Any = packing(value)
        elif name in _LIMITS and dtype is not None:
            packed = dtype.kind in "iu" and any(key in attributes for key in PACKING)
            unpacked = packed and _holds_fractions(value)
            held = _as_type(value, np.dtype(packing) if unpacked else dtype)
        elif name in _OF_VARIABLE_TYPE and dtype is not None:
            held = _as_type(value, dtype)
        else:
            held = _plain(value)
        if held is not None:
            converted[_legal(name)] = held
    return converted


def _legal(name: str) -> str:
    """`name` as netCDF takes it: without slashes and control characters, not too long."""
    cleaned = _text_alone(_ILLEGAL.sub("_", name)).rstrip(" ")
    short = cleaned.encode()[:_LONGEST_NAME].decode(errors="ignore")
    return short if re.match(r"\w|[^\x00-\x7f]", short) else f"_{short}"


def _text_alone(text: str) -> str:
    """`text` without what no encoding has: JSON may hold halves of characters."""
    return text.encode("utf-8", "replace").decode()


def packing_type(values: list[Any]) -> type[np.floating[Any]]:
    """Single precision if the numbers are those that single precision has, digit for digit.

    A float32 0.01 is 0.009999999776482582 in JSON: exactly a float32, and longer than any double
    that a person would have written. (CF 8.1: both packing attributes have one type.)
    """
    numbers = [float(v) for v in values if isinstance(v, int | float) and math.isfinite(v)]
    single = all(float(np.float32(v)) == v for v in numbers)
    long = any(len(repr(v).replace(".", "").strip("-0").split("e")[0]) > 9 for v in numbers)
    return np.float32 if numbers and single and long else np.float64


def _holds_fractions(value: Any) -> bool:
    """Whether a number, or one of several, was written with a decimal point."""
    return bool(np.asarray(value).dtype.kind == "f")


def _as_type(value: Any, dtype: np.dtype[Any]) -> Any:
    """`value` in the variable's own type, if nothing is lost by it."""
    if isinstance(value, str) or dtype.kind not in "iuf":
        return _plain(value)
    try:
        with np.errstate(
            invalid="ignore", over="ignore"
        ):  # a range of 1e15 for whole numbers: not exact
            typed = np.asarray(value).astype(dtype)
    except (ValueError, TypeError, OverflowError):
        return _plain(value)
    exact = np.array_equal(typed.astype(np.float64), np.asarray(value, np.float64), equal_nan=True)
    rounded = dtype.kind == "f" and np.allclose(typed, np.asarray(value, np.float64), rtol=1e-6)
    return typed if exact or rounded else _plain(value)


def _plain(value: Any) -> Any:
    if value is None or (isinstance(value, list | tuple) and not value):
        return None
    if isinstance(value, bool):
        return np.int8(value)
    if isinstance(value, int):
        return np.int32(value) if -(2**31) <= value < 2**31 else _large(value)
    if isinstance(value, float | np.generic):
        return value
    if isinstance(value, str):
        return _text_alone(value.replace("\x00", ""))
    if isinstance(value, list | tuple):
        return _sequence(list(value))
    if isinstance(value, np.ndarray):
        return value if value.dtype.kind in "iufS" and value.ndim <= 1 else _text(value.tolist())
    return _text(value)


def _large(value: int) -> Any:
    return np.int64(value) if -(2**63) <= value < 2**63 else str(value)


def _sequence(values: list[Any]) -> Any:
    if all(isinstance(v, str) for v in values):
        return values
    if any(not isinstance(v, int | float) or isinstance(v, bool) for v in values):
        return _text(values)
    if all(isinstance(v, int) for v in values):
        if any(not -(2**63) <= v < 2**63 for v in values):
            return _text(values)
        fits = all(-(2**31) <= v < 2**31 for v in values)
        return np.array(values, np.int32 if fits else np.int64)
    return np.array(values, np.float64)


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)
