"""Every place in a record that may name a store: what is taken from it, and what is not."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from conftest import REPOSITORY
from jsonschema import Draft7Validator
from referencing import Registry
from referencing.jsonschema import DRAFT4
from world import umm_collection, umm_granule, umm_grid, umm_service, umm_variable

from harmony_vds.discovery.candidates import Candidate, candidates_of, ranked
from harmony_vds.discovery.cmr import Record
from harmony_vds.discovery.links import Link, links_of, stores_among
from harmony_vds.discovery.placements.collection import (
    associated_collections,
    association_links,
    collection_links,
)
from harmony_vds.discovery.placements.granule import (
    data_hrefs,
    granule_box,
    granule_links,
    granule_time,
    sidecar_candidates,
    store_candidates,
)
from harmony_vds.discovery.placements.grid import recorded_grid
from harmony_vds.discovery.placements.service import service_links
from harmony_vds.discovery.placements.variable import instance_link, related_links
from harmony_vds.discovery.shares import Linked, sidecar_shares, store_shares

GOLDEN = REPOSITORY / "tests" / "golden" / "placements.json"
SCHEMAS = REPOSITORY.parent / "shared" / "schemas" / "umm"
ARCHIVE = "https://archive.podaac.earthdata.nasa.gov/podaac-ops-cumulus-public/virtual_collections"
ASF = "https://cumulus.asf.earthdatacloud.nasa.gov/OPERA"
STACK = "OPERA_L3_DISP-S1_STACK_V1/OPERA_L3_DISP-S1_IW_F11116_VV_displacement.zarr.json.gz"
GRANULE = "OPERA_L3_DISP-S1_IW_F11116_VV_20160926T000000Z_v1.0"


def entry(url: str, type_: str = "GET DATA", subtype: str = "", **more: Any) -> dict[str, Any]:
    marked = {"Subtype": subtype} if subtype else {}
    return {"URL": url, "Type": type_, **marked, **more}


def frame_granule() -> dict[str, Any]:
    """A granule as OPERA publishes them, its own store and its frame's, twice each: synthetic."""
    key = f"OPERA_L3_DISP-S1_V1/{GRANULE}/{GRANULE}"
    direct = "GET DATA VIA DIRECT ACCESS"
    bucket = "s3://asf-cumulus-prod-opera-products"
    return umm_granule("G1-ASF", "C1-ASF", GRANULE, [
        entry(f"{ASF}/{key}.nc"), entry(f"{bucket}/{key}.nc", direct),
        entry(f"{ASF}/{key}.zarr.json.gz", Format="Zarr"),
        entry(f"{bucket}/{key}.zarr.json.gz", direct, Format="Zarr"),
        entry(f"{ASF}/{STACK}", Format="Zarr"), entry(f"{bucket}/{STACK}", direct, Format="Zarr"),
        entry("https://cumulus.asf.earthdatacloud.nasa.gov/s3credentials",
              "VIEW RELATED INFORMATION"),
    ])  # fmt: skip


def tempo_granule() -> dict[str, Any]:
    """A granule whose sidecar is public and whose data are not: synthetic."""
    name = "TEMPO_NO2_L3_V03_20240102T120000Z_S001.nc"
    host = "https://data.asdc.earthdata.nasa.gov"
    return umm_granule("G2-LARC", "C2-LARC", "TEMPO_S001", [
        entry(f"s3://asdc-prod-protected/TEMPO/{name}", "GET DATA VIA DIRECT ACCESS"),
        entry(f"{host}/asdc-prod-protected/TEMPO/{name}"),
        entry(f"{host}/asdc-prod-public/TEMPO/{name}.dmrpp", "EXTENDED METADATA", "DMR++",
              MimeType="application/vnd.opendap.dap4.dmrpp+xml"),
        entry(f"{host}/asdc-prod-public/TEMPO/{name}.dmrpp.missing", "EXTENDED METADATA",
              "DMR++ MISSING DATA"),
    ])  # fmt: skip


