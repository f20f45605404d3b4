"""Outputs in GDAL, as QGIS and other GIS open them: where cells lie, what is missing, values."""

import json
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import netCDF4
import numpy as np
import pyproj
import pytest
import rasterio
import zarr
from gridded import write_grid
from servers import file_server
from systems.kits import request, services
from world import (
    FILL,
    kerchunk_references,
    virtual_dataset,
    write_days,
    write_icechunk,
    write_references,
)

from harmony_vds.model.extent import BoundingBox
from harmony_vds.model.formats import AS_STORED, GEOTIFF, KERCHUNK, NETCDF, ZARR, Layout
from harmony_vds.model.grid import GridKind
from harmony_vds.model.request import TargetGrid
from harmony_vds.pipeline import fulfil, prepare

NAME = "analysed_sst"
BOX = BoundingBox(10, -20, 40, 30)
POLAR = TargetGrid("EPSG:3413", width=40, height=30, scale_extent=(-4e6, -3e6, 4e6, 3e6))
ZIPPED = Layout(zarr="zip")
# How GDAL is told of each form.
IN_GDAL: dict[str, Callable[[object, str], str]] = {
    "netcdf": lambda path, name: f"netcdf:{path}:{name}",
    "zarr": lambda path, name: f'ZARR:"{path}":/{name}',
    "zip": lambda path, name: f'ZARR:"/vsizip/{{{path}}}":/{name}',
    "geotiff": lambda path, _: str(path),
    "kerchunk": lambda path, name: f'ZARR:"{path}":/{name}',
}
TYPES = {"netcdf": NETCDF, "zarr": ZARR, "zip": ZARR, "geotiff": GEOTIFF, "kerchunk": KERCHUNK}

type Order = Callable[..., Path]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Path]]:
    """A folder with a store over two days, and the granules."""
    root = tmp_path_factory.mktemp("gis")
    days = write_days(root / "granules", 2)
    container = f"{days[0].parent.as_uri()}/"
    write_icechunk(root / "store", {None: virtual_dataset(days)}, container=container)
    return root, days


@pytest.fixture(scope="module")
def order(world: tuple[Path, list[Path]]) -> Order:
    root, _ = world

    def ordered(form: str, **change: object) -> Path:
        wanted = replace(request((NAME,)), media_type=TYPES[form], **change)
        layout = ZIPPED if form == "zip" else AS_STORED
        folder = root / f"{form}-{len(list(root.iterdir()))}"
        with replace(services(trusted=("file:///",)), layout=layout) as using:
            store = (root / "store").as_uri()
            (output,) = fulfil(prepare(wanted, using, store), folder, using)
        return output.path

    return ordered


@contextmanager
def in_gdal(form: str, path: object, name: str = NAME) -> Iterator[rasterio.DatasetReader]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of forms in which GDAL cannot write
        with rasterio.open(IN_GDAL[form](path, name)) as file:
            yield file


def packed(days: list[Path]) -> np.ndarray:
    """Stored numbers of all days, north up, by netCDF4 alone."""
    steps = []
    for path in days:
        with netCDF4.Dataset(path) as nc:
            nc.set_auto_maskandscale(False)
            steps.append(nc[NAME][0, ::-1])
    return np.stack(steps)


def north_up(file: rasterio.DatasetReader) -> np.ndarray:
    values = file.read()
    return values[:, ::-1] if file.transform.e > 0 else values


def check_meaning(file: rasterio.DatasetReader) -> None:
    assert file.nodata == FILL
    assert file.dtypes == ("int16", "int16")
    np.testing.assert_allclose(file.scales, [0.01] * 2, rtol=1e-6)
    np.testing.assert_allclose(file.offsets, [273.15] * 2, rtol=1e-6)


@pytest.mark.parametrize(
    "form",
    [pytest.param(own, marks=pytest.mark.scale) if own == "zip" else own for own in IN_GDAL],
)
def test_box_lies_in_gdal_where_its_cells_do(form, order, world):
    rows, columns = slice(12, 22), slice(38, 44)  # north up, of 5 degrees each
    edges = (10.0, -20.0, 40.0, 30.0)
    if form == "kerchunk":  # whole chunks of 12 by 24 cells
        rows, columns, edges = slice(12, 24), slice(24, 48), (-60.0, -30.0, 60.0, 30.0)
    with in_gdal(form, order(form, bbox=BOX)) as file:
        assert tuple(file.bounds) == pytest.approx(
            edges if file.transform.e < 0 else (edges[0], edges[3], edges[2], edges[1])
        )
        assert file.crs.is_geographic
        # The granules' own: a sphere or an ellipsoid of this radius, whatever its name.
        radius = pyproj.CRS.from_user_input(file.crs).ellipsoid.semi_major_metre
        assert radius == pytest.approx(6378137)
        check_meaning(file)
        np.testing.assert_array_equal(north_up(file), packed(world[1])[:, rows, columns])


