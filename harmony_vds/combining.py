"""Combines what several stores of a collection hold into one output on a target grid."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from harmony_vds.cutting import relaid, share
from harmony_vds.errors import NoDataError, UnsupportedError
from harmony_vds.model.limits import Limits
from harmony_vds.model.plan import Cost, Plan
from harmony_vds.model.record import recorded
from harmony_vds.model.request import Request, Source, Stretch, TargetGrid
from harmony_vds.model.subset import Subset
from harmony_vds.opened import OpenedStore, labelled
from harmony_vds.outputs.write import refuse_unwritable
from harmony_vds.planning.combined import combined_plan, shared_target
from harmony_vds.planning.narrowing import Narrowing
from harmony_vds.planning.parts import cut_evenly, strips_of
from harmony_vds.planning.volume import check_volume, times_too_large
from harmony_vds.prepared import Prepared
from harmony_vds.transform.apply import apply_plan


@dataclass(frozen=True, eq=False)
class Combination:
    """Several open stores whose values go into one output, or one for each Part."""

    stores: Sequence[OpenedStore]
    """Them, the first of most account."""
    limits: Limits
    """What the request may do."""
    apart: bool
    """Whether each output has a work item of its own."""

    def prepared(self, whole: Prepared, *, offering: bool = True) -> list[Prepared]:
        """The outputs: `whole`, or strips of its grid from north to south.

        Parameters
        ----------
        whole
            All of what was asked as one output, by `together`.
        offering
            Whether a refusal offers smaller requests.

        Raises
        ------
        TooLargeError
            The request is too large however it is cut.

        **Reads:** coordinates.
        """
        assert whole.part is not None
        request = whole.part.request
        narrowing = Narrowing(
            whole.store, request, whole.source, whole.plan, self.costs,
            partial(self.costs, cut=True),
        )  # fmt: skip

        check = partial(
            check_volume, limits=self.limits, narrowing=narrowing if offering else None,
            apart=self.apart,
        )  # fmt: skip
        # By arithmetic first, as `Cutting.parts`.
        check(self._shares(whole.plan, request))
        parts = self._cut(whole, request)
        if len(parts) > 1:
            check([own.plan.cost for own in parts])
        opened = {id(own.store): own for own in self.stores}
        for own in whole.members:
            opened[id(own.store)].compare(own)
        return parts

    def costs(self, request: Request, source: Source, *, cut: bool = False) -> list[Cost]:
        """As `Cutting.costs`. **Reads:** coordinates."""
        whole = self._whole(request, source)
        if cut:
            return [own.plan.cost for own in self._cut(whole, request)]
        return self._shares(whole.plan, request)

    def _cut(self, whole: Prepared, request: Request) -> list[Prepared]:
        """The outputs, however large."""
        strips = self._strips(whole.plan, request)
        if len(strips) < 2:
            return [whole]
        found = cut_evenly(
            strips,
            self._times_too_large(whole.plan),
            lambda own: self._times_too_large(own.plan),
            lambda own: self._strip(whole, request, own),
        )
        return [_numbered(own, number, len(found)) for number, (_, own) in enumerate(found)]

    def _whole(self, request: Request, source: Source) -> Prepared:
        """All of what another request asks as one output, however large."""
        members, outside = [], []
        for own in self.stores:
            try:
                members.append(own.member(request, source))
            except NoDataError as error:
                outside.append(error)
        if not members:
            raise outside[0]
        return self.together(members, request, source)

    def together(self, members: Sequence[Prepared], request: Request, source: Source) -> Prepared:
        """The one output of what each store gives by itself, however large.

        Raises
        ------
        UnsupportedError
            Variables, or positions along other dimensions, do not go together.

        **Reads:** coordinates.
        """
        assert request.target is not None
        targets = [own.plan.target for own in members if own.plan.target is not None]
        shared: TargetGrid | None = shared_target(targets, request.target)
        if shared is not None:
            opened = {id(own.store): own for own in self.stores}
            moved = replace(request, target=shared)
            members = [opened[id(own.store)].member(moved, source) for own in members]
        return combined(members, request, source)

    def _strip(self, whole: Prepared, request: Request, strip: Stretch) -> Prepared:
        opened = {id(own.store): own for own in self.stores}
        members = []
        for own in whole.members:
            assert own.part is not None
            asked = replace(own.part.request, stretch=strip)
            members.append(opened[id(own.store)].member(asked, own.source))
        return combined(members, replace(request, stretch=strip), whole.source)

    def _times_too_large(self, plan: Plan) -> float:
        return times_too_large(plan.cost, self.limits, apart=self.apart)

    def _strips(self, plan: Plan, request: Request) -> list[Stretch]:
        factor = self._times_too_large(plan)
        if request.synchronous or request.stretch is not None or factor <= 1:
            return []
        return strips_of(plan, factor)

    def _shares(self, plan: Plan, request: Request) -> list[Cost]:
        """The price of each output, as if all were equal."""
        is_cut = len(self._strips(plan, request)) > 1
        return share(plan.cost, self._times_too_large(plan) if is_cut else 1.0)


def _numbered(prepared: Prepared, index: int, of: int) -> Prepared:
    label = labelled("", prepared.plan, index, of)
    assert prepared.part is not None
    part = replace(prepared.part, index=index, of=of, label=label)
    return replace(prepared, label=label, part=part)


def combined(members: Sequence[Prepared], request: Request, source: Source) -> Prepared:
    """The one output of `members`, which lie on one target grid.

    Raises
    ------
    UnsupportedError
        Their variables, or their positions along other dimensions, do not go together.

    **Reads:** coordinates.
    """
    first = members[0]
    subset, notes = _mosaic(members)
    plan = combined_plan([own.plan for own in members], subset)
    plan = replace(
        plan, asked=request.parameters(source), record=recorded(request, source),
        notes=(*plan.notes, *notes), cost=_laid_out(plan, subset),
    )  # fmt: skip
    if plan.format.is_table or plan.format.per_variable:
        refuse_unwritable(subset, plan)
    part = first.part
    if part is not None:
        parts = tuple(own.part for own in members if own.part is not None)
        part = replace(
            part, index=0, of=1, request=request, source=source, label="", members=parts,
            fingerprint=plan.fingerprint,
        )  # fmt: skip
    return Prepared(source, first.store, plan, first.notes, "", part, members=tuple(members))


def _laid_out(plan: Plan, subset: Subset) -> Cost:
    """The price of `plan` with what its form and its chunks take of the disk."""
    cost = replace(plan.cost, peak_disk=round(plan.format.disk * plan.cost.bytes_written))
    if plan.layout.chunks_for == "store" or not plan.format.is_chunked:
        return cost
    steps = [
        size
        for own in subset.variables
        for dimension, size in zip(own.planned.dimensions, own.data.shape, strict=True)
        if dimension in subset.time_axes
    ]
    return relaid(cost, max(steps, default=1))


def subset_of(prepared: Prepared) -> Subset:
    """The variables of an output, lazy. **Reads:** nothing; coordinates of several stores."""
    if not prepared.members:
        return apply_plan(prepared.store, prepared.plan)
    return _mosaic(prepared.members)[0]


def _mosaic(members: Sequence[Prepared]) -> tuple[Subset, list[str]]:
    # Imported here: few requests combine stores.
    from harmony_vds.transform.mosaic import mosaic

    target = members[0].plan.target
    if target is None:
        raise UnsupportedError("Stores are combined on a target grid alone; ask for one.")
    names = [own.label or own.plan.location.shown for own in members]
    return mosaic([apply_plan(own.store, own.plan) for own in members], names, target)
