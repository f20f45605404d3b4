"""Finding a collection's store through a CMR that answers, lies, or is in trouble."""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from invocation import CANARY
from servers import cmr_server, failing_server, faulty_server, file_server, serve
from world import umm_collection

from harmony_vds.access.credentials import Credentials
from harmony_vds.access.fetch import RetryPolicy
from harmony_vds.access.gateway import Access
from harmony_vds.access.loop import run
from harmony_vds.discovery.find import StoreSearch
from harmony_vds.discovery.found import FoundStore, locate
from harmony_vds.discovery.sniff import sniff
from harmony_vds.errors import ForbiddenError, NoStoreError, StoreError, UpstreamError, VdsError
from harmony_vds.model.request import Request, Source
from harmony_vds.model.store import ManifestFormat
from harmony_vds.pipeline import Services
from harmony_vds.settings import Settings

COLLECTION = "C1-TEST"


@contextlib.contextmanager
def services(cmr: str, *trusted: str, seconds: float = 60) -> Iterator[Services]:
    settings = Settings(cmr_endpoint=cmr, trusted_prefixes=trusted, max_seconds=seconds)
    with Services.of(settings, Credentials.of_token(CANARY)) as own:
        yield own


def search_of(own: Services, **more: Any) -> StoreSearch:
    source = more.pop("source", Source(COLLECTION, "DEMO"))
    return StoreSearch(source, Request((source,), **more), own.cmr, own.access, own.overrides)


def find(cmr: str, *trusted: str) -> list[FoundStore]:
    """All answers that are one store; the error when there is none."""
    with services(cmr, *trusted) as own:
        search = search_of(own)
        found = [answer[0] for answer in search.answers()]
        if not found:
            raise search.failure()
        return found


def find_published(hrefs: list[str], *trusted: str, **more: Any) -> list[FoundStore]:
    with cmr_server({COLLECTION: umm_collection(COLLECTION, hrefs, **more)}) as cmr:
        return find(cmr.url, *trusted)


def test_question_to_cmr_names_the_collection_and_carries_the_token(tmp_path: Path) -> None:
    (tmp_path / "repo").write_bytes(b"x")
    record = umm_collection(COLLECTION, [tmp_path.as_uri()])
    with (
        cmr_server({COLLECTION: record}, token=CANARY) as cmr,
        services(cmr.url, tmp_path.as_uri()) as own,
    ):
        next(search_of(own).answers())
    (asked,) = cmr.asked  # nothing more is asked once a store is found
    assert asked.path == "/search/collections.umm_json"
    assert asked.query == {"concept_id": [COLLECTION]}
    assert asked.headers["Authorization"] == f"Bearer {CANARY}"


def test_stores_are_sniffed_and_the_rejected_ones_keep_their_reasons(tmp_path: Path) -> None:
    for name in ("v2.icechunk", "v1", "parent"):
        (tmp_path / name).mkdir()
    (tmp_path / "v2.icechunk" / "repo").write_bytes(b"x")
    (tmp_path / "v1" / "refs" / "branch.main").mkdir(parents=True)
    (tmp_path / "v1" / "refs" / "branch.main" / "ref.json").write_text("{}")
    base = tmp_path.as_uri()
    names = ["refs.json", "parent", "v1", "v2.icechunk"]
    record = umm_collection(COLLECTION, [f"{base}/{name}" for name in names])
    with cmr_server({COLLECTION: record}) as cmr, services(cmr.url, base) as own:
        search = search_of(own)
        found = [answer[0].locations[0] for answer in search.answers()]
    assert [(own.href.rpartition("/")[2], own.kind) for own in found] == [
        ("v2.icechunk", ManifestFormat.ICECHUNK),
        ("refs.json", ManifestFormat.KERCHUNK_JSON),
        ("v1", ManifestFormat.ICECHUNK),
    ]
    ((where, error),) = search.rejected.reasons
    assert "RelatedUrls[1]" in where
    assert "parent" in str(error)


def test_https_form_comes_before_the_s3_form(tmp_path: Path) -> None:
    with file_server(tmp_path) as server:
        hrefs = ["s3://any-bucket/d/a.json", f"{server.url}/any-bucket/d/a.json"]
        found = find_published(hrefs, server.url)
    (store,) = found  # one name in two places is one store
    assert [own.href.partition(":")[0] for own in store.locations] == ["http", "s3"]


def test_record_lets_its_own_prefixes_be_read_and_names_their_region(tmp_path: Path) -> None:
    more = {"DirectDistributionInformation": {
        "Region": "us-east-1", "S3BucketAndObjectPrefixNames": ["some-archive/DEMO/"],
        "S3CredentialsAPIEndpoint": "https://h.example.com/s3credentials",
        "S3CredentialsAPIDocumentationURL": "https://h.example.com/doc"}}  # fmt: skip
    (tmp_path / "repo").write_bytes(b"x")
    found = find_published([tmp_path.as_uri()], tmp_path.as_uri(), **more)[0]
    assert found.access.fetcher.trust.check("s3://some-archive/DEMO/a.nc").host == "some-archive"
    assert found.access.fetcher.region == "us-east-1"


def test_no_entry_says_what_the_publisher_should_add() -> None:
    with pytest.raises(NoStoreError, match="Subtype VIRTUAL COLLECTION"):
        find_published([])


