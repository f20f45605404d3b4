"""Granules on each kind of grid that there is, and where their cells are."""

from pathlib import Path

import netCDF4
import numpy as np
import pyproj
from world import virtual_dataset, write_icechunk

from harmony_vds.model.grid import GridKind

CHUNK = 5
ARCTIC = pyproj.CRS.from_epsg(3413)


def places_of(kind: GridKind) -> tuple[np.ndarray, np.ndarray]:
    """Longitudes and latitudes of the cells of a granule, worked out by pyproj alone."""
    if kind is GridKind.PROJECTED:
        x, y = np.meshgrid(-600e3 + 25e3 * np.arange(30), -1200e3 - 25e3 * np.arange(40))
        return pyproj.Transformer.from_crs(ARCTIC, 4326, always_xy=True).transform(x, y)
    if kind is GridKind.CURVILINEAR:
        along, across = np.meshgrid(np.arange(40), np.arange(30), indexing="ij")
        return -70 + 0.9 * across + 0.3 * along, 60 + 0.6 * along - 0.2 * across
    if kind is GridKind.RECTILINEAR:
        return np.meshgrid(-75 + 1.0 * np.arange(30), 55 + 0.5 * np.arange(40))
    along = np.arange(40)
    return -70 + 0.9 * along, 60 + 0.6 * along


def write_grid(path: Path, kind: GridKind) -> np.ndarray:
    """A granule of packed numbers on a grid of `kind`; gives the numbers."""
    longitudes, latitudes = places_of(kind)
    packed = np.arange(longitudes.size, dtype=np.int16).reshape(longitudes.shape)
    names = {
        GridKind.PROJECTED: ("y", "x"), GridKind.CURVILINEAR: ("row", "column"),
        GridKind.RECTILINEAR: ("lat", "lon"),
    }.get(kind, ("step",))  # fmt: skip
    with netCDF4.Dataset(path, "w") as nc:
        for name, size in zip(names, longitudes.shape, strict=True):
            nc.createDimension(name, size)
        cuts = (CHUNK,) * len(names)
        field = nc.createVariable("field", "i2", names, chunksizes=cuts, compression="zlib")
        field[:] = packed
        if kind is GridKind.PROJECTED:
            nc.createVariable("crs", "i4").setncatts(ARCTIC.to_cf())
            field.grid_mapping = "crs"
            for name, values in (
                ("x", -600e3 + 25e3 * np.arange(30)),
                ("y", -1200e3 - 25e3 * np.arange(40)),
            ):
                axis = nc.createVariable(name, "f8", (name,))
                axis.setncatts({"standard_name": f"projection_{name}_coordinate", "units": "m"})
                axis[:] = values
        elif kind is GridKind.RECTILINEAR:
            for name, units, values in (
                ("lat", "degrees_north", latitudes[:, 0]),
                ("lon", "degrees_east", longitudes[0]),
            ):
                axis = nc.createVariable(name, "f8", (name,))
                axis.units = units
                axis[:] = values
        else:
            field.coordinates = "lat lon"
            for name, units, values in (
                ("lat", "degrees_north", latitudes),
                ("lon", "degrees_east", longitudes),
            ):
                axis = nc.createVariable(name, "f8", names, chunksizes=cuts)
                axis.units = units
                axis[:] = values
    return packed


def store_of(folder: Path, kind: GridKind) -> Path:
    """A store of a granule of a temperature on a grid of `kind`, made once in a folder."""
    place, granule = folder / f"{kind}.icechunk", folder / f"{kind}.nc"
    if not place.exists():
        write_grid(granule, kind)
        with netCDF4.Dataset(granule, "a") as nc:
            nc["field"].setncatts({"units": "K", "valid_max": np.int16(900)})
        write_icechunk(place, {None: virtual_dataset([granule])}, container=f"{folder.as_uri()}/")
    return place
