"""Stores written by `harmony-vds virtualize` hold what the granules hold, or are refused."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import icechunk
import netCDF4
import numpy as np
import pytest
from building import build
from servers import file_server
from systems.kits import ask, paths_of, raw, request, root_attributes, same_bits, services
from world import write_days

from harmony_vds.errors import RequestError, StoreError


@pytest.fixture
def granules(tmp_path: Path) -> list[Path]:
    return write_days(tmp_path / "granules", 3)


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).parent / "harmony-vds"
    return subprocess.run(
        [program, *map(str, arguments)], capture_output=True, text=True, check=False
    )


def whole_store(store: Path, folder: Path) -> Path:
    using = services(trusted=("file:///",))
    return ask(request(), store.as_uri(), using, folder / "out").path


def test_command_writes_a_store_that_gives_every_value_back(
    granules: list[Path], tmp_path: Path
) -> None:
    store = tmp_path / "store.icechunk"
    done = command("virtualize", *granules, "--output", store)
    assert done.returncode == 0, done.stderr
    assert "3 granules" in done.stdout
    output = whole_store(store, tmp_path)
    assert paths_of(output) == paths_of(granules[0])
    for path in ("/analysed_sst", "/mask", "/time"):
        assert same_bits(raw(output, path), np.concatenate([raw(own, path) for own in granules]))
    for path in ("/lat", "/lon", "/crs"):
        assert same_bits(raw(output, path), raw(granules[0], path))
    assert root_attributes(output)["title"] == root_attributes(granules[0])["title"]


def test_references_point_where_the_granules_are_published(
    granules: list[Path], tmp_path: Path
) -> None:
    store = tmp_path / "store.icechunk"
    with file_server(granules[0].parent) as archive:
        prefix = f"{archive.url}/"
        snapshot = build(granules, store, prefix).snapshot
        using = services(trusted=(prefix, store.as_uri()))
        output = ask(request(("analysed_sst",)), store.as_uri(), using, tmp_path / "out").path
        assert {own.path for own in archive.asked} == {f"/{own.name}" for own in granules}
    expected = np.concatenate([raw(own, "analysed_sst") for own in granules])
    assert same_bits(raw(output, "analysed_sst"), expected)
    repository = icechunk.Repository.open(icechunk.local_filesystem_storage(str(store)))
    assert repository.readonly_session("main").snapshot_id == snapshot


def edit(path: Path, change: Callable[[netCDF4.Dataset], object]) -> None:
    with netCDF4.Dataset(path, "r+") as nc:
        nc.set_auto_maskandscale(False)
        change(nc)


def other_scale(nc: netCDF4.Dataset) -> None:
    nc["analysed_sst"].scale_factor = np.float32(0.02)


def turned_latitudes(nc: netCDF4.Dataset) -> None:
    nc["lat"][:] = nc["lat"][:][::-1]


def other_constant(nc: netCDF4.Dataset) -> None:
    nc["depth"][...] = 2.0


@pytest.mark.parametrize(
    "change, told",
    [
        (other_scale, "analysed_sst scale_factor"),
        (turned_latitudes, "lat"),
        (other_constant, "depth"),
    ],
)
def test_granules_that_would_be_read_wrongly_when_joined_are_refused(
    change: Callable[[netCDF4.Dataset], object], told: str, granules: list[Path], tmp_path: Path
) -> None:
    for path in granules:
        edit(path, lambda nc: nc.createVariable("depth", "f4", ()).__setitem__(..., 1.0))
    edit(granules[2], change)
    with pytest.raises(StoreError, match=told) as refused:
        build(granules, tmp_path / "store")
    assert granules[2].name in str(refused.value)
    assert not (tmp_path / "store").exists()


def test_two_dimensional_coordinates_that_differ_are_refused(tmp_path: Path) -> None:
    """VirtualiZarr joins them without looking: the first granule's would stand for all."""
    files = [tmp_path / f"{n}.nc" for n in range(2)]
    for number, path in enumerate(files):
        with netCDF4.Dataset(path, "w") as nc:
            for name, size in (("time", None), ("i", 40), ("j", 50)):
                nc.createDimension(name, size)
            nc.createVariable("time", "f8", ("time",))[:] = [number]
            nc["time"].units = "days since 2000-01-01"
            nc.createVariable("lat", "f8", ("i", "j"), chunksizes=(40, 50))[:] = number
            nc.createVariable("u", "f4", ("time", "i", "j"))[:] = 0
    with pytest.raises(StoreError, match=r"1\.nc holds other values of lat"):
        build(files, tmp_path / "store")


def test_scalars_compact_and_unwritten_arrays_come_out_right(tmp_path: Path) -> None:
    """VirtualiZarr takes compact arrays for missing and scalars never written for anything."""
    import h5py

    path = tmp_path / "odd.h5"
    with h5py.File(path, "w") as file:
        file["x"] = np.arange(4, dtype="f4")
        file["x"].make_scale("x")
        file.create_dataset("scalar", data=np.float32(2.5))
        file.create_dataset("unwritten", shape=(), dtype="i4", fillvalue=-1)
        layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        layout.set_layout(h5py.h5d.COMPACT)
        space = h5py.h5s.create_simple((4,))
        compact = h5py.h5d.create(file.id, b"compact", h5py.h5t.NATIVE_INT16, space, dcpl=layout)
        compact.write(h5py.h5s.ALL, h5py.h5s.ALL, np.array([5, 6, 7, 8], "i2"))
        file["compact"].dims[0].attach_scale(file["x"])
        sparse = file.create_dataset("sparse", shape=(4,), dtype="i2", chunks=(2,), fillvalue=-9)
        sparse[:2] = [1, 2]
        sparse.dims[0].attach_scale(file["x"])
    store = tmp_path / "store"
    with file_server(tmp_path) as archive:
        build([path], store, f"{archive.url}/")
        using = services(trusted=(f"{archive.url}/", store.as_uri()))
        output = ask(request(), store.as_uri(), using, tmp_path / "out").path
    for name in ("scalar", "unwritten", "compact", "sparse"):
        assert same_bits(raw(output, name), raw(path, name)), name


@pytest.mark.parametrize(
    "files, told",
    [([], "no files"), (["absent.nc"], "absent"), (["text.nc"], "neither a netCDF nor an HDF5")],
)
def test_files_that_are_none_are_refused(files: list[str], told: str, tmp_path: Path) -> None:
    (tmp_path / "text.nc").write_text("no netCDF at all")
    with pytest.raises((RequestError, StoreError), match=told):
        build([tmp_path / name for name in files], tmp_path / "store")


def test_path_that_no_reference_can_name_is_refused(granules: list[Path], tmp_path: Path) -> None:
    moved = granules[0].rename(tmp_path / "my granule.nc")
    with pytest.raises(RequestError, match=r"cannot name .*my granule\.nc.* Move the file"):
        build([moved], tmp_path / "store")


def test_store_that_exists_is_not_overwritten(granules: list[Path], tmp_path: Path) -> None:
    store = tmp_path / "store"
    build(granules, store)
    done = command("virtualize", *granules, "--output", store)
    assert done.returncode == 1
    assert "exists and is not empty" in done.stderr
