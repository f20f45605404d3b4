"""Recipes in outputs of real products on target grids are run, and give what those hold."""

from pathlib import Path

import netCDF4
import numpy as np
import pytest
from products import GOES, MODIS, SEA_ICE, SMAP, Product, decoded
from recipes import cooked

from harmony_vds.model.request import TargetGrid

pytestmark = pytest.mark.shared

ASCAT = Product("s20_l2_ascat", "*.nc", "/wind_speed", "/lon", "/lat", "OGC:CRS84")
CASES = {
    "SMAP": (SMAP, TargetGrid("EPSG:4326", scale_size=(0.161, 0.167))),
    "sea ice": (SEA_ICE, TargetGrid("EPSG:3857", "", (-15e6, 11e6, -5e6, 18e6), (24_000, 23_000))),
    "GOES": (GOES, TargetGrid("EPSG:4326", scale_size=(0.085, 0.086))),
    "MODIS": (MODIS, TargetGrid("EPSG:4326", "", (-172.0, 51.5, -170.5, 53.0), (0.0043, 0.0039))),
    "ASCAT": (ASCAT, TargetGrid("EPSG:3413", "", (-4e6, -4e6, 4e6, 4e6), (20_000, 20_000))),
}


@pytest.mark.parametrize("name", ["SMAP", "sea ice", "GOES", "ASCAT"])
def test_nearest_values_of_a_recipe_are_those_of_the_output(name: str, tmp_path: Path) -> None:
    own, target = CASES[name]
    answer = own.on(target, "near", tmp_path)
    subset = cooked(answer.path)
    with netCDF4.Dataset(answer.path) as nc:
        nc.set_auto_maskandscale(False)
        found = nc[own.variable][:]
        other = subset[own.variable.rpartition("/")[2]]
        assert other.dtype == found.dtype.newbyteorder("=")
        assert np.unique(found).size > 5
        same = (other.values == found) | (np.isnan(other.values) & np.isnan(found))
    # A centre on the edge between two cells may go either way.
    assert (~same).mean() <= 1e-5


@pytest.mark.parametrize(
    ("name", "method"), [("SMAP", "average"), ("GOES", "bilinear"), ("MODIS", "cubic")]
)
def test_values_that_a_recipe_mixes_are_those_of_the_output(
    name: str, method: str, tmp_path: Path
) -> None:
    own, target = CASES[name]
    answer = own.on(target, method, tmp_path)
    found = decoded(answer.path, own.variable)
    made = cooked(answer.path)[own.variable.rpartition("/")[2]].values
    both = np.isfinite(found) & np.isfinite(made)
    assert both.sum() > 300
    spread = np.ptp(found[both])
    away = np.abs(made - found)[both]
    assert (np.isfinite(found) != np.isfinite(made)).sum() <= 1e-5 * both.sum()
    # Single precision, and places that are interpolated to a thousandth of a cell or better.
    assert away.max() <= 1e-5 * spread
