"""Boxes and times of a request, validated."""

from datetime import UTC, datetime

import pytest

from harmony_vds.errors import RequestError
from harmony_vds.model.extent import BoundingBox, TimeRange


@pytest.mark.parametrize(
    "edges, told",
    [
        ((float("nan"), 0, 1, 1), "not a number"),
        ((0, 0, float("inf"), 1), "not a number"),
        ((0, 10, 1, 5), "order is west, south, east, north"),
        ((0, 95, 1, 99), "poles"),
        ((0, -99, 1, -95), "poles"),
        ((721, 0, 722, 1), "two turns"),
    ],
)
def test_an_unusable_box_is_refused_with_its_numbers(edges: tuple, told: str) -> None:
    with pytest.raises(RequestError, match=told) as caught:
        BoundingBox(*edges)
    assert f"{edges[0]:g}, {edges[1]:g}, {edges[2]:g}, {edges[3]:g}" in str(caught.value)


def test_a_time_range_that_ends_before_it_starts_is_refused() -> None:
    with pytest.raises(RequestError, match="2020-01-02T00:00:00Z/2020-01-01T00:00:00Z"):
        TimeRange(datetime(2020, 1, 2, tzinfo=UTC), datetime(2020, 1, 1, tzinfo=UTC))


def test_open_sides_are_told() -> None:
    start = datetime(2020, 1, 2, tzinfo=UTC)
    assert str(TimeRange(start)) == "2020-01-02T00:00:00Z/.."
    assert TimeRange(start).is_open
    assert not TimeRange(start, start).is_open
