"""Times of granules as ranges that pick steps: which sides belong to them."""

from datetime import UTC, datetime, timedelta

import pytest

from harmony_vds.discovery.periods import periods_of
from harmony_vds.model.extent import TimeRange

LESS = timedelta(milliseconds=1)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def span(start: str, end: str) -> TimeRange:
    return TimeRange(at(start), at(end))


@pytest.mark.parametrize(
    "own",
    [
        span("2020-01-01T00:00:00", "2020-01-01T23:59:59"),  # a day to its last second
        span("2020-01-01T00:00:00", "2020-01-01T18:00:00"),  # first to last step
        span("2020-01-01T12:00:00", "2020-01-01T12:00:00"),  # an instant
        span("2020-01-01T00:00:00", "2020-01-01T00:00:00"),
    ],
)
def test_range_that_nothing_follows_is_closed(own: TimeRange) -> None:
    assert periods_of([own]) == (own,)


def test_range_from_midnight_to_midnight_leaves_the_next_day_out() -> None:
    (found,) = periods_of([span("2020-01-01", "2020-01-02")])
    assert (found.start, found.end) == (at("2020-01-01"), at("2020-01-02") - LESS)


def test_range_that_another_granule_follows_leaves_its_start_out() -> None:
    hours = [
        span("2020-01-01T00:30", "2020-01-01T01:30"),
        span("2020-01-01T01:30", "2020-01-01T02:30"),
    ]
    first, second = periods_of(hours)
    assert first.end == at("2020-01-01T01:30") - LESS
    assert second.end == at("2020-01-01T02:30")


def test_equal_ranges_are_told_once() -> None:
    own = span("2020-01-01T12:00", "2020-01-01T13:00")
    assert periods_of([own, own]) == (own,)
