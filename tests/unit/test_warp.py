"""Places on grids of every order and spacing, and variables with dimensions in any order."""

import itertools

import numpy as np
import pyproj
import pytest
import xarray as xr
from hypothesis import example, given
from hypothesis import strategies as st

from harmony_vds.errors import UnsupportedError
from harmony_vds.model.extent import BoundingBox
from harmony_vds.model.plan import PlannedVariable, Role
from harmony_vds.model.subset import SubsetVariable
from harmony_vds.model.target import Resampling, SourceAxis, SourceGrid, TargetPlan
from harmony_vds.model.warp import Warp
from harmony_vds.planning.target import _refuse_disorder
from harmony_vds.transform.reproject import Reprojection, reprojected

LAT = np.degrees(np.arcsin(np.linspace(-0.97, 0.97, 24)))
"""Closer together at the equator than at the poles."""
LON = 0.5 + 9.0 * np.arange(40)
WORLD = BoundingBox(-180, -90, 180, 90)


def target(source: SourceGrid, crs="EPSG:3857", method=Resampling.NEAREST, **more) -> TargetPlan:
    shape, transform = (31, 47), (8e5, 0.0, -1.9e7, 0.0, -6e5, 9e6)
    known = {"crs": pyproj.CRS(crs).to_wkt(), "transform": transform, "shape": shape, **more}
    return TargetPlan(
        known["crs"], known["transform"], known["shape"], method, frozenset(), ("/y", "/x"), "/crs",
        WORLD, None, (source,),
    )  # fmt: skip


def moved(values: np.ndarray, dims: tuple[str, ...], plan: TargetPlan, **attributes):
    planned = PlannedVariable("/v", tuple(f"/{own}" for own in dims), Role.REQUESTED)
    variable = SubsetVariable(planned, xr.Variable(dims, values, attributes), values.shape, ())
    positions = [np.arange(size) for size in values.shape]
    return reprojected(variable, positions, (7,) * values.ndim, Reprojection(plan))


def grid(lat: np.ndarray = LAT, lon: np.ndarray = LON) -> SourceGrid:
    return SourceGrid(("/lat", "/lon"), "", SourceAxis(lon, turns=True), SourceAxis(lat))


@pytest.mark.parametrize("crs", ["EPSG:3857", "EPSG:3413", "EPSG:4326"])
@pytest.mark.parametrize("flip", [False, True])
def test_uneven_rows_give_the_nearest_one(crs, flip):
    lat = LAT[::-1] if flip else LAT
    more = {"transform": (7.3, 0, -170.1, 0, -4.1, 66.3)} if crs == "EPSG:4326" else {}
    plan = target(grid(lat), crs, **more)
    values = np.arange(lat.size * LON.size, dtype=np.int32).reshape(lat.size, LON.size)
    found = moved(values, ("lat", "lon"), plan, _FillValue=-1).data.values
    way = pyproj.Transformer.from_crs(crs, "OGC:CRS84", always_xy=True)
    x, y = way.transform(*np.meshgrid(plan.xs, plan.ys))
    by_row = np.abs(y[..., None] - lat)
    east = np.abs((x[..., None] - LON + 180) % 360 - 180)
    expected = by_row.argmin(-1) * LON.size + east.argmin(-1)
    inside = found >= 0
    two = np.sort(by_row, -1)[..., :2], np.sort(east, -1)[..., :2]
    sure = np.all([own[..., 1] - own[..., 0] > 1e-6 for own in two], axis=0)
    assert inside.mean() > 0.5
    assert np.array_equal(found[inside & sure], expected[inside & sure])


