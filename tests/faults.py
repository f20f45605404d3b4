"""An archive that fails on purpose: a folder over http and as S3, with faults by rate and seed.

Whether a request goes wrong, and where in its body, is drawn from the seed, from what was asked and
how often it was asked before: a run can be repeated, in whatever order its requests arrive.
"""

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path
from urllib.request import urlopen

from aiohttp import web
from servers import serve

STATUSES = {
    "401": "InvalidAccessKeyId",
    "403": "AccessDenied",
    "404": "NoSuchKey",
    "429": "TooManyRequests",
    "500": "InternalError",
    "503": "SlowDown",
}
_LOOK = "/look"
_LOOKS = 3
TRANSIENT = ("429", "500", "503", "closed", "reset", "truncated", "stall")
"""Faults of a busy archive: what fails now may well succeed when it is asked again."""
FAULTS = (
    *STATUSES,
    "closed",  # the connection ends before any answer
    "reset",  # the connection is reset within the body
    "truncated",  # the body ends before its Content-Length
    "stall",  # the body stops, and the connection stays
    "short",  # fewer bytes, and headers that agree with them
    "elsewhere",  # another range
    "whole",  # 200 and the whole file for a range
    "login-200",
    "login-206",
    "flipped",  # one bit of the body
    "retagged",  # an ETag that the file did not have before
)
# And "astray", which needs a place to lead to: a redirect to a stranger.


@dataclass(frozen=True)
class Mischief:
    """What goes wrong, how often and where."""

    faults: tuple[str, ...] = ()
    rate: float = 1.0
    """Share of the requests that go wrong."""
    seed: int = 0
    within: str = "/"
    """Only for paths that begin so."""

    def drawn(self, asked: str, nth: int) -> tuple[str | None, random.Random]:
        """The fault of a request, if it is to go wrong, and chance for its details."""
        chance = random.Random(f"{self.seed} {asked} {nth}")
        wrong = chance.random() < self.rate and bool(self.faults)
        return (chance.choice(self.faults) if wrong else None), chance


@dataclass(frozen=True)
class Asked:
    """One request, and what was done to it."""

    method: str
    path: str
    wanted: str
    """Its Range header."""
    fault: str | None
    headers: str
    """All its headers, to look for secrets in."""

    @property
    def what(self) -> str:
        """The same for each try of the same request."""
        return f"{self.method} {self.path} {self.wanted}"


