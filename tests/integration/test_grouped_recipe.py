"""The recipe of variables whose places lie in another group gives what the output holds."""

from pathlib import Path

import netCDF4
import numpy as np
import pytest
from recipes import cooked, output_of
from swaths import oblique
from world import virtual_dataset, write_icechunk


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A swath as many missions write it: places in one group, numbers in another."""
    folder = tmp_path_factory.mktemp("grouped")
    granule = folder / "swath.nc"
    lon, lat = oblique(40, 20)
    with netCDF4.Dataset(granule, "w") as nc:
        for name, size in zip(("row", "cell"), lat.shape, strict=True):
            nc.createDimension(name, size)
            nc.createVariable(name, "i4", (name,))[:] = np.arange(size)
        for name, values, units in (
            ("latitude", lat, "degrees_north"), ("longitude", lon, "degrees_east"),
        ):  # fmt: skip
            own = nc.createVariable(f"/geolocation/{name}", "f8", ("row", "cell"))
            own.units = units
            own[:] = values
        own = nc.createVariable("/product/speed", "i2", ("row", "cell"), fill_value=-1)
        own.setncatts({"units": "m s-1", "coordinates": "/geolocation/longitude "
                       "/geolocation/latitude"})  # fmt: skip
        own[:] = np.arange(lat.size).reshape(lat.shape)
    groups = {
        name: virtual_dataset([granule], group=name) for name in (None, "product", "geolocation")
    }
    place = folder / "swath.icechunk"
    write_icechunk(place, groups, container=f"{folder.as_uri()}/")
    return place


@pytest.mark.parametrize("asked", ["box", "target"])
def test_recipe_takes_places_from_their_own_group(asked, store, tmp_path):
    options = {
        "box": ["--bbox", "170", "70", "-150", "80"],
        "target": ["--crs", "EPSG:3413", "--extent", "-2.8e6", "-1e6", "0", "1.8e6", "--cell",
                   "51e3", "47e3"],
    }[asked]  # fmt: skip
    path = output_of(store, tmp_path, "--variable", "/product/speed", *options)
    subset = cooked(path)
    with netCDF4.Dataset(path) as nc:
        nc.set_auto_maskandscale(False)
        found = nc["/product/speed"]
        np.testing.assert_array_equal(subset.speed.values, found[:])
        assert found.dimensions == subset.speed.dims
        assert {"speed"} == {*map(str, subset.data_vars)}
        assert 0.05 < (found[:] == -1).mean() < 0.95
