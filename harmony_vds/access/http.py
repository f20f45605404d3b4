"""Requests over http(s): redirects off, so that a token never follows one; answers checked."""

import asyncio
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from urllib.parse import urljoin

import aiohttp
from yarl import URL

from harmony_vds.access.answers import (
    REDIRECTS,
    Answer,
    check_length,
    check_range,
    host_path,
    moment,
    read_body,
    refuse_failure,
)
from harmony_vds.access.credentials import Credentials
from harmony_vds.access.hedge import Hedges, Pulse, document, nothing_yet
from harmony_vds.access.resolver import PublicResolver
from harmony_vds.access.trust import Address, Trust
from harmony_vds.access.turns import Turns
from harmony_vds.errors import (
    ForbiddenError,
    MissingSourceError,
    StoreError,
    UntrustedError,
    UpstreamError,
)

STALL_TIMEOUT = 10.0
"""Seconds. A healthy archive answers within one or two; six cut-off tries still fit the 60 s for
which a request is tried, and a request that stalled once still ends well within a work item."""
_EXPIRED = {400, 401, 403}
"""How signed URLs answer when their time is over; S3 says 400 for a session token."""
_REMEMBERED = 20_000
"""URLs of which is remembered how they are asked; a few hundred bytes each."""


@dataclass(frozen=True)
class Received:
    """Bytes as they arrived, with what the server says of their source."""

    body: bytes
    """Exactly the bytes asked for."""
    modified: datetime | None = None
    """Last-Modified of the source, UTC."""
    etag: str | None = None
    """Entity tag of the source."""
    size: int | None = None
    """Bytes of the whole source, where its place says so."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """All headers of the answer, names as the client compares them: without regard to case; only
    of whole bodies over http."""


@dataclass(frozen=True, slots=True)
class _Target:
    """How a URL is asked."""

    url: URL
    private: bool
    """Whether it lies in a prefix of the operator's, and goes through that pool."""


