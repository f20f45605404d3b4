"""Zarr as it is written: what plain xarray reads of it is what the source files hold."""

import json
import zipfile
from dataclasses import replace
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import xarray as xr
import zarr
from systems.kits import ask, raw, request, services
from world import virtual_dataset, write_icechunk

from harmony_vds.model.formats import ZARR, Layout
from harmony_vds.outputs.write import checksum

BOX = (140.0, -62.0, -95.0, 62.0)
RAW = {"mask_and_scale": False, "decode_times": False}


def subset(store: Path, folder: Path, *variables: str, **layout) -> Path:
    wanted = replace(request(variables, BOX), media_type=ZARR)
    using = replace(services(trusted=("file:///",)), layout=Layout(**layout))
    return ask(wanted, store.as_uri(), using, folder).path


def expected(days: list[Path], name: str) -> np.ndarray:
    """Packed values of the box by netCDF4 alone, rolled across the antimeridian."""
    lat, lon = raw(days[0], "lat"), raw(days[0], "lon")
    rows = np.flatnonzero((lat >= BOX[1]) & (lat <= BOX[3]))
    columns = np.concatenate([np.flatnonzero(lon >= BOX[0]), np.flatnonzero(lon <= BOX[2])])
    return np.concatenate([raw(path, name)[:, rows][:, :, columns] for path in days])


def test_plain_xarray_reads_the_packed_values_of_the_source_files(
    store: Path, days: list[Path], tmp_path: Path
) -> None:
    path = subset(store, tmp_path, "analysed_sst")
    with xr.open_zarr(path, chunks=None, **RAW) as found:
        for name in ("analysed_sst", "mask"):
            assert found[name].dtype == raw(days[0], name).dtype
            assert np.array_equal(found[name].values, expected(days, name))
        assert found.analysed_sst.attrs["_FillValue"] == -32768
        assert found.analysed_sst.dims == ("time", "lat", "lon")
    with xr.open_zarr(path, chunks=None) as decoded:
        values = np.ma.masked_equal(expected(days, "analysed_sst"), -32768)
        assert np.array_equal(np.isnan(decoded.analysed_sst.values), np.ma.getmaskarray(values))
        kelvin = values * 0.01 + 273.15
        assert np.allclose(decoded.analysed_sst.values, kelvin.filled(np.nan), equal_nan=True)
        assert decoded.time.values[0] == np.datetime64("2024-01-02T12:00")


@pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")  # of rioxarray
def test_geozarr_attributes_place_the_grid_and_rioxarray_understands_them(
    store: Path, tmp_path: Path
) -> None:
    import rioxarray
    from rioxarray.enum import Convention

    path = subset(store, tmp_path, "analysed_sst")
    with xr.open_zarr(path, chunks=None, **RAW) as found:
        told = found.analysed_sst.attrs
    assert told["spatial:transform"] == [5.0, 0.0, 140.0, 0.0, 5.0, -60.0]  # rows run north
    assert told["spatial:bbox"] == [140.0, -60.0, 265.0, 60.0]
    assert told["spatial:shape"] == [24, 25]
    assert told["spatial:dimensions"] == ["lat", "lon"]
    assert told["proj:code"] == "EPSG:4326"
    assert "zarr_conventions" not in found["time"].attrs
    alone = found.analysed_sst.drop_vars(("lat", "lon"))
    with rioxarray.set_options(convention=Convention.ZARR):
        assert alone.rio.crs.to_epsg() == 4326
        assert alone.rio.transform()[:6] == (5.0, 0.0, 140.0, 0.0, 5.0, -60.0)


def test_metadata_are_consolidated_and_equal_those_of_each_array(
    store: Path, tmp_path: Path
) -> None:
    path = subset(store, tmp_path)
    root = json.loads((path / "zarr.json").read_text())
    inside = root["consolidated_metadata"]["metadata"]
    assert list(inside) == ["analysed_sst", "crs", "lat", "lon", "mask", "time"]
    for name, own in inside.items():
        assert own == json.loads((path / name / "zarr.json").read_text())
    assert root["attributes"]["virtual_store_missing_chunks"] == 0
    assert "history_json" in root["attributes"]


