"""GEOS-CF: an icechunk repository over a THREDDS server, with slots for hours yet to come."""

from collections.abc import Iterator
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import xarray as xr
from systems.granules import Field, latitudes, longitudes, times, weather, write_fields
from systems.kits import raw
from systems.published import LAYOUTS, Publication, lengthened_dataset, publishing
from world import virtual_dataset, write_icechunk

GEOS = LAYOUTS["geos_cf"]
HOURS = 4
SLOTS = 12
MANY = 5 * GEOS["split"]
NLAT, NLON = (GEOS["dimensions"]["lat"] - 1) // 10 + 1, GEOS["dimensions"]["lon"] // 10
MISSING = np.float32(1e15)
UNITS = "hours since 2018-01-01 00:30:00"
THREDDS = "thredds/fileServer/geos-cf/analysis-v2"


@pytest.fixture(scope="module")
def granules(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("published") / THREDDS
    return [granule(folder / f"{hour}.nc4", hour) for hour in range(HOURS)]


def granule(path: Path, hour: int) -> Path:
    fields = {
        "time": times(np.array([hour], "i4"), UNITS),
        "lev": Field(("lev",), np.array([72.0]), {"units": "layer", "positive": "down"}),
        "lat": latitudes("lat", np.linspace(-90, 90, NLAT)),
        "lon": longitudes("lon", -180 + 360 / NLON * np.arange(NLON)),
        "O3": Field(
            ("time", "lev", "lat", "lon"), weather((1, 1, NLAT, NLON), hour),
            {"units": "mol mol-1"}, chunks=(1, 1, NLAT, NLON), fill=MISSING,
        ),
    }  # fmt: skip
    return write_fields(path, fields, unlimited="time", title="ozone")


@pytest.fixture
def published(granules: list[Path]) -> Iterator[Publication]:
    with publishing(granules[0].parents[4]) as publication:
        yield publication


def store(
    publication: Publication, granules: list[Path], written: np.ndarray, split: int | None = None
) -> None:
    """A repository whose slots are all there, and have data where `written`."""
    here = {path.as_uri(): publication.url(path) for path in granules}
    own = virtual_dataset(granules).vz.rename_paths(here.__getitem__)
    axis = xr.Variable(("time",), np.arange(written.size, dtype="i4"), own["time"].attrs)
    dataset = lengthened_dataset(own, {"time": axis}, written=written)
    folder = publication.root / f"analysis-v2-{written.size}"
    write_icechunk(
        folder, {None: dataset}, container=f"{publication.archive.url}/thredds/",
        split=split,
    )  # fmt: skip
    publication.publish(publication.url(folder))


def truth(granules: list[Path], hours: np.ndarray, written: np.ndarray) -> np.ndarray:
    found = np.concatenate([raw(path, "O3") for path in granules])[hours % HOURS]
    found[~written[hours]] = MISSING
    return found


def test_hours_without_data_are_fill_and_are_told_everywhere(
    published: Publication, granules: list[Path], tmp_path: Path
) -> None:
    written = np.arange(SLOTS) < 8
    written[3] = False
    store(published, granules, written)
    outcome = published.invoke(
        tmp_path, ["O3"], bbox=[-30, 50, 30, 90],
        temporal={"start": "2018-01-01T02:00:00Z", "end": "2018-01-01T09:59:59Z"},
    )  # fmt: skip
    assert outcome.status == 0, outcome.error
    hours = np.arange(2, 10)
    expected = truth(granules, hours, written)[:, :, 56:, 60:85]
    with netCDF4.Dataset(outcome.data[0]) as nc:
        o3 = nc["O3"]
        np.testing.assert_array_equal(
            np.ma.getmaskarray(o3[:]).all(axis=(1, 2, 3)), ~written[hours]
        )
        o3.set_auto_maskandscale(False)
        np.testing.assert_array_equal(o3[:], expected)
        assert o3.getncattr("_FillValue") == MISSING
        np.testing.assert_array_equal(nc["time"][:], hours)
        np.testing.assert_array_equal(nc["lat"][[0, -1]], [50, 90])
        assert nc.virtual_store_missing_chunks == 3
        assert "3 of the 9 chunks read are not in the manifest" in nc.virtual_store_notes
    item = outcome.items[0]  # the ninth chunk is the level's
    assert item["properties"]["virtual_store:missing_chunks"] == 3
    assert item["bbox"][3] == 90
    assert "3 of 9 chunks are not in the manifest" in outcome.stderr


def test_hours_yet_to_come_are_no_data_rather_than_a_file_of_fill(
    published: Publication, granules: list[Path], tmp_path: Path
) -> None:
    store(published, granules, np.arange(10) < 7)
    outcome = published.invoke(
        tmp_path, ["O3"], temporal={"start": "2018-01-01T07:00:00Z", "end": "2018-01-02T00:00:00Z"}
    )
    assert outcome.status != 0
    assert outcome.error["category"] == "NoData"
    assert "room for O3 where the request looks" in outcome.error["error"]
    assert "none of the 3 chunks" in outcome.error["error"]


def test_both_poles_are_rows_of_the_grid(
    published: Publication, granules: list[Path], tmp_path: Path
) -> None:
    written = np.ones(HOURS, np.bool_)
    store(published, granules, written)
    outcome = published.invoke(tmp_path, ["O3"], bbox=[170, -90, -170, 90])
    assert outcome.status == 0, outcome.error
    columns = [*range(140, 144), *range(5)]
    with netCDF4.Dataset(outcome.data[0]) as nc:
        nc.set_auto_maskandscale(False)
        expected = truth(granules, np.arange(HOURS), written)[..., columns]
        np.testing.assert_array_equal(nc["O3"][:], expected)
        np.testing.assert_array_equal(nc["lat"][[0, -1]], [-90, 90])
        np.testing.assert_array_equal(nc["lon"][:], np.arange(170, 191, 2.5))
    assert outcome.items[0]["bbox"][1::2] == [-90, 90]
    assert outcome.items[0]["properties"]["virtual_store:missing_chunks"] == 0


@pytest.mark.scale
def test_day_in_years_of_hours_whose_manifests_are_split_by_year(
    published: Publication, granules: list[Path], tmp_path: Path
) -> None:
    assert GEOS["steps"] < MANY
    written = np.arange(MANY) < MANY - 1000
    store(published, granules, written, split=GEOS["split"])
    outcome = published.invoke(
        tmp_path, ["O3"], bbox=[-30, 50, 30, 90],
        temporal={"start": "2020-07-01T00:00:00Z", "end": "2020-07-01T23:59:59Z"},
    )  # fmt: skip
    assert outcome.status == 0, outcome.error
    first = int((np.datetime64("2020-07-01") - np.datetime64("2018-01-01")).astype(int)) * 24
    hours = np.arange(first, first + 24)
    with netCDF4.Dataset(outcome.data[0]) as nc:
        nc.set_auto_maskandscale(False)
        expected = truth(granules, hours, written)[:, :, 56:, 60:85]
        np.testing.assert_array_equal(nc["O3"][:], expected)
    assert outcome.items[0]["properties"]["virtual_store:missing_chunks"] == 0
