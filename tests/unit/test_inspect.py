"""``harmony-vds inspect``: what it tells is what the granules hold, and defects are named."""

import json
import os
from pathlib import Path
from typing import Any

import forks
import h5py
import netCDF4
import pytest
from servers import cmr_server
from typer.testing import CliRunner
from world import (
    kerchunk_references,
    umm_collection,
    virtual_dataset,
    write_days,
    write_icechunk,
    write_references,
)

from harmony_vds.cli.main import app


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_days(tmp_path_factory.mktemp("archive"), 4)


@pytest.fixture(scope="module")
def store(days: list[Path]) -> Path:
    return write_references(days[0].parent / "store.json", kerchunk_references(days))


def inspect(store: Path | str, *options: str, status: int = 0, **environment: str) -> str:
    given = {**os.environ, "PYTHONWARNINGS": "default", **environment}
    done = forks.run(forks.COMMAND_LINE, ["inspect", str(store), *options], given)
    assert done.returncode == status, done.stderr
    return done.stdout


def told(store: Path, *options: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        inspect(store, "--json", "--trust", f"{store.parent}/", *options)
    )
    return found


def test_variables_sizes_and_extent_are_those_of_the_granules(
    store: Path, days: list[Path]
) -> None:
    seen = told(store)
    by_path = {own["path"]: own for own in seen["variables"]}
    with netCDF4.Dataset(days[0]) as nc:
        assert set(by_path) == {f"/{name}" for name in nc.variables}
        own = by_path["/analysed_sst"]
        assert own["dtype"] == str(nc["analysed_sst"].dtype)
        assert list(own["sizes"].values()) == [len(days), *nc["analysed_sst"].shape[1:]]
        assert own["chunk_shape"] == nc["analysed_sst"].chunking()
    stored = 0
    for path in days:
        with h5py.File(path) as file:
            stored += file["analysed_sst"].id.get_storage_size()
    assert own["stored"] == stored
    assert seen["sources"] == len(days)
    assert seen["grids"][0]["bbox"] == [-180, -90, 180, 90]
    assert seen["times"][0]["covered"] == "2024-01-02T12:00:00Z/2024-01-05T12:00:00Z"
    assert seen["findings"] == []


def test_chunks_that_the_store_itself_holds_are_in_no_source_file(
    days: list[Path], tmp_path: Path
) -> None:
    write_icechunk(
        tmp_path / "store", {None: virtual_dataset(days)}, container=f"{days[0].parent.as_uri()}/"
    )
    seen = json.loads(inspect(tmp_path / "store", "--json", "--trust", str(tmp_path),
                              "--trust", str(days[0].parent)))  # fmt: skip
    assert seen["sources"] == len(days)


def test_people_see_a_tree_with_a_line_for_each_variable(store: Path) -> None:
    seen = inspect(store, "--trust", f"{store.parent}/")
    assert "kerchunk-json" in seen
    assert "nothing wrong was found" in seen
    (line,) = (own for own in seen.splitlines() if "analysed_sst" in own and "int16" in own)
    assert "int16" in line
    assert "time 4, lat 36, lon 72" in line


def test_each_defect_is_named_with_its_place(days: list[Path], tmp_path: Path) -> None:
    document = kerchunk_references(days)
    refs = document["refs"]
    del refs["analysed_sst/1.0.0"]
    attributes = json.loads(refs["mask/.zattrs"])
    refs["mask/.zattrs"] = json.dumps(attributes | {"grid_mapping": "nowhere"})
    refs["time/0"] = "base64:AAAAAAAAAAAAAAAAAAAAAA=="  # four times the same instant
    array = json.loads(refs["time/.zarray"])
    refs["time/.zarray"] = json.dumps(
        array | {"chunks": [4], "filters": None, "compressor": None, "fill_value": None}
    )
    for key in [key for key in refs if key.startswith("time/") and key[5] in "123"]:
        del refs[key]
    store = write_references(tmp_path / "defects.json", document)
    options = ("--trust", f"{days[0].parent}/")
    seen = told(store, *options)
    found = {(own["severity"], own["place"]): own["told"] for own in seen["findings"]}
    assert "1 of 36 chunks" in found["warning", "/analysed_sst"]
    assert "nowhere is not in the store" in found["warning", "/mask"]
    assert "3 values are repeated" in found["warning", "/time"]
    shown = inspect(store, "--trust", f"{tmp_path}/", *options)
    assert "warning time: 3 values are repeated" in shown


