"""UMM-C records, real and synthetic: where they name stores and what they let one read."""

import copy
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator
from referencing import Registry
from referencing.jsonschema import DRAFT4
from world import umm_collection

from harmony_vds.access.trust import Trust
from harmony_vds.discovery import umm
from harmony_vds.discovery.candidates import candidates_of, ranked
from harmony_vds.discovery.placements.collection import collection_links
from harmony_vds.errors import UntrustedError

SHARED = Path(__file__).parents[3] / "shared"
RECORDS = sorted((SHARED / "umm").glob("collection_*.json"))
# The one published way of naming a store, as PO.DAAC writes it in MUR's record.
VIRTUAL_COLLECTION = {
    "Description": "Virtual data set reference",
    "URLContentType": "DistributionURL",
    "Type": "GET DATA",
    "Subtype": "VIRTUAL COLLECTION",
    "URL": "https://archive.podaac.earthdata.nasa.gov/podaac-ops-cumulus-docs/ghrsst/open/docs/"
    "MUR-JPL-L4-GLOB-v4.1_combined-ref.json",
}


def umm_c_validator() -> Draft7Validator:
    folder = SHARED / "schemas" / "umm" / "collection"
    schema, common = (
        json.loads((folder / f"umm-{part}-json-schema.json").read_text()) for part in ("c", "cmn")
    )
    shared = DRAFT4.create_resource(common)
    registry = Registry().with_resource("umm-cmn-json-schema.json", shared)
    return Draft7Validator(schema, registry=registry)


def synthetic(path: Path, *hrefs: str) -> dict[str, Any]:
    """A copy of a real record with stores injected, brought to UMM-C 1.18.6: synthetic."""
    record = copy.deepcopy(json.loads(path.read_text())["umm"])
    record["MetadataSpecification"] = {
        "URL": "https://cdn.earthdata.nasa.gov/umm/collection/v1.18.6",
        "Name": "UMM-C", "Version": "1.18.6",
    }  # fmt: skip
    record.setdefault("RelatedUrls", [])
    for href in hrefs or (VIRTUAL_COLLECTION["URL"],):
        record["RelatedUrls"].append({**VIRTUAL_COLLECTION, "URL": href})
    return record


def hrefs(record: dict[str, Any]) -> list[str]:
    stores = ranked(candidates_of(collection_links(record)))
    return [own.href for store in stores for own in store]


@pytest.mark.shared
@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem[11:40])
def test_real_record_names_no_store_until_one_is_injected(path: Path) -> None:
    real = json.loads(path.read_text())["umm"]
    assert hrefs(real) == []
    record = synthetic(path)
    assert [error.message for error in umm_c_validator().iter_errors(record)] == []
    assert hrefs(record) == [VIRTUAL_COLLECTION["URL"]]
    (candidate,) = candidates_of(collection_links(record))
    assert candidate.found_in == f"UMM-C RelatedUrls[{len(record['RelatedUrls']) - 1}]"
    assert candidate.description == "Virtual data set reference"


@pytest.mark.shared
@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem[11:40])
def test_real_record_opens_its_own_buckets_and_folders_only(path: Path) -> None:
    record = synthetic(path)
    prefixes = umm.distribution_prefixes(record)
    trust = Trust((), ()).recording(prefixes)
    for spelled in record["DirectDistributionInformation"]["S3BucketAndObjectPrefixNames"]:
        assert trust.check(f"s3://{spelled.rstrip('/')}/granule.nc").scheme == "s3"
        bucket = spelled.partition("/")[0]
        with pytest.raises(UntrustedError):
            trust.check(f"s3://{bucket}/another_collection/granule.nc")
    assert umm.region(record) == "us-west-2"


@pytest.mark.shared
def test_record_of_the_tests_own_world_is_valid() -> None:
    record = umm_collection("C1-TEST", ["https://example.com/store", "s3://bucket/store"])["umm"]
    assert [error.message for error in umm_c_validator().iter_errors(record)] == []


def test_several_entries_are_listed_https_first_in_the_records_order() -> None:
    record = umm_collection(
        "C1-T",
        ["s3://b/new_virtual_s3.json", "https://h.example.com/new.json", "s3://b/old.json",
         "https://h.example.com/old.json"],
    )["umm"]  # fmt: skip
    assert hrefs(record) == [
        "https://h.example.com/new.json", "https://h.example.com/old.json",
        "s3://b/new_virtual_s3.json", "s3://b/old.json",
    ]  # fmt: skip


