"""Stores and collections open in xarray by one name, lazily, as their source files would."""

import gc
import pickle
import re
from collections.abc import Iterator
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import xarray as xr
from servers import cmr_server, file_server
from world import (
    kerchunk_references,
    umm_collection,
    virtual_dataset,
    write_icechunk,
    write_references,
)

from harmony_vds.errors import MissingSourceError, NoStoreError, RequestError


@pytest.fixture(scope="module")
def source(days: list[Path]) -> Iterator[xr.Dataset]:
    """The granules as xarray opens them through the netCDF library."""
    joining = {"combine": "nested", "concat_dim": "time", "data_vars": "minimal",
               "coords": "minimal", "compat": "override", "join": "override"}  # fmt: skip
    with xr.open_mfdataset(days, engine="netcdf4", **joining) as opened:
        yield opened.load()


@pytest.fixture
def opened(store: Path, days: list[Path]) -> Iterator[xr.Dataset]:
    with xr.open_dataset(store, engine="vds", trust=str(days[0].parent)) as dataset:
        yield dataset


def test_store_opens_as_its_source_files_do(opened, source):
    for name in ("analysed_sst", "mask", "time", "lat", "lon"):
        xr.testing.assert_identical(opened[name].drop_attrs(), source[name].drop_attrs())
        assert opened[name].dtype == source[name].dtype
        assert opened[name].attrs.keys() == source[name].attrs.keys()


def test_values_are_read_only_when_they_are_asked_for(days, tmp_path, source):
    with file_server(days[0].parent) as server:
        document = kerchunk_references(days, lambda url: f"{server.url}/{url.rpartition('/')[2]}")
        references = write_references(tmp_path / "sst.json", document)
        with xr.open_dataset(references, engine="vds", trust=f"{server.url}/") as lazy:
            server.asked.clear()
            cut = lazy.analysed_sst.sel(time="2024-01-03").isel(lat=slice(0, 5), lon=slice(0, 7))
            assert server.asked == []
            expected = source.analysed_sst.sel(time="2024-01-03")[:, :5, :7]
            np.testing.assert_array_equal(cut.values, expected.values)
        assert [own.path for own in server.asked if own.method == "GET"] == ["/sst_002.nc"]


def test_dask_gets_blocks_and_the_same_values(store, days, source):
    with xr.open_dataset(store, engine="vds", trust=str(days[0].parent), chunks={}) as blocked:
        assert blocked.analysed_sst.chunks == ((5,), (36,), (72,))  # far below tens of MiB
        np.testing.assert_array_equal(blocked.analysed_sst.values, source.analysed_sst.values)


def test_open_variable_travels_and_outlives_its_dataset(store, days, source):
    dataset = xr.open_dataset(store, engine="vds", trust=str(days[0].parent))
    kept = dataset.analysed_sst
    again = pickle.loads(pickle.dumps(dataset.analysed_sst))
    np.testing.assert_array_equal(again.values, source.analysed_sst.values)
    del dataset
    gc.collect()
    np.testing.assert_array_equal(kept.values, source.analysed_sst.values)


def test_whole_datasets_and_trees_travel(store, days, source):
    with xr.open_dataset(store, engine="vds", trust=str(days[0].parent)) as dataset:
        again = pickle.loads(pickle.dumps(dataset))
    np.testing.assert_array_equal(again.mask.values, source.mask.values)
    again.close()
    with xr.open_datatree(store, engine="vds", trust=str(days[0].parent)) as tree:
        again = pickle.loads(pickle.dumps(tree))
    np.testing.assert_array_equal(again["mask"].values, source.mask.values)


def test_numbers_in_attributes_are_those_of_the_netcdf_library(opened, source):
    for name in ("analysed_sst", "mask"):
        for key, value in source[name].attrs.items():
            assert type(opened[name].attrs[key]) is type(value), key
            np.testing.assert_array_equal(opened[name].attrs[key], value)


CUTS = {
    "backwards": lambda own: own.isel(
        time=slice(None, None, -2), lat=slice(30, 2, -3), lon=slice(1, None, 7)
    ),
    "listed": lambda own: own.isel(time=[3, 1, 1], lat=[5, 35, 0], lon=[-1, 7]),
    "pointwise": lambda own: own.isel(
        time=xr.DataArray([0, 4], dims="p"), lat=xr.DataArray([9, 2], dims="p"),
        lon=xr.DataArray([71, 0], dims="p"),
    ),
    "nearest": lambda own: own.sel(lat=12.3, lon=[-170.1, 7.9], method="nearest"),
    "masked": lambda own: own.isel(lat=np.arange(36) % 5 == 1),
    "nothing": lambda own: own.isel(time=slice(0, 0)),
    "turned": lambda own: own.transpose("lon", "time", "lat")[..., ::-1][5],
}  # fmt: skip


