"""Subsets of real products, compared bit for bit with the source files.

Every kit is virtualised in every form that can hold it and published at every kind of place. What
must come out is worked out in `systems.kits` from the source files alone.
"""

from datetime import UTC, datetime
from pathlib import Path

import netCDF4
import numpy as np
import pytest
from systems.kits import (
    FORMS,
    PLACES,
    Answer,
    Kit,
    ask,
    described,
    expected_positions,
    expected_values,
    paths_of,
    place,
    raw,
    request,
    root_attributes,
    same_bits,
    services,
    write_store,
)

from harmony_vds.errors import NoDataError
from harmony_vds.pipeline import prepare

pytestmark = pytest.mark.shared


def utc(*fields: int) -> datetime:
    return datetime(*fields, tzinfo=UTC)


KITS = {
    # Five files that all carry the same time; the box crosses the edge of the data at 180 degrees.
    "s01": Kit("s01_harmony_example_daily", "*.nc", ("/red_var", "/alpha_var"),
               (175.02, -10.03, -170.02, 12.53), (utc(2020, 1, 1), utc(2020, 1, 2)),
               accompanying=("/crs",)),
    "s02": Kit("s02_ghrsst_gamssa_daily", "*.nc", ("/analysed_sst", "/mask"),
               (140.05, -44.0, 162.4, -9.95), (utc(2024, 10, 12), utc(2024, 10, 12, 23)),
               accompanying=("/crs",)),
    # netCDF-3, big-endian; the box crosses the edge of the data at 0 degrees.
    "s03": Kit("s03_ghrsst_ostia_daily", "*.nc", ("/analysed_sst", "/sst_anomaly"),
               (-20.3, -10.2, 30.3, 20.2), (utc(2017, 6, 6), utc(2017, 6, 7, 12))),
    # The time is a scalar; names are arrays of characters; the box crosses 180 degrees inside.
    "s05": Kit("s05_nasa_ssh", "*.nc", ("/SSHA", "/basin_mask", "/basin_names_table"),
               (170.1, -20.1, -165.1, 20.1), (utc(2024, 1, 1), utc(2024, 12, 31)),
               lat="/latitude", lon="/longitude", joined=False),
    # Groups, their coordinates at the root.
    "s09": Kit("s09_tempo_l3_groups", "*.nc4",
               ("/product/main_data_quality_flag", "/product/vertical_column",
                "/support_data/terrain_height", "/weight"),
               (0.0, 0.0, 0.0, 0.0), (utc(2025, 9, 1), utc(2025, 9, 30)),
               lat="/latitude", lon="/longitude", joined=False),
    # HDF5 without the netCDF library's marks; the box crosses the edge of the data at 0 degrees.
    "s27": Kit("s27_hoss_ssmis", "f16_ssmis_20200102v7.nc", ("/rainfall_rate", "/sst_dtime"),
               (-7.5, -60.0, 7.5, -45.0), (utc(2020, 1, 2), utc(2020, 1, 2, 1, 30)),
               lat="/latitude", lon="/longitude", joined=False),
}  # fmt: skip


def kit_and_files(name: str, form: str, data: Path) -> tuple[Kit, list[Path]]:
    """A kit and those of its granules that a form can hold."""
    kit = KITS[name]
    files = kit.files(data)
    if name == "s09":  # a box of about half the grid, its edges between centres
        lat, lon = raw(files[0], kit.lat), raw(files[0], kit.lon)
        edges = ((lon[20] + lon[21]) / 2, (lat[5] + lat[6]) / 2,
                 (lon[80] + lon[81]) / 2, (lat[20] + lat[21]) / 2)  # fmt: skip
        kit = Kit(**{**vars(kit), "box": tuple(map(float, edges))})
    if name == "s01" and form == "kerchunk":
        files = files[:1]  # kerchunk joins by time, and all five have the same
    return kit, files


CASES = [
    pytest.param((name, form, scheme, reader), id=f"{name}-{form}-{scheme}-{reader}")
    for name in KITS
    for form in FORMS
    for scheme, reader in (*((scheme, "planned") for scheme in PLACES), ("file", "zarr"))
    # The kerchunk library reads netCDF-3 only with SciPy, which is not among the dependencies.
    if (name, form) != ("s03", "kerchunk")
]