@pytest.mark.parametrize("form", ["netcdf", "zarr", "geotiff"])
def test_projected_output_lies_in_gdal_where_it_was_asked_for(form, order, world):
    with in_gdal(form, order(form, target=POLAR)) as file:
        assert file.crs.to_epsg() == 3413
        assert tuple(file.transform)[:6] == (200000.0, 0.0, -4e6, 0.0, -200000.0, 3e6)
        assert file.shape == (30, 40)
        check_meaning(file)
        found = file.read()
    x, y = np.meshgrid(-4e6 + 2e5 * (np.arange(40) + 0.5), 3e6 - 2e5 * (np.arange(30) + 0.5))
    way = pyproj.Transformer.from_crs("EPSG:3413", "OGC:CRS84", always_xy=True)
    lon, lat = way.transform(x, y)
    row, column = (90 - lat) / 5, (lon + 180) / 5
    sure = np.minimum(abs(row - row.round()), abs(column - column.round())) > 1e-6
    nearest = packed(world[1])[:, row.astype(int), column.astype(int) % 72]
    np.testing.assert_array_equal(found[:, sure], nearest[:, sure])


@pytest.mark.parametrize(
    ("form", "rows"), [("netcdf", 23), ("zarr", 23), ("geotiff", 23), ("netcdf", 1), ("geotiff", 1)]
)
def test_projected_grid_lies_in_gdal_on_another_projection(form, rows, tmp_path):
    """Rows and columns of the store are called as those of the target, y and x."""
    granule = tmp_path / "granule.nc"
    stored = write_grid(granule, GridKind.PROJECTED)
    with netCDF4.Dataset(granule, "a") as nc:
        places = {"spatial:transform": "[9, 0, 0, 0, -9, 0]", "proj:code": "EPSG:3413"}
        nc.setncatts(places)
        nc["field"].setncatts(places | {"GeoTransform": "0 9 0 0 0 -9"})
    store = write_references(tmp_path / "store.json", kerchunk_references([granule]))
    target = TargetGrid("EPSG:3995", width=31, height=rows, scale_extent=(-19e5, -19e5, -6e5, -5e5))
    wanted = replace(request(("field",)), target=target, media_type=TYPES[form])
    with services(trusted=("file:///",)) as using:
        (output,) = fulfil(prepare(wanted, using, store.as_uri()), tmp_path / "out", using)
    with in_gdal(form, output.path, "field") as file:
        assert file.crs.to_epsg() == 3995
        a, e = 1_300_000 / 31, -1_400_000 / rows
        assert tuple(file.transform)[:6] == pytest.approx((a, 0, -19e5, 0, e, -5e5))
        found, fill = file.read(1), file.nodata
        x, y = file.transform * np.meshgrid(np.arange(31) + 0.5, np.arange(rows) + 0.5)
    if form == "zarr":
        told = zarr.open(output.path, mode="r")["field"].attrs
        assert pyproj.CRS(told["proj:wkt2"]).to_epsg() == 3995
        assert told["spatial:transform"] == pytest.approx([a, 0, -19e5, 0, e, -5e5])
    way = pyproj.Transformer.from_crs("EPSG:3995", "EPSG:3413", always_xy=True)
    x, y = way.transform(x, y)
    column, row = (x + 612_500) / 25e3, (-1_187_500 - y) / 25e3
    inside = (column >= 0) & (column < 30) & (row >= 0) & (row < 40)
    assert 0.1 < inside.mean() < 0.9
    expected = stored[np.where(inside, row, 0).astype(int), np.where(inside, column, 0).astype(int)]
    np.testing.assert_array_equal(found, np.where(inside, expected, fill))


def test_references_to_a_lost_granule_are_an_error_and_not_values(order, world, tmp_path):
    with file_server(tmp_path) as server:
        gone = server.url
    document = json.loads(order("kerchunk", bbox=BOX).read_text())
    for own in document["refs"].values():
        if isinstance(own, list):
            own[0] = f"{gone}/{own[0].rpartition('/')[2]}"
    (tmp_path / "lost.json").write_text(json.dumps(document))
    with (
        in_gdal("kerchunk", tmp_path / "lost.json") as file,
        pytest.raises(rasterio.errors.RasterioIOError),
    ):
        file.read()


READ = """
import sys, warnings, rasterio
warnings.simplefilter("ignore")
for name in sys.argv[1:]:
    with rasterio.open(name) as file:
        print(int(file.read(1).astype("i8").sum()))
"""


@pytest.mark.scale
def test_forms_are_read_in_place_over_http(order, world):
    root, days = world
    forms = ("geotiff", "zip", "kerchunk")
    paths = [order(form) for form in forms]
    with file_server(root) as server:
        names = [
            IN_GDAL[form](f"/vsicurl/{server.url}/{path.relative_to(root)}", NAME)
            for form, path in zip(forms, paths, strict=True)
        ]
        # In a process of its own: GDAL would wait for a server that waits for this one.
        done = subprocess.run([sys.executable, "-c", READ, *names], capture_output=True, text=True,
                              timeout=120)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(packed(days)[0].astype("i8").sum())] * len(forms)
