"""What may be read: a list of URL prefixes, each with the authority that put it there.

A chunk manifest is a list of addresses written by someone else. Every byte range passes
`Trust.check` first, so that a manifest cannot make the service read its own disk, a neighbour in
the private network, or a stranger's host.
"""

import ipaddress
import os
import posixpath
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from urllib.parse import quote, unquote, urlsplit

from harmony_vds.access.shipped import shipped
from harmony_vds.errors import SettingsError, UntrustedError
from harmony_vds.setting_values import HOST

_LONGEST = 8_192
"""Characters of an address; the signed ones of S3 have about two thousand."""
_DEFAULT_PORTS = {"http": 80, "https": 443}
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
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
    query: str = field(default="", repr=False)
    """Query of an http(s) URL, as it came, which may be a signature; no part of any comparison of
    prefixes."""

    @classmethod
    def of(cls, url: str) -> "Address":
        """The normal form of `url`.

        Raises
        ------
        UntrustedError
            The URL has no scheme, an unknown one, carries a user name, or is malformed.

        **Reads:** nothing, but resolves symbolic links in ``file`` URLs.
        """
        if len(url) > _LONGEST:
            raise UntrustedError(
                f"An address of {len(url):,} characters is not read; it begins {url[:100]!r}."
            )
        try:
            return cls._parsed(url.strip())
        except ValueError as error:  # from urlsplit, the port, or a file name with a null byte
            raise UntrustedError(f"The address {url!r} is malformed: {error}.") from None

    @classmethod
    def _parsed(cls, url: str) -> "Address":
        """The parts of `url`, escapes undone and the path made plain before it is judged."""
        parts = urlsplit(url)
        scheme = parts.scheme.lower()
        if scheme not in ("https", "http", "s3", "file"):
            raise UntrustedError(
                f"The address {url!r} is not read: only https and s3 addresses are, and others "
                "where the operator lists them in HARMONY_VDS_TRUSTED_PREFIXES."
            )
        if "@" in parts.netloc:
            raise UntrustedError("An address with a user name in it is not read.")
        if scheme in ("s3", "file"):  # neither has queries: ? and # belong to the key or name
            path = unquote(url.split("://", 1)[-1].partition("/")[2])
            if scheme == "file":
                return cls("file", "", os.path.realpath("/" + path))
            _refuse_odd_host(parts.netloc)
            if {".", ".."} & set(path.split("/")):
                raise UntrustedError(f"The key of {url!r} holds a relative part and is not read.")
            return cls("s3", parts.netloc, "/" + path)
        path = "/" + posixpath.normpath(unquote(parts.path) or "/").lstrip("/")
        if parts.path.endswith("/") and path != "/":
            path += "/"
        host = _netloc(scheme, parts.hostname or "", parts.port)
        _refuse_odd_host(host.removesuffix(f":{parts.port}"))
        return cls(scheme, host, path, parts.query)

    @property
    def hostname(self) -> str:
        """The host without port and brackets. **Reads:** nothing."""
        if self.host.startswith("["):
            return self.host[1:].partition("]")[0]
        return self.host.partition(":")[0]

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


def _refuse_odd_host(host: str) -> None:
    if not HOST.fullmatch(host):
        raise UntrustedError(f"An address whose host is {host!r} is not read.")


def _netloc(scheme: str, host: str, port: int | None) -> str:
    host = f"[{host}]" if ":" in host else host
    return host if port in (None, _DEFAULT_PORTS.get(scheme)) else f"{host}:{port}"


