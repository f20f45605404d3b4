"""What is known of S3 buckets: where credentials for them come from, and their https twins.

Collections' records and links of their granules tell first, then the shipped list; a bucket that
nobody tells anything of is read anonymously.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from harmony_vds.access.shipped import shipped
from harmony_vds.access.trust import Address, is_earthdata
from harmony_vds.errors import UntrustedError

DEFAULT_REGION = "us-west-2"


@dataclass(frozen=True)
class Twin:
    """A prefix in S3 and the prefix over https below which the same keys lie."""

    s3: Address
    """Prefix in the bucket; its path ends in ``/``."""
    https: Address
    """Prefix of the twin; its path ends in ``/``."""

    def of(self, address: Address) -> Address:
        """The twin of `address`, which must lie within `s3`. **Reads:** nothing."""
        rest = address.path.removeprefix(self.s3.path)
        return replace(self.https, path=self.https.path + rest)


@dataclass(frozen=True)
class Buckets:
    """What records tell of buckets, over what the shipped list does."""

    region: str = DEFAULT_REGION
    """AWS region of the buckets."""
    endpoints: tuple[tuple[Address, str], ...] = ()
    """S3 prefixes and where a token is exchanged for temporary credentials to them."""
    twins: tuple[Twin, ...] = ()
    """Prefixes whose https form is known."""

    def recording(
        self,
        prefixes: Iterable[str],
        region: str | None = None,
        credentials_endpoint: str | None = None,
        twins: Iterable[Twin] = (),
    ) -> "Buckets":
        """These with what a record tells added; it goes before what was known.

        **Reads:** nothing.
        """
        named = [_s3_prefix(prefix) for prefix in prefixes] if credentials_endpoint else []
        endpoint = (credentials_endpoint or "").strip()
        told = tuple((prefix, endpoint) for prefix in named if prefix is not None)
        return Buckets(region or self.region, told + self.endpoints, tuple(twins) + self.twins)

    def endpoint_of(self, address: Address) -> str | None:
        """Where credentials for an ``s3`` address come from. **Reads:** nothing."""
        told = [(len(p.path), url) for p, url in self.endpoints if address.within(p)]
        if told:
            return max(told, key=lambda found: found[0])[1]
        host = shipped().archives.get(address.host)
        return f"https://{host}/s3credentials" if host else None

    def twin_of(self, address: Address) -> Twin | None:
        """The https twin of an ``s3`` address's prefix.

        What pairs of links taught goes first, then the shipped list, then the form
        ``https://{host}/{bucket}/`` at the archive that hands out the bucket's credentials.

        **Reads:** nothing.
        """
        learnt = [twin for twin in self.twins if address.within(twin.s3)]
        if learnt:
            return max(learnt, key=lambda twin: len(twin.s3.path))
        endpoint = urlsplit(self.endpoint_of(address) or "")
        if not (is_earthdata(endpoint.netloc) and endpoint.path == "/s3credentials"):
            return None
        folder = shipped().folders.get(address.host, address.host)
        https = Address("https", endpoint.netloc, f"/{folder}/")
        return Twin(Address("s3", address.host, "/"), https)

    def is_guess(self, prefix: str) -> bool:
        """Whether the https form of a protected ``s3`` prefix is unknown, or only the usual one.

        **Reads:** nothing.
        """
        address = _s3_prefix(prefix)
        if address is None or address.host in shipped().public:
            return False
        if any(address.within(twin.s3) for twin in self.twins):
            return False
        return address.host not in shipped().archives or self.twin_of(address) is None


NOTHING_RECORDED = Buckets()
"""What is known before any record is read."""


def _s3_prefix(prefix: str) -> Address | None:
    try:
        address = Address.of(prefix)
    except UntrustedError:
        return None
    return address if address.scheme == "s3" else None


def learn_twins(https_links: Iterable[str], direct_links: Iterable[str]) -> tuple[Twin, ...]:
    """What the links of one granule teach of how S3 and https prefixes correspond.

    Parameters
    ----------
    https_links
        URLs of type ``GET DATA``.
    direct_links
        URLs of type ``GET DATA VIA DIRECT ACCESS``.

    Returns
    -------
    One twin for each pair of links to a file of the same name, without repetition. Its prefixes
    are what is left of the two URLs when their longest common end, in whole path parts, is cut
    off; so a folder in place of the bucket's name, or none, is learnt with the rest.

    **Reads:** nothing.
    """
    web: dict[str, Address] = {}
    for address in _addresses(https_links):
        if address.scheme in ("https", "http"):  # http is read where the operator lists it
            web.setdefault(_name(address), address)
    found = [
        _common(address, web[_name(address)])
        for address in _addresses(direct_links)
        if address.scheme == "s3" and _name(address) in web
    ]
    return tuple(dict.fromkeys(found))


def _addresses(links: Iterable[str]) -> list[Address]:
    found = []
    for link in links:
        try:
            address = Address.of(link)
        except UntrustedError:
            continue
        if _name(address):
            found.append(replace(address, query=""))
    return found


def _name(address: Address) -> str:
    return address.path.rpartition("/")[2]


def _common(s3: Address, https: Address) -> Twin:
    left, right = s3.path.split("/")[1:], https.path.split("/")[1:]
    same = 0
    while same < min(len(left), len(right)) and left[-1 - same] == right[-1 - same]:
        same += 1
    heads = ["".join(f"/{part}" for part in parts[: len(parts) - same]) for parts in (left, right)]
    return Twin(replace(s3, path=f"{heads[0]}/"), replace(https, path=f"{heads[1]}/"))
