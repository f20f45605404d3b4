"""PO.DAAC CCMP winds: kerchunk JSON, longitudes from 0 to 360, six-hourly since 1993."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
import xarray as xr
from systems.granules import Field, centres, latitudes, longitudes, times, weather, write_fields
from systems.kits import raw
from systems.published import LAYOUTS, Publication, lengthened_dataset, publishing
from world import virtual_dataset, virtualizarr_references

CCMP = LAYOUTS["ccmp"]
WINDS = tuple(CCMP["variables"])
DAYS, PER_DAY = 2, 4
SMALL, FULL = DAYS * PER_DAY, CCMP["dimensions"]["time"]
NLAT, NLON = 72, 144  # a tenth of the published grid
UNITS = "hours since 1993-01-01 00:00:00"


@pytest.fixture(scope="module")
def granules(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("published")
    return [granule(folder / "granules" / f"{day}.nc", day) for day in range(DAYS)]


def granule(path: Path, day: int) -> Path:
    west, east = CCMP["longitudes"]
    half = (east - west) / (CCMP["dimensions"]["longitude"] - 1) / 2
    steps = CCMP["hours"] * (np.arange(PER_DAY) + PER_DAY * day)
    fields: dict[str, Field] = {
        "time": times(steps.astype("f8"), UNITS),
        "latitude": latitudes("latitude", centres(NLAT, -90, 90)),
        "longitude": longitudes("longitude", centres(NLON, west - half, east + half)),
    }
    for number, name in enumerate(WINDS):
        values = weather((PER_DAY, NLAT, NLON), 10 * day + number)
        values[:, :4] = -9999.0
        fields[name] = Field(
            ("time", "latitude", "longitude"), values, {"units": "m s-1"},
            chunks=(1, NLAT, NLON), fill=np.float32(-9999.0),
        )  # fmt: skip
    return write_fields(path, fields, unlimited="time", title="winds")


@pytest.fixture
def published(granules: list[Path]) -> Iterator[Publication]:
    with publishing(granules[0].parent.parent, short_name=CCMP["short_name"]) as publication:
        yield publication


def store(publication: Publication, granules: list[Path], steps: int) -> None:
    own = virtual_dataset(granules)
    axis = xr.Variable(("time",), CCMP["hours"] * np.arange(steps, dtype="f8"), own["time"].attrs)
    dataset = lengthened_dataset(own, {"time": axis})
    here = {path.as_uri(): publication.url(path) for path in granules}
    path = publication.root / f"{steps}_virtual_https.json"
    publication.publish(publication.url(virtualizarr_references(dataset, path, here.__getitem__)))


def truth(granules: list[Path], name: str) -> np.ndarray:
    return np.concatenate([raw(path, name) for path in granules])


# West and east as asked, and the columns that lie there, in order.
GREENWICH = (-10.0, 10.0, [*range(140, 144), *range(4)])
ANTIMERIDIAN = (170.0, -170.0, [*range(68, 76)])


@pytest.mark.parametrize("side", [GREENWICH, ANTIMERIDIAN], ids=["greenwich", "antimeridian"])
def test_box_in_users_longitudes_is_cut_in_one_piece_from_0_to_360(
    side: Any, published: Publication, granules: list[Path], tmp_path: Path
) -> None:
    west, east, columns = side
    store(published, granules, SMALL)
    outcome = published.invoke(
        tmp_path, ["uwnd", "nobs"], bbox=[west, -20, east, 20],
        temporal={"start": "1993-01-01T06:00:00Z", "end": "1993-01-02T11:59:59Z"},
    )  # fmt: skip
    assert outcome.status == 0, outcome.error
    stored = raw(granules[0], "longitude")[columns]
    with netCDF4.Dataset(outcome.data[0]) as nc:
        nc.set_auto_maskandscale(False)
        assert set(nc.variables) == {"time", "latitude", "longitude", "uwnd", "nobs"}
        for name in ("uwnd", "nobs"):
            expected = truth(granules, name)[1:6, 28:44][:, :, columns]
            np.testing.assert_array_equal(nc[name][:], expected)
        found = nc["longitude"][:]
        np.testing.assert_array_equal(np.diff(found), np.float32(2.5))
        np.testing.assert_array_equal(found % 360, stored % 360)
        np.testing.assert_array_equal(nc["time"][:], 6.0 * np.arange(1, 6))
    box = outcome.items[0]["bbox"]
    assert box == [west, -20, east, 20]


@pytest.mark.scale
def test_month_of_47056_steps_is_that_of_the_granules(
    published: Publication, granules: list[Path], tmp_path: Path
) -> None:
    store(published, granules, FULL)
    outcome = published.invoke(
        tmp_path, bbox=[-10, -20, 10, 20],
        temporal={"start": "2020-02-01T00:00:00Z", "end": "2020-02-29T23:59:59Z"},
    )  # fmt: skip
    assert outcome.status == 0, outcome.error
    first = (np.datetime64("2020-02-01") - np.datetime64("1993-01-01")).astype(int) * PER_DAY
    steps = np.arange(first, first + 29 * PER_DAY)
    with netCDF4.Dataset(outcome.data[0]) as nc:
        nc.set_auto_maskandscale(False)
        np.testing.assert_array_equal(nc["time"][:], 6.0 * steps)
        for name in WINDS:
            expected = truth(granules, name)[steps % SMALL][:, 28:44][:, :, GREENWICH[2]]
            np.testing.assert_array_equal(nc[name][:], expected)
