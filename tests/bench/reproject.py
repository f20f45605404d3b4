"""Putting a global grid on others: CPU seconds, beside gdalwarp and rasterio, and equal values."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyproj
import rasterio
import xarray as xr
from rasterio.enums import Resampling as Methods
from rasterio.transform import Affine
from rasterio.warp import reproject
from rich.console import Console

from bench.goals import Verdict
from harmony_vds.model.extent import BoundingBox
from harmony_vds.model.plan import PlannedVariable, Role
from harmony_vds.model.subset import SubsetVariable
from harmony_vds.model.target import Resampling, SourceAxis, SourceGrid, TargetPlan
from harmony_vds.model.warp import Warp
from harmony_vds.transform.reproject import Reprojection, reprojected

ROWS, COLUMNS = 3600, 7200
WORLD = 20037508.342789244
CASES = {
    "3857 near": ("EPSG:3857", (-WORLD, WORLD, WORLD, -WORLD), (7200, 7200), "near", True),
    "6933 near": ("EPSG:6933", (-17367530.44, 7314540.83, 17367530.44, -7314540.83),
                  (2924, 6942), "near", True),
    "3413 near": ("EPSG:3413", (-6e6, 6e6, 6e6, -6e6), (2400, 2400), "near", False),
    "3413 bilinear": ("EPSG:3413", (-6e6, 6e6, 6e6, -6e6), (2400, 2400), "bilinear", False),
}  # fmt: skip
"""Reference system, (left, top, right, bottom), (rows, columns), method, whether cylindrical."""


SOURCE = SourceGrid(
    ("/lat", "/lon"), "", SourceAxis(-180 + 0.05 * (np.arange(COLUMNS) + 0.5), turns=True),
    SourceAxis(90 - 0.05 * (np.arange(ROWS) + 0.5)),
)  # fmt: skip


class Grid(NamedTuple):
    """A target and a method."""

    crs: str
    sides: tuple[float, ...]
    transform: tuple[float, ...]
    shape: tuple[int, int]
    method: str


def run(repeats: int, console: Console) -> list[Verdict]:
    """Measure each case `repeats` times, tell the medians, and judge them."""
    values = np.random.default_rng(0).random((ROWS, COLUMNS), np.float32)
    values[:, 1000:1100] = np.nan
    warped = shutil.which("gdalwarp")
    told = "gdalwarp" if warped else "rasterio (gdalwarp is not installed; the same engine)"
    console.print(f"{COLUMNS} x {ROWS} float32; nearest beside {told}, the rest beside rasterio")
    found = []
    for name, (crs, sides, shape, method, cylindrical) in CASES.items():
        left, top, right, bottom = sides
        transform = ((right - left) / shape[1], 0.0, left, 0.0, (bottom - top) / shape[0], top)
        grid = Grid(crs, sides, transform, shape, method)
        # Pages of it are there already: the service writes block by block and never holds a target.
        # rasterio is given the same; gdalwarp reads and writes files, which nobody else does here.
        out = np.full(grid.shape, np.nan, np.float32)
        own, ours = _median(partial(_ours, values, grid, out), repeats)
        ours = ours.copy()
        peer = partial(_gdalwarp, values, grid) if cylindrical and warped else partial(
            _rasterio, values, grid, out
        )  # fmt: skip
        other, _ = _median(peer, repeats)
        theirs = _rasterio(values, grid, out, 0.0)
        console.print(f"{name}: {own:.2f} CPU s, peer {other:.2f} CPU s")
        found.append(
            Verdict(f"CPU of {name}: peer / ours", other / own, 10.0)
            if cylindrical
            else Verdict(f"CPU of {name}: ours / rasterio", own / other, 1.2, at_least=False)
        )
        both = np.isfinite(ours) & np.isfinite(theirs)
        apart = (np.abs(ours - theirs)[both] > 1e-5).mean()
        differing = float((np.isfinite(ours) != np.isfinite(theirs)).mean())
        found.append(Verdict(f"{name}: share that differs from exact GDAL", float(apart), 1e-4,
                             at_least=False))  # fmt: skip
        found.append(Verdict(f"{name}: share of cells valid in one only", differing, 1e-4,
                             at_least=False))  # fmt: skip
    return found


def _median(work: Callable[[], np.ndarray], repeats: int) -> tuple[float, np.ndarray]:
    spent, result = [], None
    for _ in range(repeats):
        before = time.process_time(), os.times()
        result = work()
        children = os.times().children_user + os.times().children_system
        children -= before[1].children_user + before[1].children_system
        spent.append(time.process_time() - before[0] + children)
    assert result is not None
    return float(np.median(spent)), result


def _target(grid: Grid) -> TargetPlan:
    return TargetPlan(
        pyproj.CRS(grid.crs).to_wkt(), grid.transform, grid.shape, Resampling(grid.method),
        frozenset(), ("/y", "/x"),
        "/crs", BoundingBox(-180, -90, 180, 90), None, (SOURCE,),
    )  # fmt: skip


def _ours(values: np.ndarray, grid: Grid, out: np.ndarray) -> np.ndarray:
    target = _target(grid)
    variable = SubsetVariable(
        PlannedVariable("/v", ("/lat", "/lon"), Role.REQUESTED),
        xr.Variable(("lat", "lon"), values, {"_FillValue": np.float32(np.nan), "units": "K"}),
        (1200, 2400),
        (),
    )
    positions = [np.arange(ROWS), np.arange(COLUMNS)]
    made = reprojected(variable, positions, (1200, 2400), Reprojection(target))
    for block in made.blocks:
        out[block] = made.data[block].values
    return out


def _rasterio(
    values: np.ndarray, grid: Grid, out: np.ndarray, tolerance: float = 0.125
) -> np.ndarray:
    out.fill(np.nan)
    reproject(
        values, out, src_transform=Affine(0.05, 0, -180, 0, -0.05, 90), src_crs="EPSG:4326",
        src_nodata=np.nan, dst_nodata=np.nan, dst_crs=grid.crs,
        dst_transform=Affine(*grid.transform),
        resampling=Methods.nearest if grid.method == "near" else Methods[grid.method],
        tolerance=tolerance, num_threads=1, **_scale(grid, tolerance),
    )  # fmt: skip
    return out


def _scale(grid: Grid, tolerance: float) -> dict[str, float]:
    """The width of our kernel, where values are compared; GDAL's own guess where time is."""
    if grid.method == "near" or tolerance:
        return {}
    rows, columns = Warp(_target(grid), SOURCE).scale
    return {"XSCALE": 1 / columns, "YSCALE": 1 / rows}


def _gdalwarp(values: np.ndarray, grid: Grid) -> np.ndarray:
    left, top, right, bottom = grid.sides
    with tempfile.TemporaryDirectory() as folder:
        source, result = Path(folder, "in.tif"), Path(folder, "out.tif")
        with rasterio.open(
            source, "w", "GTiff", COLUMNS, ROWS, 1, "EPSG:4326",
            Affine(0.05, 0, -180, 0, -0.05, 90), "float32", float("nan"),
        ) as file:  # fmt: skip
            file.write(values, 1)
        subprocess.run(
            ["gdalwarp", "-q", "-multi", "-t_srs", grid.crs,
             "-te", *map(str, (left, bottom, right, top)),
             "-ts", *map(str, grid.shape[::-1]), source, result],
            check=True,
        )  # fmt: skip
    return values
