"""What may be read: a list of URL prefixes, each with the authority that put it there.

A chunk manifest is a list of addresses written by someone else. Every byte range passes
`Trust.check` first, so that a manifest cannot make the service read its own disk, a neighbour in
the private network, or a stranger's host.
"""

import ipaddress
import os
import posixpath
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from urllib.parse import quote, unquote, urlsplit

from harmony_vds.errors import SettingsError, UntrustedError

_DEFAULT_PORTS = {"http": 80, "https": 443}
_REDIRECT_DOMAINS = (".amazonaws.com", ".cloudfront.net")
_EARTHDATA_DOMAINS = (".earthdata.nasa.gov", ".earthdatacloud.nasa.gov")


@dataclass(frozen=True)
class Address:
    """A URL in one normal form, so that equal places compare equal."""

    scheme: str
    """``https``, ``http``, ``s3`` or ``file``."""
    host: str
    """Host with port where it is not the scheme's own; bucket for ``s3``; empty for ``file``."""
    path: str
    """Absolute path, percent-decoded once, without ``.`` or ``..``."""
    query: str = ""
    """Query of an http(s) URL, as it came; no part of any comparison of prefixes."""

    @classmethod
    def of(cls, url: str) -> "Address":
        """The normal form of `url`.

        Raises
        ------
        UntrustedError
            The URL has no scheme, an unknown one, or carries a user name.

        **Reads:** nothing, but resolves symbolic links in ``file`` URLs.
        """
        parts = urlsplit(url.strip())
        scheme = parts.scheme.lower()
        if scheme not in ("https", "http", "s3", "file"):
            raise UntrustedError(
                f"The address {url!r} is not read: only https and s3 addresses are, and others "
                "where the operator lists them in HARMONY_VDS_TRUSTED_PREFIXES."
            )
        if "@" in parts.netloc:
            raise UntrustedError("An address with a user name in it is not read.")
        if scheme in ("s3", "file"):  # neither has queries: ? and # belong to the key or name
            path = unquote(url.strip().split("://", 1)[-1].partition("/")[2])
            if scheme == "file":
                return cls("file", "", os.path.realpath("/" + path))
            if {".", ".."} & set(path.split("/")):
                raise UntrustedError(f"The key of {url!r} holds a relative part and is not read.")
            return cls("s3", parts.netloc, "/" + path)
        path = "/" + posixpath.normpath(unquote(parts.path) or "/").lstrip("/")
        if parts.path.endswith("/") and path != "/":
            path += "/"
        return cls(scheme, _netloc(scheme, parts.hostname or "", parts.port), path, parts.query)

    @property
    def hostname(self) -> str:
        """The host without its port. **Reads:** nothing."""
        return self.host.rsplit(":", 1)[0] if self.host.count(":") == 1 else self.host

    def within(self, prefix: "Address") -> bool:
        """Whether this lies at or below `prefix`, at a path boundary. **Reads:** nothing."""
        if (self.scheme, self.host) != (prefix.scheme, prefix.host):
            return False
        stem = prefix.path.rstrip("/")
        return self.path == stem or self.path.startswith(stem + "/")

    @property
    def url(self) -> str:
        """The URL to send, query included. **Reads:** nothing."""
        return f"{self}?{self.query}" if self.query else str(self)

    def __str__(self) -> str:
        return f"{self.scheme}://{self.host}{quote(self.path)}"


def _netloc(scheme: str, host: str, port: int | None) -> str:
    host = f"[{host}]" if ":" in host else host
    return host if port in (None, _DEFAULT_PORTS.get(scheme)) else f"{host}:{port}"


