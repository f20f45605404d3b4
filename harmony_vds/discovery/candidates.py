"""Places that may hold a store, ranked, and the two addresses of one store brought together."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Self
from urllib.parse import urlsplit

from harmony_vds.discovery.links import Link
from harmony_vds.discovery.urls import StoreUrl
from harmony_vds.errors import NoStoreError

_VARIANT = re.compile(r"_virtual_(s3|https)(?=[^/]*$)", re.IGNORECASE)
_DATE = re.compile(r"(?<!\d)(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:[0-3]\d)?(?!\d)")
# The forms in order of preference, each with what tells it; what tells nothing comes last but one,
# and a native store, which is rarely the one meant, last.
_FORMS = (
    re.compile(r"icechunk", re.IGNORECASE),
    re.compile(r"\.parq(uet)?(\.zip)?$|parquet", re.IGNORECASE),
    re.compile(r"\.json(\.gz)?$|kerchunk|application/json", re.IGNORECASE),
    re.compile(r"^(?!.*\.zarr$)", re.IGNORECASE),
)


@dataclass(frozen=True)
class Candidate:
    """An address that may hold a virtual store, and what the record says around it."""

    url: StoreUrl
    """The address, taken apart."""
    found_in: str
    """Which part of which record named it."""
    description: str = ""
    """The publisher's words."""
    format: str = ""
    """The record's word for the form, in lower case."""
    variables: tuple[str, ...] = ()
    """The variables that it holds, where the record says so; empty for all."""
    granule: str = ""
    """Name of the one granule that it describes; empty for a store of many."""
    region: str | None = None
    """AWS region of its bucket."""
    credentials_endpoint: str | None = None
    """Where credentials for its bucket come from."""
    data_href: str | None = None
    """Data file that a DMR++ sidecar describes."""
    label: str = ""
    """Name of the store among several of its collection."""
    doubt: int = 0
    """How unsure the record is that it is a store; see `Link.doubt`."""
    flaw: str = ""
    """Why the address cannot be understood, if it cannot."""

    @classmethod
    def of_link(cls, link: Link) -> Self:
        """The candidate that `link` names. **Reads:** nothing."""
        flaw = ""
        try:
            url = StoreUrl.of(link.url)
        except NoStoreError as error:
            url, flaw = StoreUrl(link.url), str(error)
        return cls(
            url, link.found_in, link.description, link.format or link.mime, region=url.region,
            doubt=link.doubt, flaw=flaw,
        )  # fmt: skip

    @property
    def href(self) -> str:
        """Plain URL. **Reads:** nothing."""
        return self.url.href

    @property
    def name(self) -> str:
        """Last part of the address, without what tells its form. **Reads:** nothing."""
        last = _VARIANT.sub("", self.href.rpartition("/")[2])
        return re.sub(r"(\.(zarr|json|gz|parq|parquet|zip|icechunk|dmrpp))+$", "", last)

    @property
    def store(self) -> tuple[str, str, str | None]:
        """What two addresses of one store have in common. **Reads:** nothing.

        ``…_virtual_s3.json`` and ``…_virtual_https.json`` are one store, and so are an ``s3`` URL
        and the archive's https form of it, which keeps the bucket as first folder.
        """
        parts = urlsplit(self.href)
        place = f"{parts.netloc}{parts.path}" if parts.scheme == "s3" else parts.path.lstrip("/")
        return _VARIANT.sub("", place), self.url.group, self.url.version

    @property
    def reach(self) -> tuple[bool, bool]:
        """Less for better: whether the address is in S3, and whether what it refers to is.

        S3 of the archives needs credentials and their region. **Reads:** nothing.
        """
        parts = urlsplit(self.href)
        return parts.scheme == "s3", "_virtual_s3" in parts.path.lower()

    @property
    def form(self) -> int:
        """Place of its form in the order of preference. **Reads:** nothing."""
        told = f"{self.url.kind} {self.format} {self.description} {self.href}"
        fitting = (number for number, form in enumerate(_FORMS) if form.search(told))
        return next(fitting, len(_FORMS))

    @property
    def age(self) -> int:
        """Less for newer: minus the latest date in the address's last part. **Reads:** nothing."""
        dates = [int(text.ljust(8, "0")) for text in _DATE.findall(self.href.rpartition("/")[2])]
        return -max(dates, default=0)


def distinct(candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """`candidates` without repetitions of an address, the first of each kept. **Reads:** nothing.

    A later one that knows credentials lends them to the first.
    """
    kept: dict[tuple[str, str, str | None], Candidate] = {}
    for candidate in candidates:
        key = (candidate.href, candidate.url.group, candidate.url.version)
        first = kept.setdefault(key, candidate)
        if first.credentials_endpoint is None and candidate.credentials_endpoint:
            kept[key] = replace(
                first,
                credentials_endpoint=candidate.credentials_endpoint,
                region=first.region or candidate.region,
            )
    return tuple(kept.values())


def ranked(candidates: Iterable[Candidate]) -> tuple[tuple[Candidate, ...], ...]:
    """`candidates` by store, best first, and the addresses of each store, best first.

    Better is what the record is surer of, then what can be reached from anywhere, then icechunk
    before Parquet before JSON before native Zarr, then the newest date in the name, then the order
    of the record.

    **Reads:** nothing.
    """
    stores: dict[tuple[str, str, str | None], list[Candidate]] = {}
    for candidate in distinct(candidates):
        stores.setdefault(candidate.store, []).append(candidate)
    grouped = [tuple(sorted(own, key=lambda c: c.reach)) for own in stores.values()]
    return tuple(sorted(grouped, key=lambda own: _rank(own[0])))


def _rank(best: Candidate) -> tuple[int, bool, int, int]:
    return best.doubt, best.reach[0], best.form, best.age


def candidates_of(links: Iterable[Link]) -> tuple[Candidate, ...]:
    """The candidates that `links` name, in their order. **Reads:** nothing."""
    return tuple(Candidate.of_link(link) for link in links)
