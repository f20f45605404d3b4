"""Cloud-Optimized GeoTIFF as it is written: what rasterio reads of it is what the sources hold."""

import hashlib
from dataclasses import replace
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import rasterio
from pyproj import CRS
from rio_cogeo import cog_validate
from systems.kits import raw, request, services
from world import virtual_dataset, write_days, write_icechunk

from harmony_vds.errors import UnsupportedError
from harmony_vds.model.formats import GEOTIFF
from harmony_vds.model.output import Output
from harmony_vds.pipeline import fulfil, prepare

BOX = (140.0, -62.0, -95.0, 62.0)


def outputs(store: Path, folder: Path, *variables: str, box=BOX, **change) -> list[Output]:
    wanted = replace(request(variables, box), media_type=GEOTIFF, **change)
    with services(trusted=("file:///",)) as using:
        return fulfil(prepare(wanted, using, store.as_uri()), folder, using)


def virtual(folder: Path, *files: Path) -> Path:
    write_icechunk(folder / "store", {None: virtual_dataset(files)},
                   container=f"{files[0].parent.as_uri()}/")  # fmt: skip
    return folder / "store"


@pytest.mark.parametrize("north_up", [True, False])
def test_bands_hold_the_packed_values_north_up(north_up: bool, tmp_path: Path) -> None:
    days = write_days(tmp_path / "granules", 3, north_up=north_up)
    (output,) = outputs(virtual(tmp_path, *days), tmp_path / "out", "analysed_sst")
    lat, lon = raw(days[0], "lat"), raw(days[0], "lon")
    rows = np.flatnonzero((lat >= BOX[1]) & (lat <= BOX[3]))
    rows = rows[np.argsort(-lat[rows])]
    columns = np.concatenate([np.flatnonzero(lon >= BOX[0]), np.flatnonzero(lon <= BOX[2])])
    with rasterio.open(output.path) as file:
        for band, day in enumerate(days, 1):
            wanted = raw(day, "analysed_sst")[0][np.ix_(rows, columns)]
            assert np.array_equal(file.read(band), wanted)
            assert file.descriptions[band - 1] == f"analysed_sst time=2024-01-0{band + 1}T12:00:00"
        assert file.dtypes == ("int16",) * 3
        assert file.nodata == -32768
        assert file.scales == (pytest.approx(0.01),) * 3
        assert file.offsets == (pytest.approx(273.15),) * 3
        assert file.units == ("kelvin",) * 3
        assert CRS.from_wkt(file.crs.to_wkt()).to_epsg() == 4326
        assert file.transform.a == 5.0
        assert file.transform.e == -5.0
        assert (file.bounds.left, file.bounds.right) == (140.0, 265.0)
        assert (file.bounds.bottom, file.bounds.top) == (-60.0, 60.0)
        tags = file.tags()
    assert tags["TIFFTAG_SOFTWARE"].startswith("harmony-vds ")
    assert "harmony-vds" in tags["history"]
    assert output.variable == "/analysed_sst"


def test_file_is_cloud_optimized_with_overviews_that_do_not_blend_flags(tmp_path: Path) -> None:
    days = write_days(tmp_path / "granules", 2, nlat=720, nlon=1440, chunks=(360, 720))
    found = outputs(virtual(tmp_path, *days), tmp_path / "out", "analysed_sst", "mask", box=None)
    assert [own.variable for own in found] == ["/analysed_sst", "/mask"]
    for own in found:
        valid, errors, warnings = cog_validate(own.path, strict=True)
        assert valid, (errors, warnings)
        with rasterio.open(own.path) as file:
            assert file.overviews(1) == [2, 4]
            assert file.block_shapes == [(512, 512)] * 2
            assert file.profile["compress"] == "deflate"
            assert file.tags(ns="IMAGE_STRUCTURE")["PREDICTOR"] == "2"
            coarse = file.read(1, out_shape=(180, 360))
        if own.variable == "/mask":
            assert set(np.unique(coarse)) == set(np.unique(raw(days[0], "mask")))


