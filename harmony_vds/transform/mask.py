"""Blanks the cells of a window that were not asked for.

A blanked cell holds what the variable itself calls missing: its ``_FillValue``, else its
``missing_value``. A variable that has neither gets a ``_FillValue``: not-a-number for floating
types, otherwise netCDF's default for the type, or the next value that flags and valid range leave.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import netCDF4
import numpy as np
import numpy.typing as npt
import xarray as xr

from harmony_vds.errors import UnsupportedError
from harmony_vds.model.plan import Mask, PlannedVariable
from harmony_vds.model.subset import Block, SubsetVariable
from harmony_vds.transform.computed import computed

_MISSING = ("_FillValue", "missing_value")
_RANGES = ("valid_range", "actual_range")


def masked(variable: SubsetVariable, masks: Iterable[Mask]) -> SubsetVariable:
    """`variable` with the cells outside of its own among `masks` filled; lazy.

    Raises
    ------
    UnsupportedError
        When read: values inside are what must mean missing outside.

    **Reads:** nothing; chunks when values are asked for.
    """
    own = tuple(mask for mask in masks if variable.planned.path in mask.variables)
    if not own:
        return variable
    data = variable.data
    fill, declared = fill_of(data)
    attributes = dict(data.attrs) if declared else {**data.attrs, "_FillValue": fill}
    compute = _Blanked(data, variable.planned, own, fill, declared)
    lazy = computed(data.dims, data.shape, data.dtype, compute, attributes)  # type: ignore[arg-type]
    return replace(variable, data=lazy)


@dataclass(frozen=True, eq=False)
class _Blanked:
    """The values of a variable, filled outside of masks."""

    data: xr.Variable
    planned: PlannedVariable
    masks: tuple[Mask, ...]
    fill: Any
    declared: bool
    """Whether the variable's own attributes call `fill` missing."""

    def __call__(self, block: Block) -> npt.NDArray[Any]:
        """Those of a block; errors as `masked`."""
        values = np.array(self.data[block].values)
        inside = np.ones(values.shape, np.bool_)
        for mask in self.masks:
            inside &= _spread(mask, self.planned.dimensions, block)
        if not self.declared and (values[inside] == self.fill).any():
            raise UnsupportedError(
                f"{self.planned.path.lstrip('/')} cannot be cut by cells: it names no fill value, "
                f"and the value {self.fill} that would stand for cells outside occurs inside. Ask "
                "with pixelSubset=true, which cuts by rows and columns, or for other variables."
            )
        values[~inside] = self.fill
        return values


def _spread(mask: Mask, dimensions: tuple[str, ...], block: Block) -> npt.NDArray[np.bool_]:
    """The part of `mask` that a block needs, shaped to be broadcast over it."""
    axes = [dimensions.index(own) for own in mask.dimensions]
    part = mask.inside.part([block[axis] for axis in axes]).transpose(np.argsort(axes))
    shape = [1] * len(dimensions)
    for axis, size in zip(sorted(axes), part.shape, strict=True):
        shape[axis] = size
    return part.reshape(shape)


def fill_of(data: xr.Variable) -> tuple[Any, bool]:
    """What stands for missing in `data`, and whether its attributes say so already.

    **Reads:** nothing.
    """
    dtype = data.dtype
    for name in _MISSING:
        stated = np.ravel(np.asarray(data.attrs.get(name, ())))
        if stated.size and (value := _typed(stated[0], dtype)) is not None:
            return value, True
    if dtype.kind in "fc":
        return dtype.type(np.nan), False
    if dtype.kind in "iu":
        return next(_free(dtype, data.attrs)), False
    return (b"" if dtype.kind == "S" else np.False_ if dtype.kind == "b" else ""), True


def _typed(value: Any, dtype: np.dtype[Any]) -> Any:
    """`value` as one of `dtype`; None where it is none."""
    if dtype.kind not in "iufc" or np.asarray(value).dtype.kind not in "iuf":
        return None
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        if value != int(value) or not limits.min <= value <= limits.max:
            return None
    return dtype.type(value)


def _free(dtype: np.dtype[Any], attributes: Mapping[Any, Any]) -> Iterator[Any]:
    """Values of an integer type that its attributes do not claim, the likeliest first."""
    limits = np.iinfo(dtype)
    usual = netCDF4.default_fillvals[f"{dtype.kind}{dtype.itemsize}"]
    flags = {int(own) for own in np.ravel(attributes.get("flag_values", ()))}
    low, high = _claimed(attributes)
    for value in (usual, limits.min, limits.max, *range(limits.min + 1, limits.min + 300)):
        if value <= limits.max and value not in flags and not low <= value <= high:
            yield dtype.type(value)
    yield dtype.type(usual)


def _claimed(attributes: Mapping[Any, Any]) -> tuple[float, float]:
    """The range of stored values that `attributes` call valid; empty where they call none so."""
    for name in _RANGES:
        stated = np.ravel(np.asarray(attributes.get(name, ())))
        if stated.size == 2 and stated.dtype.kind in "iu":
            return float(stated[0]), float(stated[1])
    low, high = attributes.get("valid_min"), attributes.get("valid_max")
    return (float(low), float(high)) if low is not None and high is not None else (1.0, 0.0)