@pytest.mark.parametrize("chunks", [None, {}], ids=["lazy", "dask"])
def test_whatever_is_cut_has_the_values_of_the_source_files(chunks, store, days, source):
    with xr.open_dataset(
        store, engine="vds", trust=str(days[0].parent), chunks=chunks, cache=False, group=None
    ) as dataset:
        for name, cut in CUTS.items():
            for variable in ("analysed_sst", "mask"):
                ours, theirs = cut(dataset[variable]), cut(source[variable])
                assert (ours.dims, ours.dtype) == (theirs.dims, theirs.dtype), name
                np.testing.assert_array_equal(ours.values, theirs.values, name)


def test_files_written_from_an_open_store_hold_what_its_source_files_hold(opened, source, tmp_path):
    opened.isel(time=slice(1, 3)).to_netcdf(tmp_path / "cut.nc")
    with xr.open_dataset(tmp_path / "cut.nc") as cut:
        for name in ("analysed_sst", "mask", "time", "lat"):
            expected = source[name].isel(time=slice(1, 3)) if name != "lat" else source[name]
            np.testing.assert_array_equal(cut[name].values, expected.values)
            assert cut[name].dtype == expected.dtype
    opened.isel(time=slice(1, 3)).to_zarr(tmp_path / "cut.zarr", consolidated=False)
    with (
        xr.open_zarr(tmp_path / "cut.zarr", consolidated=False, mask_and_scale=False) as cut,
        xr.open_dataset(tmp_path / "cut.nc", mask_and_scale=False) as packed,
    ):
        np.testing.assert_array_equal(cut.analysed_sst.values, packed.analysed_sst.values)


@pytest.mark.filterwarnings("error::ResourceWarning")
def test_dataset_that_nobody_closes_leaves_no_connection(days, tmp_path):
    with file_server(days[0].parent) as server:
        document = kerchunk_references(days, lambda url: f"{server.url}/{url.rpartition('/')[2]}")
        references = write_references(tmp_path / "sst.json", document)
        dataset = xr.open_dataset(references, engine="vds", trust=f"{server.url}/")
        dataset.mask[0, 0, 0].load()
        del dataset
        gc.collect()


def test_collection_opens_by_its_concept_id(store, days, source, monkeypatch):
    record = umm_collection("C1-DEMO", [store.as_uri()])
    with cmr_server({"C1-DEMO": record}) as server:
        monkeypatch.setenv("CMR_ENDPOINT", server.url)
        monkeypatch.setenv(
            "HARMONY_VDS_TRUSTED_PREFIXES", f"{store.as_uri()}/,{days[0].parent.as_uri()}/"
        )
        with xr.open_dataset("C1-DEMO") as found:  # no other engine knows a concept id
            np.testing.assert_array_equal(found.analysed_sst.values, source.analysed_sst.values)
        with pytest.raises(NoStoreError, match="C2-DEMO"):
            xr.open_dataset("C2-DEMO", engine="vds")


def test_store_that_is_not_there_says_so(tmp_path):
    with pytest.raises(MissingSourceError, match=re.escape("nothing.json")):
        xr.open_dataset(tmp_path / "nothing.json", engine="vds")


@pytest.fixture(scope="module")
def grouped(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A granule with its data in a group and its coordinates at the root, and its store."""
    folder = tmp_path_factory.mktemp("grouped")
    path = folder / "granule.nc"
    with netCDF4.Dataset(path, "w") as nc:
        nc.createDimension("lat", 3)
        nc.createVariable("lat", "f4", ("lat",))[:] = [1, 2, 3]
        product = nc.createGroup("product")
        product.createVariable("no2", "f8", ("lat",), fill_value=-9.0)[:] = [4, -9, 6]
        product.title = "columns"
    groups = {None: virtual_dataset([path]), "product": virtual_dataset([path], group="product")}
    place = folder / "store.icechunk"
    write_icechunk(place, groups, container=f"{folder.as_uri()}/")
    return place, folder


def test_groups_open_as_a_tree_and_one_by_one(grouped):
    place, folder = grouped
    with xr.open_datatree(place, engine="vds", trust=str(folder)) as tree:
        assert tree["product"].attrs == {"title": "columns"}
        np.testing.assert_array_equal(tree["product/no2"].values, [4, np.nan, 6])
        np.testing.assert_array_equal(tree["product"].lat.values, [1, 2, 3])
    with xr.open_dataset(place, engine="vds", group="product", trust=str(folder)) as product:
        np.testing.assert_array_equal(product.no2.sel(lat=3).values, 6)
    with pytest.raises(RequestError, match=r"'/products'.*/product"):
        xr.open_dataset(place, engine="vds", group="products", trust=str(folder))
