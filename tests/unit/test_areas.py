"""The areas that cells are weighed by, against the Earth's own area and against geodesics."""

import math
from typing import Any

import numpy as np
import pyproj
import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.test_grids import store_of

from harmony_vds.errors import TooLargeError
from harmony_vds.model.areas import Ellipsoid, area_north_of_equator, areas_of_cells
from harmony_vds.model.grid import Axis, AxisKind, Grid, GridKind
from harmony_vds.model.request import Request, Source
from harmony_vds.model.selection import AxisSelection
from harmony_vds.planning.areas import MOST_CELLS, areas_of
from harmony_vds.planning.crs import ellipsoid_of
from harmony_vds.planning.planner import make_plan

EARTH = 510_065_621_724_000.0
"""Square metres of WGS 84's ellipsoid."""
GEOD = pyproj.Geod(ellps="WGS84")


def axis(kind: AxisKind, values: np.ndarray, bounds: np.ndarray | None = None) -> Axis:
    name = "/lat" if kind is AxisKind.Y else "/lon"
    return Axis(name, name, kind, np.asarray(values, float), "degrees", 1e-12, bounds)


def degrees(lat: np.ndarray, lon: np.ndarray, bounds: np.ndarray | None = None) -> Grid:
    return Grid.rectilinear(axis(AxisKind.X, lon), axis(AxisKind.Y, lat, bounds))


def whole(grid: Grid) -> np.ndarray:
    rows, columns = map(AxisSelection.whole, grid.shape)
    return areas_of(grid, rows, columns).of(slice(None), slice(None))


def middles(size: int, start: float, stop: float) -> np.ndarray:
    return start + (stop - start) / size * (np.arange(size) + 0.5)


@pytest.mark.parametrize(
    ("lat", "lon"),
    [
        (middles(180, -90, 90), middles(360, -180, 180)),
        (middles(36, 90, -90), middles(72, 0, 360)),
        (np.linspace(-90, 90, 361), np.arange(-180, 180, 0.625)),  # points at both poles
        (np.linspace(90, -90, 19), np.linspace(0, 360, 37)),  # and at both edges of the map
        (np.linspace(-90, 90, 19), np.linspace(-180, 180, 37)[::-1]),
    ],
)
def test_cells_of_the_whole_earth_have_its_area(lat: np.ndarray, lon: np.ndarray) -> None:
    total = math.fsum(whole(degrees(lat, lon)).ravel())
    assert abs(total / EARTH - 1) < 1e-9


def test_area_to_the_pole_is_half_of_what_pyproj_gives_the_ellipsoid() -> None:
    radius = math.sqrt(EARTH / (4 * math.pi))
    pole = 2 * math.pi * float(area_north_of_equator(np.array(90.0)))
    assert abs(pole / (2 * math.pi * radius**2) - 1) < 1e-9
    # A box of geodesics and meridians only: an octant from the equator to the pole.
    octant, _ = GEOD.polygon_area_perimeter([0, 90, 0], [0, 0, 90])
    assert abs(pole / 4 / octant - 1) < 1e-9


@given(st.floats(-90, 90), st.floats(-90, 90), st.floats(-90, 90))
def test_areas_between_parallels_add_up(a: float, b: float, c: float) -> None:
    ab, bc, ac = (
        float(np.diff(area_north_of_equator(np.array(pair)))[0])
        for pair in ((a, b), (b, c), (a, c))
    )
    assert ab + bc == pytest.approx(ac, abs=1)  # of 4e13 square metres
    assert ac * np.sign(c - a) >= 0


def test_bounds_decide_where_cells_end() -> None:
    bounds = np.array([[0.0, 10.0], [10.0, 40.0]])
    grid = degrees(np.array([5.0, 20.0]), np.array([10.0, 20.0]), bounds)
    low, middle, high = area_north_of_equator(np.array([0.0, 10.0, 40.0]))
    width = math.radians(10)
    expected = [[(middle - low) * width] * 2, [(high - middle) * width] * 2]
    np.testing.assert_allclose(whole(grid), expected, rtol=1e-12)


