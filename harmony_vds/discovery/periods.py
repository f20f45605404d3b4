"""The times of granules as ranges that pick their steps out of a store of many granules.

Records state a granule's time as two instants and do not say whether the second belongs to it. A
range whose end is the start of another of the granules, or that runs from midnight to midnight, is
half-open, [start, end): otherwise a day would bring the first step of the next. Any other is
closed, as ranges from first to last step are. A single instant is that instant.
"""

from collections.abc import Iterable
from datetime import datetime, time, timedelta

from harmony_vds.model.extent import TimeRange

_LESS = timedelta(milliseconds=1)
"""More than the rounding of any time axis, less than the step of any."""


def periods_of(times: Iterable[TimeRange]) -> tuple[TimeRange, ...]:
    """`times` of granules as closed ranges to the millisecond, without repetition.

    **Reads:** nothing.
    """
    listed = list(times)
    starts = {own.start for own in listed}
    return tuple(dict.fromkeys(_closed(own, starts) for own in listed))


def _closed(own: TimeRange, starts: set[datetime | None]) -> TimeRange:
    if own.start is None or own.end is None or own.start == own.end:
        return own
    midnights = own.start.time() == own.end.time() == time(0)
    if own.end in starts or midnights:
        return TimeRange(own.start, own.end - _LESS)
    return own
