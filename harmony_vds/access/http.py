"""Requests over http(s): redirects off, answers checked, failures sorted by what to do about them.

A range that comes back short, as a whole file, or as a login page must never become data, and a
token must never follow a redirect.
"""

import asyncio
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urljoin

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from harmony_vds.access.credentials import Credentials
from harmony_vds.access.trust import Address, Trust, is_private
from harmony_vds.errors import (
    ForbiddenError,
    MissingSourceError,
    StoreError,
    UntrustedError,
    UpstreamError,
)

_RETRIABLE = {408, 429}
_EXPIRED = {400, 401, 403}
"""How signed URLs answer when their time is over; S3 says 400 for a session token."""
_REDIRECTS = {301, 302, 303, 307, 308}
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")
_RESOLUTION = re.compile(r'"resolution_url"\s*:\s*"([^"]+)"')


@dataclass(frozen=True)
class Received:
    """Bytes as they arrived, with what the server says of their source."""

    body: bytes
    """Exactly the bytes asked for."""
    modified: datetime | None = None
    """Last-Modified of the source, UTC."""
    etag: str | None = None
    """Entity tag of the source."""


class PublicResolver(AbstractResolver):
    """Looks names up and refuses private addresses, at the moment of connecting."""

    def __init__(self) -> None:
        self._inner = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses of `host`. **Reads:** nothing.

        Raises
        ------
        UntrustedError
            The name leads into a private network.
        """
        found = await self._inner.resolve(host, port, family)
        if any(is_private(r["host"]) for r in found):
            raise UntrustedError(f"{host} is not read: its name leads to a private address.")
        return found

    async def close(self) -> None:
        """Release the inner resolver. **Reads:** nothing."""
        await self._inner.close()


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
    stall_timeout: float = 20.0
    """Seconds without a byte after which a connection is cut."""
    _pools: dict[bool, aiohttp.ClientSession] = field(default_factory=dict, repr=False)
    _closed: bool = field(default=False, repr=False)
    _resolved: dict[str, str] = field(default_factory=dict, repr=False)
    _resolving: dict[str, asyncio.Lock] = field(default_factory=dict, repr=False)

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
            self._pools[private] = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self.max_connections, resolver=resolver),
                timeout=timeout,
                auto_decompress=False,
                trust_env=False,
                headers={"User-Agent": "harmony-vds"},
            )
        return self._pools[private]

    async def close(self) -> None:
        """Close the pools for good. **Reads:** nothing."""
        self._closed = True
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
        status, headers, body = await self._get(url, wanted, trust, length)
        if status == 200:
            raise StoreError(f"{host_path(url)} ignores byte ranges; it cannot serve chunks.")
        found = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", ""))
        if status != 206 or found is None or int(found[1]) != start:
            raise StoreError(f"{host_path(url)} answered a byte range with another range.")
        if found[3] != "*" and int(found[3]) < start + length:
            raise StoreError(f"{host_path(url)} is shorter than its manifest says.")
        return Received(_exact(body, length, url), _modified(headers), headers.get("ETag"))

    async def fetch_whole(self, url: str, limit: int, trust: Trust) -> Received:
        """All of `url`, at most `limit` bytes. **Reads:** metadata."""
        status, headers, body = await self._get(url, {"Accept-Encoding": "identity"}, trust, limit)
        if status != 200:
            raise StoreError(f"{host_path(url)} answered with status {status}.")
        expected = headers.get("Content-Length")
        whole = _exact(body, int(expected), url) if expected else body
        return Received(whole, _modified(headers), headers.get("ETag"))

    async def _get(
        self, url: str, wanted: Mapping[str, str], trust: Trust, limit: int
    ) -> tuple[int, Mapping[str, str], bytes]:
        """One answer; where `url` redirects to is found once and remembered until it expires."""
        expired = None
        while True:
            target = self._resolved.get(url)
            if target in (None, expired):
                # One at a time, so that a thousand chunks of one file ask for its place once.
                async with self._resolving.setdefault(url, asyncio.Lock()):
                    target = self._resolved.get(url)
                    if target in (None, expired):
                        return await self._resolve(url, wanted, trust, limit)
            status, answer, body = await self._ask(url, target or url, wanted, limit)
            moved = status in _REDIRECTS or (target != url and status in _EXPIRED)
            if moved and expired is None:
                expired = target
                continue
            refuse_failure(status, answer, body, url)
            return status, answer, body

    async def _resolve(
        self, url: str, wanted: Mapping[str, str], trust: Trust, limit: int
    ) -> tuple[int, Mapping[str, str], bytes]:
        """One answer through at most three redirects, the last of them remembered."""
        target = url
        for _ in range(4):
            status, answer, body = await self._ask(url, target, wanted, limit)
            if status in _REDIRECTS:
                target = urljoin(target, answer.get("Location", ""))
                trust.check_redirect(target)
                continue
            refuse_failure(status, answer, body, url)
            self._resolved[url] = target
            return status, answer, body
        raise StoreError(f"{host_path(url)} redirects again and again.")

    async def _ask(
        self, url: str, target: str, wanted: Mapping[str, str], limit: int
    ) -> tuple[int, Mapping[str, str], bytes]:
        # The token goes only with the address that was asked for, never with a redirect.
        token = await self._token(url) if target == url else {}
        return await self._send(target, {**wanted, **token}, limit)

    async def _token(self, url: str) -> dict[str, str]:
        if self.credentials.is_obtained:
            return self.credentials.authorization(url)
        # Logging in runs on this loop, too: waiting for it here would be waiting for ever.
        return await asyncio.to_thread(self.credentials.authorization, url)

    async def _send(
        self, url: str, headers: Mapping[str, str], limit: int
    ) -> tuple[int, Mapping[str, str], bytes]:
        try:
            # encoded=True: signed URLs must arrive as they were signed.
            target = URL(url, encoded=True)
            pool = self.pool(private=self.trust.is_operators(Address.of(url)))
            async with pool.get(target, headers=headers, allow_redirects=False) as answer:
                return answer.status, answer.headers, await _read_body(answer, limit)
        except aiohttp.InvalidURL:  # such as http://127.1/, which some take for an address
            raise UntrustedError(f"The address {host_path(url)} is malformed.") from None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            refused = _refusal_within(error)
            if refused is not None:
                raise refused from None
            raise UpstreamError(f"{host_path(url)} broke off: {type(error).__name__}.") from None


async def _read_body(answer: aiohttp.ClientResponse, limit: int) -> bytes:
    """The body: whole up to `limit` bytes on success, the beginning of it on failure."""
    if answer.status in _REDIRECTS:
        return b""
    # Error texts and login pages may be longer than the range that was asked for.
    is_data = answer.status < 400 and not _is_web_page(answer.headers)
    pieces = bytearray()
    async for piece in answer.content.iter_chunked(2**18):
        pieces += piece
        if not is_data and len(pieces) > 2**16:
            break
        if is_data and len(pieces) > limit:
            if answer.status == 200 and "Range" in answer.request_info.headers:
                break  # the server ignored the range; the caller says so
            raise StoreError(f"{host_path(str(answer.url))} sent more than {limit:,} bytes.")
    return bytes(pieces)


def refuse_failure(status: int, headers: Mapping[str, str], body: bytes, url: str) -> None:
    """Raise for any answer but a success with data.

    Raises
    ------
    UpstreamError
        408, 429 and 5xx: may pass.
    ForbiddenError
        401, 403, and login pages; the text carries the place where an agreement is accepted.
    StoreError
        Any other failure.

    **Reads:** nothing.
    """
    where = host_path(url)
    if status in _RETRIABLE or status >= 500:
        raise UpstreamError(f"{where} answered with status {status}.")
    if status in (401, 403):
        agreement = _RESOLUTION.search(body.decode("utf-8", "replace"))
        advice = (
            f"Accept the data centre's agreement at {agreement[1]} and ask again."
            if agreement
            else "Check that the Earthdata token is valid and its user may read this collection."
        )
        raise ForbiddenError(f"{where} refused access (status {status}). {advice}")
    if status == 404:
        raise MissingSourceError(f"{where} does not exist (status 404).")
    if status == 416:
        raise StoreError(f"{where} is shorter than its manifest says (status 416).")
    if status >= 400:
        raise StoreError(f"{where} answered with status {status}.")
    if _is_web_page(headers):
        raise ForbiddenError(
            f"{where} answered with a web page, probably a login form, instead of data. "
            "Check that the Earthdata token is valid."
        )


def _is_web_page(headers: Mapping[str, str]) -> bool:
    return headers.get("Content-Type", "").lower().startswith("text/html")


def host_path(url: str) -> str:
    """`url` without its query, which may hold a signature. **Reads:** nothing."""
    return url.partition("?")[0]


def _exact(body: bytes, length: int, url: str) -> bytes:
    if len(body) != length:
        raise UpstreamError(f"{host_path(url)} sent {len(body):,} bytes instead of {length:,}.")
    return body


def _modified(headers: Mapping[str, str]) -> datetime | None:
    value = headers.get("Last-Modified")
    try:
        return parsedate_to_datetime(value).astimezone(UTC) if value else None
    except ValueError:
        return None


def _refusal_within(error: BaseException | None) -> UntrustedError | None:
    """The resolver's refusal, which aiohttp wraps into an error of its own."""
    while error is not None:
        if isinstance(error, UntrustedError):
            return error
        error = error.__cause__ or error.__context__
    return None
