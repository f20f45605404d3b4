"""Whole invocations over granules that have DMR++ sidecars alone: one output where they fit
together, and one for each where they do not."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import netCDF4
import numpy as np
import pytest
from dmrpp import write_dmrpp
from invocation import CANARY, invoke, make_message
from servers import Server, cmr_server, file_server
from systems.kits import raw
from world import umm_collection, umm_granule, write_days, write_granule, write_stac

FITTING, SHIFTED = "C1-TEST", "C2-TEST"
BOX = [-30.0, -20.0, 40.0, 35.0]


def day_of(number: int) -> tuple[str, str]:
    return f"2024-01-{number + 2:02d}T00:00:00.000Z", f"2024-01-{number + 2:02d}T23:59:59.000Z"


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Four days, each counting its time from its own midnight, and one on another grid."""
    root = tmp_path_factory.mktemp("sidecars")
    paths = write_days(root, 4)
    for number, path in enumerate(paths):
        with netCDF4.Dataset(path, "a") as nc:
            nc["time"].units = f"seconds since 2024-01-{number + 2:02d}"
            nc["time"][:] = [43_200]
    shifted = write_granule(root / "shifted.nc", 4, lon_from=-170.0)
    for path in (*paths, shifted):
        write_dmrpp(path, path.with_name(f"{path.name}.dmrpp"))
    return [*paths, shifted]


@pytest.fixture(scope="module")
def world(days: list[Path]) -> Iterator[tuple[Server, Server]]:
    with file_server(days[0].parent) as http:
        granules = [
            umm_granule(
                f"G{number}{collection[1]}-TEST", collection, path.stem,
                [
                    {"URL": f"{http.url}/{path.name}", "Type": "GET DATA"},
                    {"URL": f"{http.url}/{path.name}.dmrpp", "Type": "EXTENDED METADATA",
                     "Subtype": "DMR++"},
                ],
                times=day_of(number),
            )
            for collection, chosen in ((FITTING, days[:4]), (SHIFTED, days[3:]))
            for number, path in enumerate(days) if path in chosen
        ]  # fmt: skip
        records = {own: umm_collection(own, []) for own in (FITTING, SHIFTED)}
        with cmr_server(records, *granules, token=CANARY) as cmr:
            yield http, cmr


def environment(world: tuple[Server, Server]) -> dict[str, str]:
    http, cmr = world
    return {"CMR_ENDPOINT": cmr.url, "PYTHONWARNINGS": "ignore",
            "HARMONY_VDS_TRUSTED_PREFIXES": f"{http.url}/"}  # fmt: skip


def check(data: Path, granules: list[Path]) -> None:
    lat, lon = raw(granules[0], "lat"), raw(granules[0], "lon")
    rows = (lat >= BOX[1]) & (lat <= BOX[3])
    columns = (lon >= BOX[0]) & (lon <= BOX[2])
    for name in ("analysed_sst", "mask"):
        wanted = np.concatenate([raw(own, name)[:, rows][:, :, columns] for own in granules])
        np.testing.assert_array_equal(raw(data, name), wanted)
    told = [moment for own in (*granules, data) for moment in moments(own)]
    assert told[: len(granules)] == told[len(granules) :]


def moments(path: Path) -> list[object]:
    with netCDF4.Dataset(path) as nc:
        found = netCDF4.num2date(nc["time"][:], nc["time"].units)
    return [(own.year, own.month, own.day, own.hour, own.minute, own.second) for own in found]


def test_granules_that_the_request_meets_are_one_output(
    world: tuple[Server, Server], days: list[Path], tmp_path: Path
) -> None:
    world[0].forget()
    times = {"start": "2024-01-03T00:00:00Z", "end": "2024-01-05T12:30:00Z"}
    message = make_message(FITTING, variables=["analysed_sst", "mask"], bbox=BOX, temporal=times)
    outcome = invoke(message, tmp_path, environment=environment(world))
    assert outcome.status == 0, outcome.error
    (data,) = outcome.data
    check(data, days[1:4])
    sidecars = [path for path in world[0].paths() if path.endswith(".dmrpp")]
    assert sorted(sidecars) == sorted(f"/{own.name}.dmrpp" for own in days[1:4])
    members = [f"{world[0].url}/{own.name}.dmrpp" for own in days[1:4]]
    assert outcome.items[0]["properties"]["virtual_store:members"] == members
    with netCDF4.Dataset(data) as nc:
        assert nc.virtual_store_members.split() == members
        assert json.loads(nc.history_json)[-1]["derived_from"] == members


def test_selected_granules_are_one_output_in_the_order_of_their_times(
    world: tuple[Server, Server], days: list[Path], tmp_path: Path
) -> None:
    chosen = [
        {"concept_id": f"G{number}1-TEST", "name": days[number].stem, "times": day_of(number),
         "assets": {"data": {"href": f"{world[0].url}/{days[number].name}"}}}
        for number in (3, 0)
    ]  # fmt: skip
    catalog = write_stac(tmp_path / "input", FITTING, chosen, world[1].url)
    message = make_message(FITTING, variables=["analysed_sst", "mask"], bbox=BOX)
    outcome = invoke(message, tmp_path, environment=environment(world), sources=str(catalog))
    assert outcome.status == 0, outcome.error
    (data,) = outcome.data
    check(data, [days[0], days[3]])


def test_granules_that_do_not_fit_together_are_an_output_each(
    world: tuple[Server, Server], days: list[Path], tmp_path: Path
) -> None:
    message = make_message(SHIFTED, variables=["analysed_sst", "mask"], bbox=BOX)
    outcome = invoke(message, tmp_path, environment=environment(world))
    assert outcome.status == 0, outcome.error
    assert len(outcome.data) == 2
    by_name = sorted(outcome.data, key=lambda path: "shifted" in path.name)
    for data, own in itertools.zip_longest(by_name, days[3:]):
        check(data, [own])
    assert "The granules are no stack: /lon: shifted.nc has other values" in outcome.stderr


def test_more_granules_than_the_operator_allows_are_refused_with_the_number(
    world: tuple[Server, Server], tmp_path: Path
) -> None:
    allowed = {**environment(world), "HARMONY_VDS_MAX_STORES": "3"}
    outcome = invoke(make_message(FITTING, bbox=BOX), tmp_path, environment=allowed)
    assert outcome.status != 0
    assert "more than 3" in outcome.error["error"]
    assert "HARMONY_VDS_MAX_STORES" in outcome.error["error"]
