"""Servers on loopback that answer as the real ones do, and remember what they were asked."""

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from aiohttp import web
from cmr import search


@dataclass
class Asked:
    """One request as it arrived."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    status: int = 0
    sent: int = 0


@dataclass
class Server:
    """A running server."""

    url: str
    asked: list[Asked] = field(default_factory=list)

    def paths(self) -> list[str]:
        return [own.path for own in self.asked]

    def forget(self) -> None:
        self.asked.clear()


type Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@contextlib.contextmanager
def serve(answer: Answer, host: str = "127.0.0.1", port: int = 0) -> Iterator[Server]:
    """Run `answer` for every path on `port`, or a free one, in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    server = Server("")

    async def remember(request: web.Request) -> web.StreamResponse:
        own = Asked(request.method, request.path, parse_qs(request.query_string),
                    dict(request.headers))  # fmt: skip
        server.asked.append(own)
        response = await answer(request)
        own.status = response.status
        own.sent = response.content_length or 0
        return response

    async def start() -> web.AppRunner:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", remember)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, host, port)
        await site.start()
        taken = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
        server.url = f"http://{host}:{taken}"
        return runner

    runner = asyncio.run_coroutine_threadsafe(start(), loop).result()
    try:
        yield server
    finally:
        asyncio.run_coroutine_threadsafe(_stop(runner), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _stop(runner: web.AppRunner) -> None:
    """End the server, what its handlers left waiting, and connections with unsent bytes."""
    # Who was let in just before becomes a connection some rounds of the loop later, and nobody
    # closes the socket of one for whom the server has closed meanwhile.
    for site in runner.sites:
        for listening in site._server.sockets:  # type: ignore[attr-defined]
            asyncio.get_running_loop().remove_reader(listening.fileno())
    for _ in range(10):
        await asyncio.sleep(0)
    handlers = [] if runner.server is None else runner.server.connections
    transports = [own.transport for own in handlers if own.transport is not None]
    await runner.cleanup()
    for transport in transports:
        transport.abort()
    waiting = asyncio.all_tasks() - {asyncio.current_task()}
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    await asyncio.sleep(0.02)  # aborted connections close in the loop's next rounds


def file_server(root: Path) -> contextlib.AbstractContextManager[Server]:
    """A real range server over a folder: aiohttp's, with Last-Modified and Content-Range."""

    async def answer(request: web.Request) -> web.StreamResponse:
        path = _file_below(root, request.path)
        return _errors(404, "not here") if path is None else web.FileResponse(path)

    return serve(answer)


def _file_below(root: Path, path: str) -> Path | None:
    found = (root / path.lstrip("/")).resolve()
    return found if found.is_relative_to(root.resolve()) and found.is_file() else None


def cmr_server(
    records: dict[str, dict[str, Any]], *others: dict[str, Any], token: str | None = None
) -> contextlib.AbstractContextManager[Server]:
    """CMR's search of collections by id, and of `others`, with its own answers for what is wrong.

    `others` are items of granules, variables and services. With `token`, any other token is refused
    as CMR refuses it.
    """

    async def answer(request: web.Request) -> web.StreamResponse:
        sent = request.headers.get("Authorization", "")
        if token is not None and sent and sent != f"Bearer {token}":
            return _errors(401, "Token does not exist")
        after = request.headers.get("CMR-Search-After")
        try:
            page = search(
                request.path, list(request.query.items()), after, [*records.values(), *others]
            )
        except LookupError as error:
            return _errors(404, str(error.args[0]))
        except ValueError as error:
            return _errors(400, str(error))
        headers = {"CMR-Hits": str(page.hits), "CMR-Request-Id": "test"}
        if page.following is not None:
            headers["CMR-Search-After"] = page.following
        return web.json_response(
            {"hits": page.hits, "took": 3, "items": page.items}, headers=headers
        )

    return serve(answer)


def failing_server(
    status: int, body: str, headers: dict[str, str] | None = None
) -> contextlib.AbstractContextManager[Server]:
    """A server that always answers the same."""

    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status, text=body, headers=headers)

    return serve(answer)


def _errors(status: int, text: str) -> web.Response:
    return web.json_response({"errors": [text]}, status=status)