def test_kept_cells_have_the_areas_that_they_have_among_all() -> None:
    grid = degrees(middles(18, -90, 90), middles(36, -180, 180))
    rows, columns = AxisSelection(18, (range(3, 7),)), AxisSelection(36, (range(30, 36), range(4)))
    own = areas_of(grid, rows, columns).of(slice(1, 3), slice(2, 9))
    expected = whole(grid)[rows.positions][:, columns.positions][1:3, 2:9]
    np.testing.assert_array_equal(own, expected)


def test_a_single_row_or_column_weighs_by_the_other_side_alone() -> None:
    row = whole(degrees(np.array([40.0]), np.array([0.0, 1.0, 3.0, 5.0])))
    assert row.shape == (1, 4)
    np.testing.assert_allclose(row / row[0, 0], [[1, 1.5, 2, 2]])
    column = whole(degrees(np.array([-60.0, 0.0, 60.0]), np.array([7.0])))
    assert column[1, 0] > column[0, 0] > 0
    assert whole(degrees(np.array([1.0]), np.array([2.0]))).tolist() == [[1.0]]


def projected(crs: str, x: np.ndarray, y: np.ndarray) -> Grid:
    wkt = pyproj.CRS(crs).to_wkt()
    return Grid(GridKind.PROJECTED, axis(AxisKind.X, x), axis(AxisKind.Y, y), ("/y", "/x"), wkt)


@pytest.mark.parametrize(
    ("crs", "cell", "x", "y"),
    [
        ("EPSG:3413", 25_000, -3_837_500, 5_837_500),  # polar stereographic, with the pole
        ("EPSG:3031", 12_500, -2_000_000, 1_500_000),
        ("EPSG:6931", 36_000, -2_000_000, 1_900_000),  # EASE-2, north
        ("EPSG:32633", 30, 500_000, 5_500_000),
    ],
)
def test_projected_cells_have_the_areas_of_their_geodesics(
    crs: str, cell: float, x: float, y: float
) -> None:
    grid = projected(crs, x + cell * np.arange(40), y - cell * np.arange(30))
    found = whole(grid)
    back = pyproj.Transformer.from_crs(crs, 4326, always_xy=True)
    for row, column in ((0, 0), (7, 31), (29, 39), (15, 20)):
        left, top = x + cell * (column - 0.5), y - cell * (row - 0.5)
        ring = back.transform([left, left + cell, left + cell, left],
                              [top, top, top - cell, top - cell])  # fmt: skip
        exact = abs(GEOD.polygon_area_perimeter(*ring)[0])
        assert found[row, column] == pytest.approx(exact, rel=1e-7)


def test_cells_of_an_equal_area_grid_weigh_the_same_at_the_pole_and_on_the_equator() -> None:
    cell = 36_032.22
    grid = projected("EPSG:6933", cell * np.arange(4), cell * np.arange(-202, 203))
    areas = whole(grid)
    np.testing.assert_allclose(areas[5:-5] / cell**2, 1, rtol=1e-5)


def test_cell_around_the_pole_and_across_the_antimeridian_has_its_area() -> None:
    longitudes = np.array([[-135.0, 135.0], [-45.0, 45.0]])
    latitudes = np.full((2, 2), 89.0)
    cap = 2 * math.pi * float(np.diff(area_north_of_equator(np.array([89.0, 90.0])))[0])
    square = areas_of_cells(longitudes, latitudes)[0, 0]  # within the circle
    assert square / cap == pytest.approx(2 / math.pi, rel=1e-3)
    seam = areas_of_cells(np.array([[179.0, -179.0]] * 2), np.array([[0.0] * 2, [1.0] * 2]))
    plain = areas_of_cells(np.array([[9.0, 11.0]] * 2), np.array([[0.0] * 2, [1.0] * 2]))
    np.testing.assert_allclose(seam, plain, rtol=1e-12)


def test_curvilinear_cells_of_a_regular_grid_weigh_as_on_parallels_and_meridians() -> None:
    lat, lon = middles(30, 30, 60), middles(40, -20, 20)
    across, down = np.meshgrid(lon, lat)
    x, y = (
        Axis(f"/{kind}", "", kind, own, "degrees", 1e-12)
        for kind, own in ((AxisKind.X, across), (AxisKind.Y, down))
    )
    found = whole(Grid(GridKind.CURVILINEAR, x, y, ("/rows", "/columns")))
    expected = whole(degrees(lat, lon))
    np.testing.assert_allclose(found, expected, rtol=2e-4)  # corners are middles of four centres


