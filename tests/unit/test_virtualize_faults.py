"""What files hold that libraries trip over or misread: each is mended and told, or refused."""

from collections.abc import Callable
from pathlib import Path

import h5py
import netCDF4
import numpy as np
import pytest
from building import build, contents

from harmony_vds.errors import NoDataError, StoreError


def fixed_text(file: h5py.File) -> None:
    file["odd"] = np.array([b"abc", b"de", b"", b"x"], "S3")
    file["odd"].attrs["_FillValue"] = np.bytes_(b"de")


def mark_out_of_range(file: h5py.File) -> None:
    file["odd"] = np.arange(4, dtype="i1")
    file["odd"].attrs["_FillValue"] = np.int32(999_999)


def complex_attribute(file: h5py.File) -> None:
    file["odd"] = np.arange(4, dtype="i2")
    file["odd"].attrs["gain"] = np.complex64(1 + 2j)


def soft_link(file: h5py.File) -> None:
    file["odd"] = h5py.SoftLink("/v")


def year_nought(file: h5py.File) -> None:
    file["odd"] = np.arange(4.0)
    file["odd"].attrs["units"] = "hour since 0000-01-01"


def text_of_varying_length(file: h5py.File) -> None:
    file.create_dataset("odd", data=["a", "bb", "ccc", ""], dtype=h5py.string_dtype())


def compound(file: h5py.File) -> None:
    file["odd"] = np.zeros(4, np.dtype([("a", "i4"), ("b", "f4", (2,))]))


def object_references(file: h5py.File) -> None:
    file.create_dataset("odd", (4,), h5py.ref_dtype)[0] = file["v"].ref


def two_scales(file: h5py.File) -> None:
    file["odd"] = np.arange(4)
    file["y"] = np.arange(4.0)
    file["y"].make_scale("y")
    file["odd"].dims[0].attach_scale(file["y"])


def other_compression(file: h5py.File) -> None:
    file.create_dataset("odd", data=np.arange(4), chunks=(4,), compression="lzf")


def other_packing(file: h5py.File) -> None:
    file.create_dataset("odd", data=np.arange(4), chunks=(4,), scaleoffset=4)


def odd_file(path: Path, add: Callable[[h5py.File], None]) -> Path:
    with h5py.File(path, "w") as file:
        file["x"] = np.arange(4.0)
        file["x"].make_scale("x")
        file["v"] = np.arange(4, dtype="i2")
        file["v"].dims[0].attach_scale(file["x"])
        add(file)
        if not isinstance(file.get("odd", getlink=True), h5py.SoftLink):
            file["odd"].dims[0].attach_scale(file["x"])
    return path


@pytest.mark.parametrize(
    "add, told",
    [
        (fixed_text, "the _FillValue 'de' of odd is left out"),
        (mark_out_of_range, "the _FillValue 999999 of odd is left out: int8 cannot hold it"),
        (complex_attribute, "the attribute gain of odd is left out"),
        (soft_link, ""),
        (year_nought, ""),
        (text_of_varying_length, ""),
    ],
)
def test_odd_variable_keeps_its_values_and_what_is_left_out_is_told(
    add: Callable[[h5py.File], None], told: str, tmp_path: Path
) -> None:
    path = odd_file(tmp_path / "a.h5", add)
    built = build([path], tmp_path / "store")
    assert told in " ".join(built.notes)
    assert bool(built.notes) == bool(told)
    found = contents(tmp_path / "store")
    with h5py.File(path) as file:
        for name in ("v", "odd"):
            wanted = file[name].asstr() if file[name].dtype.kind == "O" else file[name]
            np.testing.assert_array_equal(found[f"/{name}"][0], wanted[()])


@pytest.mark.parametrize(
    "add, told",
    [
        (compound, "subarray"),
        (object_references, "object dtype"),
        (two_scales, "2 dimension scales"),
        (other_compression, "lzf"),
        (other_packing, "scaleoffset"),
    ],
)
def test_variable_that_references_cannot_describe_is_refused_with_the_file(
    add: Callable[[h5py.File], None], told: str, tmp_path: Path
) -> None:
    path = odd_file(tmp_path / "a.h5", add)
    with pytest.raises(StoreError, match=rf"a\.h5 cannot be described.*{told}.*--group"):
        build([path], tmp_path / "store")
    assert not (tmp_path / "store").exists()


def tiff(path: Path, bands: int = 1, **how: object) -> Path:
    import rasterio
    from rasterio.transform import from_origin

    place = {"crs": "EPSG:32611", "transform": from_origin(4e5, 4e6, 30, 30)}
    told = {"height": 96, "width": 64, "count": bands, "dtype": "int16", **place, **how}
    with rasterio.open(path, "w", driver="GTiff", **told) as file:
        for band in range(bands):
            file.write(np.arange(96 * 64, dtype="i2").reshape(96, 64) * (band + 1), band + 1)
    return path


