"""Shapes on real granules of every kind of grid, against shapely, centre by centre.

Where cells are is worked out apart from the service, as for boxes.
"""

from datetime import UTC, datetime
from pathlib import Path

import h5py
import numpy as np
import pytest
import shapely
from systems.kits import ask, described, raw, request, same_bits, services, write_store
from systems.places import check_cut, stored, window
from systems.test_grids_real import CASES, TRACKS, answered, values_of

from harmony_vds.errors import NoDataError

pytestmark = pytest.mark.shared


def diamond(box: tuple[float, float, float, float]) -> shapely.Polygon:
    """Between the middles of a box's sides, one of them drawn in; longitudes run on eastward."""
    west, south, east, north = box
    east = east + 360 if east < west else east
    x, y = (west + east) / 2, (south + north) / 2
    return shapely.Polygon(
        [(x, south), (east, y), ((x + east) / 2, (y + 3 * north) / 4), (x, (y + north) / 2),
         (west, y)]
    )  # fmt: skip


def held(longitudes: np.ndarray, latitudes: np.ndarray, area: shapely.Polygon) -> np.ndarray:
    west = area.bounds[0]
    return shapely.intersects_xy(area, west + (longitudes - west) % 360, latitudes)


def near(longitudes: np.ndarray, latitudes: np.ndarray, area: shapely.Polygon) -> np.ndarray:
    """Those of very many cells that may lie in the area, by its box alone."""
    west, south, east, north = area.bounds
    with np.errstate(invalid="ignore"):
        return (
            ((longitudes - west) % 360 <= east - west) & (latitudes >= south) & (latitudes <= north)
        )


# Of those with a box around the whole Earth or a place without data there is no diamond to cut.
# Where a diamond in the first box holds no centre, or few.
BOXES = {
    "sinusoidal": (-175.5, 50.25, -160.1, 56.2),
    "places in a group of their own": (-70, 25, -50, 40),
}
NAMES = [
    pytest.param(own, marks=[pytest.mark.scale] if "million" in own else [])
    for own in CASES if own not in ("places alone", "zeros for missing places")
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_kept_cells_are_those_whose_centres_lie_in_the_shape(
    name: str, data: Path, tmp_path: Path
) -> None:
    case = CASES[name]
    (path,) = data.glob(case.pattern)
    area = diamond(BOXES.get(name, case.boxes[0]))
    answer = answered(path, tmp_path, case.variable, None, shape=shapely.to_geojson(area))
    longitudes, latitudes = case.places(path)
    rows, columns = window(near(longitudes, latitudes, area))
    cells = np.zeros(longitudes.shape, bool)
    cells[rows, columns] = held(longitudes[rows, columns], latitudes[rows, columns], area)
    assert cells.any()
    fill = case.fill
    if fill is None:
        fill = described(path, case.variable)[2]["_FillValue"]
    if name == "UTM, a hundred million cells":
        rows, columns = window(cells)
        with h5py.File(path) as file:
            part = file[case.variable][rows, columns]
        part[~cells[rows, columns]] = np.nan
        np.testing.assert_array_equal(answer.read(case.variable), part)
    else:
        check_cut(answer.read(case.variable), values_of(path, case.variable), cells, fill)


@pytest.mark.parametrize("name", ["a group below that of its places", "a sounding a second"])
def test_kept_positions_of_a_track_are_those_in_the_shape(
    name: str, data: Path, tmp_path: Path
) -> None:
    pattern, variable, lon, lat, box = TRACKS[name]
    (path,) = data.glob(pattern)
    area = diamond(box)
    answer = answered(path, tmp_path, variable, None, shape=shapely.to_geojson(area))
    along = np.flatnonzero(held(stored(path, lon), stored(path, lat), area))
    assert 0 < along.size < stored(path, lon).size
    assert same_bits(answer.read(variable), values_of(path, variable)[along])


@pytest.mark.parametrize("box", [(140.05, -44.0, 162.4, -9.95), (165.1, -30.2, -160.3, 20.4)])
def test_sea_surface_temperatures_in_a_shape_are_those_of_the_source(
    box: tuple[float, float, float, float], data: Path, tmp_path: Path
) -> None:
    files = sorted((data / "s02_ghrsst_gamssa_daily").glob("*.nc"))[:1]
    here = f"{files[0].parent.resolve().as_uri()}/"
    store = write_store("icechunk", files, tmp_path, here)
    area = diamond(box)
    wanted = request(("/analysed_sst",), times=(datetime(2024, 10, 11, tzinfo=UTC), None))
    object.__setattr__(wanted, "shape", shapely.to_geojson(area))
    trusted = (here, f"{tmp_path.as_uri()}/")
    answer = ask(wanted, f"{trusted[1]}{store}", services(trusted=trusted), tmp_path / "out")
    lon, lat = raw(files[0], "lon").astype(float), raw(files[0], "lat").astype(float)
    turned = area.bounds[0] + (lon - area.bounds[0]) % 360
    order = np.argsort(turned)  # eastward from the shape's western edge
    cells = held(*np.meshgrid(turned[order], lat), area)
    values = raw(files[0], "analysed_sst")[..., order]
    fill = described(files[0], "analysed_sst")[2]["_FillValue"]
    check_cut(answer.read("/analysed_sst"), values, cells, fill)


def test_shape_beside_a_swath_is_no_data(data: Path, tmp_path: Path) -> None:
    case = CASES["radar"]
    (path,) = data.glob(case.pattern)
    area = shapely.to_geojson(shapely.box(10, 10, 11, 11))
    with pytest.raises(NoDataError, match="No data lie in the shape"):
        answered(path, tmp_path, case.variable, None, shape=area)
