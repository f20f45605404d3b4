"""How a store answers a request: in one output or in Parts, planned, priced, held to limits."""

import math
from dataclasses import dataclass, replace
from functools import partial

from harmony_vds.errors import UncutBoxError
from harmony_vds.model.blocks import ENCODING_BYTES, PARTS_BYTES, WINDOW_BYTES
from harmony_vds.model.formats import AS_STORED, Layout, Picture
from harmony_vds.model.limits import Limits
from harmony_vds.model.plan import Cost, Plan
from harmony_vds.model.request import Request, Source, Stretch
from harmony_vds.model.scratch import bytes_of_parts
from harmony_vds.model.store import VirtualStore
from harmony_vds.planning.hierarchy import Hierarchy
from harmony_vds.planning.narrowing import Narrowing
from harmony_vds.planning.parts import divides, in_parts
from harmony_vds.planning.planner import make_plan
from harmony_vds.planning.volume import check_volume, times_too_large


@dataclass(frozen=True, eq=False)
class Cutting:
    """One store, and what its outputs are held to."""

    store: VirtualStore
    """The open store."""
    limits: Limits
    """What a request may do."""
    apart: bool = False
    """Whether each output has a work item of its own."""
    by_region: bool = False
    """Whether the store was chosen for meeting the requested region, and need not be cut by it."""
    layout: Layout = AS_STORED
    """How outputs are laid out."""

    def plan(self, request: Request, source: Source) -> Plan:
        """The plan of all of a request; errors as `make_plan`. **Reads:** coordinates."""
        try:
            plan = make_plan(self.store, request, source)
        except UncutBoxError as error:
            if not self.by_region:
                raise
            plan = self._plan_whole(request, source, str(error))
        cost = plan.cost
        cost = replace(cost, peak_disk=round(plan.format.disk * cost.peak_disk))  # written twice
        layout = self.layout
        if request.synchronous:  # whoever waits gets exactly one file
            layout = replace(layout, beside="none")
        if request.is_map_image:
            picture: Picture = "transparent" if request.transparent else "opaque"
            layout = replace(layout, picture=picture, dpi=request.dpi)
        if layout.chunks_for != "store" and plan.format.is_chunked:
            cost = self._relaid(plan, cost)
        return replace(plan, layout=layout, cost=cost)

    def _relaid(self, plan: Plan, cost: Cost) -> Cost:
        """`cost` where chunks are put together from pieces of many others, which wait on disk."""
        hierarchy = Hierarchy(self.store)
        times = {own for path in plan.time_axes for own in hierarchy.dimensions(path)}
        kept = [plan.selection.get(own) for own in times]
        steps = [
            hierarchy.length(own) if cut is None else len(cut)
            for own, cut in zip(times, kept, strict=True)
        ]
        return relaid(cost, max(steps, default=1))

    def _plan_whole(self, request: Request, source: Source, reason: str) -> Plan:
        """The plan without the region, which chose the frame and cannot cut it."""
        plan = make_plan(self.store, replace(request, bbox=None, shape=None), source)
        region = "shape" if request.bbox is None else f"box {request.bbox}"
        reason = reason.partition("; ")[0].partition(". ")[0]  # without what one could ask instead
        remark = (
            f"The {region} chose this frame or granule by its record and does not cut "
            f"it: all of its rows and columns are here. {reason}."
        )
        return replace(plan, asked=request.parameters(source), notes=(remark, *plan.notes))

    def parts(
        self, plan: Plan, request: Request, source: Source, *, offering: bool = True
    ) -> list[tuple[Stretch | None, Plan]]:
        """The plans of the outputs, each within the limits.

        Parameters
        ----------
        plan, request, source
            All of what was asked.
        offering
            Whether a refusal offers smaller requests; not where other stores answer beside this.

        Raises
        ------
        TooLargeError
            The request is too large however it is cut.

        **Reads:** coordinates.
        """
        narrowing = Narrowing(
            self.store, request, source, plan,
            self.costs,
            None if plan.target is None else partial(self.costs, cut=True),
        )  # fmt: skip

        check = partial(
            check_volume, limits=self.limits, narrowing=narrowing if offering else None,
            apart=self.apart,
        )  # fmt: skip
        # By arithmetic first: cutting thousands of Parts to refuse them would take minutes.
        check(self._shares(plan, request))
        found = self._cut(request, source, plan)
        if len(found) > 1:
            check([own.cost for _, own in found])
        return found

    def costs(self, request: Request, source: Source, *, cut: bool = False) -> list[Cost]:
        """The price of each output of a request, however large.

        Errors as `make_plan`. **Reads:** coordinates.

        Parameters
        ----------
        request, source
            What is asked.
        cut
            Whether outputs are cut as they will be, and not taken for equal shares.
        """
        if cut:
            return [own.cost for _, own in self._cut(request, source)]
        return self._shares(self.plan(request, source), request)

    def _cut(
        self, request: Request, source: Source, plan: Plan | None = None
    ) -> list[tuple[Stretch | None, Plan]]:
        """The plans of the outputs, however large."""
        plan = plan or self.plan(request, source)
        if not self._is_cut(plan, request):
            return [(None, plan)]
        return in_parts(
            plan,
            self.store,
            lambda cost: times_too_large(cost, self.limits, apart=self.apart),
            lambda own: self.plan(replace(request, stretch=own), source),
        )

    def _is_cut(self, plan: Plan, request: Request) -> bool:
        """Whether the request comes out in Parts; not where it has to be one file."""
        together = request.synchronous or request.average == "time"
        if together or request.stretch is not None:
            return False
        factor = times_too_large(plan.cost, self.limits, apart=self.apart)
        return factor > 1 and divides(plan, self.store, factor)

    def _shares(self, plan: Plan, request: Request) -> list[Cost]:
        """The price of each output, as if all were equal."""
        factor = 1.0
        if self._is_cut(plan, request):
            factor = times_too_large(plan.cost, self.limits, apart=self.apart)
        return share(plan.cost, factor)


def relaid(cost: Cost, steps: int) -> Cost:
    """`cost` where chunks of up to so many `steps` are put together of pieces, which wait on disk.

    **Reads:** nothing.
    """
    return replace(
        cost,
        peak_disk=cost.peak_disk + cost.bytes_written,
        peak_memory=cost.peak_memory
        + bytes_of_parts(cost.bytes_written, steps)
        + min(cost.bytes_written, PARTS_BYTES + WINDOW_BYTES + ENCODING_BYTES),
    )


def share(cost: Cost, factor: float) -> list[Cost]:
    """`cost` in equal shares, each of them 1 / `factor` of it or less. **Reads:** nothing."""
    count = math.ceil(factor)
    return [_share(cost, number, count) for number in range(count)]


def _share(cost: Cost, number: int, count: int) -> Cost:
    def of(whole: int) -> int:
        return whole // count + (number < whole % count)

    return Cost(
        chunks=of(cost.chunks),
        requests=of(cost.requests),
        bytes_read=of(cost.bytes_read),
        bytes_decoded=of(cost.bytes_decoded),
        bytes_written=of(cost.bytes_written),
        peak_memory=cost.peak_memory,
        peak_disk=of(cost.peak_disk),
        missing=of(cost.missing),
        rows=of(cost.rows),
        computing=cost.computing / count,
    )
