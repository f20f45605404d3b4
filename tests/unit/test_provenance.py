"""History, coverage and remarks that an output carries."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from harmony_vds import __version__
from harmony_vds.model.extent import BoundingBox, TimeRange
from harmony_vds.model.plan import Cost, GridPlan, Plan
from harmony_vds.model.store import ManifestFormat, StoreLocation
from harmony_vds.outputs.provenance import global_attributes

NOTHING = Cost(chunks=0, requests=0, bytes_read=0, bytes_decoded=0, bytes_written=0,
               peak_memory=0, peak_disk=0, missing=0)  # fmt: skip


@pytest.fixture(autouse=True)
def pinned_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")


def plan(**changes: Any) -> Plan:
    bare = Plan(
        location=StoreLocation("https://example.org/s", ManifestFormat.ICECHUNK, "SNAPSHOT"),
        variables=(), selection={}, grids=(), time_axes=(), coverage=None,
        asked={"collection": "C1-DEMO", "variables": ["sst", "ice"]}, notes=(), cost=NOTHING,
    )  # fmt: skip
    return replace(bare, **changes)


def box(*edges: float) -> GridPlan:
    return GridPlan("/lon", "/lat", BoundingBox(*edges))


@pytest.mark.parametrize(
    "existing, kept",
    [
        (None, []),
        ("", []),
        ("not json", []),
        ('[{"program": "a"}, {"program": "b"}]', [{"program": "a"}, {"program": "b"}]),
        ('{"program": "alone"}', [{"program": "alone"}]),
    ],
)
def test_history_json_is_a_list_to_which_one_entry_is_appended(
    existing: str | None, kept: list[Any]
) -> None:
    source = {} if existing is None else {"history_json": existing}
    *earlier, entry = json.loads(global_attributes(source, plan())["history_json"])
    assert earlier == kept
    assert entry["program"] == "harmony-vds"
    assert entry["derived_from"] == ["https://example.org/s"]
    kept_store = {"href": "https://example.org/s", "kind": "icechunk", "group": "",
                  "snapshot": "SNAPSHOT"}  # fmt: skip
    assert entry["parameters"] == {"collection": "C1-DEMO", "variables": ["sst", "ice"],
                                   "snapshot": "SNAPSHOT", "store": kept_store,
                                   "request": {}}  # fmt: skip


def test_history_starts_where_there_was_none() -> None:
    line = global_attributes({}, plan())["history"]
    assert line == (
        f"2023-11-14T22:13:20Z harmony-vds {__version__} (collection=C1-DEMO, variables=sst,ice)"
    )


def test_history_keeps_every_line_that_was_there() -> None:
    history = global_attributes({"history": "one\ntwo"}, plan())["history"]
    assert history.split("\n")[:2] == ["one", "two"]
    assert len(history.split("\n")) == 3


def test_coverage_of_data_without_grid_or_time_stays_as_it_was() -> None:
    source = {"geospatial_lat_min": -90.0, "time_coverage_start": "2000-01-01T00:00:00Z"}
    told = global_attributes(source, plan())
    assert source.items() <= told.items()
    assert "geospatial_lon_min" not in told


def test_coverage_spans_all_grids_and_ghrsst_names_only_where_the_source_has_them() -> None:
    cut = plan(grids=(box(-10, -5, 0, 5), box(-20, 0, -5, 8)))
    told = global_attributes({"northernmost_latitude": 90.0}, cut)
    assert (told["geospatial_lon_min"], told["geospatial_lon_max"]) == (-20, 0)
    assert (told["geospatial_lat_min"], told["geospatial_lat_max"]) == (-5, 8)
    assert told["northernmost_latitude"] == 8
    assert "southernmost_latitude" not in told


def test_time_coverage_and_duration_are_those_of_the_kept_steps() -> None:
    covered = TimeRange(datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 3, 12, tzinfo=UTC))
    source = {"time_coverage_duration": "P30D", "stop_time": "20240131T000000Z"}
    told = global_attributes(source, plan(coverage=covered))
    assert told["time_coverage_start"] == "2024-01-01T00:00:00Z"
    assert told["time_coverage_end"] == "2024-01-03T12:00:00Z"
    assert told["time_coverage_duration"] == "PT216000S"  # 60 hours
    assert told["stop_time"] == "20240103T120000Z"
    assert "start_time" not in told


@pytest.mark.parametrize("missing", [0, 3])
def test_missing_chunks_and_notes_are_told(missing: int) -> None:
    priced = plan(cost=replace(NOTHING, chunks=10, missing=missing), notes=("No end was given.",))
    told = global_attributes({}, priced)
    assert told["virtual_store_missing_chunks"] == missing
    assert "whole collection" in told["virtual_store_notes"]
    assert "No end was given." in told["virtual_store_notes"]
    assert ("3 of the 10 chunks" in told["virtual_store_notes"]) == bool(missing)


def test_store_and_snapshot_are_named() -> None:
    told = global_attributes({}, plan())
    assert told["virtual_store"] == "https://example.org/s"
    assert told["virtual_store_snapshot"] == "SNAPSHOT"
    unpinned = plan(location=StoreLocation("https://example.org/s", ManifestFormat.KERCHUNK_JSON))
    assert "virtual_store_snapshot" not in global_attributes({}, unpinned)
