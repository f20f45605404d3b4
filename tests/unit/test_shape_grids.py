"""Shapes on projected and curvilinear grids and along tracks, cell by cell.

Where a cell's centre lies is worked out by pyproj, and whether a shape holds it by shapely, one
point at a time.
"""

import numpy as np
import pytest
import shapely
from planar import shape
from pyproj import CRS, Transformer
from shapely import LineString, MultiPolygon, Point, Polygon, box

from harmony_vds.model.extent import BoundingBox
from harmony_vds.model.grid import Axis, AxisKind, Grid, GridKind
from harmony_vds.planning.boxes import cells_in_box
from harmony_vds.planning.cells import Cells
from harmony_vds.planning.shapes import cells_in_shape
from harmony_vds.planning.within import inside

ALASKA = Polygon([(-160, 60), (-140, 58), (-141, 70), (-165, 68)])
FIJI = MultiPolygon([box(176, -19, 180, -15), box(-180, -19, -178, -15)])
ARCTIC = box(-180, 70, 180, 90)


def axis(kind: AxisKind, values: np.ndarray, dimension: str, resolution: float = 0.0) -> Axis:
    return Axis(f"/{kind}", dimension, kind, np.asarray(values, float), "m", resolution)


def projected(crs: str, x: np.ndarray, y: np.ndarray) -> Grid:
    return Grid(
        GridKind.PROJECTED, axis(AxisKind.X, x, "/x"), axis(AxisKind.Y, y, "/y"), ("/y", "/x"),
        CRS.from_user_input(crs).to_wkt(),
    )  # fmt: skip


def stored(kind: GridKind, x: np.ndarray, y: np.ndarray) -> Grid:
    dimensions = ("/n",) if x.ndim == 1 else ("/scan", "/pixel") if x.ndim == 2 else (
        "/swath", "/scan", "/pixel")  # fmt: skip
    return Grid(kind, axis(AxisKind.X, x, ""), axis(AxisKind.Y, y, ""), dimensions)


def whole(own: Grid, found: Cells) -> np.ndarray:
    """Which cells of the grid are kept."""
    inside = np.zeros(own.shape, bool)
    inside[tuple(slice(a, a + n) for a, n in zip(found.first, found.inside.shape, strict=True))] = (
        found.inside
    )
    return inside


POLAR = projected("EPSG:6931", np.arange(-4.4e6, 4.5e6, 2e5), np.arange(4.4e6, -4.5e6, -2e5))
EASE = projected("EPSG:6933", np.linspace(-17e6, 17e6, 171), np.linspace(7e6, -7e6, 71))
UTM = projected("EPSG:32606", 3e5 + 5e3 * np.arange(60), 6.9e6 - 5e3 * np.arange(50))
GOES = projected(
    "+proj=geos +h=35786023 +lon_0=-137 +sweep=x +a=6378137 +b=6356752.31414",
    np.linspace(-5.4e6, 5.4e6, 109), np.linspace(5.4e6, -5.4e6, 109),
)  # fmt: skip


def by_hand(own: Grid, geometry: shapely.Geometry) -> np.ndarray:
    """The cells whose centres lie in the geometry, centre by centre."""
    if own.kind is GridKind.PROJECTED:
        transformer = Transformer.from_crs(own.crs, "EPSG:4326", always_xy=True)
        x, y = transformer.transform(*np.meshgrid(own.x.values, own.y.values))
    else:
        x, y = own.x.values, own.y.values
    found = np.zeros(np.shape(x), bool)
    for place in np.ndindex(found.shape):
        if np.isfinite(x[place]):
            found[place] = geometry.intersects(Point((x[place] + 180) % 360 - 180, y[place]))
    return found


@pytest.mark.parametrize("own", [POLAR, EASE, UTM, GOES], ids=["polar", "ease", "utm", "goes"])
@pytest.mark.parametrize("geometry", [ALASKA, FIJI, ARCTIC], ids=["alaska", "fiji", "arctic"])
def test_cells_of_a_projected_grid_are_those_whose_centres_are_inside(
    own: Grid, geometry: shapely.Geometry
) -> None:
    expected = by_hand(own, geometry)
    if expected.any():
        found = whole(own, cells_in_shape(own, shape(geometry)))
        assert np.array_equal(found, expected)
        rows, columns = np.arange(own.shape[0])[::3], np.arange(own.shape[1])[::-2]
        part = inside(own, rows, columns, geometry).flags
        assert np.array_equal(part, expected[np.ix_(rows, columns)])


