"""Parts of stacks of granules, found by the names of files, or by times of whole granules."""

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from unit.test_grids import store_of

from harmony_vds.errors import NoDataError, UnsupportedError
from harmony_vds.model.extent import TimeRange
from harmony_vds.model.plan import Plan
from harmony_vds.model.request import Asset, Granule, Request, Source
from harmony_vds.planning.planner import make_plan

NAMES = ["P_003_a.nc", "P_001_a.nc", "P_002_a.nc", "P_001_b.nc", "P_002_a.nc"]
NOON = datetime(2024, 1, 2, 12, tzinfo=UTC)
DAY = TimeRange(NOON, NOON)


def planned(
    granules: tuple[Granule, ...], names: object = NAMES, name: str = "filename", **more: Any
) -> Plan:
    """A plan of a swath whose cells have their times, for `granules` of five in a stack."""
    steps = np.arange(5)
    hours = {"units": "hours since 2024-01-01", "standard_name": "time"}
    fields = {
        "height": (("part", "line", "pixel"), np.zeros((5, 4, 3), "f4"), {}),
        "time": (("part", "line"), steps[:, None] * 24.0 + np.arange(4), hours),
        name: (("part",), np.asarray(names), {}),
        "cycle": (("part",), steps, {}),
    }
    request = Request(
        (Source("", "S", variables=("height",)),), granules=granules, from_stack=True, **more
    )
    return make_plan(store_of({"/": fields}), request, request.sources[0])


def named(*names: str, **more: Any) -> tuple[Granule, ...]:
    return tuple(Granule("", name=name, **more) for name in names)


@pytest.mark.parametrize("name", ["filename", "source_file_name", "granule_ur"])
@pytest.mark.parametrize(
    ("granules", "positions"),
    [
        (named("P_001_a"), [1]),
        (named("P_001_b.nc", "P_003_a"), [0, 3]),
        (named("COLLECTION.06:P_003_a.nc"), [0]),
        (named("P_002_a"), [2, 4]),  # each part that is of the file
        ((Granule("", name="G1", assets=(Asset("https://h/x/P_003_a.nc?A=1"),)),), [0]),
        ((Granule("", assets=(Asset("https://h/a.png"), Asset("s3://b/P_001_a.nc"))),), [1]),
    ],
)
def test_parts_are_picked_by_the_names_of_their_files(
    granules: tuple[Granule, ...], positions: list[int], name: str
) -> None:
    plan = planned(granules, name=name)
    assert plan.selection["/part"].positions.tolist() == positions
    assert f"picked by {name}" in " ".join(plan.notes)


@pytest.mark.parametrize(
    "names",
    [np.array(NAMES, "S"), np.array(NAMES, object), [f"s3://b/2024/{own}" for own in NAMES],
     [own.removesuffix(".nc") for own in NAMES]],
    ids=["bytes", "objects", "addresses", "no-ending"],
)  # fmt: skip
def test_names_of_files_are_understood_in_every_form(names: object) -> None:
    plan = planned(named("P_001_a.nc"), names)
    assert plan.selection["/part"].positions.tolist() == [1]


@pytest.mark.parametrize(
    ("granules", "names", "name"),
    [
        (named("P_001_a", "P_009_a"), NAMES, "filename"),  # one of two is not there
        (named("P_001"), NAMES, "filename"),  # the beginning of a name is not the name
        (named("P_001_a"), NAMES, "comment"),
        (named(""), [""] * 5, "filename"),
        (named("SC:ATL03.005:256325263"), NAMES, "filename"),
        ((Granule("", assets=(Asset("https://h/x/"),)),), [""] * 5, "filename"),
    ],
)
def test_granules_that_no_text_names_and_that_have_no_time_are_not_picked(
    granules: tuple[Granule, ...], names: object, name: str
) -> None:
    with pytest.raises(UnsupportedError, match="cannot be picked from their common store"):
        planned(granules, names, name)


def test_granules_with_times_that_no_text_names_are_not_picked_from_times_of_cells() -> None:
    with pytest.raises(UnsupportedError, match=r"its times \(time\) lie along part and line"):
        planned(named("P_009_a", temporal=DAY), periods=(DAY,))


def stack(**attributes: str) -> Any:
    """Passes with the times of their lines, and when each began."""
    days = {"units": "days since 2024-01-01"}
    swath = ("part", "line")
    return store_of({"/": {
        "height": (swath, np.zeros((3, 4), "f4"), {}),
        "rate": (swath, np.zeros((3, 4), "f4"), {"coordinates": "latitude"}),
        "precise": (swath, np.zeros((3, 4), "f4"), {"coordinates": "time"}),
        "latitude": (swath, np.zeros((3, 4)), attributes),
        "time": (swath, np.arange(12.0).reshape(3, 4), days | {"standard_name": "time"}),
        "orbit": (("part",), np.array([0.0, 4.0, 8.0]), days),
        "made": (("part",), np.array([70.0, 71.0, 72.0]), days),
        "files": (("part",), np.array(["a", "b", "c"]), {}),
    }})  # fmt: skip


@pytest.mark.parametrize("variable", ["height", "rate", "time"])
def test_time_range_keeps_the_parts_whose_time_as_a_whole_lies_in_it(variable: str) -> None:
    wanted = TimeRange(datetime(2024, 1, 5, tzinfo=UTC), None)
    request = Request((Source("", "S", variables=(variable,)),), temporal=wanted)
    plan = make_plan(stack(coordinates="files orbit"), request, request.sources[0])
    assert plan.selection["/part"].positions.tolist() == [1, 2]
    assert "taken from orbit, by which each is kept or left out as a whole" in " ".join(plan.notes)


@pytest.mark.parametrize(
    ("coordinates", "variable"),
    [("files", "height"), ("made orbit", "height"), ("orbit", "precise")],
    ids=["named-nowhere", "two-of-them", "own-times-named"],
)
def test_time_of_a_whole_part_is_not_guessed_where_cells_have_theirs(
    coordinates: str, variable: str
) -> None:
    wanted = TimeRange(datetime(2024, 1, 7, tzinfo=UTC), None)
    request = Request((Source("", "S", variables=(variable,)),), temporal=wanted)
    plan = make_plan(stack(coordinates=coordinates), request, request.sources[0])
    assert plan.selection["/part"].positions.tolist() == [1, 2]
    (mask,) = plan.masks
    np.testing.assert_array_equal(mask.inside.flags, [[False, False, True, True], [True] * 4])


def test_picked_parts_and_time_range_both_hold() -> None:
    store = stack(coordinates="orbit")
    source = Source("", "S", variables=("height",))
    asked = {"granules": named("a", "c"), "from_stack": True}
    late = TimeRange(datetime(2024, 1, 5, tzinfo=UTC), None)
    plan = make_plan(store, Request((source,), temporal=late, **asked), source)
    assert plan.selection["/part"].positions.tolist() == [2]
    between = TimeRange(datetime(2024, 1, 3, tzinfo=UTC), datetime(2024, 1, 6, tzinfo=UTC))
    with pytest.raises(NoDataError, match="None of the 2 selected granules lies in"):
        make_plan(store, Request((source,), temporal=between, **asked), source)
