"""Which cell answers for a place: compared with every cell of the grid, one by one."""

import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import CRS, Geod, Transformer

from harmony_vds.errors import NoDataError, RequestError
from harmony_vds.model.extent import BoundingBox
from harmony_vds.model.grid import Axis, AxisKind, Grid, GridKind
from harmony_vds.model.places import Place
from harmony_vds.model.request import Request
from harmony_vds.planning.nearest import nearest_cells, nearest_words
from harmony_vds.planning.placing import place_on

STARTS = {"-180": -180.0, "0": 0.0, "20": 20.0, "180": 180.0}


def axis(kind: AxisKind, values: np.ndarray) -> Axis:
    name = {"X": "lon", "Y": "lat"}[kind]
    return Axis(f"/{name}", f"/{name}", kind, values, "degrees", 1e-12)


def grid(lat: np.ndarray, lon: np.ndarray) -> Grid:
    return Grid.rectilinear(
        axis(AxisKind.X, np.asarray(lon, float)), axis(AxisKind.Y, np.asarray(lat, float))
    )


def haversine(lon: float, lat: float, lon2: float, lat2: float) -> float:
    phi, phi2 = math.radians(lat), math.radians(lat2)
    half = math.sin(math.radians(lon2 - lon) / 2) ** 2
    chord = math.sin((phi2 - phi) / 2) ** 2 + math.cos(phi) * math.cos(phi2) * half
    return 2 * 6371.0088 * math.asin(min(1.0, math.sqrt(chord)))


def nearest_holding_cell(lat, lon, width, height, place) -> float:
    """The least distance to the centre of a cell that contains or touches the place."""
    distances = []
    for y in lat:
        for x in lon:
            across = (place.longitude - x + 180) % 360 - 180
            if (
                abs(place.latitude - y) <= height / 2 + 1e-9
                and abs(abs(across) - 360 * (abs(across) > 180)) <= width / 2 + 1e-9
            ):
                distances.append(haversine(place.longitude, place.latitude, x, y))
    return min(distances)


@settings(max_examples=150, deadline=None)
@given(
    turned=st.tuples(st.booleans(), st.booleans()),
    size=st.sampled_from([(6, 8), (9, 12), (12, 20), (6, 20)]),
    start=st.sampled_from(sorted(STARTS)),
    longitude=st.one_of(st.floats(-360, 360), st.sampled_from([-180.0, 180.0, 0.0, 360.0, 179.99])),
    latitude=st.one_of(st.floats(-90, 90), st.sampled_from([-90.0, 90.0, 0.0])),
)
def test_cell_is_the_nearest_of_those_that_hold_the_place_in_every_convention(
    turned, size, start, longitude, latitude
):
    (north_up, westward), (rows, columns) = turned, size
    height, width = 180 / rows, 360 / columns
    lat = -90 + height * (np.arange(rows) + 0.5)
    lon = STARTS[start] + width * (np.arange(columns) + 0.5)
    lat, lon = lat[::-1] if north_up else lat, lon[::-1] if westward else lon
    place = Place(longitude, latitude)
    found = nearest_cells(grid(lat, lon), [place])
    row, column = found.positions[:, 0]
    assert found.inside.all()
    distance = haversine(longitude, latitude, lon[column], lat[row])
    assert found.distances[0] == pytest.approx(distance, abs=1e-6)
    assert distance == pytest.approx(nearest_holding_cell(lat, lon, width, height, place), abs=1e-5)
    assert (found.longitudes[0], found.latitudes[0]) == (lon[column], lat[row])


