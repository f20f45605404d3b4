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
def serve(answer: Answer, host: str = "127.0.0.1") -> Iterator[Server]:
    """Run `answer` for every path on a free port, in a thread of its own."""
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
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, host, 0)
        await site.start()
        port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
        server.url = f"http://{host}:{port}"
        return runner

    runner = asyncio.run_coroutine_threadsafe(start(), loop).result()
    try:
        yield server
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def file_server(root: Path) -> contextlib.AbstractContextManager[Server]:
    """A real range server over a folder: aiohttp's, with Last-Modified and Content-Range."""

    async def answer(request: web.Request) -> web.StreamResponse:
        path = (root / request.path.lstrip("/")).resolve()
        if not path.is_relative_to(root.resolve()) or not path.is_file():
            return web.json_response({"errors": ["not here"]}, status=404)
        return web.FileResponse(path)

    return serve(answer)


def cmr_server(
    records: dict[str, dict[str, Any]], *, token: str | None = None
) -> contextlib.AbstractContextManager[Server]:
    """CMR's collection search, with its own answers for what is wrong.

    With `token`, any other token is refused as CMR refuses it.
    """

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path != "/search/collections.umm_json":
            return _errors(404, "Not Found")
        sent = request.headers.get("Authorization", "")
        if token is not None and sent and sent != f"Bearer {token}":
            return _errors(401, "Token does not exist")
        unknown = set(request.query) - {"concept_id", "concept_id[]", "page_size"}
        if unknown:
            return _errors(400, f"Parameter [{unknown.pop()}] was not recognized.")
        wanted = request.query.getall("concept_id", []) + request.query.getall("concept_id[]", [])
        items = [records[own] for own in wanted if own in records]
        return web.json_response(
            {"hits": len(items), "took": 3, "items": items},
            headers={"CMR-Hits": str(len(items)), "CMR-Request-Id": "test"},
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


def upload(endpoint: str, bucket: str, folder: Path, prefix: str = "") -> None:
    """Put a folder into a bucket, which is made if it is not there, readable by anyone."""
    client = s3_client(endpoint)
    with contextlib.suppress(client.exceptions.BucketAlreadyOwnedByYou):
        client.create_bucket(
            Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "us-west-2"}
        )
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        key = f"{prefix}{path.relative_to(folder).as_posix()}"
        client.put_object(Bucket=bucket, Key=key, Body=path.read_bytes(), ACL="public-read")