def collection() -> dict[str, Any]:
    """A collection that names stores in every way, and much that is none: synthetic."""
    base = f"{ARCHIVE}/DEMO/DEMO"
    record = umm_collection("C3-T", [f" {base}_virtual_s3.json ", f"{base}_virtual_https.json"])
    content = {"URLContentType": "DistributionURL"}
    record["umm"]["RelatedUrls"] += [
        entry("s3://asdc-prod-public/docs/TEMPO_L3_V04_icechunk_for_202601/",
              "GET DATA VIA DIRECT ACCESS", "VIRTUAL COLLECTION", **content),
        entry(f"{ARCHIVE}/daily", GetData={"Format": "Zarr", "Size": 1, "Unit": "GB"}, **content),
        entry(f"{ARCHIVE}/old.parquet", "VIEW RELATED INFORMATION", "DATA RECIPE", **content),
        entry("https://github.com/someone/recipes/a.zarr", "VIEW RELATED INFORMATION",
              "DATA RECIPE", **content),
        entry("https://cmr.earthdata.nasa.gov/virtual-directory/collections/C3-T", "GET DATA",
              "DATA TREE", **content),
        entry("https://search.earthdata.nasa.gov/search/granules?p=C3-T", **content),
        entry("https://doi.org/10.5067/DEMO.zarr", **content),
        entry(f"{ARCHIVE}/guide.html", "GET DATA", "VIRTUAL COLLECTION", **content),
        entry("https://registry.opendata.aws/mur.zarr", "GOTO WEB TOOL", **content),
        entry(f"{ARCHIVE}/a|n5:", "GET DATA", "VIRTUAL COLLECTION", **content),
    ]  # fmt: skip
    record["meta"]["association-details"] = {
        "grids": [{"concept-id": "GRD1-T", "data": {"icechunk_url": f"{ARCHIVE}/by_key",
                   "nested": [{"href": "icechunk+s3://asdc-prod-public/b@v2"}],
                   "homepage": "https://example.com/about"}}],
        "variables": [{"concept-id": "V1-T"}],
    }  # fmt: skip
    record["umm"]["MetadataAssociations"] = [
        {"Type": "CHILD", "EntryId": " DEMO_FRAMES ", "Version": "2"},
        {"Type": "RELATED", "EntryId": "DEMO_STATIC"}, {"Type": "INPUT", "EntryId": "DEMO_L2"},
        {"Type": "CHILD", "EntryId": "DEMO_FRAMES", "Version": "2"},
        {"Type": "PARENT", "EntryId": "DEMO_ALL"}, {"EntryId": "DEMO_WITHOUT_TYPE"},
    ]  # fmt: skip
    record["umm"]["AssociatedDOIs"] = [
        {"DOI": "https://doi.org/10.5067/DEMO-F", "Type": "Child Dataset"},
        {"DOI": "10.5067/DEMO-R", "Type": "Related Dataset"},
        {"DOI": "10.5067/DEMO-P", "Type": "Parent Dataset"},
        {"DOI": "10.5067/DEMO-C", "Type": "Field Campaign"},
        {"DOI": "10.5067/DEMO-0", "Type": "IsNewVersionOf"},
    ]
    return record


def variable() -> dict[str, Any]:
    """A variable with a store of its own, as the example of UMM-Var has it: synthetic."""
    return umm_variable("V1-T", "/product/rain", InstanceInformation={
        "URL": "s3://prod-giovanni-cache.s3.us-west-2.amazonaws.com/zarr/GPM_rain",
        "Format": "Zarr", "Description": "time series", "DirectDistributionInformation": {
            "Region": "us-west-2",
            "S3BucketAndObjectPrefixNames": ["prod-giovanni-cache", "zarr/GPM_rain"],
            "S3CredentialsAPIEndpoint": "https://api.giovanni.earthdata.nasa.gov/s3credentials",
            "S3CredentialsAPIDocumentationURL": "https://api.giovanni.earthdata.nasa.gov/doc"},
    }, RelatedURLs=[{"URL": f"{ARCHIVE}/rain.icechunk", "URLContentType": "DistributionURL",
                     "Type": "GET DATA", "Subtype": "VIRTUAL COLLECTION"}])  # fmt: skip


def service() -> dict[str, Any]:
    """A service that couples a virtual resource: synthetic."""

    def point(url: str, kind: str) -> dict[str, Any]:
        return {
            "OperationName": "SPATIAL_SUBSETTING", "DistributedComputingPlatform": ["HTTPS"],
            "ConnectPoint": {"ResourceLinkage": url},
            "CoupledResource": {"DataResource": {"DataResourceSourceType": kind}},
        }  # fmt: skip

    return umm_service("S1-T", "Virtual", OperationMetadata=[
        point(f"{ARCHIVE}/coupled", "Virtual"), point(f"{ARCHIVE}/map", "Map"),
    ], RelatedURLs=[{"URL": f"{ARCHIVE}/s.zarr/", "URLContentType": "DistributionURL",
                     "Type": "GET DATA"}])  # fmt: skip


