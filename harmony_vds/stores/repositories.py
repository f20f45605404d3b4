"""Opens icechunk repositories, and repeats what fails in icechunk's own requests.

icechunk reads a repository's metadata by itself. It would not repeat a stalled or broken transfer,
and the other failures it would repeat for each of our own tries; so its tries are off and ours are
put around it. What it says went wrong is sorted as everything else is.
"""

import contextlib
import math
import os
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import icechunk
from zarr.core.buffer import default_buffer_prototype

from harmony_vds.access.fetch import Fetcher
from harmony_vds.access.gateway import Access
from harmony_vds.access.hedge import Pulse, nothing_yet
from harmony_vds.access.keys import S3Keys
from harmony_vds.access.loop import run
from harmony_vds.access.trust import Address
from harmony_vds.access.ways import Way
from harmony_vds.errors import (
    ForbiddenError,
    MissingSourceError,
    StoreError,
    UpstreamError,
    VdsError,
)
from harmony_vds.model.store import StoreLocation
from harmony_vds.stores.versions import session_of
from harmony_vds.telemetry import redact

# icechunk has one class for most failures of its storage; what failed stands in the text.
_STATUS = re.compile(r"status code: (\d{3})[^:]*")
_DAMAGED = re.compile(
    r"(?i)frame descriptor|flatbuffer|corrupt|checksum|decompress|magic"
    r"|src size is incorrect|destination buffer is too small|object was only 0 bytes"
)
_PROOFS = 3
"""Times that an object must come damaged to be so where it lies, and not by its way here."""
_REFUSED = re.compile(
    r"lacked (?:the necessary privileges|valid authentication)"
    r"|\((?:AccessDenied|InvalidAccessKeyId|SignatureDoesNotMatch)\)"
)


def open_session(location: StoreLocation, access: Access) -> tuple[icechunk.Session, datetime]:
    """A session at the state that `location` names, or at the tip of the branch ``main``.

    With it comes when the snapshot was written, UTC.

    Raises
    ------
    StoreError
        There is no repository, or it has no such state.
    ForbiddenError
        It may not be read.
    UpstreamError
        It cannot be read now.

    **Reads:** metadata.
    """
    # icechunk writes to the log past our redaction, and what it writes comes as an error, too.
    icechunk.set_logs_filter("off")
    storage = _storage(location, access)

    return run(_opened(_Questions(storage, location, access)))


@dataclass
class _Questions:
    """What is asked to open a repository."""

    storage: icechunk.Storage
    location: StoreLocation
    access: Access
    known: list[icechunk.Repository] = field(default_factory=list)
    """Opened, and not asked for the session yet."""

    async def ask[T](self, attempt: Callable[[], Awaitable[T]]) -> T:
        told = f"{self.location.shown} cannot be opened as an icechunk repository"
        again = twice(self.access.fetcher, self.location.href, attempt)
        return await persist(self.access.fetcher, told, again)

    async def repository(self) -> icechunk.Repository:
        return await icechunk.Repository.open_async(
            self.storage, config=_configuration(self.access)
        )

    async def session(self) -> tuple[icechunk.Repository, icechunk.Session]:
        # Who asks a repository for what it already waits for waits, too: it takes a fresh one.
        own = self.known.pop() if self.known else await self.repository()
        session = await session_of(own, self.location)
        # Has the snapshot fetched, without which nothing can be read; whoever reads tells failures.
        with contextlib.suppress(icechunk.IcechunkError):
            await session.store.get("zarr.json", default_buffer_prototype())
        return own, session


async def _opened(questions: _Questions) -> tuple[icechunk.Session, datetime]:
    # Three questions of few requests each: one of all would rather fail than not.
    questions.known.append(await questions.ask(questions.repository))
    repository, session = await questions.ask(questions.session)
    snapshot = await questions.ask(lambda: repository.lookup_snapshot_async(session.snapshot_id))
    return session, snapshot.written_at.astimezone(UTC)


def _configuration(access: Access) -> icechunk.RepositoryConfig:
    """A fresh one: endpoints stored in the repository are not obeyed.

    The addresses of its containers stand in for their names (``vcc://name/``), and like every
    address must be trusted to be read.
    """
    http = access.fetcher.http
    return icechunk.RepositoryConfig(
        storage=icechunk.StorageSettings(
            retries=icechunk.StorageRetriesSettings(max_tries=1),
            timeouts=icechunk.StorageTimeoutSettings(
                connect_timeout_ms=round(http.connect_timeout * 1000),
                read_timeout_ms=round(http.stall_timeout * 1000),
            ),
        )
    )


def _storage(location: StoreLocation, access: Access) -> icechunk.Storage:
    address = access.fetcher.trust.check(location.href)
    if address.scheme == "file":
        _refuse_links_out(address, access)
        return icechunk.local_filesystem_storage(address.path)
    if address.scheme == "s3":
        return _s3_storage(address, location, access)
    return _http_storage(address, access)


