"""Continues longitudes past the edge of the data, so that a wrapped box comes out in one piece."""

from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

_PACKING = ("scale_factor", "add_offset")
_RANGES = ("valid_range", "actual_range")


def continue_longitudes(variable: xr.Variable, shifts: npt.NDArray[np.float64]) -> xr.Variable:
    """`variable` with `shifts` added along its first dimension.

    Values stay in their own data type where it can hold the result; packed longitudes that cannot
    are decoded. Attributes that state a valid range are widened to it.

    Parameters
    ----------
    variable
        Longitudes, shape (x,), or their bounds, shape (x, 2), raw as stored, degrees_east.
    shifts
        Multiples of 360 degrees, shape (x,).

    **Reads:** nothing; the coordinate was read for the plan.
    """
    added = shifts.reshape((-1,) + (1,) * (variable.ndim - 1))
    attributes = dict(variable.attrs)
    scale = float(attributes.get("scale_factor", 1.0))
    raw = np.asarray(variable.values)
    moved = raw.astype(np.float64) + added / scale
    if raw.dtype.kind in "iu" and not _fits(moved, raw.dtype):
        offset = float(attributes.get("add_offset", 0.0))
        moved = raw.astype(np.float64) * scale + offset + added
        dtype = np.dtype(np.float64)
        attributes = {k: v for k, v in attributes.items() if k not in (*_PACKING, "_FillValue")}
    else:
        dtype = raw.dtype
    values = (np.round(moved) if dtype.kind in "iu" else moved).astype(dtype)
    return xr.Variable(variable.dims, values, _widened(attributes, values))


def _fits(values: npt.NDArray[np.float64], dtype: np.dtype[Any]) -> bool:
    limits = np.iinfo(dtype)
    whole = np.abs(values - np.round(values)) < 1e-6
    return bool(whole.all() and (values >= limits.min).all() and (values <= limits.max).all())


def _widened(attributes: dict[str, Any], values: npt.NDArray[Any]) -> dict[str, Any]:
    low, high = values.min(), values.max()
    if "valid_min" in attributes:
        attributes["valid_min"] = min(attributes["valid_min"], low.item())
    if "valid_max" in attributes:
        attributes["valid_max"] = max(attributes["valid_max"], high.item())
    for name in _RANGES:
        if np.size(attributes.get(name, ())) == 2:
            first, last = attributes[name]
            attributes[name] = [min(first, low.item()), max(last, high.item())]
    return attributes
