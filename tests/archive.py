"""A data centre on loopback: credentials for a token, S3 that checks them, and the same over https.

moto opens to any key, so a proxy stands before it that knows which session tokens were issued and
until when.
"""

import contextlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import aiohttp
from aiohttp import web
from invocation import CANARY
from servers import Server, serve

SECRET = "secret-canary-key-91b7"
SESSION = "session-canary-token-44d0"
EULA = "https://urs.earthdata.nasa.gov/approve_app?client_id=abc"


@dataclass
class Archive:
    """How the data centre behaves; may be changed while it runs."""

    moto: str
    """Endpoint of the S3 server behind the proxy."""
    token: str = CANARY
    """The Earthdata token that it knows."""
    public: tuple[str, ...] = ()
    """Buckets that anyone may read."""
    promised: float = 3600.0
    """Seconds that credentials last by what is said of them."""
    kept: float = 3600.0
    """Seconds that they really last."""
    early: frozenset[int] = frozenset()
    """Numbers of the exchanges, from 0, whose credentials last half as long."""
    spelling: str = "T"
    """Between date and time of the expiration; with a blank, the zone is written ``+00:00``."""
    fault: str = ""
    """Of the credentials endpoint: login, html, eula, outside, garbage, down."""
    folders: Mapping[str, str] = field(default_factory=dict)
    """Folder that stands over https in a bucket's place → the bucket."""
    closed: bool = False
    """Whether S3 refuses every read, as to credentials used outside their region."""
    issued: dict[str, float] = field(default_factory=dict)
    """Session token → when it really ends, by `seconds`."""
    when: list[float] = field(default_factory=list)
    """When credentials were given, by `seconds`."""
    passed: float = 0.0
    """Seconds that a test let pass without waiting for them."""
    s3: Server = field(default_factory=lambda: Server(""))
    tea: Server = field(default_factory=lambda: Server(""))

    @property
    def endpoint(self) -> str:
        return f"{self.tea.url}/s3credentials"

    @property
    def exchanges(self) -> int:
        """How often credentials were asked for."""
        return self.tea.paths().count("/s3credentials")

    def now(self) -> datetime:
        """The moment, with what a test let pass: for whoever keeps credentials, too."""
        return datetime.now(UTC) + timedelta(seconds=self.passed)

    def seconds(self) -> float:
        """The same as a number that only grows."""
        return time.monotonic() + self.passed

    def objects(self, server: Server) -> int:
        """How often `server` gave an object, or a part of one."""
        return sum(a.status in (200, 206) and a.path != "/s3credentials" for a in server.asked)

    async def answer_tea(self, request: web.Request) -> web.StreamResponse:
        known = request.headers.get("Authorization") == f"Bearer {self.token}"
        if request.path == "/s3credentials":
            return self._credentials(known=known)
        folder, _, key = request.path[1:].partition("/")
        bucket = self.folders.get(folder, folder)
        if not known and bucket not in self.public:
            return web.Response(status=302, headers={"Location": "https://urs.example.org/login"})
        return await self._forward(request, f"/{bucket}/{key}")

    def _credentials(self, *, known: bool) -> web.Response:
        match self.fault or ("" if known else "login"):
            case "login":
                where = {"Location": "https://urs.earthdata.nasa.gov/oauth/authorize?client_id=x"}
                return web.Response(status=302, headers=where)
            case "html":
                return web.Response(text="<html>Log in</html>", content_type="text/html")
            case "eula":
                body = {"error": "invalid_token", "status_code": 403, "resolution_url": EULA,
                        "error_description": "EULA Acceptance Failure"}  # fmt: skip
                return web.json_response(body, status=403)
            case "outside":
                return web.json_response({"message": "Forbidden"}, status=403)
            case "garbage":
                return web.json_response({"sessionToken": SESSION, "expiration": "soon"})
            case "down":
                return web.Response(status=503)
        token = f"{SESSION}-{len(self.issued)}"
        self.when.append(self.seconds())
        self.issued[token] = self.when[-1] + self.kept / (
            2 if len(self.issued) in self.early else 1
        )
        end = self.now() + timedelta(seconds=self.promised)
        told = f"{end:%Y-%m-%dT%H:%M:%S.%fZ}" if self.spelling == "T" else end.isoformat(" ")
        return web.json_response({"accessKeyId": "ASIACANARY", "secretAccessKey": SECRET,
                                  "sessionToken": token, "expiration": told})  # fmt: skip

    async def answer_s3(self, request: web.Request) -> web.StreamResponse:
        token = request.headers.get("x-amz-security-token")
        if token is None:
            if "Authorization" in request.headers:
                return _refusal(403, "InvalidAccessKeyId", "not issued here")
            if request.path.split("/")[1] in self.public:
                return await self._forward(request)
            return _refusal(403, "AccessDenied", "Access Denied")
        if self.issued.get(token, 0.0) < self.seconds():
            return _refusal(400, "ExpiredToken", f"expired</Message><Token-0>{token}</Token-0>")
        return _refusal(403, "AccessDenied", "no") if self.closed else await self._forward(request)

    async def _forward(self, request: web.Request, path: str = "") -> web.StreamResponse:
        kept = {k: v for k, v in request.headers.items() if k in ("Range", "If-Match")}
        async with (
            aiohttp.ClientSession(auto_decompress=False) as session,
            session.request(
                request.method, f"{self.moto}{path or request.path_qs}", headers=kept
            ) as answer,
        ):
            body = await answer.read()
            passed = ("content-type", "content-range", "etag", "last-modified", "accept-ranges")
            headers = {k: v for k, v in answer.headers.items() if k.lower() in passed}
            return web.Response(status=answer.status, body=body, headers=headers)


def _refusal(status: int, code: str, text: str) -> web.Response:
    body = f"<Error><Code>{code}</Code><Message>{text}</Message></Error>"
    return web.Response(status=status, text=body, content_type="application/xml")


@contextlib.contextmanager
def archive(moto: str, **behaviour: object) -> Iterator[Archive]:
    """A running data centre over the buckets of the S3 server `moto`."""
    own = Archive(moto, **behaviour)  # type: ignore[arg-type]
    with serve(own.answer_s3) as own.s3, serve(own.answer_tea) as own.tea:
        yield own
