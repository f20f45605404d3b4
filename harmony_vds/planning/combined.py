"""One plan for the stores of several tiles, frames or granules that go onto one target grid.

The stores stand in the order of their names. Where several have a value at a place and time, that
of the first counts. Without an extent the grid covers what all of them cover, in the reference
system and in cells of the first, which it continues: tiles of one system come out cell by cell.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

from harmony_vds.model.extent import TimeRange
from harmony_vds.model.listing import listed
from harmony_vds.model.maps import transformation
from harmony_vds.model.plan import Cost, Plan
from harmony_vds.model.request import TargetGrid
from harmony_vds.model.subset import Subset
from harmony_vds.model.target import TURN, TargetPlan
from harmony_vds.model.warp_blocks import BLOCK_BYTES

_CLOSE = 1e-6
_DENSE = 51
_AT_ONCE = 16
"""Blocks, and what tells which of their cells are filled, that are held at once."""
_SHOWN = 4


def shared_target(targets: Sequence[TargetPlan], asked: TargetGrid) -> TargetGrid | None:
    """The grid for all of `targets`, in full; None where they are one already.

    **Reads:** nothing.
    """
    first = targets[0]
    alike = {(own.crs, own.transform, own.shape) for own in targets}
    if len(alike) == 1:
        return None
    extents = [_extent(own, first) for own in targets]
    same = [own for own in targets if own.crs == first.crs]
    wide = min(own.transform[0] for own in same)
    tall = min(-own.transform[4] for own in same)
    left, _, _, top = first.extent
    x0, y0 = min(own[0] for own in extents), min(own[1] for own in extents)
    x1, y1 = max(own[2] for own in extents), max(own[3] for own in extents)
    if asked.scale_extent is None:
        x0, x1 = left - _cells(left - x0, wide) * wide, left + _cells(x1 - left, wide) * wide
        y0, y1 = top - _cells(top - y0, tall) * tall, top + _cells(y1 - top, tall) * tall
    return TargetGrid(
        first.crs, asked.interpolation, (x0, y0, x1, y1), None,
        asked.width or max(1, round((x1 - x0) / wide)),
        asked.height or max(1, round((y1 - y0) / tall)),
    )  # fmt: skip


def _cells(length: float, size: float) -> int:
    """Whole cells that reach as far as `length` or further."""
    return math.ceil(length / size - _CLOSE)


def _extent(target: TargetPlan, first: TargetPlan) -> tuple[float, float, float, float]:
    """The extent of a target in the reference system, and the turn, of the first."""
    x0, y0, x1, y1 = target.extent
    if target.crs != first.crs:
        way = transformation(target.crs, first.crs)
        x0, y0, x1, y1 = way.transform_bounds(x0, y0, x1, y1, densify_pts=_DENSE)
    if first.dimensions[1].startswith("/lon"):
        middle = (first.extent[0] + first.extent[2]) / 2
        turn = TURN * round((middle - (x0 + x1) / 2) / TURN)
        x0, x1 = x0 + turn, x1 + turn
    return x0, y0, x1, y1


def combined_plan(plans: Sequence[Plan], subset: Subset) -> Plan:
    """The plan of the one output of several, whose values `subset` has.

    **Reads:** nothing.
    """
    first, *others = plans
    variables = {own.path: own for plan in reversed(plans) for own in plan.variables}
    held = {own.planned.path for own in subset.variables}
    target = first.target
    assert target is not None
    picked = frozenset[str]().union(*(own.target.picked for own in plans if own.target))
    stores = listed([own.location.shown for own in plans], _SHOWN)
    rule = (
        f"Values of {len(plans)} stores are combined ({stores}); where several have one, "
        "that of the first counts."
    )
    notes = dict.fromkeys([rule, *(note for plan in plans for note in plan.notes)])
    return replace(
        first,
        variables=tuple(own for path, own in variables.items() if path in held),
        time_axes=tuple(dict.fromkeys(path for plan in plans for path in plan.time_axes)),
        coverage=_coverage(plans),
        target=replace(target, picked=picked),
        notes=tuple(notes),
        cost=_cost([own.cost for own in plans], subset),
        beside=tuple(others),
    )


def _coverage(plans: Sequence[Plan]) -> TimeRange | None:
    known = [own.coverage for own in plans if own.coverage is not None]
    starts = [own.start for own in known if own.start is not None]
    ends = [own.end for own in known if own.end is not None]
    return TimeRange(min(starts), max(ends)) if starts and ends else None


def _cost(costs: Sequence[Cost], subset: Subset) -> Cost:
    written = sum(own.data.size * own.data.dtype.itemsize for own in subset.variables)
    return Cost(
        chunks=sum(own.chunks for own in costs),
        requests=sum(own.requests for own in costs),
        bytes_read=sum(own.bytes_read for own in costs),
        bytes_decoded=sum(own.bytes_decoded for own in costs),
        bytes_written=written,
        peak_memory=max(own.peak_memory for own in costs) + _AT_ONCE * min(BLOCK_BYTES, written),
        peak_disk=written,
        missing=sum(own.missing for own in costs),
    )
