"""Real products on target grids, against gdalwarp, or where it is not installed rasterio's GDAL.

GDAL is given what netCDF4 reads from the source files, and works with exact coordinates (-et 0).
The kit of ITS_LIVE is not among them: its one granule holds no value.

Nearest values are equal; a centre on the edge between two cells may go either way, which is one
cell in a thousand at most. Kernels are equal to single precision, since both weigh the same cells
in another order, where target cells are no larger than the store's; where they are larger GDAL
works out how much larger for each of its own blocks, and this service once. At the rim of what is
missing a cell in a thousand may have a value in one of them alone, for the same reason as edges.
"""

import shutil
import subprocess
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import rasterio
import rasterio.warp
from rasterio.enums import Resampling
from rasterio.transform import Affine
from systems.kits import Answer, ask, place, request, services, write_store

from harmony_vds.model.request import TargetGrid

DATA = Path(__file__).parents[3] / "shared" / "data"

pytestmark = pytest.mark.shared


@dataclass(frozen=True)
class Product:
    """A granule, and how its file itself says where its cells are."""

    folder: str
    pattern: str
    variable: str
    x: str
    y: str
    crs: str
    """Of x and y, as the product's documentation has it."""
    target: TargetGrid
    """Its cells are no larger than the product's."""
    factor: float = 1.0
    """Metres, or degrees, in a unit of x and y."""
    blended: bool = True
    """Whether kernels are compared: not where some values are codes, which are never blended, nor
    where cells lie oblique to the target's (sinusoidal), across which kernels are widened here."""


PRODUCTS = {
    "SMAP": Product(
        "s08_smap_l4_ease2", "*.h5", "/Analysis_Data/sm_profile_analysis", "/x", "/y", "EPSG:6933",
        TargetGrid("EPSG:4326", scale_size=(0.061, 0.067)),
    ),
    "sea ice": Product(
        "s16_seaice_polar", "*nh*.nc", "/cdr_seaice_conc", "/xgrid", "/ygrid", "EPSG:3411",
        TargetGrid("EPSG:3857", "", (-15e6, 11e6, -5e6, 18e6), (24_000, 23_000)), blended=False,
    ),
    "GOES": Product(
        "s18_goes_geostationary", "*.nc", "/LST", "/x", "/y",
        "+proj=geos +h=35786023 +lon_0=-75 +sweep=x +a=6378137 +b=6356752.31414",
        TargetGrid("EPSG:4326", scale_size=(0.015, 0.016)), 35786023.0,
    ),
    "MODIS": Product(
        "s19_modis_sinusoidal", "*.nc", "/snow_fraction", "/x", "/y",
        "+proj=sinu +R=6371007.181",
        TargetGrid("EPSG:4326", "", (-172.0, 51.5, -170.5, 53.0), (0.0043, 0.0039)), blended=False,
    ),
    "SSMIS": Product(
        "s27_hoss_ssmis", "f16_ssmis_20200102v7.nc", "/wind_speed", "/longitude", "/latitude",
        "OGC:CRS84",
        TargetGrid("EPSG:32650", "", (-5e5, 1e6, 1.5e6, 4e6), (21_000, 19_000)), blended=False,
    ),
}  # fmt: skip


def decoded(path: Path, name: str) -> np.ndarray:
    with netCDF4.Dataset(path) as nc:
        return np.ma.filled(np.ma.masked_invalid(nc[name][...]).astype(np.float64), np.nan)


def plane(values: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Rows and columns, of further dimensions the first."""
    lying = [values.shape.index(rows), len(values.shape) - 1 - values.shape[::-1].index(columns)]
    values = np.moveaxis(values, lying, (-2, -1))
    return values.reshape(-1, rows, columns)[0]


@pytest.fixture
def asked(tmp_path: Path) -> Callable[[Product, str], tuple[Answer, Path]]:
    def ask_for(own: Product, method: str) -> tuple[Answer, Path]:
        (source, *_) = sorted((DATA / own.folder).glob(own.pattern))
        stores = tmp_path / "stores"
        stores.mkdir()
        with warnings.catch_warnings(), place("file", source.parent, stores) as here:
            warnings.simplefilter("ignore")
            store = write_store("icechunk", [source], stores, here.granules, along=None)
            target = replace(own.target, interpolation=method)
            wanted = replace(request((own.variable,)), target=target)
            return ask(wanted, here.stores + store, services(here), tmp_path / "out"), source

    return ask_for


def by_gdal(own: Product, source: Path, answer: Answer, method: str, folder: Path) -> np.ndarray:
    """What GDAL makes of the source file on the answer's grid; not-a-number where nothing is."""
    plan = answer.prepared.plan.target
    x, y = (np.asarray(decoded(source, name) * own.factor) for name in (own.x, own.y))
    values = plane(decoded(source, own.variable), y.size, x.size).astype(np.float32)
    if y[0] < y[-1]:
        y, values = y[::-1], values[::-1]
    wide, tall = (x[-1] - x[0]) / (x.size - 1), (y[-1] - y[0]) / (y.size - 1)
    grid = Affine(wide, 0, x[0] - wide / 2, 0, tall, y[0] - tall / 2)
    before, after = folder / "before.tif", folder / "after.tif"
    profile = {"driver": "GTiff", "dtype": "float32", "count": 1, "crs": own.crs,
               "transform": grid, "height": y.size, "width": x.size, "nodata": np.nan}  # fmt: skip
    with rasterio.open(before, "w", **profile) as tiff:
        tiff.write(values, 1)
    if shutil.which("gdalwarp"):
        kernels = [] if method == "near" else ["-wo", "XSCALE=1", "-wo", "YSCALE=1"]
        subprocess.run(
            ["gdalwarp", "-q", "-t_srs", plan.crs, "-te", *map(repr, map(float, plan.extent)),
             "-ts", str(plan.shape[1]), str(plan.shape[0]), "-r", method, "-et", "0",
             "-dstnodata", "nan", *kernels, str(before), str(after)],
            check=True,
        )  # fmt: skip
        with rasterio.open(after) as tiff:
            return tiff.read(1)
    found = np.full(plan.shape, np.nan, np.float32)
    rasterio.warp.reproject(
        values, found, src_transform=grid, src_crs=own.crs, src_nodata=np.nan, dst_nodata=np.nan,
        dst_transform=Affine(*plan.transform), dst_crs=plan.crs, tolerance=0,
        resampling=Resampling["nearest" if method == "near" else method], XSCALE=1, YSCALE=1,
    )  # fmt: skip
    return found


@pytest.mark.parametrize(
    ("name", "method"),
    [(name, method) for name, own in PRODUCTS.items()
     for method in ("near", *(("bilinear", "cubic") if own.blended else ()))],
)  # fmt: skip
def test_values_are_those_of_gdalwarp(name, method, asked, tmp_path):
    own = PRODUCTS[name]
    answer, source = asked(own, method)
    found = decoded(answer.path, own.variable)
    found = found.reshape(-1, *found.shape[-2:])[0]
    theirs = by_gdal(own, source, answer, method, tmp_path)
    ours, others = np.isfinite(found), np.isfinite(theirs)
    both = ours & others
    assert both.sum() > 300
    assert (ours != others).sum() <= 0.002 * both.sum()
    away = np.abs(found - theirs)[both]
    spread = np.ptp(theirs[both])
    # Single precision, of values and of a few sums of them; but places are known to a thousandth of
    # a cell where they are interpolated, which shows where values change steeply.
    assert (away <= 2e-6 * np.abs(theirs[both]) + 2e-6 * spread).mean() >= 0.995
    assert (away <= 1e-3 * spread).mean() >= 0.999
