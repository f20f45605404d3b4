"""Time series at places through the service, compared with the granules read by netCDF4 alone."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import xarray as xr
from pyproj import CRS, Transformer
from systems.kits import Answer, ask, place, raw, request, services, write_store
from world import write_days, write_tile

from harmony_vds.errors import NoDataError, UnsupportedError
from harmony_vds.model.places import Place

PLACES = (
    Place(10.5, -20.25, "atlantic"), Place(179.9, 12.4), Place(-179.9, 12.6, "Åland"),
    Place(10.4, -20.2), Place(3.0, 89.9, "pole"), Place(301.0, 44.0), Place(-59.0, 44.0),
)  # fmt: skip
LAYOUTS = {
    "from -180": {}, "from 0": {"lon_from": 0.0}, "north up": {"north_up": True, "lon_from": -20.0},
}  # fmt: skip


def brute_force(path: Path, places: Sequence[Place]) -> list[tuple[int, int, float]]:
    """Row, column and distance of the nearest centre of all, by haversine."""
    lat, lon = raw(path, "lat").astype(float), raw(path, "lon").astype(float)
    x, y = np.meshgrid(np.radians(lon), np.radians(lat))
    found = []
    for own in places:
        phi, psi = np.radians(own.latitude), np.radians(own.longitude)
        chord = np.sin((y - phi) / 2) ** 2 + np.cos(y) * np.cos(phi) * np.sin((x - psi) / 2) ** 2
        distance = 2 * 6371.0088 * np.arcsin(np.sqrt(chord))
        row, column = np.unravel_index(np.argmin(distance.round(6)), distance.shape)
        found.append((int(row), int(column), float(distance[row, column])))
    return found


def series(files: list[Path], folder: Path, form: str = "icechunk", **wanted: object) -> Answer:
    with place("file", files[0].parent, folder) as there:
        store = write_store(form, files, folder, there.granules)
        asked = replace(request(variables=("analysed_sst",)), **wanted)
        return ask(asked, there.stores + store, services(there), folder / "out")


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
@pytest.mark.parametrize("form", ["icechunk", "kerchunk"])
def test_series_at_places_are_those_of_the_nearest_cells_bit_for_bit(
    form: str, layout: str, tmp_path: Path
) -> None:
    files = write_days(tmp_path / "granules", 4, **LAYOUTS[layout])
    answer = series(files, tmp_path, form, points=PLACES)
    near = brute_force(files[0], PLACES)
    stored = np.concatenate([raw(path, "analysed_sst") for path in files])
    expected = np.stack([stored[:, row, column] for row, column, _ in near])
    found = answer.read("analysed_sst")
    assert found.dtype == np.int16
    np.testing.assert_array_equal(found, expected)
    lat, lon = raw(files[0], "lat"), raw(files[0], "lon")
    np.testing.assert_array_equal(answer.read("lat"), [lat[row] for row, _, _ in near])
    np.testing.assert_array_equal(answer.read("lon"), [lon[column] for _, column, _ in near])
    np.testing.assert_allclose(answer.read("distance"), [own for _, _, own in near], atol=1e-3)
    np.testing.assert_array_equal(
        answer.read("requested_longitude"), [own.longitude for own in PLACES]
    )


def test_places_in_one_chunk_are_read_with_it_once_and_priced_so(tmp_path: Path) -> None:
    files = write_days(tmp_path / "granules", 3)  # chunks of 12 x 24 cells of 5 degrees
    places = (Place(-170, -80), Place(-100, -50), Place(-150, -70), Place(100, 50))
    with place("http", files[0].parent, tmp_path) as there:
        store = write_store("kerchunk", files, tmp_path, there.granules, inline=0)
        asked = replace(request(variables=("analysed_sst",)), points=places)
        answer = ask(asked, there.stores + store, services(there), tmp_path / "out")
        fetched = [own for own in there.servers[0].asked if own.path.endswith(".nc")]
    cost = answer.prepared.plan.cost
    # Two chunks a day of the series and of its mask each; coordinates were read for the plan.
    data = [own for own in answer.prepared.plan.variables if len(own.dimensions) == 3]
    assert cost.chunks - 2 * 3 * len(data) <= 1  # and the grid mapping's
    assert len(fetched) >= cost.requests
    np.testing.assert_array_equal(answer.read("analysed_sst").shape, (4, 3))


def test_file_is_a_discrete_sampling_geometry_that_xarray_and_netcdf4_open(tmp_path: Path) -> None:
    files = write_days(tmp_path / "granules", 3)
    answer = series(files, tmp_path, points=PLACES[:3])
    with xr.open_dataset(answer.path) as dataset:
        assert dataset.attrs["featureType"] == "timeSeries"
        assert dataset.analysed_sst.dims == ("station", "time")
        assert {"lat", "lon", "station_name", "time"} <= set(dataset.analysed_sst.coords)
        assert dataset.station_name.values.tolist() == ["atlantic", "place 2", "Åland"]
    with netCDF4.Dataset(answer.path) as nc:
        assert nc["station_name"].cf_role == "timeseries_id"
        assert nc["analysed_sst"].coordinates.split() == ["lat", "lon", "station_name"]
        assert nc["analysed_sst"].scale_factor == np.float32(0.01)
        assert nc["lat"].dimensions == nc["lon"].dimensions == ("station",)
        assert nc.dimensions["time"].isunlimited()
        assert nc.geospatial_lat_max == pytest.approx(15.0)


def test_one_point_of_a_message_and_a_time_range_give_that_series(tmp_path: Path) -> None:
    files = write_days(tmp_path / "granules", 4)
    answer = series(files, tmp_path, point=(10.5, -20.25))
    row, column, _ = brute_force(files[0], [Place(10.5, -20.25)])[0]
    stored = np.concatenate([raw(path, "analysed_sst") for path in files])[:, row, column]
    np.testing.assert_array_equal(answer.read("analysed_sst"), stored[None])
    assert answer.prepared.plan.asked["point"] == [10.5, -20.25]


def test_place_and_box_together_are_refused(tmp_path: Path) -> None:
    files = write_days(tmp_path / "granules", 1)
    box = request(box=(0, 0, 10, 10)).bbox
    with pytest.raises(UnsupportedError, match="together"):
        series(files, tmp_path, point=(10.5, -20.25), bbox=box)


def test_a_place_off_the_grid_is_no_data(tmp_path: Path) -> None:
    granules = tmp_path / "granules"
    granules.mkdir()
    files = [write_tile(granules / "tile.nc", 0, 10.0, 10.0)]
    with place("file", granules, tmp_path) as there:
        store = write_store("icechunk", files, tmp_path, there.granules)
        asked = replace(request(), point=(-100.0, -40.0))
        with pytest.raises(NoDataError, match="nearest cell"):
            ask(asked, there.stores + store, services(there), tmp_path / "out")


def test_equal_plans_have_equal_fingerprints_and_other_places_another(tmp_path: Path) -> None:
    files = write_days(tmp_path / "granules", 2)
    first = series(files, tmp_path / "a", points=PLACES[:2])
    again = series(files, tmp_path / "b", points=PLACES[:2])
    other = series(files, tmp_path / "c", points=(PLACES[1], PLACES[0]))
    marks = [own.prepared.plan.as_json()["placements"] for own in (first, again, other)]
    assert marks[0] == marks[1] != marks[2]


ARCTIC = [(-10, 80), (170, 72), (5, 88)]
REAL = {  # kit, pattern, variable, places
    "map": ("s16_seaice_polar", "*daily_nh*.nc", "cdr_seaice_conc", ARCTIC),
    "swath": ("s20_l2_ascat", "*084200*", "wind_speed", None),
    "track": ("s25_l2_jason1", "*.nc", "swh_ku", None),
}  # fmt: skip


@pytest.mark.shared
@pytest.mark.parametrize("name", sorted(REAL))
def test_series_on_grids_of_other_kinds_are_those_of_the_nearest_centres(
    name: str, data: Path, tmp_path: Path
) -> None:
    kit, pattern, variable, wanted = REAL[name]
    file = as_netcdf4(min((data / kit).glob(pattern)), tmp_path / "granules", variable)
    with netCDF4.Dataset(file) as nc:
        if name == "map":
            back = Transformer.from_crs(
                CRS.from_cf(vars_of(nc["projection"])), 4326, always_xy=True
            )
            lon, lat = back.transform(*np.meshgrid(nc["xgrid"][:].data, nc["ygrid"][:].data))
        else:
            lon, lat = (np.ma.filled(nc[own][:].astype(float), np.nan) for own in ("lon", "lat"))
        nc[variable].set_auto_maskandscale(False)
        stored = nc[variable][:]
    if wanted is None:  # near some of the centres
        picked = [tuple(n * size // 7 for size in lon.shape) for n in (1, 3, 5)]
        wanted = [(float(lon[own]) + 0.02, float(lat[own]) + 0.01) for own in picked]
    with place("file", file.parent, tmp_path) as there:
        store = write_store("kerchunk", [file], tmp_path, there.granules, along=None)
        asked = replace(request(variables=(variable,)), points=tuple(Place(*own) for own in wanted))
        answer = ask(asked, there.stores + store, services(there), tmp_path / "out")
    found = answer.read(variable)
    for number, (x, y) in enumerate(wanted):
        a, b, c, d = np.radians(lon), np.radians(lat), np.radians(x), np.radians(y)
        chord = np.sin((b - d) / 2) ** 2 + np.cos(b) * np.cos(d) * np.sin((a - c) / 2) ** 2
        distance = np.nan_to_num(2 * 6371.0088 * np.arcsin(np.sqrt(chord)), nan=np.inf)
        at = np.unravel_index(np.argmin(distance), distance.shape)
        assert answer.read("distance")[number] == pytest.approx(distance[at], abs=2e-2)
        np.testing.assert_array_equal(found[number], stored[(..., *at)])


def as_netcdf4(source: Path, folder: Path, variable: str) -> Path:
    """A granule in HDF5: a variable, its coordinates and its projection, as they are stored."""
    folder.mkdir()
    kept = (variable, "lat", "lon", "time", "xgrid", "ygrid", "projection")
    with netCDF4.Dataset(source) as old, netCDF4.Dataset(folder / "granule.nc", "w") as new:
        old.set_auto_maskandscale(False)
        for own in (old[name] for name in kept if name in old.variables):
            for name, size in zip(own.dimensions, own.shape, strict=True):
                if name not in new.dimensions:
                    new.createDimension(name, size)
            told = vars_of(own)
            made = new.createVariable(
                own.name, own.dtype, own.dimensions, fill_value=told.pop("_FillValue", None)
            )
            made.set_auto_maskandscale(False)
            made.setncatts(told)
            made[...] = own[...]
    return folder / "granule.nc"


def vars_of(variable: netCDF4.Variable) -> dict[str, object]:
    return {key: variable.getncattr(key) for key in variable.ncattrs()}
