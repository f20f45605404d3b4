"""Granules written anew are described anew, and what all share leads to one that is there."""

import os
from pathlib import Path

import netCDF4
import numpy as np
import pytest
from building import bring_up_to_date, build, states, stored
from systems.kits import raw, same_bits

from harmony_vds.errors import StoreError


def granule(path: Path, day: int, seed: int = 0, level: int = 4) -> Path:
    """A day on a curvilinear grid whose latitudes are too large to be held by value."""
    random = np.random.default_rng([day, seed])
    with netCDF4.Dataset(path, "w") as nc:
        for name, size in (("time", None), ("j", 120), ("i", 100)):
            nc.createDimension(name, size)
        time = nc.createVariable("time", "f8", ("time",))
        time.units = "days since 2000-01-01"
        time[:] = [day]
        lat = nc.createVariable("lat", "f8", ("j", "i"), chunksizes=(60, 100), zlib=True)
        lat[:] = np.linspace(-50, 50, 12_000).reshape(120, 100)
        told = {"chunksizes": (1, 60, 100), "zlib": True, "complevel": level}
        data = nc.createVariable("v", "i4", ("time", "j", "i"), **told)
        data[0] = random.integers(0, 2 ** (4 + 20 * bool(seed)), (120, 100))
    return path


pytestmark = pytest.mark.filterwarnings("ignore:The 'fastparquet' engine is deprecated")


@pytest.fixture
def days(tmp_path: Path) -> list[Path]:
    return [granule(tmp_path / f"{day}.nc", day) for day in (1, 2, 3)]


@pytest.fixture(params=["store", "store.json"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Where a store goes: an icechunk repository or kerchunk references, of which Parquet differs
    in how it is written alone (test_virtualize_references)."""
    return tmp_path / request.param


def check(store: Path, files: list[Path]) -> None:
    found = stored(store)
    for name in ("v", "time"):
        wanted = np.concatenate([raw(own, name) for own in files])
        assert same_bits(found[name], wanted), name
    assert same_bits(found["lat"], raw(files[0], "lat"))


def test_granule_written_anew_under_its_url_is_described_anew(
    days: list[Path], store: Path
) -> None:
    build(days, store)
    granule(days[1], 2, seed=7, level=9)
    done = bring_up_to_date(days, store)
    assert (done.renewed, done.added, done.removed) == ((days[1].as_uri(),), (), ())
    check(store, days)
    assert states(store) == 2
    again = bring_up_to_date(days, store)
    assert (again.renewed, again.snapshot) == ((), done.snapshot)


@pytest.mark.parametrize("older", ["the date", "the size"])
def test_edition_with_an_older_date_or_another_size_is_described_anew(
    older: str, days: list[Path], store: Path
) -> None:
    told = days[1].stat().st_mtime_ns
    build(days, store)
    granule(days[1], 2, seed=7, level=9)
    ago = told - 86_400 * 10**9 if older == "the date" else told
    os.utime(days[1], ns=(ago, ago))
    assert bring_up_to_date(days, store).renewed == (days[1].as_uri(),)
    check(store, days)
    assert bring_up_to_date(days, store).renewed == ()


def test_granules_of_one_name_in_two_folders_are_told_apart(store: Path, tmp_path: Path) -> None:
    for folder in ("a", "b", "c"):
        (tmp_path / folder).mkdir()
    files = [granule(tmp_path / f / "same.nc", day) for day, f in enumerate("abc", start=1)]
    build(files[:1], store)
    done = bring_up_to_date(files, store)
    assert done.added == tuple(own.as_uri() for own in files[1:])
    granule(files[2], 3, seed=7)
    assert bring_up_to_date(files, store).renewed == (files[2].as_uri(),)
    check(store, files)


def test_first_granule_written_anew_takes_along_what_all_share(
    days: list[Path], store: Path
) -> None:
    """The references of what is stored once for all lead to the first granule."""
    build(days, store)
    granule(days[0], 1, seed=7, level=1)
    assert bring_up_to_date(days, store).renewed == (days[0].as_uri(),)
    check(store, days)


def test_store_appended_to_and_then_shortened_reads_when_the_first_granule_is_gone(
    days: list[Path], store: Path
) -> None:
    build(days[:2], store)
    assert bring_up_to_date(days, store).added == (days[2].as_uri(),)
    check(store, days)
    assert bring_up_to_date(days[1:], store, removing=True).removed == (days[0].as_uri(),)
    days[0].unlink()
    check(store, days[1:])


def test_new_old_and_renewed_granules_come_in_one_update(
    days: list[Path], store: Path, tmp_path: Path
) -> None:
    build(days, store)
    later = granule(tmp_path / "4.nc", 4)
    granule(days[2], 3, seed=7)
    done = bring_up_to_date([*days[1:], later], store, removing=True)
    assert done.removed == (days[0].as_uri(),)
    assert done.added == (later.as_uri(),)
    assert done.renewed == (days[2].as_uri(),)
    days[0].unlink()
    check(store, [days[1], days[2], later])


def test_granules_that_all_were_written_anew_are_refused(days: list[Path], store: Path) -> None:
    build(days, store)
    for day, own in enumerate(days, start=1):
        granule(own, day, seed=7)
    with pytest.raises(StoreError, match=r"All 3 granules .* build the store anew"):
        bring_up_to_date(days, store)
    assert states(store) == 1


def test_granule_written_anew_with_other_places_is_refused(days: list[Path], store: Path) -> None:
    build(days, store)
    with netCDF4.Dataset(days[1], "r+") as nc:
        nc["lat"][:] = nc["lat"][:] + 1
    with pytest.raises(StoreError, match=r"2\.nc holds other values of lat"):
        bring_up_to_date(days, store)
    assert states(store) == 1
