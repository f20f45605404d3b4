"""Reads UMM records: where a store may be published, and what else a record says of it.

Pure functions, one for each place in a record. There is no ESDIS standard for the placement yet;
``Subtype: VIRTUAL COLLECTION`` among the collection's RelatedUrls is the usual one.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from harmony_vds.model.store import CollectionNotes

type Umm = Mapping[str, Any]


@dataclass(frozen=True)
class Candidate:
    """A place in a record that may name a virtual store."""

    href: str
    """URL without surrounding blanks and without trailing slash."""
    found_in: str
    """Which part of which record named it."""
    description: str = ""
    """The publisher's words."""


def collection_candidates(umm: Umm) -> tuple[Candidate, ...]:
    """The stores that a UMM-C record names under ``RelatedUrls``, https before s3.

    Real records carry stray blanks around URLs, and often both forms of one store. **Reads:**
    nothing.
    """
    found: dict[str, Candidate] = {}
    for number, entry in enumerate(umm.get("RelatedUrls") or ()):
        subtype = str(entry.get("Subtype", "")).strip().upper()
        href = str(entry.get("URL", "")).strip().rstrip("/")
        if subtype == "VIRTUAL COLLECTION" and href and href not in found:
            where = f"UMM-C RelatedUrls[{number}]"
            found[href] = Candidate(href, where, str(entry.get("Description", "")).strip())
    return tuple(sorted(found.values(), key=_by_reach))


def _by_reach(candidate: Candidate) -> int:
    """S3 of the data centres needs credentials and their region; https works everywhere."""
    return 1 if candidate.href.startswith("s3://") else 0


def recorded_prefixes(umm: Umm, candidates: Iterable[Candidate]) -> tuple[str, ...]:
    """URL prefixes that a UMM-C record allows reading from.

    These are the stores themselves and ``DirectDistributionInformation``, whose prefixes come with
    or without scheme, or as a bucket and a key prefix in two items. **Reads:** nothing.
    """
    listed = (umm.get("DirectDistributionInformation") or {}).get("S3BucketAndObjectPrefixNames")
    prefixes = [candidate.href for candidate in candidates]
    bucket = ""
    for item in listed or ():
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
    named = str((umm.get("DirectDistributionInformation") or {}).get("Region") or "").strip()
    return named if re.fullmatch(r"[a-z]{2}(-[a-z]+)+-\d", named) else None


def notes(umm: Umm) -> CollectionNotes:
    """What outputs and fallbacks need from a UMM-C record. **Reads:** nothing."""
    starts: list[datetime] = []
    ends: list[datetime | None] = []
    for extent in umm.get("TemporalExtents") or ():
        for span in extent.get("RangeDateTimes") or ():
            starts += _moments(span.get("BeginningDateTime"))
            ends += _moments(span.get("EndingDateTime")) or [None]
        moments = [m for text in extent.get("SingleDateTimes") or () for m in _moments(text)]
        starts += moments
        ends += moments
    finished = [end for end in ends if end is not None]
    return CollectionNotes(
        start=min(starts, default=None),
        end=max(finished) if finished and len(finished) == len(ends) else None,
        title=str(umm.get("EntryTitle", "")),
        doi=str((umm.get("DOI") or {}).get("DOI", "")),
    )


def _moments(text: object) -> list[datetime]:
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return []
    return [moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)]
