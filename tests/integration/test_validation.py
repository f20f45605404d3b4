"""The check that Harmony asks for before it makes a job: a server process, asked over HTTP."""

import asyncio
import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import forks
import pytest
from aiohttp import web
from bench.server import free_port
from invocation import CANARY, make_message
from servers import Server, cmr_server, file_server, serve
from world import kerchunk_references, umm_collection, write_days, write_references


@dataclass
class Validator:
    """A running server, and what it wrote to its log."""

    url: str
    log: Path

    def ask(self, body: bytes, token: str = CANARY) -> tuple[int, dict[str, Any]]:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        asked = urllib.request.Request(f"{self.url}/validate", body, headers)
        try:
            with urllib.request.urlopen(asked, timeout=120) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def about(self, **operation: Any) -> tuple[int, dict[str, Any]]:
        return self.ask(json.dumps(make_message("C1-T", **operation)).encode())

    def health(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.url}/health", timeout=60) as answer:
            return json.load(answer)


@contextmanager
def running(folder: Path, environment: dict[str, str], *arguments: str) -> Iterator[Validator]:
    port, log = free_port(), folder / "log"
    command = [str(Path(sys.executable).with_name("harmony-vds-validate")), "--port", str(port)]
    given = {"PYTHONWARNINGS": "ignore", "HOME": str(folder), "ENV": "", **environment}
    with log.open("w") as stderr:
        process = subprocess.Popen(
            [*command, *arguments], env=given, stderr=stderr, stdout=subprocess.DEVNULL
        )
        validator = Validator(f"http://127.0.0.1:{port}", log)
        try:
            deadline = time.monotonic() + 300
            while True:
                try:
                    validator.health()
                    break
                except OSError:
                    assert time.monotonic() < deadline, log.read_text()
                    assert process.poll() is None, log.read_text()
                    time.sleep(0.1)
            yield validator
        finally:
            process.terminate()
            process.wait(timeout=120)


@contextmanager
def slow_clients(url: str, count: int) -> Iterator[list[socket.socket]]:
    """Connections that begin a request and send no more; every other one is closed then."""
    where = urlsplit(url)
    head = f"POST /validate HTTP/1.1\r\nHost: {where.netloc}\r\nContent-Length: 1000\r\n\r\n{{"
    with ExitStack() as stack:
        found = [
            stack.enter_context(
                socket.create_connection((where.hostname or "", where.port or 0), timeout=120)
            )
            for _ in range(count)
        ]
        for own in found:
            own.sendall(head.encode())
        for own in found[::2]:
            own.close()
        yield found[1::2]


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, dict[str, str]]]:
    root = tmp_path_factory.mktemp("archive")
    files = write_days(root / "granules", 5)
    local = f"{(root / 'granules').as_uri()}/"
    with file_server(root) as http:
        document = kerchunk_references(
            files, lambda url: url.replace(local, f"{http.url}/granules/")
        )
        write_references(root / "refs.json", document)
        record = umm_collection("C1-T", [f"{http.url}/refs.json"])
        with cmr_server({"C1-T": record}, token=CANARY) as cmr:
            environment = {"CMR_ENDPOINT": cmr.url, "HARMONY_VDS_TRUSTED_PREFIXES": f"{http.url}/"}
            yield http, environment


