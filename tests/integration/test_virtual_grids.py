"""Virtual subsets of grids whose rows and columns are no latitudes and longitudes."""

from pathlib import Path

import netCDF4
import numpy as np
import pyproj
import pytest
import xarray as xr
from world import kerchunk_references, write_references

from harmony_vds.access.credentials import Credentials
from harmony_vds.model.extent import BoundingBox
from harmony_vds.model.formats import KERCHUNK
from harmony_vds.model.grid import GridKind
from harmony_vds.model.request import Request, Source
from harmony_vds.pipeline import fulfil, prepare
from harmony_vds.services import Services
from harmony_vds.settings import Settings

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
    along = np.arange(40)
    return -70 + 0.9 * along, 60 + 0.6 * along


def write(path: Path, kind: GridKind) -> np.ndarray:
    """A granule of packed numbers on a grid of `kind`; gives the numbers."""
    longitudes, latitudes = places_of(kind)
    packed = np.arange(longitudes.size, dtype=np.int16).reshape(longitudes.shape)
    names = {GridKind.PROJECTED: ("y", "x"), GridKind.CURVILINEAR: ("row", "column")}.get(
        kind, ("step",)
    )
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


@pytest.mark.parametrize("kind", [GridKind.PROJECTED, GridKind.CURVILINEAR, GridKind.TRACK])
def test_box_points_to_the_chunks_around_its_cells_on(kind, tmp_path):
    packed = write(tmp_path / "granule.nc", kind)
    references = kerchunk_references([tmp_path / "granule.nc"], inline=0)
    place = write_references(tmp_path / "store.json", references)
    box = BoundingBox(-60, 64, -50, 71)
    request = Request((Source("C1", "D", variables=("field",)),), media_type=KERCHUNK, bbox=box)
    trusted = (place.as_uri(), f"{tmp_path.as_uri()}/")
    with Services.of(Settings(trusted_prefixes=trusted), Credentials.of_token(None)) as using:
        prepared = prepare(request, using, place.as_uri())
        (output,) = fulfil(prepared, tmp_path / "out", using)

    longitudes, latitudes = places_of(kind)
    inside = (longitudes >= -60) & (longitudes <= -50) & (latitudes >= 64) & (latitudes <= 71)
    window = tuple(
        slice(own.min() // CHUNK * CHUNK, -(-(own.max() + 1) // CHUNK) * CHUNK)
        for own in np.nonzero(inside)
    )
    assert packed[window].size < packed.size
    with xr.open_dataset(
        output.path, engine="vds", trust=str(tmp_path), mask_and_scale=False
    ) as opened:
        np.testing.assert_array_equal(opened["field"].values, packed[window])
    (grid,) = prepared[0].plan.grids
    west, south, east, north = grid.bbox.west, grid.bbox.south, grid.bbox.east, grid.bbox.north
    assert (grid.kind, west < east) == (kind, True)
    assert 0 <= longitudes[window].min() - west < 1.5
    assert 0 <= east - longitudes[window].max() < 1.5
    assert 0 <= latitudes[window].min() - south < 1
    assert 0 <= north - latitudes[window].max() < 1
