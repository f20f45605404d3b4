"""Combines what several stores of a collection hold into one output on a target grid."""

from collections.abc import Sequence
from dataclasses import replace

from harmony_vds.errors import UnsupportedError
from harmony_vds.model.record import recorded
from harmony_vds.model.request import Request, Source, TargetGrid
from harmony_vds.model.subset import Subset
from harmony_vds.outputs.write import refuse_unwritable
from harmony_vds.planning.combined import combined_plan, shared_target
from harmony_vds.prepared import Prepared
from harmony_vds.transform.apply import apply_plan


def targets_shared(members: Sequence[Prepared], asked: TargetGrid) -> TargetGrid | None:
    """The grid on which all of `members` are to be planned; None where they are on one already.

    **Reads:** nothing.
    """
    targets = [own.plan.target for own in members if own.plan.target is not None]
    return shared_target(targets, asked)


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
        notes=(*plan.notes, *notes),
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
