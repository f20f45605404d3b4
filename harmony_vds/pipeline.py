"""The service in two moments: `prepare` ends with an exact price, `fulfil` reads the chunks.

This is the one place where the stages meet.
"""

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from harmony_vds.assignment import Assignment, Manner, planned_again, read_pieces
from harmony_vds.combining import combined, subset_of, targets_shared
from harmony_vds.cutting import Cutting
from harmony_vds.discovery.find import StoreSearch
from harmony_vds.discovery.found import Answer, FoundStore, locate
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
from harmony_vds.model.output import Output
from harmony_vds.model.part import Part
from harmony_vds.model.plan import Plan
from harmony_vds.model.request import Request, Source
from harmony_vds.model.shape import Shape
from harmony_vds.model.store import ManifestFormat, VirtualStore
from harmony_vds.model.subset import Subset
from harmony_vds.on_the_fly import described
from harmony_vds.outputs.write import refuse_unwritable, write
from harmony_vds.planning.guard import refuse_several_outputs, refuse_unsupported
from harmony_vds.planning.maps import as_target
from harmony_vds.planning.volume import check_total
from harmony_vds.prepared import Prepared
from harmony_vds.services import Services
from harmony_vds.stores.open import open_store
from harmony_vds.stores.spot_check import check_sources
from harmony_vds.telemetry import Progress, ProgressLog, no_progress, timed
from harmony_vds.transform.apply import apply_plan

logger = logging.getLogger(__name__)


def prepare(
    request: Request, services: Services, store_href: str | None = None, *, apart: bool = False
) -> list[Prepared]:
    """One plan for each output of `request`, all of them priced and allowed.

    A source comes to one store, or to several where each of its frames or granules has its own;
    what is large is cut into Parts, unless the user waits.

    Parameters
    ----------
    request
        What was asked.
    services
        Clients and limits.
    store_href
        The store to use instead of what CMR names.
    apart
        Whether each output is written by a work item of its own, and so has the limits for itself.

    Raises
    ------
    RequestError, NoDataError, StoreError, ForbiddenError, UpstreamError
        As the stages raise them; nothing has been read but metadata and coordinates.

    **Reads:** coordinates.
    """
    refuse_unsupported(request)
    request = as_target(request)
    asked, request = request, _with_shape(request, services)
    if store_href is not None:
        with timed("find"):
            found = locate(store_href, services.access)
        prepared = [
            own
            for source in request.sources
            for own in _prepare_store(found, source, request, services, apart=apart)
        ]
    else:
        prepared = [
            own
            for source in request.sources
            for own in _prepare_source(source, request, services, apart=apart)
        ]
    refuse_several_outputs(request, sum(own.plan.outputs for own in prepared))
    stores = sum(len(own.members) or 1 for own in prepared)
    check_total([own.plan.cost for own in prepared], services.limits, apart=apart, stores=stores)
    return [_as_asked(own, asked) for own in prepared]


def _with_shape(request: Request, services: Services) -> Request:
    if not isinstance(request.shape, str):
        return request
    with timed("shape"):
        return replace(request, shape=services.shapes.read(request.shape))


def _as_asked(prepared: Prepared, asked: Request) -> Prepared:
    """`prepared`, whose Part names the shape's document as the request did."""
    part = prepared.part
    if part is None or part.request.shape is asked.shape:
        return prepared
    read = part.request.shape
    named = replace(part, request=replace(part.request, shape=asked.shape), members=tuple(
        replace(own, request=replace(own.request, shape=asked.shape)) for own in part.members
    ))  # fmt: skip
    return replace(prepared, part=named, shape=read if isinstance(read, Shape) else None)


