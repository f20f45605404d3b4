"""Every operation captured from a running Harmony, through the whole service."""

import csv
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pyproj
import pytest
import rasterio
import shapely
import shapely.geometry
import zarr
from harmony_service_lib.exceptions import HarmonyException
from harmony_service_lib.message import Message
from harmony_service_lib.util import config, create_decrypter
from invocation import SHARED_SECRET, shape_file
from PIL import Image
from servers import Server, bucket_of, cmr_server
from world import umm_collection, virtual_dataset, write_icechunk

from harmony_vds.adapter import VirtualStoreAdapter

OPERATIONS = Path(__file__).parents[3] / "shared" / "harmony" / "operations"
NAMES = sorted(path.stem for path in OPERATIONS.glob("*.json"))
TOKEN = "fake-edl-token"

# The shapes of operations as Harmony hands them on, split at the antimeridian, points and lines
# drawn as areas 1e-4 degrees wide; and the (longitude, latitude) of the cells that are in.
SHAPES: dict[str, tuple[shapely.Geometry, set[tuple[int, int]]]] = {
    "cov_shape": (shapely.box(-10, -5, 10, 5), {(x, y) for x in (-5, 5) for y in (-5, 5)}),
    "edr_area": (shapely.box(-10, -5, 10, 5), {(x, y) for x in (-5, 5) for y in (-5, 5)}),
    "cov_shape_antimeridian": (
        shapely.MultiPolygon([shapely.box(170, -5, 180, 5), shapely.box(-180, -5, -170, 5)]),
        {(x, y) for x in (175, 185) for y in (-5, 5)},
    ),
    "cov_shape_point": (
        shapely.Point(10, 20).buffer(5e-5, 1), {(x, y) for x in (5, 15) for y in (15, 25)},
    ),
    "edr_position_multipoint": (
        shapely.MultiPolygon([
            shapely.box(x - 5e-5, y - 5e-5, x + 5e-5, y + 5e-5) for x, y in ((10, 20), (30, 40))
        ]), {(5, 25), (25, 45)},
    ),
    "edr_trajectory": (
        shapely.Polygon([(-4e-5, 4e-5), (4e-5, -4e-5), (10.00004, 9.99996), (9.99996, 10.00004)]),
        {(5, 5), (-5, 5), (5, -5), (15, 5), (5, 15), (-5, -5), (15, 15)},
    ),
}  # fmt: skip
# Boxes around the cells of operations that name a place.
CELLS = {"cov_point": (10, -30, 20, -20)}
# Those that name a dimension which the collection, once it is open, does not have.
UNFIT = {"cov_dimension_open": "'lev'", "edr_cube_z": "'lev'"}
# Those that name another grid.
ON_TARGET = {"cov_crs_3857_grid", "cov_crs_only_6933", "cov_crs_proj4", "edr_area"}
# Those whose time lies before the store's first day.
EMPTY = {"cov_fail_noretry": "1998-01-01", "cov_warning_nodata": "1999-01-01"}


def write_day(path: Path, day: int) -> Path:
    """A granule of the demonstration collection that the operations were captured with."""
    with netCDF4.Dataset(path, "w") as nc:
        for name, size in (("time", None), ("lat", 18), ("lon", 36)):
            nc.createDimension(name, size)
        time = nc.createVariable("time", "i4", ("time",), chunksizes=(1,))
        time.setncatts({"units": "hours since 2020-01-01", "standard_name": "time"})
        time[:] = [24 * day + 12]
        for name, start, units in (
            ("lat", -85.0, "degrees_north"),
            ("lon", -175.0, "degrees_east"),
        ):
            axis = nc.createVariable(name, "f4", (name,))
            axis.units = units
            axis[:] = start + 10 * np.arange(nc.dimensions[name].size)
        sst = nc.createVariable(
            "sst", "i2", ("time", "lat", "lon"), chunksizes=(1, 9, 12), zlib=True
        )
        sst[0] = np.arange(18 * 36).reshape(18, 36) + 1000 * day
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("operations")
    return [write_day(folder / f"day{day}.nc", day) for day in range(3)]


