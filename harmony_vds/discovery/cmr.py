"""Asks CMR for a collection's record, and says in words what CMR's answers mean."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from yarl import URL

from harmony_vds.access.gateway import Access
from harmony_vds.access.loop import run
from harmony_vds.errors import ForbiddenError, NoStoreError, StoreError, UpstreamError

_RECORD_LIMIT = 16 * 2**20

type Umm = Mapping[str, Any]
"""The ``umm`` part of one item of a ``umm_json`` answer."""


class _Item(msgspec.Struct):
    umm: dict[str, Any]


class _Found(msgspec.Struct):
    items: list[_Item]


@dataclass(frozen=True)
class CmrClient:
    """CMR at one root URL."""

    root: str
    """Root URL without trailing slash."""
    access: Access
    """Way out; must trust `root`, which the operator set."""

    def collection(self, concept_id: str) -> Umm:
        """The UMM-C record of a collection.

        Raises
        ------
        NoStoreError
            CMR knows no such collection, or the user may not see it: CMR does not tell which.
        ForbiddenError
            CMR refuses the token.
        UpstreamError
            CMR is in trouble.

        **Reads:** metadata.
        """
        url = URL(f"{self.root}/search/collections.umm_json").with_query(concept_id=concept_id)
        answer = self._ask(str(url), f"the collection {concept_id}")
        if not answer.items:
            raise NoStoreError(
                f"CMR at {self.root} shows no collection {concept_id}: either it does not exist, "
                "or the user of this request may not see it. Check the id and the permissions."
            )
        return answer.items[0].umm

    def _ask(self, url: str, what: str) -> _Found:
        try:
            received = run(self.access.fetcher.fetch_whole(url, _RECORD_LIMIT))
        except ForbiddenError as error:
            raise ForbiddenError(f"CMR refused the request for {what}: {error}") from None
        except UpstreamError as error:
            raise UpstreamError(f"CMR did not answer the request for {what}: {error}") from None
        except StoreError as error:
            raise StoreError(f"CMR rejected the request for {what}: {error}") from None
        try:
            return msgspec.json.decode(received.body, type=_Found)
        except msgspec.DecodeError as error:
            raise UpstreamError(
                f"CMR's answer for {what} is not JSON of the expected form: {error}."
            ) from None
