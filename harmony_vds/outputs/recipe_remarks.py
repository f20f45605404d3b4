"""What the lines of a recipe leave out of an output, and why, as comments at its end."""

from collections.abc import Iterator
from collections.abc import Set as AbstractSet

from harmony_vds.model.average import AverageKind
from harmony_vds.model.paths import group_of
from harmony_vds.model.plan import Plan, counted
from harmony_vds.model.swath import Swath


def remarks(plan: Plan, group: str, told: AbstractSet[str]) -> Iterator[str]:
    """Comments on what an output holds and the lines for `group` do not give.

    Parameters
    ----------
    plan
        Of the output.
    group
        Of the variables that the lines give.
    told
        Which steps the lines do: ``places``, ``masks``, ``average``, ``target``.

    **Reads:** nothing.
    """
    added = [own.path.lstrip("/") for own in plan.variables if own.is_added]
    if added:
        yield f"# The store lacks {', '.join(added[:6])}, which the output holds."
    others = sorted({group_of(path) for path in plan.requested} - {group})
    if others:
        yield f"# The output also holds variables of {', '.join(others[:4])}."
    if plan.cost.missing and "average" in told:
        yield f"# The manifest lacks {counted(plan.cost.missing, 'chunk')}. In the output they"
        yield "# weigh nothing; here they do where what fills them is not marked as missing."
    if plan.placements and "places" in told:
        yield "# The output also says where places were asked for, and how far their cells are."
    asked = {
        "places": bool(plan.placements), "masks": bool(plan.masks),
        "average": plan.average is not None, "target": plan.target is not None,
    }  # fmt: skip
    left_out = [step for step, is_asked in asked.items() if is_asked and step not in told]
    for step in left_out:
        yield from _WORDS[step](plan)
    if left_out:
        yield "# harmony-vds rerun FILE makes the output again."


def _places(plan: Plan) -> Iterator[str]:
    count = sum(map(len, plan.placements))
    yield f"# The output then takes the cells at {counted(count, 'place')}, too many to list."


def _masks(plan: Plan) -> Iterator[str]:
    yield "# In the output, cells outside of the requested region hold fill values."
    if len(plan.masks) > 1:
        yield "# They lie on several grids."
    elif "shape" in plan.asked:
        yield "# The shape had to be mended or turned, or is too long to be kept, or cells have"
        yield "# no places or times of their own that are stored beside them."


def _average(plan: Plan) -> Iterator[str]:
    assert plan.average is not None
    yield f"# The output then averages this over {plan.average.kind}."
    if plan.average.kind is AverageKind.AREA:
        yield "# What each cell weighs takes more than a few lines: cells have four corners"
        yield "# of their own, lie between uneven parallels, or on several grids."


def _target(plan: Plan) -> Iterator[str]:
    assert plan.target is not None
    yield f"# The output then puts this on another grid ({plan.target.resampling})."
    if plan.target.strip is not None:
        first, stop = plan.target.strip
        yield f"# It holds rows {first} to {stop - 1} of that grid, counted from 0."
    if plan.beside:
        yield f"# It holds the same of {len(plan.beside)} more stores, named in virtual_store,"
        yield "# where those before them have no value: each takes lines of its own."
    elif plan.target.resampling.is_kernel and any(
        isinstance(own, Swath) for own in plan.target.sources
    ):
        yield "# Which four cells of a swath lie around a place takes a search of its own."


_WORDS = {"places": _places, "masks": _masks, "average": _average, "target": _target}
"""What is left out with each step."""