@contextlib.contextmanager
def s3_server() -> Iterator[str]:
    """moto's S3 over the wire; gives its endpoint URL. Any key opens it."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def s3_client(endpoint: str) -> Any:
    """boto3 for the test's own use."""
    import boto3

    return boto3.client("s3", endpoint_url=endpoint, region_name="us-west-2",
                        aws_access_key_id="x", aws_secret_access_key="x")  # fmt: skip


def bucket_of(endpoint: str, name: str) -> Any:
    """boto3 for the test's own use, with a bucket that is made if it is not there."""
    client = s3_client(endpoint)
    # One server serves the whole process, so that another test may have made it.
    with contextlib.suppress(client.exceptions.BucketAlreadyOwnedByYou):
        client.create_bucket(
            Bucket=name, CreateBucketConfiguration={"LocationConstraint": "us-west-2"}
        )
    return client


def upload(endpoint: str, bucket: str, folder: Path, prefix: str = "") -> None:
    """Put a folder into a bucket, which is made if it is not there, readable by anyone."""
    client = bucket_of(endpoint, bucket)
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        key = f"{prefix}{path.relative_to(folder).as_posix()}"
        client.put_object(Bucket=bucket, Key=key, Body=path.read_bytes(), ACL="public-read")


def ranged(body: bytes, request: web.Request) -> web.Response:
    """What a range server answers to `request` for a file that holds `body`."""
    asked = request.http_range
    start, stop = asked.start or 0, min(asked.stop or len(body), len(body))
    if "Range" not in request.headers:
        return web.Response(body=body)
    headers = {"Content-Range": f"bytes {start}-{stop - 1}/{len(body)}"}
    return web.Response(status=206, body=body[start:stop], headers=headers)


def faulty_server(
    body: bytes, *faults: str, headers: dict[str, str] | None = None
) -> contextlib.AbstractContextManager[Server]:
    """A range server of one file that commits `faults` one after another, then does right.

    A fault is a status, or one of: reset, truncated, short, stall, whole (a 200 for a range),
    elsewhere (another range), html-200, html-206.
    """
    script = iter(faults)

    async def answer(request: web.Request) -> web.StreamResponse:
        fault = next(script, "none")
        right = ranged(body, request)
        sent = bytes(right.body)  # type: ignore[arg-type]
        if fault.isdigit():
            return web.Response(status=int(fault), text="no", headers=headers)
        if fault in ("reset", "truncated", "stall"):
            return await _broken(request, right, sent, fault)
        if fault == "short":
            right.body = sent[:-1]
        elif fault == "whole":
            return web.Response(body=body)
        elif fault == "elsewhere":
            right.headers["Content-Range"] = f"bytes 1-{len(sent)}/{len(body)}"
        elif fault.startswith("html"):
            right.set_status(int(fault[-3:]))
            right.headers["Content-Type"] = "text/html; charset=utf-8"
        return right

    return serve(answer)


async def _broken(
    request: web.Request, right: web.Response, sent: bytes, fault: str
) -> web.StreamResponse:
    response = web.StreamResponse(status=right.status)
    if "Content-Range" in right.headers:
        response.headers["Content-Range"] = right.headers["Content-Range"]
    response.content_length = len(sent)
    await response.prepare(request)
    await response.write(sent[: len(sent) // 2])
    if fault == "stall":
        await asyncio.sleep(120)
    elif request.transport is not None:
        request.transport.abort() if fault == "reset" else request.transport.close()
    return response


def slow_file_server(root: Path, seconds: float) -> contextlib.AbstractContextManager[Server]:
    """A range server over a folder that thinks for `seconds` before each answer."""

    async def answer(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(seconds)
        path = _file_below(root, request.path)
        return _errors(404, "not here") if path is None else web.FileResponse(path)

    return serve(answer)


@contextlib.contextmanager
def listener() -> Iterator[tuple[int, list[Any]]]:
    """A bare TCP port on loopback and the peers that connected to it, whatever they then said."""
    import socket

    peers: list[Any] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, peer = server.accept()
                    peers.append(peer)
                    connection.close()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield server.getsockname()[1], peers
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
