"""What would come out silently wrong when granules are joined is refused or mended, and told."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import netCDF4
import numpy as np
import pytest
from building import bring_up_to_date, build, by_engine, by_kerchunk, commits, contents
from systems.kits import raw
from world import write_days

from harmony_vds.building.virtualize import Crew
from harmony_vds.errors import NoDataError, RequestError, StoreError

# fsspec reads Parquet by an engine that pandas gives up.
pytestmark = pytest.mark.filterwarnings("ignore:The 'fastparquet' engine is deprecated")


@pytest.fixture
def days(tmp_path: Path) -> list[Path]:
    return write_days(tmp_path / "granules", 3)


def grid(
    path: Path, day: float, *, units: str = "days since 2000-01-01", steps: int = 1,
    form: str = "NETCDF4", **more: Any,
) -> Path:  # fmt: skip
    """A small granule of one packed variable, with whatever a test adds."""
    with netCDF4.Dataset(path, "w", format=form) as nc:
        for name, size in (("time", None), ("lat", 6), ("lon", 8), ("nv", 2)):
            nc.createDimension(name, size)
        time = nc.createVariable("time", "f8", ("time",))
        time.setncatts({"units": units, "bounds": "time_bnds"})
        time[:] = day + np.arange(steps)
        nc.createVariable("time_bnds", "f8", ("time", "nv"))[:] = np.stack(
            [day + np.arange(steps), day + np.arange(steps) + 1], 1
        )
        for name, unit, first in (("lat", "degrees_north", -50.0), ("lon", "degrees_east", 10.0)):
            nc.createVariable(name, "f8", (name,))[:] = first + 20 * np.arange(
                len(nc.dimensions[name])
            )
            nc[name].units = unit
        chunks = None if form.startswith("NETCDF3") else more.get("chunks", (1, 3, 4))
        told: dict[str, Any] = {} if chunks is None else {"chunksizes": chunks, "zlib": True}
        data = nc.createVariable(
            "t", "i2", ("time", "lat", "lon"), fill_value=more.get("fill", -999), **told
        )
        data.set_auto_maskandscale(False)
        if "scale" in more:
            data.scale_factor = more["scale"]
        random = np.random.default_rng(int(abs(day) * 10))
        data[:] = random.integers(-5, 5, (steps, 6, 8))
    return path


def change(path: Path, how: Callable[[netCDF4.Dataset], object]) -> None:
    with netCDF4.Dataset(path, "r+") as nc:
        nc.set_auto_maskandscale(False)
        how(nc)


def test_scalars_do_not_keep_new_granules_out(days: list[Path], tmp_path: Path) -> None:
    build(days[:2], tmp_path / "store")
    assert "crs" in {own[1:] for own in contents(tmp_path / "store")}
    assert bring_up_to_date(days, tmp_path / "store").added == (days[2].as_uri(),)


def test_scale_factors_that_lose_their_type_are_told(tmp_path: Path) -> None:
    single = grid(tmp_path / "single.nc", 1, scale=np.float32(0.1))
    double = grid(tmp_path / "double.nc", 1, scale=np.float64(0.1))
    assert "float32" in " ".join(build([single], tmp_path / "a").notes)
    assert not build([double], tmp_path / "b").notes


@pytest.mark.parametrize("form", ["json", "parquet"])
def test_zeros_stay_zeros_in_kerchunk_and_the_mark_of_missing_is_the_files(
    form: str, tmp_path: Path
) -> None:
    path = grid(tmp_path / "a.nc", 1, fill=0)  # the fill of HDF5 is 0, which is a value here
    change(path, lambda nc: nc["t"].delncattr("_FillValue"))
    change(path, lambda nc: nc.createVariable("flag", "u1", ("lat",)))
    change(path, lambda nc: nc["flag"].__setitem__(slice(None), [0, 1, 0, 2, 0, 3]))
    marked = grid(tmp_path / "b.nc", 2)
    change(marked, lambda nc: nc["t"].__setitem__((0, 0, 0), -999))
    build([path], tmp_path / f"plain.{form}")
    build([marked], tmp_path / f"marked.{form}")
    for read in (by_kerchunk, functools.partial(by_engine, granules=tmp_path)):
        plain = read(tmp_path / f"plain.{form}")
        np.testing.assert_array_equal(plain["t"].values, raw(path, "t"))
        np.testing.assert_array_equal(plain["flag"].values, [0, 1, 0, 2, 0, 3])
        values = read(tmp_path / f"marked.{form}")["t"].values
        assert np.isnan(values[0, 0, 0])
        assert np.isnan(values).sum() == 1


def test_gaps_that_kerchunk_would_read_as_other_values_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "sparse.h5"
    with h5py.File(path, "w") as file:
        file["x"] = np.arange(400_000, dtype="f4")
        file["x"].make_scale("x")
        sparse = file.create_dataset("v", (400_000,), "i2", chunks=(100_000,), fillvalue=-9)
        sparse[:100_000] = 7
        sparse.dims[0].attach_scale(file["x"])
    with pytest.raises(StoreError, match=r"v were never written and read as -9.*icechunk"):
        build([path], tmp_path / "store.json")
    build([path], tmp_path / "store")
    np.testing.assert_array_equal(contents(tmp_path / "store")["/v"][0], raw(path, "v"))


def test_times_that_count_from_another_day_in_each_granule_are_counted_from_one(
    tmp_path: Path,
) -> None:
    files = [
        grid(tmp_path / "a.nc", 0, units="days since 2000-01-01"),
        grid(tmp_path / "b.nc", 0, units="hours since 2000-01-02"),
    ]
    built = build(files, tmp_path / "store")
    found = contents(tmp_path / "store")
    # The bounds have no units of their own, and count as the times do: an hour is no exact part
    # of a day, so that both count seconds.
    assert found["/time"][1]["units"] == "seconds since 2000-01-01"
    assert found["/time"][0].tolist() == [0, 86_400]
    assert found["/time_bnds"][0].tolist() == [[0, 86_400], [86_400, 90_000]]
    assert any("time counts from another instant" in own for own in built.notes)


def test_other_units_of_times_too_large_to_count_anew_are_refused(tmp_path: Path) -> None:
    files = []
    for number in range(2):
        path = grid(tmp_path / f"{number}.nc", number)
        with netCDF4.Dataset(path, "r+") as nc:
            nc.createDimension("n", 200_000)
            seen = nc.createVariable("seen", "i4", ("time", "n"), chunksizes=(1, 100_000))
            seen.units = f"seconds since 2000-01-0{number + 1}"
            seen[:] = 1
        files.append(path)
    with pytest.raises(StoreError, match=r"1\.nc gives seen units.*joined"):
        build(files, tmp_path / "store")


@pytest.mark.parametrize("form", ["json", "parquet"])
def test_scalars_come_back_from_kerchunk(form: str, tmp_path: Path) -> None:
    path = grid(tmp_path / "a.nc", 1)
    change(path, lambda nc: nc.createVariable("crs", "i4", ()).__setitem__(..., 4326))
    change(path, lambda nc: nc.createVariable("height", "f4", ()).__setitem__(..., 2.5))
    build([path], tmp_path / f"store.{form}")
    found = by_kerchunk(tmp_path / f"store.{form}")
    assert (int(found["crs"]), float(found["height"])) == (4326, 2.5)


def test_attributes_that_json_cannot_hold_are_left_out_and_told(tmp_path: Path) -> None:
    path = grid(tmp_path / "a.nc", 1)
    change(path, lambda nc: nc["t"].setncattr("error", np.array([np.nan, 1.0])))
    built = build([path], tmp_path / "store")
    assert any("attribute error of t" in own for own in built.notes)
    assert "error" not in contents(tmp_path / "store")["/t"][1]


def unscaled(path: Path) -> Path:
    """A file one of whose groups has dimensions without names, of two lengths."""
    with h5py.File(path, "w") as file:
        file["good/v"] = np.arange(4)
        file["good/x"] = np.arange(4.0)
        file["good/x"].make_scale("x")
        file["good/v"].dims[0].attach_scale(file["good/x"])
        file["bad/a"], file["bad/b"] = np.zeros(3), np.zeros(5)
    return path


def test_group_whose_dimensions_collide_is_named_and_may_be_left_out(tmp_path: Path) -> None:
    path = unscaled(tmp_path / "a.h5")
    with pytest.raises(StoreError, match=r"a\.h5 group /bad .*conflicting sizes.*--group"):
        build([path], tmp_path / "store")
    build([path], tmp_path / "store", groups=("good",))
    assert set(contents(tmp_path / "store")) == {"/good/v", "/good/x"}


def test_granules_of_unequal_length_keep_their_chunks(tmp_path: Path) -> None:
    files = [grid(tmp_path / f"{n}.nc", 10 * n, steps=n, chunks=(n, 6, 8)) for n in (3, 2, 4)]
    store = tmp_path / "store"
    build(files, store)
    expected = np.concatenate(
        [raw(own, "t") for own in sorted(files, key=lambda own: raw(own, "time")[0])]
    )
    np.testing.assert_array_equal(contents(store)["/t"][0], expected)
    with pytest.raises(StoreError, match=r"differ in length.*icechunk instead"):
        build(files, tmp_path / "store.json")
    bring_up_to_date(files[:2], store, removing=True)
    left = np.concatenate([raw(own, "t") for own in (files[1], files[0])])
    np.testing.assert_array_equal(contents(store)["/t"][0], left)


def test_granule_that_ends_within_a_chunk_is_refused(tmp_path: Path) -> None:
    files = [grid(tmp_path / f"{n}.nc", 10 * n, steps=n, chunks=(2, 6, 8)) for n in (3, 4)]
    with pytest.raises(StoreError, match=r"3\.nc has 3 steps of t in chunks of 2"):
        build(files, tmp_path / "store")


def test_dimensions_of_parent_groups_keep_their_names(tmp_path: Path) -> None:
    with netCDF4.Dataset(tmp_path / "a.nc", "w") as nc:
        outer = nc.createGroup("data_01")
        outer.createDimension("time", 3)
        outer.createVariable("time", "f8", ("time",))[:] = range(3)
        inner = outer.createGroup("ku")
        inner.createVariable("range", "f8", ("time",), chunksizes=(3,))[:] = range(3)
    build([tmp_path / "a.nc"], tmp_path / "store")
    import icechunk
    import zarr

    storage = icechunk.local_filesystem_storage(str(tmp_path / "store"))
    root = zarr.open_group(
        icechunk.Repository.open(storage).readonly_session("main").store, mode="r"
    )
    assert root["data_01/ku/range"].metadata.dimension_names == ("time",)


def test_twice_deflated_array_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plan.set_chunk((4,))
        plan.set_deflate(4)
        plan.set_deflate(4)
        space = h5py.h5s.create_simple((4,))
        made = h5py.h5d.create(file.id, b"v", h5py.h5t.NATIVE_INT32, space, dcpl=plan)
        made.write(h5py.h5s.ALL, h5py.h5s.ALL, np.arange(4, dtype="i4"))
    with pytest.raises(StoreError, match=r"a\.h5: v was deflated twice"):
        build([tmp_path / "a.h5"], tmp_path / "store")


def test_axis_turned_round_in_a_later_granule_is_refused_on_update(
    days: list[Path], tmp_path: Path
) -> None:
    build(days[:2], tmp_path / "store")
    change(days[2], lambda nc: nc["lat"].__setitem__(slice(None), nc["lat"][::-1]))
    with pytest.raises(StoreError, match=rf"{days[2].name} holds other values of lat"):
        bring_up_to_date(days, tmp_path / "store")
    assert commits(tmp_path / "store") == 1


def test_granule_without_steps_is_left_out(tmp_path: Path) -> None:
    files = [grid(tmp_path / "a.nc", 1), grid(tmp_path / "b.nc", 2, steps=0)]
    assert build(files, tmp_path / "store").granules == 1
    assert contents(tmp_path / "store")["/t"][0].shape == (1, 6, 8)
    with pytest.raises(NoDataError, match="None of the 1 granules"):
        build(files[1:], tmp_path / "empty", is_one_of_many=True)


def test_granules_of_two_formats_are_refused(tmp_path: Path) -> None:
    files = [grid(tmp_path / "a.nc", 1, form="NETCDF3_CLASSIC"), grid(tmp_path / "b.nc", 2)]
    build(files[:1], tmp_path / "classic")
    with pytest.raises(StoreError, match=r"cannot be joined along time.*one format"):
        build(files, tmp_path / "store")


def test_only_so_many_references_are_held(days: list[Path], tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"chunks, and at most 5 references.*--update"):
        build(days, tmp_path / "store", crew=Crew(workers=1, most_references=5))


def test_times_are_taken_from_names_attributes_or_scalars(tmp_path: Path) -> None:
    files = []
    for day in (2, 1):
        path = tmp_path / f"P_2024010{day}T120000Z_20250101.nc"
        with netCDF4.Dataset(path, "w") as nc:
            nc.createDimension("x", 30_000)
            nc.createVariable("x", "f8", ("x",))[:] = range(30_000)
            nc.createVariable("v", "i2", ("x",), chunksizes=(10_000,))[:] = day
            nc.createVariable("orbit", "i4", ())[...] = 100 + day
            nc.createVariable("when", "f8", ())[...] = day
            nc["when"].units = "days since 2023-12-31"
            nc.time_coverage_start = f"2024-01-0{day}T12:00:00Z"
        files.append(path)
    for way, name in (("data", "when"), ("", "when")):
        build(files, tmp_path / f"by{way}", time_from=way)
        found = contents(tmp_path / f"by{way}")
        assert found[f"/{name}"][0].tolist() == [1, 2]
        assert found["/v"][0][:, 0].tolist() == [1, 2]
        assert found["/orbit"][0].tolist() == [101, 102]
    bare = [grid_without_time(tmp_path / "plain_20240101.nc")]
    with pytest.raises(RequestError, match="CMR tells no time"):
        build(bare, tmp_path / "bycmr", time_from="cmr")
    others = [
        grid_without_time(tmp_path / f"N_2024010{day}T120000Z_2025.nc", day) for day in (2, 1)
    ]
    for way in ("name", "attribute", "attribute:begin"):
        build(others, tmp_path / way, time_from=way)
        found = contents(tmp_path / way)
        noon = 1704110400.0  # 2024-01-01T12:00:00Z
        assert found["/time"][0].tolist() == [noon, noon + 86_400]
        assert found["/v"][0][:, 0].tolist() == [1, 2]


def grid_without_time(path: Path, day: int = 1) -> Path:
    with netCDF4.Dataset(path, "w") as nc:
        nc.createDimension("x", 30_000)
        nc.createVariable("x", "f8", ("x",))[:] = range(30_000)
        nc.createVariable("v", "i2", ("x",), chunksizes=(10_000,))[:] = day
        nc.time_coverage_start = nc.begin = f"2024-01-0{day}T12:00:00Z"
    return path


def test_store_of_a_region_some_months_and_variables_holds_just_these(tmp_path: Path) -> None:
    from harmony_vds.model.extent import BoundingBox

    files = [grid(tmp_path / f"{n}.nc", 31 * n, steps=3) for n in range(4)]
    for own in files:
        change(own, lambda nc: nc.createVariable("u", "i2", ("lat", "lon")))
    store = tmp_path / "store"
    build(files, store, variables=("t",), months=(2, 4), box=BoundingBox(95, -55, 120, -20))
    found = contents(store)
    assert "/u" not in found
    # Latitudes -50, -30, (-10) share a chunk; longitudes 110 to 150 are in the second of two.
    assert found["/lat"][0].tolist() == [-50, -30, -10]
    assert found["/lon"][0].tolist() == [90, 110, 130, 150]
    assert found["/time"][0].tolist() == [31, 32, 33, 93, 94, 95]
    whole = np.concatenate([raw(files[own], "t") for own in (1, 3)])
    np.testing.assert_array_equal(found["/t"][0], whole[:, :3, 4:])


def test_variable_that_is_nowhere_and_box_beside_are_refused(
    days: list[Path], tmp_path: Path
) -> None:
    from harmony_vds.model.extent import BoundingBox

    with pytest.raises(RequestError, match="no variable absent"):
        build(days, tmp_path / "store", variables=("absent",))
    small = grid(tmp_path / "small.nc", 1)
    with pytest.raises(NoDataError, match="No cell of it lies in the box"):
        build([small], tmp_path / "store", box=BoundingBox(-100, 80, -90, 85))


def test_source_that_fails_is_named(days: list[Path], tmp_path: Path) -> None:
    days[1].write_bytes(days[1].read_bytes()[:2_000])
    with pytest.raises(StoreError, match=days[1].name):
        build(days, tmp_path / "store")
