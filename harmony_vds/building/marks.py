"""What a variable is, by its dimensions and CF attributes."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from harmony_vds.model.joined_times import is_time

# Attributes that decide what stored numbers mean: one array can have only one set of them.
MEANING = (
    "scale_factor", "add_offset", "_FillValue", "missing_value", "_Unsigned", "units", "calendar",
)  # fmt: skip

_DEGREES = {
    "Y": ("degrees_north", "degree_north", "degrees_N", "degree_N"),
    "X": ("degrees_east", "degree_east", "degrees_E", "degree_E"),
}


def is_time_like(variable: xr.Variable) -> bool:
    """Whether its numbers are times that count from an instant. **Reads:** nothing."""
    return is_time(variable.attrs.get("units"))


def degrees(variable: xr.Variable) -> str:
    """``Y`` for latitudes, ``X`` for longitudes, else empty. **Reads:** nothing."""
    units, standard = variable.attrs.get("units"), variable.attrs.get("standard_name")
    for kind, name in (("Y", "latitude"), ("X", "longitude")):
        if units in _DEGREES[kind] or standard == name:
            return kind
    return ""


def named_by(dataset: xr.Dataset, attribute: str) -> set[str]:
    """Names of variables that others name in an attribute. **Reads:** nothing."""
    told = (str(own.attrs.get(attribute, "")) for own in dataset.variables.values())
    return {name.rpartition("/")[2].rstrip(":") for text in told for name in text.split()}


def coordinates(dataset: xr.Dataset) -> set[str]:
    """Variables that say where, when and in what reference system the others are.

    **Reads:** nothing.
    """
    mappings = named_by(dataset, "grid_mapping")
    found = {
        str(name) for name, own in dataset.variables.items()
        if own.dims == (name,) or "axis" in own.attrs or degrees(own)
        or (is_time_like(own) and own.ndim <= 1)
        or "grid_mapping_name" in own.attrs or name in mappings
    }  # fmt: skip
    return found | bounds_of(dataset, found)


def bounds_of(dataset: xr.Dataset, names: Iterable[str]) -> set[str]:
    """Variables that bound the cells of `names`. **Reads:** nothing."""
    told = (dataset.variables[name].attrs for name in names)
    named = {str(own.get(key)) for own in told for key in ("bounds", "climatology")}
    return named & set(map(str, dataset.variables))


def bounded_units(dataset: xr.Dataset) -> dict[str, str]:
    """Time-like variable → its units; of bounds without units those of what they bound.

    **Reads:** nothing.
    """
    times = {
        str(name): str(own.attrs["units"]) for name, own in dataset.variables.items()
        if is_time_like(own)
    }  # fmt: skip
    for name in tuple(times):
        for key in ("bounds", "climatology"):
            bound = str(dataset.variables[name].attrs.get(key, ""))
            if bound in dataset.variables:
                times.setdefault(bound, times[name])
    return times


def time_dimension(groups: Mapping[str, xr.Dataset]) -> str | None:
    """The dimension of the first series of times, if there is one. **Reads:** nothing."""
    for dataset in groups.values():
        for variable in dataset.variables.values():
            if variable.ndim == 1 and is_time_like(variable):
                return str(variable.dims[0])
    return None


def nbytes(variable: Any) -> int:
    """Bytes of a variable once decoded. **Reads:** nothing."""
    return int(variable.size) * int(variable.dtype.itemsize)


def is_json(name: object, value: Any) -> bool:
    """Whether JSON can hold an attribute. **Reads:** nothing."""
    if name == "_FillValue":
        return True
    array = np.asarray(value)
    if array.dtype.kind == "c":
        return False
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())


def same_attribute(ours: Any, theirs: Any) -> bool:
    """Whether two values of an attribute, None where there is none, are equal.

    **Reads:** nothing.
    """
    if ours is None or theirs is None:
        return ours is theirs
    try:
        return bool(np.array_equal(ours, theirs, equal_nan=True))
    except TypeError:
        return bool(np.array_equal(ours, theirs))


def without_odd_marks(dataset: xr.Dataset) -> tuple[xr.Dataset, list[str]]:
    """`dataset` without marks of missing values that its variables cannot hold, and which.

    **Reads:** nothing.
    """
    changed, notes = {}, []
    for name, own in dataset.variables.items():
        mark = own.attrs.get("_FillValue")
        if mark is None or _is_held_by(own.dtype, mark):
            continue
        attributes = {key: value for key, value in own.attrs.items() if key != "_FillValue"}
        changed[name] = xr.Variable(own.dims, own.data, attributes, own.encoding)
        notes.append(f"the _FillValue {mark!r} of {name} is left out: {own.dtype} cannot hold it")
    return dataset.assign(changed) if changed else dataset, notes


def _is_held_by(dtype: np.dtype[Any], mark: Any) -> bool:
    if dtype.kind not in "iu":
        return dtype.kind in "fb"
    limits = np.iinfo(dtype)
    return isinstance(mark, int | np.integer) and limits.min <= int(mark) <= limits.max
