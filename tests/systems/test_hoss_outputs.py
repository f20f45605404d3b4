"""What the production subsetter HOSS answers to the same requests, and every difference from it.

The expected files and the requests they answer are those of HOSS's own end-to-end tests, on
RSSMIF16D version 7 (0 to 360 degrees east, latitudes ascending):

=====================  =============================================  ==========================
file                   request                                        cells
=====================  =============================================  ==========================
f16_ssmis_geo          wind_speed in [-30, 45, -15, 60]               61 x 61
f16_ssmis_geo_desc     the same of a granule with descending rows     61 x 61
f16_ssmis_geo_no_vars  every variable in [-30, 45, -15, 60]           60 x 60
f16_ssmis_unfilled     wind_speed in [-7.5, -60, 7.5, -45]            61 x 1440, before filling
f16_ssmis_filled       the same, as given to the user                 61 x 1440, filled
f16_ssmis_lat_lon      latitude and longitude alone                   720 and 1440
f16_ssmis_lat_lon_desc the same of a granule with descending rows     720 and 1440
=====================  =============================================  ==========================

Three things differ, all of them in which cells come out, never in a value:

- Early HOSS (version 1.0.0) took a row or column more where an edge of the box falls on the edge
  between two cells: 60 degrees north lies between the centres 59.875 and 60.125. Since then it
  takes the cells whose centres lie inside, as this service does (geo_no_vars).
- Where a box crosses the edge of the data HOSS gives the whole range of longitudes, with the fill
  value -32767 outside of the box, which the granule declares nowhere. This service gives the box
  alone, in one piece, its longitudes running on below zero.
- Descending rows stay descending in both.
"""

from datetime import UTC, datetime
from pathlib import Path

import netCDF4
import numpy as np
import pytest
from systems.kits import Answer, ask, place, raw, request, same_bits, services, write_store

pytestmark = pytest.mark.shared

GRANULE = "f16_ssmis_20200102v7.nc"
NORTH = (-30.0, 45.0, -15.0, 60.0)
EDGE = (-7.5, -60.0, 7.5, -45.0)


@pytest.fixture
def kit(data: Path) -> Path:
    return data / "s27_hoss_ssmis"


def answer_to(
    granule: Path, folder: Path, variables: tuple[str, ...], box: tuple[float, ...] | None
) -> Answer:
    with place("file", granule.parent, folder) as there:
        store = write_store("icechunk", [granule], folder, there.granules, along=None)
        return ask(request(variables, box), there.stores + store, services(there), folder / "out")


def test_box_with_all_variables_equals_what_hoss_gives(kit: Path, tmp_path: Path) -> None:
    theirs = kit / "f16_ssmis_geo_no_vars.nc"
    ours = answer_to(kit / GRANULE, tmp_path, (), NORTH)
    with netCDF4.Dataset(theirs) as nc:
        names = list(nc.variables)
    for name in names:
        assert same_bits(ours.read(name), raw(theirs, name)), name


def test_early_hoss_has_one_row_and_column_more_on_an_edge_between_cells(
    kit: Path, tmp_path: Path
) -> None:
    theirs = kit / "f16_ssmis_geo.nc"
    ours = answer_to(kit / GRANULE, tmp_path, ("wind_speed",), NORTH)
    rows, columns = raw(theirs, "latitude"), raw(theirs, "longitude")
    beyond_north = rows > 60.0
    beyond_east = columns - 360 > -15.0
    assert rows[beyond_north].tolist() == [60.125]
    assert columns[beyond_east].tolist() == [345.125]
    inside = raw(theirs, "wind_speed")[:, ~beyond_north][:, :, ~beyond_east]
    assert same_bits(ours.read("wind_speed"), inside)
    assert same_bits(ours.read("latitude"), rows[~beyond_north])
    assert same_bits(ours.read("longitude"), columns[~beyond_east])


def test_descending_rows_stay_descending_as_with_hoss(kit: Path, tmp_path: Path) -> None:
    """The granule itself is ascending, so it is turned over first, as HOSS's test does."""
    granule = tmp_path / "granules" / "descending.nc"
    granule.parent.mkdir()
    _turned_over(kit / GRANULE, granule)
    theirs = kit / "f16_ssmis_geo_desc.nc"
    ours = answer_to(granule, tmp_path, ("wind_speed",), NORTH)
    rows, columns = raw(theirs, "latitude"), raw(theirs, "longitude")
    inside = raw(theirs, "wind_speed")[:, rows <= 60.0][:, :, columns - 360 <= -15.0]
    assert same_bits(ours.read("wind_speed"), inside)
    assert same_bits(ours.read("latitude"), rows[rows <= 60.0])


