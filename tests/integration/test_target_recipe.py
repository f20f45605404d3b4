"""The recipe in an output on a target grid is run, and gives what the output holds."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import netCDF4
import numpy as np
import pytest
from gridded import write_grid
from recipes import assert_told, cooked, followed, output_of
from systems.kits import request, services
from world import virtual_dataset, write_icechunk

from harmony_vds.model.grid import GridKind
from harmony_vds.model.request import TargetGrid
from harmony_vds.outputs.recipe import recipe
from harmony_vds.pipeline import prepare

TARGETS = {
    "degrees": "EPSG:4326 -33.3 -77.1 400.2 88.8 33 31",
    "world": "EPSG:4326 -173 -90 187 90 29 17",
    "mercator": "EPSG:3857 15e6 -9e6 26e6 9e6 47 41",
    "polar": "EPSG:3413 -4e6 -4.5e6 3e6 4e6 44 51",
    "beside an oval map": "+proj=sinu +R=6371007.181 -21e6 -10.1e6 21e6 10.1e6 52 40",
}

TRIANGLE = {"type": "Polygon", "coordinates": [[[-178, -40], [-100, -40], [-140, 50], [-178, -40]]]}


def on(asked: str, *more: str) -> list[str]:
    crs, *extent, width, height = asked.rsplit(" ", 6)
    return [
        "--crs", crs, "--extent", *extent, "--width", width, "--height", height, *more,
    ]  # fmt: skip


def assert_equal(path: Path, names: Sequence[str], least: float = 0.05) -> None:
    """Every value of the output is that of its recipe, to the bit; some of them are none."""
    subset = cooked(path)
    with netCDF4.Dataset(path) as nc:
        nc.set_auto_maskandscale(False)
        for name in names:
            found, fill = nc[name][:], nc[name]._FillValue
            np.testing.assert_array_equal(subset[name].values, found)
            assert subset[name].dtype == found.dtype.newbyteorder("=")
            assert subset[name].dims == nc[name].dimensions
            assert least < np.mean(found != fill)
            for own in subset[name].dims:
                np.testing.assert_array_equal(subset[own].values, nc[own][:])


@pytest.fixture(scope="module")
def grids(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Stores of granules on grids of each kind."""
    folder = tmp_path_factory.mktemp("grids")
    stores = {}
    for kind in GridKind:
        write_grid(folder / f"{kind}.nc", kind)
        stores[str(kind)] = folder / f"{kind}.icechunk"
    with netCDF4.Dataset(folder / f"{GridKind.RECTILINEAR}.nc", "a") as nc:
        nc["lat"][:] = 55 + 20 * np.linspace(0, 1, 40) ** 1.2
    for kind, place in stores.items():
        write_icechunk(
            place, {None: virtual_dataset([folder / f"{kind}.nc"])},
            container=f"{folder.as_uri()}/",
        )  # fmt: skip
    return stores


@pytest.mark.parametrize("target", [own for own in TARGETS if own != "world"])
def test_nearest_values_of_a_recipe_are_those_of_the_output(target, store, days, tmp_path):
    options = [*on(TARGETS[target]), "--trust", str(days[0].parent), "--interpolation", "near"]
    path = output_of(store, tmp_path, *options)
    assert_equal(path, ["analysed_sst", "mask"])


def test_recipe_leaves_out_what_lies_beside_the_box(store, days, tmp_path):
    box = ["--bbox", "140", "5", "-95", "62", "--trust", str(days[0].parent)]
    for target in ("mercator", "polar"):
        path = output_of(store, tmp_path, *on(TARGETS[target], *box, "--interpolation", "near"))
        assert_equal(path, ["analysed_sst", "mask"])


@pytest.mark.parametrize("kind", GridKind)
def test_recipe_knows_every_kind_of_grid(kind, grids, tmp_path):
    asked = "EPSG:3413 -1.5e6 -3e6 1.5e6 1e6 71 83"
    path = output_of(grids[kind], tmp_path, *on(asked, "--interpolation", "near"))
    assert_equal(path, ["field"], 0.01)


