"""``harmony-vds inspect``: what it tells is what the granules hold, and defects are named."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import netCDF4
import pytest
from servers import cmr_server
from world import kerchunk_references, umm_collection, write_days, write_references

COMMAND = str(Path(sys.executable).parent / "harmony-vds")


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_days(tmp_path_factory.mktemp("archive"), 4)


@pytest.fixture(scope="module")
def store(days: list[Path]) -> Path:
    return write_references(days[0].parent / "store.json", kerchunk_references(days))


def inspect(store: Path | str, *options: str, status: int = 0, **environment: str) -> str:
    given = {**os.environ, "PYTHONWARNINGS": "default", **environment}
    done = subprocess.run(
        [COMMAND, "inspect", str(store), *options], env=given, capture_output=True, text=True,
        timeout=120,
    )  # fmt: skip
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


def test_people_see_a_tree_with_a_line_for_each_variable(store: Path) -> None:
    seen = inspect(store, "--trust", f"{store.parent}/")
    assert "kerchunk-json" in seen
    assert "nothing wrong was found" in seen
    (line,) = (line for line in seen.splitlines() if "analysed_sst" in line)
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
