"""What an output says of itself: CF, history, coverage, and golden copies of one answer."""

import json
import shutil
import warnings
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import netCDF4
import pytest
from systems.kits import (
    FORMS,
    Answer,
    ask,
    place,
    raw,
    request,
    root_attributes,
    services,
    write_store,
)
from world import write_days

from harmony_vds import __version__
from harmony_vds.model.places import Place

GOLDEN = Path(__file__).parents[1] / "golden"
SUITES = ("cf:1.6", "cf:1.7", "cf:1.8")


def complaints(path: Path) -> set[tuple[str, str, str]]:
    """What the ioos compliance-checker finds wrong with a file: (suite, section, message)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from compliance_checker.runner import CheckSuite

        suite = CheckSuite()
        suite.load_all_available_checkers()
        dataset = suite.load_dataset(str(path))
        found: set[tuple[str, str, str]] = set()
        for name in SUITES:
            groups, errors = suite.run_all(dataset, [name], [])[name]
            assert not errors
            found |= {(name, own.name, message) for own in groups for message in own.msgs}
        dataset.close()
    return found


def compliant_answer(form: str, files: list[Path], folder: Path, **wanted: Any) -> Path:
    """A copy of an answer that ends in .nc, as CF wants; Harmony's services write .nc4."""
    with place("file", files[0].parent, folder) as there:
        store = write_store(form, files, folder, there.granules)
        answer = ask(request(**wanted), there.stores + store, services(there), folder / "out")
    return Path(shutil.copy(answer.path, folder / "answer.nc"))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("box", [(10, -40, 70, 40), (170, -40, -170, 40)])
def test_compliance_checker_finds_nothing_in_output_that_is_not_in_the_source(
    form: str, box: tuple[float, ...], tmp_path: Path
) -> None:
    files = write_days(tmp_path / "granules", 2)
    output = compliant_answer(form, files, tmp_path, variables=("analysed_sst",), box=box)
    assert complaints(output) - complaints(files[0]) == set()


@pytest.mark.parametrize("form", FORMS)
def test_compliance_checker_finds_nothing_in_series_at_places(form: str, tmp_path: Path) -> None:
    files = write_days(tmp_path / "granules", 2)
    places = (Place(10.5, -20.25, "buoy"), Place(179.9, 10.0))
    with place("file", files[0].parent, tmp_path) as there:
        store = write_store(form, files, tmp_path, there.granules)
        asked = replace(request(variables=("analysed_sst",)), points=places)
        answer = ask(asked, there.stores + store, services(there), tmp_path / "out")
    output = Path(shutil.copy(answer.path, tmp_path / "answer.nc"))
    found = complaints(output) - complaints(files[0])
    # What the checker says of names that it did find is no complaint.
    assert {own for own in found if not own[2].endswith("found in same group")} == set()


@pytest.mark.shared
@pytest.mark.parametrize(
    "kit, pattern, box",
    [
        ("s02_ghrsst_gamssa_daily", "*.nc", (100, -50, 170, 0)),
        ("s05_nasa_ssh", "*.nc", (170, -50, -170, 0)),
        ("s27_hoss_ssmis", "*v7.nc", (-10, -50, 10, 0)),
    ],
)
def test_compliance_checker_finds_nothing_new_in_subsets_of_real_granules(
    kit: str, pattern: str, box: tuple[float, ...], data: Path, tmp_path: Path
) -> None:
    files = sorted((data / kit).glob(pattern))
    output = compliant_answer("icechunk", files, tmp_path, box=box)
    theirs = set().union(*(complaints(own) for own in files))
    assert complaints(output) - theirs == set()


# ---------------------------------------------------------------- history and coverage

BEFORE = [{"date_time": "2020-01-01T00:00:00Z", "program": "another-service"}]


@pytest.fixture
def days_with_history(tmp_path: Path) -> list[Path]:
    files = write_days(tmp_path / "granules", 3)
    for path in files:
        with netCDF4.Dataset(path, "r+") as nc:
            nc.history_json = json.dumps(BEFORE)
            nc.geospatial_lat_min = -90.0
            nc.geospatial_bounds = "POLYGON ((-90 -180, -90 180, 90 180, 90 -180, -90 -180))"
            nc.time_coverage_start = "1999-01-01T00:00:00Z"
            nc.time_coverage_duration = "P1D"
            nc.start_time = "19990101T000000Z"
            nc.westernmost_longitude = -180.0
    return files


def answer_from(
    files: list[Path], folder: Path, monkeypatch: pytest.MonkeyPatch, **wanted: Any
) -> Answer:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")  # 2023-11-14T22:13:20Z
    with place("file", files[0].parent, folder) as there:
        store = write_store("icechunk", files, folder, there.granules)
        return ask(request(**wanted), there.stores + store, services(there), folder / "out")


