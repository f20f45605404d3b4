"""What HOSS answers on MERRA-2, IMERG, ABoVE and SMAP, and every difference from it.

HOSS's own tests keep the coordinates of a whole granule (its "prefetch") and what it gave for a
request. The granule that must have been asked is put together from both: whole coordinates, and the
values that came out at the places that they came from; missing everywhere else. The requests:

======================  ==================================================  ===================
file                    request                                             cells
======================  ==================================================  ===================
M2T1NXSLV_temporal      PS from 01:00 to 03:00 on 2021-01-10                2 x 361 x 576
M2T1NXSLV_geo_temporal  the same in [40, -30, 50, -20]                      2 x 21 x 17
GPM_3IMERGHH_bounds     precipitationCal in [-30, 30, -15, 45], by the      1 x 150 x 150
                        numbers in it (its description says 45 to 60 north)
ABoVE_TVPRM_bbox        NEE in [-160, 68, -145, 70], Albers equal area      10 x 20 x 20
======================  ==================================================  ===================

Two things differ:

- On a projected grid HOSS gives the window alone. So does this service with ``pixelSubset``;
  without, cells outside of the box become fill. HOSS's window has a column more on either side:
  it takes what the box touches, and this service what holds all centres in the box.
- SMAP's prefetch files give latitudes and longitudes dimensions of their own, or three of them, and
  keep cells without a valid place as -9999, which no attribute calls missing. HOSS works out x and
  y of the grid from what is valid. Here the cells whose stored place lies in the box are found; and
  where latitudes and longitudes have no dimension in common, a box is refused.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
from pyproj import CRS
from systems.granules import Field, write_fields
from systems.kits import Answer, ask, raw, request, same_bits, services
from systems.places import check_cut, inside, on_plane, window
from world import kerchunk_references, write_references

from harmony_vds.errors import UncutBoxError
from harmony_vds.model.request import Request

pytestmark = pytest.mark.shared

MORNING = datetime(2021, 1, 10, 1, tzinfo=UTC), datetime(2021, 1, 10, 3, tzinfo=UTC)


@pytest.fixture
def kit(data: Path) -> Path:
    return data / "s28_hoss_outputs"


def answered(granule: Path, folder: Path, wanted: Request) -> Answer:
    store = write_references(folder / "store.json", kerchunk_references([granule], inline=0))
    trusted = (f"{granule.resolve().parent.as_uri()}/", f"{folder.resolve().as_uri()}/")
    return ask(wanted, store.as_uri(), services(trusted=trusted), folder / "out")


def attributes_of(path: Path, name: str) -> dict[str, Any]:
    with netCDF4.Dataset(path) as nc:
        return {key: nc[name].getncattr(key) for key in nc[name].ncattrs() if key != "_FillValue"}


def field(path: Path, name: str, **more: Any) -> Field:
    """A variable as it stands in one of HOSS's files."""
    with netCDF4.Dataset(path) as nc:
        dimensions = nc[name].dimensions
        more.setdefault("fill", getattr(nc[name], "_FillValue", None))
    return Field(dimensions, raw(path, name), attributes_of(path, name), **more)


def spread(path: Path, name: str, at: Mapping[str, np.ndarray], sizes: Mapping[str, int]) -> Field:
    """A variable of an answer, at the positions of a whole granule that it came from."""
    own = field(path, name)
    whole = np.full([sizes.get(d, n) for d, n in zip(own.dimensions, own.values.shape,
                    strict=True)], own.fill, own.values.dtype)  # fmt: skip
    places = [at.get(d, np.arange(n)) for d, n in zip(own.dimensions, own.values.shape,
              strict=True)]  # fmt: skip
    whole[np.ix_(*places)] = own.values
    return replace(own, values=whole, chunks=(1, *(min(n, 200) for n in whole.shape[1:])))


def positions(whole: np.ndarray, kept: np.ndarray) -> np.ndarray:
    found = np.flatnonzero(np.isin(whole, kept))
    assert found.size == kept.size
    return found


def test_times_and_box_of_merra2_equal_what_hoss_gives(kit: Path, tmp_path: Path) -> None:
    before, whole = kit / "M2T1NXSLV_prefetch.nc4", kit / "M2T1NXSLV_temporal.nc4"
    coordinates = {name: field(before, name) for name in ("time", "lat", "lon")}
    steps = positions(coordinates["time"].values, raw(whole, "time"))
    fields = {**coordinates, "PS": spread(whole, "PS", {"time": steps}, {"time": 24})}
    granule = write_fields(tmp_path / "granule" / "merra2.nc4", fields)
    boxes = {"M2T1NXSLV_temporal": None, "M2T1NXSLV_geo_temporal": (40.0, -30.0, 50.0, -20.0)}
    for after, box in boxes.items():
        (tmp_path / after).mkdir()
        answer = answered(granule, tmp_path / after, request(("PS",), box, MORNING))
        for name in ("PS", "lat", "lon", "time"):
            assert same_bits(answer.read(name), raw(kit / f"{after}.nc4", name)), (after, name)