@pytest.fixture(scope="module")
def cmr(files: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    store = tmp_path_factory.mktemp("operations-store") / "demo.icechunk"
    write_icechunk(store, {None: virtual_dataset(files)}, container=f"{files[0].parent.as_uri()}/")
    ids = {own["collection"] for name in NAMES for own in captured(name)["sources"]}
    records = {own: umm_collection(own, [store.as_uri()], "VDS_DEMO") for own in ids}
    with cmr_server(records, token=TOKEN) as server:
        yield server


@pytest.fixture(autouse=True)
def uploads(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Harmony keeps uploads, and the service's own role to read them with."""
    monkeypatch.setenv("UPLOAD_BUCKET", "local-upload-bucket")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")


@contextmanager
def handed_over(name: str) -> Iterator[None]:
    """The shape of an operation, where Harmony puts it."""
    shape, _ = SHAPES.get(name, (None, None))
    if shape is None:
        yield
        return
    text = json.dumps({"type": "Feature", "geometry": shapely.geometry.mapping(shape)})
    href = captured(name)["subset"]["shape"]["href"]
    if href.startswith("s3://"):
        bucket, _, key = href.removeprefix("s3://").partition("/")
        client = bucket_of(os.environ["AWS_ENDPOINT_URL_S3"], bucket)
        client.put_object(Bucket=bucket, Key=key, Body=text.encode())
        yield
        return
    with shape_file(text):
        yield


def captured(name: str) -> dict[str, Any]:
    document = json.loads((OPERATIONS / f"{name}.json").read_text())
    operation = document.get("operation", document)
    return {key: value for key, value in operation.items() if not key.startswith("_")}


def run(
    name: str, cmr: Server, files: list[Path], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Any:
    """The catalogue that the adapter answers a captured operation with."""
    store = next(files[0].parent.parent.glob("operations-store*"))
    monkeypatch.setenv("CMR_ENDPOINT", cmr.url)
    trusted = f"{files[0].parent.as_uri()}/,{store.as_uri()}/"
    monkeypatch.setenv("HARMONY_VDS_TRUSTED_PREFIXES", trusted)
    message = Message(captured(name), create_decrypter(SHARED_SECRET.encode()))
    message.stagingLocation = str(folder)
    with handed_over(name):
        return VirtualStoreAdapter(message, config=config(validate=False)).invoke()[1]


def wanted_cells(
    operation: dict[str, Any], box: tuple[float, float, float, float] | None = None
) -> np.ndarray:
    """What the operation asks of ``sst``, cell by cell, in stored order; a fill elsewhere."""
    days = [day for day in range(3) if _in_time(day, operation.get("temporal"))]
    lat, lon = -85.0 + 10 * np.arange(18), -175.0 + 10 * np.arange(36)
    west, south, east, north = box or operation["subset"].get("bbox") or (-180, -90, 180, 90)
    rows = np.flatnonzero((lat >= south) & (lat <= north))
    inside = (lon >= west) & (lon <= east) if west <= east else (lon >= west) | (lon <= east)
    columns = np.flatnonzero(inside)
    if west > east:  # contiguous across the antimeridian: first what lies west of it
        columns = np.concatenate([columns[lon[columns] >= west], columns[lon[columns] <= east]])
    cells = np.arange(18 * 36).reshape(18, 36)[np.ix_(rows, columns)]
    return np.stack([cells + 1000 * day for day in days]).astype(np.int16)


def wanted_on_target(href: str, operation: dict[str, Any]) -> np.ndarray:
    """``sst`` at each target centre, by the cell that it lies in; -1 where centres lie on edges."""
    way = pyproj.Transformer.from_crs(operation["format"]["crs"], "OGC:CRS84", always_xy=True)
    with rasterio.open(href if href.endswith(".tif") else f"netcdf:{href}:sst") as file:
        rows, columns = np.indices(file.shape)
        a, _, left, _, e, top = tuple(file.transform)[:6]
        lon, lat = way.transform(left + a * (columns + 0.5), top + e * (rows + 0.5))
    good = np.isfinite(lon) & np.isfinite(lat)
    y, x = (np.where(good, lat, 0) + 90) / 10, (np.where(good, lon, 0) + 180) / 10
    cells = np.minimum(y.astype(int), 17) * 36 + x.astype(int) % 36
    tie = (np.abs(y - np.round(y)) < 1e-6) | (np.abs(x - np.round(x)) < 1e-6)
    return np.stack([np.where(good & ~tie, cells + 1000 * day, -1) for day in range(3)])


def stored(href: str) -> np.ndarray:
    """The values of ``sst`` in an output, as they lie there."""
    if Path(href).is_dir():
        return np.asarray(zarr.open_array(href, path="sst", mode="r"))
    if href.endswith(".tif"):
        with rasterio.open(href) as file:
            return file.read()[:, ::-1]  # the store's rows run north
    with netCDF4.Dataset(href) as nc:
        nc.set_auto_maskandscale(False)
        return np.asarray(nc["sst"][:])


def expect_shape(nc: netCDF4.Dataset, name: str) -> None:
    """The cells of an operation's shape, in the smallest window; the output says what was asked."""
    shape, cells = SHAPES[name]
    lon, lat = sorted({x for x, _ in cells}), sorted({y for _, y in cells})
    assert nc["lon"][:].tolist() == lon
    assert nc["lat"][:].tolist() == lat
    inside = np.array([[(x, y) in cells for x in lon] for y in lat])
    window = wanted_cells(captured(name), (lon[0], lat[0], (lon[-1] + 180) % 360 - 180, lat[-1]))
    found = nc["sst"][:]
    np.testing.assert_array_equal(found[:, inside], window[:, inside])
    assert (found[:, ~inside] == getattr(nc["sst"], "_FillValue", None)).all()
    told = json.loads(nc.history_json)[-1]["parameters"]["shape"]
    assert told["features"] == 1
    assert told["geojson"]["geometry"] == json.loads(shapely.to_geojson(shape))
    assert f"sha256 {told['sha256']}" in nc.history


def expect_table(path: Path, name: str) -> None:
    """The rows of a table: a series of the mean, or one for each place."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    days = [day for day in range(3) if _in_time(day, captured(name).get("temporal"))]
    if name == "cov_average_area":
        # Cells of a row are alike, so that the mean is that of the rows, by their areas.
        south = np.radians(-90 + 10 * np.arange(18))
        shares = np.diff(np.sin(np.append(south, np.pi / 2))) / 2
        mean = float(shares @ (36 * np.arange(18) + 17.5))
        found = [float(row["sst"]) for row in rows]
        np.testing.assert_allclose(found, [mean + 1000 * day for day in days], atol=1)
        return
    places = sorted(SHAPES[name][1]) if name in SHAPES else [(15, -25)]
    wanted = [(x, y, (y + 85) // 10 * 36 + (x + 175) // 10 + 1000 * day)
              for x, y in places for day in days]  # fmt: skip
    columns = ("longitude", "latitude", "sst")
    assert [tuple(float(row[own]) for own in columns) for row in rows] == wanted
    stamps = [f"2020-01-0{day + 1}T12:00:00Z" for day in days]
    assert [row["time"] for row in rows] == stamps * len(places)


def expect_map(path: Path, operation: dict[str, Any]) -> None:
    """One pixel for each place that was asked for, brighter for greater values of the last day."""
    form, (west, south, east, north) = operation["format"], operation["subset"]["bbox"]
    with Image.open(path) as image:
        assert (image.mode, image.size) == ("RGBA", (form["width"], form["height"]))
        assert image.text["Title"] == "sst time=2020-01-03T12:00:00"
        assert image.info["dpi"] == pytest.approx((form["dpi"],) * 2, abs=0.02)
        pixels = np.asarray(image).astype(float)
    assert (pixels[..., 3] == 255).all()
    x = west + (east - west) * (np.arange(form["width"]) + 0.5) / form["width"]
    y = north - (north - south) * (np.arange(form["height"]) + 0.5) / form["height"]
    way = pyproj.Transformer.from_crs(form["srs"]["epsg"], "OGC:CRS84", always_xy=True)
    lon, lat = way.transform(*np.meshgrid(x, y))
    cells = ((lat + 90) // 10 * 36 + (lon + 180) // 10).ravel()
    brightness = (pixels[..., :3] @ [0.2126, 0.7152, 0.0722]).ravel()
    means = [brightness[cells == own] for own in np.unique(cells)]
    assert len(means) == 4
    assert all(np.ptp(own) == 0 for own in means)
    assert (np.diff([own[0] for own in means]) > 0).all()


def _in_time(day: int, temporal: dict[str, str] | None) -> bool:
    stamp = f"2020-01-0{day + 1}T12:00:00"
    asked = temporal or {}
    return asked.get("start", "0")[:19] <= stamp <= asked.get("end", "9")[:19]


@pytest.mark.shared
@pytest.mark.parametrize("name", NAMES)
def test_captured_operation_ends_in_its_output_or_in_the_right_refusal(
    name: str, cmr: Server, files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cmr.forget()
    if name in UNFIT | EMPTY:
        with pytest.raises(HarmonyException) as caught:
            run(name, cmr, files, tmp_path, monkeypatch)
        error = caught.value
        expected = ("NoData", "Warning") if name in EMPTY else ("NoRetry", "Error")
        assert (error.category, error.level) == expected
        assert (UNFIT | EMPTY)[name] in error.message
        return
    (item,) = run(name, cmr, files, tmp_path, monkeypatch).get_items()
    href = item.assets["data"].href
    if name == "wms_getmap":
        expect_map(Path(href), captured(name))
    elif href.endswith(".csv"):
        expect_table(Path(href), name)
    elif name in SHAPES and name not in ON_TARGET:
        with netCDF4.Dataset(href) as nc:
            nc.set_auto_maskandscale(False)
            expect_shape(nc, name)
    elif name in ON_TARGET:
        wanted = wanted_on_target(href, captured(name))
        found = stored(href)[:, ::-1] if href.endswith(".tif") else stored(href)
        assert (wanted >= 0).mean() > 0.5
        np.testing.assert_array_equal(found[wanted >= 0], wanted[wanted >= 0])
    else:
        wanted = wanted_cells(captured(name), CELLS.get(name))
        if name == "cov_average_time":
            wanted = wanted.mean(0)
        np.testing.assert_array_equal(np.squeeze(stored(href)), np.squeeze(wanted))
    assert [asked.headers["Authorization"] for asked in cmr.asked] == [f"Bearer {TOKEN}"]