def _turned_over(source: Path, target: Path) -> None:
    with netCDF4.Dataset(source) as old, netCDF4.Dataset(target, "w") as new:
        for name, dimension in old.dimensions.items():
            new.createDimension(name, len(dimension))
        for name in ("latitude", "longitude", "time", "wind_speed"):
            variable = new.createVariable(name, old[name].dtype, old[name].dimensions)
            variable.setncatts({key: old[name].getncattr(key) for key in old[name].ncattrs()})
            variable.set_auto_maskandscale(False)
            values = raw(source, name)
            flip = {"latitude": np.s_[::-1], "wind_speed": np.s_[:, ::-1]}.get(name, np.s_[...])
            variable[...] = values[flip]


def test_box_across_the_edge_of_the_data_holds_what_hoss_leaves_unfilled(
    kit: Path, tmp_path: Path
) -> None:
    filled, unfilled = kit / "f16_ssmis_filled.nc", kit / "f16_ssmis_unfilled.nc"
    ours = answer_to(kit / GRANULE, tmp_path, ("wind_speed",), EDGE)
    rows, columns = raw(filled, "latitude"), raw(filled, "longitude")
    row_inside = rows <= -45.0  # HOSS's row at -44.875 is the early rule again
    assert rows[~row_inside].tolist() == [-44.875]
    signed = np.where(columns > 180, columns - 360, columns)
    west, east = np.flatnonzero((signed >= -7.5) & (signed < 0)), np.flatnonzero(
        (signed >= 0) & (signed <= 7.5)
    )  # fmt: skip
    order = np.concatenate([west, east])
    for theirs in (filled, unfilled):
        expected = raw(theirs, "wind_speed")[:, row_inside][:, :, order]
        assert same_bits(ours.read("wind_speed"), expected)
    assert same_bits(ours.read("longitude"), signed[order])
    # HOSS keeps one column more on the east, 7.625 (its early rule), and fills the rest.
    kept_by_hoss = np.flatnonzero((raw(filled, "wind_speed") != -32767).any((0, 1)))
    assert set(order) <= set(kept_by_hoss)
    assert sorted(columns[np.setdiff1d(kept_by_hoss, order)].tolist()) == [7.625]
    outside = np.setdiff1d(np.arange(1440), kept_by_hoss)
    assert (raw(filled, "wind_speed")[:, :, outside] == -32767).all()
    assert outside.size == 1379


@pytest.mark.parametrize("order", ["ascending", "descending"])
def test_whole_coordinates_equal_what_hoss_gives(order: str, kit: Path, tmp_path: Path) -> None:
    granule, theirs = kit / GRANULE, kit / "f16_ssmis_lat_lon.nc"
    if order == "descending":
        granule, theirs = tmp_path / "granules" / "descending.nc", kit / "f16_ssmis_lat_lon_desc.nc"
        granule.parent.mkdir()
        _turned_over(kit / GRANULE, granule)
    assert (np.diff(raw(theirs, "latitude")) < 0).all() == (order == "descending")
    ours = answer_to(granule, tmp_path, ("latitude", "longitude"), None)
    for name in ("latitude", "longitude"):
        assert same_bits(ours.read(name), raw(theirs, name))


def test_time_range_takes_the_pass_inside_it(kit: Path, tmp_path: Path) -> None:
    """Two passes, at 01:00 and 02:00 by the granule's own time coordinate."""
    with place("file", kit, tmp_path) as there:
        store = write_store("icechunk", [kit / GRANULE], tmp_path, there.granules, along=None)
        early = datetime(2020, 1, 2, 0, 30, tzinfo=UTC), datetime(2020, 1, 2, 1, 30, tzinfo=UTC)
        wanted = request(("wind_speed",), NORTH, early)
        ours = ask(wanted, there.stores + store, services(there), tmp_path / "out")
    theirs = raw(kit / "f16_ssmis_geo_no_vars.nc", "wind_speed")
    assert same_bits(ours.read("wind_speed"), theirs[:1])
