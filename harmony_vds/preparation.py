"""How the stores of a collection answer a request: found, opened, planned and held to limits."""

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial

from harmony_vds.combining import Combination
from harmony_vds.discovery.find import StoreSearch
from harmony_vds.discovery.found import Answer, FoundStore
from harmony_vds.errors import (
    ForbiddenError,
    NoDataError,
    StoreError,
    TooLargeError,
    UnknownVariableError,
    UnsupportedError,
    UpstreamError,
    VdsError,
)
from harmony_vds.model.formats import format_of
from harmony_vds.model.plan import Cost
from harmony_vds.model.request import Request, Source
from harmony_vds.model.store import VirtualStore
from harmony_vds.on_the_fly import Made, described
from harmony_vds.opened import OpenedStore
from harmony_vds.planning.narrowing import Narrowing
from harmony_vds.planning.volume import check_total
from harmony_vds.prepared import Prepared
from harmony_vds.services import Services
from harmony_vds.telemetry import timed

logger = logging.getLogger(__name__)

type Answering = OpenedStore | Combination


@dataclass(frozen=True, eq=False)
class Preparation:
    """Plans for one request, store by store; nothing but metadata and coordinates is read."""

    request: Request
    """What was asked, its shape read."""
    services: Services
    """Clients and limits."""
    apart: bool
    """Whether each output is written by a work item of its own, and so has the limits alone."""
    answering: list[tuple[Answering, Source, Prepared]] = field(default_factory=list)
    """What answers, for which collection, and with what before it is cut."""
    shares: dict[int, list[Cost]] = field(default_factory=dict)
    """Id of an output that is too large → the price of what it would be cut into."""
    made: list[Made] = field(default_factory=list)
    """Stores that were made for this request; what was read for that counts, too."""

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
                self._give_up(answer, error, search)
            except UnsupportedError as error:
                if not any(own.from_stack for own in answer):
                    raise
                self._give_up(answer, error, search)  # each granule may have a store of its own

    def _described(self, search: StoreSearch, source: Source) -> list[Prepared]:
        """The plan for a store made of the granules: nobody published one that can be used."""
        made = None if self.apart else described(search, self.services)
        if made is None:
            raise search.failure()
        self.made.append(made)
        return made.priced(self.of(made.found, source, store=made.store))

    def _of_answer(self, answer: Answer, source: Source) -> list[Prepared]:
        """The plans for each store of `answer` that the request meets."""
        found: list[tuple[OpenedStore, Prepared]] = []
        outside = []
        for each in answer:
            own = OpenedStore.of(each, self.services, apart=self.apart)
            try:
                found.append((own, own.told(own.member(self.request, source))))
            except NoDataError as error:  # a frame beside the box is none of the request's business
                logger.info("%s: %s", each.label or each.locations[0].href, error)
                outside.append(error)
        if not found:
            raise outside[0]
        several = len(found) > 1 or len(self.request.sources) > 1
        if self._is_alone(answer) or len(found) == 1:
            if len(found) > 1 and self.request.average is not None:
                logger.warning(
                    "Averages are of one store each: there are %s outputs, and none is an average "
                    "over several stores.", len(found),
                )  # fmt: skip
            return [
                part
                for own, member in found
                for part in self._outputs(own, source, member, several=several)
            ]
        found.sort(key=lambda pair: (pair[0].found.label, pair[0].found.locations[0].href))
        together = Combination([own for own, _ in found], self.services.limits, self.apart)
        whole = together.together([member for _, member in found], self.request, source)
        several = len(self.request.sources) > 1
        return self._outputs(together, source, whole, several=several)

    def _outputs(
        self, answering: Answering, source: Source, whole: Prepared, *, several: bool
    ) -> list[Prepared]:
        """`whole`, cut where it is too large; as it is where it is too large among others."""
        self.answering.append((answering, source, whole))
        try:
            return answering.prepared(whole, offering=not several)
        except TooLargeError:
            if not several:
                raise
            self.shares[id(whole)] = answering.costs(self.request, source)
            return [whole]

    def check(self, prepared: Sequence[Prepared]) -> None:
        """Raise if the outputs of all stores are too much, with what making stores of them took.

        Raises
        ------
        TooLargeError
            The text gives what was asked, the limit, its setting, and requests that fit.

        **Reads:** nothing; coordinates for a request that is too large.
        """
        if len(self.answering) > 1 or self.made:
            costs = [cost for own in prepared for cost in self.shares.get(id(own), [own.plan.cost])]
            limits = self.services.limits
            if self.made:  # what is made here is not handed on to other work items
                limits = replace(limits, parts_service="")
            check_total(costs, limits, self._narrowing, apart=self.apart)

    def _narrowing(self) -> Narrowing:
        """The request, smaller ones of which are priced for all that answer it."""
        _, source, largest = max(self.answering, key=lambda own: own[2].plan.cost.bytes_written)
        return Narrowing(
            largest.store, self.request, source, largest.plan, self._costs,
            None if self.request.target is None else partial(self._costs, cut=True),
        )  # fmt: skip

    def _costs(self, request: Request, source: Source, *, cut: bool = False) -> list[Cost]:
        """The price of each output of another request to the same stores."""
        found: list[Cost] = []
        for answering, own, _ in self.answering:
            with suppress(NoDataError):
                of = source if len(request.sources) == 1 else own
                found += answering.costs(request, of, cut=cut)
        if not found:
            raise NoDataError("Nothing lies there.")
        for made in self.made:
            found[0] = made.added(found[0])
        return found

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
        whole = own.told(own.member(self.request, source))
        return self._outputs(own, source, whole, several=len(self.request.sources) > 1)

    def _give_up(self, answer: Answer, error: VdsError, search: StoreSearch) -> None:
        """Note why an answer is not taken, for whoever is told of it where no other is."""
        hrefs = ", ".join(own.locations[0].href for own in answer)
        logger.info("%s: %s", hrefs, error)
        search.rejected.add("", error)
        self.answering[:] = [own for own in self.answering if own[1] is not search.source]
