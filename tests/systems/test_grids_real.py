"""Boxes on real granules of every kind of grid, against places worked out apart from the service.

What a file holds is read with h5py or netCDF4. Where its cells are follows from the formulas of
the projection where these are short, from pyproj by the code or string of the reference system
where not, and from the file where it keeps latitudes and longitudes.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import h5py
import netCDF4
import numpy as np
import pytest
from systems.kits import Answer, ask, described, raw, request, same_bits, services, write_store
from systems.places import check_cut, inside, on_plane, stored, window
from world import kerchunk_references, write_references

from harmony_vds.errors import NoDataError, UncutBoxError
from harmony_vds.model.extent import BoundingBox, TimeRange

pytestmark = pytest.mark.shared

type Places = Callable[[Path], tuple[np.ndarray, np.ndarray]]
"""Longitudes and latitudes of the cells of a granule."""


@dataclass(frozen=True)
class Case:
    """A granule, one of its variables, where its cells are, and boxes."""

    pattern: str
    variable: str
    places: Places
    boxes: tuple[tuple[float, float, float, float], ...]
    fill: Any = None
    """What must stand in cells outside; None: what the file declares."""


def plane(crs: object, x: str = "x", y: str = "y") -> Places:
    return lambda path: on_plane(crs, h5(path, x), h5(path, y))


def h5(path: Path, name: str) -> np.ndarray:
    with h5py.File(path) as file:
        return file[name][...]


def sinusoidal(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """x = R λ cos φ, y = R φ, on a sphere."""
    x, y = np.meshgrid(h5(path, "x"), h5(path, "y"))
    latitudes = np.degrees(y / 6371007.181)
    longitudes = np.degrees(x / 6371007.181 / np.cos(np.radians(latitudes)))
    return np.where(np.abs(longitudes) <= 180, longitudes, np.nan), latitudes


def geostationary(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """By the GOES-R Product Definition and Users' Guide, section 5.1.2.8.1."""
    x, y = np.meshgrid(stored(path, "x"), stored(path, "y"))
    req, rpol, height, origin = 6378137.0, 6356752.31414, 35786023.0 + 6378137.0, -75.0
    a = np.sin(x) ** 2 + np.cos(x) ** 2 * (np.cos(y) ** 2 + (req / rpol) ** 2 * np.sin(y) ** 2)
    b = -2 * height * np.cos(x) * np.cos(y)
    c = height**2 - req**2
    with np.errstate(invalid="ignore"):
        rs = (-b - np.sqrt(b**2 - 4 * a * c)) / (2 * a)
    sx, sy, sz = rs * np.cos(x) * np.cos(y), -rs * np.sin(x), rs * np.cos(x) * np.sin(y)
    latitudes = np.degrees(np.arctan((req / rpol) ** 2 * sz / np.hypot(height - sx, sy)))
    return origin - np.degrees(np.arctan(sy / (height - sx))), latitudes


def kept(longitude: str, latitude: str) -> Places:
    return lambda path: (stored(path, longitude), stored(path, latitude))


