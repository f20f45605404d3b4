"""Finds the virtual stores of a collection and explains itself when there is none."""

import logging
from dataclasses import dataclass

from harmony_vds.access.gateway import Access
from harmony_vds.discovery import umm
from harmony_vds.discovery.cmr import CmrClient
from harmony_vds.discovery.sniff import sniff
from harmony_vds.errors import ForbiddenError, NoStoreError, UpstreamError, VdsError
from harmony_vds.model.request import Source
from harmony_vds.model.store import CollectionNotes, StoreLocation

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FoundStores:
    """The stores of one collection, best first."""

    locations: tuple[StoreLocation, ...]
    """At least one; the first that opens is used."""
    access: Access
    """Access that trusts what the collection's record names."""
    notes: CollectionNotes
    """What else the record says."""
    rejected: tuple[str, ...] = ()
    """Candidates that do not serve, each with the reason."""


def find_stores(source: Source, cmr: CmrClient, access: Access) -> FoundStores:
    """The stores that the record of `source` names.

    Raises
    ------
    NoStoreError
        None that can be opened; the text lists each candidate and why it failed.
    ForbiddenError
        As NoStoreError, where all that failed was the user's permission.
    UpstreamError
        CMR, or a candidate that may serve later, is in trouble.

    **Reads:** metadata.
    """
    record = cmr.collection(source.collection)
    candidates = umm.collection_candidates(record)
    if not candidates:
        raise NoStoreError(
            f"The record of {source.collection} ({source.short_name}) names no virtual store: none "
            "of its RelatedUrls has the Subtype VIRTUAL COLLECTION. Its publisher can add one."
        )
    derived = access.recording(umm.recorded_prefixes(record, candidates), umm.region(record))
    return _choose(source, candidates, derived, umm.notes(record))


def _choose(
    source: Source,
    candidates: tuple[umm.Candidate, ...],
    access: Access,
    notes: CollectionNotes,
) -> FoundStores:
    usable: list[StoreLocation] = []
    failed: list[tuple[umm.Candidate, VdsError]] = []
    for candidate in candidates:
        try:
            kind = sniff(candidate.href, access.fetcher)
        except VdsError as error:
            logger.info("%s (%s): %s", candidate.href, candidate.found_in, error)
            failed.append((candidate, error))
        else:
            usable.append(StoreLocation(candidate.href, kind, region=access.fetcher.region))
    reasons = tuple(f"{c.found_in}: {error}" for c, error in failed)
    if usable:
        return FoundStores(tuple(usable), access, notes, reasons)
    explained = (
        f"No virtual store of {source.collection} ({source.short_name}) can be opened: "
        + "; ".join(reasons)
    )
    if any(isinstance(error, UpstreamError) for _, error in failed):
        raise UpstreamError(explained)
    if all(isinstance(error, ForbiddenError) for _, error in failed):
        raise ForbiddenError(explained)
    raise NoStoreError(explained)


def locate(href: str, access: Access) -> FoundStores:
    """The store that the user of the command line named.

    Raises
    ------
    NoStoreError, StoreError, UpstreamError
        As `harmony_vds.discovery.sniff.sniff`.

    **Reads:** metadata.
    """
    location = StoreLocation(href.rstrip("/"), sniff(href.rstrip("/"), access.fetcher))
    return FoundStores((location,), access, CollectionNotes())