@pytest.fixture(scope="module")
def validator(
    published: tuple[Server, dict[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Validator]:
    _, environment = published
    limited = {**environment, "HARMONY_VDS_MAX_OUTPUT_BYTES": "20000",
               "HARMONY_VDS_PARTS_SERVICE_ID": "S2-PROV"}  # fmt: skip
    # As long as a loaded machine may take for a check.
    with running(tmp_path_factory.mktemp("validator"), limited, "--seconds", "60") as found:
        yield found


def test_request_that_fits_is_accepted(validator: Validator) -> None:
    assert validator.about(bbox=[0, 0, 20, 20]) == (200, {"code": "accepted"})


def test_request_that_is_too_large_is_refused_with_smaller_ones(validator: Validator) -> None:
    status, told = validator.about()
    assert status == 400
    assert told["code"] == "harmony.RequestValidationError"
    for part in ("Error: ", "would write", "20000"[:2], "serviceId=S2-PROV", "subset=time("):
        assert part in told["description"]
    assert len(told["description"]) < 1000
    assert "\n" not in told["description"]


def test_the_chain_of_parts_takes_what_is_too_large_for_one(validator: Validator) -> None:
    status, _ = validator.about(extraArgs={"service": "harmony-vds-parts"})
    assert status == 200


@pytest.mark.parametrize(
    ("operation", "words"),
    [
        ({"variables": ["no_such"]}, "no_such"),
        ({"temporal": {"start": "1999-01-01T00:00:00Z", "end": "1999-02-01T00:00:00Z"}}, "1999"),
        ({"extendDimensions": ["time"]}, "extend"),
        ({"bbox": [0, 50, 10, 40]}, "northern"),
    ],
)
def test_request_that_would_fail_is_refused_at_once(
    operation: dict[str, Any], words: str, validator: Validator
) -> None:
    status, told = validator.about(**operation)
    assert status == 400
    assert words in told["description"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_operation_is_told_so(body: bytes, validator: Validator) -> None:
    status, told = validator.ask(body)
    assert status == 400
    assert "JSON object" in told["description"]
    assert validator.health()["status"] == "ok"


def test_bodies_that_are_too_long_to_be_judged_are_received_and_accepted(
    validator: Validator,
) -> None:
    body = b'{"format": "' + b"x" * (17 * 2**20) + b'"}'
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: validator.ask(body), range(6)))
    assert answers == [(200, {"code": "accepted"})] * 6
    assert validator.health()["status"] == "ok"
    assert validator.about()[0] == 400


def test_many_at_once_are_judged_or_accepted_and_none_is_turned_away(validator: Validator) -> None:
    with ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(lambda _: validator.about()[0], range(64)))
    assert {*answers} <= {200, 400}
    assert 400 in answers
    assert validator.about()[0] == 400


def test_token_reaches_no_log_and_nobody_but_cmr(
    validator: Validator, published: tuple[Server, dict[str, str]]
) -> None:
    http, _ = published
    http.forget()
    validator.about(bbox=[0, 0, 20, 20])
    assert http.asked
    assert all(CANARY not in str(own.headers) for own in http.asked)
    assert CANARY not in validator.log.read_text()
    assert validator.health()["busy"] == 0


def test_what_cannot_be_judged_in_time_is_accepted_and_others_are_not_kept_waiting(
    published: tuple[Server, dict[str, str]], tmp_path: Path
) -> None:
    async def stuck(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(120)
        return web.json_response({}, status=503)

    _, environment = published
    with (
        serve(stuck) as cmr,
        running(tmp_path, {**environment, "CMR_ENDPOINT": cmr.url}, "--at-once", "2") as own,
        ThreadPoolExecutor(5) as pool,
    ):
        with slow_clients(own.url, 20) as waiting:
            answers = list(pool.map(lambda _: own.about(), range(5)))
            for client in waiting:
                assert client.recv(15) == b"HTTP/1.1 200 OK"
        assert answers == [(200, {"code": "accepted"})] * 5
        assert own.health()["busy"] <= 2
        log = own.log.read_text()
        assert log.count("checks go on already") == 3
        assert log.count("not judged within") >= 2
        assert CANARY not in log
        assert "Traceback" not in log


def test_trouble_elsewhere_refuses_nobody(
    published: tuple[Server, dict[str, str]], tmp_path: Path
) -> None:
    _, environment = published
    with running(tmp_path, {**environment, "CMR_ENDPOINT": "http://127.0.0.1:9"}) as own:
        assert own.about() == (200, {"code": "accepted"})


@pytest.mark.parametrize(
    ("name", "value"),
    [("MAX_CHUNKS", "-1"), ("TRUSTED_PREFIXES", "archive.example.org"), ("DASK", "http://x:1")],
)
def test_unusable_setting_ends_the_start_with_a_line_that_names_it(
    name: str, value: str, tmp_path: Path
) -> None:
    given = {"HOME": str(tmp_path), "PYTHONWARNINGS": "default", f"HARMONY_VDS_{name}": value}
    done = forks.run("harmony_vds.validation", ["--port", "0"], given)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert f"HARMONY_VDS_{name}" in line