def test_history_gains_one_line_and_history_json_one_entry(
    days_with_history: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Harmony's services write them (history-v0.1.0.json): earlier entries stay."""
    answer = answer_from(days_with_history, tmp_path, monkeypatch,
                         variables=("analysed_sst",), box=(10, -40, 70, 40))  # fmt: skip
    told = root_attributes(answer.path)
    first, line = told["history"].split("\n")
    assert first == "written"
    assert line.startswith(f"2023-11-14T22:13:20Z harmony-vds {__version__} (")
    assert "bbox=10,-40,70,40" in line
    assert "variables=analysed_sst" in line

    *earlier, entry = json.loads(told["history_json"])
    assert earlier == BEFORE
    location = answer.prepared.plan.location
    assert set(entry) == {
        "$schema", "date_time", "program", "version", "parameters", "derived_from",
    }  # fmt: skip
    assert entry["$schema"].endswith("/history/0.1.0/history-v0.1.0.json")
    assert entry["date_time"] == "2023-11-14T22:13:20Z"
    assert (entry["program"], entry["version"]) == ("harmony-vds", __version__)
    assert entry["parameters"]["bbox"] == [10, -40, 70, 40]
    assert entry["parameters"]["variables"] == ["analysed_sst"]
    assert entry["parameters"]["snapshot"] == location.snapshot
    assert entry["derived_from"] == [location.href]


def test_coverage_is_that_of_the_kept_cells_and_steps(
    days_with_history: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cells of 5 degrees: those with centres inside the box reach from 170 to 190 and -40 to 40."""
    middle = _moment(days_with_history[1])
    answer = answer_from(days_with_history, tmp_path, monkeypatch, variables=("analysed_sst",),
                         box=(171, -39, -171, 39), times=(middle, middle))  # fmt: skip
    told = root_attributes(answer.path)
    assert (told["geospatial_lon_min"], told["geospatial_lon_max"]) == (170, 190)
    assert (told["geospatial_lat_min"], told["geospatial_lat_max"]) == (-40, 40)
    assert told["westernmost_longitude"] == 170
    assert told["geospatial_bounds"] == (
        "POLYGON ((-40.0 170.0, -40.0 190.0, 40.0 190.0, 40.0 170.0, -40.0 170.0))"
    )
    moment = f"{middle:%Y-%m-%dT%H:%M:%SZ}"
    assert told["time_coverage_start"] == told["time_coverage_end"] == moment
    assert told["start_time"] == f"{middle:%Y%m%dT%H%M%SZ}"
    assert told["time_coverage_duration"] == "PT0S"
    assert told["date_modified"] == "2023-11-14T22:13:20Z"
    assert told["title"] == "Demonstration sea surface temperature"


def _moment(granule: Path) -> datetime:
    seconds = int(raw(granule, "time")[0])
    return netCDF4.num2date(seconds, "seconds since 1981-01-01",
                            only_use_cftime_datetimes=False).replace(tzinfo=UTC)  # fmt: skip


# ---------------------------------------------------------------- golden copies


def compare(name: str, found: dict[str, Any], *, regenerate: bool) -> None:
    path = GOLDEN / name
    text = json.dumps(found, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    if regenerate:
        path.write_text(text)
    assert json.loads(text) == json.loads(path.read_text())


@pytest.fixture
def golden_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Answer, str]:
    """One answer with everything that varies from run to run pinned or named."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    monkeypatch.setenv("HARMONY_VDS_READER", "planned")
    files = write_days(tmp_path / "granules", 3)
    with place("file", files[0].parent, tmp_path) as there:
        store = write_store("virtualizarr", files, tmp_path, there.granules)
        days = _moment(files[0]), _moment(files[1])
        wanted = request(("analysed_sst",), (170.0, -40.0, -170.0, 40.0), days, "DEMO")
        return ask(wanted, there.stores + store, services(there), tmp_path / "out"), there.stores


def _without_place(text: str, answer: Answer, stores: str) -> str:
    snapshot = answer.prepared.plan.location.snapshot
    assert snapshot
    path = stores.removeprefix("file://")  # as recipes name it
    named = text.replace(stores, "STORES/").replace(path, "STORES/")
    return named.replace(snapshot, "DIGEST")


def _without_version(text: str) -> str:
    return text.replace(f"harmony-vds {__version__}", "harmony-vds VERSION").replace(
        f'"version": "{__version__}"', '"version": "VERSION"'
    )


def test_plan_is_told_as_in_the_golden_copy(
    golden_answer: tuple[Answer, str], regenerate: bool
) -> None:
    answer, _ = golden_answer
    told = json.loads(_without_place(json.dumps(answer.prepared.plan.as_json()), *golden_answer))
    compare("plan.json", told, regenerate=regenerate)


def test_global_attributes_are_as_in_the_golden_copy(
    golden_answer: tuple[Answer, str], regenerate: bool
) -> None:
    answer, _ = golden_answer
    told = {
        key: _without_version(_without_place(own, *golden_answer))
        if isinstance(own, str)
        else own.item()
        for key, own in root_attributes(answer.path).items()
    }
    compare("global_attributes.json", told, regenerate=regenerate)