@dataclass
class FaultyArchive:
    """A folder served by range; ``/bucket/key`` is also what S3 calls it."""

    root: Path
    url: str = ""
    mischief: Mischief = Mischief()
    retry_after: str = ""
    """Sent with every 429 and 503."""
    stranger: str = ""
    """Where redirects lead that go astray."""
    echoed: str = ""
    """Repeated in the body of every failure, as some servers repeat a token."""
    latency: float = 0.0
    """Seconds before every answer."""
    asked: list[Asked] = field(default_factory=list)
    _counted: Counter[str] = field(default_factory=Counter)
    _bodies: dict[Path, bytes] = field(default_factory=dict)

    def begin(self, mischief: Mischief) -> None:
        """Forget what was asked, and go wrong in another way.

        Requests that were sent and given up by who sent them are answered first: each look waits
        behind all that had arrived.
        """
        for _ in range(_LOOKS):
            urlopen(f"{self.url}{_LOOK}", timeout=60).close()
        self.mischief = mischief
        self.asked, self._counted = [], Counter()

    def counts(self) -> Counter[str]:
        """How often each request was made."""
        return Counter(own.what for own in self.asked)

    def faults(self) -> Counter[str]:
        """How often each fault was committed."""
        return Counter(own.fault for own in self.asked if own.fault)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """The right answer, unless a fault is drawn that applies."""
        if request.path == _LOOK:
            return web.Response()
        if self.latency:
            await asyncio.sleep(self.latency)
        wanted = request.headers.get("Range", "")
        asked = f"{request.method} {request.path} {wanted}"
        fault, chance = None, random.Random(0)
        if request.path.startswith(self.mischief.within):
            fault, chance = self.mischief.drawn(asked, self._counted[asked])
        self._counted[asked] += 1
        path = self.root / request.path.lstrip("/")
        if not path.is_file() or not _applies(fault, request):
            fault = None
        self.asked.append(
            Asked(request.method, request.path, wanted, fault, str(dict(request.headers)))
        )
        if not path.is_file():
            return self._failure(404, "NoSuchKey")
        right = self._right(request, path)
        if fault is None:
            return right
        if fault in STATUSES:
            return self._failure(int(fault), STATUSES[fault])
        if fault == "astray":
            return web.Response(status=307, headers={"Location": f"{self.stranger}/stolen"})
        if fault in ("closed", "reset", "truncated", "stall"):
            return await _broken(request, right, fault, chance)
        return self._spoilt(right, path, fault, chance)

    def _right(self, request: web.Request, path: Path) -> web.Response:
        body = self._bodies.setdefault(path, path.read_bytes())
        headers = {
            "ETag": f'"{len(body):x}"',
            "Last-Modified": formatdate(path.stat().st_mtime, usegmt=True),
        }
        if "Range" not in request.headers:
            return web.Response(body=body, headers=headers)
        span = request.http_range
        start, stop = span.start or 0, min(span.stop or len(body), len(body))
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(body)}"
        return web.Response(status=206, body=body[start:stop], headers=headers)

    def _failure(self, status: int, code: str) -> web.Response:
        told = f"<Error><Code>{code}</Code><Message>no {self.echoed}</Message></Error>"
        headers = {"Retry-After": self.retry_after} if status in (429, 503) else {}
        return web.Response(
            status=status,
            text=f'<?xml version="1.0"?>{told}',
            content_type="application/xml",
            headers={key: value for key, value in headers.items() if value},
        )

    def _spoilt(
        self, right: web.Response, path: Path, fault: str, chance: random.Random
    ) -> web.Response:
        """A complete answer that is not the right one."""
        body, whole = bytes(right.body), self._bodies[path]  # type: ignore[arg-type]
        start = _start(right)
        if fault == "short":
            right.body = body[: chance.randrange(len(body))]
            if right.status == 206:
                end = start + max(len(right.body), 1) - 1
                right.headers["Content-Range"] = f"bytes {start}-{end}/{len(whole)}"
        elif fault == "elsewhere":
            moved = (start + 1 + chance.randrange(len(whole))) % len(whole)
            right.body = (whole * 2)[moved : moved + len(body)]
            right.headers["Content-Range"] = f"bytes {moved}-{moved + len(body) - 1}/{len(whole)}"
        elif fault == "whole":
            return web.Response(body=whole, headers={"ETag": right.headers["ETag"]})
        elif fault.startswith("login"):
            right.headers["Content-Type"] = "text/html; charset=utf-8"
            right.body = (b"<html>please log in" * len(body))[: len(body)]
            if fault == "login-200":
                right.set_status(200)
        elif fault == "flipped":
            spoilt = bytearray(body)
            spoilt[chance.randrange(len(body))] ^= 1 << chance.randrange(8)
            right.body = bytes(spoilt)
        elif fault == "retagged":
            right.headers["ETag"] = f'"{chance.random()}"'
        return right


def _applies(fault: str | None, request: web.Request) -> bool:
    """Whether an answer to `request` can be wrong in this way."""
    if fault in ("whole", "elsewhere", "login-206") and "Range" not in request.headers:
        return False
    return request.method == "GET" or fault in (*STATUSES, "closed")


def _start(right: web.Response) -> int:
    told = right.headers.get("Content-Range", "bytes 0-")
    return int(told.removeprefix("bytes ").partition("-")[0])


async def _broken(
    request: web.Request, right: web.Response, fault: str, chance: random.Random
) -> web.StreamResponse:
    """An answer that ends before its time, or does not end."""
    response = web.StreamResponse(status=right.status, headers=right.headers)
    transport = request.transport
    assert transport is not None
    if fault == "closed":
        transport.abort()
        return response
    body = bytes(right.body)  # type: ignore[arg-type]
    response.content_length = len(body)
    with contextlib.suppress(ConnectionError):  # who asked may have gone
        await response.prepare(request)
        await response.write(body[: chance.randrange(len(body))])
    if fault == "stall":
        for _ in range(1000):
            if transport.is_closing():
                break
            await asyncio.sleep(0.03)
    transport.abort() if fault == "reset" else transport.close()
    return response


@contextlib.contextmanager
def faulty_archive(root: Path) -> Iterator[FaultyArchive]:
    """Serve `root`, at first without faults."""
    archive = FaultyArchive(root)
    with serve(archive.answer) as server:
        archive.url = server.url
        yield archive
