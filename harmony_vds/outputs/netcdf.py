"""Writes netCDF-4: raw values as stored, groups kept, in bounded memory.

netCDF's own library defines the file and writes text and scalars. The chunks of all else are put
into it as they shall lie there: copied as the archive compressed them where the output's chunks are
the archive's, and else compressed in threads. Both are the same file to a reader.
"""

from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import numpy.typing as npt

from harmony_vds.errors import UnsupportedError
from harmony_vds.model.paths import name_of
from harmony_vds.model.plan import Plan
from harmony_vds.model.subset import Subset, SubsetVariable
from harmony_vds.outputs.attributes import netcdf_attributes
from harmony_vds.outputs.direct import write_chunks
from harmony_vds.outputs.filters import LEVEL, Filters, filters_of
from harmony_vds.outputs.layout import output_chunks
from harmony_vds.outputs.pieces import Step, read_ahead
from harmony_vds.outputs.provenance import global_attributes


def write_netcdf(subset: Subset, plan: Plan, path: Path, step: Step) -> None:
    """Write `subset` to `path`.

    Packed integers, fill values and bytes are those of the store; nothing is decoded.

    Raises
    ------
    UnsupportedError
        A variable has a type that netCDF-4 cannot hold.
    StoreError, UpstreamError, TimeLimitError
        A chunk cannot be read; the file is then incomplete and must not be used.

    **Reads:** chunks.
    """
    direct: list[tuple[SubsetVariable, Filters]] = []
    plain: list[tuple[SubsetVariable, Any]] = []
    with netCDF4.Dataset(path, "w", format="NETCDF4") as root:
        for group, attributes in subset.groups.items():
            place = root if group == "/" else root.createGroup(group)
            own = global_attributes(attributes, plan) if group == "/" else attributes
            place.setncatts(netcdf_attributes(own))
        _define_dimensions(root, subset)
        for variable in subset.variables:
            filters = None
            if _is_chunked(variable):
                chunks = output_chunks(variable, subset, plan.layout)
                filters = filters_of(variable, chunks)
                direct.append((variable, filters))
            target = _define(root, variable, filters)
            if filters is None:
                plain.append((variable, target))
        for number, block, values in read_ahead([own for own, _ in plain]):
            plain[number][1][block] = _storable(values)
            step(values.nbytes)
    write_chunks(path, direct, subset.time_axes, step)


def _is_chunked(variable: SubsetVariable) -> bool:
    """Whether it is numbers, and more than one."""
    return variable.data.dtype.kind in "biuf" and variable.data.ndim > 0 and variable.data.size > 0


def _define_dimensions(root: Any, subset: Subset) -> None:
    sizes: dict[str, int] = {}
    for variable in subset.variables:
        sizes.update(zip(variable.planned.dimensions, variable.data.shape, strict=True))
    for path, size in sizes.items():
        group, _, name = path.rpartition("/")
        place = root if not group else root.createGroup(group)
        place.createDimension(name, None if path in subset.time_axes else size)


def _define(root: Any, variable: SubsetVariable, filters: Filters | None) -> Any:
    """Define a netCDF variable with the store's type, fill value and attributes."""
    group, _, name = variable.planned.path.rpartition("/")
    place = root if not group else root[group]
    dtype = variable.data.dtype
    dimensions = [name_of(d) for d in variable.planned.dimensions]
    text = _text_type(dtype, variable.planned.path)
    options: dict[str, Any] = {}
    if filters is not None:
        dtype = filters.dtype
        options = {"compression": "zlib", "complevel": LEVEL, "shuffle": filters.shuffle,
                   "fletcher32": filters.checksum, "chunksizes": filters.chunks,
                   "endian": "native" if dtype.isnative else "big"}  # fmt: skip
    fill = variable.data.attrs.get("_FillValue")
    if text is not None:
        _add_text_dimension(place, dtype, dimensions)
    target = place.createVariable(
        name, text or (dtype.newbyteorder("=") if dtype.isnative else dtype), dimensions,
        fill_value=fill if text is None else None, **options,
    )  # fmt: skip
    target.set_auto_maskandscale(False)
    target.set_auto_chartostring(False)
    target.setncatts(netcdf_attributes(variable.data.attrs, dtype))
    return target


def _text_type(dtype: np.dtype[Any], path: str) -> Any:
    """The netCDF type of a text variable; None for numbers."""
    if dtype.kind in "iu" or (dtype.kind == "f" and dtype.itemsize > 2):
        return None
    if dtype.kind == "S":
        return "S1"
    if dtype.kind in "OUT":
        return str
    if dtype.kind == "b":
        return None
    raise UnsupportedError(
        f"The variable {path.lstrip('/')} has the type {dtype}, which netCDF cannot hold. Ask for "
        "other variables."
    )


def _add_text_dimension(place: Any, dtype: np.dtype[Any], dimensions: list[str]) -> None:
    """Fixed-length text is an array of characters with a last dimension of that length."""
    if dtype.kind != "S" or dtype.itemsize == 1:
        return
    name = f"string{dtype.itemsize}"
    if name not in place.dimensions:
        place.createDimension(name, dtype.itemsize)
    dimensions.append(name)


def _storable(values: npt.NDArray[Any]) -> Any:
    """Values as netCDF4 takes them: native byte order, text as characters or str."""
    if values.dtype.kind == "S" and values.dtype.itemsize > 1:
        # Not netCDF4.stringtochar: that refuses bytes beyond ASCII.
        return np.ascontiguousarray(values).view("S1").reshape(*values.shape, values.itemsize)
    if values.dtype.kind in "OUT":
        return values.astype(object)
    return values.astype(values.dtype.newbyteorder("="), copy=False)
