"""NSIDC SMAP L4: kerchunk Parquet that no record names, in metres, without its grid mapping."""

import json
import shutil
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import netCDF4
import numpy as np
import pytest
import virtualizarr.accessor  # noqa: F401  gives datasets their .vz
import xarray as xr
from pyproj import CRS
from systems.kits import raw
from systems.places import check_cut, inside, on_plane, window
from systems.published import CONCEPT, LAYOUTS, Publication, lengthened_dataset, publishing
from world import umm_grid, virtual_dataset

SMAP = LAYOUTS["smap"]
GROUP = SMAP["group"]
FIELDS = tuple(SMAP["variables"])
OTHERS = tuple(SMAP["others"])
CELLS = tuple(SMAP["repeated"])
STEPS, FULL = 5, SMAP["dimensions"]["time"]
ROWS, COLUMNS = SMAP["dimensions"]["y"] // 8, SMAP["dimensions"]["x"] // 8
CELL = 8 * SMAP["cell"]
MISSING = np.float32(SMAP["missing_attribute"]["fmissing_value"])
MAPPING = SMAP["missing_grid_mapping"]
UNITS = "seconds since 2000-01-01 12:00:00"
FIRST = np.datetime64("2015-03-31T01:30", "s")
THREE_HOURS = np.timedelta64(SMAP["hours"], "h")
X = CELL * (np.arange(COLUMNS) - (COLUMNS - 1) / 2)
Y = CELL * ((ROWS - 1) / 2 - np.arange(ROWS))


