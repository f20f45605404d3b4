"""Invocations that must end badly: what Harmony, the user and the operator are told."""

import asyncio
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from invocation import CANARY, SHARED_SECRET, Outcome, invoke, make_message
from servers import Server, cmr_server, failing_server, file_server, serve
from world import kerchunk_references, umm_collection, write_days, write_references


@dataclass
class Published:
    """Three days of granules behind a kerchunk document on an HTTP server."""

    http: Server
    cmr: Server
    references: dict[str, Any]

    @property
    def environment(self) -> dict[str, str]:
        return {"CMR_ENDPOINT": self.cmr.url, "HARMONY_VDS_TRUSTED_PREFIXES": self.http.url,
                "PYTHONWARNINGS": "ignore"}  # fmt: skip


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Published]:
    root = tmp_path_factory.mktemp("published")
    files = write_days(root, 3)
    with file_server(root) as http:
        document = kerchunk_references(files, lambda url: url.replace(root.as_uri(), http.url))
        write_references(root / "refs.json", document)
        record = umm_collection("C1-T", [f"{http.url}/refs.json"])
        bare = umm_collection("C2-T", [])
        with cmr_server({"C1-T": record, "C2-T": bare}, token=CANARY) as cmr:
            yield Published(http, cmr, document["refs"])


def checked(outcome: Outcome, category: str, level: str = "Error") -> str:
    """The message of ``error.json``, after what holds for every failed invocation."""
    assert outcome.status == 1
    assert (outcome.error["category"], outcome.error["level"]) == (category, level)
    text = outcome.error["error"]
    assert len(text) < 1000
    assert len(text.splitlines()) == 1
    assert "unknown error" not in text.lower()
    lines = [json.loads(line) for line in outcome.stderr.splitlines()]
    assert all({"requestId", "user", "level", "message"} <= set(line) for line in lines)
    if category != "Service":
        assert "Traceback" not in outcome.stderr
    for secret in (CANARY, SHARED_SECRET):
        assert secret not in outcome.stderr + text
    assert not (outcome.metadata / "catalog.json").exists()
    return text


def test_priming_call_fails_fast_and_quietly(tmp_path: Path) -> None:
    outcome = invoke({"requestId": "abc"}, tmp_path, environment={"PYTHONWARNINGS": "ignore"},
                     anew=True)  # fmt: skip
    assert "no collection" in checked(outcome, "NoRetry")
    lines = [json.loads(line) for line in outcome.stderr.splitlines()]
    assert {line["requestId"] for line in lines} == {"abc"}
    assert len([line for line in lines if "no collection" in line["message"]]) == 1
    assert len([line for line in lines if line["level"] != "INFO"]) == 1


@pytest.mark.parametrize(
    ("asked", "category", "level", "words"),
    [
        ({"variables": ["chlorophyll"]}, "NoRetry", "Error", ["chlorophyll", "analysed_sst"]),
        ({"temporal": {"start": "tomorrow"}}, "NoRetry", "Error", ["temporal.start", "tomorrow"]),
        ({"subset": {"point": [1, 95]}}, "NoRetry", "Error", ["(1, 95)", "beyond the poles"]),
        ({"format": {"mime": "image/gif"}}, "NoRetry", "Error", ["image/gif"]),
        ({"temporal": {"start": "1999-01-01", "end": "1999-01-02"}}, "NoData", "Warning", ["1999"]),
        ({"collection": "C2-T"}, "NoRetry", "Error", ["VIRTUAL COLLECTION", "C2-T"]),
        ({"collection": "C404-T"}, "NoRetry", "Error", ["C404-T", "may not see it"]),
        ({"token": "another-token-44"}, "NoRetry", "Error", ["401", "token"]),
    ],
)  # fmt: skip
def test_error_reaches_the_user_in_its_category(
    asked: dict[str, Any],
    category: str,
    level: str,
    words: list[str],
    *,
    published: Published,
    tmp_path: Path,
) -> None:
    arguments = {"collection": "C1-T", **asked}
    message = make_message(arguments.pop("collection"), **arguments)
    text = checked(invoke(message, tmp_path, environment=published.environment), category, level)
    for word in words:
        assert word in text


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        ({"format": "netcdf"}, "format of the message has another form"),
        ({"extraArgs": {"deep": json.loads("[" * 900 + "]" * 900)}}, "nested too deeply"),
        ({"accessToken": CANARY}, "SHARED_SECRET_KEY"),
        ({"accessToken": "QUJD:QUJD"}, "SHARED_SECRET_KEY"),
    ],
)
def test_message_that_the_library_fails_at_is_refused_in_our_words(
    harm: dict[str, Any], words: str, published: Published, tmp_path: Path
) -> None:
    message = {**make_message("C1-T"), **harm, "requestId": "of it"}
    outcome = invoke(message, tmp_path, environment=published.environment)
    assert words in checked(outcome, "NoRetry")


