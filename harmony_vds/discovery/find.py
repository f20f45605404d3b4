"""Finds the virtual stores that answer a request, and explains itself when there is none.

The places are tried in one order, and each is looked at only when those before it came to nothing:
what the operator says; granules that were selected; the requested variables; the collection's own
record; what is associated with it; its granules, where each, or each frame, has a store of its own;
DMR++ sidecars.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from harmony_vds.access.gateway import Access
from harmony_vds.discovery import umm
from harmony_vds.discovery.associations import Associations
from harmony_vds.discovery.candidates import Candidate, candidates_of, ranked
from harmony_vds.discovery.cmr import CmrClient, Record
from harmony_vds.discovery.explain import Rejected
from harmony_vds.discovery.found import Answer, FoundStore, locations_of, noted
from harmony_vds.discovery.granules import GranuleSearch
from harmony_vds.discovery.overrides import Override, Overrides, by_label
from harmony_vds.discovery.periods import periods_of
from harmony_vds.discovery.placements import collection as placed
from harmony_vds.discovery.shares import Linked, Share, sidecar_shares, store_shares
from harmony_vds.discovery.trusted import CollectionAccess
from harmony_vds.discovery.variables import VariableStores
from harmony_vds.errors import (
    ForbiddenError,
    NoStoreError,
    StoreError,
    TooLargeError,
    UpstreamError,
    VdsError,
)
from harmony_vds.model.request import Granule, Request, Source
from harmony_vds.model.store import CollectionNotes

logger = logging.getLogger(__name__)


@dataclass
class StoreSearch:
    """The search for the stores of one source of a request; asks CMR no more than it must."""

    source: Source
    """The collection, and the variables wanted from it."""
    request: Request
    """All that was asked."""
    cmr: CmrClient
    """Whom to ask."""
    access: Access
    """Way out, before any record has added to what is trusted."""
    overrides: Overrides = field(default_factory=Overrides)
    """What the operator says of collections."""
    most: int = 20
    """Stores from which one request may be answered."""
    rejected: Rejected = field(default_factory=Rejected)
    """What did not serve so far."""
    _record: Record = field(default_factory=lambda: Record({}), repr=False)
    _linked: list[Linked] = field(default_factory=list, repr=False)

    @property
    def granules(self) -> tuple[Granule, ...]:
        """The selected granules of this source. **Reads:** nothing."""
        ours = ("", self.source.collection)
        return tuple(own for own in self.request.granules if own.collection in ours)

    def answers(self) -> Iterator[Answer]:
        """Stores that may answer, best first; what does not serve is noted in `rejected`.

        Each answer was looked at, not opened: who takes one that then fails adds why to `rejected`
        and takes the next.

        Raises
        ------
        NoStoreError
            The operator denies the collection, or CMR does not show it.
        NoDataError, TooLargeError
            Stores are those of granules or frames, and the request meets none, or too many.
        ForbiddenError, UpstreamError
            CMR refuses, or is in trouble, at the first question.

        **Reads:** metadata.
        """
        override = self.overrides.of(self.source)
        if override is not None and override.deny:
            raise NoStoreError(
                f"The operator of this service answers no requests for {self.source.collection} "
                f"({self.source.short_name}): {override.deny}"
            )
        self._record = self.cmr.collection(self.source.collection)
        if override is not None:
            yield from map(self._with_grids, self._of_operator(override))
            return
        steps = (
            ("selected granules", self._of_selected), ("UMM-Var", self._of_variables),
            ("UMM-C", self._of_collection), ("associations", self._of_associations),
            ("granules", self._of_frames), ("associated collections", self._of_related),
            ("DMR++", self._of_sidecars),
        )  # fmt: skip
        for where, step in steps:
            try:
                yield from map(self._with_grids, step())
            except (StoreError, ForbiddenError, UpstreamError) as error:
                logger.info("%s: %s", where, error)
                self.rejected.add(where, error)

    def first(self) -> Answer:
        """The first answer, looked at and not opened; errors as `answers` and `failure`.

        **Reads:** metadata.
        """
        found = next(self.answers(), None)
        if found is None:
            raise self.failure()
        return found

    def unserved(self) -> tuple[tuple[Linked, ...], CollectionNotes, Access] | None:
        """The selected granules with their links, what records say, and the way to their files.

        None where no granule was selected, or where something was named as a store of theirs: it
        is then for whoever named it to mend. To be asked when `answers` came to an end.

        **Reads:** nothing.
        """
        if not self._linked or self.rejected.reasons or self.overrides.of(self.source) is not None:
            return None
        notes = noted(self._notes(), self.granules)
        return tuple(self._linked), notes, self._ways.to_stores((), self.access)

    def failure(self) -> VdsError:
        """The error to raise when no answer served. **Reads:** nothing."""
        named = f"{self.source.collection} ({self.source.short_name})"
        return self.rejected.failure(
            f"No virtual store of {named} can be opened",
            f"The records of {named} name no virtual store: neither its RelatedUrls (Subtype "
            "VIRTUAL COLLECTION is the usual mark), nor its variables, services and granules. Its "
            "publisher can add one, or the operator in HARMONY_VDS_COLLECTIONS_FILE.",
        )

    def _of_operator(self, override: Override) -> Iterator[Answer]:
        """The operator's stores: one output for each name that the request does not leave out."""
        labels = tuple(dict.fromkeys(own.label for own in override.candidates))
        wanted = by_label(labels, self.source.variables)
        found: list[FoundStore] = []
        for label in wanted:
            own = [candidate for candidate in override.candidates if candidate.label == label]
            stores = self._whole([own])
            if not stores:
                return
            variables = wanted[label] if self.source.variables else None
            found.append(replace(stores[0], label=label, variables=variables))
        yield tuple(found)

    def _of_selected(self) -> Iterator[Answer]:
        """The stores that the selected granules name, in their items or their records."""
        if not self.granules:
            return
        few = len(self.granules) == 1  # one granule's own store holds what is asked, and no more
        self._linked = [Linked.of_item(own) for own in self.granules]
        if not store_shares(self._linked, stacks_first=not few):
            self._linked = self._search.selected(self.granules)
        for way in store_shares(self._linked, stacks_first=not few):
            yield from self._answer(way, selected=True)

    def _of_variables(self) -> Iterator[Answer]:
        ids = placed.associated_ids(self._record.meta, "variables")
        for way in VariableStores(self.source, self.cmr, ids).ways():
            found = []
            for own in way:
                best = own.candidates[0]
                told = self.access.recording(own.prefixes, best.region, best.credentials_endpoint)
                access = self._ways.to_stores(own.candidates, told)
                stores = self._whole([own.candidates], access)
                found += [replace(stores[0], variables=own.variables)] if stores else []
            if found and len(found) == len(way):
                yield tuple(found)

    def _of_collection(self) -> Iterator[Answer]:
        links = placed.collection_links(self._record.umm)
        for store in ranked(candidates_of(links)):
            yield from ((found,) for found in self._whole([store]))

    def _of_associations(self) -> Iterator[Answer]:
        for store in self._associations.stores():
            yield from ((found,) for found in self._whole([store]))

    def _of_frames(self) -> Iterator[Answer]:
        if not self.granules:
            yield from self._frames_of(self.source.collection)

    def _of_related(self) -> Iterator[Answer]:
        for collection in self._associations.collections():
            yield from self._frames_of(collection)

    def _frames_of(self, collection: str) -> Iterator[Answer]:
        sample = self._search.first(collection)
        if sample is None or not sample.stores:
            return
        for way in store_shares(self._search.frames(collection), stacks_first=True):
            yield from self._answer(way, selected=False)

    def _of_sidecars(self) -> Iterator[Answer]:
        linked = self._linked
        if not self.granules:
            sample = self._search.first(self.source.collection)
            if sample is None or not sample.sidecars:
                return
            linked = self._search.frames(self.source.collection)
        way = sidecar_shares(linked)
        if len(way) > 1:
            yield from self._stacked(way)
        if way:
            yield from self._answer(way, selected=bool(self.granules))

    def _stacked(self, way: Sequence[Share]) -> Iterator[Answer]:
        """The granules of all shares as one store; where they are no stack, each is one alone."""
        self._refuse_many(way)
        access = self.access
        for share in way:
            access = self._ways.to_share(share, access)
        members = []
        for share in way:
            found = locations_of(share.candidates[:1], access, self.rejected)
            if not found:
                return
            members.append(found[0])
        granules = tuple(own.granule for share in way for own in share.granules)
        location = replace(members[0], members=tuple(members))
        chosen = granules if self.granules else ()
        notes = noted(self._notes(), chosen)
        yield (FoundStore((location,), access, notes, granules=chosen),)

    def _with_grids(self, answer: Answer) -> Answer:
        """`answer`, whose stores may take from records what they do not say of their grids."""
        grids = self._associations.grids()
        if not grids:
            return answer
        return tuple(
            replace(own, locations=tuple(replace(at, grids=grids) for at in own.locations))
            for own in answer
        )

    @cached_property
    def _ways(self) -> CollectionAccess:
        """The ways to the collection's stores and data; once its record is here."""
        return CollectionAccess(self._record.umm, self._sample)

    def _sample(self) -> Linked | None:
        return self._linked[0] if self._linked else self._search.first(self.source.collection)

    @property
    def _associations(self) -> Associations:
        return Associations(self._record, self.cmr)

    @property
    def _search(self) -> GranuleSearch:
        return GranuleSearch(self.cmr, self.request, self.most)

    def _whole(
        self, stores: Iterable[Sequence[Candidate]], access: Access | None = None
    ) -> list[FoundStore]:
        """Stores of the whole collection, restricted to the selected granules if there are any."""
        found = []
        for candidates in stores:
            derived = access or self._ways.to_stores(candidates, self.access)
            locations = locations_of(candidates, derived, self.rejected)
            if locations:
                store = FoundStore(locations, derived, self._notes())
                found.append(self._restricted(store, self.granules))
        return found

    def _answer(self, way: Sequence[Share], *, selected: bool) -> Iterator[Answer]:
        """`way` as an answer, if there is a store behind each of its shares."""
        self._refuse_many(way)
        found = []
        for share in way:
            access = self._ways.to_share(share, self.access)
            locations = locations_of(share.candidates, access, self.rejected)
            if not locations:
                return
            store = FoundStore(locations, access, self._notes(), label=_label(share))
            members = tuple(own.granule for own in share.granules) if selected else ()
            restricted = self._restricted(store, members) if share.is_stack else store
            frame = share.granules[0].granule.bbox
            notes = noted(store.notes, members) if members else replace(store.notes, bbox=frame)
            # A sidecar's granule may be a whole orbit, which is no answer to a box.
            whole = not share.candidates[0].data_href
            found.append(replace(restricted, granules=members, notes=notes, by_region=whole))
        yield tuple(found)

    def _refuse_many(self, way: Sequence[Share]) -> None:
        if len(way) > self.most:
            raise TooLargeError(
                f"The request selects granules of {len(way)} stores, and one request may be "
                f"answered from {self.most} (HARMONY_VDS_MAX_STORES). Select fewer granules."
            )

    def _restricted(self, store: FoundStore, granules: Sequence[Granule]) -> FoundStore:
        """`store`, of more granules than were selected, restricted to `granules`."""
        if not granules:
            return store
        times = [own.temporal for own in granules if own.temporal is not None]
        return replace(
            store, granules=tuple(granules), from_stack=True, periods=periods_of(times),
            notes=noted(store.notes, granules),
        )  # fmt: skip

    def _notes(self) -> CollectionNotes:
        return umm.notes(self._record.umm)


def _label(share: Share) -> str:
    return share.candidates[0].name if share.is_stack else share.granules[0].granule.name