@settings(max_examples=100, deadline=None)
@given(st.floats(-179, 179), st.floats(-75, 75))
def test_on_fine_grids_away_from_the_poles_it_is_the_nearest_of_all_cells(longitude, latitude):
    lat, lon = np.arange(-89.75, 90, 0.5), np.arange(-179.75, 180, 0.5)
    found = nearest_cells(grid(lat, lon), [Place(longitude, latitude)])
    x, y = np.meshgrid(np.radians(lon), np.radians(lat))
    phi = math.radians(latitude)
    towards = np.sin(y) * math.sin(phi) + np.cos(y) * math.cos(phi) * np.cos(
        x - math.radians(longitude)
    )
    away = np.degrees(np.arccos(np.clip(towards, -1, 1)))
    edge = min(abs((longitude / 0.5) % 1), abs((latitude / 0.5) % 1), 0.5)
    row, column = found.positions[:, 0]
    assert away[row, column] <= away.min() + (0.05 if edge else 0.5)


def test_place_on_an_edge_is_answered_by_the_southern_and_western_cell():
    found = nearest_cells(grid([-0.5, 0.5], [9.5, 10.5]), [Place(10.0, 0.0)])
    assert found.positions.ravel().tolist() == [0, 0]
    turned_over = nearest_cells(grid([0.5, -0.5], [10.5, 9.5]), [Place(10.0, 0.0)])
    assert turned_over.positions.ravel().tolist() == [1, 1]


@pytest.mark.parametrize(
    "place, inside",
    [
        ((19.4, 5.0), True), ((18.9, 5.0), True), ((17.9, 5.0), False), ((31.1, 5.0), True),
        ((32.1, 5.0), False), ((25.0, -1.1), True), ((25.0, -2.6), False), ((-155.0, 5.0), False),
        ((385.0, 5.0), True),
    ],
)  # fmt: skip
def test_places_up_to_one_cell_outside_are_answered(place, inside):
    own = grid(np.arange(0, 10, 1.0), np.arange(20, 31, 1.0))
    assert nearest_cells(own, [Place(*place)]).inside.tolist() == [inside]


def test_rows_and_columns_without_coordinates_answer_for_nothing():
    lat, lon = np.arange(0.0, 10), np.arange(20.0, 31)
    lat[4] = lon[3] = np.nan
    found = nearest_cells(grid(lat, lon), [Place(23.1, 4.2), Place(26.0, 7.0)])
    assert found.positions.T.tolist() == [[5, 4], [7, 6]]
    assert found.inside.tolist() == [True, True]


def test_outside_of_the_grid_the_refusal_names_extent_and_nearest_cell():
    own = grid(np.arange(0, 10, 1.0), np.arange(20, 31, 1.0))
    with pytest.raises(NoDataError) as caught:
        place_on(own, [Place(-100.0, 50.0, "buoy")])
    text = str(caught.value)
    assert "buoy (-100, 50)" in text
    assert "[19.5, -0.5, 30.5, 9.5]" in text
    assert "(20, 9)" in text


def test_some_places_outside_are_left_out_and_said_so():
    own = grid(np.arange(0, 10, 1.0), np.arange(20, 31, 1.0))
    placed = place_on(own, [Place(25, 5), Place(-100.0, 50.0), Place(21, 3, "b")])
    assert [place.name for place in placed.placement.places] == ["place 1", "b"]
    assert "place 2 (-100, 50)" in placed.notes[0]


@pytest.mark.parametrize("place", [(0, 91), (0, -90.5), (math.nan, 0), (0, math.inf), (721, 0)])
def test_places_nowhere_on_the_earth_are_refused(place):
    with pytest.raises(RequestError):
        Place(*place)


POLAR = CRS.from_epsg(3413)
EASE = CRS.from_epsg(6933)
ROTATED = CRS.from_cf({
    "grid_mapping_name": "rotated_latitude_longitude", "grid_north_pole_latitude": 39.25,
    "grid_north_pole_longitude": -162.0})  # fmt: skip
GEOSTATIONARY = CRS.from_cf({
    "grid_mapping_name": "geostationary", "perspective_point_height": 35786023.0,
    "semi_major_axis": 6378137.0, "semi_minor_axis": 6356752.31414,
    "longitude_of_projection_origin": -75.0, "sweep_angle_axis": "x"})  # fmt: skip