def test_same_request_gives_the_same_bytes(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    sums = {
        hashlib.sha256(outputs(store, tmp_path / n, "analysed_sst")[0].path.read_bytes()).digest()
        for n in "abc"
    }
    assert len(sums) == 1
    assert sorted(own.name for own in (tmp_path / "a").rglob("*") if own.is_file()) == [
        "subset.tif"
    ]


def test_all_variables_give_those_on_a_grid(store: Path, tmp_path: Path) -> None:
    found = outputs(store, tmp_path)
    assert [own.variable for own in found] == ["/analysed_sst", "/mask"]


def test_one_who_waits_gets_one_variable_or_a_refusal(store: Path, tmp_path: Path) -> None:
    assert len(outputs(store, tmp_path / "one", "mask", synchronous=True)) == 1
    with pytest.raises(UnsupportedError, match="exactly one output, and this one has 2"):
        outputs(store, tmp_path / "two", "mask", "analysed_sst", synchronous=True)


def gridded(path: Path, latitudes: np.ndarray, longitudes: np.ndarray, dims=("lat", "lon")) -> Path:
    with netCDF4.Dataset(path, "w") as nc:
        flat = latitudes.ndim == 1
        dims = dims if flat else ("y", "x")
        sizes = dict(zip(("lat", "lon") if flat else dims,
                         (latitudes.shape[0], longitudes.shape[-1]), strict=True))  # fmt: skip
        for name, size in sizes.items():
            nc.createDimension(name, size)
        for name, values, units in (
            ("lat", latitudes, "degrees_north"), ("lon", longitudes, "degrees_east"),
        ):  # fmt: skip
            own = nc.createVariable(name, "f4", (name,) if flat else dims)
            own.units, own.standard_name = units, {"lat": "latitude", "lon": "longitude"}[name]
            own[:] = values
        field = nc.createVariable("field", "f4", dims, fill_value=np.float32(-1))
        if not flat:
            field.coordinates = "lat lon"
        field[:] = np.arange(np.prod([*sizes.values()])).reshape([sizes[name] for name in dims])
    return path


def test_columns_before_rows_come_out_as_rows_and_columns(tmp_path: Path) -> None:
    source = gridded(tmp_path / "a.nc", np.arange(4.0), np.arange(10.0, 16.0), ("lon", "lat"))
    (output,) = outputs(virtual(tmp_path, source), tmp_path / "out", "field", box=None)
    with rasterio.open(output.path) as file:
        assert np.array_equal(file.read(1), raw(source, "field").T[::-1])
        assert file.bounds == (9.5, -0.5, 15.5, 3.5)
        assert file.nodata == -1


def test_coordinates_in_single_precision_give_round_steps(tmp_path: Path) -> None:
    longitudes = (np.arange(-179.995, 180, 0.01)).astype(np.float32)[:2000]
    source = gridded(tmp_path / "a.nc", np.linspace(-1, 1, 3), longitudes)
    (output,) = outputs(virtual(tmp_path, source), tmp_path / "out", "field", box=None)
    with rasterio.open(output.path) as file:
        assert file.transform.a == pytest.approx(0.01, abs=1e-9)
        assert file.transform.c == pytest.approx(-180.0, abs=1e-6)


@pytest.mark.parametrize(
    ("latitudes", "longitudes", "told"),
    [
        (np.array([0.0, 1, 3, 7]), np.arange(5.0), "lat are not evenly spaced.*outputCrs"),
        (np.add.outer(np.arange(4.0), np.arange(5) / 9), np.add.outer(np.arange(4) / 9,
                                                                      np.arange(5.0)),
         "rows and columns along dimensions of their own, and field has none.*outputCrs"),
    ],
)  # fmt: skip
def test_irregular_grids_are_refused_with_what_to_ask_instead(
    latitudes: np.ndarray, longitudes: np.ndarray, told: str, tmp_path: Path
) -> None:
    source = gridded(tmp_path / "a.nc", latitudes, longitudes)
    with pytest.raises(UnsupportedError, match=told):
        outputs(virtual(tmp_path, source), tmp_path / "out", "field", box=None)
