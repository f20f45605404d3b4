"""Byte ranges from anywhere: checked for trust, fetched, verified, and retried where that helps.

Every byte that a store's data are made of comes through `Fetcher.fetch_range`.
"""

import asyncio
import math
import os
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception_type,
    stop_after_attempt,
    stop_after_delay,
    wait_random_exponential,
)

from harmony_vds.access.buckets import NOTHING_RECORDED, Buckets, Twin
from harmony_vds.access.http import HttpClient, Received
from harmony_vds.access.traffic import Traffic
from harmony_vds.access.trust import Address, Trust
from harmony_vds.access.ways import S3Reader
from harmony_vds.errors import MissingSourceError, StoreError, UpstreamError
from harmony_vds.telemetry import Deadline

_REMEMBERED = 20_000
"""URLs that were found to be trusted, remembered; a few hundred bytes each."""


@dataclass(frozen=True)
class RetryPolicy:
    """How often and how long a failed request is tried again, with full jitter."""

    attempts: int = 6
    """Tries in all."""
    budget: float = 60.0
    """Seconds after the first try beyond which no new one starts."""
    first_wait: float = 0.2
    """Upper bound of the first pause, in seconds; it doubles each time."""
    longest_wait: float = 10.0
    """Upper bound of any pause, in seconds; no server's ``Retry-After`` is obeyed for longer."""


