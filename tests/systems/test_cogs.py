"""GeoTIFFs as virtual stores by virtual-tiff, whose tags alone tell where their cells are.

What the files hold is read with rasterio; where their cells are follows from rasterio's transform
and pyproj. virtual-tiff keeps no coordinates, and the times of a stack stand in file names alone.
"""

import base64
import dataclasses
import json
import re
import warnings
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
import rasterio
import shapely
import xarray as xr
from integration.test_virtual_subset import by_icechunk
from systems.kits import Answer, ask, request, services
from systems.places import check_cut, inside, on_plane, window
from systems.test_shapes_real import diamond, held
from world import virtual_image, write_icechunk, write_references

from harmony_vds.errors import StoreError, UncutBoxError
from harmony_vds.model.formats import ICECHUNK
from harmony_vds.model.request import Request

pytestmark = pytest.mark.shared


def places(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Longitudes and latitudes of all cells."""
    with rasterio.open(path) as image:
        step_x, _, left, _, step_y, top = image.transform[:6]
        x = left + step_x * (np.arange(image.width) + 0.5)
        y = top + step_y * (np.arange(image.height) + 0.5)
        return on_plane(image.crs.to_wkt(), x, y)


def pixels(path: Path) -> np.ndarray:
    with rasterio.open(path) as image:
        return image.read(1)


def date_of(path: Path) -> np.datetime64:
    day = re.search(r"_(\d{8}T\d{6})Z_", path.name)
    assert day is not None
    return np.datetime64(datetime.fromisoformat(day[1]), "s")


def stack(files: Sequence[Path], name: str) -> xr.Dataset:
    """Images of one frame along a time of their own, which their names tell."""
    parts = [virtual_image(path, name).expand_dims("time") for path in files]
    joined = xr.concat(parts, "time", coords="minimal", compat="override",
                       combine_attrs="drop_conflicts")  # fmt: skip
    return joined.assign_coords(time=("time", [date_of(path).astype("M8[ns]") for path in files]))


def answered(wanted: Request, dataset: xr.Dataset, container: Path, folder: Path) -> Answer:
    base = f"{container.resolve().as_uri()}/"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of zarr, that it does not know all of their codecs
        write_icechunk(folder / "store.icechunk", {None: dataset}, container=base)
    using = services(trusted=(base, f"{folder.resolve().as_uri()}/"))
    return ask(wanted, (folder / "store.icechunk").as_uri(), using, folder / "out")


def around(longitudes: np.ndarray, latitudes: np.ndarray) -> tuple[float, float, float, float]:
    """A box in the middle of some cells, whose edges follow neither rows nor columns."""
    west, east = np.quantile(longitudes, (0.2, 0.7)).round(5)
    south, north = np.quantile(latitudes, (0.3, 0.8)).round(5)
    return float(west), float(south), float(east), float(north)


def placed_by_cf(path: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Where an output's own coordinates and grid mapping put its cells."""
    with netCDF4.Dataset(path) as nc:
        mapping = nc[nc[name].grid_mapping]
        assert nc["x"].standard_name == "projection_x_coordinate"
        return on_plane(mapping.crs_wkt, nc["x"][:], nc["y"][:])


def test_box_and_times_cut_a_stack_of_backscatter(data: Path, tmp_path: Path) -> None:
    files = sorted(data.glob("s13_*/*.tif"), key=date_of)
    longitudes, latitudes = places(files[0])
    box = around(longitudes, latitudes)
    times = datetime(2022, 11, 20, tzinfo=UTC), datetime(2023, 10, 30, tzinfo=UTC)
    answer = answered(request(("gamma0",), box, times), stack(files, "gamma0"), files[0].parent,
                      tmp_path)  # fmt: skip
    kept = [own for own in files if times[0] <= date_of(own).item().replace(tzinfo=UTC) <= times[1]]
    assert len(kept) == 7
    cells = inside(longitudes, latitudes, box)
    values = np.stack([pixels(path) for path in kept])
    check_cut(answer.read("gamma0"), values, cells, np.float32(np.nan))
    rows, columns = window(cells)
    for ours, theirs in zip(placed_by_cf(answer.path, "gamma0"), (longitudes, latitudes),
                            strict=True):  # fmt: skip
        np.testing.assert_allclose(ours, theirs[rows, columns], atol=1e-9)
    with netCDF4.Dataset(answer.path) as nc:
        assert "model_tiepoint" not in nc["gamma0"].ncattrs()
        assert "the GeoTIFF tags that place it on EPSG:32611 became" in nc.virtual_store_notes
        assert "The store lacks spatial_ref, x, y, which" in nc.virtual_store_recipe


def test_shape_cuts_two_images_of_each_alert(data: Path, tmp_path: Path) -> None:
    kit = data / "s14_opera_dist_cog_stack"
    metrics, states = (sorted(kit.glob(f"*{end}.tif")) for end in ("METRIC", "STATUS"))
    longitudes, latitudes = places(metrics[0])
    area = diamond(around(longitudes, latitudes))
    both = xr.merge([stack(metrics, "metric"), stack(states, "status")], compat="override")
    wanted = request(("metric", "status"))
    object.__setattr__(wanted, "shape", shapely.to_geojson(area))
    answer = answered(wanted, both, kit, tmp_path)
    cells = held(longitudes, latitudes, area)
    assert 0 < cells.sum() < cells.size / 4
    for name, files, fill in (("metric", metrics, np.float32(np.nan)), ("status", states, 255)):
        check_cut(answer.read(name), np.stack([pixels(path) for path in files]), cells, fill)


def test_box_across_the_antimeridian_joins_both_edges_of_images_in_degrees(
    data: Path, tmp_path: Path
) -> None:
    files = {path.stem.rpartition("-")[2]: path for path in sorted(data.glob("s17_*/*.tif"))}
    assert set(files) == {"anom", "err", "ice", "sst"}
    images = xr.merge([virtual_image(path, name) for name, path in files.items()],
                      combine_attrs="drop_conflicts")  # fmt: skip
    answer = answered(request((), (170.1, -20.1, -159.9, 10.3)), images,
                      files["sst"].parent, tmp_path)  # fmt: skip
    lon, lat = -179.875 + 0.25 * np.arange(1440), 89.875 - 0.25 * np.arange(720)
    rows = np.flatnonzero((lat >= -20.1) & (lat <= 10.3))
    columns = np.concatenate([np.flatnonzero(lon >= 170.1), np.flatnonzero(lon <= -159.9)])
    for name, path in files.items():
        np.testing.assert_array_equal(answer.read(name), pixels(path)[np.ix_(rows, columns)])
    np.testing.assert_array_equal(answer.read("y"), lat[rows])
    np.testing.assert_allclose(answer.read("x"), 170.125 + 0.25 * np.arange(columns.size))


@pytest.mark.parametrize(
    ("name", "box", "fill"),
    [("cog_dateline", (179.3, 51.7, -179.6, 52.2), 65535),
     pytest.param("cog_int16", (-58.61, 74.02, -57.93, 74.2), -32768, marks=pytest.mark.scale)],
)  # fmt: skip
def test_tags_that_mean_centres_place_cells_there(
    name: str, box: tuple[float, float, float, float], fill: int, data: Path, tmp_path: Path
) -> None:
    """`AREA_OR_POINT=Point`: half a cell beside where corners would put them."""
    (path,) = data.glob(f"s38_*/{name}.tif")
    answer = answered(request(("image",), box), virtual_image(path, "image"), path.parent, tmp_path)
    with rasterio.open(path) as image:
        assert image.tags()["AREA_OR_POINT"] == "Point"
    cells = inside(*places(path), box)
    assert cells.any()
    check_cut(answer.read("image"), pixels(path), cells, fill)


@pytest.mark.parametrize(
    ("pattern", "codec"),
    [("s38_*/cog_gcps.tif", "imagecodecs_lzw"), ("s38_*/inverted_lat.tif", "imagecodecs_lzw"),
     ("s38_*/cog_nodata_nan.tif", "imagecodecs_lzw"),
     ("s15_*/*T15UWP*.tif", "HorizontalDeltaCodec")],
)  # fmt: skip
def test_codecs_that_are_not_decoded_are_refused_by_name(
    pattern: str, codec: str, data: Path, tmp_path: Path
) -> None:
    (path,) = data.glob(pattern)
    told = f"'image' cannot be read: its chunks are encoded with '{codec}', which this service"
    with pytest.raises(StoreError, match=told):
        answered(request(("image",)), virtual_image(path, "image"), path.parent, tmp_path)


def inflatable(path: Path, folder: Path, **changed: Any) -> Path:
    """The first band of an image, deflated, all else as it was."""
    with rasterio.open(path) as image:
        profile = {**image.profile, "compress": "deflate", "count": 1, "interleave": "band"}
        packing = image.scales[0], image.offsets[0]
        points, crs = image.gcps
        values = image.read(1)
    folder.mkdir()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of no transform
        with rasterio.open(folder / path.name, "w", **{**profile, **changed}) as copy:
            copy.write(values, 1)
            if points:
                copy.gcps = points, crs
            if packing != (1.0, 0.0):
                copy.scales, copy.offsets = packing[:1], packing[1:]
    return folder / path.name


def test_image_with_south_up_is_cut_as_it_lies(data: Path, tmp_path: Path) -> None:
    (path,) = data.glob("s38_*/inverted_lat.tif")
    copy = inflatable(path, tmp_path / "images")
    box = (-30.1, 10.1, 45.2, 62.3)
    answer = answered(request(("image",), box), virtual_image(copy, "image"), copy.parent, tmp_path)
    cells = inside(*places(path), box)
    check_cut(answer.read("image"), pixels(path), cells, np.float32(-9999))
    assert (np.diff(answer.read("y")) > 0).all()


def test_image_placed_by_ground_control_points_is_refused_a_box(data: Path, tmp_path: Path) -> None:
    (path,) = data.glob("s38_*/cog_gcps.tif")
    copy = inflatable(path, tmp_path / "images", transform=None, crs=None)
    told = r"cannot cut image: its GeoTIFF tags place it by ground control points.*without a box"
    image, box = virtual_image(copy, "image"), (76, 10, 77, 11)
    with pytest.raises(UncutBoxError, match=told):
        answered(request(("image",), box), image, copy.parent, tmp_path)


@pytest.mark.parametrize("nodata", [0.0, np.nan])
def test_missing_values_stay_what_the_image_calls_them(
    nodata: float, data: Path, tmp_path: Path
) -> None:
    (path,) = data.glob("s38_*/cog_nodata_nan.tif")
    copy = inflatable(path, tmp_path / "images", nodata=nodata)
    longitudes, latitudes = places(path)
    box = around(longitudes, latitudes)
    answer = answered(request(("image",), box), virtual_image(copy, "image"), copy.parent, tmp_path)
    cells = inside(longitudes, latitudes, box)
    check_cut(answer.read("image"), pixels(path), cells, np.float32(nodata))
    with netCDF4.Dataset(answer.path) as nc:
        np.testing.assert_array_equal(nc["image"]._FillValue, np.float32(nodata))


@pytest.mark.parametrize("name", ["cog_nodata_nan", "inverted_lat"])
def test_references_to_an_image_read_as_the_image_does(
    name: str, data: Path, tmp_path: Path
) -> None:
    """Opened by icechunk and xarray alone; fill values that JSON has no number for among them."""
    (path,) = data.glob(f"s38_*/{name}.tif")
    nodata = np.nan if name == "cog_nodata_nan" else -9999.0
    copy = inflatable(path, tmp_path / "images", nodata=nodata)
    wanted = dataclasses.replace(request(("image",)), media_type=ICECHUNK)
    answer = answered(wanted, virtual_image(copy, "image"), copy.parent, tmp_path)
    opened = by_icechunk(answer.path, copy.parent)
    with rasterio.open(copy) as image:
        np.testing.assert_array_equal(opened["image"], image.read(1, masked=True).filled(np.nan))
        x, y = image.xy([0, 5], [0, 9])
    np.testing.assert_allclose([opened.x[0], opened.x[9]], x)
    np.testing.assert_allclose([opened.y[0], opened.y[5]], y)


def test_scale_and_offset_of_an_image_become_numbers(data: Path, tmp_path: Path) -> None:
    (path,) = data.glob("s38_*/cog_scale_epsg4326.tif")
    copy = inflatable(path, tmp_path / "images")
    answer = answered(request(("image",)), virtual_image(copy, "image"), copy.parent, tmp_path)
    np.testing.assert_array_equal(answer.read("image"), pixels(path))
    with netCDF4.Dataset(answer.path) as nc:
        assert (nc["image"].scale_factor, nc["image"].add_offset) == (0.0001, 1000.0)
        decoded = nc["image"][...]
    with rasterio.open(path) as image:
        expected = image.read(1, masked=True) * image.scales[0] + image.offsets[0]
    np.testing.assert_array_equal(np.ma.getmaskarray(decoded), np.ma.getmaskarray(expected))
    np.testing.assert_allclose(decoded.compressed(), expected.compressed(), rtol=1e-12)


@pytest.mark.parametrize("name", ["cog_scale", "cog_scale_epsg4326"])
def test_bands_that_lie_pixel_by_pixel_are_read_as_such(
    name: str, data: Path, tmp_path: Path
) -> None:
    """virtual-tiff cannot write these; their tiles are arrays of rows, columns and bands."""
    (path,) = data.glob(f"s38_*/{name}.tif")
    document = tiles_by_pixel(path)
    longitudes, latitudes = places(path)
    box = around(longitudes, latitudes)
    write_references(tmp_path / "store.json", document)
    using = services(trusted=(f"{path.resolve().parent.as_uri()}/", f"{tmp_path.as_uri()}/"))
    answer = ask(request(("image",), box), (tmp_path / "store.json").as_uri(), using,
                 tmp_path / "out")  # fmt: skip
    cells = inside(longitudes, latitudes, box)
    with rasterio.open(path) as image:
        check_cut(np.moveaxis(answer.read("image"), -1, 0), image.read(), cells, 0)


def in_base64(values: np.ndarray) -> str:
    return f"base64:{base64.b64encode(values.tobytes()).decode()}"


def tiles_by_pixel(path: Path) -> dict[str, Any]:
    """References to the tiles of an image, by the table that async-tiff reads from it."""
    import asyncio

    from async_tiff import TIFF
    from obstore.store import LocalStore

    key = path.resolve().as_posix()[1:]

    async def first() -> Any:
        opened = await TIFF.open(key, store=LocalStore("/"))
        return opened.ifds[0]

    image = asyncio.run(first())
    assert image.predictor in (None, 1)
    high, wide, count = image.tile_height, image.tile_width, image.samples_per_pixel
    with rasterio.open(path) as told:
        step_x, _, left, _, step_y, top = told.transform[:6]
        wkt, degrees = told.crs.to_wkt(), told.crs.is_geographic
        array = {"shape": [told.height, told.width, count], "chunks": [high, wide, count],
                 "dtype": "<i2", "fill_value": 0, "order": "C", "filters": None,
                 "compressor": {"id": "zlib"} if int(image.compression) == 8 else None,
                 "zarr_format": 2}  # fmt: skip
        axes = {"y": top + step_y * (np.arange(told.height) + 0.5),
                "x": left + step_x * (np.arange(told.width) + 0.5)}  # fmt: skip
    own = {"_ARRAY_DIMENSIONS": ["y", "x", "band"], "_FillValue": 0, "grid_mapping": "crs"}
    refs: dict[str, Any] = {".zgroup": '{"zarr_format": 2}', "image/.zarray": json.dumps(array),
                            "image/.zattrs": json.dumps(own)}  # fmt: skip
    across = -(-array["shape"][1] // wide)
    table = zip(image.tile_offsets, image.tile_byte_counts, strict=True)
    for number, (offset, length) in enumerate(table):
        key = f"image/{number // across}.{number % across}.0"
        refs[key] = [path.resolve().as_uri(), int(offset), int(length)]
    plain = {"fill_value": None, "order": "C", "filters": None, "compressor": None,
             "zarr_format": 2}  # fmt: skip
    for name, values in axes.items():
        what = {"y": "latitude", "x": "longitude"}[name] if degrees else (
            f"projection_{name}_coordinate")  # fmt: skip
        shape = [values.size]
        refs[f"{name}/.zarray"] = json.dumps(
            plain | {"shape": shape, "chunks": shape, "dtype": "<f8"}
        )
        refs[f"{name}/.zattrs"] = json.dumps({"_ARRAY_DIMENSIONS": [name], "standard_name": what})
        refs[f"{name}/0"] = in_base64(values.astype("<f8"))
    refs["crs/.zarray"] = json.dumps(plain | {"shape": [], "chunks": [], "dtype": "<i4"})
    refs["crs/.zattrs"] = json.dumps({"_ARRAY_DIMENSIONS": [], "crs_wkt": wkt})
    refs["crs/0"] = in_base64(np.array(0, "<i4"))
    return {"version": 1, "refs": refs}
