"""Real products, where their own files say that their cells are, and GDAL's answer for them."""

import shutil
import subprocess
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import netCDF4
import numpy as np
import rasterio
import rasterio.warp
from rasterio.enums import Resampling
from rasterio.transform import Affine
from systems.kits import Answer, ask, place, request, services, write_store

from harmony_vds.model.request import TargetGrid
from harmony_vds.model.target import TargetPlan

DATA = Path(__file__).parents[2] / "shared" / "data"


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
    factor: float = 1.0
    """Metres, or degrees, in a unit of x and y."""

    @property
    def granule(self) -> Path:
        return min((DATA / self.folder).glob(self.pattern))

    def image(self) -> "Image":
        """What netCDF4 reads of the granule's variable, the first of further dimensions."""
        x, y = (decoded(self.granule, name) * self.factor for name in (self.x, self.y))
        values = plane(decoded(self.granule, self.variable), y.size, x.size).astype(np.float32)
        if y[0] < y[-1]:
            y, values = y[::-1], values[::-1]
        wide, tall = (x[-1] - x[0]) / (x.size - 1), (y[-1] - y[0]) / (y.size - 1)
        grid = Affine(wide, 0, x[0] - wide / 2, 0, tall, y[0] - tall / 2)
        return Image(values, grid, self.crs)

    def on(self, target: TargetGrid, method: str, folder: Path) -> Answer:
        """The answer to a request for the variable on a target, from a store of the granule."""
        asked = replace(target, interpolation=method)
        return answer_on(self.granule, self.variable, asked, folder)


SMAP = Product(
    "s08_smap_l4_ease2", "*.h5", "/Analysis_Data/sm_profile_analysis", "/x", "/y", "EPSG:6933"
)
SEA_ICE = Product(
    "s16_seaice_polar", "*nh*.nc", "/cdr_seaice_conc", "/xgrid", "/ygrid", "EPSG:3411"
)
GOES = Product(
    "s18_goes_geostationary", "*.nc", "/LST", "/x", "/y",
    "+proj=geos +h=35786023 +lon_0=-75 +sweep=x +a=6378137 +b=6356752.31414", 35786023.0,
)  # fmt: skip
MODIS = Product(
    "s19_modis_sinusoidal", "*.nc", "/snow_fraction", "/x", "/y", "+proj=sinu +R=6371007.181"
)
SSMIS = Product(
    "s27_hoss_ssmis", "f16_ssmis_20200102v7.nc", "/wind_speed", "/longitude", "/latitude",
    "OGC:CRS84",
)  # fmt: skip
TEMPO = Product(
    "s09_tempo_l3_groups", "*.nc4", "/product/vertical_column", "/longitude", "/latitude",
    "OGC:CRS84",
)  # fmt: skip


def answer_on(granule: Path, variable: str, target: TargetGrid, folder: Path) -> Answer:
    """The answer to a request for a variable on a target, from a store of one granule."""
    stores = folder / "stores"
    stores.mkdir()
    with warnings.catch_warnings(), place("file", granule.parent, stores) as here:
        warnings.simplefilter("ignore")
        store = write_store("icechunk", [granule], stores, here.granules, along=None)
        wanted = replace(request((variable,)), target=target)
        return ask(wanted, here.stores + store, services(here), folder / "out")


def decoded(path: Path, name: str) -> np.ndarray:
    """Values as float64, missing ones not-a-number."""
    with netCDF4.Dataset(path) as nc:
        return np.ma.filled(np.ma.masked_invalid(nc[name][...]).astype(np.float64), np.nan)


def plane(values: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Rows and columns, of further dimensions the first."""
    lying = last_axes(values.shape, rows, columns)
    return np.moveaxis(values, lying, (-2, -1)).reshape(-1, rows, columns)[0]


def last_axes(shape: tuple[int, ...], rows: int, columns: int) -> tuple[int, int]:
    """The axes that are rows and columns by their lengths."""
    return shape.index(rows), len(shape) - 1 - shape[::-1].index(columns)


@dataclass(frozen=True)
class Image:
    """Rows from north to south of a map, missing values not-a-number."""

    values: np.ndarray
    grid: Affine
    crs: str

    def by_gdal(self, plan: TargetPlan, method: str, folder: Path) -> np.ndarray:
        """What gdalwarp, or where it is not installed rasterio's GDAL, makes of it on a target.

        GDAL works with exact coordinates (-et 0), and with kernels that are no wider than the
        image's own cells. Not-a-number where nothing is.
        """
        before, after = folder / "before.tif", folder / "after.tif"
        height, width = self.values.shape
        profile = {"driver": "GTiff", "dtype": "float32", "count": 1, "crs": self.crs,
                   "transform": self.grid, "height": height, "width": width,
                   "nodata": np.nan}  # fmt: skip
        with rasterio.open(before, "w", **profile) as tiff:
            tiff.write(self.values, 1)
        if shutil.which("gdalwarp"):
            kernels = ["-wo", "XSCALE=1", "-wo", "YSCALE=1"] if method in KERNELS else []
            extent = map(repr, map(float, plan.extent))
            subprocess.run(
                ["gdalwarp", "-q", "-overwrite", "-t_srs", plan.crs, "-te", *extent,
                 "-ts", str(plan.shape[1]), str(plan.shape[0]), "-r", method, "-et", "0",
                 "-dstnodata", "nan", *kernels, str(before), str(after)],
                check=True,
            )  # fmt: skip
            with rasterio.open(after) as tiff:
                return tiff.read(1)
        found = np.full(plan.shape, np.nan, np.float32)
        scale = {"XSCALE": 1, "YSCALE": 1} if method in KERNELS else {}
        rasterio.warp.reproject(
            self.values, found, src_transform=self.grid, src_crs=self.crs, src_nodata=np.nan,
            dst_nodata=np.nan, dst_transform=Affine(*plan.transform), dst_crs=plan.crs,
            tolerance=0, resampling=Resampling["nearest" if method == "near" else method], **scale,
        )  # fmt: skip
        return found


KERNELS = ("bilinear", "cubic")
