"""Ranges of named dimensions keep what brute force keeps, in either direction."""

import json
from collections.abc import Iterator
from pathlib import Path

import netCDF4
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from systems.kits import ask, request, services
from world import kerchunk_references, write_references

from harmony_vds.errors import NoDataError, RequestError, UnsupportedError
from harmony_vds.model.request import DimensionRange
from harmony_vds.pipeline import Services, prepare

LEVELS = np.array([1000, 925.5, 850.1, 700, 500.25, 300, 100.7, 10], "f4")
BANDS = np.array([3, 1, 2], "i2")


@pytest.fixture(scope="module")
def granule(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("levels") / "levels.nc"
    with netCDF4.Dataset(path, "w") as nc:
        for name, size in (("lev", LEVELS.size), ("band", BANDS.size), ("bare", 4)):
            nc.createDimension(name, size)
        lev = nc.createVariable("lev", "f4", ("lev",))
        lev[:] = LEVELS
        lev.units = "hPa"
        nc.createVariable("band", "i2", ("band",))[:] = BANDS
        air = nc.createVariable(
            "air", "i2", ("band", "lev", "bare"), zlib=True, chunksizes=(1, 3, 4)
        )
        air[:] = np.arange(air.size).reshape(air.shape)
        nc.createVariable("flat", "i4", ("bare",))[:] = np.arange(4)
    return path


@pytest.fixture(scope="module")
def store(granule: Path) -> str:
    path = granule.with_suffix(".json")
    return write_references(path, kerchunk_references([granule])).as_uri()


@pytest.fixture(scope="module")
def using() -> Iterator[Services]:
    with services(trusted=("file:///",)) as opened:
        yield opened


sides = st.none() | st.floats(-50, 1100, allow_nan=False) | st.sampled_from(LEVELS.tolist())


@settings(max_examples=120, deadline=None)
@given(least=sides, most=sides, band=st.none() | st.integers(0, 4))
def test_kept_cells_are_those_of_brute_force(
    least: float | None, most: float | None, band: int | None, store: str, using: Services
) -> None:
    ranges = [DimensionRange("lev", least, most)]
    ranges += [] if band is None else [DimensionRange("/band", band, band)]
    inside = [
        n for n, value in enumerate(LEVELS.tolist())
        if (least is None or value >= least) and (most is None or value <= most)
    ]  # fmt: skip
    bands = [n for n, value in enumerate(BANDS.tolist()) if band is None or value == band]
    asked = request(variables=("air",), dimensions=tuple(ranges))
    if least is not None and most is not None and least > most:
        with pytest.raises(RequestError, match="lower side above"):
            prepare(asked, using, store)
        return
    if not inside or not bands:
        with pytest.raises(NoDataError, match="nearest"):
            prepare(asked, using, store)
        return
    plan = prepare(asked, using, store)[0].plan
    kept = {path: own.positions.tolist() for path, own in plan.selection.items()}
    assert kept["/lev"] == inside
    assert kept.get("/band", [0, 1, 2]) == bands


def test_variables_without_the_dimension_stay_whole_and_values_are_the_granules(
    store: str, granule: Path, tmp_path: Path
) -> None:
    asked = request(dimensions=(DimensionRange("lev", 500, 900), DimensionRange("band", 2, 3)))
    answer = ask(asked, store, services(trusted=("file:///",)), tmp_path / "out")
    with netCDF4.Dataset(granule) as nc:
        np.testing.assert_array_equal(answer.read("air"), nc["air"][:][[0, 2]][:, 2:5])
        np.testing.assert_array_equal(answer.read("flat"), nc["flat"][:])
    np.testing.assert_array_equal(answer.read("lev"), LEVELS[2:5])
    assert json.loads(json.dumps(answer.prepared.plan.as_json()))["asked"]["dimensions"] == [
        "lev(500:900)",
        "band(2:3)",
    ]


def test_edge_in_decimals_meets_a_value_in_single_precision(store: str, using: Services) -> None:
    asked = request(variables=("air",), dimensions=(DimensionRange("lev", 850.1, 850.1),))
    assert prepare(asked, using, store)[0].plan.selection["/lev"].positions.tolist() == [2]


@pytest.mark.parametrize(
    ("name", "error", "told"),
    [
        ("height", RequestError, "No requested variable has a dimension 'height'.*band, bare, lev"),
        ("bare", UnsupportedError, "bare has no coordinate values"),
    ],
)
def test_range_that_cannot_be_cut_is_refused_by_name(
    name: str, error: type[Exception], told: str, store: str, using: Services
) -> None:
    asked = request(variables=("air",), dimensions=(DimensionRange(name, 0, 1),))
    with pytest.raises(error, match=told):
        prepare(asked, using, store)