def test_cell_without_a_place_has_no_area() -> None:
    longitudes, latitudes = np.meshgrid(np.arange(3.0), np.arange(3.0))
    latitudes[0, 0] = np.nan
    assert np.isnan(areas_of_cells(longitudes, latitudes)).tolist() == [[True, False], [False] * 2]


def test_more_cells_than_are_held_are_refused_with_their_number() -> None:
    side = math.isqrt(MOST_CELLS) + 1
    grid = projected("EPSG:32633", np.arange(side) * 30.0, np.arange(side) * 30.0)
    kept = AxisSelection.whole(side)
    with pytest.raises(TooLargeError, match=f"{side * side:,} cells.*smaller box"):
        areas_of(grid, kept, kept)


SPHERES = {"mapped sphere": 6_371_229.0, "of MODIS": 6_371_007.181}


@pytest.mark.parametrize("radius", SPHERES.values(), ids=SPHERES)
def test_on_a_sphere_areas_are_those_of_its_zones(radius: float) -> None:
    grid = degrees(middles(18, -90, 90), middles(36, -180, 180))
    rows, columns = map(AxisSelection.whole, grid.shape)
    found = areas_of(grid, rows, columns, Ellipsoid(radius, 0.0)).of(slice(None), slice(None))
    zones = np.diff(np.sin(np.radians(np.linspace(-90, 90, 19))))
    expected = np.broadcast_to((zones * radius**2 * math.radians(10))[:, None], found.shape)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("crs", "cell"),
    [("+proj=sinu +R=6371007.181", 926.625433), ("+proj=laea +lat_0=60 +R=6370997", 5_000.0),
     ("+proj=cea +lat_ts=30 +ellps=clrk66", 25_067.525)],
    ids=["sinusoidal", "LAEA", "cylindrical on Clarke 1866"],
)  # fmt: skip
def test_cells_of_equal_area_grids_are_equal_on_their_own_ellipsoid(crs: str, cell: float) -> None:
    grid = projected(crs, cell * np.arange(10, 40), cell * np.arange(30, 0, -1))
    ellipsoid = ellipsoid_of(grid.crs)
    assert ellipsoid is not None
    rows, columns = map(AxisSelection.whole, grid.shape)
    found = areas_of(grid, rows, columns, ellipsoid).of(slice(None), slice(None))
    np.testing.assert_allclose(found / cell**2, 1, rtol=2e-6)
    assert np.ptp(found) < 2e-6 * cell**2


@pytest.mark.parametrize(
    ("mapping", "ellipsoid"),
    [({"grid_mapping_name": "latitude_longitude", "earth_radius": 6_371_229.0},
      Ellipsoid(6_371_229.0, 0.0)),
     ({"grid_mapping_name": "latitude_longitude", "semi_major_axis": 6_378_206.4,
       "inverse_flattening": 294.9786982}, Ellipsoid(6_378_206.4, 1 / 294.9786982)),
     (None, Ellipsoid(6_378_137.0, 1 / 298.257223563))],
    ids=["a sphere", "Clarke 1866", "not stated: WGS 84"],
)  # fmt: skip
def test_average_weighs_by_the_ellipsoid_of_the_grid_mapping(
    mapping: dict[str, Any] | None, ellipsoid: Ellipsoid
) -> None:
    lat, lon = middles(18, -90, 90), middles(36, -180, 180)
    variables = {
        "lat": (("lat",), lat, {"units": "degrees_north"}),
        "lon": (("lon",), lon, {"units": "degrees_east"}),
        "t": (("lat", "lon"), np.zeros((18, 36)), {"grid_mapping": "crs"} if mapping else {}),
    }
    if mapping:
        variables["crs"] = ((), np.int32(0), mapping)
    store = store_of({"/": variables})
    request = Request((Source("", "S", variables=("t",)),), average="area")
    plan = make_plan(store, request, request.sources[0])
    assert plan.average is not None
    own = plan.average.areas[0].of(slice(None), slice(None))
    rows, columns = (AxisSelection.whole(n) for n in (18, 36))
    expected = areas_of(degrees(lat, lon), rows, columns, ellipsoid).of(slice(None), slice(None))
    np.testing.assert_allclose(own, expected, rtol=1e-12)
    told = [note for note in plan.notes if "weighed by their areas on" in note]
    assert len(told) == (mapping is not None)