def _prepare_source(
    source: Source, request: Request, services: Services, *, apart: bool
) -> list[Prepared]:
    """One plan for each store of the first answer whose stores open and hold what was asked."""
    search = services.search(source, request)
    answers = search.answers()
    while True:
        with timed("find"):
            answer = next(answers, None)
        if answer is None:
            made = None if apart else described(search, services)
            if made is None:
                raise search.failure()
            return made.priced(
                _prepare_store(made.found, source, request, services, apart=apart, store=made.store)
            )
        try:
            return _prepare_answer(answer, source, request, services, apart=apart)
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
    answer: Answer, source: Source, request: Request, services: Services, *, apart: bool
) -> list[Prepared]:
    """The plans for each store of `answer` that the request meets."""
    prepared: list[tuple[FoundStore, list[Prepared]]] = []
    outside = []
    for found in answer:
        try:
            own = _prepare_store(found, source, request, services, apart=apart)
            prepared.append((found, own))
        except NoDataError as error:  # a frame beside the box is none of the request's business
            logger.info("%s: %s", found.label or found.locations[0].href, error)
            outside.append(error)
    if not prepared:
        raise outside[0]
    alone = any(found.variables is not None for found, _ in prepared)
    # Averages and tables are of one store each.
    alone |= request.average is not None or format_of(request.media_type).is_table
    if request.target is None or len(prepared) < 2 or alone:
        return [own for _, parts in prepared for own in parts]
    prepared.sort(key=lambda pair: (pair[0].label, pair[0].locations[0].href))

    def together(asked: Request) -> list[Prepared]:
        made = [
            _prepare_store(found, source, asked, services, apart=apart, store=own.store, uncut=True)
            for found, (own, *_) in prepared
        ]
        return [own for (own,) in made]

    is_cut = any(len(parts) > 1 for _, parts in prepared)
    members = together(request) if is_cut else [own for _, (own,) in prepared]
    shared = targets_shared(members, request.target)
    if shared is not None:
        members = together(replace(request, target=shared))
    return [combined(members, request, source)]


def _prepare_store(  # noqa: PLR0913  an open store comes along where it has no address
    found: FoundStore, source: Source, request: Request, services: Services, *, apart: bool,
    store: VirtualStore | None = None, uncut: bool = False,
) -> list[Prepared]:  # fmt: skip
    """The plans for one store: one, or one for each Part unless `uncut`."""
    variables = source.variables if found.variables is None else found.variables
    source = replace(source, variables=variables)
    request = replace(
        request, granules=found.granules, from_stack=found.from_stack, periods=found.periods
    )
    with timed("open"):
        store = store or open_store(found.locations, found.access, services.reading)
    cutting = Cutting(store, services.limits, apart, found.by_region, services.layout, uncut)
    with timed("plan"):
        plan = cutting.plan(request, source)
        logger.info("Planned: %s", plan)
        for note in plan.notes:
            logger.warning("%s", note)
        parts = cutting.parts(plan, request, source)
    if services.spot_check != "off" and store.location.kind is not ManifestFormat.GRANULES:
        with timed("compare"):
            check_sources(store, plan, found.access.fetcher, services.spot_check)
    if plan.format.is_table or plan.format.per_variable:
        refuse_unwritable(apply_plan(store, plan), plan)
    services.deadline.check()
    whole = Part(
        0, len(parts), plan.location, source, request, found.notes, found.label, found.by_region,
        found.access.recorded(),
    )  # fmt: skip
    prepared = []
    for index, (stretch, own) in enumerate(parts):
        part = replace(
            whole,
            index=index,
            request=replace(request, stretch=stretch),
            label=whole.label if stretch is None else labelled(whole.label, own, index, len(parts)),
            fingerprint=own.fingerprint,
        )
        prepared.append(Prepared(source, store, own, found.notes, part.label, part))
    if len(parts) > 1:
        logger.info("Cut into %d parts", len(parts))
    return prepared


def prepare_part(part: Part, services: Services) -> Prepared:
    """What `part` was planned as, planned again from the same state of its store.

    Raises
    ------
    StaleSourceError
        The store has changed since, and what it holds now is not what was planned.
    StoreError, ForbiddenError, UpstreamError
        The store does not open.

    **Reads:** coordinates.
    """
    if part.members:
        members = [prepare_part(own, services) for own in part.members]
        return combined(members, part.request, part.source)
    access = services.access.recalling(part.recorded)
    with timed("open"):
        store = open_store((part.location,), access, services.reading)
    request = _with_shape(part.request, services)
    with timed("plan"):
        plan = planned_again(replace(part, request=request), store, _manner(services))
    logger.info("Part %d of %d: %s", part.index + 1, part.of, plan)
    prepared = Prepared(
        part.source, store, plan, part.notes, part.label, replace(part, request=request)
    )
    return _as_asked(prepared, part.request)


