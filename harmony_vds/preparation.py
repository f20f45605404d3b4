"""How the stores of a collection answer a request: found, opened, planned and held to limits."""

import logging
from dataclasses import dataclass

from harmony_vds.combining import Combination
from harmony_vds.discovery.find import StoreSearch
from harmony_vds.discovery.found import Answer, FoundStore
from harmony_vds.errors import (
    ForbiddenError,
    NoDataError,
    StoreError,
    UnknownVariableError,
    UnsupportedError,
    UpstreamError,
    VdsError,
)
from harmony_vds.model.formats import format_of
from harmony_vds.model.request import Request, Source
from harmony_vds.model.store import VirtualStore
from harmony_vds.on_the_fly import described
from harmony_vds.opened import OpenedStore
from harmony_vds.prepared import Prepared
from harmony_vds.services import Services
from harmony_vds.telemetry import timed

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Preparation:
    """Plans for one request, store by store; nothing but metadata and coordinates is read."""

    request: Request
    """What was asked, its shape read."""
    services: Services
    """Clients and limits."""
    apart: bool
    """Whether each output is written by a work item of its own, and so has the limits alone."""

    def answer(self, source: Source) -> list[Prepared]:
        """One plan for each store of the first answer whose stores open and hold what was asked.

        Raises
        ------
        NoDataError, StoreError, ForbiddenError, UpstreamError, UnsupportedError
            No answer does; the text says what was tried.

        **Reads:** coordinates.
        """
        search = self.services.search(source, self.request)
        answers = search.answers()
        while True:
            with timed("find"):
                answer = next(answers, None)
            if answer is None:
                return self._described(search, source)
            try:
                return self._of_answer(answer, source)
            except (StoreError, ForbiddenError, UpstreamError, UnknownVariableError) as error:
                _give_up(answer, error, search)
            except UnsupportedError as error:
                if not any(own.from_stack for own in answer):
                    raise
                _give_up(answer, error, search)  # each granule may have a store of its own

    def _described(self, search: StoreSearch, source: Source) -> list[Prepared]:
        """The plan for a store made of the granules: nobody published one that can be used."""
        made = None if self.apart else described(search, self.services)
        if made is None:
            raise search.failure()
        return made.priced(self.of(made.found, source, store=made.store))

    def _of_answer(self, answer: Answer, source: Source) -> list[Prepared]:
        """The plans for each store of `answer` that the request meets."""
        alone = self._is_alone(answer)
        found: list[tuple[OpenedStore, list[Prepared]]] = []
        outside = []
        for each in answer:
            own = OpenedStore.of(each, self.services, apart=self.apart)
            try:
                if alone:
                    found.append((own, own.prepared(self.request, source)))
                else:
                    found.append((own, [own.examined(own.member(self.request, source))]))
            except NoDataError as error:  # a frame beside the box is none of the request's business
                logger.info("%s: %s", each.label or each.locations[0].href, error)
                outside.append(error)
        if not found:
            raise outside[0]
        if alone:
            if len(found) > 1 and self.request.average is not None:
                logger.warning(
                    "Averages are of one store each: there are %s outputs, and none is an average "
                    "over several stores.", len(found),
                )  # fmt: skip
            return [part for _, parts in found for part in parts]
        if len(found) == 1:
            return found[0][0].prepared(self.request, source)
        found.sort(key=lambda pair: (pair[0].found.label, pair[0].found.locations[0].href))
        together = Combination([own for own, _ in found], self.services.limits, self.apart)
        return together.prepared([member for _, (member,) in found], self.request, source)

    def _is_alone(self, answer: Answer) -> bool:
        """Whether each store has outputs of its own: averages, tables and stores of variables."""
        asked = self.request
        if asked.target is None or asked.average is not None or len(answer) < 2:
            return True
        is_table = format_of(asked.media_type).is_table
        return is_table or any(own.variables is not None for own in answer)

    def of(
        self, found: FoundStore, source: Source, *, store: VirtualStore | None = None
    ) -> list[Prepared]:
        """The plans for one store, opened unless it is `store`; errors as the stages raise them.

        **Reads:** coordinates.
        """
        own = OpenedStore.of(found, self.services, apart=self.apart, store=store)
        return own.prepared(self.request, source)


def _give_up(answer: Answer, error: VdsError, search: StoreSearch) -> None:
    """Note why an answer is not taken, for whoever is told of it where no other is."""
    hrefs = ", ".join(own.locations[0].href for own in answer)
    logger.info("%s: %s", hrefs, error)
    search.rejected.add("", error)