def test_catalogue_of_inputs_that_is_not_there_is_told(
    published: Published, tmp_path: Path
) -> None:
    sources = str(tmp_path / "absent.json")
    outcome = invoke(
        make_message("C1-T"), tmp_path, environment=published.environment, sources=sources
    )
    assert "absent.json are no STAC that can be read" in checked(outcome, "NoRetry")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HARMONY_VDS_MAX_SECONDS", "soon"),
        ("HARMONY_VDS_TRUSTED_PREFIXES", "/data"),
        ("HARMONY_VDS_DASK", "tls://[::1"),
    ],
)
def test_unusable_setting_is_named_to_whoever_sees_the_job(
    name: str, value: str, published: Published, tmp_path: Path
) -> None:
    environment = {**published.environment, name: value}
    text = checked(invoke(make_message("C1-T"), tmp_path, environment=environment), "NoRetry")
    assert name in text


@pytest.mark.parametrize(
    ("status", "body"), [(504, ""), (429, '{"errors": ["slow down"]}'), (200, "<html>")]
)
def test_cmr_in_trouble_may_be_retried_by_harmony(status: int, body: str, tmp_path: Path) -> None:
    with failing_server(status, body, {"retry-after": "1"}) as cmr:
        environment = {"CMR_ENDPOINT": cmr.url, "PYTHONWARNINGS": "ignore"}
        text = checked(invoke(make_message("C1-T"), tmp_path, environment=environment), "Server")
    assert "CMR" in text


def test_unexpected_exception_still_tells_something_useful(
    published: Published, tmp_path: Path
) -> None:
    # No check foresees this; it surfaces as a ValueError deep inside.
    environment = {**published.environment, "SOURCE_DATE_EPOCH": "not-a-number"}
    message = make_message("C1-T", variables=["mask"])
    text = checked(invoke(message, tmp_path, environment=environment), "Service")
    assert "ValueError" in text
    assert "not-a-number" in text


def test_catalogue_without_granules_is_no_data(published: Published, tmp_path: Path) -> None:
    catalog = {"type": "Catalog", "stac_version": "1.0.0", "id": "x", "description": "y",
               "links": []}  # fmt: skip
    (tmp_path / "input.json").write_text(json.dumps(catalog))
    published.cmr.forget()
    outcome = invoke(make_message("C1-T"), tmp_path, environment=published.environment,
                     sources=str(tmp_path / "input.json"))  # fmt: skip
    assert "selects no granules" in checked(outcome, "NoData", "Warning")
    assert published.cmr.asked == []


def test_synchronous_request_for_two_collections_is_refused_before_any_work(
    published: Published, tmp_path: Path
) -> None:
    message = make_message("C1-T", isSynchronous=True)
    message["sources"].append(make_message("C2-T")["sources"][0])
    published.cmr.forget()
    published.http.forget()
    text = checked(invoke(message, tmp_path, environment=published.environment), "NoRetry")
    assert "forceAsync" in text
    assert published.cmr.asked == []
    assert published.http.asked == []


def test_synchronous_request_for_one_collection_has_one_data_asset(
    published: Published, tmp_path: Path
) -> None:
    message = make_message("C1-T", isSynchronous=True)
    published.http.forget()
    outcome = invoke(message, tmp_path, environment=published.environment)
    assert outcome.status == 0, outcome.stderr
    (item,) = outcome.items
    assert list(item["assets"]) == ["data"]
    # What the refusals below look for is there to be seen.
    assert sum(
        data_read(published, "analysed_sst", own.path, own.headers.get("Range"))
        for own in published.http.asked
    )


