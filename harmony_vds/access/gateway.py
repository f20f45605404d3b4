"""The way out: one object that holds trust, credentials and clients for the length of a request."""

import asyncio
from dataclasses import dataclass, replace
from typing import Self

from harmony_vds.access.buckets import Buckets, Twin
from harmony_vds.access.credentials import Credentials, WorkerCredentials
from harmony_vds.access.fetch import Fetcher
from harmony_vds.access.hedge import Hedges
from harmony_vds.access.http import HttpClient
from harmony_vds.access.loop import network_loop, run
from harmony_vds.access.s3 import S3Client
from harmony_vds.access.trust import Address, Trust
from harmony_vds.access.ways import S3Mode, S3Reader
from harmony_vds.model.part import Recorded
from harmony_vds.settings import Settings
from harmony_vds.telemetry import Deadline


@dataclass(frozen=True)
class Access:
    """Everything needed to read from outside; a context manager that closes its connections."""

    fetcher: Fetcher
    """Reads byte ranges."""
    credentials: Credentials
    """The user's token."""

    @classmethod
    def of(
        cls, settings: Settings, credentials: Credentials, deadline: Deadline | None = None
    ) -> Self:
        """Access by an operator's settings and a user's credentials. **Reads:** nothing."""
        trust = Trust.of_settings(settings.trusted_prefixes, settings.rewrite_prefixes)
        hedges = Hedges()
        http = HttpClient(trust, credentials, hedges=hedges)
        s3 = S3Reader(http, S3Client(settings.s3_endpoint_url, hedges=hedges), settings.s3)
        fetcher = Fetcher(trust, http, s3, deadline=deadline, traffic=hedges.traffic)
        return cls(fetcher, credentials)

    @classmethod
    def to_cmr(
        cls, settings: Settings, credentials: Credentials, deadline: Deadline | None = None
    ) -> Self:
        """Access to the operator's CMR and to nothing else. **Reads:** nothing."""
        root = settings.cmr_root
        trust = Trust((Address.of(f"{root}/search"),), ())
        allowed = credentials.also_for(root)
        # Searches may rightly take long.
        http = HttpClient(trust, allowed, hedges=Hedges(asks_twice=False))
        return cls(Fetcher(trust, http, S3Reader(http), deadline=deadline), allowed)

    def recording(
        self,
        prefixes: tuple[str, ...],
        region: str | None = None,
        credentials_endpoint: str | None = None,
        twins: tuple[Twin, ...] = (),
    ) -> "Access":
        """Access that also trusts what a collection's record names.

        Parameters
        ----------
        prefixes
            URL prefixes that the record names.
        region
            AWS region of its buckets.
        credentials_endpoint
            ``S3CredentialsAPIEndpoint`` for the ``s3`` ones among `prefixes`: asked with the
            user's token, if that may go there, for temporary S3 credentials.
        twins
            How S3 prefixes correspond to https ones, by `harmony_vds.access.buckets.learn_twins`
            from the links of a granule. An ``s3`` address is trusted, or not, as before; its twin
            is then read in its place where S3 is out of reach.

        **Reads:** nothing.
        """
        derived = self.fetcher.recording(prefixes, region, credentials_endpoint, twins)
        return replace(self, fetcher=derived)

    def recorded(self) -> Recorded:
        """What `recording` was told, in plain values. **Reads:** nothing."""
        buckets = self.fetcher.buckets
        return Recorded(
            tuple(str(own) for own in self.fetcher.trust.recorded),
            buckets.region,
            tuple((str(prefix), url) for prefix, url in buckets.endpoints),
            tuple((str(own.s3), str(own.https)) for own in buckets.twins),
        )

    def recalling(self, told: Recorded) -> "Access":
        """Access that also trusts what `recorded` told in another process. **Reads:** nothing."""
        twins = tuple(Twin(Address.of(s3), Address.of(https)) for s3, https in told.twins)
        derived = self.recording(told.prefixes, told.region or None, twins=twins)
        for prefix, endpoint in reversed(told.endpoints):
            buckets = derived.fetcher.buckets.recording((prefix,), None, endpoint)
            derived = replace(derived, fetcher=replace(derived.fetcher, buckets=buckets))
        return derived

    def for_worker(self) -> "WorkerAccess":
        """This access as a value that may be pickled: the one way into another process.

        For workers of the same user and operator: the pickle holds the user's token in plain. The
        deadline stays behind.

        **Reads:** nothing, or metadata when the token must first be obtained.
        """
        fetcher = self.fetcher
        return WorkerAccess(
            self.credentials.for_worker(), fetcher.trust, fetcher.buckets,
            fetcher.s3.client.endpoint, fetcher.s3.mode,
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        run(self.fetcher.http.close())

    def close_later(self) -> None:
        """Close the connections without waiting for it, from any thread. **Reads:** nothing."""
        asyncio.run_coroutine_threadsafe(self.fetcher.http.close(), network_loop())


@dataclass(frozen=True)
class WorkerAccess:
    """Access on its way to a worker process.

    It can be a key: equal where whose token, trust and buckets are equal. Its repr shows no token.
    """

    credentials: WorkerCredentials
    """The user's token."""
    trust: Trust
    """What may be read, records included."""
    buckets: Buckets
    """What is known of S3 buckets."""
    s3_endpoint: str
    """The operator's S3-compatible server; empty for AWS."""
    s3_mode: S3Mode
    """How protected buckets are read."""

    def restore(self) -> Access:
        """Access in this process, with connections of its own; to be closed as any other.

        **Reads:** nothing.
        """
        credentials = self.credentials.restore()
        hedges = Hedges()
        http = HttpClient(self.trust, credentials, hedges=hedges)
        s3 = S3Reader(http, S3Client(self.s3_endpoint, hedges=hedges), self.s3_mode)
        fetcher = Fetcher(self.trust, http, s3, buckets=self.buckets, traffic=hedges.traffic)
        return Access(fetcher, credentials)
