"""The service in two moments: `prepare` ends with an exact price, `fulfil` reads the chunks.

This is the one place where the stages meet.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from harmony_vds.discovery.find import StoreSearch
from harmony_vds.discovery.found import Answer, FoundStore, locate
from harmony_vds.errors import (
    ForbiddenError,
    NoDataError,
    StoreError,
    UncutBoxError,
    UnknownVariableError,
    UnsupportedError,
    UpstreamError,
    VdsError,
)
from harmony_vds.model.output import Output
from harmony_vds.model.plan import Plan
from harmony_vds.model.request import Request, Source
from harmony_vds.model.store import CollectionNotes, VirtualStore
from harmony_vds.outputs.write import write
from harmony_vds.planning.guard import refuse_several_outputs, refuse_unsupported
from harmony_vds.planning.planner import make_plan
from harmony_vds.planning.volume import check_total, check_volume
from harmony_vds.services import Services
from harmony_vds.stores.open import open_store
from harmony_vds.telemetry import Progress, no_progress, timed
from harmony_vds.transform.apply import apply_plan

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Prepared:
    """One store that a request is answered from, planned and priced."""

    source: Source
    """The collection it answers for."""
    store: VirtualStore
    """Its pinned store."""
    plan: Plan
    """What will be read and written."""
    notes: CollectionNotes = field(default_factory=CollectionNotes)
    """What the collection's record adds."""
    label: str = ""
    """Name of the store among several of its collection; empty where there is one."""


def prepare(request: Request, services: Services, store_href: str | None = None) -> list[Prepared]:
    """One plan for each store that `request` is answered from, all of them priced and allowed.

    A source comes to one store, or to several where each of its frames or granules has its own.

    Parameters
    ----------
    request
        What was asked.
    services
        Clients and limits.
    store_href
        The store to use instead of what CMR names.

    Raises
    ------
    RequestError, NoDataError, StoreError, ForbiddenError, UpstreamError
        As the stages raise them; nothing has been read but metadata and coordinates.

    **Reads:** coordinates.
    """
    refuse_unsupported(request)
    if isinstance(request.shape, str):
        with timed("shape"):
            request = replace(request, shape=services.shapes.read(request.shape))
    if store_href is not None:
        with timed("find"):
            found = locate(store_href, services.access)
        prepared = [_prepare_store(found, own, request, services) for own in request.sources]
    else:
        prepared = [
            own for source in request.sources for own in _prepare_source(source, request, services)
        ]
    refuse_several_outputs(request, sum(own.plan.outputs for own in prepared))
    check_total([own.plan.cost for own in prepared], services.limits)
    return prepared


def _prepare_source(source: Source, request: Request, services: Services) -> list[Prepared]:
    """One plan for each store of the first answer whose stores open and hold what was asked."""
    search = services.search(source, request)
    answers = search.answers()
    while True:
        with timed("find"):
            answer = next(answers, None)
        if answer is None:
            raise search.failure()
        try:
            return _prepare_answer(answer, source, request, services)
        except (StoreError, ForbiddenError, UpstreamError, UnknownVariableError) as error:
            _give_up(answer, error, search)
        except UnsupportedError as error:
            if not any(own.from_stack for own in answer):
                raise
            _give_up(answer, error, search)  # each granule may have a store of its own


def _give_up(answer: Answer, error: VdsError, search: StoreSearch) -> None:
    hrefs = ", ".join(own.locations[0].href for own in answer)
    logger.info("%s: %s", hrefs, error)
    search.rejected.add("", error)


def _prepare_answer(
    answer: Answer, source: Source, request: Request, services: Services
) -> list[Prepared]:
    """One plan for each store of `answer` that the request meets."""
    prepared, outside = [], []
    for found in answer:
        try:
            prepared.append(_prepare_store(found, source, request, services))
        except NoDataError as error:  # a frame beside the box is none of the request's business
            logger.info("%s: %s", found.label or found.locations[0].href, error)
            outside.append(error)
    if not prepared:
        raise outside[0]
    return prepared


def _prepare_store(
    found: FoundStore, source: Source, request: Request, services: Services
) -> Prepared:
    variables = source.variables if found.variables is None else found.variables
    source = replace(source, variables=variables)
    request = replace(
        request, granules=found.granules, from_stack=found.from_stack, periods=found.periods
    )
    with timed("open"):
        store = open_store(found.locations, found.access, services.reading)
    with timed("plan"):
        try:
            plan = make_plan(store, request, source)
        except UncutBoxError as error:
            if not found.by_region:
                raise
            request, plan = _plan_whole(store, request, source, str(error))
    plan = replace(plan, layout=services.layout)
    logger.info("Planned: %s", plan)
    for note in plan.notes:
        logger.warning("%s", note)
    check_volume(plan, services.limits, store, request, source)
    services.deadline.check()
    return Prepared(source, store, plan, found.notes, found.label)


def _plan_whole(
    store: VirtualStore, request: Request, source: Source, reason: str
) -> tuple[Request, Plan]:
    """`request` without its box, which chose the frame and cannot cut it; and its plan."""
    boxless = replace(request, bbox=None)
    plan = make_plan(store, boxless, source)
    reason = reason.partition("; ")[0].partition(". ")[0]  # without what one could ask instead
    remark = (
        f"The box {request.bbox} chose this frame or granule by its record and does not cut it: "
        f"all of its rows and columns are here. {reason}."
    )
    asked = request.parameters(source)
    return boxless, replace(plan, asked=asked, notes=(remark, *plan.notes))


def fulfil(
    prepared: Sequence[Prepared],
    workdir: Path,
    services: Services,
    progress: Progress = no_progress,
) -> list[Output]:
    """Read and write what was planned; the only place that reads data chunks.

    Each plan gives one output or more, in the order of the plans.

    Parameters
    ----------
    prepared
        The plans, in order.
    workdir
        An empty folder; each output gets one of its own below it.
    services
        The same as for `prepare`.
    progress
        Told the bytes written so far and in all.

    Raises
    ------
    TimeLimitError
        The time is over; nothing that was written is returned.
    StoreError, ForbiddenError, UpstreamError
        A chunk cannot be read.

    **Reads:** chunks.
    """
    total = sum(own.plan.cost.bytes_written for own in prepared)
    done = 0

    def step(nbytes: int) -> None:
        nonlocal done
        done += nbytes
        progress(done, total)
        services.deadline.check(done / total if total else None)

    outputs: list[Output] = []
    for number, own in enumerate(prepared):
        folder = workdir / str(number)
        folder.mkdir(parents=True)
        with timed("write"):
            subset = apply_plan(own.store, own.plan)
            written = write(subset, own.plan, folder, own.notes, step)
        outputs += [replace(output, plan_number=number) for output in written]
        if own.plan.cost.missing:
            logger.warning(
                "%d of %d chunks are not in the manifest of %s and read as fill",
                own.plan.cost.missing, own.plan.cost.chunks, own.plan.location,
            )  # fmt: skip
    traffic = services.access.fetcher.traffic
    logger.info(
        "Read %d bytes in %d requests, %d of them repeated",
        traffic.nbytes, traffic.requests, traffic.retries,
    )  # fmt: skip
    return outputs
