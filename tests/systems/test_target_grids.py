"""Real products on target grids, value by value against pyproj and the source files."""

from pathlib import Path

import numpy as np
import pyproj
import pytest
from products import GOES, MODIS, SEA_ICE, SMAP, SSMIS, TEMPO, decoded, last_axes
from systems.kits import raw

from harmony_vds.model.request import TargetGrid

pytestmark = pytest.mark.shared

CASES = {
    "EASE-2 to degrees": (SMAP, TargetGrid("EPSG:4326", scale_size=(0.21, 0.17))),
    "polar stereographic to Mercator": (
        SEA_ICE, TargetGrid("EPSG:3857", "", (-15e6, 5e6, 16e6, 18e6), None, 310, 230),
    ),
    "sinusoidal at the edge of its map to degrees": (
        MODIS, TargetGrid("EPSG:4326", "", None, None, 300),
    ),
    "geostationary to degrees": (GOES, TargetGrid("EPSG:4326", scale_size=(0.05, 0.05))),
    "longitudes from Greenwich to polar": (
        SSMIS, TargetGrid("EPSG:3413", "", (-6e6, -6e6, 6e6, 6e6), None, 300, 300),
    ),
    "TEMPO to UTM": (TEMPO, TargetGrid("EPSG:32614", scale_size=(3000, 3000))),
    "TEMPO to a wider map": (
        TEMPO, TargetGrid("EPSG:3978", "", (-1e6, -1e6, 2e6, 1e6), (6000, 5000)),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_each_target_cell_holds_the_nearest_stored_value(name: str, tmp_path: Path) -> None:
    own, target = CASES[name]
    answer = own.on(target, "", tmp_path)
    plan = answer.prepared.plan.target
    degrees = own.crs == "OGC:CRS84"
    way = pyproj.Transformer.from_crs(plan.crs, own.crs, always_xy=True)
    x, y = way.transform(*np.meshgrid(plan.xs, plan.ys))
    own_y, own_x = (decoded(own.granule, axis) * own.factor for axis in (own.y, own.x))
    rows, columns = nearest(own_y, y, None), nearest(own_x, x, 360.0 if degrees else None)
    sure = (rows >= 0) & (columns >= 0)
    assert sure.sum() > 100
    found, stored = answer.read(own.variable), raw(own.granule, own.variable)
    flat = np.moveaxis(stored, last_axes(stored.shape, own_y.size, own_x.size), (-2, -1))
    expected = flat[..., np.where(sure, rows, 0), np.where(sure, columns, 0)]
    assert found.dtype == stored.dtype.newbyteorder("=")
    np.testing.assert_array_equal(found[..., sure], expected[..., sure])


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