@pytest.mark.parametrize("dims", [("t", "lat", "lon"), ("lon", "t", "lat"), ("lat", "lon", "t")])
@pytest.mark.parametrize("method", list(Resampling))
def test_dimensions_may_come_in_any_order(dims, method):
    plan = target(grid(), "EPSG:3413", method)
    ordered = np.random.default_rng(1).random((3, LAT.size, LON.size)).astype(np.float32)
    there = [("t", "lat", "lon").index(own) for own in dims]
    plain = moved(ordered, ("t", "lat", "lon"), plan, units="K")
    other = moved(ordered.transpose(there), dims, plan, units="K")
    assert other.data.dims == ("t", "y", "x")
    assert other.planned.dimensions == ("/t", "/y", "/x")
    assert np.isfinite(plain.data.values).mean() > 0.2
    np.testing.assert_array_equal(other.data.values, plain.data.values)


def test_complex_and_text_values_are_picked():
    values = np.array([["a", "b"] * 20] * LAT.size, dtype=object)
    found = moved(values, ("lat", "lon"), target(grid())).data.values
    assert set(np.unique(found.astype(str))) <= {"", "a", "b"}
    numbers = np.exp(1j * np.arange(LAT.size * 40)).reshape(LAT.size, 40).astype(np.complex64)
    assert moved(numbers, ("lat", "lon"), target(grid())).data.dtype == np.complex64


def test_value_that_must_mean_missing_outside_is_refused_inside():
    lat, lon = np.arange(10.0), np.arange(10.0)
    full = np.full((10, 10), 255, np.uint8)
    with pytest.raises(UnsupportedError, match="255"):
        moved(full, ("lat", "lon"), target(grid(lat, lon))).data.values  # noqa: B018


@pytest.mark.parametrize(
    "lat", [np.array([1.0]), np.array([1.0, 2.0, 1.5]), np.array([1.0, np.nan, 3.0])]
)
def test_rows_in_no_order_are_refused(lat):
    with pytest.raises(UnsupportedError, match="lat"):
        _refuse_disorder(grid(lat))


@given(
    st.lists(st.floats(0.05, 5), min_size=2, max_size=30),
    st.booleans(),
    st.lists(st.floats(-200, 600), min_size=1, max_size=30),
)
def test_place_is_that_of_the_nearest_centre(steps, descending, wanted):
    centres = 10 + np.cumsum(steps)
    axis = SourceAxis(centres[::-1] if descending else centres)
    places = axis.positions(np.array(wanted))
    low, high = sorted(axis.edges)
    for value, place in zip(wanted, places, strict=True):
        if low + 1e-6 < value < high - 1e-6:
            nearest = np.abs(axis.centres - value)
            assert nearest[min(int(place), centres.size - 1)] <= nearest.min() + 1e-2 * max(steps)
        elif not low - 1e-6 < value < high + 1e-6:
            assert place < 0 or place >= centres.size


@given(st.integers(2, 200), st.integers(1, 12), st.integers(1, 60))
@example(coarse=150, ratio=4, wide=600)
def test_window_of_a_block_holds_the_cells_that_its_centres_take(coarse, ratio, wide):
    """Centres between two cells: rounding must not lose the further one, at the end of a block."""
    columns, rows = 4 * coarse * ratio, 2 * coarse * ratio
    step = 360 / columns
    lon = ((np.arange(columns) + 0.5) * step - 180).round(6)
    lat = ((np.arange(rows) + 0.5) * step - 90).round(6)
    cell = round(step * ratio, 9)
    plan = target(
        grid(lat, lon), "EPSG:4326", shape=(2 * coarse, 4 * coarse),
        transform=(cell, 0, -180, 0, -cell, 90),
    )  # fmt: skip
    warp = Warp(plan, plan.sources[0])
    everything = slice(0, 2 * coarse)
    for start in range(0, 4 * coarse, wide):
        block = slice(start, min(start + wide, 4 * coarse))
        window, places = (
            warp.window(everything, block, (0, 0)),
            warp.places(everything, block, sharp=True),
        )
        taken = {*(places.columns[0] + 1e-10).astype(int).tolist()}
        held = {own for piece in window.columns for own in range(piece.start, piece.stop)}
        assert taken <= held
        assert window.rows.start <= places.rows.min()
        assert places.rows.max() + 1e-10 < window.rows.stop


