"""What CMR associates with a collection: stores, collections of its frames, and its grids."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass

from harmony_vds.discovery.candidates import Candidate, candidates_of, ranked
from harmony_vds.discovery.cmr import CmrClient, Record
from harmony_vds.discovery.placements import collection as placed
from harmony_vds.discovery.placements.grid import recorded_grid
from harmony_vds.discovery.placements.service import service_links
from harmony_vds.errors import VdsError
from harmony_vds.model.store import RecordedGrid

logger = logging.getLogger(__name__)

_MOST_RELATED = 4
"""Associated collections in which frames are looked for."""
_MOST_GRIDS = 20
"""Records of grids that are looked through."""


@dataclass(frozen=True)
class Associations:
    """What is associated with the collection of `record`; asks CMR for it when it is wanted."""

    record: Record
    """The collection's."""
    cmr: CmrClient
    """Whom to ask."""

    def stores(self) -> Iterator[tuple[Candidate, ...]]:
        """Stores that associations carry with them, then those that services name; best first.

        **Reads:** metadata, once the first are used up.
        """
        yield from ranked(candidates_of(placed.association_links(self.record.meta)))
        ids = placed.associated_ids(self.record.meta, "services")
        told = [link for own in self.cmr.services(ids) for link in service_links(own.umm)]
        yield from ranked(candidates_of(told))

    def collections(self) -> Iterator[str]:
        """Concept ids of collections that may hold this one's frames; no further than that.

        **Reads:** metadata.
        """
        seen = {"", self.record.concept_id}
        for query in placed.associated_collections(self.record.umm)[:_MOST_RELATED]:
            for found in self.cmr.collections_like(query)[:1]:
                if found.concept_id not in seen:
                    seen.add(found.concept_id)
                    yield found.concept_id

    def grids(self) -> tuple[RecordedGrid, ...]:
        """The grids that records describe; none where CMR does not give them.

        They only help out where a store says too little of itself. **Reads:** metadata, where the
        collection has any.
        """
        ids = placed.associated_ids(self.record.meta, "grids")[:_MOST_GRIDS]
        try:
            found = [recorded_grid(own.umm) for own in self.cmr.grids(ids)]
        except VdsError as error:
            logger.info("The collection's grids are not known: %s", error)
            return ()
        return tuple(own for own in found if own is not None)