def ozone(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """By h5py alone: netCDF4 does not survive this file."""
    group = "GeolocationData"
    return h5(path, f"{group}/Longitude").astype("f8"), h5(path, f"{group}/Latitude").astype("f8")


NORTH = "+proj=stere +lat_0=90 +lat_ts=70 +lon_0=-45 +a=6378273 +b=6356889.449"
SOUTH = "+proj=stere +lat_0=-90 +lat_ts=-70 +lon_0=0 +a=6378273 +b=6356889.449"
CONCENTRATION = "/cdr_seaice_conc"

CASES = {
    "EASE-2": Case(
        "s08_*/*up_input.h5", "/Analysis_Data/sm_surface_analysis", plane(6933),
        ((-120.01, 30.02, -99.98, 45.03), (-179, 60, -140.3, 75)),
    ),
    "polar stereographic, south": Case(
        "s10_*/*.nc", "/v", plane(3031), ((-130.01, -82.01, -126.02, -81.03),)
    ),
    "UTM, a hundred million cells": Case(
        "s12_*/*.h5", "/data/flattening_phase",
        plane(32605, "data/x_coordinates", "data/y_coordinates"),
        ((-155.8, 19.4, -155.78, 19.42),), np.nan,
    ),
    "sea ice, north": Case(
        "s16_*/*daily_nh*", CONCENTRATION, plane(NORTH, "xgrid", "ygrid"),
        ((-60.1, 60.2, 20.3, 75.4), (-180, 80.05, 180, 90), (170.1, 62, -165.2, 78)),
    ),
    "sea ice, south": Case(
        "s16_*/*daily_sh*", CONCENTRATION, plane(SOUTH, "xgrid", "ygrid"),
        ((-60.1, -75.4, -20.3, -60.2), (160.1, -78, -150.3, -60)),
    ),
    "geostationary": Case(
        "s18_*/*.nc", "/LST", geostationary, ((-100.3, 30.1, -95.2, 34.7), (-180, 36, 180, 90))
    ),
    "sinusoidal": Case("s19_*/*.nc", "/grain_size", sinusoidal, ((-170.5, 52.25, -150.1, 57.7),)),
    "radar": Case(
        "s07_*/*T000000Z*", "/UCUR", kept("LONGITUDE", "LATITUDE"), ((113.1, -31.5, 114.9, -30.2),)
    ),
    "swath across the meridian": Case(
        "s20_*/*084200*", "/wind_speed", kept("lon", "lat"),
        ((-20, -10.5, 40.3, 30.2), (-180, 85, 180, 90), (170.5, -60, -170.2, 60)),
    ),
    "places in a group of their own": Case(
        "s21_*/*G01*", "/product/vertical_column_stratosphere",
        kept("geolocation/longitude", "geolocation/latitude"), ((-60.3, 25.1, -40.2, 40.7),),
    ),
    "zeros for missing places": Case(
        "s24_*/*.nc", "/red_var", kept("lon", "lat"), ((10.2, -20.3, 30.1, 5.6), (-1, -1, 1, 1))
    ),
    "20 soundings a second": Case(
        "s25_*/*.nc", "/range_20hz_ku", kept("lon_20hz", "lat_20hz"), ((183, -30.2, 350.3, 10.4),)
    ),
    "places alone": Case(
        "s26_*/*.h5", "/GeolocationData/Latitude",
        ozone, ((-180, 10, 180, 40),),
    ),
}  # fmt: skip

TRACKS = {
    "a group below that of its places": (
        "s22_*/*_191_*", "/data_01/ku/range_ocean", "data_01/longitude", "data_01/latitude",
        (300.2, 58.1, 40.3, 63.4),
    ),
    "ravelled cells": (
        "s23_*/*_02801_*", "/Soil_Moisture_Retrieval_Data/soil_moisture",
        "Soil_Moisture_Retrieval_Data/longitude", "Soil_Moisture_Retrieval_Data/latitude",
        (-180, 40.2, 180, 50.3),
    ),
    "a sounding a second": ("s25_*/*.nc", "/swh_ku", "lon", "lat", (183, -30.2, 350.3, 10.4)),
}  # fmt: skip


@contextmanager
def published(path: Path, folder: Path) -> Iterator[tuple[str, tuple[str, ...]]]:
    """A store over one granule, and the prefixes to trust."""
    prefixes = (f"{path.resolve().parent.as_uri()}/", f"{folder.resolve().as_uri()}/")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if path.read_bytes()[:3] == b"CDF" or path.name == "africa.nc":
            # kerchunk needs SciPy for netCDF-3, and loses a fill value of 0
            name = write_store("icechunk", [path], folder, prefixes[0], along=None)
        else:
            name = write_references(folder / "store.json", kerchunk_references([path])).name
    yield prefixes[1] + name, prefixes


def answered(path: Path, folder: Path, variable: str, box: Any, **more: Any) -> Answer:
    with published(path, folder) as (href, trusted):
        wanted = request((variable,), box)
        for name, value in more.items():
            object.__setattr__(wanted, name, value)
        return ask(wanted, href, services(trusted=trusted), folder / "out")


def values_of(path: Path, name: str) -> np.ndarray:
    return raw(path, name) if path.read_bytes()[:3] == b"CDF" else h5(path, name)


def boxes() -> list[Any]:
    return [
        pytest.param(
            name, number, id=f"{name} {number}",
            marks=[pytest.mark.scale] if "hundred million" in name else [],
        )
        for name, case in CASES.items() for number in range(len(case.boxes))
    ]  # fmt: skip


@pytest.mark.parametrize(("name", "number"), boxes())
def test_kept_cells_are_those_whose_centres_lie_in_the_box(
    name: str, number: int, data: Path, tmp_path: Path
) -> None:
    case = CASES[name]
    box = case.boxes[number]
    (path,) = data.glob(case.pattern)
    answer = answered(path, tmp_path, case.variable, box)
    cells = inside(*case.places(path), box)
    assert cells.any()
    rows, columns = window(cells)
    if case.variable.endswith("Latitude"):  # coordinates themselves are not blanked
        assert same_bits(answer.read(case.variable), values_of(path, case.variable)[rows, columns])
    elif name == "UTM, a hundred million cells":
        with h5py.File(path) as file:
            part = file[case.variable][rows, columns]
        part[~cells[rows, columns]] = np.nan
        np.testing.assert_array_equal(answer.read(case.variable), part)
    else:
        fill = case.fill
        if fill is None:
            fill = described(path, case.variable)[2]["_FillValue"]
        check_cut(answer.read(case.variable), values_of(path, case.variable), cells, fill)
    around = answer.output.bbox
    assert around is not None
    check_around(around, *(own[cells] for own in case.places(path)))


def check_around(around: BoundingBox, longitudes: np.ndarray, latitudes: np.ndarray) -> None:
    """The output's box holds all kept centres, and reaches little beyond them."""
    assert inside(
        longitudes, latitudes, (around.west, around.south, around.east, around.north)
    ).all()
    assert latitudes.min() - 1 < around.south <= around.north < latitudes.max() + 1
    if around.width < 359:
        eastward = (longitudes - around.west) % 360
        assert eastward.max() > around.width - 4
        assert eastward.min() < 4


@pytest.mark.parametrize("name", TRACKS)
def test_kept_positions_of_a_track_are_those_in_the_box(
    name: str, data: Path, tmp_path: Path
) -> None:
    pattern, variable, lon, lat, box = TRACKS[name]
    (path,) = data.glob(pattern)
    answer = answered(path, tmp_path, variable, box)
    along = np.flatnonzero(inside(stored(path, lon), stored(path, lat), box))
    assert 0 < along.size < stored(path, lon).size
    assert same_bits(answer.read(variable), values_of(path, variable)[along])
    for place in (lon, lat):
        assert same_bits(answer.read(f"/{place}"), values_of(path, place)[along])


def test_pixel_subset_gives_the_window_without_blanks(data: Path, tmp_path: Path) -> None:
    case = CASES["sea ice, north"]
    (path,) = data.glob(case.pattern)
    answer = answered(path, tmp_path, case.variable, case.boxes[0], pixel_subset=True)
    rows, columns = window(inside(*case.places(path), case.boxes[0]))
    assert same_bits(answer.read(case.variable), raw(path, case.variable)[:, rows, columns])


def test_box_between_the_centres_gives_the_cell_it_lies_in(data: Path, tmp_path: Path) -> None:
    """A place on a grid answers with its cell; a place beside it with nothing."""
    case = CASES["sea ice, north"]
    (path,) = data.glob(case.pattern)
    longitudes, latitudes = on_plane(NORTH, [100_000.0 + 9_000], [-700_000.0 - 8_000])
    lon, lat = float(longitudes[0, 0]), float(latitudes[0, 0])
    answer = answered(path, tmp_path, case.variable, (lon, lat, lon, lat))
    x, y = h5(path, "xgrid"), h5(path, "ygrid")
    column, row = int(np.abs(x - 109_000).argmin()), int(np.abs(y + 708_000).argmin())
    expected = raw(path, case.variable)[:, row : row + 1, column : column + 1]
    assert same_bits(answer.read(case.variable), expected)
    (tmp_path / "beside").mkdir()
    with pytest.raises(NoDataError, match=r"No data lie in the box .* the store covers"):
        answered(path, tmp_path / "beside", case.variable, (10, 10, 10.01, 10.01))


def test_grid_whose_reference_system_cannot_be_read_is_refused_naming_the_variable(
    data: Path, tmp_path: Path
) -> None:
    """Its projection is an array that does not fit its group."""
    (path,) = data.glob("s11_*/*.h5")
    name = "science/LSAR/GUNW/metadata/radarGrid/incidenceAngle"
    with pytest.raises(UncutBoxError, match=f"cannot cut {name}: .* Ask without a box"):
        answered(path, tmp_path, f"/{name}", (-122.6, 38.7, -122.1, 39.05))


def test_box_in_a_radar_cell_gives_that_cell(data: Path, tmp_path: Path) -> None:
    (path,) = data.glob("s07_*/*T000000Z*")
    lon, lat = stored(path, "LONGITUDE"), stored(path, "LATITUDE")
    place = [0.6 * own[30, 20] + 0.2 * own[31, 20] + 0.2 * own[30, 21] for own in (lon, lat)]
    answer = answered(path, tmp_path, "/UCUR", (*place, *place))
    assert same_bits(answer.read("/UCUR"), raw(path, "/UCUR")[:, 30:31, 20:21])


@pytest.mark.parametrize("orbit", ["084200", "102400"])
def test_swath_is_cut_as_the_level_2_subsetter_cuts_it(
    orbit: str, data: Path, tmp_path: Path
) -> None:
    """All its expected outputs have our rows, variables and values, but for places and times.

    The subsetter blanks latitudes, longitudes and times outside of the box too, which leaves cells
    without a place; here these stay. What it calls "cut" and "uncut" is the same here.
    """
    box = (-180, -90, 0, 0)
    (path,) = data.glob(f"s20_*/*{orbit}*.nc")
    expected = sorted(data.glob(f"s20_*/expected/*/*{orbit}*"))
    assert {own.parent.name for own in expected} == {
        "python_results-cut", "python_results-uncut", "java_results-cut", "java_results-uncut"
    }  # fmt: skip
    with published(path, tmp_path) as (href, trusted):
        answer = ask(request((), box), href, services(trusted=trusted), tmp_path / "out")
    cells = inside(stored(path, "lon"), stored(path, "lat"), box)
    rows, columns = window(cells)
    places = {"lat", "lon", "time"}
    for theirs in expected:
        with netCDF4.Dataset(theirs) as nc, netCDF4.Dataset(answer.path) as ours:
            names = set(nc.variables)
            assert names == set(ours.variables)
        for name in names - places:
            assert same_bits(answer.read(name), raw(theirs, name)), (theirs, name)
        known = raw(theirs, "lat") != -2147483647
        np.testing.assert_array_equal(known, cells[rows, columns])
        for name in places:
            assert same_bits(answer.read(name), raw(path, name)[rows, columns])
            np.testing.assert_array_equal(answer.read(name)[known], raw(theirs, name)[known])


def test_time_range_and_box_keep_the_cells_of_a_swath_that_are_in_both(
    data: Path, tmp_path: Path
) -> None:
    (path,) = data.glob("s20_*/*084200*")
    times = (datetime(2015, 7, 2, 9, 0, 30, tzinfo=UTC), datetime(2015, 7, 2, 9, 20, tzinfo=UTC))
    box = (-180, -90, 0, 45.5)
    answer = answered(path, tmp_path, "/wind_speed", box, temporal=TimeRange(*times))
    since = datetime(1990, 1, 1, tzinfo=UTC)
    first, last = ((own - since).total_seconds() for own in times)
    seconds = stored(path, "time")
    cells = inside(stored(path, "lon"), stored(path, "lat"), box)
    cells &= (seconds >= first) & (seconds <= last)
    assert cells.any()
    check_cut(answer.read("/wind_speed"), raw(path, "wind_speed"), cells, -32767)
    assert answer.prepared.plan.coverage == TimeRange(
        *(
            since + timedelta(seconds=float(own))
            for own in (seconds[cells].min(), seconds[cells].max())
        )
    )


@pytest.mark.parametrize("name", ["sea ice, north", "sinusoidal", "geostationary", "radar"])
def test_outputs_place_their_cells_by_cf_alone(name: str, data: Path, tmp_path: Path) -> None:
    """What readers make of axes, grid mapping and coordinates of the cut is where the cells are."""
    case = CASES[name]
    (path,) = data.glob(case.pattern)
    answer = answered(path, tmp_path, case.variable, case.boxes[0])
    longitudes, latitudes = case.places(path)
    rows, columns = window(inside(longitudes, latitudes, case.boxes[0]))
    with netCDF4.Dataset(answer.path) as nc:
        own = nc[case.variable]
        mapping = nc[own.grid_mapping] if "grid_mapping" in own.ncattrs() else None
        told = {} if mapping is None else {k: mapping.getncattr(k) for k in mapping.ncattrs()}
    if mapping is None:
        found = stored(answer.path, "LONGITUDE"), stored(answer.path, "LATITUDE")
    else:
        x, y = ("xgrid", "ygrid") if "sea ice" in name else ("x", "y")
        height = told.get("perspective_point_height", 1.0)
        axes = [stored(answer.path, axis) * height for axis in (x, y)]
        crs = told.get("crs_wkt") or told.get("spatial_ref") or told
        found = on_plane(crs, *axes) if isinstance(crs, str) else on_cf(told, *axes)
        if "GeoTransform" in told:
            c, a, _, f, _, e = map(float, str(told["GeoTransform"]).split())
            assert axes[0][0] == pytest.approx(c + a / 2, abs=abs(a) / 100)
            assert axes[1][0] == pytest.approx(f + e / 2, abs=abs(e) / 100)
    for ours, theirs in zip(found, (longitudes, latitudes), strict=True):
        np.testing.assert_allclose(ours, theirs[rows, columns], atol=1e-6)


def on_cf(told: dict[str, Any], x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    from pyproj import CRS

    return on_plane(CRS.from_cf(told), x, y)