MAPS = {
    "polar": (POLAR, np.linspace(-3e6, 3e6, 25), np.linspace(3e6, -3e6, 21)),
    "ease": (EASE, np.linspace(-1.7e7, 1.7e7, 40), np.linspace(7e6, -7e6, 20)),
    "rotated": (ROTATED, np.linspace(-20, 20, 21), np.linspace(-15, 15, 16)),
    "geostationary": (
        GEOSTATIONARY, np.linspace(-5.2e6, 5.2e6, 31), np.linspace(5.2e6, -5.2e6, 31)),
}  # fmt: skip


def mapped(name: str) -> Grid:
    crs, x, y = MAPS[name]
    return Grid(GridKind.PROJECTED, axis(AxisKind.X, x), axis(AxisKind.Y, y), ("/y", "/x"),
                crs.to_wkt())  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(MAPS)), st.floats(-180, 180), st.floats(-90, 90))
def test_on_a_map_it_is_the_cell_within_whose_edges_the_place_lies(name, longitude, latitude):
    crs, x, y = MAPS[name]
    east, north = Transformer.from_crs(4326, crs, always_xy=True).transform(longitude, latitude)
    column, row = np.abs(x - east).argmin(), np.abs(y - north).argmin()
    off = np.array(
        [abs(x[column] - east) / abs(x[1] - x[0]), abs(y[row] - north) / abs(y[1] - y[0])]
    )
    off = np.nan_to_num(off, nan=9.0, posinf=9.0)
    found = nearest_cells(mapped(name), [Place(longitude, latitude)])
    back = Transformer.from_crs(crs, 4326, always_xy=True)
    if (off > 1.51).any():
        assert not found.inside[0]
    elif (off < 0.499).all():
        lon, lat = back.transform(x[column], y[row])
        if not np.isfinite(lon):
            return  # the edge of the visible disk
        assert found.inside[0]
        assert found.positions[:, 0].tolist() == [row, column]
        assert found.distances[0] == pytest.approx(
            haversine(longitude, latitude, lon, lat), abs=1e-5
        )


def curved(rows: int = 30, columns: int = 20) -> Grid:
    """A swath across the antimeridian and the pole, some of its places missing."""
    along, across = np.mgrid[0:rows, 0:columns]
    x, y = (across - columns / 2) * 1e5, (along - rows / 2) * 1.2e5
    lon, lat = Transformer.from_crs(3413, 4326, always_xy=True).transform(x + 2e4 * along, y)
    lon[3], lat[3] = np.nan, np.nan
    own = [Axis(f"/{n}", "", k, v, "degrees", 1e-12)
           for n, k, v in (("lon", AxisKind.X, lon), ("lat", AxisKind.Y, lat))]  # fmt: skip
    return Grid(GridKind.CURVILINEAR, own[0], own[1], ("/y", "/x"))


@settings(max_examples=60, deadline=None)
@given(st.floats(-180, 180), st.floats(60, 90))
def test_of_a_curvilinear_grid_it_is_the_nearest_of_all_centres(longitude, latitude):
    grid = curved()
    found = nearest_cells(grid, [Place(longitude, latitude), Place(0, -80)])
    distances = np.full(grid.shape, np.inf)
    for at in np.ndindex(grid.shape):
        if np.isfinite(grid.x.values[at]):
            distances[at] = haversine(longitude, latitude, grid.x.values[at], grid.y.values[at])
    row, column = found.positions[:, 0]
    assert distances[row, column] == pytest.approx(distances.min(), abs=1e-3)
    assert found.distances[0] == pytest.approx(distances.min(), abs=1e-3)
    assert found.inside.tolist() in ([distances.min() < 1.5 * 160, False], [True, False])
    assert not found.inside[1]


