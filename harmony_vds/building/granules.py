"""Granule files as virtual datasets: chunk references, with coordinates along their side.

VirtualiZarr reads the references. Coordinates are read raw and stored in the manifest itself, so
that opening a store of ten thousand granules does not fetch ten thousand time steps.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import numpy.typing as npt
import virtualizarr
import xarray as xr
from obspec_utils.registry import ObjectStoreRegistry
from obstore.store import LocalStore
from virtualizarr.parsers import HDFParser, NetCDF3Parser

from harmony_vds.errors import RequestError, StoreError

_COMPACT_LIMIT = 2**16
"""HDF5 keeps at most this many bytes of data in an object header."""


@dataclass(frozen=True, eq=False)
class VirtualGranule:
    """One file, every group of it."""

    path: Path
    """Where the file lies."""
    groups: dict[str, xr.Dataset]
    """Full path of each group → its virtual dataset."""


def read_granule(path: Path) -> VirtualGranule:
    """The references of a netCDF-3, netCDF-4 or HDF5 file.

    Raises
    ------
    RequestError
        There is no such file.
    StoreError
        The file cannot be described by references.

    **Reads:** metadata and coordinates.
    """
    path = path.resolve()
    if not path.is_file():
        raise RequestError(f"There is no file {path}.")
    parser_of = HDFParser if _is_hdf5(path) else NetCDF3Parser
    registry = ObjectStoreRegistry({"file://": LocalStore()})
    groups = {}
    for group in _groups(path):
        parser = parser_of(group=group) if parser_of is HDFParser else parser_of()
        try:
            dataset = virtualizarr.open_virtual_dataset(
                path.as_uri(), registry, parser, loadable_variables=[], decode_times=False
            )
        except (ValueError, TypeError, NotImplementedError, AttributeError, KeyError) as error:
            raise StoreError(
                f"{path.name}{'' if group == '/' else f' group {group}'} cannot be described by "
                f"chunk references: {error}"
            ) from None
        groups[group] = _with_coordinates(_short_dimensions(dataset), path, group)
    return VirtualGranule(path, groups)


def _is_hdf5(path: Path) -> bool:
    with path.open("rb") as file:
        start = file.read(8)
    if start.startswith(b"CDF"):
        return False
    if start == b"\x89HDF\r\n\x1a\n":
        return True
    raise StoreError(f"{path} is neither a netCDF nor an HDF5 file.")


def _groups(path: Path) -> list[str]:
    def below(group: Any) -> Iterator[str]:
        yield group.path
        for child in group.groups.values():
            yield from below(child)

    with netCDF4.Dataset(path) as root:
        return list(below(root))


def _has_no_chunk(variable: xr.Variable) -> bool:
    """Whether a small array has no reference: it is compact, or was never written."""
    size = variable.size * variable.dtype.itemsize
    manifest = getattr(variable.data, "manifest", None)
    return manifest is not None and size <= _COMPACT_LIMIT and not manifest.dict()


def stored_values(path: Path, group: str, name: str) -> npt.NDArray[Any]:
    """A variable's values as stored. **Reads:** chunks of the granule."""
    with netCDF4.Dataset(path) as root:
        variable = root[f"{group.rstrip('/')}/{name}"]
        variable.set_auto_maskandscale(False)
        variable.set_auto_chartostring(False)
        return np.asarray(variable[...])


def _short_dimensions(dataset: xr.Dataset) -> xr.Dataset:
    """Dimensions inherited from a parent group come with its path: ``data_01/time`` is ``time``."""
    longer = {name: str(name).rpartition("/")[2] for name in dataset.dims if "/" in str(name)}
    return dataset.rename_dims(longer) if longer else dataset


def _with_coordinates(dataset: xr.Dataset, path: Path, group: str) -> xr.Dataset:
    """`dataset` with coordinates, numeric scalars and compact arrays as raw values.

    VirtualiZarr takes data that HDF5 keeps in an object header (compact layout) for missing, and
    refers scalars that were never written to nothing.
    """
    names = [
        name
        for name, variable in dataset.variables.items()
        if variable.dims == (name,)
        or (variable.ndim == 1 and "axis" in variable.attrs)
        or (variable.ndim == 0 and variable.dtype.kind in "iuf")
        or _has_no_chunk(variable)
    ]
    if not names:
        return dataset
    with xr.open_dataset(path, group=group, engine="netcdf4", decode_cf=False) as raw:
        loaded = {name: raw.variables[name].load() for name in names if name in raw.variables}
    for variable in loaded.values():
        # None keeps xarray from giving floats a fill value that the file does not have.
        variable.encoding = {} if "_FillValue" in variable.attrs else {"_FillValue": None}
    return dataset.assign(loaded)
