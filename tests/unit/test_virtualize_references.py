"""Kerchunk references that are brought up to date are those of a build of all, and never half."""

import json
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
import xarray as xr
from building import bring_up_to_date, build, by_engine, stored
from systems.kits import raw
from world import kerchunk_references, write_days
from world import write_references as write_document

from harmony_vds.errors import RequestError, StoreError

# fsspec reads Parquet by an engine that pandas gives up.
pytestmark = pytest.mark.filterwarnings("ignore:The 'fastparquet' engine is deprecated")


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_days(tmp_path_factory.mktemp("granules"), 5)


@pytest.fixture(params=["json", "parquet"])
def form(request: pytest.FixtureRequest) -> str:
    return request.param


def documents(store: Path) -> dict[str, Any]:
    """All that a file or folder of references holds, but for how it came together."""
    if store.is_dir():
        told = json.loads((store / ".zmetadata").read_text())
        parts = {
            str(own.relative_to(store)): own.read_bytes() for own in sorted(store.rglob("*.parq"))
        }
        return {"metadata": told["metadata"], **parts}
    told = json.loads(store.read_text())["refs"]
    return {k: json.loads(v) if k[-7:] in (".zarray", ".zattrs") else v for k, v in told.items()}


@pytest.mark.parametrize("first, then", [([0, 3], [0, 1, 2, 3]), ([0, 1, 2, 4], [1, 3, 4])])
def test_updated_references_are_those_of_a_store_built_anew(
    first: list[int], then: list[int], form: str, days: list[Path], tmp_path: Path
) -> None:
    updated, anew = (tmp_path / f"{name}.{form}" for name in ("updated", "anew"))
    build([days[own] for own in first], updated)
    done = bring_up_to_date([days[own] for own in then], updated, removing=True)
    assert done.added == tuple(days[own].as_uri() for own in then if own not in first)
    assert done.removed == tuple(days[own].as_uri() for own in first if own not in then)
    assert any("open it again" in own for own in done.notes) is (form == "parquet")
    build([days[own] for own in then], anew)
    assert documents(updated) == documents(anew)
    found, ours = stored(updated), by_engine(updated, days[0].parent)
    for name in ("analysed_sst", "mask", "time"):
        truth = np.concatenate([raw(days[own], name) for own in then])
        np.testing.assert_array_equal(found[name], truth, name)
    with xr.open_dataset(days[then[1]]) as day:
        np.testing.assert_array_equal(ours.analysed_sst.values[1], day.analysed_sst.values[0])


def test_nothing_to_do_writes_nothing(form: str, days: list[Path], tmp_path: Path) -> None:
    store = tmp_path / f"store.{form}"
    build(days[:2], store)
    before = store.stat()
    done = bring_up_to_date(days[:2], store, removing=True)
    assert (done.added, done.removed, done.renewed, done.snapshot) == ((), (), (), "")
    assert store.stat().st_ino == before.st_ino


def test_what_does_not_fit_leaves_the_references_as_they_were(
    form: str, days: list[Path], tmp_path: Path
) -> None:
    store = tmp_path / "stores" / f"store.{form}"
    build(days[:2], store)
    before = documents(store)
    (other,) = write_days(tmp_path / "other", 1, chunks=(36, 72))
    renamed = other.rename(other.with_name("later.nc"))
    with pytest.raises(StoreError, match=r"do not fit to the store: their .* differs in chunks"):
        bring_up_to_date([*days[:2], renamed], store)
    with pytest.raises(RequestError, match="None of the 2 granules"):
        bring_up_to_date(days[3:], store, removing=True)
    assert documents(store) == before
    assert [own.name for own in store.parent.iterdir()] == [store.name]


def test_times_are_counted_as_those_that_are_there(tmp_path: Path) -> None:
    files = [tmp_path / f"{day}.nc" for day in (1, 2, 3)]
    for day, path in enumerate(files, start=1):
        with netCDF4.Dataset(path, "w") as nc:
            nc.createDimension("time", None)
            nc.createDimension("x", 40)
            nc.createVariable("time", "f8", ("time",)).units = f"days since 2000-01-0{day}"
            nc["time"][:] = [0.25]
            nc.createVariable("v", "i4", ("time", "x"))[0] = day
            nc.title = f"day {day}" if day == 3 else "day"
    store = tmp_path / "store.json"
    build(files[:2], store)
    bring_up_to_date(files, store)
    ours = by_engine(store, tmp_path)
    assert ours.time.dt.day.values.tolist() == [1, 2, 3]
    assert ours.v.values[:, 0].tolist() == [1, 2, 3]
    assert "title" not in ours.attrs  # they disagree on it


def test_references_of_another_writer_are_refused(days: list[Path], tmp_path: Path) -> None:
    store = write_document(tmp_path / "store.json", kerchunk_references(days))
    with pytest.raises(StoreError, match=r"store\.json do not say how they were built.*anew"):
        bring_up_to_date(days, store)
    with pytest.raises(RequestError, match="There are no references at"):
        bring_up_to_date(days, tmp_path / "nothing.parquet")
