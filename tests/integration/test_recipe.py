"""The recipe in an output is run, and gives what the output holds."""

import warnings
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import xarray as xr
import zarr
from gridded import store_of
from recipes import assert_told, cooked, output_of
from world import kerchunk_references, virtual_dataset, write_icechunk, write_references

from harmony_vds.model.grid import GridKind

REQUESTS = {
    "everything": [],
    "box": ["--variable", "analysed_sst", "--bbox", "10", "-20", "40", "30"],
    "box across the antimeridian": ["--variable", "mask", "--bbox", "140", "5", "-95", "62"],
    "time": ["--variable", "mask", "--temporal", "2024-01-03T00:00:00Z", "2024-01-05T00:00:00Z"],
}  # fmt: skip


@pytest.mark.parametrize("form", ["icechunk", "kerchunk", "zarr"])
@pytest.mark.parametrize("asked", REQUESTS)
def test_recipe_gives_what_the_output_holds(form, asked, store, days, tmp_path):
    place = store
    if form == "kerchunk":
        place = write_references(tmp_path / "sst.json", kerchunk_references(days))
    elif form == "zarr":
        place = native(days, tmp_path / "sst.zarr")
    options = [*REQUESTS[asked], "--trust", str(days[0].parent)]
    path = output_of(place, tmp_path / "out", *options)
    assert_told(path)


def native(days: list[Path], place: Path) -> Path:
    joined = xr.concat(
        [xr.open_dataset(own, decode_cf=False, engine="netcdf4").load() for own in days],
        "time", data_vars="minimal", coords="minimal", compat="override",
    )  # fmt: skip
    for own in joined.variables.values():
        own.encoding = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        joined.to_zarr(place, zarr_format=3, consolidated=False)
    assert zarr.open_group(place, mode="r")
    return place


def test_recipe_says_what_it_leaves_out(tmp_path):
    place = store_of(tmp_path, GridKind.CURVILINEAR)
    path = output_of(place, tmp_path, "--crs", "EPSG:3413", "--interpolation", "bilinear")
    with netCDF4.Dataset(path) as nc:
        assert nc.virtual_store_recipe.endswith(
            "# The output then puts this on another grid (bilinear).\n"
            "# Which four cells of a swath lie around a place takes a search of its own.\n"
            "# harmony-vds rerun FILE makes the output again."
        )


def test_recipe_opens_the_group_of_the_variable(tmp_path):
    granule = tmp_path / "granule.nc"
    with netCDF4.Dataset(granule, "w") as nc:
        nc.createDimension("lat", 3)
        product = nc.createGroup("product")
        product.createVariable("no2", "f8", ("lat",))[:] = [4, 5, 6]
    groups = {
        None: virtual_dataset([granule]),
        "product": virtual_dataset([granule], group="product"),
    }
    place = tmp_path / "store.icechunk"
    write_icechunk(place, groups, container=f"{tmp_path.as_uri()}/")
    path = output_of(place, tmp_path / "out", "--variable", "product/no2", "--trust", str(tmp_path))
    np.testing.assert_array_equal(cooked(path).no2.values, [4, 5, 6])