TILES = {"tiled": True, "blockxsize": 16, "blockysize": 16, "compress": "deflate"}


@pytest.mark.parametrize(
    "how, told",
    [
        ({"blockysize": 7, "tiled": False}, "rows per strip 7"),
        ({"bands": 3, "interleave": "pixel", **TILES}, "cannot describe this TIFF"),
    ],
)
def test_tiff_that_references_cannot_describe_is_refused(
    how: dict[str, object], told: str, tmp_path: Path
) -> None:
    path = tiff(tmp_path / "a.tif", **how)  # type: ignore[arg-type]
    with pytest.raises(StoreError, match=rf"a\.tif: .*{told}"):
        build([path], tmp_path / "store")


def test_tiff_with_a_predictor_is_icechunk_and_no_kerchunk(tmp_path: Path) -> None:
    path = tiff(tmp_path / "a.tif", predictor=2, **TILES)
    build([path], tmp_path / "store")
    values = np.arange(96 * 64).reshape(96, 64)
    np.testing.assert_array_equal(contents(tmp_path / "store")["/data"][0], values)
    with pytest.raises(StoreError, match="Write icechunk instead"):
        build([path], tmp_path / "store.json")


def test_tiff_keeps_its_mark_of_missing_cells_and_its_scale(tmp_path: Path) -> None:
    import rasterio

    path = tiff(tmp_path / "a.tif", nodata=7, **TILES)
    with rasterio.open(path, "r+") as file:
        file.scales, file.offsets = (0.1,), (5.0,)
    built = build([path], tmp_path / "store")
    told = contents(tmp_path / "store")["/data"][1]
    assert (told["_FillValue"], told["scale_factor"], told["add_offset"]) == (7, 0.1, 5.0)
    assert any("scaled by GDAL's SCALE and OFFSET" in own for own in built.notes)


def granule(path: Path, day: int, steps: int = 1, extra: int | None = None) -> Path:
    with netCDF4.Dataset(path, "w") as nc:
        nc.createDimension("time", None)
        nc.createDimension("n", None)
        nc.createVariable("time", "f8", ("time",))[:] = day + np.arange(steps)
        nc["time"].units = "days since 2000-01-01"
        nc.createVariable("v", "i2", ("time",), chunksizes=(1,))[:] = day + np.arange(steps)
        nc.createVariable("n", "i4", ("n",))
        nc.createVariable("events", "i4", ("n",))
        if extra is not None:
            nc["n"][:] = range(extra)
    return path


def test_granules_with_a_variable_of_no_length_are_kept_with_a_note(tmp_path: Path) -> None:
    files = [granule(tmp_path / f"{day}.nc", day) for day in (1, 2)]
    built = build(files, tmp_path / "store")
    assert built.granules == 2
    assert "n is left out: it has no values" in built.notes
    found = contents(tmp_path / "store")
    assert found["/v"][0].tolist() == [1, 2]
    assert "/n" not in found


def test_granules_without_steps_are_left_out_by_name(tmp_path: Path) -> None:
    files = [granule(tmp_path / f"{day}.nc", day, steps=day != 2) for day in (1, 2, 3)]
    built = build(files, tmp_path / "store")
    assert built.granules == 2
    assert any(
        "1 of 3 granules are left out, for they have no step: 2.nc" in own for own in built.notes
    )
    assert contents(tmp_path / "store")["/v"][0].tolist() == [1, 3]
    with pytest.raises(NoDataError, match="None of the 1 granules"):
        build(files[1:2], tmp_path / "none", is_one_of_many=True)


@pytest.mark.parametrize("dimension", [None, "time"])
def test_granule_of_which_only_another_dimension_is_empty_has_its_steps(
    dimension: str | None, tmp_path: Path
) -> None:
    files = [granule(tmp_path / f"{day}.nc", day) for day in (1, 2)]
    build(files, tmp_path / "store", dimension=dimension)
    assert contents(tmp_path / "store")["/time"][0].tolist() == [1, 2]


def test_granules_deflated_with_different_effort_are_one_series(tmp_path: Path) -> None:
    from building import bring_up_to_date

    files = []
    for day, level in ((1, 1), (2, 9), (3, 4)):
        path = tmp_path / f"{day}.nc"
        with netCDF4.Dataset(path, "w") as nc:
            nc.createDimension("time", None)
            nc.createDimension("x", 30_000)
            nc.createVariable("time", "f8", ("time",))[:] = [day]
            nc["time"].units = "days since 2000-01-01"
            told = {"zlib": True, "complevel": level, "chunksizes": (1, 10_000)}
            nc.createVariable("v", "i4", ("time", "x"), **told)[0] = np.arange(30_000) + day
        files.append(path)
    build(files[:2], tmp_path / "store")
    bring_up_to_date(files, tmp_path / "store")
    found = contents(tmp_path / "store")["/v"][0]
    np.testing.assert_array_equal(found, np.arange(30_000) + np.array([[1], [2], [3]]))