@pytest.mark.parametrize("case", CASES)
def test_subset_of_real_granules_equals_the_source_bit_for_bit(
    case: tuple[str, str, str, str],
    data: Path,
    s3: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name, form, scheme, reader = case
    monkeypatch.setenv("HARMONY_VDS_READER", reader)
    kit, files = kit_and_files(name, form, data)
    shelf = tmp_path / "stores"
    shelf.mkdir()
    with place(scheme, files[0].parent, shelf, s3) as there:
        store = write_store(form, files, shelf, there.granules)
        there.publish()
        wanted = request(kit.variables, kit.box, kit.times)
        answer = ask(wanted, there.stores + store, services(there), tmp_path / "out")

    kept = expected_positions(kit, files)
    expected = {*kit.variables, kit.lat, kit.lon, kit.time, *kit.accompanying}
    assert paths_of(answer.path) == expected
    for path in expected:
        truth = expected_values(kit, files, path, kept)
        assert truth.size, "the request must mean something"
        assert same_bits(answer.read(path), truth), path
        assert_described_as_in_source(path, form, answer, files, kept.longitudes)
    assert_root_described_as_in_source(answer, files)


# Attributes whose type decides what the numbers mean.
_TYPED = {"_FillValue", "scale_factor", "add_offset", "flag_values", "flag_masks"}
_RANGES = {"valid_min", "valid_max", "valid_range", "actual_range"}


def assert_described_as_in_source(
    path: str, form: str, answer: Answer, files: list[Path], longitudes: np.ndarray
) -> None:
    dimensions, dtype, theirs = described(files[0], path)
    own_dimensions, own_dtype, ours = described(answer.path, path)
    assert own_dimensions == dimensions
    # netCDF-3 is big-endian; the output is of the machine's byte order, bit for bit the same.
    assert own_dtype == dtype.newbyteorder("=")
    if form == "kerchunk" and path == f"/{dimensions[0] if dimensions else ''}":
        # kerchunk writes the library's default fill for coordinates that declare it and for those
        # that do not alike; a coordinate has no missing values, so it is not declared.
        default = netCDF4.default_fillvals[dtype.str[1:]]
        theirs = {k: v for k, v in theirs.items() if k != "_FillValue" or v != dtype.type(default)}
    # It tells where the first cell is, here in another order of rows than the latitudes have: of a
    # window it would say nothing that is true.
    theirs = {k: v for k, v in theirs.items() if k != "GeoTransform"}
    assert set(ours) == set(theirs)
    for key, value in theirs.items():
        if key in _RANGES and path.endswith(("lon", "longitude")):
            assert np.min(ours[key]) <= longitudes.min() or key == "valid_max"
            assert np.max(ours[key]) >= longitudes.max() or key == "valid_min"
            continue
        assert np.array_equal(ours[key], value, equal_nan=_is_float(value)), (path, key)
        if key in _TYPED and not (key.startswith("flag") or _is_short(value)):
            assert np.asarray(ours[key]).dtype == np.asarray(value).dtype, (path, key)
        if key in _RANGES and _is_float(value) and "scale_factor" in theirs:
            # On packed integers a floating limit is one of unpacked numbers and must stay so.
            assert np.asarray(ours[key]).dtype.kind == "f", (path, key)
        if key in _RANGES and np.asarray(value).dtype.kind in "iu":
            assert np.asarray(ours[key]).dtype == np.asarray(value).dtype, (path, key)


def _is_float(value: object) -> bool:
    return np.asarray(value).dtype.kind == "f"


def _is_short(value: object) -> bool:
    """Whether a number looks the same in single and double precision, as 0.0 and 0.5 do."""
    return float(np.asarray(value).ravel()[0]).is_integer()


def assert_root_described_as_in_source(answer: Answer, files: list[Path]) -> None:
    """Root attributes that all granules agree on stay, but for those that tell of coverage."""
    coverage = ("time_coverage", "geospatial", "westernmost", "easternmost", "southernmost",
                "northernmost", "start_time", "stop_time")  # fmt: skip
    recomputed = {key for key in root_attributes(files[0]) if key.startswith(coverage)}
    recomputed |= {"history", "history_json", "date_modified"}
    sources = [root_attributes(path) for path in files]
    ours = root_attributes(answer.path)
    agreed = {
        key: value
        for key, value in sources[0].items()
        if key not in recomputed and all(np.array_equal(own.get(key), value) for own in sources)
    }
    assert agreed
    for key, value in agreed.items():
        if value == "":  # VirtualiZarr and kerchunk write an empty text as a blank
            assert not ours[key].strip(), key
            continue
        assert np.array_equal(ours[key], value), key


@pytest.mark.parametrize("form", FORMS)
def test_whole_store_comes_out_with_every_group_and_value(
    form: str, data: Path, tmp_path: Path
) -> None:
    _, files = kit_and_files("s09", form, data)
    with place("file", files[0].parent, tmp_path) as there:
        store = write_store(form, files, tmp_path, there.granules)
        answer = ask(request(), there.stores + store, services(there), tmp_path / "out")
    assert paths_of(answer.path) == paths_of(files[0])
    for path in paths_of(files[0]):
        assert same_bits(answer.read(path), raw(files[0], path)), path


def test_kerchunk_joins_equal_times_into_one_and_the_step_is_whole(
    data: Path, tmp_path: Path
) -> None:
    """MultiZarrToZarr places granules by their time: of five with the same, one step is left.

    The last file to be placed wins, and the answer is that file, unmixed.
    """
    kit, _ = kit_and_files("s01", "icechunk", data)
    files = kit.files(data)
    with place("file", files[0].parent, tmp_path) as there:
        store = write_store("kerchunk", files, tmp_path, there.granules)
        wanted = request(("/red_var",), (10.0, 10.0, 60.0, 60.0))
        answer = ask(wanted, there.stores + store, services(there), tmp_path / "out")
    lat, lon = raw(files[0], "/lat"), raw(files[0], "/lon")
    rows = np.flatnonzero((lat >= 10) & (lat <= 60))
    columns = np.flatnonzero((lon >= 10) & (lon <= 60))
    last = raw(files[-1], "/red_var")[:, rows][:, :, columns]
    assert same_bits(answer.read("/red_var"), last)


def test_time_outside_the_record_is_no_data(data: Path, tmp_path: Path) -> None:
    kit, files = kit_and_files("s05", "icechunk", data)
    with place("file", files[0].parent, tmp_path) as there:
        store = write_store("icechunk", files, tmp_path, there.granules)
        wanted = request(kit.variables, None, (utc(1999, 1, 1), utc(1999, 2, 1)))
        with services(there) as using, pytest.raises(NoDataError, match="2024-09-23"):
            prepare(wanted, using, there.stores + store)


POLAR = Kit("s16_seaice_polar", "*daily_nh*.nc",
            ("/cdr_seaice_conc", "/qa_of_cdr_seaice_conc", "/stdev_of_cdr_seaice_conc"),
            (-30, 60, 30, 80), (utc(2021, 12, 1), utc(2022, 1, 1)))  # fmt: skip
RADAR = Kit("s07_radar_hourly", "*.nc", ("/UCUR", "/NOBS1"), (150, -30, 160, -20),
            (utc(2024, 1, 1, 0, 30), utc(2024, 1, 1, 2, 30)))  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_polar_grid_is_cut_by_variables_and_time_bit_for_bit(
    form: str, data: Path, tmp_path: Path
) -> None:
    files = POLAR.files(data)
    with place("file", files[0].parent, tmp_path) as there:
        store = write_store(form, files, tmp_path, there.granules, along=None)
        wanted = request(POLAR.variables, None, POLAR.times)
        answer = ask(wanted, there.stores + store, services(there), tmp_path / "out")
    expected = {*POLAR.variables, "/time", "/xgrid", "/ygrid", "/projection"}
    assert paths_of(answer.path) == expected
    for path in expected:
        assert same_bits(answer.read(path), raw(files[0], path)), path
        declared = described(files[0], path)[2].get("_FillValue")
        ours = described(answer.path, path)[2].get("_FillValue")
        if path in ("/time", "/xgrid", "/ygrid") and form == "kerchunk":
            continue  # 1-D: the library's default fill may stand for an undeclared one
        assert np.array_equal(ours, declared), path


@pytest.mark.parametrize("form", FORMS)
def test_curvilinear_grid_is_cut_by_variables_and_time_bit_for_bit(
    form: str, data: Path, tmp_path: Path
) -> None:
    files = RADAR.files(data)
    with place("file", files[0].parent, tmp_path) as there:
        store = write_store(form, files, tmp_path, there.granules, along="TIME")
        wanted = request(RADAR.variables, None, RADAR.times)
        answer = ask(wanted, there.stores + store, services(there), tmp_path / "out")
    expected = {*RADAR.variables, "/TIME", "/LATITUDE", "/LONGITUDE", "/I", "/J"}
    assert paths_of(answer.path) >= expected
    inside = files[1:3]  # 01:00 and 02:00 lie between 00:30 and 02:30
    for path in (*RADAR.variables, "/TIME"):
        truth = np.concatenate([raw(own, path) for own in inside])
        assert same_bits(answer.read(path), truth), path
    for path in ("/LATITUDE", "/LONGITUDE", "/I", "/J"):
        assert same_bits(answer.read(path), raw(files[0], path)), path