def test_of_a_track_it_is_the_nearest_position():
    turns = np.linspace(0, 2 * np.pi, 400)
    lon, lat = np.degrees(turns) - 180, 60 * np.sin(turns)
    own = [Axis(f"/{n}", "/n", k, v, "degrees", 1e-12)
           for n, k, v in (("lon", AxisKind.X, lon), ("lat", AxisKind.Y, lat))]  # fmt: skip
    grid = Grid(GridKind.TRACK, own[0], own[1], ("/n",))
    places = [Place(float(lon[n]) + 0.1, float(lat[n])) for n in (10, 200, 399)] + [Place(-90, 80)]
    found = nearest_cells(grid, places)
    for number, place in enumerate(places):
        distances = [
            haversine(place.longitude, place.latitude, x, y) for x, y in zip(lon, lat, strict=True)
        ]
        assert found.distances[number] == pytest.approx(min(distances), abs=1e-3)
    assert found.positions.shape == (1, 4)
    assert found.inside.tolist() == [True, True, True, False]


def test_a_box_beside_the_grid_is_told_the_nearest_cell_and_how_far_it_is() -> None:
    grid = Grid.rectilinear(
        *(
            Axis(f"/{name}", f"/{name}", kind, np.arange(0.0, 20.0, 2.0), "degrees", 1e-9)
            for name, kind in (("lon", AxisKind.X), ("lat", AxisKind.Y))
        )
    )
    beside = Request((), bbox=BoundingBox(370, -20, 374, -16))
    assert nearest_words([grid], beside).startswith(
        "; the nearest cell is at longitude 12, latitude 0, 2,002 km"  # 18 degrees
    )
    assert nearest_words([], beside) == nearest_words([grid], Request(())) == ""


@pytest.mark.parametrize(
    ("crs", "x", "y", "box"),
    [
        (3413, np.arange(-3e6, 3e6, 50e3), np.arange(3e6, -3e6, -50e3), (100, -40, 104, -36)),
        (3413, np.arange(-3e6, -1e6, 3e3), np.arange(-1e6, -3e6, -3e3), (0, 60, 4, 62)),
        (32633, np.arange(4e5, 5e5, 1e3), np.arange(5.1e6, 5e6, -1e3), (-170, -50, -168, -48)),
    ],
    ids=["around the pole", "more cells than are all looked at", "behind the Earth"],
)  # fmt: skip
def test_a_box_beside_a_map_is_told_the_nearest_of_its_cells(
    crs: int, x: np.ndarray, y: np.ndarray, box: tuple[float, ...]
) -> None:
    """Against all cells, by distances on the sphere; the map may not show the box at all."""
    grid = Grid(
        GridKind.PROJECTED,
        *(
            Axis(f"/{name}", f"/{name}", kind, values, "m", 1e-9)
            for name, kind, values in (("x", AxisKind.X, x), ("y", AxisKind.Y, y))
        ),
        ("/y", "/x"),
        CRS.from_epsg(crs).to_wkt(),
    )
    told = nearest_words([grid], Request((), bbox=BoundingBox(*box)))
    numbers = re.fullmatch(
        r"; the nearest cell is at longitude (\S+), latitude (\S+), (\S+) km from its middle", told
    )
    assert numbers is not None
    back = Transformer.from_crs(crs, 4326, always_xy=True)
    lon, lat = back.transform(*np.meshgrid(x, y))
    middle = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
    own = (np.full(lon.shape, side) for side in middle)
    away = Geod(a=6_371_008.8, f=0.0).inv(*own, lon, lat)[2] / 1000
    assert float(numbers[3].replace(",", "")) == pytest.approx(away.min(), abs=1)
    at = np.unravel_index(away.argmin(), away.shape)
    assert float(numbers[1]) == pytest.approx(lon[at], abs=1e-3)
    assert float(numbers[2]) == pytest.approx(lat[at], abs=1e-3)
