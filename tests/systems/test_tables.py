"""Tables through the service, compared cell by cell with the granules read by netCDF4 alone."""

import csv
import math
from dataclasses import replace
from pathlib import Path

import netCDF4
import numpy as np
import pyarrow.parquet
import pytest
from invocation import invoke, make_message
from servers import cmr_server
from systems.kits import Answer, ask, place, raw, request, services, write_store
from world import umm_collection, virtual_dataset, write_days, write_icechunk

from harmony_vds.errors import TooLargeError, UnsupportedError
from harmony_vds.model.formats import CSV, PARQUET
from harmony_vds.model.places import Place
from harmony_vds.outputs.cells import unarmed_text
from harmony_vds.outputs.rows import blocks_of

GOLDEN = Path(__file__).parents[1] / "golden"
BOX = (12, -45, 60, 20)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_days(tmp_path_factory.mktemp("tables") / "granules", 3)


def table(
    files: list[Path], folder: Path, media_type: str = CSV, *, settings: dict | None = None,
    variables: tuple[str, ...] = ("analysed_sst", "mask"), form: str = "icechunk", **wanted: object,
) -> Answer:  # fmt: skip
    with place("file", files[0].parent, folder) as there:
        store = write_store(form, files, folder, there.granules)
        asked = replace(request(variables=variables), media_type=media_type, **wanted)
        return ask(asked, there.stores + store, services(there, **(settings or {})), folder / "out")


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def truth(files: list[Path]) -> list[tuple[str, float, float, float | None, int]]:
    """Time, latitude, longitude, temperature and mask of each cell in the box, in row order."""
    west, south, east, north = BOX
    found = []
    for path in files:
        with netCDF4.Dataset(path) as nc:
            moment = netCDF4.num2date(nc["time"][0], nc["time"].units)
            lat, lon = nc["lat"][:].data, nc["lon"][:].data
            sst, mask = nc["analysed_sst"][0], nc["mask"][0]
        for i in np.flatnonzero((lat >= south) & (lat <= north)):
            for j in np.flatnonzero((lon >= west) & (lon <= east)):
                value = None if sst.mask[i, j] else float(sst[i, j])
                found.append((moment.strftime("%Y-%m-%dT%H:%M:%SZ"), float(lat[i]), float(lon[j]),
                              value, int(mask[i, j])))  # fmt: skip
    return found


@pytest.mark.parametrize("form", ["icechunk", "kerchunk"])
def test_csv_of_a_box_holds_every_cell_decoded_in_order(
    form: str, files: list[Path], tmp_path: Path
) -> None:
    box = request(box=BOX).bbox
    answer = table(files, tmp_path, form=form, bbox=box)
    assert answer.output.media_type == "text/csv"
    assert answer.path.suffix == ".csv"
    rows, expected = rows_of(answer.path), truth(files)
    assert list(rows[0]) == ["time", "latitude", "longitude", "analysed_sst", "mask"]
    assert len(rows) == len(expected) == answer.prepared.plan.cost.rows
    for row, (moment, lat, lon, sst, mask) in zip(rows, expected, strict=True):
        assert (row["time"], float(row["latitude"]), float(row["longitude"])) == (moment, lat, lon)
        assert row["mask"] == str(mask)
        assert (row["analysed_sst"] == "") == (sst is None)
        if sst is not None:
            assert float(row["analysed_sst"]) == pytest.approx(sst, rel=2e-7)


