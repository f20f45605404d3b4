"""Subsets of real products in every format that holds grids, compared with the source files."""

from dataclasses import dataclass, replace
from pathlib import Path

import netCDF4
import numpy as np
import pyproj
import pytest
import rasterio
import zarr
from rio_cogeo import cog_validate
from systems.kits import ask, raw, request, services
from world import virtual_dataset, write_icechunk

from harmony_vds.model.formats import GEOTIFF, NETCDF, ZARR

pytestmark = pytest.mark.shared

NORTH = "+proj=stere +lat_0=90 +lat_ts=70 +lon_0=-45 +a=6378273 +b=6356889.449"


@dataclass(frozen=True)
class Product:
    """One real granule, a variable of it, and where its cells lie."""

    pattern: str
    variable: str
    crs: str
    x: str
    y: str
    groups: tuple[str | None, ...] = (None,)


PRODUCTS = {
    "s01": Product("s01_*/2020_01_01*.nc", "red_var", "EPSG:4326", "lon", "lat"),
    "s02": Product("s02_*/*.nc", "analysed_sst", "EPSG:4326", "lon", "lat"),
    "s08": Product("s08_*/*up_input.h5", "Analysis_Data/sm_surface_analysis", "EPSG:6933", "x",
                   "y", (None, "Analysis_Data")),
    "s16": Product("s16_*/*daily_nh*.nc", "cdr_seaice_conc", NORTH, "xgrid", "ygrid"),
}  # fmt: skip


@pytest.fixture(params=PRODUCTS, scope="module")
def product(
    request: pytest.FixtureRequest, data: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Product, Path, Path]:
    """A product, its granule and a store over that."""
    own = PRODUCTS[request.param]
    source = min(data.glob(own.pattern))
    folder = tmp_path_factory.mktemp(request.param)
    groups = {group: virtual_dataset([source], group=group) for group in own.groups}
    write_icechunk(folder / "store", groups, container=f"{source.parent.resolve().as_uri()}/")
    return own, source, folder / "store"


def answer(product: tuple[Product, Path, Path], folder: Path, media_type: str) -> Path:
    own, source, store = product
    wanted = replace(request((own.variable,)), media_type=media_type)
    prefix = f"{source.parent.resolve().as_uri()}/"
    return ask(wanted, store.as_uri(), services(trusted=(prefix, store.as_uri())), folder).path


def test_netcdf_and_zarr_hold_the_packed_values_of_the_granule(product, tmp_path: Path) -> None:
    own, source, _ = product
    values = raw(source, own.variable)
    netcdf = answer(product, tmp_path / "n", NETCDF)
    assert raw(netcdf, own.variable).dtype == values.dtype.newbyteorder("=")
    assert np.array_equal(raw(netcdf, own.variable), values, equal_nan=values.dtype.kind == "f")
    group = zarr.open_group(answer(product, tmp_path / "z", ZARR), mode="r")
    for name in (own.variable, own.x, own.y):
        values = raw(source, name)
        assert group[name].dtype == values.dtype.newbyteorder("=")
        assert np.array_equal(group[name][...], values, equal_nan=values.dtype.kind == "f")


def test_geotiff_holds_them_north_up_where_the_granule_has_them(product, tmp_path: Path) -> None:
    own, source, _ = product
    path = answer(product, tmp_path, GEOTIFF)
    assert cog_validate(path, strict=True)[0]
    x, y = raw(source, own.x).astype(float), raw(source, own.y).astype(float)
    values = np.squeeze(raw(source, own.variable))
    values = values[::-1] if y[0] < y[-1] else values
    with rasterio.open(path) as file:
        assert np.array_equal(file.read(1), values, equal_nan=values.dtype.kind == "f")
        with netCDF4.Dataset(source) as nc:
            assert file.nodata == getattr(nc[own.variable], "_FillValue", None)
        columns, rows = np.array([0, x.size // 3, x.size - 1]), np.array([0, y.size // 2, 1])
        found = np.array([file.xy(r, c) for r, c in zip(rows, columns, strict=True)])
        wanted = np.stack([x[columns], np.sort(y)[::-1][rows]], -1)
        assert np.allclose(found, wanted, atol=0.02 * abs(file.transform.a), rtol=0)
        there = [
            pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True).transform(*found.T)
            for crs in (file.crs.to_wkt(), own.crs)
        ]
        assert np.allclose(*there, atol=1e-3)
