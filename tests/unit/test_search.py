"""The search for stores over a CMR with variables, services and granules: order, limits, trust."""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import shapely
import shapely.geometry
from invocation import CANARY
from servers import Server, cmr_server, failing_server
from world import umm_collection, umm_granule, umm_grid, umm_service, umm_variable

from harmony_vds.access.credentials import Credentials
from harmony_vds.access.loop import run
from harmony_vds.discovery.find import StoreSearch
from harmony_vds.discovery.granules import region_query
from harmony_vds.discovery.nearby import meets_shape
from harmony_vds.discovery.overrides import Overrides
from harmony_vds.errors import NoDataError, NoStoreError, TooLargeError, VdsError
from harmony_vds.model.extent import BoundingBox, TimeRange
from harmony_vds.model.places import Place
from harmony_vds.model.request import Granule, Request, Source, VariableLink
from harmony_vds.model.shape import Shape
from harmony_vds.model.store import ManifestFormat, RecordedGrid
from harmony_vds.pipeline import Services
from harmony_vds.settings import Settings
from harmony_vds.shapes.geojson import parse_shape

COLLECTION = "C1-TEST"


@contextlib.contextmanager
def searching(
    root: Path,
    *others: dict[str, Any],
    record: dict[str, Any] | None = None,
    source: Source | None = None,
    overrides: str = "",
    **asked: Any,
) -> Iterator[tuple[StoreSearch, Server]]:
    """A search over `others`, whose stores lie in `root`."""
    table = root / "collections.toml"
    table.write_text(overrides)
    with cmr_server({COLLECTION: record or umm_collection(COLLECTION, [])}, *others) as cmr:
        settings = Settings(cmr_endpoint=cmr.url, trusted_prefixes=(root.as_uri(),))
        with Services.of(settings, Credentials.of_token(CANARY)) as services:
            own = source or Source(COLLECTION, "DEMO")
            search = services.search(own, Request((own,), **asked))
            yield replace(search, overrides=Overrides.of_file(str(table))), cmr


def associated(**ids: list[str]) -> dict[str, Any]:
    record = umm_collection(COLLECTION, [])
    record["meta"]["associations"] = ids
    return record


def at_home(answer: Any) -> list[str]:
    return [own.locations[0].href.rpartition("/")[2] for own in answer]


def instance(root: Path, name: str) -> dict[str, str]:
    return {"URL": f"{root.as_uri()}/{name}.json", "Format": "Zarr"}


def marked(root: Path, name: str) -> dict[str, str]:
    return {"URL": f"{root.as_uri()}/{name}.json", "URLContentType": "DistributionURL",
            "Type": "GET DATA", "Subtype": "VIRTUAL COLLECTION"}  # fmt: skip


def test_variables_are_answered_from_stores_of_their_own_before_the_collections(
    tmp_path: Path,
) -> None:
    record = umm_collection(COLLECTION, [f"{tmp_path.as_uri()}/whole.json"])
    record["meta"]["associations"] = {"variables": ["V1-T", "V2-T", "V3-T"]}
    others = [
        umm_variable("V1-T", "/g/rain", InstanceInformation=instance(tmp_path, "rain")),
        umm_variable("V2-T", "snow", InstanceInformation=instance(tmp_path, "cold")),
        umm_variable("V3-T", "ice", InstanceInformation=instance(tmp_path, "cold")),
    ]
    source = Source(COLLECTION, "DEMO", variables=("g/rain", "snow", "ice"))
    with searching(tmp_path, *others, record=record, source=source) as (search, _):
        answers = list(search.answers())
    assert [at_home(answer) for answer in answers] == [["rain.json", "cold.json"], ["whole.json"]]
    assert [own.variables for own in answers[0]] == [("g/rain",), ("snow", "ice")]


def test_variable_without_a_store_leaves_the_collections(tmp_path: Path) -> None:
    record = umm_collection(COLLECTION, [f"{tmp_path.as_uri()}/whole.json"])
    record["meta"]["associations"] = {"variables": ["V1-T"]}
    rain = umm_variable("V1-T", "rain", InstanceInformation=instance(tmp_path, "rain"))
    source = Source(COLLECTION, "DEMO", variables=("rain", "snow"))
    with searching(tmp_path, rain, record=record, source=source) as (search, _):
        assert [at_home(answer) for answer in search.answers()] == [["whole.json"]]


