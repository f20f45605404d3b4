"""An open store that answers a request: planned, held to limits, cut into Parts."""

import logging
from dataclasses import dataclass, replace
from typing import Self

from harmony_vds.cutting import Cutting
from harmony_vds.discovery.found import FoundStore
from harmony_vds.model.part import Part
from harmony_vds.model.plan import Cost, Plan
from harmony_vds.model.request import Request, Source
from harmony_vds.model.store import ManifestFormat, VirtualStore
from harmony_vds.outputs.write import refuse_unwritable
from harmony_vds.prepared import Prepared
from harmony_vds.services import Services
from harmony_vds.stores.open import open_store
from harmony_vds.stores.spot_check import check_sources
from harmony_vds.telemetry import timed
from harmony_vds.transform.apply import apply_plan

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class OpenedStore:
    """One open store, and whom it answers."""

    found: FoundStore
    """What it answers for."""
    store: VirtualStore
    """The store."""
    services: Services
    """The request's."""
    apart: bool
    """Whether each output has a work item of its own."""

    @classmethod
    def of(
        cls, found: FoundStore, services: Services, *, apart: bool,
        store: VirtualStore | None = None,
    ) -> Self:  # fmt: skip
        """What was found, opened unless it is open as `store`; errors as `open_store`.

        **Reads:** metadata.
        """
        with timed("open"):
            store = store or open_store(found.locations, found.access, services.reading)
        return cls(found, store, services, apart)

    def prepared(self, whole: Prepared, *, offering: bool = True) -> list[Prepared]:
        """The outputs of this store, of which `whole` is the `member`: one, or one for each Part.

        A refusal of what is too large offers smaller requests if `offering`. Errors as the stages
        raise them. **Reads:** coordinates.
        """
        assert whole.part is not None
        plan, part, source = whole.plan, whole.part, whole.source
        request = part.request
        with timed("plan"):
            parts = self._cutting.parts(plan, request, source, offering=offering)
        self.compare(whole)
        if plan.format.is_table or plan.format.per_variable:
            refuse_unwritable(apply_plan(self.store, plan), plan)
        if len(parts) > 1:
            logger.info("Cut into %d parts", len(parts))
        prepared = []
        for index, (stretch, own) in enumerate(parts):
            label = part.label if stretch is None else labelled(part.label, own, index, len(parts))
            made = replace(
                part, index=index, of=len(parts), request=replace(request, stretch=stretch),
                label=label, fingerprint=own.fingerprint,
            )  # fmt: skip
            prepared.append(Prepared(source, self.store, own, part.notes, label, made))
        return prepared

    def member(self, request: Request, source: Source) -> Prepared:
        """What the store gives to an output that holds what other stores give too.

        It is neither cut nor held to limits. Errors as the stages raise them.
        **Reads:** coordinates.
        """
        request, source = self._of_this(request, source)
        with timed("plan"):
            plan = self._cutting.plan(request, source)
        part = self._part(plan, request, source)
        return Prepared(source, self.store, plan, part.notes, part.label, part)

    def costs(self, request: Request, source: Source, *, cut: bool = False) -> list[Cost]:
        """As `Cutting.costs`. **Reads:** coordinates."""
        return self._cutting.costs(*self._of_this(request, source), cut=cut)

    def told(self, member: Prepared) -> Prepared:
        """A `member` whose plan the log tells. **Reads:** nothing."""
        logger.info("Planned: %s", member.plan)
        for note in member.plan.notes:
            logger.warning("%s", note)
        self.services.deadline.check()
        return member

    def compare(self, member: Prepared) -> None:
        """Compare the store with sources of a `member`, once that is known not to be too large.

        Errors as `check_sources`. **Reads:** metadata of source files.
        """
        how = self.services.spot_check
        if how != "off" and self.store.location.kind is not ManifestFormat.GRANULES:
            with timed("compare"):
                check_sources(self.store, member.plan, self.found.access.fetcher, how)
        self.services.deadline.check()

    @property
    def _cutting(self) -> Cutting:
        return Cutting(
            self.store, self.services.limits, self.apart, self.found.by_region,
            self.services.layout,
        )  # fmt: skip

    def _of_this(self, request: Request, source: Source) -> tuple[Request, Source]:
        found = self.found
        if found.variables is not None:
            source = replace(source, variables=found.variables)
        return replace(
            request, granules=found.granules, from_stack=found.from_stack, periods=found.periods
        ), source

    def _part(self, plan: Plan, request: Request, source: Source) -> Part:
        found = self.found
        return Part(
            0, 1, plan.location, source, request, found.notes, found.label, found.by_region,
            found.access.recorded(), fingerprint=plan.fingerprint,
        )  # fmt: skip


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
