"""The service in two moments: `prepare` ends with an exact price, `fulfil` reads the chunks.

This is the one place where clients are put together and where the stages meet.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from harmony_vds.access.credentials import Credentials
from harmony_vds.access.gateway import Access
from harmony_vds.discovery.cmr import CmrClient
from harmony_vds.discovery.find import FoundStores, find_stores, locate
from harmony_vds.errors import VdsError
from harmony_vds.model.limits import Limits
from harmony_vds.model.output import Output
from harmony_vds.model.plan import Plan
from harmony_vds.model.request import Request, Source
from harmony_vds.model.store import CollectionNotes, VirtualStore
from harmony_vds.outputs.write import write
from harmony_vds.planning.guard import check_volume, refuse_unsupported
from harmony_vds.planning.planner import make_plan
from harmony_vds.settings import Settings
from harmony_vds.stores.cache import ManifestCache
from harmony_vds.stores.open import open_store
from harmony_vds.stores.reading import DEFAULT_READING, Reading
from harmony_vds.telemetry import Deadline, Progress, no_progress, timed
from harmony_vds.transform.apply import apply_plan

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Services:
    """What a request is answered with; a context manager that closes its connections."""

    access: Access
    """Way to stores and archives."""
    cmr: CmrClient
    """The operator's CMR."""
    limits: Limits
    """Ceilings of one request."""
    deadline: Deadline
    """When the request must be done."""
    reading: Reading = DEFAULT_READING
    """How chunks are read."""

    @classmethod
    def of(cls, settings: Settings, credentials: Credentials) -> "Services":
        """The services of one request, its clock started. **Reads:** nothing."""
        deadline = Deadline(settings.max_seconds)
        cmr = CmrClient(settings.cmr_root, Access.to_cmr(settings, credentials, deadline))
        limits = Limits(settings.max_read_bytes, settings.max_output_bytes, settings.max_seconds)
        reading = Reading(
            planned=settings.reader == "planned",
            gap=settings.merge_gap_bytes,
            refuse_stale_references=settings.stale_references == "refuse",
            cache=ManifestCache.of(settings.cache_dir, settings.cache_bytes),
        )
        access = Access.of(settings, credentials, deadline)
        return cls(access, cmr, limits, deadline, reading)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.access.__exit__(*exc_info)
        self.cmr.access.__exit__(*exc_info)


@dataclass(frozen=True, eq=False)
class Prepared:
    """One source of a request, planned and priced."""

    source: Source
    """The collection it answers for."""
    store: VirtualStore
    """Its pinned store."""
    plan: Plan
    """What will be read and written."""
    notes: CollectionNotes = field(default_factory=CollectionNotes)
    """What the collection's record adds."""


def prepare(request: Request, services: Services, store_href: str | None = None) -> list[Prepared]:
    """One plan for each source of `request`, all of them priced and allowed.

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
    prepared = []
    for source in request.sources:
        with timed("find"):
            found = _find(source, services, store_href)
        with timed("open"):
            store = _open(found, services.reading)
        with timed("plan"):
            plan = make_plan(store, request, source)
        logger.info("Planned: %s", plan)
        for note in plan.notes:
            logger.warning("%s", note)
        check_volume(plan, services.limits, store, request, source)
        services.deadline.check()
        prepared.append(Prepared(source, store, plan, found.notes))
    return prepared


def _find(source: Source, services: Services, store_href: str | None) -> FoundStores:
    if store_href is None:
        return find_stores(source, services.cmr, services.access)
    return locate(store_href, services.access)


def _open(found: FoundStores, reading: Reading) -> VirtualStore:
    """The first store that opens; a failure also names those that were given up before."""
    try:
        return open_store(found.locations, found.access, reading)
    except VdsError as error:
        if not found.rejected:
            raise
        raise type(error)(f"{error} Also tried: {'; '.join(found.rejected)}") from None


def fulfil(
    prepared: Sequence[Prepared],
    workdir: Path,
    services: Services,
    progress: Progress = no_progress,
) -> list[Output]:
    """Read and write what was planned; the only place that reads data chunks.

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

    outputs = []
    for number, own in enumerate(prepared):
        folder = workdir / str(number)
        folder.mkdir(parents=True)
        with timed("write"):
            subset = apply_plan(own.store, own.plan)
            outputs.append(write(subset, own.plan, folder, own.notes, step))
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