def test_blanks_trailing_slashes_and_repeats_are_cleaned_away() -> None:
    record = umm_collection(
        "C1-T", [" https://h.example.com/a.icechunk/ ", "https://h.example.com/a.icechunk\n", "  "]
    )["umm"]
    assert hrefs(record) == ["https://h.example.com/a.icechunk"]


@pytest.mark.parametrize("subtype", ["DIRECT DOWNLOAD", "DATA TREE", "", None])
def test_other_links_are_no_stores(subtype: str | None) -> None:
    record = umm_collection("C1-T", ["https://h.example.com/a.json"])["umm"]
    record["RelatedUrls"][0] |= {"Subtype": subtype, "Description": "Time series"}
    assert hrefs(record) == []
    assert hrefs({}) == hrefs({"RelatedUrls": None}) == []


@pytest.mark.parametrize(
    ("spelled", "readable", "refused"),
    [
        (["archive-bucket/PROD/"], "s3://archive-bucket/PROD/g.nc", "s3://archive-bucket/OTHER/g.nc"),
        (["archive-bucket/PROD"], "s3://archive-bucket/PROD/g.nc", "s3://archive-bucket/PROD2/g.nc"),
        (["s3://archive-bucket/PROD/"], "s3://archive-bucket/PROD/g.nc", "s3://archive-bucket/X/g.nc"),
        ([" s3://archive-bucket/PROD/ "], "s3://archive-bucket/PROD/g.nc", "s3://archive-bucket/X/g"),
        (["archive-bucket", "zarr/PROD"], "s3://archive-bucket/zarr/PROD/g.nc", "s3://zarr/PROD/g.nc"),
        (["archive-bucket", "PROD/"], "s3://archive-bucket/PROD/g.nc", "s3://PROD/g.nc"),
        (["archive-bucket", "MUR-JPL-L4-GLOB-v4.1/"], "s3://archive-bucket/MUR-JPL-L4-GLOB-v4.1/g.nc",
         "s3://MUR-JPL-L4-GLOB-v4.1/g.nc"),
        (["first-bucket/A/", "second-bucket/B/"], "s3://second-bucket/B/g.nc", "s3://first-bucket/B/g"),
        (["", "archive-bucket/PROD/"], "s3://archive-bucket/PROD/g.nc", "s3://other/PROD/g.nc"),
    ],
)  # fmt: skip
def test_direct_distribution_prefixes_in_every_spelling(
    spelled: list[str], readable: str, refused: str
) -> None:
    record = {"DirectDistributionInformation": {"S3BucketAndObjectPrefixNames": spelled}}
    trust = Trust((), ()).recording(umm.distribution_prefixes(record))
    trust.check(readable)
    with pytest.raises(UntrustedError):
        trust.check(refused)


@pytest.mark.parametrize(
    ("named", "region"),
    [
        ("us-west-2", "us-west-2"),
        (" us-east-1 ", "us-east-1"),
        ("us-gov-west-1", "us-gov-west-1"),
        (None, None),
        ("", None),
        # It becomes part of a host name.
        ("evil.example.com/", None),
        ("x.evil.example.com/?", None),
        ("us-west-2.evil.com#", None),
    ],
)
def test_only_the_name_of_a_region_is_taken_for_one(named: str | None, region: str | None) -> None:
    assert umm.region({"DirectDistributionInformation": {"Region": named}}) == region
    assert umm.region({}) is None


def test_notes_span_all_extents_and_stay_open_while_one_goes_on() -> None:
    ranges = [
        {"BeginningDateTime": "2002-06-01T09:00:00.000Z", "EndingDateTime": "2010-01-01T00:00:00Z"},
        {"BeginningDateTime": "2001-01-01", "EndingDateTime": "2012-06-30T23:59:59Z"},
    ]
    record: dict[str, Any] = {
        "TemporalExtents": [{"RangeDateTimes": ranges}], "EntryTitle": "T", "DOI": {"DOI": "10/x"},
    }  # fmt: skip
    found = umm.notes(record)
    assert found.start == datetime(2001, 1, 1, tzinfo=UTC)
    assert found.end == datetime(2012, 6, 30, 23, 59, 59, tzinfo=UTC)
    assert (found.title, found.doi) == ("T", "10/x")
    del ranges[0]["EndingDateTime"]
    assert umm.notes(record).end is None
    assert umm.notes({}).start is None
