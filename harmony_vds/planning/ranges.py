"""A time range as positions along a time axis, in every CF calendar.

Edge rules. A step with bounds [t0, t1) meets the closed request [start, end] when t0 ≤ end and
t1 > start; a step without bounds, or whose bounds are missing or of no length, when start ≤ t ≤
end. A missing side is open; a step whose time is missing meets no request.

The request's dates are read in the axis's own calendar, by year, month and day. Steps are compared
as the numbers the store holds: the two sides of the request are encoded into the axis's units and
calendar, so that no step is decoded and none is rounded. Equal means to within a microsecond or
the rounding of doubles; for a number that single precision has rounded, to within that rounding,
but whole numbers and eighths stand as they are: a day's last second is not the next day. A date
that the calendar does not have, such as 29 February in years of 365 days, lies between the last
instant before it and the first instant after it, and is neither.
"""

import calendar
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import cftime
import numpy as np

from harmony_vds.errors import StoreError, UnsupportedError
from harmony_vds.model.arrays import Floats
from harmony_vds.model.extent import TimeRange
from harmony_vds.model.grid import Axis
from harmony_vds.model.selection import AxisSelection

_MOST_SHOWN = 3
_LONGEST_GAP_DAYS = 10
"""Days that a calendar leaves out in a row: 5 to 14 October 1582 in the standard one."""
_FIRST = datetime.min.replace(tzinfo=UTC)
_LAST = datetime.max.replace(tzinfo=UTC)
_UNIT_SECONDS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}


def select_times(axis: Axis, wanted: TimeRange) -> AxisSelection:
    """The steps of `axis` that meet `wanted`, in stored order.

    Raises
    ------
    StoreError
        The axis's units or calendar cannot be understood.

    **Reads:** nothing.
    """
    lowest, highest = step_edges(axis)
    inside = np.isfinite(axis.values)
    if wanted.end is not None:
        end, exists = encode(wanted.end, axis)
        slack = _slack(lowest, axis)
        inside &= (lowest <= end + slack) if exists else (lowest < end - slack)
    if wanted.start is not None:
        start, _ = encode(wanted.start, axis)
        slack = _slack(highest, axis)
        instant = highest <= lowest
        inside &= np.where(instant, highest >= start - slack, highest > start + slack)
    return AxisSelection.of_mask(inside)


def refuse_absent(axis: Axis, periods: Sequence[TimeRange]) -> None:
    """Raise where a granule of those that were selected has no step in their common store.

    Parameters
    ----------
    axis
        The store's times.
    periods
        The granules' times.

    Raises
    ------
    UnsupportedError
        One has none: it would be missing from the output without a word.

    **Reads:** nothing.
    """
    absent = [own for own in periods if len(select_times(axis, own)) == 0]
    if absent:
        covered = time_coverage(axis, AxisSelection.whole(axis.values.size)) or "no time"
        shown = ", ".join(map(str, absent[:_MOST_SHOWN]))
        raise UnsupportedError(
            f"The store has no step in {len(absent)} of the {len(periods)} times of the selected "
            f"granules ({shown}{', …' if len(absent) > _MOST_SHOWN else ''}): it covers {covered}. "
            "Select granules that it holds."
        )


def _slack(numbers: Floats, axis: Axis) -> Floats:
    """How far each number may be from the time that it means."""
    finite = np.nan_to_num(numbers, posinf=0.0, neginf=0.0)
    exact = np.maximum(np.spacing(np.abs(finite)), 1e-6 / _seconds_per_unit(axis.units))
    return np.where(finite % 0.125 == 0, exact, np.maximum(exact, axis.resolution / 2))


def step_edges(axis: Axis) -> tuple[Floats, Floats]:
    """Start and end of each step; both the time itself where a step has no bounds.

    **Reads:** nothing.
    """
    if axis.bounds is None:
        return axis.values, axis.values
    known = np.isfinite(axis.bounds).all(axis=1)
    return (
        np.where(known, axis.bounds.min(axis=1), axis.values),
        np.where(known, axis.bounds.max(axis=1), axis.values),
    )


def time_coverage(axis: Axis, kept: AxisSelection) -> TimeRange | None:
    """First and last instant of the kept steps, bounds included, in UTC; None if there are none.

    **Reads:** nothing.
    """
    positions = kept.positions
    lowest, highest = step_edges(axis)
    positions = positions[np.isfinite(axis.values[positions])]
    if positions.size == 0:
        return None
    return TimeRange(
        decode(float(lowest[positions].min()), axis), decode(float(highest[positions].max()), axis)
    )


def encode(moment: datetime, axis: Axis) -> tuple[float, bool]:
    """`moment` as a number in the units and calendar of `axis`, and whether it exists there.

    A moment on a day that the calendar does not have is given as the first instant after it.

    Raises
    ------
    StoreError
        The units or calendar cannot be understood.

    **Reads:** nothing.
    """
    there, exists = in_calendar(moment, axis)
    try:
        return float(cftime.date2num(there, axis.units, calendar=axis.calendar)), exists
    except (ValueError, OverflowError) as error:
        raise _not_understood(axis, error) from None


def in_calendar(moment: datetime, axis: Axis) -> tuple[cftime.datetime, bool]:
    """`moment` in the calendar of `axis`, and whether it exists there; as `encode`.

    **Reads:** nothing.
    """
    utc = moment.astimezone(UTC)
    clock = (utc.hour, utc.minute, utc.second, utc.microsecond)
    day, exists = utc, True
    for _ in range(_LONGEST_GAP_DAYS + 1):
        try:
            there = cftime.datetime(day.year, day.month, day.day, *clock, calendar=axis.calendar)
        except ValueError as error:
            reason = error
        else:
            return there, exists
        day, clock, exists = day + timedelta(days=1), (0, 0, 0, 0), False
    raise _not_understood(axis, reason)


def decode(number: float, axis: Axis) -> datetime:
    """The instant that `number` means on `axis`, as the nearest real UTC date of years 1 to 9999.

    **Reads:** nothing.
    """
    (there,) = dates(np.array([number]), axis)
    if not 1 <= there.year <= 9999:
        return _FIRST if there.year < 1 else _LAST
    day = min(there.day, calendar.monthrange(there.year, there.month)[1])
    return datetime(
        there.year, there.month, day, there.hour, there.minute, there.second, there.microsecond, UTC
    )


def dates(numbers: Floats, axis: Axis) -> list[cftime.datetime]:
    """The dates that `numbers` mean in the units and calendar of `axis`; errors as `encode`.

    **Reads:** nothing.
    """
    try:
        found = cftime.num2date(numbers, axis.units, calendar=axis.calendar)
    except (ValueError, OverflowError) as error:
        raise _not_understood(axis, error) from None
    return list(np.atleast_1d(found))


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
