"""The way out: one object that holds trust, credentials and clients for the length of a request."""

from dataclasses import dataclass
from typing import Self

from harmony_vds.access.credentials import Credentials
from harmony_vds.access.fetch import Fetcher
from harmony_vds.access.http import HttpClient
from harmony_vds.access.loop import run
from harmony_vds.access.s3 import S3Client
from harmony_vds.access.trust import Address, Trust
from harmony_vds.settings import Settings
from harmony_vds.telemetry import Deadline


@dataclass(frozen=True)
class Access:
    """Everything needed to read from outside; a context manager that closes its connections."""

    fetcher: Fetcher
    """Reads byte ranges."""
    credentials: Credentials
    """The user's token."""
    s3_endpoint: str = ""
    """The operator's S3-compatible server; empty for AWS."""

    @classmethod
    def of(
        cls, settings: Settings, credentials: Credentials, deadline: Deadline | None = None
    ) -> Self:
        """Access by an operator's settings and a user's credentials. **Reads:** nothing."""
        trust = Trust.of_settings(settings.trusted_prefixes)
        http = HttpClient(trust, credentials)
        fetcher = Fetcher(trust, http, S3Client(settings.s3_endpoint_url), deadline=deadline)
        return cls(fetcher, credentials, settings.s3_endpoint_url)

    @classmethod
    def to_cmr(
        cls, settings: Settings, credentials: Credentials, deadline: Deadline | None = None
    ) -> Self:
        """Access to the operator's CMR and to nothing else. **Reads:** nothing."""
        root = settings.cmr_root
        trust = Trust((Address.of(f"{root}/search"),), ())
        allowed = credentials.also_for(root)
        fetcher = Fetcher(trust, HttpClient(trust, allowed), S3Client(), deadline=deadline)
        return cls(fetcher, allowed)

    def recording(self, prefixes: tuple[str, ...], region: str | None = None) -> "Access":
        """Access that also trusts what a collection's record names. **Reads:** nothing."""
        derived = self.fetcher.recording(prefixes, region)
        return Access(derived, self.credentials, self.s3_endpoint)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        run(self.fetcher.http.close())
