"""Which stores a set of granules comes to: one stack for many of them, or one store for each."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harmony_vds.discovery.candidates import Candidate, distinct
from harmony_vds.discovery.cmr import Record
from harmony_vds.discovery.links import Link
from harmony_vds.discovery.placements.granule import (
    asset_links,
    granule_box,
    granule_links,
    granule_time,
    sidecar_candidates,
    store_candidates,
)
from harmony_vds.model.request import Granule


@dataclass(frozen=True)
class Linked:
    """A granule and all links that records and items give of it."""

    granule: Granule
    """Which one it is."""
    links: tuple[Link, ...]
    """Its links."""

    @classmethod
    def of_item(cls, granule: Granule) -> "Linked":
        """A granule with the assets of its STAC item. **Reads:** nothing."""
        return cls(granule, asset_links(granule))

    @classmethod
    def of_record(cls, record: Record) -> "Linked":
        """A granule with the links of its UMM-G record. **Reads:** nothing."""
        granule = Granule(
            collection=str(record.meta.get("collection-concept-id") or ""),
            concept_id=record.concept_id,
            name=str(record.umm.get("GranuleUR") or ""),
            temporal=granule_time(record.umm),
            bbox=granule_box(record.umm),
        )
        return cls(granule, granule_links(record.umm))

    @property
    def stores(self) -> tuple[Candidate, ...]:
        """The stores it names, its own and those it shares. **Reads:** nothing."""
        return store_candidates(self.links, self.granule.name)

    @property
    def sidecars(self) -> tuple[Candidate, ...]:
        """Its DMR++ sidecars. **Reads:** nothing."""
        return sidecar_candidates(self.links, self.granule.name)


@dataclass(frozen=True)
class Share:
    """One store, and the granules that are answered from it."""

    candidates: tuple[Candidate, ...]
    """Its addresses."""
    granules: tuple[Linked, ...]
    """The granules that named it."""

    @property
    def is_stack(self) -> bool:
        """Whether it may hold other granules, too. **Reads:** nothing."""
        return not self.candidates[0].granule


def store_shares(linked: Sequence[Linked], *, stacks_first: bool) -> tuple[tuple[Share, ...], ...]:
    """The ways to answer for all of `linked`, best first; none if one of them names no store.

    Parameters
    ----------
    linked
        Granules and their links.
    stacks_first
        Whether a store of many granules goes before each granule's own.

    **Reads:** nothing.
    """
    named = [(own, own.stores) for own in linked]
    stacks = _grouped((own, [c for c in found if not c.granule]) for own, found in named)
    alone = _grouped((own, [c for c in found if c.granule]) for own, found in named)
    ways = tuple(way for way in ((stacks, alone) if stacks_first else (alone, stacks)) if way)
    if ways:
        return ways
    mixed = _grouped((own, list(found)) for own, found in named)
    return (mixed,) if mixed else ()


def sidecar_shares(linked: Sequence[Linked]) -> tuple[Share, ...]:
    """One store for each of `linked` by its sidecar; none if one has none. **Reads:** nothing."""
    return _grouped((own, list(own.sidecars)) for own in linked)


def _grouped(named: Iterable[tuple[Linked, list[Candidate]]]) -> tuple[Share, ...]:
    """The stores, each with its granules, in order; nothing if a granule names none."""
    addresses: dict[object, list[Candidate]] = {}
    members: dict[object, list[Linked]] = {}
    for own, found in named:
        if not found:
            return ()
        key = found[0].store
        # Archives may write another folder for the bucket, but among one granule's links a name is
        # one file.
        same = [candidate for candidate in found if candidate.name == found[0].name]
        addresses.setdefault(key, []).extend(same)
        members.setdefault(key, []).append(own)
    return tuple(Share(distinct(addresses[key]), tuple(members[key])) for key in addresses)
