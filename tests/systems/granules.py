"""Granules as each system lays them out: variables by name, written with netCDF4 as they stand."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import netCDF4
import numpy as np

type Format = Literal["NETCDF4", "NETCDF3_CLASSIC"]


@dataclass(frozen=True, eq=False)
class Field:
    """One variable of a granule."""

    dimensions: tuple[str, ...]
    values: np.ndarray
    """As stored: packed, missing ones filled."""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    chunks: tuple[int, ...] | None = None
    """Of stored chunks, which are shuffled and deflated; None for contiguous values."""
    fill: Any = None
    """``_FillValue``, if it has one."""


def write_fields(
    path: Path, fields: Mapping[str, Field], *, form: Format = "NETCDF4",
    unlimited: str | None = None, group: str = "/", **attributes: Any,
) -> Path:  # fmt: skip
    """A file of `fields` in a group, with `attributes`; fields show the sizes of dimensions."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with netCDF4.Dataset(path, "w", format=form) as root:
        nc = root if group == "/" else root.createGroup(group)
        sizes = {
            dimension: size
            for own in fields.values()
            for dimension, size in zip(own.dimensions, own.values.shape, strict=True)
        }
        for dimension, size in sizes.items():
            nc.createDimension(dimension, None if dimension == unlimited else size)
        for name, own in fields.items():
            packed = own.chunks is not None
            options = {"compression": "zlib", "shuffle": True} if packed else {}
            variable = nc.createVariable(
                name, own.values.dtype, own.dimensions, fill_value=own.fill,
                chunksizes=own.chunks, **options,
            )  # fmt: skip
            variable.set_auto_maskandscale(False)
            variable.setncatts(dict(own.attributes))
            variable[...] = own.values
        nc.setncatts(attributes)
    return path


def centres(size: int, start: float, stop: float, dtype: str = "f4") -> np.ndarray:
    """Centres of `size` cells between two edges."""
    step = (stop - start) / size
    return (start + step * (np.arange(size) + 0.5)).astype(dtype)


def latitudes(name: str, values: np.ndarray, **attributes: Any) -> Field:
    own = {"standard_name": "latitude", "units": "degrees_north", "axis": "Y"}
    return Field((name,), values, own | attributes)


def longitudes(name: str, values: np.ndarray, **attributes: Any) -> Field:
    own = {"standard_name": "longitude", "units": "degrees_east", "axis": "X"}
    return Field((name,), values, own | attributes)


def times(values: np.ndarray, units: str, **attributes: Any) -> Field:
    own = {"standard_name": "time", "units": units, "axis": "T", "calendar": "standard"}
    return Field(("time",), values, own | attributes, chunks=(1,))


def weather(shape: tuple[int, ...], seed: int, dtype: str = "f4") -> np.ndarray:
    """Numbers with few digits, so that they compress as measurements do, all different by step."""
    noise = np.random.default_rng(seed).normal(seed, 3.0, shape)
    return np.round(noise, 2).astype(dtype)
