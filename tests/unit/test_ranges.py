"""Time ranges: the cases that have a name."""

from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest

from harmony_vds.errors import StoreError
from harmony_vds.model.extent import TimeRange
from harmony_vds.model.grid import Axis, AxisKind
from harmony_vds.model.selection import AxisSelection
from harmony_vds.planning.ranges import decode, select_times, time_coverage


def axis(values, units="days since 2004-01-01", bounds=None, dtype="f8", calendar="standard"):
    stored = np.array(values, dtype)
    largest = np.nanmax(np.abs(stored), initial=1.0).astype(dtype if dtype[0] == "f" else "f8")
    return Axis("/time", "/time", AxisKind.T, stored.astype(float), units,
                float(np.spacing(largest)), None if bounds is None else np.array(bounds, float),
                calendar)  # fmt: skip


def at(*fields: int) -> datetime:
    return datetime(*fields, tzinfo=UTC)


def kept(own: Axis, start: datetime | None, end: datetime | None) -> list[int]:
    return select_times(own, TimeRange(start, end)).positions.tolist()


def test_both_ends_of_the_range_are_in() -> None:
    assert kept(axis([0, 1, 2, 3]), at(2004, 1, 2), at(2004, 1, 3)) == [1, 2]


def test_a_step_that_ends_where_the_range_starts_is_out_and_one_that_starts_where_it_ends_is_in():
    own = axis([0.5, 1.5, 2.5], bounds=[[0, 1], [1, 2], [2, 3]])
    assert kept(own, at(2004, 1, 2), at(2004, 1, 3)) == [1, 2]


def test_an_instant_inside_a_step_takes_that_step() -> None:
    own = axis([0.5, 1.5, 2.5], bounds=[[0, 1], [1, 2], [2, 3]])
    assert kept(own, at(2004, 1, 2, 6), at(2004, 1, 2, 6)) == [1]


def test_bounds_of_no_length_are_instants() -> None:
    own = axis([0, 1, 2], bounds=[[0, 0], [1, 1], [2, 2]])
    assert kept(own, at(2004, 1, 2), at(2004, 1, 3)) == [1, 2]


def test_a_step_whose_bounds_are_missing_counts_by_its_time() -> None:
    own = axis([0.5, 1.5, 2.5], bounds=[[0, 1], [np.nan, np.nan], [2, 3]])
    assert kept(own, at(2004, 1, 1, 18), at(2004, 1, 2, 11)) == [0]
    assert kept(own, at(2004, 1, 2, 11), at(2004, 1, 2, 13)) == [1]
    assert kept(own, at(2004, 1, 3, 18), None) == [2]


def test_missing_times_meet_no_range() -> None:
    assert kept(axis([np.nan, 1, np.nan]), None, None) == [1]


def test_the_last_second_of_a_day_is_not_the_next_day_in_single_precision() -> None:
    # A float32 holds days since 1601 to 22 minutes, but whole days exactly.
    days = (at(2004, 2, 29) - at(1601, 1, 1)).days
    own = axis([days - 1, days, days + 1], "days since 1601-01-01", dtype="f4")
    assert kept(own, at(2004, 2, 29), at(2004, 2, 29, 23, 59, 59)) == [1]


def test_times_rounded_to_single_precision_count_as_the_times_they_stand_for() -> None:
    hours = [10 + h / 24 for h in range(12)]
    own = axis(hours, dtype="f4")
    start, end = at(2004, 1, 11, 1), at(2004, 1, 11, 4)
    assert own.values[1] != hours[1]
    assert kept(own, start, end) == [1, 2, 3, 4]


def test_an_hour_as_a_fraction_of_a_day_meets_that_hour() -> None:
    own = axis([50000 + h / 24 for h in range(24)], "days since 1850-01-01")
    day = at(1850, 1, 1) + timedelta(days=50000)
    for hour in range(24):
        moment = day + timedelta(hours=hour)
        assert kept(own, moment, moment) == [hour]


@pytest.mark.parametrize("unit, per_second", [("seconds", 1), ("milliseconds", 1e3),
                                              ("microseconds", 1e6)])  # fmt: skip
def test_neighbouring_seconds_are_told_apart(unit: str, per_second: float) -> None:
    own = axis([s * per_second for s in (99, 100, 101)], f"{unit} since 2004-01-01")
    moment = at(2004, 1, 1, 0, 1, 40)
    assert kept(own, moment, moment) == [1]


def test_time_zones_of_units_and_request_are_heeded() -> None:
    own = axis([0, 1, 2], "hours since 2004-01-01 00:00:00 +01:00")
    # 00:00 +01:00 is 23:00 UTC on the day before.
    assert kept(own, at(2003, 12, 31, 23), at(2003, 12, 31, 23)) == [0]
    west = timezone(timedelta(hours=-5))
    asked = datetime(2003, 12, 31, 19, tzinfo=west)  # midnight UTC
    assert kept(own, asked, asked) == [1]


@pytest.mark.parametrize("calendar, step", [("noleap", 59), ("360_day", None)])
def test_a_day_that_the_calendar_lacks_lies_between_its_neighbours(calendar, step) -> None:
    if calendar == "noleap":  # 28 February 2004 is day 58, 1 March day 59; 29 February is not there
        missing, before = at(2004, 2, 29, 12), 58
    else:  # 30 March is day 89, 1 April day 90; 31 March is not there
        missing, before = at(2004, 3, 31, 12), 89
    for dtype in ("i4", "f8", "f4"):
        own = axis([before, before + 1], calendar=calendar, dtype=dtype)
        assert kept(own, None, missing) == [0]
        assert kept(own, missing, None) == [1]
        assert kept(own, missing, missing) == []


def test_days_dropped_by_the_gregorian_reform_lie_between_the_4th_and_the_15th() -> None:
    own = axis([0, 1], "days since 1582-10-04")  # 4 and 15 October in the standard calendar
    assert kept(own, at(1582, 10, 10), None) == [1]
    assert kept(own, None, at(1582, 10, 10)) == [0]


@pytest.mark.parametrize("units, calendar", [("fortnights since 2004-01-01", "standard"),
                                             ("days since then", "standard"),
                                             ("days since 2004-01-01", "mayan")])  # fmt: skip
def test_units_and_calendars_that_mean_nothing_are_named(units: str, calendar: str) -> None:
    own = axis([0, 1], units, calendar=calendar)
    with pytest.raises(StoreError, match="/time cannot be understood") as caught:
        kept(own, at(2004, 1, 1), None)
    assert units in str(caught.value)
    assert calendar in str(caught.value)
    with pytest.raises(StoreError, match="/time cannot be understood"):
        decode(0.0, own)


def test_coverage_of_nothing_is_nothing() -> None:
    assert time_coverage(axis([np.nan, np.nan]), AxisSelection.whole(2)) is None
    assert time_coverage(axis([0, 1]), AxisSelection(2, ())) is None


def test_coverage_takes_bounds_in() -> None:
    own = axis([0.5, 1.5], bounds=[[0, 1], [1, 2]])
    covered = time_coverage(own, AxisSelection(2, (range(1, 2),)))
    assert covered == TimeRange(at(2004, 1, 2), at(2004, 1, 3))


def test_a_date_that_no_real_calendar_has_is_told_as_the_nearest() -> None:
    # 30 February of twelve months of thirty days is day 59 after 1 January.
    assert decode(59.0, axis([0], calendar="360_day")) == at(2004, 2, 29)
