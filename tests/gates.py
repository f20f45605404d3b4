"""Servers that keep a request waiting until a test has done what it wants to do meanwhile."""

import asyncio
import contextlib
import io
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web
from servers import Answer, Server, serve
from yarl import URL

type Wanted = Callable[[web.Request], bool]

_OWN = {"connection", "content-encoding", "content-length", "date", "keep-alive", "server",
        "transfer-encoding"}  # fmt: skip


@dataclass
class Gate:
    """Keeps requests of one kind waiting for ever, and tells that one has come."""

    wanted: Wanted | None = None
    """Which requests; none where the gate is open."""
    is_late: bool = False
    """Whether they are carried out, and only their answers kept back."""
    came: threading.Event = field(default_factory=threading.Event)
    """Whether one waits."""

    def close(self, wanted: Wanted, *, is_late: bool = False) -> None:
        """Let requests that are `wanted` wait from now on."""
        self.wanted, self.is_late = wanted, is_late
        self.came.clear()

    def open(self) -> None:
        """Let requests pass that come from now on."""
        self.wanted = None

    def before(self, answer: Answer) -> Answer:
        """`answer`, with the gate before it."""

        async def gated(request: web.Request) -> web.StreamResponse:
            waits, is_late = self.wanted is not None and self.wanted(request), self.is_late
            if not waits:
                return await answer(request)
            if is_late:
                await answer(request)
            self.came.set()
            await asyncio.get_running_loop().create_future()  # until the server ends
            raise AssertionError

        return gated


@contextlib.contextmanager
def passing_on(endpoint: str, gate: Gate) -> Iterator[Server]:
    """What answers at `endpoint`, behind a gate."""

    async def answer(request: web.Request) -> web.StreamResponse:
        given = {k: v for k, v in request.headers.items() if k.lower() != "connection"}
        body = io.BytesIO(await request.content.read())
        async with (
            aiohttp.ClientSession(auto_decompress=False) as session,
            session.request(
                request.method, URL(f"{endpoint}{request.raw_path}", encoded=True),
                headers=given, data=body, skip_auto_headers=("Content-Type",),
            ) as got,
        ):  # fmt: skip
            headers = {k: v for k, v in got.headers.items() if k.lower() not in _OWN}
            if request.method == "HEAD":
                headers["Content-Length"] = got.headers.get("Content-Length", "0")
            return web.Response(status=got.status, body=await got.read(), headers=headers)

    with serve(gate.before(answer)) as server:
        yield server
