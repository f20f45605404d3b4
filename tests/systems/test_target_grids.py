"""Real products on target grids, value by value against pyproj and the source files."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import netCDF4
import numpy as np
import pyproj
import pytest
from systems.kits import ask, place, raw, request, services, write_store

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
    factor: float = 1.0
    """Metres, or degrees, in a unit of x and y."""


GOES = "+proj=geos +h=35786023 +lon_0=-75 +sweep=x +a=6378137 +b=6356752.31414"
PRODUCTS = {
    "EASE-2 to degrees": Product(
        "s08_smap_l4_ease2", "*.h5", "/Analysis_Data/sm_profile_analysis", "/x", "/y", "EPSG:6933",
        TargetGrid("EPSG:4326", scale_size=(0.21, 0.17)),
    ),
    "polar stereographic to Mercator": Product(
        "s16_seaice_polar", "*nh*.nc", "/cdr_seaice_conc", "/xgrid", "/ygrid", "EPSG:3411",
        TargetGrid("EPSG:3857", "", (-15e6, 5e6, 16e6, 18e6), None, 310, 230),
    ),
    "geostationary to degrees": Product(
        "s18_goes_geostationary", "*.nc", "/LST", "/x", "/y", GOES,
        TargetGrid("EPSG:4326", scale_size=(0.05, 0.05)), 35786023.0,
    ),
    "longitudes from Greenwich to polar": Product(
        "s27_hoss_ssmis", "f16_ssmis_20200102v7.nc", "/wind_speed", "/longitude", "/latitude", "",
        TargetGrid("EPSG:3413", "", (-6e6, -6e6, 6e6, 6e6), None, 300, 300),
    ),
    "TEMPO to UTM": Product(
        "s09_tempo_l3_groups", "*.nc4", "/product/vertical_column", "/longitude", "/latitude", "",
        TargetGrid("EPSG:32614", scale_size=(3000, 3000)),
    ),
}  # fmt: skip


def decoded(path: Path, name: str) -> np.ndarray:
    with netCDF4.Dataset(path) as nc:
        return np.ma.filled(np.ma.masked_invalid(nc[name][...]).astype(np.float64), np.nan)


@pytest.mark.parametrize("name", PRODUCTS)
def test_each_target_cell_holds_the_nearest_stored_value(name: str, tmp_path: Path) -> None:
    own = PRODUCTS[name]
    (source, *_) = sorted((DATA / own.folder).glob(own.pattern))
    stores = tmp_path / "stores"
    stores.mkdir()
    with warnings.catch_warnings(), place("file", source.parent, stores) as here:
        warnings.simplefilter("ignore")
        store = write_store("icechunk", [source], stores, here.granules, along=None)
        wanted = replace(request((own.variable,)), target=own.target)
        answer = ask(wanted, here.stores + store, services(here), tmp_path / "out")
    plan = answer.prepared.plan.target
    way = pyproj.Transformer.from_crs(plan.crs, own.crs or "OGC:CRS84", always_xy=True)
    x, y = way.transform(*np.meshgrid(plan.xs, plan.ys))
    rows = nearest(decoded(source, own.y) * own.factor, y, None)
    columns = nearest(decoded(source, own.x) * own.factor, x, None if own.crs else 360.0)
    sure = (rows >= 0) & (columns >= 0)
    assert sure.mean() > 0.01
    found, stored = answer.read(own.variable), raw(source, own.variable)
    lying = _last(stored.shape, decoded(source, own.y).size, decoded(source, own.x).size)
    flat = np.moveaxis(stored, lying, (-2, -1))
    expected = flat[..., np.where(sure, rows, 0), np.where(sure, columns, 0)]
    assert found.dtype == stored.dtype.newbyteorder("=")
    np.testing.assert_array_equal(found[..., sure], expected[..., sure])


def _last(shape: Sequence[int], rows: int, columns: int) -> tuple[int, int]:
    return shape.index(rows), len(shape) - 1 - shape[::-1].index(columns)


def nearest(centres: np.ndarray, places: np.ndarray, turn: float | None) -> np.ndarray:
    """The centre nearest to each place; -1 outside of the grid, or where two are about as near."""
    good = np.isfinite(places)
    at = np.where(good, places, centres[0])
    if turn is not None:
        low = min(centres[0], centres[-1]) - abs(centres[1] - centres[0]) / 2
        at = low + (at - low) % turn
    order = np.argsort(centres)
    ordered = centres[order]
    after = np.clip(np.searchsorted(ordered, at), 1, centres.size - 1)
    below, above = np.abs(at - ordered[after - 1]), np.abs(at - ordered[after])
    step = np.diff(ordered).mean()
    sure = good & (np.abs(below - above) > 1e-3 * step) & (np.minimum(below, above) < 0.49 * step)
    return np.where(sure, order[np.where(below < above, after - 1, after)], -1)