def test_links_that_came_with_the_message_need_no_question_about_variables(tmp_path: Path) -> None:
    arrived = VariableLink(
        "rain", f"{tmp_path.as_uri()}/rain.json", "GET DATA", "VIRTUAL COLLECTION"
    )
    source = Source(COLLECTION, "DEMO", variables=("rain",), variable_links=(arrived,))
    record = associated(variables=["V1-T"])
    with searching(tmp_path, record=record, source=source) as (search, cmr):
        assert at_home(search.first()) == ["rain.json"]
        assert not [path for path in cmr.paths() if "variables" in path]


def test_services_are_asked_only_when_the_collection_names_nothing(tmp_path: Path) -> None:
    service = umm_service("S1-T", "Virtual", RelatedURLs=[marked(tmp_path, "service")])
    with searching(tmp_path, service, record=associated(services=["S1-T"])) as (search, _):
        assert at_home(search.first()) == ["service.json"]


def frames(root: Path, count: int, per: int = 3) -> list[dict[str, Any]]:
    """`count` frames of `per` granules each, whose stacks need not exist to be looked at."""
    return [
        umm_granule(f"G{frame}{number}-TEST", COLLECTION, f"F{frame:03d}_{number}",
                    [marked(root, f"STACK_{frame:03d}")], box=(frame, 0, frame + 0.5, 1))
        for frame in range(count) for number in range(per)
    ]  # fmt: skip


def test_stores_know_the_grids_that_are_associated_with_the_collection(tmp_path: Path) -> None:
    record = associated(grids=["GRD1-TEST", "GRD2-TEST"])
    record["umm"]["RelatedUrls"] = [marked(tmp_path, "daily")]
    (tmp_path / "daily.json").write_text("{}")
    grids = umm_grid("GRD1-TEST", "EASE", "EPSG:6933", 1624, 3856), umm_grid(
        "GRD2-TEST", "no CRS", "", 1, 1)  # fmt: skip
    with searching(tmp_path, *grids, record=record) as (search, _):
        (found,) = search.first()
    assert found.locations[0].grids == (RecordedGrid("EASE", "EPSG:6933", 1624, 3856),)


def test_grids_that_cmr_does_not_give_keep_nobody_waiting(tmp_path: Path) -> None:
    record = associated(grids=[f"GRD{number}-TEST" for number in range(30)])
    record["umm"]["RelatedUrls"] = [marked(tmp_path, "daily")]
    (tmp_path / "daily.json").write_text("{}")
    with searching(tmp_path, record=record) as (search, cmr):
        (found,) = search.first()
        asked = [own.query for own in cmr.asked if "grids" in own.path]
    assert found.locations[0].grids == ()
    assert len(asked) == 1
    assert len(asked[0]["concept_id[]"]) == 20


def test_granules_are_paged_until_the_distinct_stores_are_known(tmp_path: Path) -> None:
    with searching(tmp_path, *frames(tmp_path, 5)) as (search, cmr):
        query = {"collection_concept_id": COLLECTION}
        found = list(search.cmr.granules(query, page_size=4))
        assert [own.umm["GranuleUR"] for own in found] == sorted(
            f"F{frame:03d}_{number}" for frame in range(5) for number in range(3)
        )
        assert len(cmr.asked) == 4
        assert [own.headers.get("CMR-Search-After") for own in cmr.asked] == [
            None,
            "[4]",
            "[8]",
            "[12]",
        ]
        assert len(at_home(search.first())) == 5


def test_box_limits_the_search_for_frames(tmp_path: Path) -> None:
    asked = {"bbox": BoundingBox(1, 0, 2.2, 1)}
    with searching(tmp_path, *frames(tmp_path, 30), **asked) as (search, _):
        first = search.first()
    assert at_home(first) == ["STACK_001.json", "STACK_002.json"]
    assert [own.by_region for own in first] == [True, True]
    assert [own.notes.bbox for own in first] == [
        BoundingBox(1, 0, 1.5, 1), BoundingBox(2, 0, 2.5, 1)
    ]  # fmt: skip
    with (
        searching(tmp_path, *frames(tmp_path, 30)) as (search, _),
        pytest.raises(TooLargeError, match="more than 20 stores") as caught,
    ):
        search.first()
    assert "STACK_000" in str(caught.value)


def shaped(*geometries: shapely.Geometry) -> Shape:
    document = {"type": "GeometryCollection",
                "geometries": [shapely.geometry.mapping(own) for own in geometries]}  # fmt: skip
    return parse_shape(json.dumps(document).encode(), 1000)


