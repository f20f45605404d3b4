"""A virtual subset points to exactly the chunks that a request meets, and reads as they do."""

import json
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import icechunk
import netCDF4
import numpy as np
import pytest
import xarray as xr
from servers import file_server
from world import (
    kerchunk_references,
    virtual_dataset,
    write_granule,
    write_icechunk,
    write_references,
)

from harmony_vds.access.credentials import Credentials
from harmony_vds.errors import UnsupportedError
from harmony_vds.model.extent import BoundingBox
from harmony_vds.model.formats import ICECHUNK, KERCHUNK
from harmony_vds.model.request import Request, Source
from harmony_vds.pipeline import fulfil, prepare
from harmony_vds.services import Services
from harmony_vds.settings import Settings

SOURCE = Source("C1-DEMO", "DEMO", variables=("analysed_sst",))


def asked(media_type: str = KERCHUNK, **more: Any) -> Request:
    return Request((SOURCE,), media_type=media_type, **more)


def pointed_at(
    place: Path | str, request: Request, folder: Path, *trusted: str
) -> tuple[Path, Any]:
    """The virtual subset of a store, and the plan it came from."""
    href = place if isinstance(place, str) else place.as_uri()
    prefixes = (href, *trusted)
    with Services.of(Settings(trusted_prefixes=prefixes), Credentials.of_token(None)) as services:
        prepared = prepare(request, services, href)
        (output,) = fulfil(prepared, folder, services)
    return output.path, prepared[0].plan


def stored(days: list[Path], name: str) -> np.ndarray:
    """The numbers of all granules, by netCDF4 alone."""
    steps = []
    for path in days:
        with netCDF4.Dataset(path) as nc:
            nc[name].set_auto_maskandscale(False)
            steps.append(nc[name][:])
    return np.concatenate(steps)