def test_parquet_holds_the_same_with_types_units_and_provenance(
    files: list[Path], tmp_path: Path
) -> None:
    box = request(box=BOX).bbox
    answer = table(files, tmp_path, PARQUET, bbox=box)
    read = pyarrow.parquet.read_table(answer.path)
    expected = truth(files)
    moments = [own.strftime("%Y-%m-%dT%H:%M:%SZ") for own in read["time"].to_pylist()]
    assert moments == [own[0] for own in expected]
    assert read["latitude"].to_pylist() == [own[1] for own in expected]
    assert read["longitude"].to_pylist() == [own[2] for own in expected]
    assert read["mask"].to_pylist() == [own[4] for own in expected]
    for value, (_, _, _, sst, _) in zip(read["analysed_sst"].to_pylist(), expected, strict=True):
        assert value == pytest.approx(sst, rel=2e-7) if sst is not None else value is None
    field = read.schema.field("analysed_sst")
    assert str(field.type) == "float"
    assert field.metadata[b"units"] == b"kelvin"
    assert b"history_json" in read.schema.metadata[b"attributes"]
    assert str(read.schema.field("time").type) == "timestamp[us, tz=UTC]"


def test_table_of_places_has_their_names_cells_and_distances(
    files: list[Path], tmp_path: Path
) -> None:
    places = (Place(10.5, -20.25, "=cmd()"), Place(-150.0, 33.0, 'a "b", c'))
    rows = rows_of(table(files, tmp_path, variables=("analysed_sst",), points=places).path)
    assert [row["station"] for row in rows] == ["'=cmd()"] * 3 + ['a "b", c'] * 3
    lat, lon = raw(files[0], "lat"), raw(files[0], "lon")
    for row, own in zip(rows, [places[0]] * 3 + [places[1]] * 3, strict=True):
        assert float(row["latitude"]) == lat[np.abs(lat - own.latitude).argmin()]
        assert float(row["longitude"]) == lon[np.abs(lon - own.longitude).argmin()]
        assert float(row["requested_longitude"]) == own.longitude
        assert 0 < float(row["distance_km"]) < 400
    with netCDF4.Dataset(files[1]) as nc:
        sst = nc["analysed_sst"][0]
    i, j = np.abs(lat - 33.0).argmin(), np.abs(lon + 150.0).argmin()
    assert float(rows[4]["analysed_sst"]) == pytest.approx(float(sst[i, j]), rel=2e-7)


def test_rows_outside_of_a_shape_are_left_out(files: list[Path], tmp_path: Path) -> None:
    triangle = '{"type": "Polygon", "coordinates": [[[0,0],[60,0],[0,60],[0,0]]]}'
    rows = rows_of(table(files, tmp_path, variables=("mask",), shape=triangle).path)
    lat, lon = raw(files[0], "lat"), raw(files[0], "lon")
    inside = {
        (float(y), float(x)) for y in lat for x in lon if y >= 0 and x >= 0 and x + y <= 60
    }  # fmt: skip
    assert {(float(r["latitude"]), float(r["longitude"])) for r in rows} == inside
    assert len(rows) == 3 * len(inside)


def test_variables_without_common_rows_are_refused_before_reading(tmp_path: Path) -> None:
    granules = tmp_path / "granules"
    granules.mkdir()
    with netCDF4.Dataset(granules / "a.nc", "w") as nc:
        for name, size in (("x", 3), ("y", 4)):
            nc.createDimension(name, size)
        nc.createVariable("a", "f4", ("x",))[:] = [1, 2, 3]
        nc.createVariable("b", "f4", ("y",))[:] = [1, 2, 3, 4]
    with pytest.raises(UnsupportedError, match=r"b \(y\) and a \(x\) differ|a \(x\) and b \(y\)"):
        table([granules / "a.nc"], tmp_path, variables=("a", "b"), form="kerchunk")


def test_a_dimension_without_coordinate_is_counted_and_scalars_are_repeated(tmp_path: Path) -> None:
    granules = tmp_path / "granules"
    granules.mkdir()
    with netCDF4.Dataset(granules / "a.nc", "w") as nc:
        nc.createDimension("band", 3)
        own = nc.createVariable("a", "i8", ("band",), fill_value=2**62)
        own[:] = np.ma.array([1, 0, 2**53 + 1], mask=[0, 1, 0])
        nc.createVariable("scale", "f8", ())[...] = 0.1
    answer = table([granules / "a.nc"], tmp_path, variables=("a", "scale"), form="kerchunk")
    assert rows_of(answer.path) == [
        {"band": "0", "a": "1", "scale": "0.1"},
        {"band": "1", "a": "", "scale": "0.1"},
        {"band": "2", "a": str(2**53 + 1), "scale": "0.1"},
    ]


