"""Continues longitudes past the edge of the data, so that a wrapped box comes out in one piece."""

from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from harmony_vds.model.decoding import PACKING, packing_of

_MISSING = ("_FillValue", "missing_value")
_LIMITS = ("valid_min", "valid_max")
_RANGES = ("valid_range", "actual_range")
_PACKED_EXACTNESS = 1e-5
"""Degrees, a metre: what a single-precision scale factor leaves uncertain of a longitude."""


def continue_longitudes(
    variable: xr.Variable,
    shifts: npt.NDArray[np.float64],
    coordinate: Mapping[Any, Any] | None = None,
) -> xr.Variable:
    """`variable` with `shifts` added along its first dimension.

    Values stay in their own data type where it can hold the result; packed longitudes that cannot
    are decoded. Missing values stay missing. Attributes that state a valid range are widened to it.

    Parameters
    ----------
    variable
        Longitudes, shape (x,), or their bounds, shape (x, 2), raw as stored, degrees_east.
    shifts
        Multiples of 360 degrees, shape (x,).
    coordinate
        For bounds, the attributes of their coordinate: bounds without packing of their own are
        packed as it is (CF 7.1). The result states its packing itself, because that of the
        coordinate may change.

    **Reads:** nothing; the coordinate was read for the plan.
    """
    added = shifts.reshape((-1,) + (1,) * (variable.ndim - 1))
    attributes = dict(variable.attrs)
    inherited = coordinate or {}
    if not any(name in attributes for name in PACKING):
        attributes |= {name: inherited[name] for name in PACKING if name in inherited}
    scale, offset = packing_of(attributes)
    raw = np.asarray(variable.values)
    missing = _missing(raw, {**inherited, **attributes})
    moved = raw.astype(np.float64) + added / scale
    if raw.dtype.kind == "f" or _fits(moved[~missing], raw.dtype, scale, attributes):
        values = raw.copy()
        values[~missing] = (moved if raw.dtype.kind == "f" else np.round(moved))[~missing]
    else:
        values = np.where(missing, np.nan, raw.astype(np.float64) * scale + offset + added)
        attributes = _decoded(attributes, scale, offset)
        if any(name in inherited for name in PACKING):
            attributes |= {"scale_factor": 1.0, "add_offset": 0.0}  # not those of the coordinate
    return xr.Variable(variable.dims, values, _widened(attributes, values[~missing]))


def _missing(raw: npt.NDArray[Any], attributes: Mapping[Any, Any]) -> npt.NDArray[np.bool_]:
    marks = [attributes[name] for name in _MISSING if name in attributes]
    numbers = [np.ravel(mark) for mark in marks if np.asarray(mark).dtype.kind in "iuf"]
    found = np.isin(raw, np.concatenate(numbers)) if numbers else np.zeros(raw.shape, np.bool_)
    return found | np.isnan(raw) if raw.dtype.kind == "f" else found


def _fits(
    values: npt.NDArray[np.float64],
    dtype: np.dtype[Any],
    scale: float,
    attributes: Mapping[Any, Any],
) -> bool:
    """Whether packed numbers are whole, within their type, and none of them means missing."""
    limits = np.iinfo(dtype)
    whole = np.abs(values - np.round(values)) * abs(scale) <= _PACKED_EXACTNESS
    within = (np.round(values) >= limits.min) & (np.round(values) <= limits.max)
    return bool((whole & within & ~_missing(np.round(values), attributes)).all())


def _decoded(attributes: Mapping[Any, Any], scale: float, offset: float) -> dict[Any, Any]:
    """Attributes of packed numbers as they are for decoded ones."""
    left = {k: v for k, v in attributes.items() if k not in (*PACKING, *_MISSING)}
    for name in (*_LIMITS, "valid_range"):  # CF states these packed, actual_range decoded
        if name in left and np.asarray(left[name]).dtype.kind in "iuf":
            left[name] = (np.asarray(left[name], np.float64) * scale + offset).tolist()
    return left


def _widened(attributes: dict[Any, Any], values: npt.NDArray[Any]) -> dict[Any, Any]:
    if values.size == 0:
        return attributes
    low, high = values.min().item(), values.max().item()
    scale, offset = packing_of(attributes)
    real = sorted((low * scale + offset, high * scale + offset))
    for name, choose, reached in (("valid_min", min, low), ("valid_max", max, high)):
        if isinstance(attributes.get(name), Real):
            attributes[name] = choose(attributes[name], reached)
    for name in _RANGES:
        stated = np.asarray(attributes.get(name, ()))
        if stated.size == 2 and stated.dtype.kind in "iuf":
            first, last = stated.tolist()
            least, most = real if name == "actual_range" else (low, high)
            attributes[name] = [min(first, least), max(last, most)]
    return attributes
