"""What is missing and what is a valid zero: decoded, an output equals its source.

kerchunk stores mix zarr's fill value with CF's (see `harmony_vds.stores.metadata`); opened naively
they turn zeros into missing data, or hand out -9999 as data.
"""

from pathlib import Path

import h5py
import netCDF4
import numpy as np
import pytest
import xarray as xr
from systems.kits import (
    FORMS,
    ask,
    described,
    place,
    raw,
    request,
    same_bits,
    services,
    write_store,
)


def whole(form: str, files: list[Path], folder: Path, along: str | None = None) -> Path:
    folder.mkdir(exist_ok=True)
    with place("file", files[0].parent, folder) as there:
        store = write_store(form, files, folder, there.granules, along=along)
        return ask(request(), there.stores + store, services(there), folder / "out").path


VALUES = {
    # name: (type, declared fill, values)
    "rain": ("i2", None, [0, 0, 5, -9999, -32768, 7]),
    "flag": ("i1", None, [0, 1, 2, 0, -127, 0]),
    "quality": ("u1", None, [0, 255, 1, 0, 0, 3]),
    "sst": ("i2", -9999, [0, -9999, 5, 0, -32768, 7]),
    "bare": ("f4", None, [0, -9999, np.nan, 1e-3, -0.0, 9]),
    "masked": ("f4", -9999, [0, -9999, np.nan, 1e-3, -0.0, 9]),
    "zero": ("i4", 0, [0, 1, 0, 2, -9999, 3]),
    "nan": ("f8", np.nan, [0, np.nan, 1, -9999, 2, 3]),
}


def by_netcdf4(path: Path) -> None:
    with netCDF4.Dataset(path, "w") as nc:
        nc.createDimension("x", 6)
        nc.createVariable("x", "f4", ("x",))[:] = np.arange(6)
        for name, (dtype, fill, values) in VALUES.items():
            variable = nc.createVariable(name, dtype, ("x",), fill_value=fill)
            variable.set_auto_maskandscale(False)
            variable[:] = np.array(values, dtype)


def by_h5py(path: Path) -> None:
    """HDF5's own fill value stays 0 whatever the attribute says; none is declared as 0."""
    with h5py.File(path, "w") as file:
        file["x"] = np.arange(6, dtype="f4")
        file["x"].make_scale("x")
        for name, (dtype, fill, values) in VALUES.items():
            if name == "zero":
                continue
            file.create_dataset(name, data=np.array(values, dtype), chunks=(6,))
            file[name].dims[0].attach_scale(file["x"])
            if fill is not None:
                file[name].attrs["_FillValue"] = np.array([fill], dtype)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("write", [by_netcdf4, by_h5py])
def test_only_what_the_variable_declares_is_missing(write, form: str, tmp_path: Path) -> None:
    source = tmp_path / "granules" / "values.nc"
    source.parent.mkdir()
    write(source)
    output = whole(form, [source], tmp_path / "stores")
    with xr.open_dataset(source) as theirs, xr.open_dataset(output) as ours:
        assert set(ours.variables) == set(theirs.variables)
        for name in set(VALUES) & set(map(str, theirs.variables)):
            assert same_bits(ours[name].values, theirs[name].values), name


def test_a_zero_declared_beside_undeclared_ones_cannot_be_told_in_kerchunk(
    tmp_path: Path,
) -> None:
    """h5py writes 0 as the fill of every array; kerchunk then writes 0 for both kinds alike.

    The zeros stay values: the numbers are those of the source, only the mark is lost. Such files
    keep the mark in icechunk and in VirtualiZarr's documents.
    """
    source = tmp_path / "granules" / "ambiguous.h5"
    source.parent.mkdir()
    with h5py.File(source, "w") as file:
        for name in ("declared", "undeclared"):
            file.create_dataset(name, data=np.array([0, 1, 2], "i2"), chunks=(3,))
        file["declared"].attrs["_FillValue"] = np.array([0], "i2")
    marks = {}
    for form in FORMS:
        output = whole(form, [source], tmp_path / form)
        assert raw(output, "declared").tolist() == [0, 1, 2]
        marks[form] = [described(output, name)[2].get("_FillValue")
                       for name in ("declared", "undeclared")]  # fmt: skip
    assert marks == {"icechunk": [0, None], "virtualizarr": [0, None], "kerchunk": [None, None]}


@pytest.mark.shared
@pytest.mark.parametrize("form", FORMS)
def test_flags_of_tempo_stay_integers_and_keep_their_zeros(
    form: str, data: Path, tmp_path: Path
) -> None:
    """Opened naively through kerchunk, 2,920 of the 2,996 flags become missing."""
    files = sorted((data / "s09_tempo_l3_groups").glob("*.nc4"))
    output = whole(form, files, tmp_path / "stores")
    with xr.open_datatree(files[0]) as theirs, xr.open_datatree(output) as ours:
        for path in ("product/main_data_quality_flag", "support_data/terrain_height", "weight"):
            assert same_bits(ours[path].values, theirs[path].values), path
    with xr.open_datatree(output, mask_and_scale=False) as ours:
        flags = ours["product/main_data_quality_flag"]
        assert flags.dtype == np.int16
        assert int((flags == 0).sum()) == 2920


@pytest.mark.shared
@pytest.mark.parametrize("form", FORMS)
def test_dry_cells_of_ssmis_are_not_missing(form: str, data: Path, tmp_path: Path) -> None:
    """Opened naively through kerchunk, all zeros of the rainfall rate become missing."""
    source = data / "s27_hoss_ssmis" / "f16_ssmis_20200102v7.nc"
    output = whole(form, [source], tmp_path / "stores")
    with xr.open_dataset(source) as theirs, xr.open_dataset(output) as ours:
        rain = ours["rainfall_rate"].values
        assert same_bits(rain, theirs["rainfall_rate"].values)
        assert rain.dtype == np.float32
        zeros = int((raw(source, "rainfall_rate") == 0).sum())
        assert int((rain == 0).sum()) == zeros > 700_000


@pytest.mark.shared
@pytest.mark.parametrize("form", FORMS)
def test_masks_of_joined_granules_equal_those_of_the_files(
    form: str, data: Path, tmp_path: Path
) -> None:
    """Two GHRSST days, packed in double precision, joined by kerchunk's MultiZarrToZarr too."""
    files = sorted((data / "s02_ghrsst_gamssa_daily").glob("*.nc"))
    output = whole(form, files, tmp_path / "stores", along="time")
    with xr.open_dataset(output) as ours:
        for step, path in enumerate(files):
            with xr.open_dataset(path) as theirs:
                for name in ("analysed_sst", "sea_ice_fraction", "mask"):
                    assert same_bits(ours[name].values[step], theirs[name].values[0]), name
                assert ours["time"].values[step] == theirs["time"].values[0]
