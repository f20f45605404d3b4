"""Attacks through a manifest, each of which would succeed against a reader that trusts it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from invocation import CANARY, invoke, make_message
from servers import Server, cmr_server, file_server, listener, serve
from world import kerchunk_references, umm_collection, write_days, write_references

ATTACKED = "mask/0.0.0"
FIRST_CHUNK = "analysed_sst/0.0.0"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_days(tmp_path_factory.mktemp("granules"), 2)


@pytest.fixture
def stranger() -> Iterator[Server]:
    """A host that nobody named, which would gladly take a token and give any bytes."""

    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(body=b"x" * 100_000)

    with serve(answer) as server:
        yield server


def attack(
    url: str, files: list[Path], folder: Path, trusted: list[str], *, offset: int = 0
) -> tuple[int, str, bytes]:
    """Publish a manifest one of whose chunks lies at `url`; status, told text, and the output."""
    document = kerchunk_references(files)
    document["refs"][FIRST_CHUNK] = [url, offset, 5]
    manifest = write_references(folder / "refs.json", document)
    record = umm_collection("C1-T", [manifest.as_uri()])
    prefixes = ",".join([files[0].parent.as_uri() + "/", manifest.as_uri(), *trusted])
    with cmr_server({"C1-T": record}) as cmr:
        environment = {"CMR_ENDPOINT": cmr.url, "HARMONY_VDS_TRUSTED_PREFIXES": prefixes,
                       "PYTHONWARNINGS": "ignore"}  # fmt: skip
        outcome = invoke(make_message("C1-T", variables=["analysed_sst"]), folder,
                         environment=environment)  # fmt: skip
    told = outcome.stderr + json.dumps(outcome.error)
    written = (
        b"".join(path.read_bytes() for path in (folder / "data").glob("*"))
        if (folder / "data").is_dir()
        else b""
    )
    assert CANARY not in told
    assert outcome.error.get("category") in ("NoRetry", None), outcome.error
    return outcome.status, told, written


@pytest.mark.parametrize(
    "spelling",
    ["file://{}", "{}", "file:{}", "file://localhost{}", "file:///%2e%2e{}", "local://{}", "FILE://{}"],
)  # fmt: skip
def test_manifest_cannot_read_the_services_own_disk(
    spelling: str, files: list[Path], tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("SECRETBYTES")
    status, told, written = attack(spelling.format(secret), files, tmp_path, [])
    assert status == 1
    assert "SECRET" not in told
    assert written == b""


@pytest.mark.parametrize("way", ["../secret/key", "%2e%2e/secret/key", "link/key"])
def test_manifest_cannot_climb_out_of_a_trusted_folder(
    way: str, files: list[Path], tmp_path: Path
) -> None:
    for name in ("open", "secret"):
        (tmp_path / name).mkdir()
    (tmp_path / "secret" / "key").write_text("SECRETBYTES")
    (tmp_path / "open" / "link").symlink_to(tmp_path / "secret")
    trusted = f"{(tmp_path / 'open').as_uri()}/"
    status, told, written = attack(f"{trusted}{way}", files, tmp_path, [trusted])
    assert status == 1
    assert "is not read" in told
    assert written == b""


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "2130706433", "127.1"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_manifest_cannot_reach_into_the_private_network(
    scheme: str, host: str, files: list[Path], tmp_path: Path
) -> None:
    with listener() as (port, peers):
        status, told, _ = attack(f"{scheme}://{host}:{port}/latest", files, tmp_path, [])
    assert status == 1
    assert "is not read" in told
    assert peers == []


def test_manifest_cannot_send_the_service_to_a_stranger(
    stranger: Server, files: list[Path], tmp_path: Path
) -> None:
    host = stranger.url.removeprefix("http://")
    for url in (f"{stranger.url}/a", f"http://archive.podaac.earthdata.nasa.gov@{host}/a"):
        status, _, _ = attack(url, files, tmp_path, [])
        assert status == 1
    assert stranger.asked == []


def test_redirect_from_a_trusted_host_to_a_stranger_is_not_followed(
    stranger: Server, files: list[Path], tmp_path: Path
) -> None:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(status=307, headers={"Location": f"{stranger.url}/a"})

    with serve(answer) as trusted:
        status, told, _ = attack(f"{trusted.url}/a", files, tmp_path, [trusted.url])
    assert status == 1
    assert "is not read" in told
    assert len(trusted.asked) == 2  # for a header to compare, and for the data
    assert not any("Authorization" in own.headers for own in trusted.asked)
    assert stranger.asked == []


@pytest.mark.parametrize("status", [200, 206])
def test_login_page_is_not_taken_for_data(status: int, files: list[Path], tmp_path: Path) -> None:
    async def answer(_: web.Request) -> web.StreamResponse:
        headers = {"Content-Range": "bytes 0-4/5"} if status == 206 else {}
        return web.Response(status=status, body=b"<html", content_type="text/html", headers=headers)

    with serve(answer) as archive:
        ended, told, written = attack(f"{archive.url}/a", files, tmp_path, [archive.url])
    assert ended == 1
    assert "login" in told
    assert written == b""
    assert len(archive.asked) == 2  # for a header to compare, and for the data


def test_templates_and_generators_are_not_expanded(files: list[Path], tmp_path: Path) -> None:
    document: dict[str, Any] = kerchunk_references(files)
    document["templates"] = {"u": "{{ cycler.__init__.__globals__.os.popen('id').read() }}"}
    manifest = write_references(tmp_path / "refs.json", document)
    record = umm_collection("C1-T", [manifest.as_uri()])
    with cmr_server({"C1-T": record}) as cmr:
        environment = {"CMR_ENDPOINT": cmr.url, "PYTHONWARNINGS": "ignore",
                       "HARMONY_VDS_TRUSTED_PREFIXES": manifest.as_uri()}  # fmt: skip
        outcome = invoke(make_message("C1-T"), tmp_path, environment=environment)
    assert outcome.status == 1
    assert "templates" in outcome.error["error"]


def test_record_cannot_make_the_service_read_a_local_store(
    files: list[Path], tmp_path: Path
) -> None:
    write_references(tmp_path / "refs.json", kerchunk_references(files))
    with file_server(tmp_path) as http:
        hrefs = [(tmp_path / "refs.json").as_uri(), f"{http.url}/refs.json",
                 f"{http.url.replace('http', 'https')}/refs.json"]  # fmt: skip
        record = umm_collection("C1-T", hrefs)
        with cmr_server({"C1-T": record}) as cmr:
            environment = {"CMR_ENDPOINT": cmr.url, "PYTHONWARNINGS": "ignore"}
            outcome = invoke(make_message("C1-T"), tmp_path, environment=environment)
    assert outcome.status == 1
    assert outcome.error["category"] == "NoRetry"
    assert outcome.error["error"].count("is not read") == 3
    assert http.asked == []
