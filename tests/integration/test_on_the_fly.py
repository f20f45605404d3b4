"""Selected granules of a collection without any store are answered from the granules themselves.

Each order is a process of its own, behind query-cmr's catalogue, with the stand-in for CMR.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
from invocation import CANARY, Outcome, invoke, make_message
from servers import Server, cmr_server, file_server
from world import umm_collection, umm_granule, write_days, write_stac

DAYS = 4
BOX = [20.0, -40.0, 60.0, 30.0]


@dataclass
class Archive:
    """Granules on an HTTP server, their records, and no store of any form."""

    files: list[Path]
    http: Server
    cmr: Server
    items: list[dict[str, Any]]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    root = tmp_path_factory.mktemp("archive")
    files = write_days(root, DAYS)
    with file_server(root) as http:
        records, items = [], []
        for number, path in enumerate(files):
            times = (f"2024-01-0{number + 2}T00:00:00Z", f"2024-01-0{number + 2}T23:59:59Z")
            href, concept = f"{http.url}/{path.name}", f"G{number}-T"
            link = {"URL": href, "Type": "GET DATA", "MimeType": "application/x-netcdf4"}
            records.append(umm_granule(concept, "C1-T", path.stem, [link], times=times))
            asset = {"data": {"href": href, "type": "application/x-netcdf4", "roles": ["data"]}}
            items.append({"concept_id": concept, "name": path.stem, "times": times,
                          "assets": asset})  # fmt: skip
        with cmr_server({"C1-T": umm_collection("C1-T", [])}, *records, token=CANARY) as cmr:
            yield Archive(files, http, cmr, items)


def order(archive: Archive, folder: Path, chosen: list[int], **environment: str) -> Outcome:
    """An order for a box of the chosen granules, as Harmony runs it."""
    told = [archive.items[own] for own in chosen]
    catalogue = write_stac(folder / "stac", "C1-T", told, archive.cmr.url)
    given = {
        "CMR_ENDPOINT": archive.cmr.url, "HARMONY_VDS_TRUSTED_PREFIXES": f"{archive.http.url}/",
        "SOURCE_DATE_EPOCH": "1700000000", "PYTHONWARNINGS": "ignore", **environment,
    }  # fmt: skip
    message = make_message("C1-T", bbox=BOX, variables=["analysed_sst"], concatenate=True)
    return invoke(message, folder, environment=given, sources=str(catalogue))


def expected(files: list[Path]) -> np.ndarray:
    """Packed values in the box by netCDF4 alone."""
    found = []
    for path in files:
        with netCDF4.Dataset(path) as nc:
            nc.set_auto_maskandscale(False)
            lat, lon = nc["lat"][:], nc["lon"][:]
            rows = nc["analysed_sst"][0][(lat >= BOX[1]) & (lat <= BOX[3])]
            found.append(rows[:, (lon >= BOX[0]) & (lon <= BOX[2])])
    return np.stack(found)


def test_selected_granules_are_one_output_with_the_values_of_their_files(
    archive: Archive, tmp_path: Path
) -> None:
    outcome = order(archive, tmp_path, [3, 1, 2])
    assert outcome.status == 0, outcome.stderr
    assert CANARY not in outcome.stderr
    (output,) = outcome.data
    with netCDF4.Dataset(output) as nc:
        nc.set_auto_maskandscale(False)
        np.testing.assert_array_equal(nc["analysed_sst"][...], expected(archive.files[1:]))
        named = " ".join(str(nc.getncattr(key)) for key in nc.ncattrs())
    for path in archive.files[1:]:
        assert path.name in named
    assert "vds-store" not in named  # the store was here for this order alone
    assert "described 3 granules" in outcome.stderr
    # Files as small as these are read whole to be described, which is part of the price.
    (item,) = outcome.items
    sizes = sum(own.stat().st_size for own in archive.files[1:])
    assert item["properties"]["virtual_store:bytes_read"] > sizes


@pytest.mark.scale
def test_same_order_gives_the_same_bytes(archive: Archive, tmp_path: Path) -> None:
    first, second = (order(archive, tmp_path / own, [0, 1]) for own in "ab")
    assert first.data[0].read_bytes() == second.data[0].read_bytes()


def test_more_granules_than_are_described_are_refused_with_the_numbers(
    archive: Archive, tmp_path: Path
) -> None:
    outcome = order(archive, tmp_path, [0, 1, 2], HARMONY_VDS_MAX_VIRTUALIZED="2")
    assert outcome.status != 0
    assert "3 granules are too many" in outcome.error["error"]
    assert "at most 2" in outcome.error["error"]
    assert outcome.error["category"] == "NoRetry"


def test_describing_that_takes_more_bytes_than_a_request_may_is_refused_with_the_numbers(
    archive: Archive, tmp_path: Path
) -> None:
    allowed = str(archive.files[0].stat().st_size * 3 // 2)
    outcome = order(archive, tmp_path, [0, 1, 2], HARMONY_VDS_MAX_READ_BYTES=allowed)
    assert outcome.status != 0
    told = outcome.error["error"]
    assert "Describing 3 granules would read" in told
    assert "HARMONY_VDS_MAX_READ_BYTES" in told
    assert "Select 1 granules" in told


def test_bytes_of_describing_and_of_data_are_held_to_one_limit(
    archive: Archive, tmp_path: Path
) -> None:
    for own in ("all", "less"):
        (tmp_path / own).mkdir()
    (item,) = order(archive, tmp_path / "all", [1, 2]).items
    took = item["properties"]["virtual_store:bytes_read"]
    limits = {"HARMONY_VDS_MAX_READ_BYTES": str(took - 1), "HARMONY_VDS_PARTS_SERVICE_ID": "S2-T"}
    archive.http.forget()
    outcome = order(archive, tmp_path / "less", [1, 2], **limits)
    assert outcome.status != 0
    assert outcome.error["category"] == "NoRetry"
    assert "HARMONY_VDS_MAX_READ_BYTES" in outcome.error["error"]
    assert "S2-T" not in outcome.error["error"]  # no other work item has the store
    assert "described 2 granules" in outcome.stderr  # they alone are not too much
    assert sum(own.sent for own in archive.http.asked) < took


@pytest.mark.scale
def test_granules_that_do_not_fit_together_are_named(archive: Archive, tmp_path: Path) -> None:
    with netCDF4.Dataset(archive.files[3], "r+") as nc:
        before = nc["lat"][:].copy()
        nc["lat"][:] = before[::-1]
    try:
        outcome = order(archive, tmp_path, [2, 3])
    finally:
        with netCDF4.Dataset(archive.files[3], "r+") as nc:
            nc["lat"][:] = before
    assert outcome.status != 0
    assert f"{archive.files[3].name} holds other values of lat" in outcome.error["error"]


@pytest.mark.scale
def test_operator_may_turn_it_off(archive: Archive, tmp_path: Path) -> None:
    outcome = order(archive, tmp_path, [0, 1], HARMONY_VDS_MAX_VIRTUALIZED="0")
    assert "name no virtual store" in outcome.error["error"]