@pytest.mark.parametrize("method", [Resampling.AVERAGE, Resampling.MINIMUM, Resampling.MAXIMUM])
def test_cells_at_a_pole_take_all_that_lies_under_them(method):
    """On an equal-area cylinder cells there are as tall as a dozen of those in the middle."""
    lat, lon = np.arange(-89.75, 90, 0.5), np.arange(-179.75, 180, 0.5)
    crs = pyproj.CRS("EPSG:6933")
    top, right = 7342230.13649868, 17367530.44516137
    plan = target(
        grid(lat, lon), "EPSG:6933", method, shape=(100, 30),
        transform=(right / 15, 0, -right, 0, -top / 50, top),
    )  # fmt: skip
    values = np.repeat((lat**3).astype(np.float32)[:, None], lon.size, axis=1)
    found = moved(values, ("lat", "lon"), plan, units="K").data
    whole = found.values
    way = pyproj.Transformer.from_crs(crs, "OGC:CRS84", always_xy=True)
    sides = way.transform(np.zeros(101), np.linspace(top - 1e-3, -top + 1e-3, 101))[1]
    for row, (north, south) in enumerate(itertools.pairwise(sides)):
        part = np.clip(np.minimum(lat + 0.25, north) - np.maximum(lat - 0.25, south), 0, None)
        part[part < 1e-7] = 0
        expected = {
            Resampling.AVERAGE: (part * lat**3).sum() / part.sum(),
            Resampling.MINIMUM: (lat**3)[part > 0].min(),
            Resampling.MAXIMUM: (lat**3)[part > 0].max(),
        }[method]
        np.testing.assert_allclose(whole[row], expected, rtol=3e-5, atol=0.2)
        np.testing.assert_array_equal(found[row : row + 1, 3:9].values, whole[row : row + 1, 3:9])


@pytest.mark.parametrize("lon", [
    np.arange(126.75, 128, 0.5), np.arange(-179.0, 172), 359.5 - np.arange(340),
    np.array([-60.0, -58, -50, -49, -20]),
])  # fmt: skip
@pytest.mark.parametrize("centre", [0, 127, 180])
def test_grid_that_does_not_go_round_is_found_from_every_side(lon, centre):
    """A target that begins beside the grid takes its first columns too."""
    lat = np.arange(30.0, 75, 0.9)
    plan = target(
        grid(lat, lon), f"+proj=laea +lat_0=50 +lon_0={centre}", shape=(150, 150),
        transform=(9e4, 0, -6.7e6, 0, -9e4, 6.7e6),
    )  # fmt: skip
    values = np.arange(lat.size * lon.size, dtype=np.int32).reshape(lat.size, lon.size)
    found = moved(values, ("lat", "lon"), plan, _FillValue=-1).data.values
    way = pyproj.Transformer.from_crs(plan.crs, "OGC:CRS84", always_xy=True)
    x, y = way.transform(*np.meshgrid(plan.xs, plan.ys))
    edges = sorted(SourceAxis(lon, turns=True).edges)
    x = edges[0] + (x - edges[0]) % 360
    row, column = np.abs(y[..., None] - lat), np.abs(x[..., None] - lon)
    inside = (x > edges[0] + 1e-6) & (x < edges[1] - 1e-6) & (y > 29.55 + 1e-6) & (y < 75.45 - 0.91)
    expected = np.where(inside, row.argmin(-1) * lon.size + column.argmin(-1), -1)
    ties = [np.abs(np.diff(np.sort(own, -1)[..., :2], axis=-1)[..., 0]) < 1e-6
            for own in (row, column)]  # fmt: skip
    sure = (inside | (x > edges[1] + 1e-6) | (y < 29.5) | (y > 75.5)) & ~ties[0] & ~ties[1]
    assert (expected[sure] >= 0).sum() > 40
    assert np.array_equal(found[sure], expected[sure])


