"""Asks CMR for records, and says in words what CMR's answers mean."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from yarl import URL

from harmony_vds.access.gateway import Access
from harmony_vds.access.loop import run
from harmony_vds.errors import ForbiddenError, NoStoreError, StoreError, UpstreamError

_RECORD_LIMIT = 64 * 2**20
_IDS_IN_ONE_QUESTION = 100
"""Concept ids in one URL; longer URLs are refused on the way."""
PAGE = 500
"""Granules in one answer: some MiB of records."""

type Umm = Mapping[str, Any]
"""The ``umm`` or ``meta`` part of one item of a ``umm_json`` answer."""


class Record(msgspec.Struct, frozen=True):
    """One item of an answer of CMR."""

    umm: dict[str, Any]
    """The record as its publisher wrote it."""
    meta: dict[str, Any] = {}
    """What CMR knows of it: ids and associations."""

    @property
    def concept_id(self) -> str:
        """CMR's id of the record. **Reads:** nothing."""
        return str(self.meta.get("concept-id") or "")


class _Found(msgspec.Struct):
    items: list[Record]


@dataclass(frozen=True)
class CmrClient:
    """CMR at one root URL."""

    root: str
    """Root URL without trailing slash."""
    access: Access
    """Way out; must trust `root`, which the operator set."""
    _asked: dict[str, _Found] = field(default_factory=dict, repr=False)

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
        answer = self._ask("collections.umm_json", {"concept_id": concept_id},
                           f"the collection {concept_id}")  # fmt: skip
        if not answer.items:
            raise NoStoreError(
                f"CMR at {self.root} shows no collection {concept_id}: either it does not exist, "
                "or the user of this request may not see it. Check the id and the permissions."
            )
        return answer.items[0]

    def collections_like(self, query: Mapping[str, str]) -> Sequence[Record]:
        """The records of collections by short name or DOI; errors as in `collection`.

        **Reads:** metadata.
        """
        words = f"the collection {' '.join(query.values())}"
        return self._ask("collections.umm_json", query, words).items

    def variables(self, concept_ids: Sequence[str]) -> Sequence[Record]:
        """The records of variables, newest form; errors as in `collection`. **Reads:** metadata."""
        return self._each("variables.umm_json_v1_9_0", concept_ids, "the collection's variables")

    def services(self, concept_ids: Sequence[str]) -> Sequence[Record]:
        """The records of services; errors as in `collection`. **Reads:** metadata."""
        return self._each("services.umm_json_v1_5_4", concept_ids, "the collection's services")

    def grids(self, concept_ids: Sequence[str]) -> Sequence[Record]:
        """The records of grids; errors as in `collection`. **Reads:** metadata."""
        return self._each("grids.umm_json", concept_ids, "the collection's grids")

    def granules_by_id(self, concept_ids: Sequence[str]) -> Sequence[Record]:
        """The records of granules; errors as in `collection`. **Reads:** metadata."""
        return self._each("granules.umm_json", concept_ids, "the selected granules")

    def granules(
        self, query: Mapping[str, str | Sequence[str]], page_size: int = PAGE
    ) -> Iterator[Record]:
        """The granules that `query` finds, page by page, in the order of their names.

        An answer names the header to send for the next page; without one it was the last.

        Raises
        ------
        ForbiddenError, StoreError, UpstreamError
            As in `collection`.

        **Reads:** metadata.
        """
        asked = {**query, "sort_key": "granule_ur", "page_size": str(page_size)}
        url = str(URL(f"{self.root}/search/granules.umm_json").with_query(asked))
        after: dict[str, str] = {}
        while True:
            found, following = self._fetch(url, "granules", after)
            yield from found.items
            if following is None or not found.items:
                return
            after = {"CMR-Search-After": following}

    def _each(self, what: str, concept_ids: Sequence[str], words: str) -> Sequence[Record]:
        found: list[Record] = []
        for first in range(0, len(concept_ids), _IDS_IN_ONE_QUESTION):
            ids = tuple(concept_ids[first : first + _IDS_IN_ONE_QUESTION])
            query = {"concept_id[]": ids, "page_size": str(len(ids))}
            found += self._ask(what, query, words).items
        return found

    def _ask(self, what: str, query: Mapping[str, str | Sequence[str]], words: str) -> _Found:
        url = str(URL(f"{self.root}/search/{what}").with_query(query))
        if url not in self._asked:  # one request may ask the same of several sources
            self._asked[url] = self._fetch(url, words, {})[0]
        return self._asked[url]

    def _fetch(self, url: str, words: str, sent: Mapping[str, str]) -> tuple[_Found, str | None]:
        try:
            received = run(self.access.fetcher.fetch_whole(url, _RECORD_LIMIT, sent))
        except ForbiddenError as error:
            raise ForbiddenError(f"CMR refused the request for {words}: {error}") from None
        except UpstreamError as error:
            raise UpstreamError(f"CMR did not answer the request for {words}: {error}") from None
        except StoreError as error:
            raise StoreError(f"CMR rejected the request for {words}: {error}") from None
        try:
            found = msgspec.json.decode(received.body, type=_Found)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise UpstreamError(
                f"CMR's answer for {words} is not JSON of the expected form: {error}."
            ) from None
        return found, received.headers.get("CMR-Search-After")