def test_box_and_bounds_of_imerg_equal_what_hoss_gives(kit: Path, tmp_path: Path) -> None:
    before, after = kit / "GPM_3IMERGHH_prefetch.nc4", kit / "GPM_3IMERGHH_bounds.nc4"
    names = ("time", "lat", "lon", "time_bnds", "lat_bnds", "lon_bnds")
    fields = {name: field(before, f"Grid/{name}") for name in names}
    at = {name: positions(fields[name].values, raw(after, f"Grid/{name}")) for name in names[:3]}
    rain = spread(after, "Grid/precipitationCal", at, {"lon": 3600, "lat": 1800})
    granule = tmp_path / "granule" / "imerg.nc4"
    write_fields(granule, {**fields, "precipitationCal": rain}, group="Grid")
    wanted = request(("/Grid/precipitationCal",), (-30.0, 30.0, -15.0, 45.0))
    answer = answered(granule, tmp_path, wanted)
    for name in (*names, "precipitationCal"):
        assert same_bits(answer.read(f"Grid/{name}"), raw(after, f"Grid/{name}")), name


def test_box_on_an_albers_grid_is_the_window_of_hoss_and_blank_outside(
    kit: Path, tmp_path: Path
) -> None:
    before, after = kit / "ABoVE_TVPRM_prefetch.nc4", kit / "ABoVE_TVPRM_bbox.nc4"
    told = attributes_of(after, "crs")
    at = {name: positions(raw(before, name), raw(after, name)) for name in ("y", "x")}
    fields = {name: field(before, name) for name in ("y", "x")}
    fields["time"] = field(after, "time")
    fields["time_bnds"] = field(after, "time_bnds")
    fields["crs"] = Field((), np.array(0, "i4"), told)
    fields["NEE"] = spread(after, "NEE", at, {"y": 36, "x": 72})
    granule = write_fields(tmp_path / "granule" / "above.nc4", fields)
    box = (-160.0, 68.0, -145.0, 70.0)
    cells = inside(*on_plane(CRS.from_cf(told), raw(before, "x"), raw(before, "y")), box)
    rows, columns = window(cells)
    answer = answered(granule, tmp_path, request(("NEE",), box))
    check_cut(answer.read("NEE"), fields["NEE"].values, cells, np.float32(-9999))
    alone = replace(request(("NEE",), box), pixel_subset=True)
    (tmp_path / "alone").mkdir()
    answer = answered(granule, tmp_path / "alone", alone)
    assert at["y"].tolist() == list(range(rows.start, rows.stop))
    assert at["x"].tolist() == list(range(columns.start - 1, columns.stop + 1))
    assert same_bits(answer.read("NEE"), raw(after, "NEE")[:, :, 1:-1])
    for name, inner in (("x", np.s_[1:-1]), ("y", np.s_[:]), ("time", np.s_[:])):
        assert same_bits(answer.read(name), raw(after, name)[inner]), name
    assert same_bits(answer.read("time_bnds"), raw(after, "time_bnds"))


@pytest.mark.parametrize("name", ["SC_SPL3FTP_004_prefetch", "SC_SPL3FTP_004_Polar_prefetch"])
def test_cells_of_morning_and_evening_are_cut_by_the_places_of_both(
    name: str, kit: Path, tmp_path: Path
) -> None:
    path = kit / f"{name}.nc4"
    with netCDF4.Dataset(path) as nc:
        (group,) = nc.groups
    box = (-100.3, 50.2, -60.1, 70.4)
    answer = answered(path, tmp_path, request((f"/{group}/latitude",), box))
    places = {own: raw(path, f"{group}/{own}") for own in ("longitude", "latitude")}
    assert (places["latitude"] == -9999).any()
    cells = inside(places["longitude"].astype("f8"), places["latitude"].astype("f8"), box)
    assert cells.any(axis=(1, 2)).all()
    for own, values in places.items():
        assert same_bits(answer.read(f"{group}/{own}"), values[window(cells)])


@pytest.mark.parametrize("name", ["SC_SPL3SMP_008_prefetch", "SC_SPL3SMP_009_prefetch"])
def test_latitudes_and_longitudes_without_a_dimension_in_common_are_refused(
    name: str, kit: Path, tmp_path: Path
) -> None:
    """Where a manifest gives each of them dimensions of its own; HOSS takes their order instead."""
    variable = "Soil_Moisture_Retrieval_Data_AM/latitude"
    told = rf"cannot cut {variable}: of its latitudes .* it cannot be told which are its cells'"
    with pytest.raises(UncutBoxError, match=told):
        answered(kit / f"{name}.nc4", tmp_path, request((variable,), (-100, 50, -60, 70)))
