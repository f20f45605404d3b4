"""Byte ranges from S3: AWS itself or the S3-compatible server that the operator set.

obstore always follows redirects and then hands the session token on, so it is given only these
endpoints. Its own retries are off: `harmony_vds.access.fetch` retries, and budgets must not
multiply.
"""

import re
from dataclasses import dataclass, field
from datetime import timedelta

import obstore
from obstore.exceptions import (
    BaseError,
    PermissionDeniedError,
    UnauthenticatedError,
)
from obstore.store import S3Store

from harmony_vds.access.buckets import DEFAULT_REGION
from harmony_vds.access.http import STALL_TIMEOUT, Received
from harmony_vds.access.trust import Address
from harmony_vds.errors import ForbiddenError, MissingSourceError, StoreError, UpstreamError

# obstore has no field for the status; it stands in the text, before anything the server wrote.
_STATUS = re.compile(r"returned non-2xx status code: (\d{3})")


@dataclass
class S3Client:
    """Anonymous readers, one per bucket."""

    endpoint: str = ""
    """The operator's S3-compatible server; empty for AWS."""
    connect_timeout: float = 10.0
    """Seconds to wait for a connection."""
    stall_timeout: float = STALL_TIMEOUT
    """Seconds without a byte after which a connection is cut."""
    _buckets: dict[tuple[str, str], S3Store] = field(default_factory=dict, repr=False)

    def bucket(self, name: str, region: str) -> S3Store:
        """The reader of bucket `name`. **Reads:** nothing."""
        key = (name, region)
        if key not in self._buckets:
            self._buckets[key] = S3Store(
                name,
                region=region,
                skip_signature=True,
                virtual_hosted_style_request=not self.endpoint,
                client_options={
                    "allow_http": self.endpoint.startswith("http://"),
                    "timeout": timedelta(hours=1),  # the request's own deadline ends it sooner
                    "connect_timeout": timedelta(seconds=self.connect_timeout),
                    "read_timeout": timedelta(seconds=self.stall_timeout),
                },
                retry_config={"max_retries": 0, "retry_timeout": timedelta(seconds=60)},
                endpoint=self.endpoint or None,
            )
        return self._buckets[key]

    async def fetch_range(
        self, address: Address, start: int, length: int, region: str = DEFAULT_REGION
    ) -> Received:
        """Bytes ``[start, start + length)`` of an object; errors as in `HttpClient`.

        **Reads:** chunks or metadata, as the caller means it.
        """
        return await self._fetch(address, (start, start + length), length, region)

    async def fetch_whole(
        self, address: Address, limit: int, region: str = DEFAULT_REGION
    ) -> Received:
        """All of an object, at most `limit` bytes. **Reads:** metadata."""
        return await self._fetch(address, None, limit, region)

    async def _fetch(
        self, address: Address, wanted: tuple[int, int] | None, limit: int, region: str
    ) -> Received:
        store = self.bucket(address.host, region)
        try:
            answer = await obstore.get_async(
                store, address.path[1:], options={"range": wanted} if wanted else None
            )
            size = answer.range[1] - answer.range[0]
            if wanted is None and size > limit:
                raise StoreError(
                    f"{address} holds {size:,} bytes, more than the {limit:,} allowed."
                )
            if wanted is not None and answer.meta["size"] < wanted[1]:
                raise StoreError(f"{address} is shorter than its manifest says.")
            body = bytes(await answer.bytes_async())
        except (BaseError, FileNotFoundError) as error:
            raise _sorted_failure(error, address) from None
        if len(body) != (limit if wanted else size):
            raise UpstreamError(f"{address} sent {len(body):,} bytes instead of {limit:,}.")
        return Received(body, answer.meta["last_modified"], answer.meta["e_tag"])


def _sorted_failure(error: Exception, address: Address) -> Exception:
    if isinstance(error, FileNotFoundError):
        return MissingSourceError(f"{address} does not exist.")
    if isinstance(error, UnauthenticatedError | PermissionDeniedError):
        return ForbiddenError(
            f"{address} refused access. It is read without credentials; if the bucket is "
            "protected, publish the https form of the store."
        )
    text = str(error)
    if "non-partial response" in text:
        return StoreError(f"{address} ignores byte ranges; it cannot serve chunks.")
    if "redirect without LOCATION" in text:
        return StoreError(
            f"{address} lies in another region than the record says "
            "(DirectDistributionInformation, Region)."
        )
    found = _STATUS.search(text)
    status = int(found[1]) if found else 0
    if status == 416:
        return StoreError(f"{address} is shorter than its manifest says (status 416).")
    if 400 <= status < 500 and status not in (408, 429):
        return StoreError(f"{address} answered with status {status}.")
    return UpstreamError(f"{address} broke off ({type(error).__name__}).")