def by_fsspec(path: Path, **options: Any) -> xr.Dataset:
    """As people open kerchunk files in a notebook."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with xr.open_dataset(str(path), engine="kerchunk", **options) as opened:
            return opened.load()


@pytest.fixture(params=["icechunk", "kerchunk"])
def place(request, store, days, tmp_path) -> Path:
    if request.param == "icechunk":
        return store
    return write_references(tmp_path / "sst.json", kerchunk_references(days, inline=0))


def test_box_is_widened_to_whole_chunks_and_reads_as_the_granules_do(place, days, tmp_path):
    granules = f"{days[0].parent.as_uri()}/"
    request = asked(bbox=BoundingBox(10, -20, 40, 30))
    path, plan = pointed_at(place, request, tmp_path / "w", granules)
    assert plan.references == {"/analysed_sst", "/mask"}
    assert any("lat from 10 to 12" in note and "lon from 6 to 24" in note for note in plan.notes)
    raw = by_fsspec(path, mask_and_scale=False, decode_times=False)
    for name in ("analysed_sst", "mask"):
        np.testing.assert_array_equal(raw[name].values, stored(days, name)[:, 12:24, 24:48])
    np.testing.assert_array_equal(raw.lat, np.arange(12, 24) * 5.0 - 87.5)
    np.testing.assert_array_equal(raw.lon, np.arange(24, 48) * 5.0 - 177.5)
    assert raw.crs.attrs["grid_mapping_name"] == "latitude_longitude"
    assert path.stat().st_size < 20_000
    assert plan.cost.bytes_read < 1_000
    assert plan.cost.chunks == 2 * len(days) + 1  # and that of the grid mapping, held by value


def test_fill_is_masked_and_valid_zeros_are_not(place, days, tmp_path):
    path, _ = pointed_at(place, asked(), tmp_path / "w", f"{days[0].parent.as_uri()}/")
    opened = by_fsspec(path)
    kelvin = stored(days, "analysed_sst")
    np.testing.assert_array_equal(np.isnan(opened.analysed_sst.values), kelvin == -32768)
    assert opened["mask"].dtype == np.int8  # nothing of it is missing


def test_virtual_subset_opens_in_this_service_and_cuts_again(place, days, tmp_path):
    granules = f"{days[0].parent.as_uri()}/"
    path, _ = pointed_at(place, asked(bbox=BoundingBox(10, -20, 40, 30)), tmp_path / "w", granules)
    with xr.open_dataset(path, engine="vds", trust=granules, mask_and_scale=False) as opened:
        window = opened.analysed_sst.values
    np.testing.assert_array_equal(window, stored(days, "analysed_sst")[:, 12:24, 24:48])
    again, _ = pointed_at(path, asked(bbox=BoundingBox(12, 0, 13, 1)), tmp_path / "v", granules)
    raw = by_fsspec(again, mask_and_scale=False, decode_times=False)
    np.testing.assert_array_equal(raw.analysed_sst.values, window)


def by_icechunk(path: Path, folder: Path, **options: Any) -> xr.Dataset:
    """As people open icechunk repositories in a notebook."""
    icechunk.set_logs_filter("error")
    storage = icechunk.local_filesystem_storage(str(path))
    containers = icechunk.Repository.fetch_config(storage).virtual_chunk_containers
    assert list(containers) == [f"{folder.as_uri()}/"]
    local = {prefix: icechunk.Credentials.LocalFileSystemAccess() for prefix in containers}
    allowed = icechunk.containers_credentials(local)
    repository = icechunk.Repository.open(storage, authorize_virtual_chunk_access=allowed)
    store = repository.readonly_session("main").store
    with xr.open_zarr(store, consolidated=False, chunks=None, **options) as opened:
        return opened.load()


def test_icechunk_form_reads_as_the_granules_do(place, days, tmp_path):
    granules = f"{days[0].parent.as_uri()}/"
    request = asked(ICECHUNK, bbox=BoundingBox(10, -20, 40, 30))
    path, _ = pointed_at(place, request, tmp_path / "w", granules)
    raw = by_icechunk(path, days[0].parent, mask_and_scale=False, decode_times=False)
    for name in ("analysed_sst", "mask"):
        np.testing.assert_array_equal(raw[name].values, stored(days, name)[:, 12:24, 24:48])
    decoded = by_icechunk(path, days[0].parent)
    missing = stored(days, "analysed_sst")[:, 12:24, 24:48] == -32768
    np.testing.assert_array_equal(np.isnan(decoded.analysed_sst.values), missing)
    assert np.isfinite(decoded["mask"].values).all()
    with xr.open_dataset(path, engine="vds", trust=granules, mask_and_scale=False) as opened:
        np.testing.assert_array_equal(opened.analysed_sst.values, raw.analysed_sst.values)


def test_box_across_the_antimeridian_stays_one_piece(store, days, tmp_path):
    request = asked(bbox=BoundingBox(172, -20, -172, 30))
    path, plan = pointed_at(store, request, tmp_path / "w", f"{days[0].parent.as_uri()}/")
    raw = by_fsspec(path, mask_and_scale=False, decode_times=False)
    columns = np.r_[48:72, 0:24]
    np.testing.assert_array_equal(raw.lon, 62.5 + 5 * np.arange(48))
    np.testing.assert_array_equal(
        raw.analysed_sst.values, stored(days, "analysed_sst")[:, 12:24][:, :, columns]
    )
    assert (plan.grids[0].bbox.west, plan.grids[0].bbox.east) == (60, 300)


def test_box_across_an_edge_that_chunks_do_not_divide_takes_all_columns(tmp_path):
    granule = write_granule(tmp_path / "one.nc", 0, nlon=70)
    place = write_references(tmp_path / "one.json", kerchunk_references([granule], inline=0))
    request = asked(bbox=BoundingBox(175, -20, -175, 30))
    path, plan = pointed_at(place, request, tmp_path / "w", f"{tmp_path.as_uri()}/")
    raw = by_fsspec(path, mask_and_scale=False, decode_times=False)
    np.testing.assert_array_equal(raw.analysed_sst, stored([granule], "analysed_sst")[:, 12:24])
    assert plan.grids[0].shifts is None


def test_making_one_reads_no_chunk_of_what_it_points_to(days, tmp_path):
    with file_server(days[0].parent) as server:
        document = kerchunk_references(
            days, lambda url: f"{server.url}/{url.rpartition('/')[2]}", inline=0
        )
        place = write_references(tmp_path / "sst.json", document)
        path, _ = pointed_at(place, asked(), tmp_path / "w", f"{server.url}/")
        coordinates = (document["refs"][key] for key in ("lat/0", "lon/0"))
        assert sum(own.sent for own in server.asked) <= sum(own[2] for own in coordinates) + 100
        refs = json.loads(path.read_text())["refs"]
        kept = {key: own for key, own in refs.items() if isinstance(own, list)}
        assert kept == {key: own for key, own in document["refs"].items() if key in kept}
        assert len(kept) == 2 * 9 * len(days)


def test_groups_are_kept(tmp_path):
    granule = tmp_path / "granule.nc"
    with netCDF4.Dataset(granule, "w") as nc:
        nc.createDimension("lat", 4)
        nc.createVariable("lat", "f4", ("lat",))[:] = [1, 2, 3, 4]
        nc["lat"].units = "degrees_north"
        product = nc.createGroup("product")
        product.createVariable(
            "no2", "f8", ("lat",), fill_value=-9.0, compression="zlib", chunksizes=(2,)
        )[:] = [4, -9, 6, 7]
        product.title = "columns"
    groups = {
        None: virtual_dataset([granule]),
        "product": virtual_dataset([granule], group="product"),
    }
    place = tmp_path / "store.icechunk"
    write_icechunk(place, groups, container=f"{tmp_path.as_uri()}/")
    request = Request((Source("C1", "D", variables=("product/no2",)),), media_type=KERCHUNK)
    path, _ = pointed_at(place, request, tmp_path / "w", f"{tmp_path.as_uri()}/")
    with xr.open_datatree(path, engine="vds", trust=str(tmp_path)) as tree:
        assert tree["product"].attrs["title"] == "columns"
        np.testing.assert_array_equal(tree["product/no2"].values, [4, np.nan, 6, 7])


def test_chunk_that_reads_as_an_undeclared_fill_is_not_pointed_to(days, tmp_path):
    document = kerchunk_references(days, inline=0)
    del document["refs"]["mask/0.0.0"]
    place = write_references(tmp_path / "sst.json", document)
    with pytest.raises(UnsupportedError, match="mask cannot be given by references"):
        pointed_at(place, asked(), tmp_path / "w", f"{days[0].parent.as_uri()}/")


def test_what_is_computed_cannot_be_pointed_to(store, days, tmp_path):
    with pytest.raises(UnsupportedError, match=r"kerchunk .* netCDF"):
        pointed_at(store, asked(average="time"), tmp_path, f"{days[0].parent.as_uri()}/")


@pytest.mark.parametrize("media_type", [KERCHUNK, ICECHUNK])
def test_coordinate_that_nothing_was_asked_of_is_pointed_to(media_type, tmp_path):
    granule = tmp_path / "granule.nc"
    with netCDF4.Dataset(granule, "w") as nc:
        for name in ("level", "step"):
            nc.createDimension(name, 3)
            nc.createVariable(name, "f8", (name,))[:] = [1, 2, 4]
        nc.createVariable("field", "i4", ("level", "step"), compression="zlib")[:] = np.eye(3)
    place = write_references(tmp_path / "one.json", kerchunk_references([granule], inline=0))
    request = Request((Source("C1", "D", variables=("field",)),), media_type=media_type)
    path, plan = pointed_at(place, request, tmp_path / "w", f"{tmp_path.as_uri()}/")
    assert plan.references == {"/field", "/level", "/step"}
    with xr.open_dataset(path, engine="vds", trust=str(tmp_path)) as opened:
        np.testing.assert_array_equal(opened.level, [1, 2, 4])
        np.testing.assert_array_equal(opened.field, np.eye(3))


@pytest.fixture(scope="module", params=["icechunk", "kerchunk"])
def plain(request, tmp_path_factory) -> tuple[Path, list[Path]]:
    """A store over granules whose numbers are stored as they are, and the granules."""
    root = tmp_path_factory.mktemp("plain")
    folder = root / "granules"
    folder.mkdir()
    files = []
    for day in range(2):
        files.append(folder / f"{day}.nc")
        with netCDF4.Dataset(files[-1], "w") as nc:
            for name, size in (("time", 1), ("lat", 18), ("lon", 36)):
                nc.createDimension(name, size)
            for name, units, values in (
                ("time", "days since 2024-01-01", [day]),
                ("lat", "degrees_north", np.arange(18) * 10 - 85.0),
                ("lon", "degrees_east", np.arange(36) * 10 - 175.0),
            ):
                nc.createVariable(name, "f8", (name,))[:] = values
                nc[name].units = units
            wind = nc.createVariable("wind", "f4", ("time", "lat", "lon"), contiguous=True)
            wind[:] = np.arange(648).reshape(1, 18, 36) + 1000 * day
            # In chunks of 12 rows: pieces must suit both.
            gust = nc.createVariable(
                "gust", ">f8", ("time", "lat", "lon"), chunksizes=(1, 12, 18), endian="big"
            )
            gust[:] = -wind[:]
    if request.param == "kerchunk":
        return write_references(root / "a.json", kerchunk_references(files, inline=0)), files
    place = root / "a.icechunk"
    write_icechunk(place, {None: virtual_dataset(files)}, container=f"{folder.as_uri()}/")
    return place, files


@pytest.mark.parametrize(
    ("media_type", "box", "columns"),
    [
        (KERCHUNK, BoundingBox(-180, -52, 180, 22), range(36)),
        (ICECHUNK, BoundingBox(-42, -52, 33, 22), range(14, 21)),
        (KERCHUNK, BoundingBox(162, -52, -158, 22), [34, 35, 0, 1]),
        (ICECHUNK, BoundingBox(162, -52, -158, 22), [34, 35, 0, 1]),
    ],
)
def test_what_is_stored_uncompressed_is_cut_exactly(media_type, box, columns, plain, tmp_path):
    place, files = plain
    names = ("wind", "gust")
    wanted = Request((Source("C1", "D", variables=names),), media_type=media_type, bbox=box)
    granules = f"{files[0].parent.as_uri()}/"
    path, plan = pointed_at(place, wanted, tmp_path / "w", granules)
    assert plan.references == {"/wind", "/gust"}
    assert not any("whole chunks" in note for note in plan.notes)
    options = {"mask_and_scale": False, "decode_times": False}
    if media_type == KERCHUNK:
        found = by_fsspec(path, **options)
    else:
        found = by_icechunk(path, files[0].parent, **options)
    with xr.open_dataset(path, engine="vds", trust=granules, mask_and_scale=False) as opened:
        for name in names:
            truth = stored(files, name)[np.ix_(range(2), range(4, 11), columns)]
            np.testing.assert_array_equal(found[name].values, truth)
            np.testing.assert_array_equal(opened[name].values, truth)
    again, _ = pointed_at(path, replace(wanted, bbox=BoundingBox(box.west, -30, box.east, 10)),
                          tmp_path / "v", granules)  # fmt: skip
    with xr.open_dataset(again, engine="vds", trust=granules, mask_and_scale=False) as opened:
        inner = stored(files, "gust")[np.ix_(range(2), range(6, 10), columns)]
        np.testing.assert_array_equal(opened.gust.values, inner)


def test_compressed_neighbour_widens_what_could_be_cut_exactly(tmp_path):
    granule = write_granule(tmp_path / "one.nc", 0)
    with netCDF4.Dataset(granule, "a") as nc:
        plain = nc.createVariable("wind", "i4", ("lat", "lon"), contiguous=True)
        plain[:] = np.arange(36 * 72).reshape(36, 72)
    place = write_references(tmp_path / "one.json", kerchunk_references([granule], inline=0))
    source = Source("C1", "D", variables=("analysed_sst", "wind"))
    wanted = Request((source,), media_type=KERCHUNK, bbox=BoundingBox(10, -20, 40, 30))
    path, plan = pointed_at(place, wanted, tmp_path / "w", f"{tmp_path.as_uri()}/")
    assert any("lat from 10 to 12" in note for note in plan.notes)
    found = by_fsspec(path, mask_and_scale=False, decode_times=False)
    np.testing.assert_array_equal(found.wind, stored([granule], "wind")[12:24, 24:48])
    np.testing.assert_array_equal(
        found.analysed_sst, stored([granule], "analysed_sst")[:, 12:24, 24:48]
    )
