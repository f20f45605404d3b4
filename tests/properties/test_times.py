"""Time ranges in every CF calendar against a brute-force oracle over decoded dates.

The oracle never touches numbers: it writes a step and the two sides of a request as (year, month,
day, hour, minute, second) and compares those, which any calendar orders rightly.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import cftime
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harmony_vds.model.extent import TimeRange
from harmony_vds.model.grid import Axis, AxisKind
from harmony_vds.model.selection import AxisSelection
from harmony_vds.planning.ranges import decode, encode, select_times, time_coverage

CALENDARS = ("standard", "proleptic_gregorian", "julian", "noleap", "all_leap", "360_day")
SECONDS = {"seconds": 1, "minutes": 60, "hours": 3600, "days": 86400}
EPOCHS = ("1850-01-01", "1990-01-01 00:00:00", "2004-02-28T12:00:00Z", "1601-01-01")

type Moment = tuple[int, int, int, int, int, int]


def fields(date: cftime.datetime | datetime) -> Moment:
    return (date.year, date.month, date.day, date.hour, date.minute, date.second)


@dataclass(frozen=True)
class Record:
    """A time axis and what its numbers mean, to the second."""

    axis: Axis
    starts: tuple[Moment | None, ...]
    ends: tuple[Moment | None, ...]


@st.composite
def records(draw: st.DrawFn, calendar: str, *, bounds: bool) -> Record:
    """Steps around the end of February 2004, whole in their units, in any order, some missing."""
    unit = draw(st.sampled_from(sorted(SECONDS)))
    units = f"{unit} since {draw(st.sampled_from(EPOCHS))}"
    dtype = draw(st.sampled_from(["f8", "i8", "f4"] if unit == "days" else ["f8", "i8"]))
    first = cftime.datetime(2004, 2, 26, 12, calendar=calendar)
    origin = round(float(cftime.date2num(first, units, calendar=calendar)))
    stride = draw(st.sampled_from([1, 2, 6, 12, 24])) if unit == "hours" else 1
    stride = {"seconds": 43200, "minutes": 360}.get(unit, stride)
    count = st.integers(0, 40 if unit == "days" else 12)
    numbers = draw(st.lists(count, min_size=1, max_size=10))
    low = np.array([origin + n * stride for n in numbers], dtype).astype(float)
    missing = draw(st.sampled_from([None, None, 0, len(numbers) - 1]))
    if missing is not None:
        low[missing] = np.nan
    edges = np.stack([low, low + stride], axis=1)
    if bounds and draw(st.booleans()):
        edges = edges[:, ::-1]  # some stores state the end first
    raw = np.nanmax(np.abs(low), initial=1.0)
    resolution = float(np.spacing(raw.astype(np.float32) if dtype == "f4" else raw))
    middle = low + stride / 2 if bounds else low
    axis = Axis("/time", "/time", AxisKind.T, middle, units, resolution,
                edges if bounds else None, calendar)  # fmt: skip

    def told(number: float) -> Moment | None:
        if np.isnan(number):
            return None
        return fields(cftime.num2date(number, units, calendar=calendar))

    starts = tuple(told(n) for n in low)
    return Record(axis, starts, tuple(told(n + stride) for n in low) if bounds else starts)


MOMENTS = st.one_of(
    st.integers(0, 38 * 86400).map(lambda s: datetime(2004, 2, 25) + timedelta(seconds=s)),
    st.sampled_from([
        datetime(2004, 2, 28), datetime(2004, 2, 28, 12), datetime(2004, 2, 29),
        datetime(2004, 2, 29, 23, 59, 59), datetime(2004, 3, 1), datetime(2004, 3, 2),
        datetime(2004, 3, 30), datetime(2004, 3, 31), datetime(2004, 3, 31, 12),
        datetime(2004, 4, 1), datetime(2004, 3, 1, 6),
    ]),
)  # fmt: skip


@st.composite
def ranges(draw: st.DrawFn) -> TimeRange:
    a, b = sorted(draw(MOMENTS).replace(tzinfo=UTC) for _ in range(2))
    kind = draw(st.sampled_from(["both", "both", "instant", "no start", "no end", "open"]))
    if kind == "instant":
        return TimeRange(a, a)
    return TimeRange(
        None if kind in ("no start", "open") else a, None if kind in ("no end", "open") else b
    )


def meets(start: Moment | None, end: Moment | None, wanted: TimeRange, *, bounds: bool) -> bool:
    """The documented rule, word for word; fields order dates even where a calendar lacks one."""
    if start is None or end is None:
        return False
    before_end = wanted.end is None or start <= fields(wanted.end)
    if wanted.start is None:
        return before_end
    asked = fields(wanted.start)
    return before_end and (end > asked if bounds else end >= asked)


def crosses_missing_day(moment: Moment, wanted: TimeRange, calendar: str) -> bool:
    """Whether a step ends right after the missing day on which the request starts."""
    if wanted.start is None:
        return False
    try:
        cftime.datetime(*fields(wanted.start), calendar=calendar)
    except ValueError:
        after = (wanted.start + timedelta(days=1)).replace(hour=0, minute=0, second=0)
        return moment == fields(after)
    return False


@pytest.mark.parametrize("calendar", CALENDARS)
@pytest.mark.parametrize("bounds", [False, True], ids=["instants", "bounds"])
def test_exactly_the_steps_that_meet_the_range_are_kept(calendar: str, bounds: bool) -> None:
    @given(record=records(calendar, bounds=bounds), wanted=ranges())
    def law(record: Record, wanted: TimeRange) -> None:
        expected = [
            i
            for i, (start, end) in enumerate(zip(record.starts, record.ends, strict=True))
            if meets(start, end, wanted, bounds=bounds)
            # A step that ends where a missing day would begin again does not reach into it.
            and not (bounds and end and crosses_missing_day(end, wanted, calendar))
        ]
        assert select_times(record.axis, wanted).positions.tolist() == expected

    law()


@pytest.mark.parametrize("calendar", CALENDARS)
@pytest.mark.parametrize("bounds", [False, True], ids=["instants", "bounds"])
def test_coverage_spans_the_kept_steps_and_selects_them_again(calendar: str, bounds: bool) -> None:
    @given(record=records(calendar, bounds=bounds), wanted=ranges())
    def law(record: Record, wanted: TimeRange) -> None:
        kept = select_times(record.axis, wanted)
        covered = time_coverage(record.axis, kept)
        if len(kept) == 0:
            assert covered is None
            return
        chosen = kept.positions.tolist()
        first = min(record.starts[i] for i in chosen)
        last = max(record.ends[i] for i in chosen)
        first, last = (
            (2004, 2, 29, *m[3:]) if m[:3] == (2004, 2, 30) else m for m in (first, last)
        )  # the nearest date that there is
        assert fields(covered.start) == first
        assert fields(covered.end) == last

    law()


@pytest.mark.parametrize("calendar", CALENDARS)
@pytest.mark.parametrize("unit", sorted(SECONDS))
def test_numbers_and_dates_turn_into_each_other(calendar: str, unit: str) -> None:
    axis = Axis("/time", "/time", AxisKind.T, np.zeros(1), f"{unit} since 1850-01-01", 1e-12,
                calendar=calendar)  # fmt: skip
    moments = st.datetimes(datetime(1850, 1, 1), datetime(2199, 12, 31)).filter(
        lambda m: m.day < 29
    )

    @given(moment=moments.filter(lambda m: m.day < 29))
    def law(moment: datetime) -> None:
        number, exists = encode(moment.replace(tzinfo=UTC), axis)
        assert exists
        apart = decode(number, axis) - moment.replace(tzinfo=UTC)
        assert abs(apart) <= timedelta(microseconds=4)  # days since 1850 in a double

    law()


@pytest.mark.parametrize("calendar", CALENDARS)
def test_a_narrower_range_never_keeps_a_step_that_a_wider_one_drops(calendar: str) -> None:
    @given(record=records(calendar, bounds=True), inner=ranges(), outer=ranges())
    def law(record: Record, inner: TimeRange, outer: TimeRange) -> None:
        starts = [r.start for r in (inner, outer)]
        ends = [r.end for r in (inner, outer)]
        wide = TimeRange(
            None if None in starts else min(starts), None if None in ends else max(ends)
        )
        kept = set(select_times(record.axis, inner).positions.tolist())
        assert kept <= set(select_times(record.axis, wide).positions.tolist())

    law()


def test_pieces_of_scattered_times_are_in_stored_order() -> None:
    values = np.array([5.0, 1.0, 9.0, 2.0, 3.0])
    axis = Axis("/time", "/time", AxisKind.T, values, "days since 2004-01-01", 1e-9)
    wanted = TimeRange(datetime(2004, 1, 1, tzinfo=UTC), datetime(2004, 1, 6, tzinfo=UTC))
    # Days 0 to 5 after 1 January: every value but the nine.
    assert select_times(axis, wanted) == AxisSelection(5, (range(2), range(3, 5)))
