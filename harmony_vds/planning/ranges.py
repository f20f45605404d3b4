"""A time range as positions along a time axis, in every CF calendar.

Edge rules. A step with bounds [t0, t1) meets the closed request [start, end] when t0 ≤ end and
t1 > start; a step without bounds when start ≤ t ≤ end. A missing side is open. Steps are compared
as the numbers the store holds: the two sides of the request are encoded into the axis's own units
and calendar, so that no step is decoded and none is rounded.
"""

import calendar
from datetime import UTC, datetime

import cftime
import numpy as np

from harmony_vds.errors import StoreError
from harmony_vds.model.extent import TimeRange
from harmony_vds.model.grid import Axis
from harmony_vds.model.selection import AxisSelection

_UNIT_SECONDS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}


def select_times(axis: Axis, wanted: TimeRange) -> AxisSelection:
    """The steps of `axis` that meet `wanted`, in stored order.

    Raises
    ------
    StoreError
        The axis's units or calendar cannot be understood.

    **Reads:** nothing.
    """
    lowest, highest = _bounds(axis)
    slack = max(axis.resolution / 2, 1e-6 / _seconds_per_unit(axis.units))
    inside = np.isfinite(axis.values)
    instant = highest <= lowest
    if wanted.end is not None:
        inside &= lowest <= encode(wanted.end, axis) + slack
    if wanted.start is not None:
        start = encode(wanted.start, axis)
        inside &= np.where(instant, highest >= start - slack, highest > start + slack)
    return AxisSelection.of_mask(inside)


def _bounds(axis: Axis) -> tuple[np.ndarray, np.ndarray]:
    if axis.bounds is None or not np.isfinite(axis.bounds).all():
        return axis.values, axis.values
    return axis.bounds.min(axis=1), axis.bounds.max(axis=1)


def time_coverage(axis: Axis, kept: AxisSelection) -> TimeRange | None:
    """First and last instant of the kept steps, bounds included, in UTC; None if there are none.

    **Reads:** nothing.
    """
    positions = kept.positions
    lowest, highest = _bounds(axis)
    positions = positions[np.isfinite(axis.values[positions])]
    if positions.size == 0:
        return None
    return TimeRange(
        decode(float(lowest[positions].min()), axis), decode(float(highest[positions].max()), axis)
    )


def encode(moment: datetime, axis: Axis) -> float:
    """`moment` as a number in the units and calendar of `axis`.

    A day that the calendar does not have, such as 31 January of twelve months of 30 days, counts
    as the last instant before the next month.

    Raises
    ------
    StoreError
        The units or calendar cannot be understood.

    **Reads:** nothing.
    """
    utc = moment.astimezone(UTC)
    fields = (utc.hour, utc.minute, utc.second, utc.microsecond)
    try:
        for day in range(utc.day, 27, -1):
            try:
                there = cftime.datetime(utc.year, utc.month, day, *fields, calendar=axis.calendar)
            except ValueError:
                fields = (23, 59, 59, 999_999)
                continue
            return float(cftime.date2num(there, axis.units, calendar=axis.calendar))
        there = cftime.datetime(utc.year, utc.month, utc.day, *fields, calendar=axis.calendar)
        return float(cftime.date2num(there, axis.units, calendar=axis.calendar))
    except ValueError as error:
        raise _not_understood(axis, error) from None


def decode(number: float, axis: Axis) -> datetime:
    """The instant that `number` means on `axis`, as the nearest real UTC date.

    **Reads:** nothing.
    """
    try:
        there = cftime.num2date(number, axis.units, calendar=axis.calendar)
    except (ValueError, OverflowError) as error:
        raise _not_understood(axis, error) from None
    year = min(max(there.year, 1), 9999)
    day = min(there.day, calendar.monthrange(year, there.month)[1])
    return datetime(
        year, there.month, day, there.hour, there.minute, there.second, there.microsecond, UTC
    )


def _seconds_per_unit(units: str) -> float:
    word = units.strip().lower()
    if word.startswith(("mil", "ms")):
        return 1e-3
    if word.startswith("mic"):
        return 1e-6
    return _UNIT_SECONDS.get(word[:1], 86400.0)


def _not_understood(axis: Axis, error: Exception) -> StoreError:
    return StoreError(
        f"The times of {axis.path} cannot be understood: units {axis.units!r}, calendar "
        f"{axis.calendar!r} ({error}). Ask without a time range, or have the publisher correct it."
    )
