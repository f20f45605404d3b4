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

type Record = Mapping[str, Any]
"""One ``{meta, umm}`` item of a ``umm_json`` answer."""


@dataclass(frozen=True)
class CmrClient:
    """CMR at one root URL."""

    root: str
    """Root URL without trailing slash."""
    access: Access
    """Way out; must trust `root`, which the operator set."""

    def collection(self, concept_id: str) -> Record:
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
        items = answer.get("items") or []
        if not items:
            raise NoStoreError(
                f"CMR at {self.root} shows no collection {concept_id}: either it does not exist, "
                "or the user of this request may not see it. Check the id and the permissions."
            )
        record: Record = items[0]
        return record

    def _ask(self, url: str, what: str) -> Record:
        try:
            received = run(self.access.fetcher.fetch_whole(url, _RECORD_LIMIT))
        except ForbiddenError as error:
            raise ForbiddenError(f"CMR refused the request for {what}: {error}") from None
        except UpstreamError as error:
            raise UpstreamError(f"CMR did not answer the request for {what}: {error}") from None
        except StoreError as error:
            raise StoreError(f"CMR rejected the request for {what}: {error}") from None
        try:
            decoded = msgspec.json.decode(received.body, type=dict[str, Any])
        except msgspec.DecodeError:
            raise UpstreamError(f"CMR's answer for {what} is not JSON.") from None
        return decoded
