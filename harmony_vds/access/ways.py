"""The ways to read an ``s3`` address, and which one serves: found once for each bucket.

Temporary credentials serve only near the archive, https anywhere, and some buckets are open to
anyone. What is told of a bucket gives the ways and their order; the first that succeeds is kept.
"""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from harmony_vds.access.buckets import Buckets
from harmony_vds.access.http import HttpClient, Received
from harmony_vds.access.keys import KeyRing, S3Keys
from harmony_vds.access.s3 import S3Client
from harmony_vds.access.shipped import shipped
from harmony_vds.access.trust import Address, Trust
from harmony_vds.access.turns import Turns
from harmony_vds.errors import (
    ForbiddenError,
    MissingSourceError,
    SpentKeysError,
    UntrustedError,
    UpstreamError,
    VdsError,
)

logger = logging.getLogger(__name__)

type S3Mode = Literal["auto", "direct", "https"]


class Way(StrEnum):
    """How an ``s3`` address is read."""

    ANONYMOUS = "directly, without credentials"
    SIGNED = "directly, with the user's temporary credentials"
    HTTPS = "over https"


@dataclass(frozen=True)
class Reading:
    """One read, whatever the way."""

    direct: Callable[[S3Keys | None], Awaitable[Received]]
    """From S3, with keys or anonymously."""
    web: Callable[[Address, Trust], Awaitable[Received]]
    """From the twin's address, under a trust that includes it."""


@dataclass
class S3Reader:
    """Reads ``s3`` addresses; used on the network loop."""

    http: HttpClient
    """Reads twins, asks credentials endpoints."""
    client: S3Client = field(default_factory=S3Client)
    """Reads S3."""
    mode: S3Mode = "auto"
    """``direct`` never reads twins, ``https`` nothing else where there is one."""
    ring: KeyRing = field(init=False)
    """The user's temporary credentials."""
    _found: dict[tuple[str, str, str | None], Way] = field(default_factory=dict, repr=False)
    _finding: Turns = field(default_factory=lambda: Turns((UpstreamError,)), repr=False)

    def __post_init__(self) -> None:
        self.ring = KeyRing(self.http)

    async def fetch_range(
        self, address: Address, start: int, length: int, buckets: Buckets, trust: Trust
    ) -> Received:
        """Bytes ``[start, start + length)`` of a trusted ``s3`` address.

        Raises
        ------
        ForbiddenError
            No way is open to this user; the text tells each.
        UpstreamError
            A way may be open later.
        StoreError
            The object is not what its manifest says.

        **Reads:** chunks or metadata, as the caller means it.
        """
        reading = Reading(
            lambda keys: self.client.fetch_range(address, start, length, buckets.region, keys),
            lambda twin, wider: self.http.fetch_range(twin.url, start, length, wider),
        )
        return await self._read(address, reading, buckets, trust)

    async def fetch_whole(
        self, address: Address, limit: int, buckets: Buckets, trust: Trust
    ) -> Received:
        """All of an object, at most `limit` bytes; errors as `fetch_range`. **Reads:** metadata."""
        reading = Reading(
            lambda keys: self.client.fetch_whole(address, limit, buckets.region, keys),
            lambda twin, wider: self.http.fetch_whole(twin.url, limit, wider),
        )
        return await self._read(address, reading, buckets, trust)

    def ways(self, address: Address, buckets: Buckets) -> tuple[Way, ...]:
        """The ways to `address`, in the order in which they are tried. **Reads:** nothing."""
        web = buckets.twin_of(address) is not None
        is_open = address.host in shipped().public or buckets.endpoint_of(address) is None
        if self.mode == "https" and web:
            return (Way.HTTPS,)
        signed = (Way.SIGNED,) if self.ring.serves(buckets.endpoint_of(address)) else ()
        https = (Way.HTTPS,) if web and self.mode == "auto" else ()
        if is_open:
            return (Way.ANONYMOUS, *signed, *https)
        return (*signed, *https, Way.ANONYMOUS)

    def found(self, address: Address, buckets: Buckets) -> Way | None:
        """The way that served before, if any did. **Reads:** nothing."""
        return self._found.get(_place(address, buckets))

    def way(self, address: Address, buckets: Buckets) -> Way:
        """The way that served, or that would be tried first. **Reads:** nothing."""
        return self.found(address, buckets) or self.ways(address, buckets)[0]

    def twin(self, address: Address, buckets: Buckets, trust: Trust) -> tuple[Address, Trust]:
        """Where `address` is read over https, and a trust that includes it.

        Raises
        ------
        ForbiddenError
            Nothing tells its twin.
        UntrustedError
            The twin is private or not https, and not the operator's.

        **Reads:** nothing.
        """
        found = buckets.twin_of(address)
        if found is None:
            raise ForbiddenError(f"Nothing tells where {address} is read over https.")
        wider = trust.recording((str(found.https),))
        return wider.check(found.of(address).url), wider

    async def _read(
        self, address: Address, reading: Reading, buckets: Buckets, trust: Trust
    ) -> Received:
        place = _place(address, buckets)
        while (way := self._found.get(place)) is None:
            # One of them, so that a thousand chunks of one bucket find the way once.
            received = await self._finding.first(
                place, lambda: self._find(address, reading, buckets, trust)
            )
            if received is not None:
                return received
        return await self._by(way, address, reading, buckets, trust)

    async def _find(
        self, address: Address, reading: Reading, buckets: Buckets, trust: Trust
    ) -> Received:
        """Read by the first way that is open, and keep it."""
        failed: list[tuple[Way, VdsError]] = []
        for way in self.ways(address, buckets):
            try:
                received = await self._by(way, address, reading, buckets, trust)
            except (ForbiddenError, UntrustedError, UpstreamError) as error:
                failed.append((way, error))
            except MissingSourceError as error:
                if not failed:
                    raise
                # Where listing is forbidden, S3 refuses what is not there.
                failed.append((way, error))
            else:
                self._found[_place(address, buckets)] = way
                for closed, reason in failed:
                    logger.info("s3://%s is not read %s: %s", address.host, closed, reason)
                logger.info("s3://%s is read %s", address.host, way)
                return received
        raise _closed(address, failed)

    async def _by(
        self, way: Way, address: Address, reading: Reading, buckets: Buckets, trust: Trust
    ) -> Received:
        if way is Way.HTTPS:
            return await reading.web(*self.twin(address, buckets, trust))
        endpoint = buckets.endpoint_of(address)
        if way is Way.ANONYMOUS or endpoint is None:
            return await reading.direct(None)
        keys = await self.ring.keys(endpoint)
        try:
            return await reading.direct(keys)
        except SpentKeysError:
            return await reading.direct(await self.ring.keys(endpoint, spent=keys))


def _place(address: Address, buckets: Buckets) -> tuple[str, str, str | None]:
    return address.host, buckets.region, buckets.endpoint_of(address)


def _closed(address: Address, failed: list[tuple[Way, VdsError]]) -> VdsError:
    """One error for all ways that failed; the last resort is told only where it tells more."""
    kinds = {type(error) for _, error in failed}
    kind = next((k for k in (UpstreamError, MissingSourceError) if k in kinds), ForbiddenError)
    tells = [
        own
        for own in failed
        if own[0] is not Way.ANONYMOUS or (type(own[1]) is kind and kind is not ForbiddenError)
    ]
    told = tells or failed
    if len(told) == 1:
        return told[0][1]
    explained = "; ".join(f"{way}: {error}" for way, error in told)
    return kind(f"{address} cannot be read. {explained}")