def _refuse_links_out(address: Address, access: Access) -> None:
    """Raise for a link in a local repository to a file that may not be read: icechunk follows it.

    **Reads:** nothing but the names of its files.
    """
    folders = [address.path]
    while folders:
        with contextlib.suppress(FileNotFoundError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_symlink():
                    access.fetcher.trust.check(Path(entry.path).as_uri())
                elif entry.is_dir():
                    folders.append(entry.path)


def _http_storage(address: Address, access: Access) -> icechunk.Storage:
    # icechunk connects by itself and follows redirects: at least its first host is a public one.
    run(access.fetcher.http.refuse_private(address))
    http = access.fetcher.http
    headers = access.credentials.authorization(address.url)
    options = {
        "allow_http": str(address.scheme == "http").lower(),
        "timeout": "1h",  # the request's own deadline ends it sooner
        "connect_timeout": f"{round(http.connect_timeout * 1000)}ms",
        "read_timeout": f"{round(http.stall_timeout * 1000)}ms",
    }
    return icechunk.http_storage(
        str(address),
        opts=options,
        headers={key.lower(): value for key, value in headers.items()} or None,
    )


def _s3_storage(address: Address, location: StoreLocation, access: Access) -> icechunk.Storage:
    """A repository's own files in a bucket, by whichever way to it is open."""
    fetcher = access.fetcher
    if fetcher.s3.found(address, fetcher.buckets) is None:
        _find_way(location, fetcher)
    way = fetcher.s3.way(address, fetcher.buckets)
    if way is Way.HTTPS:
        return _http_storage(fetcher.s3.twin(address, fetcher.buckets, fetcher.trust)[0], access)
    source = fetcher.buckets.endpoint_of(address) if way is Way.SIGNED else None
    region = location.region or fetcher.region
    # Named also for AWS: icechunk would otherwise take an endpoint from the environment.
    endpoint = fetcher.s3.client.endpoint or f"https://s3.{region}.amazonaws.com"
    return icechunk.s3_storage(
        bucket=address.host,
        prefix=address.path.strip("/"),
        region=region,
        anonymous=None if source else True,
        get_credentials=RepositoryKeys(fetcher.s3.ring.source(source)) if source else None,
        endpoint_url=endpoint,
        allow_http=urlsplit(endpoint).scheme == "http",
        force_path_style=True,
        network_stream_timeout_seconds=math.ceil(fetcher.http.stall_timeout),
    )


def _find_way(location: StoreLocation, fetcher: Fetcher) -> None:
    """Read a byte of the repository, since icechunk cannot try several ways by itself.

    Of a repository that was looked for before it was opened, the way is known already.
    """
    for marker in ("repo", "refs/branch.main/ref.json"):  # of formats 2 and 1
        with contextlib.suppress(ForbiddenError, MissingSourceError):
            run(fetcher.fetch_range(f"{location.href}/{marker}", 0, 1))
            return


@dataclass(frozen=True)
class RepositoryKeys:
    """Gives icechunk temporary credentials; icechunk pickles it, and no secret is in it."""

    source: Callable[[], S3Keys]
    """Gives good keys, by name of who keeps them."""

    def __call__(self) -> icechunk.S3StaticCredentials:
        """Good credentials; asked for often, exchanged rarely. **Reads:** metadata."""
        keys = self.source()
        return icechunk.S3StaticCredentials(
            keys.access_key_id, keys.secret_access_key, keys.session_token, keys.renew
        )


def twice[T](
    fetcher: Fetcher, href: str, attempt: Callable[[], Awaitable[T]]
) -> Callable[[], Awaitable[T]]:
    """`attempt` at the repository at `href`, made again beside one that takes longer than usual.

    For questions of few bytes, each of which icechunk answers by requests of its own: what one
    repository object has begun to fetch for another question, it does not fetch again.

    **Reads:** nothing; what comes back reads what `attempt` reads.
    """
    address = Address.of(href)
    host = f"s3://{address.host}" if address.scheme == "s3" else address.host

    async def silent(pulse: Pulse) -> T:
        pulse.signs = nothing_yet
        return await attempt()

    return lambda: fetcher.http.hedges.first(host, silent, kind="repository")


async def persist[T](fetcher: Fetcher, told: str, attempt: Callable[[], Awaitable[T]]) -> T:
    """What icechunk gives, tried again by our policy.

    Parameters
    ----------
    fetcher
        Whose policy, and whose deadline.
    told
        Introduces what went wrong.
    attempt
        Asks icechunk.

    Raises
    ------
    ForbiddenError, StoreError
        Will not get better by trying again.
    UpstreamError
        Still failing when the retry budget was spent.

    **Reads:** what `attempt` reads.
    """
    proofs = min(_PROOFS, fetcher.policy.attempts)

    async def once() -> T:
        nonlocal proofs
        try:
            return await attempt()
        except icechunk.IcechunkError as error:
            failure = _sorted_failure(f"{told}: {_first_line(error)}", error)
        if isinstance(failure, UpstreamError) and _DAMAGED.search(str(failure)):
            proofs -= 1
            if not proofs:
                whole = str(failure).rstrip(".")
                raise StoreError(f"{whole}. The repository is damaged.") from None
        raise failure from None

    return await fetcher.persist(once)


def _sorted_failure(told: str, error: icechunk.IcechunkError) -> VdsError:
    text = str(error)
    found = _STATUS.search(text)
    status = int(found[1]) if found else 0
    if getattr(error, "kind", None) == "object-not-found":
        return MissingSourceError(told)
    if isinstance(error, icechunk.NotFoundError | icechunk.FormatError):
        return StoreError(told)
    if _REFUSED.search(text):
        return ForbiddenError(f"{told} Check that the user may read this collection.")
    if "Range request not supported" in text:
        return StoreError(told)
    if 400 <= status < 500 and status not in (408, 429):
        return StoreError(told)
    return UpstreamError(told)


def _first_line(error: Exception) -> str:
    """What icechunk says, without what the server said: it may have repeated a token."""
    lines = (line.strip() for line in str(error).splitlines())
    first = next((line for line in lines if line), "no reason given")
    found = _STATUS.search(first)
    return redact(first[: found.end()] if found else first)
