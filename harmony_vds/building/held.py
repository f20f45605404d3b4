"""Which variables of a granule a manifest holds by value, beside the references of all others."""

from typing import Any

import numpy.typing as npt
import xarray as xr
from xarray.backends.zarr import FillValueCoder

from harmony_vds.building.marks import bounded_units, bounds_of, coordinates, nbytes
from harmony_vds.building.values import Values

_COMPACT_LIMIT = 2**16
"""HDF5 keeps at most this many bytes of data in an object header."""
_SMALL_SERIES, _TIMES = 2**13, 2**17
"""Most bytes of a series, and of times, that are held by value."""


def with_held_values(dataset: xr.Dataset, values: Values, group: str) -> xr.Dataset:
    """`dataset` with coordinates, times, small series and what has no reference as raw values.

    VirtualiZarr takes data that HDF5 keeps in an object header (compact layout) for missing, and
    refers scalars that were never written to nothing.

    Parameters
    ----------
    dataset
        A group of a granule, of chunk references.
    values
        Reads the granule.
    group
        Full path of the group.

    Raises
    ------
    StoreError, ForbiddenError, UpstreamError
        The granule cannot be read.

    **Reads:** coordinates of the granule.
    """
    times = set(bounded_units(dataset))
    places = coordinates(dataset)
    edges = bounds_of(dataset, places)
    loaded = {}
    for key, variable in dataset.variables.items():
        name, size = str(key), nbytes(variable)
        inside = values.is_held_inside(group, name)
        if variable.dtype.kind not in "iufbS":
            continue
        if (
            inside
            or variable.dims == (key,)
            or (variable.ndim == 1 and ("axis" in variable.attrs or size <= _SMALL_SERIES))
            or variable.ndim == 0
            or (name in times | edges and size <= _TIMES)
            or _has_no_chunk(variable)
        ):
            loaded[name] = _held(variable, values.read(group, name))
    return dataset.assign(loaded)


def _held(variable: xr.Variable, values: npt.NDArray[Any]) -> xr.Variable:
    attributes = dict(variable.attrs)
    fill = attributes.get("_FillValue")
    if isinstance(fill, str) and variable.dtype.kind in "iufb":
        attributes["_FillValue"] = values.dtype.type(FillValueCoder.decode(fill, values.dtype))
    elif fill is not None and variable.dtype.kind in "iufb":
        attributes["_FillValue"] = values.dtype.type(fill)
    # None keeps xarray from giving floats a fill value that the file does not have.
    encoding = {} if "_FillValue" in attributes else {"_FillValue": None}
    return xr.Variable(variable.dims, values, attributes, encoding)


def _has_no_chunk(variable: xr.Variable) -> bool:
    """Whether a small array has no reference: it was never written."""
    manifest = getattr(variable.data, "manifest", None)
    return manifest is not None and nbytes(variable) <= _COMPACT_LIMIT and not manifest.dict()
