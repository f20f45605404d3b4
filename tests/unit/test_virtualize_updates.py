"""New granules come into a store and deleted ones go out, and it is as if built anew."""

from pathlib import Path
from typing import Any

import icechunk
import netCDF4
import numpy as np
import pytest
import xarray as xr
import zarr
from building import bring_up_to_date, build, commits, contents
from hypothesis import given, settings
from hypothesis import strategies as st
from systems.kits import raw
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


def scan(path: Path, day: int, steps: int, seed: int = 0) -> Path:
    """A granule in one chunk along its time, as long as it has steps, and two across."""
    random = np.random.default_rng([day, seed])
    with netCDF4.Dataset(path, "w") as nc:
        nc.createDimension("time", None)
        nc.createDimension("x", 5)
        time = nc.createVariable("time", "f8", ("time",), chunksizes=(steps,))
        time.units = "hours since 2000-01-01"
        time[:] = day * 24 + np.arange(steps)
        data = nc.createVariable("v", "i4", ("time", "x"), chunksizes=(steps, 3), zlib=True)
        data[:] = random.integers(0, 1 << (5 + 20 * bool(seed)), (steps, 5))
    return path


def grids(store: Path) -> dict[str, Any]:
    repository = icechunk.Repository.open(icechunk.local_filesystem_storage(str(store)))
    with zarr.config.set({"array.rectilinear_chunks": True}):
        root = zarr.open_group(repository.readonly_session("main").store, mode="r")
        return {
            path: own.metadata.chunk_grid.to_dict()
            for path, own in root.members() if own.metadata.attributes.get("units") is None
        }  # fmt: skip


LENGTHS = (131, 132, 131, 130, 131)


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("scans")
    return [scan(folder / f"{day}.nc", day, steps) for day, steps in enumerate(LENGTHS)]


@pytest.mark.parametrize(
    "first, then",
    [
        ([0, 2], [[0, 1, 2]]),  # all of one length, until one comes between them
        ([0, 1, 2], [[0, 1, 2, 3, 4], [0, 2, 4]]),  # and again, when the others go
        ([3], [[1, 3], [1]]),
    ],
)
def test_granules_of_other_lengths_come_and_go(
    first: list[int], then: list[list[int]], scans: list[Path], tmp_path: Path
) -> None:
    build([scans[own] for own in first], tmp_path / "updated", is_one_of_many=True)
    for wanted in then:
        bring_up_to_date([scans[own] for own in wanted], tmp_path / "updated", removing=True)
        truth = np.concatenate([raw(scans[own], "v") for own in wanted])
        np.testing.assert_array_equal(contents(tmp_path / "updated")["/v"][0], truth)
    build([scans[own] for own in then[-1]], tmp_path / "anew", is_one_of_many=True)
    same(tmp_path / "updated", tmp_path / "anew")
    assert grids(tmp_path / "updated") == grids(tmp_path / "anew")
    with xr.open_dataset(tmp_path / "updated", engine="vds", trust=str(scans[0].parent)) as opened:
        np.testing.assert_array_equal(opened.v.values, truth)
        np.testing.assert_array_equal(opened.v[140::-7].values, truth[140::-7])


def test_granule_of_another_length_written_anew_is_described_anew(tmp_path: Path) -> None:
    days = [scan(tmp_path / f"{day}.nc", day, steps) for day, steps in ((1, 9), (2, 8), (3, 9))]
    build(days, tmp_path / "store")
    scan(days[1], 2, 11, seed=3)
    assert bring_up_to_date(days, tmp_path / "store").renewed == (days[1].as_uri(),)
    found = contents(tmp_path / "store")
    for name in ("v", "time"):
        truth = np.concatenate([raw(own, name) for own in days])
        np.testing.assert_array_equal(found[f"/{name}"][0], truth)


def test_no_granule_follows_one_that_ends_within_a_chunk(tmp_path: Path) -> None:
    days = [scan(tmp_path / f"{day}.nc", day, 6) for day in (1, 2)]
    with netCDF4.Dataset(days[0], "a") as nc:
        nc["time"][6] = 31.0
        nc["v"][6] = np.arange(5)
    build(days[:1], tmp_path / "store", is_one_of_many=True)
    with pytest.raises(StoreError, match=r"last chunk of v is not full.*build the store anew"):
        bring_up_to_date(days, tmp_path / "store")
    assert commits(tmp_path / "store") == 1
