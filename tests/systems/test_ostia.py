"""PO.DAAC OSTIA: kerchunk JSON on https whose twin refers to S3, with fill values in kelvin."""

import base64
import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
from conftest import SHARED
from systems.published import LAYOUTS, Publication, lengthened, publishing
from world import FILL, FIRST_NOON, kerchunk_references, write_granule, write_references

OSTIA = LAYOUTS["ostia"]
DAYS = 4
DAY = 86_400
SMALL, FULL = DAYS, OSTIA["dimensions"]["time"]
SHAPE = (360, 720)  # a tenth of the published grid, in as many chunks
CHUNKS = tuple(n // 10 for n in OSTIA["variables"]["analysed_sst"]["chunks"][1:])


@pytest.fixture(scope="module")
def granules(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("published") / "granules"
    folder.mkdir()
    return [
        write_granule(folder / f"{day}.nc", day, nlat=SHAPE[0], nlon=SHAPE[1], chunks=CHUNKS)
        for day in range(DAYS)
    ]


def with_published_defect(document: dict[str, Any]) -> dict[str, Any]:
    """The fill value as the publication has it: unpacked, and only in the attributes."""
    attributes = json.loads(document["refs"]["analysed_sst/.zattrs"])
    attributes["_FillValue"] = OSTIA["wrong_fill_value"]
    document["refs"]["analysed_sst/.zattrs"] = json.dumps(attributes)
    array = json.loads(document["refs"]["analysed_sst/.zarray"])
    document["refs"]["analysed_sst/.zarray"] = json.dumps(array | {"fill_value": 0})
    return document


def with_days(document: dict[str, Any], days: int) -> dict[str, Any]:
    """The document for `days` days, with their times inline."""
    document = lengthened(document, ["analysed_sst", "mask"], DAYS, days)
    times = (FIRST_NOON + DAY * np.arange(days)).astype("<i4")
    refs = {key: own for key, own in document["refs"].items() if not re.match(r"time/\d", key)}
    meta = {"shape": [days], "chunks": [days], "dtype": "<i4", "fill_value": None, "order": "C",
            "filters": None, "compressor": None, "zarr_format": 2}  # fmt: skip
    refs["time/.zarray"] = json.dumps(meta)
    refs["time/0"] = f"base64:{base64.b64encode(times.tobytes()).decode()}"
    return {"version": 1, "refs": refs}


@pytest.fixture
def published(granules: list[Path]) -> Iterator[Publication]:
    with publishing(granules[0].parent.parent, short_name=OSTIA["short_name"]) as publication:
        yield publication


def store(publication: Publication, granules: list[Path], days: int) -> str:
    """Both forms of the store; the record names S3's first, as some do."""
    here = {path.as_uri(): publication.url(path) for path in granules}
    document = kerchunk_references(granules, rename=here.__getitem__)
    document = with_published_defect(with_days(document, days))
    written = publication.root / Path(OSTIA["href"])
    written.parent.mkdir(parents=True, exist_ok=True)
    write_references(written, document)
    direct = "s3://podaac-ops-cumulus-public/" + OSTIA["pair"]
    publication.publish(direct, publication.url(written))
    return publication.url(written)


def truth(granules: list[Path], rows: slice, columns: slice) -> np.ndarray:
    fields = []
    for path in granules:
        with netCDF4.Dataset(path) as nc:
            nc.set_auto_maskandscale(False)
            fields.append(nc["analysed_sst"][0, rows, columns])
    return np.stack(fields)


@pytest.mark.parametrize("days", [SMALL, pytest.param(FULL, marks=pytest.mark.scale)])
def test_box_and_year_are_those_of_the_granules_and_land_is_missing(
    days: int, published: Publication, granules: list[Path], tmp_path: Path
) -> None:
    store(published, granules, days)
    outcome = published.invoke(
        tmp_path, ["analysed_sst"], bbox=[0, -20, 30, 20], short_name=OSTIA["short_name"],
        temporal={"start": "2024-01-02T00:00:00Z", "end": "2024-12-31T23:59:59Z"},
    )  # fmt: skip
    assert outcome.status == 0, outcome.error
    with netCDF4.Dataset(outcome.data[0]) as nc:
        sst = nc["analysed_sst"]
        assert sst.getncattr("_FillValue") == FILL
        assert sst.getncattr("_FillValue").dtype == np.int16
        decoded = sst[:]
        sst.set_auto_maskandscale(False)
        steps = min(days, 365)
        expected = truth(granules, slice(140, 220), slice(360, 420))[np.arange(steps) % DAYS]
        np.testing.assert_array_equal(sst[:], expected)
        np.testing.assert_array_equal(np.ma.getmaskarray(decoded), expected == FILL)
        assert (expected == FILL).any()
    assert "-54.53" in outcome.stderr  # what was repaired is told


@pytest.mark.parametrize("days", [SMALL, pytest.param(FULL, marks=pytest.mark.scale)])
def test_series_of_the_whole_record_at_a_point_is_that_of_the_granules(
    days: int, published: Publication, granules: list[Path], tmp_path: Path
) -> None:
    store(published, granules, days)
    published.archive.forget()
    row, column = 141, 512  # cells of half a degree
    outcome = published.invoke(
        tmp_path, ["analysed_sst"], short_name=OSTIA["short_name"], format={"mime": "text/csv"},
        subset={"dimensions": [], "point": [column / 2 - 179.9, row / 2 - 89.9]},
    )  # fmt: skip
    assert outcome.status == 0, outcome.error
    with outcome.data[0].open(newline="") as file:
        rows = list(csv.DictReader(file))
    stored = truth(granules, slice(row, row + 1), slice(column, column + 1)).ravel()
    expected = (stored * 0.01 + 273.15)[np.arange(days) % DAYS]
    np.testing.assert_allclose([float(own["analysed_sst"]) for own in rows], expected, atol=1e-4)
    seconds = (FIRST_NOON + DAY * np.arange(days)).astype("<i4")  # which end in 2049
    stamps = np.datetime64("1981-01-01T00:00:00") + seconds.astype("timedelta64[s]")
    assert [own["time"] for own in rows] == [f"{own}Z" for own in stamps.astype(str)]
    properties = outcome.items[0]["properties"]
    asked = [own for own in published.archive.asked if own.path.endswith(".nc")]
    fetched = [own for own in asked if own.status == 206]
    # Each chunk once, beside the few that tell where coordinates and the grid mapping are.
    assert len(fetched) <= properties["virtual_store:chunks"] + 10
    assert properties["virtual_store:chunks"] <= days + 10


@pytest.mark.shared
def test_store_is_found_in_the_record_of_its_sister_collection(
    granules: list[Path], tmp_path: Path
) -> None:
    (path,) = sorted((SHARED / "umm").glob("collection_MUR-JPL-L4-GLOB*.json"))[:1]
    record = json.loads(path.read_text())
    with publishing(granules[0].parent.parent, record) as published:
        href = store(published, granules, SMALL)
        outcome = published.invoke(tmp_path, ["analysed_sst"], bbox=[0, -20, 30, 20])
    assert outcome.status == 0, outcome.error
    with netCDF4.Dataset(outcome.data[0]) as nc:
        nc.set_auto_maskandscale(False)
        expected = truth(granules, slice(140, 220), slice(360, 420))
        np.testing.assert_array_equal(nc["analysed_sst"][:], expected)
    assert outcome.items[0]["properties"]["virtual_store:href"] == href


def test_times_of_one_value_each_are_read_in_merged_ranges(
    published: Publication, granules: list[Path], tmp_path: Path
) -> None:
    days = 3_000
    href = store(published, granules, days)
    written = published.root / OSTIA["href"]
    document = json.loads(written.read_text())
    times = (FIRST_NOON + DAY * np.arange(days)).astype("<i4")
    (published.root / "times.bin").write_bytes(times.tobytes())
    url = f"{published.archive.url}/times.bin"
    array = json.loads(document["refs"]["time/.zarray"])
    document["refs"]["time/.zarray"] = json.dumps(array | {"chunks": [1]})
    document["refs"] |= {f"time/{day}": [url, 4 * day, 4] for day in range(days)}
    write_references(written, document)
    published.archive.forget()
    outcome = published.invoke(
        tmp_path, ["analysed_sst"], bbox=[0, -20, 30, 20],
        temporal={"start": "2025-03-01T00:00:00Z", "end": "2025-03-03T23:59:59Z"},
    )  # fmt: skip
    assert outcome.status == 0, outcome.error
    assert outcome.items[0]["properties"]["virtual_store:href"] == href
    asked = [own for own in published.archive.asked if own.path == "/times.bin"]
    assert sum(own.sent for own in asked if own.status == 206) <= 2 * times.nbytes
    assert len(asked) <= 2  # all of them in the plan, and those that are written
    with netCDF4.Dataset(outcome.data[0]) as nc:
        start = (np.datetime64("2025-03-01T12:00:00") - np.datetime64("1981-01-01")).astype(int)
        np.testing.assert_array_equal(nc["time"][:], start + DAY * np.arange(3))
