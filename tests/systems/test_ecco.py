"""PO.DAAC ECCO temperature and salinity: depths that go down from zero, bounds of every axis."""

from collections.abc import Iterator
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import xarray as xr
from systems.granules import Field, centres, latitudes, longitudes, times, weather, write_fields
from systems.kits import raw
from systems.published import LAYOUTS, Publication, lengthened_dataset, publishing
from world import virtual_dataset, virtualizarr_references

ECCO = LAYOUTS["ecco"]
DAYS, FULL = 3, ECCO["dimensions"]["time"]
DEPTHS = ECCO["dimensions"]["Z"]
NLAT, NLON = 36, 72  # a tenth of the published grid, in as many chunks
CHUNKS = (1, *ECCO["variables"]["THETA"]["chunks"][1:2], NLAT // 2, NLON // 2)
FILL = np.float32(9.96921e36)
UNITS = "hours since 1992-01-01T12:00:00"


def edges(name: str, at: np.ndarray) -> Field:
    """Bounds between the edges `at`."""
    return Field((name.removesuffix("_bnds"), "nv"), np.stack([at[:-1], at[1:]], 1))


@pytest.fixture(scope="module")
def granules(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("published")
    return [granule(folder / "granules" / f"{day}.nc", day) for day in range(DAYS)]


def granule(path: Path, day: int) -> Path:
    floor = -np.cumsum(np.linspace(10, 450, DEPTHS + 1) ** 1.01) + 10
    floor = (floor - floor[0]).astype("f4")
    middle = np.array([24.0 * day], "i4")
    fields = {
        "time": times(middle, UNITS, bounds="time_bnds"),
        "Z": Field(("Z",), (floor[:-1] + floor[1:]) / 2, {
            "standard_name": "depth", "units": "m", "positive": "up", "axis": "Z",
            "bounds": "Z_bnds"}),
        "latitude": latitudes("latitude", centres(NLAT, -90, 90), bounds="latitude_bnds"),
        "longitude": longitudes("longitude", centres(NLON, -180, 180), bounds="longitude_bnds"),
        "time_bnds": Field(("time", "nv"), np.array([[-12, 12]], "i4") + middle, chunks=(1, 2)),
        "Z_bnds": edges("Z_bnds", floor),
        "latitude_bnds": edges("latitude_bnds", np.linspace(-90, 90, NLAT + 1, dtype="f4")),
        "longitude_bnds": edges("longitude_bnds", np.linspace(-180, 180, NLON + 1, dtype="f4")),
    }  # fmt: skip
    for number, name in enumerate(ECCO["variables"]):
        values = weather((1, DEPTHS, NLAT, NLON), 10 * day + number)
        values[:, :, :3] = FILL
        fields[name] = Field(
            ("time", "Z", "latitude", "longitude"), values,
            {"units": "1", "coordinates": "Z time"}, chunks=CHUNKS, fill=FILL,
        )  # fmt: skip
    return write_fields(path, fields, unlimited="time", title="ocean")


@pytest.fixture
def published(granules: list[Path]) -> Iterator[Publication]:
    with publishing(granules[0].parent.parent, short_name=ECCO["short_name"]) as publication:
        yield publication


def store(publication: Publication, granules: list[Path], days: int) -> None:
    own = virtual_dataset(granules)
    middle = 24 * np.arange(days, dtype="i4")
    replaced = {
        "time": xr.Variable(("time",), middle, own["time"].attrs),
        "time_bnds": xr.Variable(("time", "nv"), np.stack([middle - 12, middle + 12], 1)),
    }
    here = {path.as_uri(): publication.url(path) for path in granules}
    path = publication.root / f"{days}_virtual_https.json"
    dataset = lengthened_dataset(own, replaced)
    publication.publish(publication.url(virtualizarr_references(dataset, path, here.__getitem__)))


@pytest.mark.parametrize("days", [DAYS, pytest.param(FULL, marks=pytest.mark.scale)])
def test_box_and_days_keep_all_depths_and_the_bounds_that_belong(
    days: int, published: Publication, granules: list[Path], tmp_path: Path
) -> None:
    store(published, granules, days)
    outcome = published.invoke(
        tmp_path, ["THETA"], bbox=[-10, 0, 20, 30],
        temporal={"start": "1992-01-02T00:00:00Z", "end": "1992-01-31T23:59:59Z"},
    )  # fmt: skip
    assert outcome.status == 0, outcome.error
    steps = np.arange(1, min(days, 31))
    rows, columns = slice(18, 24), slice(34, 40)
    theta = np.concatenate([raw(path, "THETA") for path in granules])[steps % DAYS]
    source = granules[0]
    expected = {
        "THETA": theta[:, :, rows, columns],
        "Z": raw(source, "Z"),
        "Z_bnds": raw(source, "Z_bnds"),
        "latitude": raw(source, "latitude")[rows],
        "latitude_bnds": raw(source, "latitude_bnds")[rows],
        "longitude": raw(source, "longitude")[columns],
        "longitude_bnds": raw(source, "longitude_bnds")[columns],
        "time": 24 * steps,
        "time_bnds": np.stack([24 * steps - 12, 24 * steps + 12], 1),
    }
    with netCDF4.Dataset(outcome.data[0]) as nc:
        assert set(nc.variables) == set(expected)
        assert nc.dimensions["nv"].size == 2
        assert nc["Z"].positive == "up"
        assert (np.diff(nc["Z"][:]) < 0).all()
        for name, values in expected.items():
            nc[name].set_auto_maskandscale(False)
            np.testing.assert_array_equal(nc[name][...], values, err_msg=name)
        for name in ("time", "Z", "latitude", "longitude"):
            assert nc[name].bounds == f"{name}_bnds"
    assert outcome.items[0]["bbox"] == [-10, 0, 20, 30]
    assert outcome.items[0]["properties"]["start_datetime"] == "1992-01-02T00:00:00Z"


def test_range_of_depths_keeps_its_layers_and_their_bounds(
    published: Publication, granules: list[Path], tmp_path: Path
) -> None:
    store(published, granules, DAYS)
    depths = raw(granules[0], "Z")
    least, most = float(depths[7]), float(depths[2])  # negative and downwards
    subset = {"dimensions": [{"name": "Z", "min": least, "max": most}]}
    outcome = published.invoke(tmp_path, ["THETA"], subset=subset)
    assert outcome.status == 0, outcome.error
    with netCDF4.Dataset(outcome.data[0]) as nc:
        nc.set_auto_maskandscale(False)
        np.testing.assert_array_equal(nc["Z"][:], depths[2:8])
        np.testing.assert_array_equal(nc["Z_bnds"][:], raw(granules[0], "Z_bnds")[2:8])
        expected = np.concatenate([raw(path, "THETA")[:, 2:8] for path in granules[:DAYS]])
        np.testing.assert_array_equal(nc["THETA"][:], expected)
        assert "Z(" in nc.history_json


def test_range_beyond_all_depths_is_no_data_and_tells_which_there_are(
    published: Publication, granules: list[Path], tmp_path: Path
) -> None:
    store(published, granules, DAYS)
    subset = {"dimensions": [{"name": "Z", "min": 5, "max": 10}]}
    outcome = published.invoke(tmp_path, ["THETA"], subset=subset)
    assert outcome.error["category"] == "NoData"
    assert "Z(5:10)" in outcome.error["error"]
    assert f"{float(raw(granules[0], 'Z')[0]):g}" in outcome.error["error"]