def test_shape_limits_the_search_to_the_frames_that_it_meets(tmp_path: Path) -> None:
    diagonal = shapely.Polygon([(0, 0), (2.2, 0.9), (2.2, 1)])  # its box holds frame 1 below it
    asked = {"shape": shaped(shapely.box(10, 0, 10.1, 1), shapely.box(20.1, 0.2, 20.2, 0.3))}
    with searching(tmp_path, *frames(tmp_path, 30), **asked) as (search, cmr):
        assert at_home(search.first()) == ["STACK_010.json", "STACK_020.json"]
        question = next(own.query for own in cmr.asked if "options" in str(own.query))
    assert len(question["bounding_box[]"]) == 2
    few = [
        umm_granule(f"G{n}-T", COLLECTION, f"F{n}", [marked(tmp_path, f"S_{n}")], box=box)
        for n, box in enumerate([(0, 0, 0.5, 1), (1, 0.6, 1.5, 1), (1, 0, 1.5, 0.3)])
    ]
    with searching(tmp_path, *few, shape=shaped(diagonal)) as (search, _):
        assert at_home(search.first()) == ["S_0.json", "S_1.json"]


def test_frame_across_the_antimeridian_is_met_by_shapes_on_both_sides() -> None:
    for west, met in ((179.5, True), (-179.5, True), (-178, False), (178, False)):
        own = shaped(shapely.box(west, 0, west + 0.1, 1))
        assert meets_shape(BoundingBox(179, 0, -179, 1), own) == met
        assert meets_shape(BoundingBox(179, 0, 181, 1), own) == met
    assert meets_shape(None, own)
    assert meets_shape(BoundingBox(-180, -90, 180, 90), own)


def test_shape_of_many_parts_is_asked_for_by_one_box() -> None:
    many = shaped(*(shapely.box(x, 0, x + 1, 1) for x in range(0, 60, 2)))
    asked = region_query(Request((Source(COLLECTION, "D"),), shape=many))
    assert asked["bounding_box[]"] == ["0,0,59,1"]


def test_region_without_frames_is_no_data(tmp_path: Path) -> None:
    asked = {"bbox": BoundingBox(100, 50, 101, 51)}
    with (
        searching(tmp_path, *frames(tmp_path, 2), **asked) as (search, _),
        pytest.raises(NoDataError, match="meets the box"),
    ):
        search.first()


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((-10, -5, 10, 5), "-10,-5,10,5"),
        ((170, -5, -170, 5), "170,-5,-170,5"),
        ((170, -5, 190, 5), "170,-5,-170,5"),
        ((350, -95, 359, 95), "-10,-90,-1,90"),
        ((0, 0, 360, 1), "-180,0,180,1"),
        ((170, 0, 180, 1), "170,0,180,1"),
        ((-190, 0, -180, 1), "170,0,180,1"),
    ],
)
def test_box_is_asked_in_the_longitudes_of_cmr(box: tuple[float, ...], expected: str) -> None:
    asked = Request((Source(COLLECTION, "D"),), bbox=BoundingBox(*box))
    assert region_query(asked) == {"bounding_box": expected}


def test_open_side_of_a_time_range_stays_open_in_the_question() -> None:
    moment = datetime(2024, 1, 2, tzinfo=UTC)
    asked = Request((Source(COLLECTION, "D"),), temporal=TimeRange(moment, None), point=(190, 5))
    assert region_query(asked) == {"point": "-170,5", "temporal": "2024-01-02T00:00:00Z,"}


def test_sidecars_come_last_with_the_data_they_describe(tmp_path: Path) -> None:
    links = [
        {"URL": f"{tmp_path.as_uri()}/protected/a.nc", "Type": "GET DATA"},
        {"URL": f"{tmp_path.as_uri()}/public/a.nc.dmrpp", "Type": "EXTENDED METADATA",
         "Subtype": "DMR++"},
    ]  # fmt: skip
    with searching(tmp_path, umm_granule("G1-T", COLLECTION, "a", links)) as (search, _):
        ((found,),) = list(search.answers())
    (location,) = found.locations
    assert location.kind is ManifestFormat.DMRPP
    assert location.data_href == f"{tmp_path.as_uri()}/protected/a.nc"
    assert found.label == "a"
    assert not found.by_region  # it may be a whole orbit