def data_read(published: Published, name: str, path: str, header: str | None) -> int:
    """How many chunks of a variable a request for `path` with this Range header touches."""
    if header is None:
        return 0
    first, last = map(int, header.removeprefix("bytes=").split("-"))
    return sum(
        value[0].endswith(path) and value[1] <= last and first < value[1] + value[2]
        for key, value in published.references.items()
        if key.startswith(f"{name}/") and isinstance(value, list)
    )


@pytest.mark.parametrize(
    ("name", "verb"),
    [("HARMONY_VDS_MAX_READ_BYTES", "read"), ("HARMONY_VDS_MAX_OUTPUT_BYTES", "write")],
)
def test_too_large_request_is_refused_with_numbers_before_any_chunk_is_read(
    name: str, verb: str, published: Published, tmp_path: Path
) -> None:
    published.http.forget()
    environment = {**published.environment, name: "2000"}
    message = make_message("C1-T", variables=["analysed_sst"])
    text = checked(invoke(message, tmp_path, environment=environment), "NoRetry")
    for part in (name, f"would {verb}", "chunks", "Ask for"):
        assert part in text
    for own in published.http.asked:
        assert not data_read(published, "analysed_sst", own.path, own.headers.get("Range"))
    assert "/refs.json" in published.http.paths()


def test_service_stops_itself_at_its_time_limit_with_advice(
    published: Published, tmp_path: Path
) -> None:
    async def slow_for_data(request: web.Request) -> web.StreamResponse:
        if data_read(published, "analysed_sst", request.path, request.headers.get("Range")):
            await asyncio.sleep(600)
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{published.http.url}{request.path}", headers=request.headers) as answer,
        ):
            body = (await answer.read()).replace(published.http.url.encode(), slow.url.encode())
            headers = {k: v for k, v in answer.headers.items() if k == "Content-Range"}
            return web.Response(status=answer.status, body=body, headers=headers)

    with serve(slow_for_data) as slow:
        record = umm_collection("C1-T", [f"{slow.url}/refs.json"])
        with cmr_server({"C1-T": record}) as cmr:
            environment = {"CMR_ENDPOINT": cmr.url, "HARMONY_VDS_TRUSTED_PREFIXES": slow.url,
                           "HARMONY_VDS_MAX_SECONDS": "3", "PYTHONWARNINGS": "ignore"}  # fmt: skip
            start = time.monotonic()
            message = make_message("C1-T", variables=["analysed_sst"])
            outcome = invoke(message, tmp_path, environment=environment)
            elapsed = time.monotonic() - start
    text = checked(outcome, "NoRetry")
    for part in ("HARMONY_VDS_MAX_SECONDS", "3 s", "shorter time range"):
        assert part in text
    assert 3 <= elapsed < 120  # the server would take ten minutes
    assert list((tmp_path / "data").glob("*")) == []


def test_archive_that_refuses_the_user_tells_where_to_accept_its_agreement(
    published: Published, tmp_path: Path
) -> None:
    place = "https://urs.earthdata.nasa.gov/approve_app?client_id=abc"
    body = json.dumps({"error_description": "EULA Acceptance Failure", "resolution_url": place})
    with failing_server(403, body) as archive:
        document = {"refs": dict(published.references)}
        for key, value in document["refs"].items():
            if key.startswith("analysed_sst/") and isinstance(value, list):
                document["refs"][key] = [f"{archive.url}/granule.nc", *value[1:]]
        write_references(tmp_path / "refs.json", document)
        record = umm_collection("C1-T", [(tmp_path / "refs.json").as_uri()])
        trusted = f"{published.http.url},{archive.url},{tmp_path.as_uri()}"
        with cmr_server({"C1-T": record}) as cmr:
            environment = {**published.environment, "CMR_ENDPOINT": cmr.url,
                           "HARMONY_VDS_TRUSTED_PREFIXES": trusted}  # fmt: skip
            outcome = invoke(make_message("C1-T", variables=["analysed_sst"]), tmp_path,
                             environment=environment)  # fmt: skip
    assert place in checked(outcome, "NoRetry")