@pytest.fixture(scope="module")
def granules(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("published") / "granules"
    folder.mkdir()
    return [granule(folder / f"{step}.h5", step) for step in range(STEPS)]


def granule(path: Path, step: int) -> Path:
    """One time, which only the name of the file tells; coordinates in the root group."""
    rng = np.random.default_rng(step)
    sea = (X[None, :] % 7e6 < 4e6) & (Y[:, None] < 3e6)
    with h5py.File(path, "w") as file:
        for name, values in (("y", Y), ("x", X)):
            file[name] = values
            file[name].make_scale(name)
            file[name].attrs.update(
                {"standard_name": f"projection_{name}_coordinate", "units": "m",
                 "axis": name.upper()}
            )  # fmt: skip
        place = np.meshgrid(np.linspace(85, -85, ROWS), np.linspace(-180, 180, COLUMNS),
                            indexing="ij")  # fmt: skip
        numbers = np.meshgrid(np.arange(ROWS), np.arange(COLUMNS), indexing="ij")
        values = dict(zip(CELLS, (*place, *numbers), strict=True))
        for name, own in values.items():
            dtype = "u4" if name in CELLS[2:] else "f4"
            dataset(file, name, own.astype(dtype), {"grid_mapping": MAPPING})
        for number, name in enumerate(FIELDS):
            own = np.round(rng.normal(number, 0.1, (ROWS, COLUMNS)), 3).astype("f4")
            own[sea] = MISSING
            dataset(file, f"{GROUP}/{name}", own, {
                "units": "m3 m-3", "grid_mapping": MAPPING, "coordinates": " ".join(CELLS[:2]),
                "fmissing_value": MISSING})  # fmt: skip
    return path


def dataset(file: h5py.File, name: str, values: np.ndarray, attributes: dict[str, Any]) -> None:
    own = file.create_dataset(name, data=values, chunks=values.shape, compression=4, shuffle=True)
    own.attrs.update(attributes)
    own.dims[0].attach_scale(file["y"])
    own.dims[1].attach_scale(file["x"])


@pytest.fixture
def published(granules: list[Path]) -> Iterator[Publication]:
    with publishing(granules[0].parent.parent, short_name=SMAP["short_name"]) as publication:
        yield publication


def combined(granules: Sequence[Path], steps: int) -> xr.Dataset:
    """All granules as one: the group merged into the root, times from the files' names."""
    parts = []
    for path in granules:
        root, group = virtual_dataset([path]), virtual_dataset([path], group=GROUP)
        parts.append(root.assign(group.variables).expand_dims("time"))
    own = xr.concat(parts, dim="time", data_vars="all", coords="minimal", compat="override",
                    join="override", combine_attrs="drop_conflicts")  # fmt: skip
    seconds = FIRST + THREE_HOURS * np.arange(steps) - np.datetime64("2000-01-01T12:00", "s")
    axis = xr.Variable(("time",), seconds.astype("i8"),
                       {"units": UNITS, "calendar": "proleptic_gregorian"})  # fmt: skip
    return lengthened_dataset(own, {"time": axis})


def store(
    publication: Publication, granules: Sequence[Path], steps: int = STEPS, rows: int = 2
) -> str:
    """The store in records of `rows` references; an operator names it, and no record does."""
    here = {path.as_uri(): publication.url(path) for path in granules}
    own = combined(granules, steps).vz.rename_paths(here.__getitem__)
    folder = publication.root / SMAP["href"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        own.vz.to_kerchunk(str(folder), format="parquet", record_size=rows)
    add_fields(folder)
    table = publication.root / "collections.toml"
    table.write_text(
        f'[{SMAP["short_name"]}]\nstores = [{{ url = "{publication.url(folder)}" }}]\n'
    )
    publication.environment["HARMONY_VDS_COLLECTIONS_FILE"] = str(table)
    return publication.url(folder)


def add_fields(folder: Path) -> None:
    """The other fields of the publication, which refer to the values of the first."""
    document = folder / ".zmetadata"
    told = json.loads(document.read_text())
    for name in OTHERS:
        shutil.copytree(folder / FIELDS[0], folder / name)
        for part in (".zarray", ".zattrs"):
            told["metadata"][f"{name}/{part}"] = told["metadata"][f"{FIELDS[0]}/{part}"]
    document.write_text(json.dumps(told))


def truth(granules: Sequence[Path], name: str = "sm_surface") -> np.ndarray:
    """All granules' values; shape (granule, y, x)."""
    fields = []
    for path in granules:
        with h5py.File(path) as file:
            fields.append(file[f"{GROUP}/{name}"][:])
    return np.stack(fields)


def records_read(publication: Publication) -> set[str]:
    """The record files that were asked for, below the store."""
    return {path.partition(".parquet/")[2] for path in publication.archive.paths()
            if path.endswith(".parq")}  # fmt: skip


def span(first: int, last: int) -> dict[str, str]:
    """The time range of two steps."""
    start, end = (FIRST + THREE_HOURS * step for step in (first, last))
    return {"start": f"{start}Z", "end": f"{end}Z"}


def test_time_range_is_that_of_the_granules_with_its_mask_and_projection(
    published: Publication, granules: list[Path], tmp_path: Path
) -> None:
    href = store(published, granules)
    outcome = published.invoke(tmp_path, ["Geophysical_Data/sm_surface"], temporal=span(2, 3),
                               short_name=SMAP["short_name"])  # fmt: skip
    assert outcome.status == 0, outcome.error
    assert outcome.items[0]["properties"]["virtual_store:href"] == href
    expected = truth(granules)[2:4]
    with netCDF4.Dataset(outcome.data[0]) as nc:
        surface = nc["sm_surface"]
        np.testing.assert_array_equal(np.ma.getmaskarray(surface[:]), expected == MISSING)
        assert (expected == MISSING).any()
        surface.set_auto_maskandscale(False)
        np.testing.assert_array_equal(surface[:], expected)
        assert surface.getncattr("_FillValue") == MISSING
        np.testing.assert_array_equal(nc["x"][:], X)
        np.testing.assert_array_equal(nc["y"][:], Y)
        moments = netCDF4.num2date(nc["time"][:], nc["time"].units)
        assert [str(own) for own in moments] == ["2015-03-31 07:30:00", "2015-03-31 10:30:00"]
        mapping = nc[surface.grid_mapping]
        told = CRS.from_cf({key: mapping.getncattr(key) for key in mapping.ncattrs()})
        assert told.equals(CRS.from_epsg(SMAP["epsg"]))
        assert told.to_epsg() == SMAP["epsg"]
    for repair in ("its fmissing_value -9999 marks missing data", f"its grid mapping {MAPPING}"):
        assert repair in outcome.stderr  # what was repaired is told, both of it
    touched = {own for own in records_read(published) if own.split("/")[0] in (*FIELDS, *OTHERS)}
    assert touched == {"sm_surface/refs.1.parq"}


def test_projection_that_the_store_lacks_is_taken_from_the_record_of_its_grid(
    published: Publication, granules: list[Path], tmp_path: Path
) -> None:
    store(published, granules)
    metadata = published.root / SMAP["href"] / ".zmetadata"
    metadata.write_text(metadata.read_text().replace(MAPPING, "unheard_of"))
    published.records["GRD1-TEST"] = umm_grid("GRD1-TEST", "M09", "EPSG:6933", ROWS, COLUMNS)
    published.records[CONCEPT]["meta"]["associations"] = {"grids": ["GRD1-TEST"]}
    outcome = published.invoke(tmp_path, ["sm_surface"], temporal=span(2, 2),
                               short_name=SMAP["short_name"])  # fmt: skip
    del published.records[CONCEPT]["meta"]["associations"]
    assert outcome.status == 0, outcome.error
    with netCDF4.Dataset(outcome.data[0]) as nc:
        mapping = nc[nc["sm_surface"].grid_mapping]
        assert mapping.name == "unheard_of"
        told = CRS.from_cf({key: mapping.getncattr(key) for key in mapping.ncattrs()})
        assert told.equals(CRS.from_epsg(SMAP["epsg"]))
        assert "the grid M09" in nc.virtual_store_notes


@pytest.mark.parametrize("box", [(-20.5, -33, 31, 20.5), (165, -85, -160.5, -40)])
def test_box_in_degrees_keeps_the_cells_whose_centres_lie_in_it(
    box: tuple[float, ...], published: Publication, granules: list[Path], tmp_path: Path
) -> None:
    store(published, granules)
    outcome = published.invoke(tmp_path, ["sm_surface"], bbox=list(box), temporal=span(2, 3),
                               short_name=SMAP["short_name"])  # fmt: skip
    assert outcome.status == 0, outcome.error
    cells = inside(*on_plane(SMAP["epsg"], X, Y), box)
    check_cut(raw(outcome.data[0], "sm_surface"), truth(granules)[2:4], cells, MISSING)
    rows, columns = window(cells)
    np.testing.assert_array_equal(raw(outcome.data[0], "x"), X[columns])
    np.testing.assert_array_equal(raw(outcome.data[0], "y"), Y[rows])
    assert MAPPING in outcome.stderr  # that its grid mapping was missing is told


def test_collection_of_which_no_record_tells_is_refused_naming_the_operators_table(
    published: Publication, tmp_path: Path
) -> None:
    outcome = published.invoke(tmp_path, ["sm_surface"], short_name=SMAP["short_name"])
    assert outcome.status != 0
    assert "HARMONY_VDS_COLLECTIONS_FILE" in outcome.error["error"]


@pytest.mark.scale
def test_month_of_the_whole_record_asks_for_one_record_of_references(
    published: Publication, granules: list[Path], tmp_path: Path
) -> None:
    store(published, granules, FULL, SMAP["record_size"])
    first = FULL - 248
    outcome = published.invoke(tmp_path, ["sm_rootzone"], temporal=span(first, FULL - 1),
                               short_name=SMAP["short_name"])  # fmt: skip
    assert outcome.status == 0, outcome.error
    with netCDF4.Dataset(outcome.data[0]) as nc:
        nc.set_auto_maskandscale(False)
        expected = truth(granules, "sm_rootzone")[np.arange(first, FULL) % STEPS]
        np.testing.assert_array_equal(nc["sm_rootzone"][:], expected)
    touched = {own for own in records_read(published) if own.split("/")[0] in (*FIELDS, *OTHERS)}
    assert touched == {"sm_rootzone/refs.0.parq"}
    assert published.archive.paths().count(f"/{SMAP['href']}/sm_rootzone/refs.0.parq") == 1
