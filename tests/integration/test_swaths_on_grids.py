"""Swaths, curvilinear grids and tracks on target grids, against brute force."""

import warnings
from dataclasses import replace
from pathlib import Path

import netCDF4
import numpy as np
import pyproj
import pytest
from swaths import EARTH, bilinear_at, nearest_cells, oblique, write_swath
from systems.kits import Answer, ask, raw, request, services
from world import virtual_dataset, write_icechunk

from harmony_vds.errors import UnsupportedError
from harmony_vds.model.request import TargetGrid
from harmony_vds.model.scatter import Scatter
from harmony_vds.pipeline import fulfil, prepare
from harmony_vds.transform.apply import apply_plan

FILL = -32767
POLAR = TargetGrid("EPSG:3413", "near", (-2.8e6, -1.0e6, 0.0, 1.8e6), (51_000, 47_000))
TARGETS = {
    "degrees": TargetGrid("EPSG:4326", "near", (160.0, 62.0, 260.0, 90.0), None, 60, 45),
    "all longitudes": TargetGrid("EPSG:4326", "near", (-180.0, 70.0, 180.0, 90.0), None, 90, 30),
    "mercator": TargetGrid("EPSG:3857", "near", (18e6, 9e6, 29e6, 19e6), None, 55, 50),
    "fine": TargetGrid("EPSG:3413", "near", (-1.7e6, -0.2e6, -0.9e6, 0.9e6), (17_000, 19_000)),
}