@pytest.mark.parametrize(("crs", "world"), [("EPSG:4326", 360), ("EPSG:3857", 40075016.68557849)])
def test_map_that_runs_on_across_its_edge_holds_what_lies_on_both_sides(crs, world):
    """Of a grid in metres on both sides of the antimeridian."""
    source = SourceGrid(
        ("/y", "/x"), pyproj.CRS("EPSG:32660").to_wkt(), SourceAxis(np.arange(6e5, 8e5, 1e3)),
        SourceAxis(np.arange(5.6e6, 5.8e6, 1e3)),
    )  # fmt: skip
    values = np.arange(200 * 200, dtype=np.float32).reshape(200, 200)
    pixel, left, top = world / 9e3, world / 2 - world / 180, (52.2 if crs == "EPSG:4326" else 6.8e6)
    both = []
    for turn in (0, -world):
        plan = target(source, crs, shape=(40, 90),
                      transform=(pixel, 0, left + turn, 0, -pixel, top))  # fmt: skip
        both.append(moved(values, ("y", "x"), plan, units="K").data.values)
    assert np.isfinite(both[0][:, :20]).any()
    assert np.isfinite(both[0][:, 60:]).any()
    assert np.array_equal(*both, equal_nan=True)


def test_no_cell_is_lost_where_a_datum_has_several_ways_to_another():
    """Over sea and abroad another way may be taken back than there, a hundred metres off."""
    lat, lon = np.arange(20.125, 75, 0.25), np.arange(-100.125, 10, 0.25)
    plan = target(grid(lat, lon), "EPSG:27700", shape=(260, 140),
                  transform=(5000, 0, 0, 0, -5000, 1_300_000))  # fmt: skip
    values = np.arange(lat.size * lon.size, dtype=np.int32).reshape(lat.size, lon.size)
    found = moved(values, ("lat", "lon"), plan, _FillValue=-1).data.values
    way = pyproj.Transformer.from_crs("EPSG:27700", "OGC:CRS84", always_xy=True)
    x, y = way.transform(*np.meshgrid(plan.xs, plan.ys))
    row, column = (y - 20) / 0.25, (x + 100.25) / 0.25
    sure = (np.abs(row - row.round()) > 1e-3) & (np.abs(column - column.round()) > 1e-3)
    assert sure.mean() > 0.99
    expected = np.floor(row).astype(int) * lon.size + np.floor(column).astype(int)
    assert np.array_equal(found[sure], expected[sure])


@pytest.mark.parametrize(("factor", "expected"), [(1, 1.0), (3, 3.0), (0.5, 1.0)])
@pytest.mark.parametrize("lon", [0, 30, 45, 90])
def test_kernels_are_as_wide_as_a_target_cell_however_it_is_turned(lon, factor, expected):
    centres = np.arange(-1e6, 1e6, 1e4)
    source = SourceGrid(("/y", "/x"), pyproj.CRS("+proj=stere +lat_0=90").to_wkt(),
                        SourceAxis(centres), SourceAxis(centres))  # fmt: skip
    cell, half = 1e4 * factor, 3e5 * factor
    plan = target(source, f"+proj=stere +lat_0=90 +lon_0={lon}", shape=(60, 60),
                  transform=(cell, 0, -half, 0, -cell, half))  # fmt: skip
    assert Warp(plan, source).scale == pytest.approx((expected, expected))


def test_kernels_are_no_wider_on_a_slanting_grid():
    """Far from the middle of a sinusoidal map columns run on a slant, and as close together."""
    source = SourceGrid(("/y", "/x"), pyproj.CRS("+proj=sinu +R=6371007.181").to_wkt(),
                        SourceAxis(np.arange(-12.2e6, -11.1e6, 463.0)),
                        SourceAxis(np.arange(6.6e6, 5.5e6, -463.0)))  # fmt: skip
    plan = target(source, "EPSG:4326", shape=(300, 300),
                  transform=(0.0065, 0, -172, 0, -0.0041, 53))  # fmt: skip
    warp = Warp(plan, source)
    assert warp.scale == (1.0, 1.0)
    assert warp.under[1] > 2
