"""Coordinate variables as axes: read once, decoded by their own attributes."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from harmony_vds.errors import StoreError
from harmony_vds.model.decoding import packing_of
from harmony_vds.model.grid import Axis, AxisKind
from harmony_vds.model.paths import group_of
from harmony_vds.planning.crs import factor_to
from harmony_vds.planning.hierarchy import Hierarchy

_LARGEST = 1e30
"""A coordinate whose spacing every type can still tell; no real one is near it."""


def read_axis(kind: AxisKind, path: str, hierarchy: Hierarchy) -> Axis:
    """The axis stored at `path`, with its bounds where it has one dimension and the store has them.

    **Reads:** coordinates.
    """
    variable = hierarchy.variables[path]
    raw = hierarchy.load(path)
    dimensions = hierarchy.dimensions(path)
    values = decode(raw, variable.attrs)
    bounds = _bounds_path(path, hierarchy)
    return Axis(
        path=path,
        dimension=dimensions[0] if len(dimensions) == 1 else "",
        kind=kind,
        values=np.atleast_1d(values),
        units=str(variable.attrs.get("units", "")),
        resolution=resolution_of(raw, values, variable.attrs),
        bounds=None if bounds is None else _decoded_bounds(path, bounds, hierarchy),
        bounds_path=bounds or "",
        calendar=str(variable.attrs.get("calendar", "standard")).lower(),
        is_climatology=bounds is not None and _bounds_attribute(variable) == "climatology",
    )


def read_projected_axis(kind: AxisKind, path: str, crs: str, hierarchy: Hierarchy) -> Axis:
    """The axis of x or y stored at `path`, in the units of the reference system `crs` (WKT).

    Raises
    ------
    StoreError
        Its units are none of such coordinates, or it counts cells instead of placing them.

    **Reads:** coordinates.
    """
    axis = read_axis(kind, path, hierarchy)
    factor = factor_to(crs, axis.units)
    if factor is None:
        raise StoreError(
            f"The coordinate {path} is in {axis.units!r}, which its reference system does not "
            "have; a box cannot cut it. The publisher must correct the units."
        )
    told = {"standard_name", "axis", "units"} & {*hierarchy.variables[path].attrs}
    if not told and axis.values.size > 1 and (np.diff(axis.values) == 1).all():
        raise StoreError(
            f"The coordinate {path} counts cells and does not place them; a box cannot cut it. "
            "Ask without a box."
        )
    return replace(
        axis,
        values=axis.values * factor,
        resolution=axis.resolution * factor,
        bounds=None if axis.bounds is None else axis.bounds * factor,
    )


def _bounds_attribute(variable: xr.Variable) -> str:
    """What names the bounds: a climatology's are of another kind, and go by another name."""
    return "climatology" if "climatology" in variable.attrs else "bounds"


def _bounds_path(path: str, hierarchy: Hierarchy) -> str | None:
    """The bounds variable of a coordinate, if it has the shape that bounds have."""
    variable = hierarchy.variables[path]
    named = str(variable.attrs.get(_bounds_attribute(variable), "")).strip()
    named = named if variable.ndim < 2 else ""
    found = hierarchy.resolve(named, group_of(path)) if named else None
    if found is None:
        return None
    own = hierarchy.variables[found]
    if hierarchy.dimensions(found)[:-1] != hierarchy.dimensions(path) or own.ndim == 0:
        return None
    return found if own.shape[-1] == 2 and own.dtype.kind in "iuf" else None


def _decoded_bounds(path: str, bounds: str, hierarchy: Hierarchy) -> npt.NDArray[np.float64]:
    """Bounds decode by their own packing attributes, or by those of their coordinate."""
    attributes = {**hierarchy.variables[path].attrs, **hierarchy.variables[bounds].attrs}
    return np.atleast_2d(decode(hierarchy.load(bounds), attributes))


def decode(raw: npt.NDArray[Any], attributes: dict[Any, Any]) -> npt.NDArray[np.float64]:
    """Physical values by the variable's own CF attributes, missing ones NaN; float64.

    **Reads:** nothing.
    """
    values = np.array(raw, np.float64)  # in place from here on: there may be millions
    for name in ("_FillValue", "missing_value"):
        if name in attributes and not isinstance(attributes[name], str):
            values[np.isin(raw, np.asarray(attributes[name]))] = np.nan
    scale, offset = packing_of(attributes)
    with np.errstate(over="ignore"):  # beyond all numbers is beyond all places, too
        values *= scale
        values += offset
    return values


def resolution_of(
    raw: npt.NDArray[Any], values: npt.NDArray[np.float64], attributes: dict[Any, Any]
) -> float:
    """Spacing of representable values at the largest coordinate; see `Axis.resolution`.

    **Reads:** nothing.
    """
    finite = np.isfinite(values) if values.ndim else np.True_
    highest = float(np.max(values, initial=1.0, where=finite))
    lowest = float(np.min(values, initial=-1.0, where=finite))
    largest = min(max(highest, -lowest), _LARGEST)
    if raw.dtype.kind == "f":
        return float(np.spacing(np.asarray(largest, raw.dtype)))
    if any(map(_is_single, packing_of(attributes))):
        return float(np.spacing(np.float32(largest)))
    return float(np.spacing(largest))


def _is_single(number: float) -> bool:
    """Whether it was rounded to single precision, such as 0.009999999776482582 for 0.01."""
    digits = Decimal(repr(number)).as_tuple().digits
    with np.errstate(over="ignore"):
        return float(np.float32(number)) == number and len(digits) > 9
