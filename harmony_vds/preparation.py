"""How the stores of a collection answer a request: found, opened, planned and held to limits."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from harmony_vds.combining import combined, targets_shared
from harmony_vds.cutting import Cutting
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
from harmony_vds.model.part import Part
from harmony_vds.model.plan import Plan
from harmony_vds.model.request import Request, Source, Stretch, TargetGrid
from harmony_vds.model.store import ManifestFormat, VirtualStore
from harmony_vds.on_the_fly import described
from harmony_vds.outputs.write import refuse_unwritable
from harmony_vds.prepared import Prepared
from harmony_vds.services import Services
from harmony_vds.stores.open import open_store
from harmony_vds.stores.spot_check import check_sources
from harmony_vds.telemetry import timed
from harmony_vds.transform.apply import apply_plan

logger = logging.getLogger(__name__)

type _Opened = tuple[FoundStore, list[Prepared]]
"""A store, and its plans."""


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
        opened: list[_Opened] = []
        outside = []
        for found in answer:
            try:
                opened.append((found, self.of(found, source)))
            except NoDataError as error:  # a frame beside the box is none of the request's business
                logger.info("%s: %s", found.label or found.locations[0].href, error)
                outside.append(error)
        if not opened:
            raise outside[0]
        alone = any(found.variables is not None for found, _ in opened)
        # Averages and tables are of one store each.
        alone |= self.request.average is not None or format_of(self.request.media_type).is_table
        if self.request.target is None or len(opened) < 2 or alone:
            return [own for _, parts in opened for own in parts]
        opened.sort(key=lambda pair: (pair[0].label, pair[0].locations[0].href))
        return [self._together(opened, source, self.request.target)]

    def _together(self, opened: list[_Opened], source: Source, target: TargetGrid) -> Prepared:
        """One output on the grid `target` of what several stores hold."""
        members = [own for _, (own, *_) in opened]
        if any(len(parts) > 1 for _, parts in opened):
            members = self.in_one_piece(opened, source)
        shared = targets_shared(members, target)
        if shared is not None:
            alike = replace(self, request=replace(self.request, target=shared))
            members = alike.in_one_piece(opened, source)
        return combined(members, self.request, source)

    def of(
        self,
        found: FoundStore,
        source: Source,
        *,
        store: VirtualStore | None = None,
        uncut: bool = False,
    ) -> list[Prepared]:
        """The plans for one store: one, or one for each Part unless `uncut`.

        Parameters
        ----------
        found
            Where the store lies, and which granules it answers for.
        source
            The collection it answers for.
        store
            It, where it is open already.
        uncut
            Whether it comes in one piece, however large: it goes into one output with others.

        Raises
        ------
        RequestError, NoDataError, StoreError, ForbiddenError, UpstreamError
            As the stages raise them.

        **Reads:** coordinates.
        """
        services = self.services
        variables = source.variables if found.variables is None else found.variables
        source = replace(source, variables=variables)
        request = replace(
            self.request,
            granules=found.granules, from_stack=found.from_stack, periods=found.periods,
        )  # fmt: skip
        with timed("open"):
            store = store or open_store(found.locations, found.access, services.reading)
        cutting = Cutting(
            store, services.limits, self.apart, found.by_region, services.layout, uncut
        )
        with timed("plan"):
            plan = cutting.plan(request, source)
            logger.info("Planned: %s", plan)
            for note in plan.notes:
                logger.warning("%s", note)
            parts = cutting.parts(plan, request, source)
        self._check(store, plan, found)
        whole = Part(
            0, len(parts), plan.location, source, request, found.notes, found.label,
            found.by_region, found.access.recorded(),
        )  # fmt: skip
        if len(parts) > 1:
            logger.info("Cut into %d parts", len(parts))
        return [
            Prepared(source, store, own, found.notes, part.label, part)
            for part, own in _parts(whole, parts)
        ]

    def in_one_piece(self, opened: Sequence[_Opened], source: Source) -> list[Prepared]:
        """Each store planned again, uncut; errors as `of`. **Reads:** coordinates."""
        made = [self.of(found, source, store=own.store, uncut=True) for found, (own, *_) in opened]
        return [own for (own,) in made]

    def _check(self, store: VirtualStore, plan: Plan, found: FoundStore) -> None:
        """Raise if source files are not as the store tells, or the format cannot hold it."""
        sampled = self.services.spot_check
        if sampled != "off" and store.location.kind is not ManifestFormat.GRANULES:
            with timed("compare"):
                check_sources(store, plan, found.access.fetcher, sampled)
        if plan.format.is_table or plan.format.per_variable:
            refuse_unwritable(apply_plan(store, plan), plan)
        self.services.deadline.check()


def _give_up(answer: Answer, error: VdsError, search: StoreSearch) -> None:
    """Note why an answer is not taken, for whoever is told of it where no other is."""
    hrefs = ", ".join(own.locations[0].href for own in answer)
    logger.info("%s: %s", hrefs, error)
    search.rejected.add("", error)


def _parts(whole: Part, cut: Sequence[tuple[Stretch | None, Plan]]) -> Iterator[tuple[Part, Plan]]:
    """The plans of the outputs of `whole`, each with what writes it again elsewhere."""
    for index, (stretch, plan) in enumerate(cut):
        label = whole.label
        if stretch is not None:
            label = labelled(label, plan, index, whole.of)
        yield (
            replace(
                whole,
                index=index,
                request=replace(whole.request, stretch=stretch),
                label=label,
                fingerprint=plan.fingerprint,
            ),
            plan,
        )


def labelled(label: str, plan: Plan, index: int, of: int) -> str:
    """`label` with what tells a Part apart, so that names sort as the Parts follow each other.

    **Reads:** nothing.
    """
    times = plan.coverage
    own = f"part{index + 1:0{len(str(of))}d}of{of}"
    is_strip = plan.target is not None and plan.target.strip is not None
    if not is_strip and times is not None and times.start is not None and times.end is not None:
        own = f"{times.start:%Y%m%dT%H%M%S}-{times.end:%Y%m%dT%H%M%S}"
    return f"{label}_{own}" if label else own
