"""The service in two moments: `prepare` ends with an exact price, `fulfil` reads the chunks."""

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from harmony_vds.assignment import Assignment, Manner, prepared_again, read_pieces
from harmony_vds.combining import subset_of
from harmony_vds.discovery.found import locate
from harmony_vds.model.output import Output
from harmony_vds.model.part import Part
from harmony_vds.model.request import Request
from harmony_vds.model.shape import Shape
from harmony_vds.model.store import ManifestFormat, VirtualStore
from harmony_vds.model.subset import Subset
from harmony_vds.outputs.write import write
from harmony_vds.planning.guard import (
    refuse_many_sources,
    refuse_several_outputs,
    refuse_unsupported,
)
from harmony_vds.planning.maps import as_target
from harmony_vds.preparation import Preparation
from harmony_vds.prepared import Prepared
from harmony_vds.services import Services
from harmony_vds.stores.open import open_store
from harmony_vds.telemetry import Advance, Progress, ProgressLog, no_progress, timed

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
    refuse_many_sources(request, services.max_stores)
    request = as_target(request)
    asked, request = request, _with_shape(request, services)
    preparation = Preparation(request, services, apart)
    if store_href is not None:
        with timed("find"):
            found = locate(store_href, services.access)
        prepared = [own for source in request.sources for own in preparation.of(found, source)]
    else:
        prepared = [own for source in request.sources for own in preparation.answer(source)]
    refuse_several_outputs(request, sum(own.plan.outputs for own in prepared))
    preparation.check(prepared)
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
    shape = read if isinstance(read, Shape) else None
    return replace(prepared, part=part.asking(asked.shape), shape=shape)


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
    read = part.asking(_with_shape(part.request, services).shape)
    prepared = prepared_again(read, partial(_reopened, services), _manner(services))
    logger.info("Part %d of %d: %s", part.index + 1, part.of, prepared.plan)
    return _as_asked(prepared, part.request)


def _reopened(services: Services, part: Part) -> VirtualStore:
    """The store of `part`, in the state that it was planned from."""
    access = services.access.recalling(part.recorded)
    with timed("open"):
        return open_store((part.location,), access, services.reading)


def _manner(services: Services) -> Manner:
    return Manner(services.reading, services.limits, services.layout)


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
    advance = Advance(ProgressLog(len(wanted), total), progress, services.deadline)
    for number, own in wanted:
        folder = workdir / str(number)
        folder.mkdir(parents=True)
        subset = _shared(subset_of(own), own, services)
        for output in write(subset, own.plan, folder, own.notes, advance, left.get(number, ())):
            yield replace(output, plan_number=number)
        if own.plan.cost.missing:
            logger.warning(
                "%d of %d chunks are not in the manifest of %s and read as fill",
                own.plan.cost.missing, own.plan.cost.chunks, own.plan.location,
            )  # fmt: skip
        advance.finish_one()
    traffic = services.access.fetcher.traffic
    logger.info("Read %s", traffic, extra=traffic.as_fields())
    if services.cluster is not None:
        logger.info("Workers read %s", services.cluster.traffic)


def _shared(subset: Subset, prepared: Prepared, services: Services) -> Subset:
    """`subset`, read by the workers of a cluster where the operator has one."""
    part = prepared.part
    alone = prepared.plan.location.kind is ManifestFormat.GRANULES  # described in this process
    if services.cluster is None or part is None or alone or prepared.plan.format.by_reference:
        return subset
    if prepared.shape is not None:
        part = part.asking(prepared.shape)
    access = services.access.for_worker()
    assignment = Assignment(services.cluster.run, part, access, _manner(services))
    return services.cluster.sharing(subset, assignment, read_pieces)
