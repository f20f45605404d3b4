"""New granules come into a store and deleted ones go out, and it is as if built anew."""

from pathlib import Path

import numpy as np
import pytest
from building import bring_up_to_date, build, commits, contents
from hypothesis import given, settings
from hypothesis import strategies as st
from world import write_days

from harmony_vds.errors import RequestError, StoreError


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_days(tmp_path_factory.mktemp("granules"), 5)


def same(ours: Path, theirs: Path) -> None:
    """Both stores hold the same arrays, values and attributes."""
    one, other = contents(ours), contents(theirs)
    assert one.keys() == other.keys()
    for path, (values, attributes) in one.items():
        np.testing.assert_array_equal(values, other[path][0], path)
        assert attributes == other[path][1], path


@settings(max_examples=5)
@given(
    first=st.sets(st.integers(0, 4)), then=st.lists(
        st.sets(st.integers(0, 4)), min_size=1, max_size=2
    ),
)  # fmt: skip
def test_updated_store_equals_one_built_anew(
    first: set[int],
    then: list[set[int]],
    days: list[Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("stores")
    first, *then = ({2, *own} for own in (first, *then))  # a store never empties
    build([days[own] for own in sorted(first)], folder / "updated")
    for wanted in then:
        bring_up_to_date([days[own] for own in sorted(wanted)], folder / "updated", removing=True)
    build([days[own] for own in sorted(then[-1])], folder / "anew")
    same(folder / "updated", folder / "anew")


def test_update_is_one_commit_each_way_and_none_where_nothing_is_to_do(
    days: list[Path], tmp_path: Path
) -> None:
    store = tmp_path / "store"
    build(days[1:4], store)
    done = bring_up_to_date(days[2:], store, removing=True)
    assert done.added == (days[4].as_uri(),)
    assert done.removed == (days[1].as_uri(),)
    assert commits(store) == 3
    again = bring_up_to_date(days[2:], store, removing=True)
    assert (again.added, again.removed, again.snapshot) == ((), (), done.snapshot)
    assert commits(store) == 3


def test_granule_that_comes_late_goes_where_its_time_belongs(
    days: list[Path], tmp_path: Path
) -> None:
    build([days[0], days[3]], tmp_path / "store")
    bring_up_to_date(days[:4], tmp_path / "store")
    times = contents(tmp_path / "store")["/time"][0]
    assert (np.diff(times) > 0).all()
    build(days[:4], tmp_path / "anew")
    same(tmp_path / "store", tmp_path / "anew")


def test_without_removing_what_is_listed_no_more_stays(days: list[Path], tmp_path: Path) -> None:
    build(days[:2], tmp_path / "store")
    done = bring_up_to_date(days[1:3], tmp_path / "store")
    assert (len(done.added), done.removed) == (1, ())
    assert contents(tmp_path / "store")["/time"][0].size == 3


def test_later_granules_are_cut_as_the_first_were(days: list[Path], tmp_path: Path) -> None:
    build(days[:2], tmp_path / "store", variables=("mask",))
    bring_up_to_date(days[:3], tmp_path / "store")
    found = contents(tmp_path / "store")
    assert found["/mask"][0].shape[0] == 3
    assert "/analysed_sst" not in found


def test_update_that_would_empty_or_lacks_a_store_is_refused(
    days: list[Path], tmp_path: Path
) -> None:
    build(days[:2], tmp_path / "store")
    with pytest.raises(RequestError, match="None of the 2 granules"):
        bring_up_to_date(days[3:], tmp_path / "store", removing=True)
    assert commits(tmp_path / "store") == 1
    with pytest.raises(RequestError, match="no icechunk repository"):
        bring_up_to_date(days, tmp_path / "nowhere")


def test_granule_of_other_chunks_is_refused_and_nothing_is_committed(
    days: list[Path], tmp_path: Path
) -> None:
    (other,) = write_days(tmp_path / "other", 1, chunks=(36, 72))
    renamed = other.rename(other.with_name("later.nc"))
    build(days[1:3], tmp_path / "store")
    with pytest.raises(StoreError, match="do not fit to the store"):
        bring_up_to_date([*days[1:3], renamed], tmp_path / "store")
    assert commits(tmp_path / "store") == 1
