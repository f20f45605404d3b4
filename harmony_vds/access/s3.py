"""Byte ranges from S3: AWS itself or the S3-compatible server that the operator set.

obstore always follows redirects and then hands the session token on, so it is given only these
endpoints, and always by name: it would otherwise take one, and credentials, from the process's
environment. Its own retries are off: `harmony_vds.access.fetch` retries, and budgets must not
multiply.
"""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import obstore
from obstore.exceptions import (
    BaseError,
    PermissionDeniedError,
    UnauthenticatedError,
)
from obstore.store import S3Store

from harmony_vds.access.answers import refuse_web_page
from harmony_vds.access.buckets import DEFAULT_REGION
from harmony_vds.access.hedge import Hedges, Pulse, nothing_yet, slow_body, whole_body
from harmony_vds.access.http import STALL_TIMEOUT, Received
from harmony_vds.access.keys import S3Keys
from harmony_vds.access.trust import Address
from harmony_vds.errors import (
    ForbiddenError,
    MissingSourceError,
    SpentKeysError,
    StoreError,
    UpstreamError,
)

if TYPE_CHECKING:
    from obstore.store import S3Credential

# obstore has no field for the status; it stands in the text, before anything the server wrote.
_STATUS = re.compile(r"returned non-2xx status code: (\d{3})")
_SPENT_CODES = re.compile(
    r"<Code>(ExpiredToken|ExpiredTokenException|TokenRefreshRequired|InvalidToken"
    r"|InvalidAccessKeyId|RequestExpired)</Code>"
)


@dataclass
class _Bucket:
    """One reader; what it signs with may change between two requests."""

    store: S3Store
    keys: list[S3Keys]


@dataclass
class S3Client:
    """Readers, one per bucket, anonymous or signing."""

    endpoint: str = ""
    """The operator's S3-compatible server; empty for AWS."""
    connect_timeout: float = 10.0
    """Seconds to wait for a connection."""
    stall_timeout: float = STALL_TIMEOUT
    """Seconds without a byte after which a connection is cut."""
    hedges: Hedges = field(default_factory=Hedges)
    """Asks again, beside a request that is silent for longer than usual."""
    _buckets: dict[tuple[str, str, bool], _Bucket] = field(default_factory=dict, repr=False)

    def bucket(self, name: str, region: str, keys: S3Keys | None = None) -> S3Store:
        """The reader of bucket `name`, which signs with `keys` if there are any.

        **Reads:** nothing.
        """
        key = (name, region, keys is not None)
        if key not in self._buckets:
            held = [] if keys is None else [keys]
            signing: dict[str, Any] = {"skip_signature": True}
            if keys is not None:
                signing = {
                    "skip_signature": False,
                    "credential_provider": lambda: _credential(held[0]),
                }
            self._buckets[key] = _Bucket(self._reader(name, region, signing), held)
        found = self._buckets[key]
        if keys is not None:
            found.keys[0] = keys
        return found.store

    def _reader(self, name: str, region: str, signing: dict[str, Any]) -> S3Store:
        """A reader of one bucket, which leaves tries and their times to the fetcher."""
        # The certificate of AWS covers one label: a bucket with a dot in its name is a folder.
        by_host = not self.endpoint and "." not in name
        host = f"{name}.s3" if by_host else "s3"
        endpoint = self.endpoint or f"https://{host}.{region}.amazonaws.com"
        return S3Store(
            name,
            region=region,
            virtual_hosted_style_request=by_host,
            client_options={
                "allow_http": self.endpoint.startswith("http://"),
                "timeout": timedelta(hours=1),  # the request's own deadline ends it sooner
                "connect_timeout": timedelta(seconds=self.connect_timeout),
                "read_timeout": timedelta(seconds=self.stall_timeout),
            },
            retry_config={"max_retries": 0, "retry_timeout": timedelta(seconds=60)},
            endpoint=endpoint,
            aws_endpoint_url_s3=endpoint,
            **signing,
        )

    async def fetch_range(
        self,
        address: Address,
        start: int,
        length: int,
        region: str = DEFAULT_REGION,
        keys: S3Keys | None = None,
    ) -> Received:
        """Bytes ``[start, start + length)`` of an object; errors as in `HttpClient`.

        Raises
        ------
        SpentKeysError
            S3 no longer takes `keys`.

        **Reads:** chunks or metadata, as the caller means it.
        """
        return await self._fetch(address, (start, start + length), length, region, keys)

    async def fetch_whole(
        self,
        address: Address,
        limit: int,
        region: str = DEFAULT_REGION,
        keys: S3Keys | None = None,
    ) -> Received:
        """All of an object, at most `limit` bytes. **Reads:** metadata."""
        return await self._fetch(address, None, limit, region, keys)

    async def _fetch(
        self,
        address: Address,
        wanted: tuple[int, int] | None,
        limit: int,
        region: str,
        keys: S3Keys | None,
    ) -> Received:
        """As `_read`, asked for again beside where S3 goes silent; failures sorted."""
        store = self.bucket(address.host, region, keys)
        try:
            return await self.hedges.first(
                f"s3://{address.host}",
                lambda pulse: _read(store, address, wanted, limit, pulse),
                kind="range" if wanted else "document",
            )
        except (BaseError, FileNotFoundError) as error:
            raise _sorted_failure(error, address, signed=keys is not None) from None