def test_collection_is_found_in_its_record(store: Path) -> None:
    records = {"C1-TEST": umm_collection("C1-TEST", [store.as_uri()])}
    with cmr_server(records) as cmr:
        trusted = f"{store.parent.as_uri()}/"
        seen = inspect("C1-TEST", CMR_ENDPOINT=cmr.url, HARMONY_VDS_TRUSTED_PREFIXES=trusted)
    assert store.as_uri() in seen


def run(*arguments: object) -> str:
    """What a command prints, run in this process."""
    done = CliRunner().invoke(app, list(map(str, arguments)))
    assert done.exit_code == 0, done.exception
    return done.output


def test_timeline_counts_steps_and_names_gaps(tmp_path: Path) -> None:
    files = write_days(tmp_path / "granules", 8)
    kept = [own for number, own in enumerate(files) if number not in (2, 3, 6)]
    store = write_references(tmp_path / "store.json", kerchunk_references(kept))
    options = ("--trust", f"{tmp_path}/")
    (line,) = json.loads(run("inspect", store, *options, "--json"))["timelines"]
    assert sum(line["counts"]) == 5
    assert [(own["after"], own["missing"]) for own in line["gaps"]] == [
        ("2024-01-03T12:00:00Z", 2), ("2024-01-07T12:00:00Z", 1),
    ]  # fmt: skip
    shown = run("inspect", store, *options)
    assert "no step between 2024-01-03T12:00:00Z and 2024-01-06T12:00:00Z: about 2 missing" in shown


def test_map_marks_where_cells_are_and_nowhere_else(tmp_path: Path) -> None:
    from PIL import Image
    from world import write_tile

    tile = write_tile(tmp_path / "tile.nc", 0, 20.0, -40.0)  # 20 to 30 east, 40 to 30 south
    store = write_references(tmp_path / "store.json", kerchunk_references([tile]))
    shown = run("inspect", store, "--trust", f"{tmp_path}/", "--map", tmp_path / "map.png")
    rows = [line[5:77] for line in shown.splitlines() if line[4:5] == "│" and len(line) > 70]
    marked = {(n, m) for n, row in enumerate(rows) for m, own in enumerate(row) if own != " "}
    assert marked == {(12, 40), (12, 41)}
    with Image.open(tmp_path / "map.png") as picture:
        sea, cell = (
            picture.getpixel(own) for own in ((28 + 2 * 95, 40), (28 + 2 * 205, 28 + 2 * 125))
        )
    assert sea != cell


def test_examples_are_priced_as_the_same_requests_are(store: Path) -> None:
    options = ("--trust", f"{store.parent}/", "--json")
    seen = json.loads(run("inspect", store, *options))
    by_access = {own["access"]: own for own in seen["examples"]}
    assert set(by_access) == {"map", "series"}
    moment = "2024-01-04T12:00:00Z"
    wanted = ("--variable", by_access["map"]["variable"].lstrip("/"), "--temporal", moment, moment)
    cost = json.loads(run("estimate", "--store", store, *wanted, *options))["cost"]
    assert by_access["map"]["asked"] == "at 2024-01-04T12:00:00Z"
    for name in ("chunks", "requests", "bytes_read", "bytes_decoded", "bytes_written"):
        assert by_access["map"][name] == cost[name], name