def test_every_grid_above_meets_some_of_the_shapes() -> None:
    met = [[by_hand(own, g).any() for g in (ALASKA, FIJI, ARCTIC)] for own in (POLAR, EASE, UTM)]
    assert met == [[True, False, True], [True, True, True], [True, False, False]]
    assert by_hand(GOES, ALASKA).any()
    assert by_hand(GOES, FIJI).any()


@pytest.mark.parametrize("own", [POLAR, EASE, UTM], ids=["polar", "ease", "utm"])
def test_point_takes_the_cell_of_a_projected_grid_that_it_lies_in(own: Grid) -> None:
    transformer = Transformer.from_crs("EPSG:4326", own.crs, always_xy=True)
    for place in ((-150.3, 61.7), (-148.1, 61.1)):
        x, y = transformer.transform(*place)
        expected = (np.abs(own.y.values - y).argmin(), np.abs(own.x.values - x).argmin())
        for drawn in (Point(place), Point(place).buffer(5e-5, 1)):
            found = np.argwhere(whole(own, cells_in_shape(own, shape(drawn))))
            assert found.tolist() == [list(expected)]


def test_line_takes_every_cell_of_a_projected_grid_that_it_passes_through() -> None:
    line = LineString([(-149.5, 61.0), (-147.0, 61.9)])
    transformer = Transformer.from_crs("EPSG:4326", UTM.crs, always_xy=True)
    along = np.linspace(0, 1, 100_001)
    x, y = transformer.transform(-149.5 + 2.5 * along, 61.0 + 0.9 * along)
    rows = np.round((6.9e6 - y) / 5e3).astype(int)
    columns = np.round((x - 3e5) / 5e3).astype(int)
    on = (rows >= 0) & (rows < 50) & (columns >= 0) & (columns < 60)
    expected = set(zip(rows[on].tolist(), columns[on].tolist(), strict=True))
    for drawn in (line, line.buffer(5e-5, cap_style="flat")):
        found = {
            tuple(own)
            for own in np.argwhere(whole(UTM, cells_in_shape(UTM, shape(drawn)))).tolist()
        }
        assert expected <= found
        assert len(found) <= len(expected) + 2  # corners that the samples step over
    assert len(expected) > 25


def test_pole_is_in_the_cells_of_a_polar_grid_around_it() -> None:
    found = np.argwhere(whole(POLAR, cells_in_shape(POLAR, shape(Point(33, 90)))))
    middle = POLAR.shape[0] // 2
    assert found.tolist() == [[middle, middle]]
    cap = whole(POLAR, cells_in_shape(POLAR, shape(box(-180, 89, 180, 90))))
    assert cap[middle, middle]


def test_place_that_a_projection_does_not_show_is_in_no_cell() -> None:
    for own, place in ((GOES, Point(40, 0)), (UTM, Point(31, -61)), (POLAR, Point(0, -89))):
        assert cells_in_shape(own, shape(place)).is_empty
        assert cells_in_shape(own, shape(place.buffer(1))).is_empty


def test_each_small_island_takes_its_cell_of_a_projected_grid() -> None:
    islands = MultiPolygon([Point(x, y).buffer(0.001) for x, y in ((-149, 61.5), (-148, 61.2))])
    assert (
        whole(UTM, cells_in_shape(UTM, shape(ALASKA, islands))).sum() >= by_hand(UTM, ALASKA).sum()
    )
    assert cells_in_shape(UTM, shape(islands)).inside.sum() == 2


def swath(turn: float = 0.0) -> Grid:
    """A swath that runs from south-east to north-west across the antimeridian."""
    along, across = np.meshgrid(np.linspace(0, 1, 60), np.linspace(-1, 1, 25), indexing="ij")
    x = 190 - 30 * along + 9 * across + turn
    y = -40 + 75 * along + 4 * across
    return stored(GridKind.CURVILINEAR, (x + 180) % 360 - 180, y)


@pytest.mark.parametrize("geometry", [
    FIJI, Polygon([(170, -10), (175, 20), (160, 15)]), box(-180, -90, 180, 90)])  # fmt: skip
def test_cells_of_a_swath_are_those_whose_centres_are_inside(geometry: shapely.Geometry) -> None:
    own = swath()
    expected = by_hand(own, geometry)
    assert expected.any()
    assert np.array_equal(whole(own, cells_in_shape(own, shape(geometry))), expected)