@dataclass(frozen=True)
class Trust:
    """The prefixes that may be read."""

    operator: tuple[Address, ...]
    """Set by the operator: may be files, plain http or private addresses."""
    shipped: tuple[Address, ...]
    """From ``trust.toml``."""
    recorded: tuple[Address, ...] = ()
    """Named by the collection's own record, or by the user of the command line."""

    @classmethod
    def of_settings(cls, prefixes: Iterable[str]) -> "Trust":
        """The shipped list and the operator's `prefixes`.

        Raises
        ------
        SettingsError
            A prefix is not a URL.

        **Reads:** nothing.
        """
        try:
            operator = tuple(Address.of(prefix) for prefix in prefixes)
        except UntrustedError as error:
            raise SettingsError(f"HARMONY_VDS_TRUSTED_PREFIXES is not usable: {error}") from None
        return cls(operator, _shipped_prefixes())

    def recording(self, prefixes: Iterable[str]) -> "Trust":
        """This trust with the `prefixes` of a collection's record added.

        What a record names must still be https or s3 and public. **Reads:** nothing.
        """
        named = []
        for prefix in prefixes:
            try:
                named.append(Address.of(prefix))
            except UntrustedError:
                continue
        return Trust(self.operator, self.shipped, (*self.recorded, *named))

    def check(self, url: str) -> Address:
        """The address of `url`, if it may be read.

        Raises
        ------
        UntrustedError
            It may not; the text says why and who can change it.

        **Reads:** nothing.
        """
        address = Address.of(url)
        if any(address.within(prefix) for prefix in self.operator):
            return address
        if address.scheme not in ("https", "s3"):
            raise UntrustedError(
                f"{address} is not read: {address.scheme} addresses are read only where the "
                "operator lists their prefix in HARMONY_VDS_TRUSTED_PREFIXES."
            )
        if is_private(address.hostname) and address.scheme == "https":
            raise UntrustedError(f"{address} is not read: it is a private address.")
        if any(address.within(prefix) for prefix in (*self.recorded, *self.shipped)):
            return address
        raise UntrustedError(
            f"{address} is not read: neither the collection's record, nor the shipped list, nor "
            "HARMONY_VDS_TRUSTED_PREFIXES names a prefix of it. If it is right, the publisher adds "
            "it to the record (DirectDistributionInformation) or the operator to that setting."
        )

    def check_redirect(self, url: str) -> Address:
        """The address of a redirect target, if it may be followed.

        Earthdata answers with 307 to signed S3 or CloudFront URLs; anything else must be trusted.

        Raises
        ------
        UntrustedError
            The target is not https to a known place.

        **Reads:** nothing.
        """
        address = Address.of(url)
        if any(address.within(prefix) for prefix in self.operator):
            return address
        known = address.hostname.endswith(_REDIRECT_DOMAINS)
        if address.scheme == "https" and known and not is_private(address.hostname):
            return address
        return self.check(url)

    def lifts_private(self, host: str) -> bool:
        """Whether an operator's prefix allows the private address `host`. **Reads:** nothing."""
        return any(prefix.hostname == host for prefix in self.operator)


def is_private(host: str) -> bool:
    """Whether `host` is a literal IP address outside the public internet, or a local name.

    **Reads:** nothing; names are looked up, and judged, when a connection is made.
    """
    if host == "localhost" or host.endswith((".localhost", ".local", ".internal")):
        return True
    try:
        return not ipaddress.ip_address(host.strip("[]")).is_global
    except ValueError:
        return False


def is_earthdata(host: str) -> bool:
    """Whether `host` belongs to Earthdata and may receive a user's token. **Reads:** nothing."""
    return host.endswith(_EARTHDATA_DOMAINS)


@lru_cache
def _shipped_prefixes() -> tuple[Address, ...]:
    listed = tomllib.loads(files("harmony_vds.access").joinpath("trust.toml").read_text("utf-8"))
    buckets: list[str] = listed["buckets"]
    hosts = [
        *listed["hosts"],
        *(
            f"{bucket}.s3.{region}amazonaws.com"
            for bucket in buckets
            for region in ("", "us-west-2.", "us-east-1.")
        ),
    ]
    named = [f"s3://{bucket}/" for bucket in buckets] + [f"https://{host}/" for host in hosts]
    return tuple(Address.of(prefix) for prefix in named)
