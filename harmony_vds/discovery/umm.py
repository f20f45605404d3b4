"""What a collection's record says beside its stores: buckets, region, extent, names."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from harmony_vds.discovery.moments import moments_of
from harmony_vds.model.store import CollectionNotes

type Umm = Mapping[str, Any]


def distribution_prefixes(umm: Umm) -> tuple[str, ...]:
    """S3 prefixes that ``DirectDistributionInformation`` names, with scheme and trailing slash.

    Records write them with or without scheme, or as a bucket and a key prefix in two items.
    **Reads:** nothing.
    """
    prefixes = []
    bucket = ""
    for item in _listed(_distribution(umm).get("S3BucketAndObjectPrefixNames")):
        name = str(item).strip().removeprefix("s3://").strip("/")
        head = name.partition("/")[0]
        if bucket and name and not _looks_like_bucket(head):
            prefixes.append(f"s3://{bucket}/{name}/")
        elif name:
            bucket = head
            prefixes.append(f"s3://{name}/")
    return tuple(prefixes)


def _looks_like_bucket(name: str) -> bool:
    """Buckets are lower-case; those of the archives have a hyphen, unlike most folders."""
    return "-" in name and name == name.lower()


def region(umm: Umm) -> str | None:
    """AWS region of the collection's buckets, if the record names one. **Reads:** nothing.

    It becomes part of a host name, so that nothing but a region's name is taken.
    """
    named = str(_distribution(umm).get("Region") or "").strip()
    return named if re.fullmatch(r"[a-z]{2}(-[a-z]+)+-\d", named) else None


def credentials_endpoint(umm: Umm) -> str | None:
    """Where a token is exchanged for credentials to the collection's buckets. **Reads:** nothing.

    Whether the token may go there is for `harmony_vds.access` to judge.
    """
    return str(_distribution(umm).get("S3CredentialsAPIEndpoint") or "").strip() or None


def _distribution(umm: Umm) -> Umm:
    return _mapping(umm.get("DirectDistributionInformation"))


def _mapping(told: object) -> Umm:
    """What a record says in the place of an object; nothing where it is none."""
    return told if isinstance(told, Mapping) else {}


def _listed(told: object) -> Sequence[Any]:
    """What a record says in the place of a list, likewise."""
    return told if isinstance(told, list | tuple) else ()


def notes(umm: Umm) -> CollectionNotes:
    """What outputs and fallbacks need from a UMM-C record. **Reads:** nothing."""
    starts: list[datetime] = []
    ends: list[datetime | None] = []
    for extent in map(_mapping, _listed(umm.get("TemporalExtents"))):
        for span in map(_mapping, _listed(extent.get("RangeDateTimes"))):
            starts += moments_of(span.get("BeginningDateTime"))
            ends += moments_of(span.get("EndingDateTime")) or [None]
        moments = [m for text in _listed(extent.get("SingleDateTimes")) for m in moments_of(text)]
        starts += moments
        ends += moments
    finished = [end for end in ends if end is not None]
    licence = _licence(umm)
    return CollectionNotes(
        start=min(starts, default=None),
        end=max(finished) if finished and len(finished) == len(ends) else None,
        title=str(umm.get("EntryTitle", "")),
        doi=str(_mapping(umm.get("DOI")).get("DOI", "")),
        citation=_citation(umm),
        licence=licence[0],
        licence_url=licence[1],
    )


def _citation(umm: Umm) -> str:
    """The record's own words for it, or what it is made of in the usual order."""
    for told in map(_mapping, _listed(umm.get("CollectionCitations"))):
        if told.get("OtherCitationDetails"):
            return " ".join(str(told["OtherCitationDetails"]).split())
        year = str(told.get("ReleaseDate", ""))[:4]
        parts = [
            f"{told['Creator']} ({year})" if year and told.get("Creator") else told.get("Creator"),
            told.get("Title"),
            f"Version {told['Version']}" if told.get("Version") else None,
            told.get("Publisher"),
        ]
        if told.get("Title"):
            return ". ".join(str(own).strip(" .") for own in parts if own) + "."
    return ""


def _licence(umm: Umm) -> tuple[str, str]:
    """Name or text of the licence, and its address if that is a public one."""
    told = _mapping(umm.get("UseConstraints"))
    linked = _mapping(told.get("LicenseURL"))
    href = str(linked.get("Linkage") or "").strip()
    name = linked.get("Name") or told.get("LicenseText") or told.get("Description") or ""
    return " ".join(str(name).split()), href if href.startswith(("https://", "http://")) else ""