@dataclass(frozen=True)
class Fetcher:
    """Reads byte ranges of trusted addresses; cheap to derive with more trust."""

    trust: Trust
    """What may be read."""
    http: HttpClient
    """Client for http and https."""
    s3: S3Reader
    """Reader of S3, by whichever way is open."""
    policy: RetryPolicy = RetryPolicy()
    """When to try again."""
    buckets: Buckets = NOTHING_RECORDED
    """What is known of S3 buckets."""
    deadline: Deadline | None = None
    """When the request must be done; None on the command line."""
    traffic: Traffic = field(default_factory=Traffic)
    """Counters, shared by all derived fetchers."""
    # Not handed on to derived fetchers, which trust more.
    _trusted: dict[str, Address] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @property
    def region(self) -> str:
        """AWS region of the buckets. **Reads:** nothing."""
        return self.buckets.region

    def recording(
        self,
        prefixes: tuple[str, ...],
        region: str | None = None,
        credentials_endpoint: str | None = None,
        twins: tuple[Twin, ...] = (),
    ) -> "Fetcher":
        """A fetcher that also trusts what a collection's record names. **Reads:** nothing."""
        buckets = self.buckets.recording(prefixes, region, credentials_endpoint, twins)
        return replace(self, trust=self.trust.recording(prefixes), buckets=buckets)

    async def fetch_range(self, url: str, start: int, length: int) -> Received:
        """Bytes ``[start, start + length)`` of `url`; to be awaited on the network loop.

        Raises
        ------
        UntrustedError
            The address may not be read.
        UpstreamError
            Still failing when the retry budget was spent.
        ForbiddenError, StoreError
            Will not get better by trying again.

        **Reads:** chunks or metadata, as the caller means it.
        """
        address = self._checked(url)
        if start < 0 or length < 0:
            raise StoreError(f"The manifest gives {address} a negative offset or length.")
        if length == 0:
            return Received(b"")
        return await self._retried(lambda: self._range(address, start, length))

    async def fetch_whole(
        self, url: str, limit: int, sent: Mapping[str, str] | None = None
    ) -> Received:
        """All of `url`, at most `limit` bytes; errors as in `fetch_range`.

        `sent` are further headers of a request over http. **Reads:** metadata.
        """
        address = self._checked(url)
        return await self._retried(lambda: self._whole(address, limit, sent))

    def _checked(self, url: str) -> Address:
        """The address of `url`, if it may be read; judged once, since trust never changes.

        What is refused is judged anew each time, and so are files, whose links may change.
        """
        known = self._trusted.get(url)
        if known is None:
            known = self.trust.check(url)
            if known.scheme != "file":
                if len(self._trusted) >= _REMEMBERED:
                    self._trusted.clear()
                self._trusted[url] = known
        return known

    async def _retried(self, attempt: Callable[[], Awaitable[Received]]) -> Received:
        received = await self.persist(attempt)
        self.traffic.requests += 1
        self.traffic.nbytes += len(received.body)
        return received

    async def persist[T](self, attempt: Callable[[], Awaitable[T]]) -> T:
        """What `attempt` gives, tried again by the policy while it fails in a way that may pass.

        For readers that make requests of their own, too; to be awaited on the network loop.

        Raises
        ------
        UpstreamError
            It still failed when the policy's attempts or time were spent.
        TimeLimitError
            The request's time is over.

        **Reads:** what `attempt` reads.
        """
        try:
            return await self._within_deadline(attempt)
        except UpstreamError as error:
            return await self._again(attempt, error)

    async def _again[T](self, attempt: Callable[[], Awaitable[T]], failure: UpstreamError) -> T:
        """Further tries after the first, which nearly always succeeds, ended in `failure`."""
        policy, first = self.policy, [failure]
        async for trial in AsyncRetrying(
            retry=retry_if_exception_type(UpstreamError),
            stop=stop_after_attempt(policy.attempts) | stop_after_delay(policy.budget),
            wait=self._pause,
            before_sleep=self._count_retry,
            reraise=True,
        ):
            with trial:
                if first:
                    raise first.pop()
                given = await self._within_deadline(attempt)
        return given

    async def _within_deadline[T](self, attempt: Callable[[], Awaitable[T]]) -> T:
        """One try, cut off when the request's time is over."""
        if self.deadline is None:
            return await attempt()
        self.deadline.check()
        try:
            async with asyncio.timeout(self.deadline.remaining):
                return await attempt()
        except TimeoutError:
            self.deadline.check()
            raise

    def _pause(self, state: RetryCallState) -> float:
        """Seconds until the next try: full jitter, but never beyond the request's time.

        Where the server told how long to wait, that long and a little more, so that not all come
        back at once.
        """
        policy = self.policy
        failure = state.outcome.exception() if state.outcome else None
        told = failure.retry_after if isinstance(failure, UpstreamError) else None
        if told is None:
            wait = wait_random_exponential(policy.first_wait, policy.longest_wait)(state)
        else:
            wait = min(told, policy.longest_wait) + random.uniform(0, policy.first_wait)  # noqa: S311
        left = math.inf if self.deadline is None else max(self.deadline.remaining, 0.0)
        return min(wait, left)

    def _count_retry(self, _: RetryCallState) -> None:
        self.traffic.retries += 1

    async def _range(self, address: Address, start: int, length: int) -> Received:
        if address.scheme == "s3":
            return await self.s3.fetch_range(address, start, length, self.buckets, self.trust)
        if address.scheme == "file":
            return await asyncio.to_thread(read_file, address, start, length)
        return await self.http.fetch_range(address.url, start, length, self.trust)

    async def _whole(
        self, address: Address, limit: int, sent: Mapping[str, str] | None
    ) -> Received:
        if address.scheme == "s3":
            return await self.s3.fetch_whole(address, limit, self.buckets, self.trust)
        if address.scheme == "file":
            return await asyncio.to_thread(_read_whole, address, limit)
        return await self.http.fetch_whole(address.url, limit, self.trust, sent)


def read_file(address: Address, start: int, length: int) -> Received:
    """Bytes ``[start, start + length)`` of a local file.

    Raises
    ------
    StoreError
        The file is missing, unreadable or too short.

    **Reads:** chunks or metadata, as the caller means it.
    """
    try:
        with Path(address.path).open("rb") as file:
            status = os.fstat(file.fileno())
            wanted = max(min(length, status.st_size - start), 0)  # no memory for what is not there
            body = os.pread(file.fileno(), wanted, start)
            modified = datetime.fromtimestamp(status.st_mtime, UTC)
    except OSError as error:
        raise _unreadable(address, error) from None
    if len(body) != length:
        raise StoreError(
            f"{address} ends before byte {start + length:,}; the manifest describes another file."
        )
    return Received(body, modified, size=status.st_size)


def _read_whole(address: Address, limit: int) -> Received:
    try:
        size = Path(address.path).stat().st_size
    except OSError as error:
        raise _unreadable(address, error) from None
    if size > limit:
        raise StoreError(f"{address} holds {size:,} bytes, more than the {limit:,} allowed.")
    return read_file(address, 0, size)


def _unreadable(address: Address, error: OSError) -> StoreError:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return MissingSourceError(f"{address} does not exist.")
    return StoreError(f"{address} cannot be read: {error.strerror}.")