def test_every_chunk_is_an_object_so_that_a_lost_one_is_noticed(
    store: Path, tmp_path: Path
) -> None:
    group = zarr.open_group(subset(store, tmp_path), mode="r")
    assert all(array.nchunks_initialized == array.nchunks for _, array in group.arrays())


def test_two_answers_are_the_same_bytes_in_folder_and_zip(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    for form in ("folder", "zip"):
        first, second = (subset(store, tmp_path / form / n, zarr=form) for n in "ab")
        assert checksum(first) == checksum(second)
    zipped = xr.open_zarr(zarr.storage.ZipStore(first, mode="r"), chunks=None, **RAW).load()
    folder = xr.open_zarr(subset(store, tmp_path / "c"), chunks=None, **RAW).load()
    xr.testing.assert_identical(zipped, folder)
    assert first.name == "subset.zarr.zip"
    with zipfile.ZipFile(first) as archive:
        assert {own.compress_type for own in archive.infolist()} == {zipfile.ZIP_STORED}
    assert [own.name for own in first.parent.iterdir()] == ["subset.zarr.zip"]


def test_checksum_of_a_folder_is_that_of_the_sums_and_names_of_its_files(
    store: Path, tmp_path: Path
) -> None:
    import hashlib

    path = subset(store, tmp_path, "mask")
    names = sorted(own.relative_to(path).as_posix() for own in path.rglob("*") if own.is_file())
    lines = [f"{hashlib.sha256((path / n).read_bytes()).hexdigest()}  {n}\n" for n in names]
    assert checksum(path) == hashlib.sha256("".join(lines).encode()).hexdigest()


def test_groups_text_and_floating_fill_values_are_kept(tmp_path: Path) -> None:
    source = tmp_path / "granule.nc"
    with netCDF4.Dataset(source, "w") as nc:
        for group in (nc, nc.createGroup("product")):
            group.createDimension("y", 3)
            own = group.createVariable("height", "f4", ("y",), fill_value=-9.5)
            own[:] = np.ma.masked_equal([1.5, -9.5, 2.5], -9.5)
            own.units = "m"
        nc.createDimension("letters", 4)
        nc.createVariable("name", "S1", ("y", "letters"))[:] = [
            list("ab  "),
            list("c   "),
            ["d"] * 4,
        ]
    whole = {None: virtual_dataset([source]), "product": virtual_dataset([source], group="product")}
    write_icechunk(tmp_path / "store", whole, container=f"{tmp_path.as_uri()}/")
    wanted = replace(request(), media_type=ZARR)
    using = services(trusted=("file:///",))
    path = ask(wanted, (tmp_path / "store").as_uri(), using, tmp_path / "out").path
    tree = xr.open_datatree(path, engine="zarr", chunks=None)
    for own in (tree, tree["product"]):
        assert np.array_equal(own["height"].values, [1.5, np.nan, 2.5], equal_nan=True)
        assert own["height"].encoding["_FillValue"] == -9.5
        assert own["height"].attrs["units"] == "m"
    assert "".join(tree["name"].values.ravel()).replace("\0", "") == "ab  c   dddd"


def test_many_chunks_are_gathered_in_shards(tmp_path: Path) -> None:
    source = tmp_path / "granule.nc"
    values = np.random.default_rng(1).integers(0, 99, (130, 100, 110)).astype(np.int16)
    with netCDF4.Dataset(source, "w") as nc:
        for name, size in zip(("time", "y", "x"), values.shape, strict=True):
            nc.createDimension(name, size)
        nc.createVariable("field", "i2", ("time", "y", "x"), chunksizes=(1, 100, 110))[:] = values
    write_icechunk(tmp_path / "store", {None: virtual_dataset([source])},
                   container=f"{tmp_path.as_uri()}/")  # fmt: skip
    using = services(trusted=("file:///",))
    path = ask(replace(request(), media_type=ZARR), (tmp_path / "store").as_uri(), using,
               tmp_path / "out").path  # fmt: skip
    array = zarr.open_group(path, mode="r")["field"]
    assert np.array_equal(array[:], values)
    assert array.chunks == (1, 100, 110)
    assert array.shards == (130, 100, 110)
    assert [own.name for own in sorted((path / "field" / "c").rglob("*")) if own.is_file()] == ["0"]
