"""Every real series that can be one store is one, value for value; the others are refused."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
from building import bring_up_to_date, build, by_engine, by_kerchunk, contents
from systems.kits import paths_of, raw, same_bits

from harmony_vds.errors import StoreError

pytestmark = [
    pytest.mark.shared,
    pytest.mark.filterwarnings("ignore:The 'fastparquet' engine is deprecated"),
]

# Kit → files, the dimension they run along in the order of their times, and what must be said.
SERIES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "s01": ("s01_*/*.nc", "time", {}),
    "s02": ("s02_*/*.nc", "time", {}),
    "s03": ("s03_*/*.nc", "time", {}),
    "s04-classic": ("s04_*/*2011*.nc", "TIME", {}),
    "s04-hdf5": ("s04_*/*2024*.nc", "TIME", {}),
    "s07": ("s07_*/*.nc", "TIME", {}),
    "s20": ("s20_*/*.l2.nc", "NUMROWS", {"dimension": "NUMROWS"}),
    "s21": ("s21_*/*.nc4", "mirror_step", {}),
    "s27": ("s27_*/*0102v7.nc", "", {}),
}


def truth(files: Sequence[Path], path: str, along: str) -> np.ndarray:
    with netCDF4.Dataset(files[0]) as nc:
        dimensions = nc[path].dimensions
    if along not in dimensions:
        return raw(files[0], path)
    return np.concatenate([raw(own, path) for own in files], dimensions.index(along))


@pytest.mark.parametrize("kit", SERIES)
def test_series_is_one_store_with_every_value_of_its_files(
    kit: str, data: Path, tmp_path: Path
) -> None:
    pattern, along, choice = SERIES[kit]
    files = sorted(data.glob(pattern))
    build(files, tmp_path / "store", **choice)
    found = contents(tmp_path / "store")
    assert set(found) == paths_of(files[0])
    for path, (values, _) in found.items():
        assert same_bits(values, truth(files, path, along)), path


@pytest.mark.parametrize("kit", ["s03", "s07"])
@pytest.mark.parametrize("form", ["json", "parquet"])
def test_series_as_kerchunk_is_decoded_as_its_files_are(
    form: str, kit: str, data: Path, tmp_path: Path
) -> None:
    import xarray as xr

    pattern, along, choice = SERIES[kit]
    files = sorted(data.glob(pattern))[:3]
    build(files, tmp_path / f"store.{form}", **choice)
    found = by_kerchunk(tmp_path / f"store.{form}")
    ours = by_engine(tmp_path / f"store.{form}", data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        opened = [xr.open_dataset(own, decode_times=False).load() for own in files]
    for name, variable in found.variables.items():
        if np.issubdtype(variable.dtype, np.datetime64):
            continue
        own = [one.variables[name].values for one in opened]
        axis = variable.dims.index(along) if along in variable.dims else None
        expected = own[0] if axis is None else np.concatenate(own, axis)
        # JSON keeps no type of scale factors: float32 becomes float64, in the seventh digit.
        np.testing.assert_allclose(variable.values, expected, rtol=1e-6, err_msg=str(name))
        np.testing.assert_array_equal(ours[name].values, expected, str(name))
        assert ours[name].dtype == expected.dtype


def test_decades_whose_days_count_from_other_years_are_one_series(
    data: Path, tmp_path: Path
) -> None:
    files = sorted(data.glob("s06_*/*.nc"))[:2]
    built = build(files, tmp_path / "store")
    found = contents(tmp_path / "store")
    assert same_bits(found["/tas"][0], np.concatenate([raw(own, "tas") for own in files]))
    for name in ("time", "time_bnds"):
        instants = []
        for own in files:
            with netCDF4.Dataset(own) as nc:
                units, calendar = nc["time"].units, nc["time"].calendar
                instants.append(netCDF4.num2date(nc[name][:].data, units, calendar))
        values = found[f"/{name}"][0]
        ours = netCDF4.num2date(values, found["/time"][1]["units"], calendar)
        assert (ours == np.concatenate(instants)).all()
    assert any("time_bnds counts from another instant" in own for own in built.notes)


@pytest.mark.parametrize("pattern", ["s13_*/*.tif", "s14_*/*METRIC.tif", "s14_*/*STATUS.tif"])
def test_stack_of_geotiffs_is_one_series_by_the_dates_in_their_names(
    pattern: str, data: Path, tmp_path: Path
) -> None:
    import rasterio

    files = sorted(data.glob(pattern))
    build(files, tmp_path / "store", time_from="name")
    found = contents(tmp_path / "store")
    opened = [rasterio.open(own) for own in files]
    expected = np.stack([own.read(1) for own in opened])
    np.testing.assert_array_equal(found["/data"][0], expected)
    times = found["/time"][0]
    assert (np.diff(times) > 0).all()
    assert times.size == len(files)
    columns, rows = np.meshgrid(np.arange(opened[0].width), np.arange(opened[0].height))
    x, y = opened[0].xy(rows.ravel(), columns.ravel())
    np.testing.assert_allclose(found["/x"][0], np.reshape(x, columns.shape)[0], rtol=0, atol=1e-6)
    np.testing.assert_allclose(found["/y"][0], np.reshape(y, rows.shape)[:, 0], rtol=0, atol=1e-6)
    assert str(opened[0].crs.to_epsg()) in found["/spatial_ref"][1]["crs_wkt"]
    for own in opened:
        own.close()


@pytest.mark.parametrize(
    "pattern, told",
    [
        ("s04_*/*.nc", "differs from the first granule in its variables: UCUR_MEAN, VCUR_MEAN"),
        ("s11_*/*.h5", "conflicting sizes"),
        ("s12_*/*.h5", "conflicting sizes"),
        ("s16_*/*daily*.nc", "in its variables: melt_onset_day_cdr_seaice_conc"),
        ("s20_*/*.l2.nc", "--dimension"),
        ("s13_*/*.tif", "--time-from"),
    ],
)
def test_series_that_cannot_be_one_store_is_refused_saying_why(
    pattern: str, told: str, data: Path, tmp_path: Path
) -> None:
    from harmony_vds.errors import RequestError

    files = sorted(data.glob(pattern))
    with pytest.raises((StoreError, RequestError)) as refused:
        build(files, tmp_path / "store")
    assert told in str(refused.value)
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("kit, dropped", [("s07", 1), ("s21", 0)])
def test_real_granules_come_and_go_and_leave_what_a_fresh_store_holds(
    kit: str, dropped: int, data: Path, tmp_path: Path
) -> None:
    """Those of s21 have 132, 132 and 131 steps, each a chunk."""
    pattern, along, _ = SERIES[kit]
    files = sorted(data.glob(pattern))
    build(files[:2], tmp_path / "store")
    bring_up_to_date(files, tmp_path / "store")
    left = [own for number, own in enumerate(files) if number != dropped]
    for now in (files, left):
        if now is left:
            bring_up_to_date(left, tmp_path / "store", removing=True)
        for path, (values, _) in contents(tmp_path / "store").items():
            assert same_bits(values, truth(now, path, along)), path