async def _read(
    store: S3Store, address: Address, wanted: tuple[int, int] | None, limit: int, pulse: Pulse
) -> Received:
    """Bytes ``[start, stop)`` of an object, or all of it up to `limit`; checked for length."""
    pulse.signs = nothing_yet
    answer = await obstore.get_async(
        store, address.path[1:], options={"range": wanted} if wanted else None
    )
    refuse_web_page(answer.attributes, str(address))
    size = answer.range[1] - answer.range[0]
    if wanted is None and size > limit:
        raise StoreError(f"{address} holds {size:,} bytes, more than the {limit:,} allowed.")
    if wanted is not None and answer.meta["size"] < wanted[1]:
        raise StoreError(f"{address} is shorter than its manifest says.")
    pulse.signs = slow_body(size) if wanted else whole_body(size)
    body = bytes(await answer.bytes_async())
    if len(body) != (limit if wanted else size):
        raise UpstreamError(f"{address} sent {len(body):,} bytes instead of {limit:,}.")
    told = answer.meta
    return Received(body, told["last_modified"], told["e_tag"], told["size"])


def _credential(keys: S3Keys) -> "S3Credential":
    """What obstore signs with; ended already, so that it asks us again for every request.

    It would keep them until shortly before their end, also when S3 has long refused them.
    """
    return {
        "access_key_id": keys.access_key_id,
        "secret_access_key": keys.secret_access_key,
        "token": keys.session_token,
        "expires_at": datetime.now(UTC),
    }


def _sorted_failure(error: Exception, address: Address, *, signed: bool) -> Exception:
    """What obstore's `error` means: worth another try, new keys, or neither."""
    if isinstance(error, FileNotFoundError):
        return MissingSourceError(f"{address} does not exist.")
    text = str(error)  # never told: S3 repeats the session token in some of its answers
    found = _STATUS.search(text)
    status = int(found[1]) if found else 0
    if signed and (status in (400, 401) or (status == 403 and _SPENT_CODES.search(text))):
        return SpentKeysError(
            f"{address} refused temporary credentials (status {status}). Ask again; if it goes on, "
            "the data centre's credentials endpoint gives keys that do not work."
        )
    if isinstance(error, UnauthenticatedError | PermissionDeniedError):
        return ForbiddenError(
            f"{address} refused access to the user's temporary credentials."
            if signed
            else f"{address} refused access without credentials."
        )
    if "non-partial response" in text:
        return StoreError(f"{address} ignores byte ranges; it cannot serve chunks.")
    if "redirect without LOCATION" in text:
        return StoreError(
            f"{address} lies in another region than the record says "
            "(DirectDistributionInformation, Region)."
        )
    if status == 416:
        return StoreError(f"{address} is shorter than its manifest says (status 416).")
    if 400 <= status < 500 and status not in (408, 429):
        return StoreError(f"{address} answered with status {status}.")
    return UpstreamError(f"{address} broke off ({type(error).__name__}).")
