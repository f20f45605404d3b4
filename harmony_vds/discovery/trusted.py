"""What a collection's records let be read: its buckets, its stores, and the files of granules."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

from harmony_vds.access.buckets import Twin, learn_twins
from harmony_vds.access.gateway import Access
from harmony_vds.discovery import umm
from harmony_vds.discovery.candidates import Candidate
from harmony_vds.discovery.cmr import Umm
from harmony_vds.discovery.placements.granule import data_hrefs
from harmony_vds.discovery.shares import Linked, Share
from harmony_vds.errors import VdsError

logger = logging.getLogger(__name__)

_MOST_TAUGHT = 20
"""Granules from whose links the https forms of buckets are learnt."""


@dataclass(frozen=True)
class CollectionAccess:
    """Derives, from what was trusted before, the way to stores and data of one collection."""

    told: Umm
    """The collection's record."""
    sample: Callable[[], Linked | None]
    """Gives one of its granules, if there is any."""

    def to_stores(self, candidates: Iterable[Candidate], access: Access) -> Access:
        """`access` that also trusts the collection's buckets and the addresses of a store.

        **Reads:** nothing; metadata where a bucket's https form has to be learnt of a granule.
        """
        region, endpoint = umm.region(self.told), umm.credentials_endpoint(self.told)
        prefixes = umm.distribution_prefixes(self.told)
        derived = access.recording(prefixes, region, endpoint)
        if endpoint and any(map(derived.fetcher.buckets.is_guess, prefixes)):
            derived = derived.recording((), twins=self._twins)
        for own in candidates:
            derived = derived.recording(
                (own.href,), own.region, own.credentials_endpoint or endpoint
            )
        return derived

    def to_share(self, share: Share, access: Access) -> Access:
        """`access` that also trusts a share's store and data, and knows their https forms.

        **Reads:** as `to_stores`.
        """
        derived = self.to_stores(share.candidates, access)
        endpoint = share.candidates[0].credentials_endpoint
        sidecar = share.candidates[0].data_href
        for own in share.granules[:_MOST_TAUGHT]:
            https, direct = data_hrefs(own.links)
            named = (*https, *direct, *((sidecar,) if sidecar else ()))
            derived = derived.recording(named, None, endpoint, learn_twins(https, direct))
        return derived

    @cached_property
    def _twins(self) -> tuple[Twin, ...]:
        """How the collection's buckets are called over https, by the links of a granule."""
        try:
            sample = self.sample()
        except VdsError as error:
            logger.info("The https form of the collection's buckets is not known: %s", error)
            return ()
        return () if sample is None else learn_twins(*data_hrefs(sample.links))