@dataclass
class HttpClient:
    """Connection pools on the network loop: one for the public, one for the operator's prefixes.

    Only the second may connect to private addresses. They share nothing, so that an address looked
    up or a connection opened for the operator's prefix serves no other.
    """

    trust: Trust
    """The operator's part decides which pool an address belongs to."""
    credentials: Credentials
    """Whose token, and who may have it."""
    max_connections: int = 64
    """Requests in flight at once in each pool."""
    connect_timeout: float = 10.0
    """Seconds to wait for a connection."""
    stall_timeout: float = STALL_TIMEOUT
    """Seconds without a byte after which a connection is cut."""
    hedges: Hedges = field(default_factory=Hedges)
    """Asks again, beside a request that is silent for longer than usual."""
    _rooms: dict[bool, asyncio.Semaphore] = field(default_factory=dict, repr=False)
    _pools: dict[bool, aiohttp.ClientSession] = field(default_factory=dict, repr=False)
    _closed: bool = field(default=False, repr=False)
    _resolved: dict[str, tuple[str, Trust]] = field(default_factory=dict, repr=False)
    _resolving: Turns = field(
        default_factory=lambda: Turns((UpstreamError, ForbiddenError, MissingSourceError)),
        repr=False,
    )
    _targets: dict[str, _Target] = field(default_factory=dict, repr=False)
    _bodies: set[aiohttp.StreamReader] = field(default_factory=set, repr=False)

    def __post_init__(self) -> None:
        # The pools' own limit would not tell who waits for a connection from who has one, and
        # closing a pool would cancel those who wait.
        self._rooms.update({own: asyncio.Semaphore(self.max_connections) for own in (True, False)})

    def pool(self, *, private: bool) -> aiohttp.ClientSession:
        """A pool, made on first use; to be called on the network loop. **Reads:** nothing.

        Raises
        ------
        StoreError
            The client was closed: this fetch was still waiting when another one failed.
        """
        if self._closed:
            raise StoreError("The request was given up before this was read.")
        if private not in self._pools:
            resolver = aiohttp.ThreadedResolver() if private else PublicResolver()
            timeout = aiohttp.ClientTimeout(
                total=None, sock_connect=self.connect_timeout, sock_read=self.stall_timeout
            )
            session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, resolver=resolver),  # `_rooms` limit it
                timeout=timeout,
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                read_bufsize=2**18,
                trust_env=False,
                headers={"User-Agent": "harmony-vds"},
            )
            # There is no public switch for the second try that aiohttp makes by itself, which
            # would multiply the tries of the retry policy.
            session._retry_connection = False  # noqa: SLF001
            self._pools[private] = session
        return self._pools[private]

    async def close(self) -> None:
        """Close the pools for good. **Reads:** nothing."""
        self._closed = True
        # aiohttp forgets whom a closed connection owes a body: they would wait for ever.
        for body in self._bodies:
            body.set_exception(aiohttp.ClientConnectionError())
        while self._pools:
            await self._pools.popitem()[1].close()

    async def refuse_private(self, address: Address) -> None:
        """Raise if the name of `address` leads into a private network that is not the operator's.

        For readers that make connections of their own; what the name leads to when they connect is
        beyond this check.

        Raises
        ------
        UntrustedError
            It does.
        UpstreamError
            The name cannot be looked up.

        **Reads:** nothing.
        """
        if self.trust.is_operators(address):
            return
        try:
            await PublicResolver().resolve(address.hostname, 443, socket.AF_UNSPEC)
        except OSError:
            raise UpstreamError(f"The name {address.hostname} cannot be looked up.") from None

    async def fetch_range(self, url: str, start: int, length: int, trust: Trust) -> Received:
        """Bytes ``[start, start + length)`` of `url`.

        Raises
        ------
        UpstreamError
            The answer failed in a way that may pass.
        ForbiddenError, StoreError, UntrustedError
            It will not pass.

        **Reads:** chunks or metadata, as the caller means it.
        """
        wanted = {"Range": f"bytes={start}-{start + length - 1}", "Accept-Encoding": "identity"}
        answer = await self._get(url, wanted, trust, length)
        check_range(answer, url, start, length)
        return _received(answer)

    async def fetch_whole(
        self, url: str, limit: int, trust: Trust, sent: Mapping[str, str] | None = None
    ) -> Received:
        """All of `url`, at most `limit` bytes; `sent` are further headers. **Reads:** metadata."""
        wanted = {"Accept-Encoding": "identity", **(sent or {})}
        answer = await self._get(url, wanted, trust, limit)
        if answer.status != 200:
            raise StoreError(f"{host_path(url)} answered with status {answer.status}.")
        expected = answer.headers.get("Content-Length")
        if expected:
            check_length(answer.body, int(expected), url)
        return replace(_received(answer), headers=answer.headers)

    async def exchange(self, url: str, limit: int) -> bytes:
        """What `url` gives for the user's token; no redirect is followed. **Reads:** metadata."""
        token = await self._token(url)
        if not token:
            raise ForbiddenError(f"{host_path(url)} asks for an Earthdata token; there is none.")
        answer = await self._exchange(url, {"Accept-Encoding": "identity", **token}, limit, Pulse())
        if answer.status in REDIRECTS:  # Earthdata sends whom it does not know to a login form
            raise ForbiddenError(f"{host_path(url)} sends to a login form; is the token valid?")
        refuse_failure(answer, url)
        return answer.body

    async def _get(self, url: str, wanted: Mapping[str, str], trust: Trust, limit: int) -> Answer:
        """One answer; where `url` redirects to is found once and remembered until it expires."""
        expired = None
        while True:
            target, judged_by = self._resolved.get(url, (None, trust))
            if target is None or target == expired:
                # One of them, so that a thousand chunks of one file ask for its place once.
                found = await self._resolving.first(
                    url, lambda: self._resolve(url, wanted, trust, limit)
                )
                if found is not None:
                    return found
                continue
            if target != url and judged_by is not trust:
                trust.check_redirect(target)
            answer = await self._ask(url, target, wanted, limit)
            moved = answer.status in REDIRECTS or (target != url and answer.status in _EXPIRED)
            if moved and expired is None:
                expired = target
                continue
            refuse_failure(answer, url)
            return answer

    async def _resolve(
        self, url: str, wanted: Mapping[str, str], trust: Trust, limit: int
    ) -> Answer:
        """One answer through at most three redirects, the last of them remembered."""
        target = url
        for _ in range(4):
            answer = await self._ask(url, target, wanted, limit)
            if answer.status in REDIRECTS:
                target = urljoin(target, answer.headers.get("Location", ""))
                trust.check_redirect(target)
                continue
            refuse_failure(answer, url)
            self._resolved[url] = (target, trust)
            return answer
        raise StoreError(f"{host_path(url)} redirects again and again.")

    async def _ask(self, url: str, target: str, wanted: Mapping[str, str], limit: int) -> Answer:
        # The token goes only with the address that was asked for, never with a redirect.
        token = await self._token(url) if target == url else {}
        return await self._send(target, {**wanted, **token}, limit)

    async def _token(self, url: str) -> dict[str, str]:
        if self.credentials.is_obtained:
            return self.credentials.authorization(url)
        if not self.credentials.may_go_to(url):
            return {}
        # Logging in runs on this loop, too: waiting for it here would be waiting for ever.
        return await asyncio.to_thread(self.credentials.authorization, url)

    def _target(self, url: str) -> _Target:
        """How `url` is asked; worked out once, since neither trust nor pools ever change."""
        known = self._targets.get(url)
        if known is None:
            # encoded=True: signed URLs must arrive as they were signed.
            known = _Target(URL(url, encoded=True), self.trust.is_operators(Address.of(url)))
            if len(self._targets) >= _REMEMBERED:
                self._targets.clear()
            self._targets[url] = known
        return known

    async def _send(self, url: str, headers: Mapping[str, str], limit: int) -> Answer:
        return await self.hedges.first(
            self._target(url).url.authority,
            lambda pulse: self._exchange(url, headers, limit, pulse),
            lambda answer: answer.status < 400,
            kind="range" if "Range" in headers else "document",
        )

    async def _exchange(
        self, url: str, headers: Mapping[str, str], limit: int, pulse: Pulse
    ) -> Answer:
        try:
            target = self._target(url)
            async with self._rooms[target.private]:
                pulse.signs = nothing_yet
                return await self._answer(target, headers, limit, pulse)
        except aiohttp.InvalidURL:  # such as http://127.1/, which some take for an address
            raise UntrustedError(f"The address {host_path(url)} is malformed.") from None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            refused = _refusal_within(error)
            if refused is not None:
                raise refused from None
            raise UpstreamError(f"{host_path(url)} broke off: {type(error).__name__}.") from None

    async def _answer(
        self, target: _Target, headers: Mapping[str, str], limit: int, pulse: Pulse
    ) -> Answer:
        """One answer with its body; meanwhile `pulse` shows whether it lives."""
        pool = self.pool(private=target.private)
        async with pool.get(target.url, headers=headers, allow_redirects=False) as answer:
            if answer.status in (429, 503) and "Retry-After" in answer.headers:
                self.hedges.spare(target.url.authority)
            arrived = lambda: answer.content.total_bytes  # noqa: E731
            pulse.signs = (
                arrived if "Range" in headers else document(arrived, answer.content_length)
            )
            self._bodies.add(answer.content)
            try:
                body = await read_body(answer, limit)
            finally:
                self._bodies.discard(answer.content)
            return Answer(answer.status, answer.headers, body)


def _received(answer: Answer) -> Received:
    modified = moment(answer.headers.get("Last-Modified"))
    total = answer.headers.get("Content-Range", "").rpartition("/")[2]
    size = int(total) if total.isdecimal() else None
    return Received(answer.body, modified, answer.headers.get("ETag"), size)


def _refusal_within(error: BaseException | None) -> UntrustedError | None:
    """The resolver's refusal, which aiohttp wraps into an error of its own."""
    while error is not None:
        if isinstance(error, UntrustedError):
            return error
        error = error.__cause__ or error.__context__
    return None