@dataclass(frozen=True)
class Trust:
    """The prefixes that may be read, and those that now lie elsewhere."""

    operator: tuple[Address, ...]
    """Set by the operator: may be files, plain http or private addresses."""
    shipped: tuple[Address, ...]
    """From ``trust.toml``."""
    recorded: tuple[Address, ...] = ()
    """Named by the collection's own record, or by the user of the command line."""
    moved: tuple[tuple[str, str], ...] = ()
    """Prefixes that the operator says lie elsewhere, and where; longest first."""

    @classmethod
    def of_settings(cls, prefixes: Iterable[str], moved: Iterable[str] = ()) -> "Trust":
        """The shipped list and the operator's `prefixes`.

        Parameters
        ----------
        prefixes
            URL prefixes to trust.
        moved
            Pairs of URL prefixes as ``from=to``, each ending with a slash.

        Raises
        ------
        SettingsError
            A prefix is not a URL, or a pair is none; the text names the setting.

        **Reads:** nothing.
        """
        try:
            operator = tuple(Address.of(prefix) for prefix in prefixes)
        except UntrustedError as error:
            raise SettingsError(f"HARMONY_VDS_TRUSTED_PREFIXES is not usable: {error}") from None
        pairs = sorted(map(_pair, moved), key=lambda own: -len(own[0]))
        return cls(operator, _shipped_prefixes(), moved=tuple(pairs))

    def __reduce__(self) -> tuple[object, ...]:
        # The shipped list is long, and wherever this is unpacked it lies already.
        shipped = None if self.shipped == _shipped_prefixes() else self.shipped
        return _unpacked_trust, (self.operator, shipped, self.recorded, self.moved)

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
        return replace(self, recorded=(*self.recorded, *named))

    def check(self, url: str) -> Address:
        """The address of `url`, or of the place it has moved to, if that may be read.

        Raises
        ------
        UntrustedError
            It may not; the text says why and who can change it.

        **Reads:** nothing.
        """
        return self._allowed(Address.of(self._present(url)))

    def _present(self, url: str) -> str:
        """Where `url` lies now. A place the operator moves things to is trusted no more for it."""
        for before, after in self.moved:
            if url.startswith(before):
                return after + url.removeprefix(before)
        return url

    def _allowed(self, address: Address) -> Address:
        """`address`, if a prefix of the operator, a record or the shipped list holds it."""
        if self.is_operators(address):
            return address
        if address.scheme not in ("https", "s3"):
            raise UntrustedError(
                f"{address} is not read: {address.scheme} addresses are read only where the "
                "operator lists their prefix in HARMONY_VDS_TRUSTED_PREFIXES; at a terminal "
                "--trust names one, and in a notebook trust=."
            )
        if is_private(address.hostname) and address.scheme == "https":
            raise UntrustedError(f"{address} is not read: it is a private address.")
        if any(address.within(prefix) for prefix in (*self.recorded, *self.shipped)):
            return address
        raise UntrustedError(
            f"{address} is not read: neither the collection's record, nor the shipped list, nor "
            "HARMONY_VDS_TRUSTED_PREFIXES names a prefix of it. If it is right, the publisher adds "
            "it to the record (DirectDistributionInformation) or the operator to that setting; at "
            "a terminal --trust names one, and in a notebook trust=."
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
        if address.scheme not in ("http", "https"):
            raise UntrustedError(f"A redirect to {address} is not followed: it leaves the web.")
        if self.is_operators(address):
            return address
        known = address.hostname.endswith(_REDIRECT_DOMAINS)
        if address.scheme == "https" and known and not is_private(address.hostname):
            return address
        return self._allowed(address)

    def is_operators(self, address: Address) -> bool:
        """Whether `address` lies in a prefix of the operator's, which lifts the other rules.

        **Reads:** nothing.
        """
        return any(address.within(prefix) for prefix in self.operator)


def _unpacked_trust(
    operator: tuple[Address, ...],
    shipped: tuple[Address, ...] | None,
    recorded: tuple[Address, ...],
    moved: tuple[tuple[str, str], ...],
) -> Trust:
    return Trust(operator, _shipped_prefixes() if shipped is None else shipped, recorded, moved)


def _pair(text: str) -> tuple[str, str]:
    before, _, after = (part.strip() for part in text.partition("="))
    if not all("://" in own and own.endswith("/") for own in (before, after)):
        raise SettingsError(
            f"HARMONY_VDS_REWRITE_PREFIXES is not usable: {text!r} is no pair from=to of URL "
            "prefixes that end with a slash, such as file:///old/=s3://bucket/new/."
        )
    return before, after


def is_private(host: str) -> bool:
    """Whether `host` is a literal IP address outside the public internet, or a local name.

    **Reads:** nothing; names are looked up, and judged, when a connection is made.
    """
    if host == "localhost" or host.endswith((".localhost", ".local", ".internal")):
        return True
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    inner = [own for own in _embedded(address) if own is not None]
    return any(not own.is_global or own.is_multicast for own in (address, *inner))


type _IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


def _embedded(address: _IPAddress) -> tuple[_IPAddress | None, ...]:
    """IPv4 addresses that a network may translate an IPv6 address into."""
    if address.version == 4:
        return ()
    nat64 = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else None
    return address.ipv4_mapped, address.sixtofour, nat64


def is_earthdata(host: str) -> bool:
    """Whether `host` belongs to Earthdata and may receive a user's token. **Reads:** nothing."""
    return host.endswith(_EARTHDATA_DOMAINS)


@lru_cache
def _shipped_prefixes() -> tuple[Address, ...]:
    return tuple(Address.of(prefix) for prefix in shipped().prefixes)
