"""The steps of a time axis that a request keeps, and what is to be said of them.

Steps stay in the order in which they are stored, whatever that is, and those that have the same
time all stay; the output says so. A step is of the month in which its middle lies, in the axis's
own calendar; a climatological step in which its part of the first year has its middle.
"""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime

import numpy as np

from harmony_vds.errors import NoDataError
from harmony_vds.model.arrays import Flags
from harmony_vds.model.extent import TimeRange
from harmony_vds.model.grid import Axis
from harmony_vds.model.request import Request
from harmony_vds.model.selection import AxisSelection
from harmony_vds.planning.climatology import first_parts, meeting
from harmony_vds.planning.ranges import (
    dates,
    decode,
    encode,
    select_times,
    step_edges,
    time_coverage,
)


def kept_steps(axis: Axis, request: Request) -> AxisSelection:
    """The steps of `axis` that meet the request's time range, granules and months.

    Raises
    ------
    NoDataError
        There are none; the text tells what the store covers and which steps are nearest.
    StoreError
        The axis's units or calendar cannot be understood.

    **Reads:** nothing.
    """
    inside = _in_time(axis, request.temporal, request.periods)
    if request.months:
        inside &= in_months(axis, request.months)
    if not inside.any():
        raise NoDataError(_nothing(axis, request))
    return AxisSelection.of_mask(inside)


def is_interrupted(axis: Axis, request: Request) -> bool:
    """Whether `kept_steps` keeps parts of several years, and not all that is between them.

    **Reads:** nothing.
    """
    if not request.months:
        return False
    inside = _in_time(axis, request.temporal, request.periods)
    kept = inside & in_months(axis, request.months)
    if not kept.any():
        return False
    lowest, highest = step_edges(axis)
    first, last = float(lowest[kept].min()), float(highest[kept].max())
    between = inside & ~kept & (lowest > first) & (highest < last)
    start, end = dates(np.array([first, last]), axis)
    return bool(between.any()) and (end - start).days >= 365


def in_months(axis: Axis, months: Collection[int]) -> Flags:
    """Which steps lie in calendar months, 1 to 12; none whose time is missing.

    **Reads:** nothing.
    """
    if axis.is_climatology:
        parts = first_parts(axis)
        found = [0 if own is None else (own[0] + (own[1] - own[0]) / 2).month for own in parts]
        return np.isin(np.array(found), list(months))
    lowest, highest = step_edges(axis)
    middles = (lowest + highest) / 2
    inside = np.zeros(axis.values.size, np.bool_)
    known = np.flatnonzero(np.isfinite(axis.values) & np.isfinite(middles))
    inside[known] = np.isin([own.month for own in dates(middles[known], axis)], list(months))
    return inside


def remarks(axis: Axis, kept: AxisSelection) -> Iterator[str]:
    """What the user should know of the order of the kept steps. **Reads:** nothing."""
    times = axis.values[kept.positions]
    times = times[np.isfinite(times)]
    steps, name = np.diff(times), axis.path.lstrip("/")
    if (steps < 0).any() and (steps > 0).any():
        yield f"The times of {name} are in no order; the steps come as they are stored."
    repeated = times.size - np.unique(times).size
    if repeated:
        yield (
            f"{repeated:,} of the {times.size:,} steps of {name} have the time of another; all of "
            "them are kept, as they are stored."
        )


def _in_time(axis: Axis, wanted: TimeRange | None, periods: Sequence[TimeRange]) -> Flags:
    inside = np.ones(axis.values.size, np.bool_)
    if wanted is not None:
        inside &= _meeting(axis, wanted)
    if periods:
        inside &= np.logical_or.reduce([_meeting(axis, own) for own in periods])
    return inside


def _meeting(axis: Axis, wanted: TimeRange) -> Flags:
    if axis.is_climatology:
        return meeting(axis, wanted)
    mask = np.zeros(axis.values.size, np.bool_)
    mask[select_times(axis, wanted).positions] = True
    return mask


def _nothing(axis: Axis, request: Request) -> str:
    wanted, periods, months = request.temporal, request.periods, request.months
    asked = [f"the time range {wanted}"] if wanted is not None else []
    asked += [f"the times of the {len(periods)} selected granules"] if periods else []
    asked += [f"the months {', '.join(map(str, months))}"] if months else []
    covered = time_coverage(axis, AxisSelection.whole(axis.values.size)) or "no time"
    near = _nearest(axis, wanted) if wanted is not None else []
    told = [own.isoformat().replace("+00:00", "Z") for own in near]
    nearest = f"; the nearest steps are at {' and '.join(told)}" if len(told) == 2 else (
        f"; the nearest step is at {told[0]}" if told else "")  # fmt: skip
    return f"No data lie in {' and '.join(asked)}: the store covers {covered}{nearest}."


def _nearest(axis: Axis, wanted: TimeRange) -> list[datetime]:
    """The times of the last step before `wanted` and of the first one after it, if there are."""
    known = axis.values[np.isfinite(axis.values)]
    found = []
    if wanted.start is not None:
        before = known[known <= encode(wanted.start, axis)[0]]
        found += [decode(float(before.max()), axis)] if before.size else []
    if wanted.end is not None:
        after = known[known >= encode(wanted.end, axis)[0]]
        found += [decode(float(after.min()), axis)] if after.size else []
    return found
