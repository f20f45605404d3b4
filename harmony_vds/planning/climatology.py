"""Steps that stand for the same part of several years: climatologies (CF 7.4).

The ``climatology`` bounds of such a step tell the start of its part in the first year and the end
of it in the last. January of 1971 to 2000 has 1971-01-01 and 2000-02-01: it means thirty Januaries,
not thirty years. A time range meets the step if it meets one of them. Where the two bounds lie
within a year, the step means the time between them.
"""

import cftime
import numpy as np
import numpy.typing as npt

from harmony_vds.errors import StoreError
from harmony_vds.model.extent import TimeRange
from harmony_vds.model.grid import Axis
from harmony_vds.planning.ranges import dates, in_calendar

type Moment = cftime.datetime
type Part = tuple[Moment, Moment]
"""Start and end; the end is not in it."""

_MOST_YEARS = 1_000


def meeting(axis: Axis, wanted: TimeRange) -> npt.NDArray[np.bool_]:
    """Which steps of a climatological `axis` meet the closed range `wanted`.

    Raises
    ------
    StoreError
        The axis's units or calendar cannot be understood, or a step spans a thousand years.

    **Reads:** nothing.
    """
    start, end = (
        None if own is None else in_calendar(own, axis)[0] for own in (wanted.start, wanted.end)
    )

    def is_met(part: Part) -> bool:
        return (end is None or part[0] <= end) and (start is None or part[1] > start)

    return np.array([any(map(is_met, own)) for own in _parts(axis)], np.bool_)


def first_parts(axis: Axis) -> list[Part | None]:
    """What each step means of its first year; None where that is not known. Errors as `meeting`.

    **Reads:** nothing.
    """
    return [own[0] if own else None for own in _parts(axis)]


def _parts(axis: Axis) -> list[list[Part]]:
    """For each step its part of every year; none where its bounds are missing."""
    found: list[list[Part]] = []
    assert axis.bounds is not None
    for pair in axis.bounds:
        if not np.isfinite(pair).all():
            found.append([])
            continue
        start, end = dates(np.sort(pair), axis)
        years = end.year - start.year
        years -= _years_on(start, years) >= end
        if years > _MOST_YEARS:
            raise StoreError(
                f"A step of the climatology {axis.path} spans {years:,} years, from {start} to "
                f"{end}. Ask without a time range, or have the publisher correct it."
            )
        first = _years_on(end, -years)
        found.append([(_years_on(start, n), _years_on(first, n)) for n in range(years + 1)])
    return found


def _years_on(moment: Moment, years: int) -> Moment:
    """The same moment of another year; the last of February for a day that it does not have."""
    try:
        return moment.replace(year=moment.year + years)
    except ValueError:
        return moment.replace(year=moment.year + years, day=28)