@pytest.fixture(scope="module")
def swath(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """The URL of a store of one granule, and the granule."""
    folder = tmp_path_factory.mktemp("swath")
    return stored(write_swath(folder / "swath.nc", *oblique()))


def stored(granule: Path) -> tuple[str, Path]:
    place = granule.parent / f"{granule.stem}.icechunk"
    container = f"{granule.parent.as_uri()}/"
    write_icechunk(place, {None: virtual_dataset([granule])}, container=container)
    return place.as_uri(), granule


def run(href: str, target: TargetGrid, folder: Path, variables=("speed", "quality"), box=None):
    folder.mkdir(exist_ok=True)
    wanted = replace(request(variables, box), target=target)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return ask(wanted, href, services(trusted=[f"{href.rpartition('/')[0]}/"]), folder)


def places(granule: Path) -> tuple[np.ndarray, np.ndarray]:
    lon, lat = raw(granule, "lon"), raw(granule, "lat")
    return np.where(lon == -999, np.nan, lon), np.where(lat == -999, np.nan, lat)


def centres(answer: Answer) -> tuple[np.ndarray, np.ndarray]:
    plan = answer.prepared.plan.target
    way = pyproj.Transformer.from_crs(plan.crs, "OGC:CRS84", always_xy=True)
    return way.transform(
        *np.meshgrid(answer.read(plan.dimensions[1]), answer.read(plan.dimensions[0]))
    )


def radius(answer: Answer) -> float:
    plan = answer.prepared.plan.target
    return Scatter(plan, plan.sources[0]).radius * EARTH


@pytest.mark.parametrize("name", TARGETS)
def test_nearest_cell_of_a_swath_is_that_of_brute_force(name, swath, tmp_path):
    answer = run(swath[0], TARGETS[name], tmp_path)
    which, away, more = nearest_cells(*places(swath[1]), centres(answer))
    # Half the diagonal of cells that lie 25.6 and 26.7 km apart.
    assert radius(answer) == pytest.approx(np.hypot(25_575, 26_690) / 2, rel=0.02)
    sure = (np.abs(away - radius(answer)) > 1) & (more > 1e-3)
    assert sure.mean() > 0.99
    near = away <= radius(answer)
    assert near.sum() > 100
    for variable, fill in (("speed", FILL), ("quality", 255)):
        values = raw(swath[1], variable)
        flat = values.reshape(*values.shape[:-2], -1)
        expected = np.where(near, flat[..., which], fill)
        found = answer.read(variable)
        assert found.dtype == values.dtype
        assert np.array_equal(found[..., sure], expected[..., sure])


def test_bilinear_value_is_that_of_the_quad_around_a_place(swath, tmp_path):
    target = replace(TARGETS["fine"], interpolation="bilinear")
    answer = run(swath[0], target, tmp_path)
    found = answer.read("speed")[0]
    lon, lat = places(swath[1])
    packed = raw(swath[1], "speed")[0]
    values = np.where(packed == FILL, np.nan, packed * np.float64(np.float32(0.01)))
    assert np.isfinite(found).mean() > 0.2
    random, seen = np.random.default_rng(3), 0
    for row, column in random.integers(0, found.shape, (40, 2)):
        place = tuple(float(own[row, column]) for own in centres(answer))
        expected = bilinear_at(lon, lat, values, place, 2 * 2 * radius(answer))
        if expected is None:
            assert np.isnan(found[row, column])
        elif np.isfinite(expected):
            seen += 1
            assert found[row, column] == pytest.approx(expected, rel=1e-6)
    assert seen > 7


def test_gap_between_halves_of_a_swath_stays_empty(swath, tmp_path):
    for method in ("near", "bilinear"):
        target = replace(TARGETS["fine"], interpolation=method)
        answer = run(swath[0], target, tmp_path / method, ("quality", "speed"))
        _, away, _ = nearest_cells(*places(swath[1]), centres(answer))
        inside = away > radius(answer)
        assert 0.1 < inside.mean() < 0.9
        assert (answer.read("quality")[inside] == 255).all()


def test_flags_of_a_swath_are_never_blended(swath, tmp_path):
    target = replace(TARGETS["degrees"], interpolation="bilinear")
    answer = run(swath[0], target, tmp_path)
    flags = answer.read("quality")
    assert flags.dtype == np.uint8
    assert {0, 4, 255} == set(np.unique(flags))
    assert answer.read("speed").dtype == np.float32
    assert any("quality took the nearest" in own for own in answer.prepared.plan.notes)


@pytest.mark.parametrize("method", ["near", "bilinear"])
def test_any_part_of_a_target_of_a_swath_equals_that_part_of_the_whole(method, swath):
    href = swath[0]
    wanted = replace(request(("speed",)), target=replace(POLAR, interpolation=method))
    with services(trusted=[f"{href.rpartition('/')[0]}/"]) as using:
        (prepared,) = prepare(wanted, using, href)
        (own,) = (v for v in apply_plan(prepared.store, prepared.plan).variables
                  if v.planned.path == "/speed")  # fmt: skip
        whole = own.data.values
        random = np.random.default_rng(5)
        for _ in range(12):
            top, left = (random.integers(0, size - 1) for size in whole.shape[1:])
            part = (slice(top, top + random.integers(1, 70)), slice(left, left + 40))
            np.testing.assert_array_equal(own.data[(1, *part)].values, whole[1][part])
        blocks = sum(own.data[block].values.size for block in own.blocks)
    assert blocks == whole.size


def test_price_of_a_swath_is_what_is_read_and_only_what_lies_near(tmp_path):
    chunks = {}
    href, _ = stored(write_swath(tmp_path / "long.nc", *oblique(300)))
    small = replace(POLAR, scale_extent=(-2.6e6, -0.2e6, -2.2e6, 0.2e6))
    for name, target in (("whole", POLAR), ("small", small)):
        wanted = replace(request(("speed",)), target=target)
        with services(trusted=[f"{href.rpartition('/')[0]}/"]) as using:
            prepared = prepare(wanted, using, href)
            before = using.access.fetcher.traffic.nbytes
            (tmp_path / name).mkdir()
            fulfil(prepared, tmp_path / name, using)
            cost = prepared[0].plan.cost
            assert using.access.fetcher.traffic.nbytes - before == cost.bytes_read
            chunks[name] = cost.chunks
    assert chunks["small"] <= chunks["whole"] / 2


def test_swath_has_a_default_grid_of_cells_about_as_large(swath, tmp_path):
    answer = run(swath[0], TargetGrid("EPSG:3413"), tmp_path, ("speed",))
    plan = answer.prepared.plan.target
    assert plan.transform[0] == -plan.transform[4] == 26_000
    assert plan.transform[2] % 26_000 == plan.transform[5] % 26_000 == 0
    lon, lat = places(swath[1])
    known = np.isfinite(lon)
    way = pyproj.Transformer.from_crs("OGC:CRS84", 3413, always_xy=True)
    x, y = way.transform(lon[known], lat[known])
    x0, y0, x1, y1 = plan.extent
    assert x0 <= x.min() - 13_000
    assert x.max() + 13_000 <= x1
    assert y0 <= y.min() - 13_000
    assert y.max() + 13_000 <= y1
    # Every cell of the store comes out about once.
    stored_values = (raw(swath[1], "speed")[0] != FILL).sum()
    assert (answer.read("speed")[0] != FILL).sum() == pytest.approx(stored_values, rel=0.15)


def test_default_grid_in_degrees_runs_on_across_the_antimeridian(swath, tmp_path):
    plan = run(swath[0], TargetGrid("EPSG:4326"), tmp_path, ("quality",)).prepared.plan.target
    west, south, east, north = plan.extent
    lon, lat = places(swath[1])
    assert np.nanmin(lon) - 1 < west < np.nanmin(lon)
    assert np.nanmax(lon) < east < np.nanmax(lon) + 1
    assert np.nanmin(lat) - 1 < south < np.nanmin(lat)
    assert np.nanmax(lat) < north <= 90


def test_box_cuts_a_swath_and_its_target(swath, tmp_path):
    whole = run(swath[0], POLAR, tmp_path / "whole")
    cut = run(swath[0], POLAR, tmp_path / "cut", box=(150.0, 60.0, -160.0, 80.0))
    lon, lat = centres(cut)
    inside = ((lon >= 150) | (lon <= -160)) & (lat >= 60) & (lat <= 80)
    found = cut.read("speed")
    assert (found[:, ~inside] == FILL).all()
    assert np.array_equal(found[:, inside], whole.read("speed")[:, inside])
    assert (found != FILL).sum() > 50


@pytest.mark.parametrize("method", ["cubic", "average", "mode"])
def test_other_methods_are_refused_for_swaths(method, swath):
    href = swath[0]
    wanted = replace(request(("speed",)), target=replace(POLAR, interpolation=method))
    with (
        services(trusted=[f"{href.rpartition('/')[0]}/"]) as using,
        pytest.raises(UnsupportedError, match=rf"{method} is not done .* near or bilinear"),
    ):
        prepare(wanted, using, href)


def test_cells_that_a_track_comes_near_hold_its_nearest_value(tmp_path):
    lon, lat = (own[:, 20] for own in oblique(400))
    href, granule = stored(write_swath(tmp_path / "track.nc", lon, lat, lost=False))
    target = replace(POLAR, scale_size=(100_000, 100_000))
    answer = run(href, target, tmp_path / "out")
    which, away, more = nearest_cells(lon, lat, centres(answer))
    assert radius(answer) == pytest.approx(np.hypot(1e5, 1e5) / 2, rel=0.1)
    sure = (np.abs(away - radius(answer)) > 1) & (more > 1e-3)
    near = away <= radius(answer)
    assert near.sum() > 30
    values = raw(granule, "speed")
    expected = np.where(near, values[:, which], FILL)
    assert np.array_equal(answer.read("speed")[:, sure], expected[:, sure])
    with netCDF4.Dataset(answer.path) as nc:
        assert nc["speed"].dimensions == ("time", "y", "x")
    wanted = replace(request(("speed",)), target=replace(target, interpolation="bilinear"))
    with (
        services(trusted=[f"{href.rpartition('/')[0]}/"]) as using,
        pytest.raises(UnsupportedError, match="a track; ask with near"),
    ):
        prepare(wanted, using, href)