@pytest.mark.parametrize(
    ("target", "method"),
    [
        ("mercator", "bilinear"),
        ("polar", "cubic"),
        ("world", "average"),
        ("degrees", "average"),
    ],
)
def test_values_that_a_recipe_mixes_are_those_of_the_output(target, method, store, days, tmp_path):
    options = [*on(TARGETS[target]), "--trust", str(days[0].parent), "--interpolation", method]
    path = output_of(store, tmp_path, *options)
    assert_equal(path, ["mask"])
    subset = cooked(path)
    with netCDF4.Dataset(path) as nc:
        found = nc["analysed_sst"][:].filled(np.nan)
    made = subset.analysed_sst.values
    np.testing.assert_array_equal(np.isnan(made), np.isnan(found))
    assert 0.05 < np.isfinite(found).mean() < 1
    # Single precision, and places that are interpolated on a target that is not cylindrical.
    np.testing.assert_allclose(made, found, rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    ("target", "method"),
    [
        ("degrees", "min"),
        ("mercator", "max"),
        ("polar", "mode"),
        ("beside an oval map", "average"),
    ],
)
def test_values_that_a_recipe_makes_of_all_that_lies_under_a_cell_are_those_of_the_output(
    target, method, store, days, tmp_path
):
    step = ["--temporal", "2024-01-03T00:00:00Z", "2024-01-03T23:00:00Z"]
    options = [*on(TARGETS[target], *step), "--interpolation", method]
    path = output_of(store, tmp_path, *options, "--trust", str(days[0].parent))
    # Means in single precision; picked values to the bit.
    made = assert_told(path, atol=1e-3 if method == "average" else 0, beside=("crs",))
    assert np.unique(made.analysed_sst).size > 100


def test_recipe_picks_in_the_box_that_was_asked_for(store, days, tmp_path):
    box = ["--bbox", "-60", "40", "60", "80", "--variable", "analysed_sst"]
    box += ["--interpolation", "mode"]
    path = output_of(store, tmp_path, *on(TARGETS["polar"], *box), "--trust", str(days[0].parent))
    assert np.unique(assert_told(path, beside=("crs",)).analysed_sst).size > 10


@pytest.mark.parametrize(
    ("first", "method"),
    [("shape", "bilinear"), ("shape", "average"), ("average", "near"), ("both", "cubic")],
)
def test_recipe_puts_what_it_has_cut_and_averaged_on_the_target(
    first, method, store, days, tmp_path
):
    options = ["--shape", json.dumps(TRIANGLE)] if first != "average" else []
    options += ["--average", "time"] if first != "shape" else []
    target = TARGETS["degrees" if method == "average" else "mercator"]
    options += [*on(target, "--interpolation", method), "--trust", str(days[0].parent)]
    path = output_of(store, tmp_path, *options)
    made = assert_told(path, atol=1e-3, beside=("crs",))
    assert np.unique(made.analysed_sst).size > 10
    with netCDF4.Dataset(path) as nc:
        assert nc.virtual_store_recipe.count("def decoded(") <= 1


@pytest.mark.parametrize("method", ["near", "average"])
def test_recipe_of_a_strip_gives_its_rows_of_the_grid(method, store, days):
    target = TargetGrid("EPSG:3857", method, (-15e6, -12e6, 19e6, 16e6), None, 31, 27)
    wanted = replace(request(("analysed_sst",)), target=target)
    trusted = [f"{own.parent.as_uri()}/" for own in (store, days[0])]
    with services(trusted=trusted) as using:
        plan = prepare(wanted, using, store.as_uri())[0].plan
    whole = followed(recipe(plan)).analysed_sst
    strip = replace(plan, target=replace(plan.target, strip=(5, 14)))
    part = followed(recipe(strip)).analysed_sst
    assert np.unique(part).size > 20
    np.testing.assert_allclose(part, whole[:, 5:14], rtol=1e-12)
    np.testing.assert_array_equal(part.y, whole.y[5:14])
