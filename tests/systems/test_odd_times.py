"""Times as some stores have them: none, unreadable, in no order, repeated, of climatologies."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
from systems.granules import Field, centres, latitudes, longitudes, weather, write_fields
from systems.kits import Answer, ask, place, request, services, write_store

from harmony_vds.errors import StoreError, UnsupportedError
from harmony_vds.model.request import Request

STEPS = 6


def answer(
    tmp_path: Path, time: Field | None, *, bounds: Field | None = None, **asked: Any
) -> Answer:
    """A file of six steps, asked through the service."""
    size = STEPS if time is None else len(time.values)
    fields = {
        "lat": latitudes("lat", centres(4, 0, 40)), "lon": longitudes("lon", centres(6, 0, 60)),
        "rain": Field(("time", "lat", "lon"), weather((size, 4, 6), 1), {"units": "mm"}, (2, 4, 6)),
    }  # fmt: skip
    fields |= {"time": time} if time else {}
    fields |= {"time_bnds": bounds} if bounds else {}
    path = write_fields(tmp_path / "granules" / "all.nc", fields)
    (tmp_path / "store").mkdir()
    times = asked.pop("times", None)
    wanted = request(["rain"], times=times and [datetime(*own, tzinfo=UTC) for own in times])
    with place("file", path.parent, tmp_path / "store") as published:
        name = write_store("kerchunk", [path], tmp_path / "store", published.granules, along=None)
        published.publish()
        wanted = Request(**{**vars(wanted), **asked})
        return ask(wanted, f"{published.stores}{name}", services(published), tmp_path / "work")


def hours(numbers: list[float], units: str = "hours since 2001-01-01", **more: Any) -> Field:
    own = {"standard_name": "time", "units": units, **more}
    return Field(("time",), np.array(numbers, float), own)


def test_time_without_coordinate_comes_whole_and_cannot_be_cut(tmp_path: Path) -> None:
    whole = answer(tmp_path / "whole", None)
    np.testing.assert_array_equal(whole.read("rain"), weather((STEPS, 4, 6), 1))
    with pytest.raises(UnsupportedError, match="no time coordinate"):
        answer(tmp_path / "range", None, times=[(2001, 1, 1), (2001, 1, 2)])
    with pytest.raises(UnsupportedError, match="The months cannot be applied"):
        answer(tmp_path / "months", None, months=(1,))


def test_time_without_coordinate_has_an_average(tmp_path: Path) -> None:
    mean = answer(tmp_path, None, average="time")
    expected = weather((STEPS, 4, 6), 1).astype(float).mean(axis=0, keepdims=True)
    np.testing.assert_allclose(mean.read("rain"), expected, rtol=1e-14)


def test_units_that_nobody_can_read_matter_only_where_times_are_asked(tmp_path: Path) -> None:
    time = hours([0, 1, 2], units="months since 0000-01-01")
    whole = answer(tmp_path / "whole", time)
    assert whole.read("time").tolist() == [0, 1, 2]
    with netCDF4.Dataset(whole.path) as nc:
        assert "months since 0000-01-01" in nc.virtual_store_notes
    assert answer(tmp_path / "mean", time, average="time").read("time").tolist() == [1]
    with pytest.raises(StoreError, match="months since 0000-01-01"):
        answer(tmp_path / "range", time, times=[(2001, 1, 1), (2001, 1, 2)])


def test_steps_in_no_order_come_as_stored_with_their_repeats(tmp_path: Path) -> None:
    time = hours([48, 0, 24, 24, 96, 1000])
    found = answer(tmp_path, time, times=[(2001, 1, 1), (2001, 1, 3)])
    assert found.read("time").tolist() == [48, 0, 24, 24]
    np.testing.assert_array_equal(found.read("rain"), weather((6, 4, 6), 1)[:4])
    with netCDF4.Dataset(found.path) as nc:
        assert "in no order" in nc.virtual_store_notes
        assert "1 of the 4 steps of time have the time of another" in nc.virtual_store_notes


def test_climatology_keeps_its_bounds_and_is_cut_by_its_months(tmp_path: Path) -> None:
    edges = netCDF4.date2num(
        [[datetime(1971, m, 1), datetime(2000, m, 28)] for m in (1, 2, 3)], "hours since 2001-01-01"
    )
    time = hours([float(e[0]) + 300 for e in edges], climatology="time_bnds")
    bounds = Field(("time", "nv"), np.array(edges, float))
    found = answer(tmp_path, time, bounds=bounds, times=[(1990, 2, 3), (1990, 2, 20)])
    np.testing.assert_array_equal(found.read("rain"), weather((3, 4, 6), 1)[1:2])
    np.testing.assert_array_equal(found.read("time_bnds"), edges[1:2])


def test_mean_of_a_month_of_several_years_is_a_climatology(tmp_path: Path) -> None:
    time = hours([0, 24, 24 * 40, 24 * 365, 24 * 366, 24 * 420])
    found = answer(tmp_path, time, months=(1,), average="time")
    expected = weather((6, 4, 6), 1)[[0, 1, 3, 4]].astype(float).mean(axis=0, keepdims=True)
    np.testing.assert_allclose(found.read("rain"), expected, rtol=1e-14)
    with netCDF4.Dataset(found.path) as nc:
        assert nc["rain"].cell_methods == "time: mean within years time: mean over years"
        assert nc[nc["time"].climatology][:].tolist() == [[0, 24 * 366]]
        assert "bounds" not in nc["time"].ncattrs()
        assert "months=1" in nc.history
