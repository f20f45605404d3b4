"""Real products on coarser grids, by all that lies under a cell, against gdalwarp and the truth.

Where rows of the target are rows of the product (SMAP on degrees) averages, least and greatest
values are gdalwarp's, to single precision. Elsewhere gdalwarp takes the upright box between two
corners of a target cell, whatever lies beside it; the truth is then what lies under 30 by 30 points
of each target cell, and answers lie closer to it than gdalwarp's do.

Half of what lies under a cell must be there, while gdalwarp takes any part: it has more cells with
a value, at the rim of what is missing, and never fewer. Where some values are codes (sea ice) each
cell takes the nearest value whatever was asked, as the output says. Of values equally frequent the
least is the mode, and the first that is met with gdalwarp, so modes are compared of classes
(`test_images_on_grids`) and of sea ice, where nine cells in ten agree.
"""

from pathlib import Path

import numpy as np
import pyproj
import pytest
from products import GOES, MODIS, SEA_ICE, SMAP, Image, Product, decoded

from harmony_vds.model.request import TargetGrid
from harmony_vds.model.target import TargetPlan

pytestmark = pytest.mark.shared

_POINTS = 30
OBLIQUE = {
    "GOES": (GOES, TargetGrid("EPSG:4326", scale_size=(0.35, 0.36))),
    "MODIS": (MODIS, TargetGrid("EPSG:4326", "", (-172.0, 51.5, -170.5, 53.0), (0.043, 0.039))),
}
ICE = TargetGrid("EPSG:3413", "", (-3.003e6, -4.004e6, 2.997e6, 3.996e6), (100_000, 80_000))


def answered(
    own: Product, target: TargetGrid, method: str, folder: Path
) -> tuple[np.ndarray, np.ndarray, TargetPlan, list[str]]:
    """Our values, gdalwarp's, the target, and what was remarked."""
    answer = own.on(target, method, folder)
    found = decoded(answer.path, own.variable)
    plan = answer.prepared.plan
    theirs = own.image().by_gdal(plan.target, method, folder)
    return found.reshape(-1, *found.shape[-2:])[0], theirs, plan.target, list(plan.notes)


def truth(image: Image, plan: TargetPlan, method: str) -> np.ndarray:
    """Of each cell what lies under points spread over it; not-a-number where half is missing."""
    way = pyproj.Transformer.from_crs(plan.crs, image.crs, always_xy=True)
    a, _, left, _, e, top = plan.transform
    within = (np.arange(_POINTS) + 0.5) / _POINTS
    x = left + a * (np.arange(plan.shape[1])[:, None] + within).ravel()
    y = top + e * (np.arange(plan.shape[0])[:, None] + within).ravel()
    columns, rows = ~image.grid @ way.transform(*np.meshgrid(x, y))
    height, width = image.values.shape
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    rows, columns = (np.where(inside, own, 0).astype(int) for own in (rows, columns))
    seen = np.where(inside, image.values[rows, columns], np.nan)
    cells = seen.reshape(plan.shape[0], _POINTS, plan.shape[1], _POINTS).swapaxes(1, 2)
    cells = cells.reshape(*plan.shape, -1)
    there = np.isfinite(cells)
    made = {
        "average": np.where(there, cells, 0).sum(-1) / np.maximum(there.sum(-1), 1),
        "min": np.where(there, cells, np.inf).min(-1),
        "max": np.where(there, cells, -np.inf).max(-1),
    }[method]
    return np.where(2 * there.sum(-1) >= _POINTS**2, made, np.nan)


@pytest.mark.parametrize("method", ["average", "min", "max"])
def test_what_lies_under_upright_cells_is_gdalwarps(method: str, tmp_path: Path) -> None:
    target = TargetGrid("EPSG:4326", scale_size=(0.61, 0.47))
    found, theirs, _, notes = answered(SMAP, target, method, tmp_path)
    both = np.isfinite(found)
    assert both.sum() > 80
    assert np.isfinite(theirs[both]).all()
    np.testing.assert_allclose(found[both], theirs[both], rtol=1e-6)
    assert notes == []


@pytest.mark.parametrize(
    ("name", "method"),
    [("GOES", "average"), ("GOES", "min"), ("GOES", "max"), ("MODIS", "average")],
)
def test_what_lies_under_oblique_cells_is_closer_to_the_truth_than_gdalwarps(
    name: str, method: str, tmp_path: Path
) -> None:
    own, target = OBLIQUE[name]
    found, theirs, plan, _ = answered(own, target, method, tmp_path)
    true = truth(own.image(), plan, method)
    ours = np.isfinite(found)
    assert ours.sum() > 100
    # Cells of which about half is there may go either way.
    assert (ours != np.isfinite(true)).sum() < 0.02 * ours.sum()
    assert np.isfinite(theirs[ours]).all()
    both = ours & np.isfinite(true)
    off, gdal_off = (
        np.sqrt(np.mean((own[both] - true[both]) ** 2)) / (np.ptp(true[both]) or 1.0)
        for own in (found, theirs)
    )
    assert off <= gdal_off
    assert off < {"average": 0.003, "min": 0.02, "max": 0.02}[method]


def test_values_of_which_some_are_codes_are_never_averaged(tmp_path: Path) -> None:
    found, _, plan, notes = answered(SEA_ICE, ICE, "average", tmp_path)
    theirs = SEA_ICE.image().by_gdal(plan, "near", tmp_path)
    assert any("cdr_seaice_conc" in own and "took the nearest value" in own for own in notes)
    assert np.isfinite(found).sum() > 1000
    np.testing.assert_array_equal(found, theirs)


def test_most_frequent_values_are_gdalwarps(tmp_path: Path) -> None:
    found, theirs, _, _ = answered(SEA_ICE, ICE, "mode", tmp_path)
    both = np.isfinite(found)
    assert both.sum() > 1000
    assert np.isfinite(theirs[both]).all()
    assert (np.abs(found - theirs)[both] < 1e-6).mean() > 0.9
