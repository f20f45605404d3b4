"""What was found: one store, reachable at one or more addresses, and what it answers for."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from harmony_vds.access.gateway import Access
from harmony_vds.discovery.candidates import Candidate
from harmony_vds.discovery.explain import Rejected
from harmony_vds.discovery.sniff import sniff
from harmony_vds.discovery.urls import StoreUrl
from harmony_vds.errors import NoStoreError, VdsError
from harmony_vds.model.extent import TimeRange
from harmony_vds.model.request import Granule
from harmony_vds.model.store import CollectionNotes, ManifestFormat, StoreLocation

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FoundStore:
    """One store; it gives one output."""

    locations: tuple[StoreLocation, ...]
    """Its addresses, at least one; the first that opens is used."""
    access: Access
    """Access that trusts what the records name."""
    notes: CollectionNotes
    """What else the records say."""
    label: str = ""
    """Its name among several of a collection: of the frame, the granule or the operator's table."""
    granules: tuple[Granule, ...] = ()
    """The selected granules that it answers for; empty where none were selected."""
    from_stack: bool = False
    """Whether it holds other granules, too, so that `granules` are to be picked from it."""
    periods: tuple[TimeRange, ...] = ()
    """Their times, as far as they are known, for picking them from a stack."""
    variables: tuple[str, ...] | None = None
    """The requested variables that it holds; None for all that were requested."""
    by_region: bool = False
    """Whether it is of a frame or granule that was chosen for meeting the requested region."""


type Answer = tuple[FoundStore, ...]
"""Stores that together answer for a source."""


def locations_of(
    candidates: Iterable[Candidate], access: Access, rejected: Rejected
) -> tuple[StoreLocation, ...]:
    """The addresses among `candidates` at which there is a store; why not goes to `rejected`.

    **Reads:** metadata.
    """
    found = []
    for candidate in candidates:
        try:
            found.append(_location(candidate, access))
        except VdsError as error:
            logger.info("%s (%s): %s", candidate.href, candidate.found_in, error)
            rejected.add(candidate.found_in, error)
    return tuple(found)


def _location(candidate: Candidate, access: Access) -> StoreLocation:
    if candidate.flaw:
        raise NoStoreError(candidate.flaw)
    fetcher = access.fetcher
    return StoreLocation(
        href=candidate.href,
        kind=_said(candidate.url) or sniff(candidate.href, fetcher),
        region=candidate.region or fetcher.region,
        group=candidate.url.group,
        version=candidate.url.version,
        credentials_endpoint=candidate.credentials_endpoint,
        data_href=candidate.data_href,
    )


def _said(url: StoreUrl) -> ManifestFormat | None:
    """The form that the address itself names; looking is then left out.

    A repository whose branch is not called main would not be known for one by its looks.
    """
    known: Sequence[str] = [str(form) for form in ManifestFormat if form.is_published]
    return ManifestFormat(url.kind) if url.kind in known else None


def noted(notes: CollectionNotes, granules: Sequence[Granule]) -> CollectionNotes:
    """`notes` with the time of `granules`, and the box of a single one, in the collection's place.

    They stand where the data themselves have no time or no grid. **Reads:** nothing.
    """
    times = [own.temporal for own in granules if own.temporal is not None]
    starts = [own.start for own in times if own.start is not None]
    ends = [own.end for own in times if own.end is not None]
    return replace(
        notes,
        start=min(starts, default=notes.start),
        end=max(ends, default=notes.end),
        bbox=granules[0].bbox if len(granules) == 1 else notes.bbox,
    )


def locate(href: str, access: Access) -> FoundStore:
    """The store that the user of the command line named.

    Raises
    ------
    NoStoreError, StoreError, UpstreamError
        As `harmony_vds.discovery.sniff.sniff`, or the address is not understood.

    **Reads:** metadata.
    """
    candidate = Candidate(StoreUrl.of(href), "the command line")
    return FoundStore((_location(candidate, access),), access, CollectionNotes())