def test_swath_with_missing_places_keeps_none_of_them() -> None:
    own = swath()
    own.x.values[10:20, 3:9] = np.nan
    found = whole(own, cells_in_shape(own, shape(box(-180, -90, 180, 90))))
    assert np.array_equal(found, np.isfinite(own.x.values))


@pytest.mark.parametrize("place", [(30, 12), (1, 1), (58, 23), (20, 5)])
def test_point_beside_a_centre_of_a_swath_takes_its_cell(place: tuple[int, int]) -> None:
    own = swath()
    x, y = own.x.values[place] + 0.02, own.y.values[place] - 0.02
    for drawn in (Point(x, y), Point(x, y).buffer(5e-5, 1), Point(x, y).buffer(0.01)):
        found = np.argwhere(whole(own, cells_in_shape(own, shape(drawn))))
        assert found.tolist() == [list(place)]


def test_point_between_four_centres_of_a_swath_takes_few_cells() -> None:
    own = swath()
    x, y = own.x.values[30:32, 12:14].mean(), own.y.values[30:32, 12:14].mean()
    found = whole(own, cells_in_shape(own, shape(Point(x, y).buffer(5e-3))))
    assert found[30:32, 12:14].all()
    assert found.sum() == 4


def test_line_across_a_swath_and_the_antimeridian_takes_cells_without_a_gap() -> None:
    own = swath()
    line = shapely.MultiLineString([[(170, -10), (180, -8)], [(-180, -8), (-172, -7)]])
    found = whole(own, cells_in_shape(own, shape(line)))
    columns = np.nonzero(found)[1]
    assert set(range(columns.min(), columns.max() + 1)) == set(columns.tolist())
    assert (columns.max() - columns.min()) > 15
    x = own.x.values[found] % 360
    assert (np.abs(own.y.values[found] - np.interp(x, [170, 180, 188], [-10, -8, -7])) < 1.5).all()


def test_swath_over_the_pole_keeps_the_cells_around_it() -> None:
    x, y = np.meshgrid(np.linspace(-5e5, 5e5, 21), np.linspace(-5e5, 5e5, 21))
    transformer = Transformer.from_crs("EPSG:6931", "EPSG:4326", always_xy=True)
    own = stored(GridKind.CURVILINEAR, *transformer.transform(x, y))
    cap = box(-180, 88, 180, 90)
    expected = by_hand(own, cap) | (own.y.values >= 90 - 1e-9)
    assert np.array_equal(whole(own, cells_in_shape(own, shape(cap))), expected)
    assert whole(own, cells_in_shape(own, shape(Point(120, 89.999))))[10, 10]


def test_positions_of_a_track_are_in_by_themselves_alone() -> None:
    t = np.linspace(0, 1, 500)
    own = stored(GridKind.TRACK, 156 + 60 * t - 360 * (156 + 60 * t > 180), -60 + 120 * t)
    expected = by_hand(own, FIJI)
    assert expected.any()
    assert np.array_equal(whole(own, cells_in_shape(own, shape(FIJI))), expected)
    rows = np.arange(500)[::-3]
    assert np.array_equal(inside(own, rows, np.empty(0, int), FIJI).flags[:, 0], expected[rows])
    assert cells_in_shape(own, shape(Point(156.05, -59.9))).is_empty


def test_swaths_one_after_another_are_cut_each() -> None:
    one, other = swath(), swath(5.0)
    both = stored(
        GridKind.CURVILINEAR, np.stack([one.x.values, other.x.values]),
        np.stack([one.y.values, other.y.values]),
    )  # fmt: skip
    found = whole(both, cells_in_shape(both, shape(FIJI)))
    assert np.array_equal(found, np.stack([by_hand(one, FIJI), by_hand(other, FIJI)]))


@pytest.mark.parametrize("own", [POLAR, EASE, UTM, swath()])
def test_area_like_a_box_holds_the_cells_of_the_box(own: Grid) -> None:
    west, south, east, north = (-163.0, 58.0, -139.0, 71.0) if own.kind is GridKind.PROJECTED else (
        165.0, -20.0, 177.0, 9.0)  # fmt: skip
    found = whole(own, cells_in_shape(own, shape(box(west, south, east, north))))
    assert np.array_equal(
        found, whole(own, cells_in_box(own, BoundingBox(west, south, east, north)))
    )
