"""Real products on target grids, against gdalwarp, or where it is not installed rasterio's GDAL.

GDAL is given what netCDF4 reads from the source files, and works with exact coordinates (-et 0).
The kit of ITS_LIVE is not among them: its one granule holds no value.

Nearest values are equal; a centre on the edge between two cells may go either way, which is one
cell in a thousand at most. Kernels are equal to single precision, since both weigh the same cells
in another order, where target cells are no larger than the store's; where they are larger GDAL
works out how much larger for each of its own blocks, and this service once. At the rim of what is
missing a cell in a thousand may have a value in one of them alone, for the same reason as edges.
"""

from pathlib import Path

import numpy as np
import pytest
from products import GOES, KERNELS, MODIS, SEA_ICE, SMAP, SSMIS, decoded

from harmony_vds.model.request import TargetGrid

pytestmark = pytest.mark.shared

CASES = {
    "SMAP": (SMAP, TargetGrid("EPSG:4326", scale_size=(0.061, 0.067)), KERNELS),
    "sea ice": (
        SEA_ICE, TargetGrid("EPSG:3857", "", (-15e6, 11e6, -5e6, 18e6), (24_000, 23_000)), (),
    ),
    "GOES": (GOES, TargetGrid("EPSG:4326", scale_size=(0.015, 0.016)), KERNELS),
    "MODIS": (
        MODIS, TargetGrid("EPSG:4326", "", (-172.0, 51.5, -170.5, 53.0), (0.0043, 0.0039)), KERNELS,
    ),
    "SSMIS": (
        SSMIS, TargetGrid("EPSG:32650", "", (-5e5, 1e6, 1.5e6, 4e6), (21_000, 19_000)), (),
    ),
}  # fmt: skip
"""Products, targets whose cells are no larger than the product's, and kernels: none for those of
which some values are codes, which are never blended."""


@pytest.mark.parametrize(
    ("name", "method"),
    [(name, method) for name, (_, _, kernels) in CASES.items() for method in ("near", *kernels)],
)
def test_values_are_those_of_gdalwarp(name: str, method: str, tmp_path: Path) -> None:
    own, target, _ = CASES[name]
    answer = own.on(target, method, tmp_path)
    found = decoded(answer.path, own.variable)
    found = found.reshape(-1, *found.shape[-2:])[0]
    theirs = own.image().by_gdal(answer.prepared.plan.target, method, tmp_path)
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
