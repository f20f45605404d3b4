"""``harmony-vds check`` ends as a producer's CI needs it, and prints the entry for the record."""

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator
from servers import cmr_server
from typer.testing import CliRunner, Result
from world import kerchunk_references, umm_collection, write_days, write_references

from harmony_vds.cli.main import app

PUBLISHED = "https://archive.example.org/virtual/sst.json"


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_days(tmp_path_factory.mktemp("archive"), 4)


@pytest.fixture(scope="module")
def store(days: list[Path]) -> Path:
    return write_references(days[0].parent / "store.json", kerchunk_references(days))


def check(*arguments: object, **environment: str) -> Result:
    return CliRunner().invoke(app, ["check", *map(str, arguments)], env=environment)


def record(folder: Path, entry: dict[str, Any] | None) -> Path:
    told = umm_collection("C1-TEST", [])
    told["umm"]["RelatedUrls"] = [] if entry is None else [entry]
    path = folder / "umm.json"
    path.write_text(json.dumps(told["umm"]))
    return path


def test_good_store_ends_with_0_and_its_entry_is_what_the_record_then_needs(
    store: Path, tmp_path: Path
) -> None:
    options = ("--trust", f"{store.parent}/", "--url", PUBLISHED)
    first = check(store, *options, "--json")
    assert first.exit_code == 0, first.output
    entry = json.loads(first.output)["RelatedUrl"]
    assert entry["URL"] == PUBLISHED
    assert check(store, *options, "--record", record(tmp_path, entry)).exit_code == 0
    unnamed = check(store, *options, "--record", record(tmp_path, None))
    assert unnamed.exit_code == 1
    assert "none of its RelatedUrls names this store" in unnamed.output


def test_entry_of_other_type_is_a_warning_which_strict_makes_a_defect(
    store: Path, tmp_path: Path
) -> None:
    entry = {"URL": PUBLISHED, "URLContentType": "DistributionURL", "Type": "GET DATA"}
    options = (store, "--trust", f"{store.parent}/", "--url", PUBLISHED,
               "--record", record(tmp_path, entry))  # fmt: skip
    told = check(*options)
    assert told.exit_code == 0
    assert "says nothing for Subtype, where VIRTUAL COLLECTION is understood" in told.output
    assert check(*options, "--strict").exit_code == 1


def test_references_that_lead_where_nobody_trusts_are_a_defect(
    days: list[Path], tmp_path: Path
) -> None:
    moved = kerchunk_references(
        days, lambda url: f"s3://strangers/{url.rpartition('/')[2]}", inline=300
    )
    store = write_references(tmp_path / "store.json", moved)
    entry = {"URL": PUBLISHED, "URLContentType": "DistributionURL", "Type": "GET DATA",
             "Subtype": "VIRTUAL COLLECTION"}  # fmt: skip
    told = check(store, "--url", PUBLISHED, "--record", record(tmp_path, entry))
    assert told.exit_code == 1, told.output
    assert "lead astray: s3://strangers/" in " ".join(told.output.split())


def test_what_cannot_be_read_ends_with_2(tmp_path: Path) -> None:
    (tmp_path / "text.json").write_text("no references")
    assert check(tmp_path / "text.json").exit_code == 2
    assert check(tmp_path / "absent.icechunk").exit_code == 2


def test_collection_is_judged_by_its_record_in_cmr(store: Path) -> None:
    known = {"C1-TEST": umm_collection("C1-TEST", [store.as_uri()])}
    with cmr_server(known) as cmr:
        told = check(
            "C1-TEST", CMR_ENDPOINT=cmr.url,
            HARMONY_VDS_TRUSTED_PREFIXES=f"{store.parent.as_uri()}/",
        )  # fmt: skip
    assert told.exit_code == 0, told.output
    assert "can be read from here only" in " ".join(told.output.split())


@pytest.mark.shared
def test_entry_is_valid_against_the_schema_of_records(data: Path) -> None:
    from harmony_vds.inspection.placement import related_url
    from harmony_vds.model.store import ManifestFormat

    folder = data.parent / "schemas" / "umm" / "collection"
    common = json.loads((folder / "umm-cmn-json-schema.json").read_text())
    schema = {"definitions": common["definitions"], "$ref": "#/definitions/RelatedUrlType"}
    for kind in (own for own in ManifestFormat if own.is_published):
        Draft7Validator(schema).validate(related_url(PUBLISHED, kind))