GRIDS = (
    umm_grid("GRD1-T", "EASE-2 global, 9 km", "EPSG:6933", 1624, 3856)["umm"],
    umm_grid("GRD2-T", "polar", " +proj=stere +lat_0=90 +lat_ts=70 ", 448.0, 304.0)["umm"],
    umm_grid("GRD3-T", "half a cell", "EPSG:6933", 1624.5, 3856)["umm"],
    umm_grid("GRD4-T", "no CRS", "", 1624, 3856)["umm"],
    umm_grid("GRD5-T", "no size", "EPSG:6933", None, "many")["umm"],
    {"Name": "no definition"},
    {"GridDefinition": [3]},
)


def told(candidates: tuple[Candidate, ...]) -> list[dict[str, Any]]:
    """Candidates in plain values, without what they leave unsaid."""
    plain = [{**asdict(own), **asdict(own.url)} for own in candidates]
    return [{k: v for k, v in own.items() if v and k != "url"} for own in plain]


def all_placements() -> dict[str, Any]:
    record, frame, tempo = (
        collection(),
        granule_links(frame_granule()["umm"]),
        tempo_granule()["umm"],
    )
    by_store = ranked(candidates_of(collection_links(record["umm"])))
    instance = instance_link(variable()["umm"])
    assert instance is not None
    related = related_links(variable()["umm"]["RelatedURLs"], "/product/rain")
    return {
        "UMM-C RelatedUrls": [told(store) for store in by_store],
        "associated collections": list(associated_collections(record["umm"])),
        "Grid": [grid and asdict(grid) for grid in map(recorded_grid, GRIDS)],
        "association-details": told(candidates_of(association_links(record["meta"]))),
        "UMM-Var": told(candidates_of([instance, *related])),
        "UMM-S": told(candidates_of(service_links(service()["umm"]))),
        "UMM-G": told(store_candidates(frame, GRANULE)),
        "DMR++": told(sidecar_candidates(granule_links(tempo), "TEMPO_S001")),
    }


def test_placements_name_what_they_named_before(regenerate: bool) -> None:
    found = json.dumps(all_placements(), indent=2) + "\n"
    if regenerate:
        GOLDEN.write_text(found)
    assert found == GOLDEN.read_text()


def test_two_variants_of_one_reference_file_are_one_store_https_first() -> None:
    first = ranked(candidates_of(collection_links(collection()["umm"])))
    pairs = [[own.href.rpartition("/")[2] for own in store] for store in first if len(store) > 1]
    assert pairs == [["DEMO_virtual_https.json", "DEMO_virtual_s3.json"]]


def test_pages_tools_and_catalogues_are_no_stores() -> None:
    hrefs = {link.url for link in collection_links(collection()["umm"])}
    for part in ("github.com", "virtual-directory", "search.earthdata", "doi.org", ".html", "aws"):
        assert not any(part in href for href in hrefs if "asdc" not in href), part
    assert len(hrefs) == 6


def test_frame_and_granule_store_are_told_apart_by_the_granules_name() -> None:
    found = store_candidates(granule_links(frame_granule()["umm"]), GRANULE)
    assert [bool(own.granule) for own in found] == [True, True, False, False]
    endpoint = "https://cumulus.asf.earthdatacloud.nasa.gov/s3credentials"
    assert {own.credentials_endpoint for own in found} == {endpoint}


def test_https_and_direct_link_of_a_stack_are_one_answer() -> None:
    linked = [Linked.of_record(Record(**frame_granule()))] * 3
    (stacks,), (alone,) = store_shares(linked, stacks_first=True)
    assert [own.href.partition(":")[0] for own in stacks.candidates] == ["https", "s3"]
    assert stacks.is_stack
    assert len(stacks.granules) == 3
    assert not alone.is_stack


def test_sidecar_names_the_protected_data_and_not_its_own_place() -> None:
    (share,) = sidecar_shares([Linked.of_record(Record(**tempo_granule()))])
    (candidate,) = share.candidates
    assert "asdc-prod-public" in candidate.href
    assert candidate.data_href is not None
    assert candidate.data_href.startswith(
        "https://data.asdc.earthdata.nasa.gov/asdc-prod-protected/"
    )
    assert not candidate.data_href.endswith(".dmrpp")


def test_sidecar_without_data_link_describes_the_file_beside_it() -> None:
    links = links_of([entry("https://h.nasa.gov/p/a.nc.dmrpp", "EXTENDED METADATA")], "x")
    (candidate,) = sidecar_candidates(links, "a")
    assert candidate.data_href == "https://h.nasa.gov/p/a.nc"


def test_links_of_a_granule_teach_its_https_form() -> None:
    https, direct = data_hrefs(granule_links(frame_granule()["umm"]))
    assert len(https) == len(direct) == 3