def _manner(services: Services) -> Manner:
    return Manner(services.reading, services.limits, services.layout)


def labelled(label: str, plan: Plan, index: int, of: int) -> str:
    """`label` with what tells a Part apart, so that names sort as the Parts follow each other.

    **Reads:** nothing.
    """
    times = plan.coverage
    own = f"part{index + 1:0{len(str(of))}d}of{of}"
    if times is not None and times.start is not None and times.end is not None:
        own = f"{times.start:%Y%m%dT%H%M%S}-{times.end:%Y%m%dT%H%M%S}"
    return f"{label}_{own}" if label else own


def fulfil(
    prepared: Sequence[Prepared],
    workdir: Path,
    services: Services,
    progress: Progress = no_progress,
) -> list[Output]:
    """All outputs of `written`, kept side by side. **Reads:** chunks."""
    return list(written(prepared, workdir, services, progress))


def written(
    prepared: Sequence[Prepared],
    workdir: Path,
    services: Services,
    progress: Progress = no_progress,
    leaving_out: Mapping[int, Collection[str]] | None = None,
) -> Iterator[Output]:
    """Read and write what was planned; the only place that reads data chunks.

    Each plan gives one output or more, in the order of the plans. Each is written when the one
    before has been taken, so whoever puts outputs away and deletes them needs the disk of one.

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
    leaving_out
        Number of a plan → variables whose outputs are there already; none of them where all are.

    Raises
    ------
    TimeLimitError
        The time is over; the output that was being written is not returned.
    StoreError, ForbiddenError, UpstreamError
        A chunk cannot be read.

    **Reads:** chunks.
    """
    left = leaving_out or {}
    wanted = [pair for pair in enumerate(prepared) if left.get(pair[0], True)]
    total = sum(own.plan.cost.bytes_written for _, own in wanted)
    done = finished = 0
    log = ProgressLog(len(wanted), total)

    def step(nbytes: int) -> None:
        nonlocal done
        done += nbytes
        progress(done, total)
        log.tell(finished, done)
        services.deadline.check(done / total if total else None)

    for number, own in wanted:
        folder = workdir / str(number)
        folder.mkdir(parents=True)
        subset = _shared(subset_of(own), own, services)
        for output in write(subset, own.plan, folder, own.notes, step, left.get(number, ())):
            yield replace(output, plan_number=number)
        if own.plan.cost.missing:
            logger.warning(
                "%d of %d chunks are not in the manifest of %s and read as fill",
                own.plan.cost.missing, own.plan.cost.chunks, own.plan.location,
            )  # fmt: skip
        finished += 1
        log.tell(finished, done, finished=True)
    traffic = services.access.fetcher.traffic
    logger.info("Read %s", traffic, extra=traffic.as_fields())
    if services.cluster is not None:
        logger.info("Workers read %s", services.cluster.traffic)


def _shared(subset: Subset, prepared: Prepared, services: Services) -> Subset:
    """`subset`, read by the workers of a cluster where the operator has one."""
    part = prepared.part
    # Described in this process, or pieces of several stores, which no single assignment tells of.
    alone = prepared.plan.location.kind is ManifestFormat.GRANULES or prepared.members
    if services.cluster is None or part is None or alone or prepared.plan.format.by_reference:
        return subset
    if prepared.shape is not None:
        part = replace(part, request=replace(part.request, shape=prepared.shape))
    access = services.access.recalling(part.recorded).for_worker()
    assignment = Assignment(services.cluster.run, part, access, _manner(services))
    return services.cluster.sharing(subset, assignment, read_pieces)