def test_denied_collection_is_refused_with_the_operators_reason_unasked(tmp_path: Path) -> None:
    told = f'["{COLLECTION}"]\ndeny = "It is being rebuilt."\n'
    with searching(tmp_path, overrides=told) as (search, cmr):
        with pytest.raises(NoStoreError, match="It is being rebuilt"):
            search.first()
        assert cmr.asked == []


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ((), {"OLD": None, "NEW": None}),
        (("t",), {"OLD": ("t",), "NEW": ("t",)}),
        (("NEW/t", "/NEW/g/u"), {"NEW": ("t", "g/u")}),
        (("OLD/t", "NEW/u", "v"), {"OLD": ("v", "t"), "NEW": ("v", "u")}),
    ],
)
def test_stores_that_the_operator_names_go_before_records_and_can_be_picked(
    variables: tuple[str, ...], expected: dict[str, Any], tmp_path: Path
) -> None:
    told = "".join(
        f'[[DEMO.stores]]\nname = "{name}"\nurl = "{tmp_path.as_uri()}/{name}"\n'
        'kind = "icechunk"\nversion = "tag.v1"\n'
        for name in ("OLD", "NEW")
    )
    source = Source(COLLECTION, "DEMO", variables=variables)
    with searching(tmp_path, overrides=told, source=source) as (search, _):
        (answer,) = list(search.answers())
    assert {own.label: own.variables for own in answer} == expected
    assert {own.locations[0].version for own in answer} == {"tag.v1"}


def test_selected_granules_are_to_be_picked_from_the_store_of_all(tmp_path: Path) -> None:
    record = umm_collection(COLLECTION, [f"{tmp_path.as_uri()}/whole.json"])
    granules = (Granule(COLLECTION, name="a"), Granule("C2-OTHER", name="b"))
    with searching(tmp_path, record=record, granules=granules) as (search, _):
        (found,) = search.first()
    assert found.from_stack
    assert [own.name for own in found.granules] == ["a"]


def test_many_reasons_are_told_within_what_harmony_shows(tmp_path: Path) -> None:
    hrefs = [f"https://{'h' * 60}{n}.example.invalid/{'x' * 300}|n5:{n}" for n in range(40)]
    with searching(tmp_path, record=umm_collection(COLLECTION, hrefs)) as (search, _):
        with pytest.raises(NoStoreError) as caught:
            search.first()
        told = str(caught.value)
    assert len(told) < 990
    assert all(f"RelatedUrls[{n}]" in told for n in range(8))
    assert "32 more" in told


@pytest.mark.parametrize(
    "href",
    ["file:///etc/passwd", "https://127.0.0.1/a.json", "https://169.254.169.254/latest",
     "https://[::1]/a.json", "http://archive.podaac.earthdata.nasa.gov/a.json", "ftp://h/a.json",
     "https://localhost/a.json", "gs://bucket/a.json"],
)  # fmt: skip
def test_record_cannot_lead_to_private_places(href: str, tmp_path: Path) -> None:
    """Whichever record names it; what is not looked at when found is refused when read."""
    links = [{"URL": href, "Type": "GET DATA", "Format": "Zarr"}]
    record = umm_collection(COLLECTION, [href])
    with searching(tmp_path, umm_granule("G1-T", COLLECTION, "a", links), record=record) as (s, _):
        for found in (own for answer in s.answers() for own in answer):
            for location in found.locations:
                with pytest.raises(VdsError, match="is not read"):
                    run(found.access.fetcher.fetch_range(location.href, 0, 1))


def test_credentials_endpoint_of_a_foreign_host_gets_no_token(tmp_path: Path) -> None:
    with failing_server(200, "{}") as stranger:
        endpoint = f"{stranger.url}/s3credentials"
        distribution = {
            "Region": "us-west-2", "S3BucketAndObjectPrefixNames": ["foreign-bucket/a/"],
            "S3CredentialsAPIEndpoint": endpoint,
        }  # fmt: skip
        href = "s3://foreign-bucket/a/refs.json"
        more = {"DirectDistributionInformation": distribution}
        with searching(tmp_path, record=umm_collection(COLLECTION, [href], **more)) as (search, _):
            (found,) = search.first()
            fetcher = found.access.fetcher
            assert fetcher.buckets.endpoint_of(fetcher.trust.check(href)) == endpoint
            assert not found.access.credentials.may_go_to(endpoint)
            with pytest.raises(VdsError):
                run(fetcher.http.exchange(endpoint, 1000))
    assert stranger.asked == []


def test_several_places_are_asked_for_by_the_box_around_them() -> None:
    places = (Place(190, 5), Place(-160, -7, "b"), Place(-165, 3))
    asked = Request((Source(COLLECTION, "D"),), points=places)
    assert region_query(asked) == {"bounding_box": "-170,-7,-160,5"}
