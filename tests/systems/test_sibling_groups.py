"""HDF5 files whose variables take their dimensions from a group beside their own."""

import warnings
from pathlib import Path
from typing import Any

import h5py
import netCDF4
import numpy as np
import pytest
from systems.kits import Answer, ask, request, services
from systems.places import check_cut, inside, window
from world import kerchunk_references, write_icechunk, write_references

from harmony_vds.errors import UncutBoxError

LAT, LON = np.arange(10.0, 20.0), np.arange(30.0, 42.0)
VALUES = np.arange(120.0).reshape(10, 12)
BOX = (32.5, 12.5, 36.5, 15.5)
FILL = -9999.0


def granule(path: Path, *, curved: bool = False, other: str = "") -> Path:
    """Values in /DATA on scales in /GEO; latitudes along these, or of each cell."""
    path.parent.mkdir(parents=True, exist_ok=True)
    units = {"lat": "degrees_north", "lon": "degrees_east"}
    axes = {"row": np.arange(10), "column": np.arange(12)} if curved else {"lat": LAT, "lon": LON}
    fields = {"DATA/field": VALUES}
    if curved:
        fields |= dict(zip(("GEO/lat", "GEO/lon"), turned(), strict=True))
    with h5py.File(path, "w") as file:
        scales = [file.create_dataset(f"GEO/{name}", data=own) for name, own in axes.items()]
        for scale in scales:
            scale.make_scale(scale.name.rpartition("/")[2])
        for name, values in fields.items():
            own = file.create_dataset(name, data=values, chunks=(5, 6), compression="gzip")
            for number, scale in enumerate(scales):
                own.dims[number].attach_scale(scale)
        for name, told in units.items():
            file[f"GEO/{name}"].attrs["units"] = told
        file["DATA/field"].attrs.create("_FillValue", FILL)
        if other:
            own = file.create_dataset(other, data=np.arange(10.0) * 7)
            own.make_scale("lat")
            file.create_dataset("OTHER/more", data=np.arange(10.0)).dims[0].attach_scale(own)
    return path


def turned() -> tuple[np.ndarray, np.ndarray]:
    """Latitudes and longitudes of a grid that is turned against the meridians."""
    lon, lat = np.meshgrid(LON, LAT)
    return lat + 0.3 * (lon - 30), lon - 0.2 * (lat - 10)


def parsed(path: Path, group: str) -> Any:
    """A group by VirtualiZarr alone: netCDF4 does not open such files."""
    import virtualizarr
    from obspec_utils.registry import ObjectStoreRegistry
    from obstore.store import LocalStore

    registry = ObjectStoreRegistry({"file://": LocalStore()})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return virtualizarr.open_virtual_dataset(
            path.as_uri(), registry, virtualizarr.parsers.HDFParser(group=group),
            loadable_variables=[],
        )  # fmt: skip


def answered(form: str, path: Path, folder: Path, name: str = "/DATA/field") -> Answer:
    base = f"{path.parent.as_uri()}/"
    if form == "kerchunk":
        store = write_references(folder / "store.json", kerchunk_references([path], inline=0))
    else:
        store = folder / "store.icechunk"
        groups = {group: parsed(path, group) for group in ("GEO", "DATA")}
        write_icechunk(store, groups, container=base)
    using = services(trusted=(base, f"{folder.as_uri()}/"))
    return ask(request((name,), BOX), store.as_uri(), using, folder / "out")


@pytest.mark.parametrize("form", ["kerchunk", "icechunk"])
def test_box_cuts_by_latitudes_of_the_group_beside(form: str, tmp_path: Path) -> None:
    answer = answered(form, granule(tmp_path / "granule" / "one.h5"), tmp_path)
    np.testing.assert_array_equal(answer.read("DATA/field"), VALUES[3:6, 3:7])
    with netCDF4.Dataset(answer.path) as nc:
        assert nc["DATA/field"].dimensions == ("lat", "lon")
        np.testing.assert_array_equal(nc["lat"][:], LAT[3:6])
        np.testing.assert_array_equal(nc["lon"][:], LON[3:7])
        assert (
            "DATA/field: dimensions of it are described in another group: /GEO/lat, /GEO/lon"
            in (nc.virtual_store_notes)
        )


@pytest.mark.parametrize("form", ["kerchunk", "icechunk"])
def test_box_cuts_by_latitudes_of_each_cell_of_the_group_beside(form: str, tmp_path: Path) -> None:
    answer = answered(form, granule(tmp_path / "granule" / "one.h5", curved=True), tmp_path)
    latitudes, longitudes = turned()
    cells = inside(longitudes, latitudes, BOX)
    check_cut(answer.read("DATA/field"), VALUES, cells, FILL)
    np.testing.assert_array_equal(answer.read("GEO/lat"), latitudes[window(cells)])


def test_dimension_of_the_same_name_in_a_third_group_is_not_taken_for_it(tmp_path: Path) -> None:
    path = granule(tmp_path / "granule" / "one.h5", other="OTHER/lat")
    with pytest.raises(UncutBoxError, match="cannot cut DATA/field"):
        answered("kerchunk", path, tmp_path)