def test_granule_without_time_has_none() -> None:
    assert granule_time({}) is None
    own = granule_time({"TemporalExtent": {"SingleDateTime": "2024-01-02T12:00:00Z"}})
    assert own is not None
    assert own.start == own.end


def extent(**geometry: Any) -> dict[str, Any]:
    return {"SpatialExtent": {"HorizontalSpatialDomain": {"Geometry": geometry}}}


def rectangle(*edges: object) -> dict[str, object]:
    sides = ("West", "South", "East", "North")
    return {f"{side}BoundingCoordinate": own for side, own in zip(sides, edges, strict=True)}


def polygon(*points: tuple[float, float]) -> dict[str, Any]:
    return {"Boundary": {"Points": [{"Longitude": x, "Latitude": y} for x, y in points]}}


NEAR, FAR = polygon((1, 2), (4, 3), (2, 6), (1, 2)), polygon((3, -1), (5, 0), (4, 1), (3, -1))


@pytest.mark.parametrize(
    ("umm", "box"),
    [
        (extent(BoundingRectangles=[rectangle(170, -5, -170, 5)]), (170, -5, -170, 5)),
        (extent(GPolygons=[NEAR]), (1, 2, 4, 6)),
        (extent(GPolygons=[NEAR, FAR]), (1, -1, 5, 6)),
        (extent(GPolygons=[polygon((179, 0), (-179, 0), (180, 1), (179, 0))]), None),
        (extent(BoundingRectangles=[rectangle(0, 0, 1, 1), rectangle(5, 5, 6, 6)]), None),
        (extent(BoundingRectangles=[rectangle(0, 0, 1, 1)], GPolygons=[NEAR]), None),
        (extent(BoundingRectangles=[rectangle(0, 3, 1, 2)]), None),
        (extent(BoundingRectangles=[rectangle(0, None, 1, "x")]), None),
        (extent(GPolygons=[{"Boundary": None}]), None),
        (extent(GPolygons=3), None),
        ({"SpatialExtent": None}, None),
        ({}, None),
    ],
)
def test_granule_lies_where_its_record_says_in_one_piece(
    umm: dict[str, Any], box: tuple[float, ...] | None
) -> None:
    found = granule_box(umm)
    assert (found and (found.west, found.south, found.east, found.north)) == box


@pytest.mark.parametrize(
    "damaged",
    [None, 3, "x", {}, [None], [3], ["x"], [[]], [{}], [{"URL": None}], [{"URL": 3}],
     [{"URL": "https://[bad"}], [{"URL": "x", "Subtype": "VIRTUAL COLLECTION"}],
     [{"URL": "https://h/a.zarr", "GetData": 3}], [{"Type": ["GET DATA"]}]],
)  # fmt: skip
def test_damaged_entries_are_passed_over(damaged: object) -> None:
    for link in links_of(damaged, "x"):
        assert isinstance(link, Link)
    assert all(own.url.startswith("https://h/") for own in stores_among(links_of(damaged, "x")))


@pytest.mark.parametrize("text", ["kerchunk", "an Icechunk repository", "Virtual dataset of all"])
def test_publishers_words_make_a_store_only_of_what_may_be_a_manifest(text: str) -> None:
    def is_store(url: str) -> bool:
        return bool(stores_among(links_of([entry(url, Description=text)], "x")))

    assert is_store("s3://bucket/demo.json")
    assert is_store("https://h.nasa.gov/stores/demo")
    assert not is_store("https://h.nasa.gov/demo.nc")


def validator(kind: str, letter: str) -> Draft7Validator:
    folder = SCHEMAS / kind
    schema = json.loads((folder / f"umm-{letter}-json-schema.json").read_text())
    registry: Registry[Any] = Registry()
    for path in Path(folder).glob("*.json"):
        resource = DRAFT4.create_resource(json.loads(path.read_text()))
        registry = registry.with_resource(path.name, resource)
    return Draft7Validator(schema, registry=registry)


@pytest.mark.shared
@pytest.mark.parametrize(
    ("kind", "letter", "item"),
    [("granule", "g", frame_granule()), ("granule", "g", tempo_granule()),
     ("variable", "var", variable()), ("service", "s", service())],
    ids=["frame", "sidecar", "variable", "service"],
)  # fmt: skip
def test_synthetic_record_is_one_that_cmr_would_take(
    kind: str, letter: str, item: dict[str, Any]
) -> None:
    errors = [error.message for error in validator(kind, letter).iter_errors(item["umm"])]
    assert errors == []
