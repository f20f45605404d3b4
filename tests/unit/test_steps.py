"""Which steps of a time axis are kept: by months, by climatologies, in odd orders; the nearest."""

from datetime import UTC, datetime

import cftime
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harmony_vds.errors import NoDataError, StoreError
from harmony_vds.model.extent import TimeRange
from harmony_vds.model.grid import Axis, AxisKind
from harmony_vds.model.request import Request
from harmony_vds.model.selection import AxisSelection
from harmony_vds.planning.latest import latest_step
from harmony_vds.planning.steps import in_months, is_interrupted, kept_steps, remarks

CALENDARS = ("standard", "noleap", "360_day", "julian")
UNITS = "hours since 1999-12-01"


def axis_of(numbers, calendar="standard", units=UNITS, **more) -> Axis:
    values = np.array(numbers, float)
    return Axis("/time", "/time", AxisKind.T, values, units, 1e-9, calendar=calendar, **more)


def request(start=None, end=None, months=()) -> Request:
    moments = (None if own is None else datetime(*own, tzinfo=UTC) for own in (start, end))
    asked = TimeRange(*moments) if start or end else None
    return Request((), temporal=asked, months=tuple(months))


def normals(first_year=1971, last_year=2000, units="days since 1971-01-01") -> Axis:
    """Monthly normals: a step at the middle of each month of the first year."""
    months = np.arange(1, 13)
    starts = [cftime.datetime(first_year, m, 1) for m in months]
    ends = [cftime.datetime(last_year + m // 12, m % 12 + 1, 1) for m in months]
    bounds = np.stack([cftime.date2num(own, units) for own in (starts, ends)], axis=1).astype(float)
    return axis_of(bounds[:, 0] + 14, units=units, bounds=bounds, is_climatology=True)


@given(
    st.sampled_from(CALENDARS),
    st.lists(st.integers(0, 30_000), min_size=1, max_size=30),
    st.sets(st.integers(1, 12), min_size=1),
    st.booleans(),
)
def test_months_keep_the_steps_whose_middle_lies_in_them_in_every_calendar(
    calendar, hours, months, bounded
):
    bounds = np.array([[h, h + 24.0] for h in hours]) if bounded else None
    axis = axis_of(hours, calendar, bounds=bounds)
    middles = [h + 12 if bounded else h for h in hours]
    dates = cftime.num2date(middles, UNITS, calendar=calendar)
    assert in_months(axis, months).tolist() == [date.month in months for date in dates]


@given(st.sets(st.integers(1, 12)), st.sets(st.integers(1, 12)))
def test_months_apart_are_all_that_they_are_together(one, other):
    axis = axis_of(np.arange(0, 20_000, 300))
    both = in_months(axis, one) | in_months(axis, other)
    np.testing.assert_array_equal(in_months(axis, one | other), both)
    assert in_months(axis, range(1, 13)).all()


def test_a_step_without_time_is_of_no_month():
    assert in_months(axis_of([np.nan, 0]), [12]).tolist() == [False, True]


def test_months_and_a_time_range_keep_what_meets_both():
    axis = axis_of(np.arange(0, 24 * 800, 24))  # days from 1999-12-01 on
    kept = kept_steps(axis, request((2000, 1, 15), (2001, 1, 10), months=[12, 1]))
    dates = cftime.num2date(axis.values[kept.positions], UNITS)
    assert {(d.year, d.month) for d in dates} == {(2000, 1), (2000, 12), (2001, 1)}
    assert len(kept) == 17 + 31 + 10


def test_seasons_of_several_years_are_interrupted_and_one_season_is_not():
    axis = axis_of(np.arange(0, 24 * 800, 24))
    assert is_interrupted(axis, request(months=[12, 1, 2]))
    assert not is_interrupted(axis, request((1999, 12, 1), (2000, 2, 29), months=[12, 1, 2]))
    assert not is_interrupted(axis, request(months=range(1, 13)))
    assert not is_interrupted(axis, request((1999, 12, 1), (2001, 2, 28)))


def test_time_range_meets_the_months_of_a_climatology_and_not_all_its_years():
    axis = normals()
    kept = kept_steps(axis, request((1985, 6, 10), (1985, 7, 2)))
    assert kept.positions.tolist() == [5, 6]
    assert len(kept_steps(axis, request((1985, 6, 10), (1986, 6, 10)))) == 12
    assert kept_steps(axis, request((1999, 12, 31), (2000, 1, 1))).positions.tolist() == [0, 11]
    assert kept_steps(axis, request(months=[2])).positions.tolist() == [1]
    with pytest.raises(NoDataError, match=r"1971-01-01.*2001-01-01"):
        kept_steps(axis, request((2010, 6, 1), (2010, 7, 1)))


def test_climatology_within_a_year_means_the_time_between_its_bounds():
    bounds = np.array([[0.0, 24 * 31], [24 * 31, 24 * 62]])
    axis = axis_of([12, 24 * 31 + 12], bounds=bounds, is_climatology=True)
    assert kept_steps(axis, request((2000, 1, 5), (2000, 1, 6))).positions.tolist() == [1]


def test_season_across_new_year_of_a_climatology_is_met_on_both_sides():
    units = "days since 1970-01-01"
    edges = [cftime.datetime(1970, 12, 1), cftime.datetime(2000, 3, 1)]
    bounds = np.array([cftime.date2num(edges, units)], float)
    axis = axis_of([30], units=units, bounds=bounds, is_climatology=True)
    for day in ((1980, 12, 20), (1981, 2, 20)):
        assert len(kept_steps(axis, request(day, day))) == 1
    with pytest.raises(NoDataError):
        kept_steps(axis, request((1981, 3, 2), (1981, 11, 30)))


def test_a_range_between_steps_tells_the_nearest_on_both_sides():
    axis = axis_of([0, 240, 480], units="hours since 2000-01-01")
    with pytest.raises(
        NoDataError, match=r"steps are at 2000-01-01T00:00:00Z and 2000-01-11T00:00"
    ):
        kept_steps(axis, request((2000, 1, 3), (2000, 1, 4)))
    with pytest.raises(NoDataError, match=r"the nearest step is at 2000-01-21T00:00:00Z\.$"):
        kept_steps(axis, request((2000, 2, 3), (2000, 2, 4)))


def test_steps_in_no_order_are_found_and_stay_as_they_are_stored():
    axis = axis_of([48, 0, 24, 24, 96])
    kept = kept_steps(axis, request((1999, 12, 1), (1999, 12, 3)))
    assert kept.positions.tolist() == [0, 1, 2, 3]
    order, repeated = remarks(axis, kept)
    assert "in no order" in order
    assert repeated.startswith("1 of the 4 steps of time have the time of another")


@pytest.mark.parametrize("numbers", [[0, 1, 2], [2, 1, 0], [5], [], [0, np.nan, 1]])
def test_steps_in_order_call_for_no_remark(numbers):
    axis = axis_of(numbers)
    whole = kept_steps(axis, request((1, 1, 1), None)) if numbers else None
    assert whole is None or list(remarks(axis, whole)) == []


@pytest.mark.parametrize("asked", [request((2000, 1, 1), None), request(months=[1])])
def test_units_that_nobody_understands_are_refused_only_where_times_are_asked(asked):
    with pytest.raises(StoreError, match=r"fortnights since.*Ask without a time range"):
        kept_steps(axis_of([0, 1], units="fortnights since 2000-01-01"), asked)


def test_latest_step_is_that_of_the_latest_time_in_whatever_order_they_are_stored():
    axis = axis_of([48, 96, np.nan, 24])
    chosen, (remark,) = latest_step(axis, AxisSelection.whole(4))
    assert chosen.positions.tolist() == [1]
    assert "1999-12-05T00:00:00Z, the latest of the 4 steps of time" in remark
    of_some, _ = latest_step(axis, AxisSelection.of_mask(np.array([True, False, True, True])))
    assert of_some.positions.tolist() == [0]


def test_steps_that_share_the_latest_time_all_stay():
    chosen, _ = latest_step(axis_of([24, 48, 48]), AxisSelection.whole(3))
    assert chosen.positions.tolist() == [1, 2]
    unknown = AxisSelection.whole(2)
    assert latest_step(axis_of([np.nan, np.nan]), unknown) == (unknown, [])


def test_latest_step_is_found_also_where_its_units_mean_nothing():
    chosen, (remark,) = latest_step(axis_of([1, 7], units="ticks"), AxisSelection.whole(2))
    assert chosen.positions.tolist() == [1]
    assert "7 ticks" in remark