def test_too_many_rows_are_refused_with_their_number_and_what_fits(
    files: list[Path], tmp_path: Path
) -> None:
    with pytest.raises(TooLargeError, match=r"7,776 rows.*HARMONY_VDS_MAX_ROWS") as told:
        table(files, tmp_path, settings={"max_rows": 3000}, variables=("analysed_sst",))
    assert "1 of 3 steps" in str(told.value)


def test_blocks_of_rows_go_through_an_array_in_c_order() -> None:
    for shape in ((), (5,), (3, 4), (2, 3, 4), (7, 1, 5)):
        numbers = np.arange(math.prod(shape)).reshape(shape)
        for rows in (1, 2, 3, 7, 1000):
            parts = [numbers[block].ravel() for block in blocks_of(shape, rows)]
            np.testing.assert_array_equal(np.concatenate(parts), numbers.ravel())
            assert all(part.size <= max(rows, 1) for part in parts)


@pytest.mark.parametrize(
    ("text", "shown"),
    [("=1+1", "'=1+1"), ("+4", "'+4"), ("-x", "'-x"), ("@a", "'@a"), ("a=b", "a=b"), ("", "")],
)
def test_text_is_no_formula_for_a_spreadsheet(text: str, shown: str) -> None:
    assert unarmed_text(text) == shown


@pytest.mark.parametrize("kind", ["point", "area"])
def test_series_in_the_layout_of_giovanni_is_as_expected(
    kind: str, files: list[Path], tmp_path: Path, regenerate: bool
) -> None:
    wanted = (
        {"point": (-150.0, 33.0)} if kind == "point"
        else {"average": "area", "bbox": request(box=(-170, -40, -110, 10)).bbox}
    )  # fmt: skip
    answer = table(
        files, tmp_path, settings={"csv_layout": "giovanni"}, variables=("analysed_sst",), **wanted
    )
    expected = GOLDEN / f"giovanni_{kind}.csv"
    if regenerate:
        expected.write_bytes(answer.path.read_bytes())
    assert answer.path.read_text() == expected.read_text()


def test_giovannis_layout_leaves_other_tables_tidy(files: list[Path], tmp_path: Path) -> None:
    box = request(box=BOX).bbox
    answer = table(files, tmp_path, settings={"csv_layout": "giovanni"}, bbox=box)
    assert list(rows_of(answer.path)[0])[:3] == ["time", "latitude", "longitude"]


def test_harmony_gets_a_point_as_csv(files: list[Path], tmp_path: Path) -> None:
    store = tmp_path / "store.icechunk"
    local = f"{files[0].parent.as_uri()}/"
    write_icechunk(store, {None: virtual_dataset(files)}, container=local)
    records = {"C1-TEST": umm_collection("C1-TEST", [store.as_uri()])}
    with cmr_server(records) as cmr:
        message = make_message(
            "C1-TEST", variables=["analysed_sst"], format={"mime": "text/csv"},
            subset={"dimensions": [], "point": [10.5, -20.25]},
        )  # fmt: skip
        outcome = invoke(message, tmp_path, environment={
            "CMR_ENDPOINT": cmr.url, "PYTHONWARNINGS": "ignore",
            "HARMONY_VDS_TRUSTED_PREFIXES": f"{local},{tmp_path.as_uri()}/"})  # fmt: skip
    assert outcome.status == 0, outcome.stderr
    (item,) = outcome.items
    asset = item["assets"]["data"]
    assert asset["type"] == "text/csv"
    assert asset["href"].endswith("DEMO-SST-L4-GLOB-v1.0_1.0_analysed_sst_subsetted.csv")
    assert [row["time"] for row in rows_of(Path(asset["href"]))] == [
        f"2024-01-0{day}T12:00:00Z" for day in (2, 3, 4)
    ]
