"""GeoTIFFs on target grids, through the tags that alone place them, against GDAL.

GDAL is given what rasterio reads of the same files, missing pixels not-a-number. Nearest values are
equal, kernels to single precision. For an average GDAL takes the upright box between two corners of
a target cell, which between zones of UTM is a little turned: one cell in twenty differs by more
than a hundredth of the spread of values. Averages and modes need half of a cell here, GDAL any
part, so that at the rim only GDAL has a value. All but one image of the kit of edge cases can be
put on a grid: `cog_gcps` is placed by ground control points, and `inverted_lat` holds no value, so
that pixels of another image are placed from south to north in its stead.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from products import DATA, Image, decoded
from rasterio.transform import Affine
from systems.kits import Answer, ask, request, services
from systems.test_cogs import answered, date_of, inflatable, stack, tiles_by_pixel
from world import virtual_image, write_references

from harmony_vds.model.request import TargetGrid

pytestmark = pytest.mark.shared


@dataclass(frozen=True)
class Case:
    """An image, the target it goes onto, and how it does."""

    pattern: str
    target: TargetGrid
    method: str
    turned: bool = False
    """Whether the same pixels are placed from south to north."""


AREAS = ("average", "mode")
DATELINE = TargetGrid("EPSG:4326", "", (179.2, 51.9, 180.9, 52.4), (0.003, 0.002))
CLASSES = TargetGrid("EPSG:4326", "", (-90.4, 47.8, -90.1, 48.0), (0.007, 0.005))
NORTH = TargetGrid("EPSG:4326", "", (-122.2, 47.0, -121.4, 47.7), (0.0025, 0.0017))
CASES = {
    "nearest across the antimeridian": Case("s38_*/cog_dateline.tif", DATELINE, "near"),
    "kernel where pixels are missing": Case("s38_*/cog_nodata_nan.tif", NORTH, "cubic"),
    "nearest with south up": Case("s38_*/cog_nodata_nan.tif", NORTH, "near", turned=True),
    "kernel with south up": Case("s38_*/cog_nodata_nan.tif", NORTH, "bilinear", turned=True),
    "average in another zone": Case(
        "s38_*/cog_nodata_nan.tif", TargetGrid("EPSG:32611", scale_size=(2500, 2100)), "average"
    ),
    "mode of classes": Case(
        "s15_*/*T15UXP*.tif", CLASSES, "mode"
    ),
}  # fmt: skip


def image_of(path: Path, band: int = 1) -> Image:
    with rasterio.open(path) as tiff:
        values = tiff.read(band, masked=True).astype(np.float32).filled(np.nan)
        return Image(values, tiff.transform, tiff.crs.to_wkt())


def answer_to(case: Case, path: Path, folder: Path) -> tuple[Answer, Image]:
    """The answer, from a copy in a codec that is read, and what rasterio reads of the copy."""
    changed = {"predictor": 1}
    if case.turned:
        with rasterio.open(path) as tiff:
            own, rows = tiff.transform, tiff.height
        changed["transform"] = Affine(own.a, 0, own.c, 0, -own.e, own.f + own.e * rows)
    copy = inflatable(path, folder / "images", **changed)
    wanted = replace(request(("image",)), target=replace(case.target, interpolation=case.method))
    return answered(wanted, virtual_image(copy, "image"), copy.parent, folder), image_of(copy)


@pytest.mark.parametrize("name", CASES)
def test_images_come_out_as_gdal_puts_them(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    (path,) = DATA.glob(case.pattern)
    answer, image = answer_to(case, path, tmp_path)
    found = decoded(answer.path, "image")
    theirs = image.by_gdal(answer.prepared.plan.target, case.method, tmp_path)
    ours, others = np.isfinite(found), np.isfinite(theirs)
    both = ours & others
    assert both.mean() > 0.1
    assert not (ours & ~others).any()
    assert (others & ~ours).sum() <= (0.1 * both.sum() if case.method in AREAS else 0)
    away = np.abs(found - theirs)[both] / np.ptp(theirs[both])
    if case.method == "average":
        assert np.median(away) < 0.002
        assert (away < 0.01).mean() > 0.94
    else:
        assert away.max() < 2e-7


def test_each_image_of_a_stack_comes_out_as_gdal_puts_it(tmp_path: Path) -> None:
    files = sorted(DATA.glob("s13_*/*.tif"), key=date_of)[:3]
    target = TargetGrid("EPSG:4326", "cubic", scale_size=(0.00031, 0.00027))
    wanted = replace(request(("gamma0",)), target=target)
    answer = answered(wanted, stack(files, "gamma0"), files[0].parent, tmp_path)
    found = decoded(answer.path, "gamma0")
    for number, path in enumerate(files):
        theirs = image_of(path).by_gdal(answer.prepared.plan.target, "cubic", tmp_path)
        both = np.isfinite(found[number]) & np.isfinite(theirs)
        assert both.mean() > 0.8
        assert np.array_equal(np.isfinite(found[number]), np.isfinite(theirs))
        away = np.abs(found[number] - theirs)[both]
        assert away.max() < 1e-6 * np.ptp(theirs[both])


@pytest.mark.parametrize("name", ["cog_scale", "cog_scale_epsg4326"])
def test_bands_that_lie_pixel_by_pixel_come_out_as_gdal_puts_them(
    name: str, tmp_path: Path
) -> None:
    (path,) = DATA.glob(f"s38_*/{name}.tif")
    write_references(tmp_path / "store.json", tiles_by_pixel(path))
    using = services(trusted=(f"{path.resolve().parent.as_uri()}/", f"{tmp_path.as_uri()}/"))
    target = TargetGrid("EPSG:32652", "near", scale_size=(400, 380))
    wanted = replace(request(("image",)), target=target)
    answer = ask(wanted, (tmp_path / "store.json").as_uri(), using, tmp_path / "out")
    found = decoded(answer.path, "image")
    for band in (0, 1):
        theirs = image_of(path, band + 1).by_gdal(
            answer.prepared.plan.target, "near", tmp_path
        )  # fmt: skip
        assert np.isfinite(theirs).mean() > 0.8
        assert np.array_equal(found[band], theirs, equal_nan=True)