def test_when_nothing_serves_every_candidate_is_listed_with_its_reason(tmp_path: Path) -> None:
    hrefs = [tmp_path.as_uri(), "http://other.example.com/store", f"{tmp_path.as_uri()}/nothing"]
    with pytest.raises(NoStoreError) as caught:
        find_published(hrefs, tmp_path.as_uri())
    told = str(caught.value)
    assert COLLECTION in told
    for part in (
        "RelatedUrls[0]",
        "no icechunk repository",
        "RelatedUrls[1]",
        "http addresses",
        "RelatedUrls[2]",
        "There is nothing at",
        "/nothing,",
    ):
        assert part in told


def test_untrusted_local_store_in_a_record_is_refused(tmp_path: Path) -> None:
    (tmp_path / "repo").write_bytes(b"x")
    with pytest.raises(NoStoreError, match="HARMONY_VDS_TRUSTED_PREFIXES"):
        find_published([tmp_path.as_uri()])


def test_trouble_of_one_candidate_may_pass_so_the_request_may_be_tried_again(
    tmp_path: Path,
) -> None:
    records: dict[str, dict[str, Any]] = {}
    with (
        failing_server(503, "") as server,
        cmr_server(records) as cmr,
        services(cmr.url, server.url, tmp_path.as_uri()) as own,
    ):
        published = [f"{server.url}/store", tmp_path.as_uri()]
        records[COLLECTION] = umm_collection(COLLECTION, published)
        search = replace(search_of(own), access=quick(own.access))
        assert list(search.answers()) == []
        with pytest.raises(UpstreamError, match="503"):
            raise search.failure()


def quick(access: Access) -> Access:
    """The same access with short retries."""
    brief = RetryPolicy(attempts=2, first_wait=0.01, longest_wait=0.01)
    return replace(access, fetcher=replace(access.fetcher, policy=brief))


def test_refused_agreement_of_the_only_store_is_a_matter_of_permission() -> None:
    place = "https://urs.earthdata.nasa.gov/approve_app?client_id=x"
    body = f'{{"error_description": "EULA Acceptance Failure", "resolution_url": "{place}"}}'
    with failing_server(403, body) as server, pytest.raises(ForbiddenError) as caught:
        find_published([f"{server.url}/store"], server.url)
    assert place in str(caught.value)


def test_collection_that_cmr_does_not_show_may_be_missing_or_hidden() -> None:
    with cmr_server({}) as cmr, pytest.raises(NoStoreError, match="may not see it"):
        find(cmr.url)


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (401, '{"errors": ["Token does not exist"]}', ForbiddenError),
        (400, '{"errors": ["Parameter [x] was not recognized."]}', StoreError),
        (404, '{"errors": ["Not Found"]}', StoreError),
        (413, '{"errors": ["too large"]}', StoreError),
    ],
)
def test_answer_of_cmr_that_stays_is_not_asked_again(
    status: int, body: str, error: type[VdsError]
) -> None:
    with failing_server(status, body) as cmr, pytest.raises(error) as caught:
        find(cmr.url)
    assert len(cmr.asked) == 1
    assert str(status) in str(caught.value)
    assert str(caught.value).startswith("CMR ")
    assert COLLECTION in str(caught.value)


@pytest.mark.parametrize(
    "body",
    ["<html>maintenance</html>", "[]", "{}", '{"items": [{"meta": {}}]}', '{"items": 3}', ""],
)
def test_answer_of_cmr_in_another_form_is_its_trouble(body: str) -> None:
    with failing_server(200, body) as cmr, pytest.raises(UpstreamError, match="not JSON"):
        find(cmr.url)


@pytest.mark.parametrize("fault", ["429", "500", "504", "reset"])
def test_cmr_in_passing_trouble_is_asked_again(fault: str, tmp_path: Path) -> None:
    (tmp_path / "repo").write_bytes(b"x")
    item = umm_collection(COLLECTION, [tmp_path.as_uri()])
    body = json.dumps({"hits": 1, "took": 1, "items": [item]}).encode()
    with (
        faulty_server(body, fault, headers={"retry-after": "1"}) as cmr,
        services(cmr.url, tmp_path.as_uri()) as own,
    ):
        assert len(next(search_of(own).answers())) == 1
    assert len(cmr.asked) == 2


def test_cmr_that_stays_in_trouble_ends_as_upstream_error() -> None:
    with failing_server(504, "") as cmr, services(cmr.url) as own:
        client = replace(own.cmr, access=quick(own.cmr.access))
        with pytest.raises(UpstreamError, match="CMR did not answer"):
            next(replace(search_of(own), cmr=client).answers())
    assert len(cmr.asked) == 2


def test_redirect_of_cmr_to_a_stranger_is_not_followed() -> None:
    with failing_server(200, "{}") as stranger:

        async def answer(_: web.Request) -> web.StreamResponse:
            return web.Response(status=302, headers={"Location": f"{stranger.url}/search/x"})

        with serve(answer) as cmr, pytest.raises(StoreError):
            find(cmr.url)
    assert stranger.asked == []


def test_located_store_is_sniffed_without_cmr(tmp_path: Path) -> None:
    (tmp_path / "repo").write_bytes(b"x")
    with failing_server(500, "") as cmr, services(cmr.url, tmp_path.as_uri()) as own:
        found = locate(f"{tmp_path.as_uri()}/", own.access)
    assert found.locations[0].kind is ManifestFormat.ICECHUNK
    assert cmr.asked == []


def test_sniffing_reads_one_byte(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "repo").write_bytes(b"x" * 1000)
    with file_server(tmp_path) as server, services("http://127.0.0.1:1", server.url) as own:
        sniff(f"{server.url}/store", own.access.fetcher)
        run(own.access.fetcher.http.close())
    assert [asked.headers["Range"] for asked in server.asked] == ["bytes=0-0"]
