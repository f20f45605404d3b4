"""The recipe in an output of averages, or of a region's cells, is run and gives what that holds."""

import json
from pathlib import Path

import netCDF4
import numpy as np
import pytest
from gridded import store_of
from recipes import assert_told, cooked, output_of, recipe_of

from harmony_vds.model.grid import GridKind

BOX = ["--bbox", "-55", "62", "-40", "75"]


def ring(*corners: tuple[float, float]) -> dict[str, object]:
    return {"type": "Polygon", "coordinates": [[*corners, corners[0]]]}


TRIANGLE = ring((-60, -40), (60, -40), (0, 50))
SQUARE = ring((70, -40), (100, -40), (100, 10), (70, 10))
BOTH = {
    "type": "FeatureCollection",
    "features": [
        {"type": "Feature", "properties": {"name": name}, "geometry": own}
        for name, own in {"triangle": TRIANGLE, "square": SQUARE}.items()
    ],
}
SPECK = [(71.1, 1.1), (71.2, 1.1), (71.2, 1.2), (71.1, 1.1)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("grids")


def test_mean_over_time_of_a_recipe_is_that_of_the_output(store, days, tmp_path):
    box = ["--bbox", "-60", "-40", "40", "40", "--temporal", "2024-01-03T00:00:00Z", ".."]
    trust = ["--trust", str(days[0].parent)]
    path = output_of(store, tmp_path, "--average", "time", *box, *trust)
    assert np.unique(assert_told(path, rtol=1e-12).analysed_sst_count).size > 1


@pytest.mark.parametrize("asked", ["box", "box across the antimeridian", "shape", "features"])
def test_mean_over_an_area_of_a_recipe_is_that_of_the_output(asked, store, days, tmp_path):
    cut = {
        "box": ["--bbox", "0", "-40", "40", "40"],
        "box across the antimeridian": ["--bbox", "100", "-40", "-120", "80"],
        "shape": ["--shape", json.dumps(TRIANGLE)],
        "features": ["--shape", json.dumps(BOTH)],
    }[asked]
    options = ["--average", "area", "--variable", "analysed_sst", *cut]
    path = output_of(store, tmp_path, *options, "--trust", str(days[0].parent))
    made = assert_told(path, rtol=1e-12)
    shares = made.analysed_sst_fraction
    assert 0.1 < shares.min() < 1


@pytest.mark.parametrize("shape", ["averaged", "halves", "beyond", "long way"])
def test_recipe_blanks_the_cells_outside_of_a_shape(shape, store, days, tmp_path):
    east = ring((150, -40), (180, -40), (180, 10))
    west = ring((-180, 10), (-180, -40), (-140, -40))
    halves = {"type": "MultiPolygon", "coordinates": [east["coordinates"], west["coordinates"]]}
    document = {
        "halves": halves,
        "beyond": ring((150, -40), (220, -40), (180, 10)),
        "long way": ring((150, -40), (-140, -40), (180, 10)),
    }.get(shape, TRIANGLE)
    options = ["--shape", json.dumps(document), "--trust", str(days[0].parent)]
    options += ["--average", "time"] if shape == "averaged" else []
    path = output_of(store, tmp_path, *options)
    if shape == "long way":  # whose edges the output takes the short way
        assert "outside of the requested region hold fill" in recipe_of(path)
    else:
        assert_told(path, rtol=1e-12 if shape == "averaged" else 0)


@pytest.mark.parametrize("kind", [GridKind.PROJECTED, GridKind.CURVILINEAR])
def test_recipe_blanks_the_cells_outside_of_a_box_on_grids_without_parallels(
    kind, folder, tmp_path
):
    assert_told(output_of(store_of(folder, kind), tmp_path, *BOX, "--variable", "field"))


def test_recipe_weighs_cells_of_a_map_by_its_scale(folder, tmp_path):
    options = [*BOX, "--variable", "field", "--average", "area"]
    path = output_of(store_of(folder, GridKind.PROJECTED), tmp_path, *options)
    made = assert_told(path, atol=1e-6 * 900)
    assert 100 < made.field_count < 422


def test_recipe_says_that_areas_of_cells_with_four_corners_take_more_than_a_few_lines(
    folder, tmp_path
):
    options = [*BOX, "--variable", "field", "--average", "area"]
    path = output_of(store_of(folder, GridKind.CURVILINEAR), tmp_path, *options)
    with netCDF4.Dataset(path) as nc:
        assert nc.virtual_store_recipe.endswith(
            "# The output then averages this over area.\n"
            "# What each cell weighs takes more than a few lines: cells have four corners\n"
            "# of their own, lie between uneven parallels, or on several grids.\n"
            "# harmony-vds rerun FILE makes the output again."
        )


def test_recipe_reads_a_long_shape_from_a_file(store, days, tmp_path, monkeypatch):
    angles = np.radians(np.arange(0, 360, 5))
    circle = ring(*zip(40 * np.cos(angles), 30 * np.sin(angles), strict=True))
    (tmp_path / "shape.geojson").write_text(json.dumps(circle))
    options = ["--shape", str(tmp_path / "shape.geojson"), "--trust", str(days[0].parent)]
    path = output_of(store, tmp_path / "out", *options)
    monkeypatch.chdir(tmp_path)
    assert "open('shape.geojson')" in recipe_of(path)
    assert_told(path)


def test_shape_with_a_feature_without_a_place_has_no_lines(store, days, tmp_path):
    nothing = {"type": "Feature", "properties": {}, "geometry": None}
    document = {**BOTH, "features": [nothing, *BOTH["features"]]}
    options = ["--shape", json.dumps(document), "--trust", str(days[0].parent)]
    options += ["--average", "area", "--variable", "analysed_sst"]
    told = recipe_of(output_of(store, tmp_path, *options))
    assert "outside of the requested region hold fill" in told
    assert told.endswith("# harmony-vds rerun FILE makes the output again.")


def test_recipe_that_counts_other_cells_than_the_output_says_so(store, days, tmp_path):
    areas = {"type": "MultiPolygon", "coordinates": [TRIANGLE["coordinates"], [SPECK]]}
    cut = ["--shape", json.dumps(areas), "--trust", str(days[0].parent)]
    path = output_of(store, tmp_path, *cut, "--variable", "mask")
    with pytest.raises(AssertionError, match="other cells than in the output"):
        cooked(path)
