"""Variables on target grids, against pyproj point by point and GDAL by rasterio."""

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import netCDF4
import numpy as np
import pyarrow.csv
import pyarrow.parquet
import pyproj
import pytest
import rasterio.warp
from gridded import places_of, write_grid
from rasterio.enums import Resampling
from rasterio.transform import Affine
from systems.kits import Answer, ask, request, services
from world import (
    FILL,
    kerchunk_references,
    sst_like,
    virtual_dataset,
    write_granule,
    write_icechunk,
    write_references,
)

from harmony_vds.errors import NoDataError, RequestError, UnsupportedError
from harmony_vds.model.formats import PARQUET
from harmony_vds.model.grid import GridKind
from harmony_vds.model.request import TargetGrid
from harmony_vds.pipeline import fulfil, prepare
from harmony_vds.transform.apply import apply_plan

ROWS, COLUMNS = 90, 180
LAYOUTS = {
    "plain": {},
    "north up": {"north_up": True},
    "from Greenwich": {"lon_from": 0.0},
}
POLAR = TargetGrid("EPSG:3413", "near", (-4e6, -4.5e6, 3e6, 4e6), (40_000, 37_000))
TARGETS = {
    "mercator": TargetGrid("EPSG:3857", "", (-15e6, -12e6, 19e6, 16e6), None, 301, 207),
    "mercator across": TargetGrid("EPSG:3857", "", (15e6, -9e6, 26e6, 9e6), None, 97, 71),
    "cylinder": TargetGrid("EPSG:6933", "", (-17e6, -7.3e6, 17e6, 7.3e6), (101_000, 53_000)),
    "degrees": TargetGrid("EPSG:4326", "", (-33.3, -77.1, 400.2, 88.8), None, 333, 111),
    "polar": POLAR,
    "south pole": TargetGrid("EPSG:3031", "", (-3e6, -3e6, 3e6, 3e6), (23_000, 27_000)),
    "utm": TargetGrid("EPSG:32660", "", (-5e6, 1e6, 6e6, 9e6), (99_000, 88_000)),
    "sinusoidal": TargetGrid(
        "+proj=sinu +R=6371007.181", "", (-21e6, -10.1e6, 21e6, 10.1e6), None, 222, 130
    ),
    "laea": TargetGrid("+proj=laea +lat_0=90", "", (-13e6, -13e6, 13e6, 13e6), None, 150, 150),
}


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """The URL of a store of three days of 2 by 2 degrees, by its layout."""
    folder = tmp_path_factory.mktemp("reproject")
    known: dict[str, str] = {}

    def store(layout: str) -> str:
        if layout not in known:
            place = folder / layout.replace(" ", "-")
            place.mkdir()
            files = [
                write_granule(
                    place / f"{day}.nc", day, nlat=ROWS, nlon=COLUMNS, chunks=(30, 45),
                    values=stored(layout, day), **LAYOUTS[layout],
                )
                for day in range(3)
            ]  # fmt: skip
            container = f"{place.as_uri()}/"
            write_icechunk(
                place / "s.icechunk", {None: virtual_dataset(files)}, container=container
            )
            known[layout] = (place / "s.icechunk").as_uri()
        return known[layout]

    return store


def truth(day: int) -> np.ndarray:
    """South to north, from the antimeridian eastward."""
    return sst_like(day, ROWS, COLUMNS)


def stored(layout: str, day: int) -> np.ndarray:
    values = truth(day)
    if layout == "north up":
        return values[::-1]
    return np.roll(values, COLUMNS // 2, axis=1) if layout == "from Greenwich" else values


def run(href: str, target: TargetGrid, folder: Path, box=None, variable="analysed_sst") -> Answer:
    folder.mkdir(exist_ok=True)
    wanted = replace(request((variable,), box), target=target)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return ask(wanted, href, services(trusted=[f"{href.rpartition('/')[0]}/"]), folder)


def centres(answer: Answer) -> tuple[np.ndarray, np.ndarray]:
    """(longitudes, latitudes) of the target's cells, one by one."""
    plan = answer.prepared.plan.target
    way = pyproj.Transformer.from_crs(plan.crs, "OGC:CRS84", always_xy=True)
    x, y = np.meshgrid(answer.read(plan.dimensions[1]), answer.read(plan.dimensions[0]))
    lon, lat = way.transform(x, y)
    back = way.transform(lon, lat, direction="INVERSE")
    away = np.hypot(*(own - there for own, there in zip(back, (x, y), strict=True)))
    if "sinu" in plan.crs.lower():
        lon = np.where(away < 100, lon, np.nan)  # beyond the edge of the map
    return lon, lat


def brute_force(answer: Answer) -> tuple[np.ndarray, np.ndarray]:
    """The cell of `truth` whose centre is nearest to each target centre; -1 where none is."""
    lon, lat = centres(answer)
    good = np.isfinite(lon) & np.isfinite(lat)
    place_y = (np.where(good, lat, 0) + 90) / 2 - 0.5
    place_x = (np.where(good, lon, 0) + 180) / 2 - 0.5
    rows = np.clip(np.round(place_y), 0, ROWS - 1).astype(int)
    columns = np.round(place_x).astype(int) % COLUMNS
    tie = (np.abs(place_y % 1 - 0.5) < 1e-6) | (np.abs(place_x % 1 - 0.5) < 1e-6)
    return np.where(good & ~tie, rows, -1), columns


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", TARGETS)
def test_nearest_equals_brute_force_exactly(name, layout, stores, tmp_path):
    answer = run(stores(layout), TARGETS[name], tmp_path)
    found = answer.read("analysed_sst")
    assert found.dtype == np.int16
    rows, columns = brute_force(answer)
    sure = rows >= 0
    assert sure.mean() > 0.5
    for day in range(3):
        assert np.array_equal(found[day][sure], truth(day)[rows, columns][sure])
    lon, _ = centres(answer)
    assert (found[:, ~np.isfinite(lon)] == FILL).all()


def test_identity_changes_nothing(stores, tmp_path):
    answer = run(stores("north up"), TargetGrid("EPSG:4326"), tmp_path)
    for day in range(3):
        assert np.array_equal(answer.read("analysed_sst")[day], truth(day)[::-1])
    assert np.array_equal(answer.read("lat"), 89.0 - 2 * np.arange(ROWS))
    assert np.array_equal(answer.read("lon"), -179.0 + 2 * np.arange(COLUMNS))


@pytest.mark.parametrize("method", ["bilinear", "cubic", "average", "min"])
def test_identity_changes_nothing_whatever_the_method(method, stores, tmp_path):
    answer = run(stores("plain"), TargetGrid("EPSG:4326", method), tmp_path)
    values = np.where(truth(1) == FILL, np.nan, truth(1) * np.float64(np.float32(0.01)) + 273.15)
    found = answer.read("analysed_sst")[1][::-1]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, values, rtol=3e-7)


def test_longitudes_of_another_turn_give_the_same(stores, tmp_path):
    for name in ("mercator across", "polar"):
        both = [
            run(stores(layout), TARGETS[name], tmp_path / f"{name}{layout}").read("analysed_sst")
            for layout in ("plain", "from Greenwich")
        ]
        assert np.array_equal(*both)


def first_day() -> np.ndarray:
    """In kelvin, from north to south."""
    kelvin = truth(0)[::-1] * np.float32(0.01) + np.float32(273.15)
    return np.where(truth(0)[::-1] == FILL, np.nan, kelvin).astype(np.float32)


def by_gdal(answer: Answer, method: str, values: np.ndarray | None = None) -> np.ndarray:
    """By GDAL with exact coordinates; the world thrice, for it knows no turns."""
    plan = answer.prepared.plan.target
    kelvin = first_day() if values is None else values
    found = np.full(plan.shape, np.nan, np.float32)
    rasterio.warp.reproject(
        np.tile(kelvin, 3), found, src_transform=Affine(2, 0, -540, 0, -2, 90),
        src_crs="EPSG:4326", src_nodata=np.nan, dst_nodata=np.nan, dst_crs=plan.crs,
        dst_transform=Affine(*plan.transform), resampling=Resampling[method], tolerance=0,
        XSCALE=1, YSCALE=1,
    )  # fmt: skip
    return found


@pytest.mark.parametrize("method", ["bilinear", "cubic"])
@pytest.mark.parametrize("name", ["mercator", "polar", "utm"])
def test_kernels_equal_gdal_with_exact_coordinates(name, method, stores, tmp_path):
    target = replace(TARGETS[name], interpolation=method)
    answer = run(stores("plain"), target, tmp_path)
    found = answer.read("analysed_sst")[0]
    theirs = by_gdal(answer, method)
    both = np.isfinite(found) & np.isfinite(theirs)
    assert both.mean() > 0.4
    assert (np.isfinite(found) == np.isfinite(theirs)).mean() > 0.999  # centres on edges may differ
    # Some units in the last place of single precision at 300 K.
    away = np.abs(found - theirs)[both]
    assert away.max() < 2e-4


def test_average_of_whole_cells_is_their_mean_and_keeps_the_mass(stores, tmp_path):
    target = TargetGrid("EPSG:4326", "average", (-180, -90, 180, 90), (8, 6))
    found = run(stores("from Greenwich"), target, tmp_path).read("analysed_sst")
    kelvin = np.where(truth(2) == FILL, np.nan, truth(2) * 0.01 + 273.15)[::-1]
    blocks = kelvin.reshape(30, 3, 45, 4).swapaxes(1, 2).reshape(30, 45, 12)
    enough = np.isfinite(blocks).sum(axis=-1) >= 6
    assert np.array_equal(np.isfinite(found[2]), enough)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        means = np.nanmean(blocks, axis=-1)
    np.testing.assert_allclose(found[2][enough], means[enough], rtol=1e-7)
    whole = np.isfinite(blocks).all(axis=-1)
    assert np.isclose(12 * found[2].astype(float)[whole].sum(), blocks[whole].sum(), rtol=1e-7)


def test_average_of_parts_of_cells_weighs_them_by_their_part(stores, tmp_path):
    target = TargetGrid("EPSG:4326", "average", (179, 10, 182, 11))
    found = run(stores("plain"), replace(target, width=1, height=1), tmp_path)
    kelvin = truth(0)[50] * 0.01 + 273.15
    # 179 … 180 is half of the last column, 180 … 182 the whole first one.
    expected = (kelvin[-1] * 1 + kelvin[0] * 2) / 3
    assert found.read("analysed_sst")[0, 0, 0] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("method", "reduce"), [("min", np.nanmin), ("max", np.nanmax)])
def test_least_and_greatest_are_those_of_all_cells_under_a_target_cell(
    method, reduce, stores, tmp_path
):
    target = TargetGrid("EPSG:4326", method, (-180, -90, 180, 90), (8, 6))
    found = run(stores("plain"), target, tmp_path).read("analysed_sst")[0]
    kelvin = np.where(truth(0) == FILL, np.nan, truth(0) * 0.01 + 273.15)[::-1]
    blocks = kelvin.reshape(30, 3, 45, 4).swapaxes(1, 2).reshape(30, 45, 12)
    enough = np.isfinite(found)
    assert enough.mean() > 0.5
    np.testing.assert_allclose(found[enough], reduce(blocks[enough], axis=-1), rtol=1e-6)


def test_mode_gives_stored_values_and_suits_flags(stores, tmp_path):
    target = TargetGrid("EPSG:4326", "mode", (-180, -90, 180, 90), (6, 6))
    answer = run(stores("plain"), target, tmp_path, variable="mask")
    found = answer.read("mask")[0]
    assert found.dtype == np.int8
    flags = np.where(truth(0) == FILL, 2, 1)[::-1].reshape(30, 3, 60, 3).sum(axis=(1, 3))
    assert np.array_equal(found, np.where(flags > 13, 2, 1))
    assert answer.prepared.plan.notes == ()


def test_flags_are_never_blended(stores, tmp_path):
    target = replace(TARGETS["mercator"], interpolation="bilinear")
    answer = run(stores("plain"), target, tmp_path, variable="mask")
    assert answer.read("mask").dtype == np.int8
    assert {1, 2} == set(np.unique(answer.read("mask")))
    assert any("mask took the nearest value rather than bilinear" in own
               for own in answer.prepared.plan.notes)  # fmt: skip


@pytest.mark.parametrize("name", ["mercator across", "polar", "sinusoidal"])
@pytest.mark.parametrize("method", ["near", "bilinear", "average", "mode"])
def test_any_part_of_the_target_equals_that_part_of_the_whole(name, method, stores):
    href = stores("plain")
    wanted = replace(
        request(("analysed_sst",)), target=replace(TARGETS[name], interpolation=method)
    )
    with services(trusted=[f"{href.rpartition('/')[0]}/"]) as using:
        (prepared,) = prepare(wanted, using, href)
        subset = apply_plan(prepared.store, prepared.plan)
        (own,) = (v for v in subset.variables if v.planned.path == "/analysed_sst")
        whole = own.data[0].values
        random = np.random.default_rng(5)
        for _ in range(12):
            top, left = (random.integers(0, size - 1) for size in whole.shape)
            part = (slice(top, top + random.integers(1, 90)), slice(left, left + 70))
            # Sums over other windows are rounded otherwise, by less than single precision tells.
            rounding = 3e-7 if method == "average" else 0
            np.testing.assert_allclose(own.data[(0, *part)].values, whole[part], rtol=rounding)
        blocks = [own.data[block].values for block in own.blocks]
    size = sum(block.size for block in blocks)
    assert size == whole.size * 3


def test_box_cuts_source_and_target(stores, tmp_path):
    box = (150.0, 20.0, -160.0, 70.0)
    target = TARGETS["polar"]
    whole = run(stores("plain"), target, tmp_path / "whole")
    cut = run(stores("plain"), target, tmp_path / "cut", box)
    lon, lat = centres(cut)
    inside = ((lon >= 150) | (lon <= -160)) & (lat >= 20) & (lat <= 70)
    assert 0.05 < inside.mean() < 0.5
    found = cut.read("analysed_sst")
    assert (found[:, ~inside] == FILL).all()
    assert np.array_equal(found[:, inside], whole.read("analysed_sst")[:, inside])
    assert cut.prepared.plan.cost.chunks < whole.prepared.plan.cost.chunks
    assert (cut.output.bbox.west, cut.output.bbox.east) == (150.0, -160.0)


@pytest.mark.parametrize("crs", ["", "EPSG:3413"])
def test_box_on_the_stores_own_projection_keeps_its_cells(crs, tmp_path):
    packed = write_grid(tmp_path / "granule.nc", GridKind.PROJECTED)
    store = write_references(
        tmp_path / "store.json", kerchunk_references([tmp_path / "granule.nc"], inline=0)
    )
    box = (-55.0, 70.0, -45.0, 75.0)
    answer = run(store.as_uri(), TargetGrid(crs, "near"), tmp_path / "out", box, "field")
    longitudes, latitudes = places_of(GridKind.PROJECTED)
    inside = (longitudes >= -55) & (longitudes <= -45) & (latitudes >= 70) & (latitudes <= 75)
    assert 20 < inside.sum() < packed.size / 2
    with netCDF4.Dataset(answer.path) as nc:
        nc.set_auto_maskandscale(False)
        found = nc["field"][:]
        expected = np.where(inside, packed, nc["field"]._FillValue)
        rows, columns = (-1200e3 - nc["y"][:]) / 25e3, (nc["x"][:] + 600e3) / 25e3
    for kept, own in zip((rows, columns), np.nonzero(inside), strict=True):
        assert np.array_equal(kept, np.arange(kept[0], kept[-1] + 1))
        assert own.min() - 1 <= kept[0] <= own.min()
        assert own.max() <= kept[-1] <= own.max() + 1
    assert np.array_equal(found, expected[np.ix_(rows.astype(int), columns.astype(int))])


def test_box_across_the_antimeridian_is_one_piece_of_a_cylindrical_map(stores, tmp_path):
    answer = run(stores("plain"), TargetGrid("EPSG:3857"), tmp_path, (160, -30, -170, 20))
    x = answer.read("x")
    assert 17.8e6 < x[0] < 17.95e6
    assert 21.0e6 < x[-1] < 21.16e6
    assert (np.diff(x) > 0).all()


def test_output_is_cf_and_says_where_it_lies(stores, tmp_path):
    answer = run(stores("plain"), POLAR, tmp_path)
    with netCDF4.Dataset(answer.path) as nc:
        assert set(nc.variables) == {"crs", "x", "y", "time", "analysed_sst", "mask"}
        assert nc["analysed_sst"].dimensions == ("time", "y", "x")
        assert nc["analysed_sst"].grid_mapping == "crs"
        assert nc["analysed_sst"].scale_factor == np.float32(0.01)
        assert nc["crs"].grid_mapping_name == "polar_stereographic"
        assert pyproj.CRS.from_wkt(nc["crs"].crs_wkt).to_epsg() == 3413
        assert nc["x"].standard_name == "projection_x_coordinate"
        assert nc["x"].units == "m"
        assert nc["x"][0] == -4e6 + 20_000
        assert nc["y"][0] == 4e6 - 18_500
        assert nc["y"][:].size == 230
    with rasterio.open(f"netcdf:{answer.path}:analysed_sst") as band:
        assert band.crs.to_epsg() == 3413
        assert band.transform == Affine(40_000, 0, -4e6, 0, -37_000, 4e6)
    assert answer.output.bbox.north == 90


def test_grid_about_a_turned_pole_is_not_called_latitude_and_longitude(stores, tmp_path):
    turned = "+proj=ob_tran +o_proj=longlat +o_lon_p=0 +o_lat_p=39.25 +lon_0=18 +a=6371229"
    answer = run(
        stores("plain"), TargetGrid(turned, "", (-21, -19, 20, 22), None, 41, 23), tmp_path
    )
    rows, columns = brute_force(answer)
    sure = rows >= 0
    assert sure.all()
    found = answer.read("analysed_sst")
    assert np.array_equal(found[1], truth(1)[rows, columns])
    with netCDF4.Dataset(answer.path) as nc:
        assert nc["analysed_sst"].dimensions == ("time", "rlat", "rlon")
        assert nc["rlat"].standard_name == "grid_latitude"
        assert nc["rlon"].standard_name == "grid_longitude"
        assert nc["crs"].grid_mapping_name == "rotated_latitude_longitude"
    lon, lat = centres(answer)
    box = answer.output.bbox
    assert box.south < lat.min() < box.south + 2
    assert box.north - 2 < lat.max() < box.north
    assert ((lon - box.west) % 360 < box.width).all()
    assert box.width < 125


def test_turned_pole_without_a_meridian_of_its_own_is_told_by_its_text_alone(stores, tmp_path):
    turned = "+proj=ob_tran +o_proj=longlat +o_lat_p=39.25 +lon_0=18"
    answer = run(
        stores("plain"), TargetGrid(turned, "", (-21, -19, 20, 22), None, 41, 23), tmp_path
    )
    rows, columns = brute_force(answer)
    assert (rows >= 0).all()
    assert np.array_equal(answer.read("analysed_sst")[1], truth(1)[rows, columns])
    with netCDF4.Dataset(answer.path) as nc:
        assert "grid_mapping_name" not in nc["crs"].ncattrs()
        told = pyproj.CRS.from_wkt(nc["crs"].crs_wkt).coordinate_operation
    assert told.method_name == "PROJ ob_tran o_proj=longlat"


def test_default_grid_lies_where_the_system_is_meant_to_be_used(stores, tmp_path):
    answer = run(stores("plain"), TargetGrid("EPSG:3857"), tmp_path)
    rows, columns = answer.prepared.plan.target.shape
    assert 100 < rows < 400
    assert 100 < columns < 400
    assert any("is meant to be used" in own for own in answer.prepared.plan.notes)


def test_target_beside_the_data_holds_no_data(stores, tmp_path):
    href = stores("plain")
    wanted = replace(
        request(("analysed_sst",), (0, 0, 20, 20)),
        target=TargetGrid("EPSG:3857", "", (9e6, 9e6, 10e6, 10e6), None, 10, 10),
    )
    with services(trusted=[f"{href.rpartition('/')[0]}/"]) as using, pytest.raises(NoDataError):
        prepare(wanted, using, href)


def averaged(href: str, target: TargetGrid, folder: Path, box=None, **more) -> Answer:
    folder.mkdir(exist_ok=True)
    wanted = replace(request(("analysed_sst",), box), target=target, average="time", **more)
    return ask(wanted, href, services(trusted=[f"{href.rpartition('/')[0]}/"]), folder)


def mean_of_days() -> tuple[np.ndarray, np.ndarray]:
    """Mean in kelvin, not-a-number where nothing is, and number of values; as `truth` lies."""
    days = np.stack([truth(day) for day in range(3)])
    there = days != FILL
    count = there.sum(axis=0)
    total = np.where(there, days * np.float64(np.float32(0.01)) + np.float32(273.15), 0).sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan), count


@pytest.mark.parametrize("name", ["mercator across", "polar"])
def test_average_over_time_is_made_first_and_then_put_on_the_target(name, stores, tmp_path):
    answer = averaged(stores("from Greenwich"), TARGETS[name], tmp_path)
    found, counts = answer.read("analysed_sst"), answer.read("analysed_sst_count")
    rows, columns = brute_force(answer)
    sure = rows >= 0
    mean, count = mean_of_days()
    assert found.shape == counts.shape == (1, *rows.shape)
    np.testing.assert_allclose(found[0][sure], mean[rows, columns][sure], rtol=1e-12)
    assert np.array_equal(counts[0][sure], count[rows, columns][sure])
    with netCDF4.Dataset(answer.path) as nc:
        assert nc["analysed_sst"].cell_methods == "time: mean"
        assert nc["analysed_sst"].grid_mapping == "crs"
        assert nc["analysed_sst"].ancillary_variables == "analysed_sst_count"
        assert nc["time"].bounds in nc.variables
        assert nc["time"].size == 1


@pytest.mark.parametrize("method", ["bilinear", "cubic"])
def test_kernels_of_an_average_equal_gdals_of_the_mean(method, stores, tmp_path):
    answer = averaged(stores("plain"), replace(POLAR, interpolation=method), tmp_path)
    mean, _ = mean_of_days()
    theirs = by_gdal(answer, method, values=mean[::-1].astype(np.float32))
    found = answer.read("analysed_sst")[0]
    both = np.isfinite(found) & np.isfinite(theirs)
    assert both.mean() > 0.4
    assert (np.isfinite(found) == np.isfinite(theirs)).mean() > 0.999
    assert np.abs(found - theirs)[both].max() < 2e-4
    counts = answer.read("analysed_sst_count")
    assert counts.dtype == np.int32
    assert {0, 1, 2, 3} >= {*np.unique(counts[0][both])}


def test_average_on_a_target_reads_each_chunk_once_for_its_price(stores, tmp_path):
    href = stores("plain")
    wanted = replace(request(("analysed_sst",)), target=TARGETS["mercator"], average="time")
    with services(trusted=[f"{href.rpartition('/')[0]}/"]) as using:
        prepared = prepare(wanted, using, href)
        plain = prepare(replace(wanted, target=None), using, href)
        before = using.access.fetcher.traffic.nbytes
        (output,) = fulfil(prepared, tmp_path, using)
        cost = prepared[0].plan.cost
        assert using.access.fetcher.traffic.nbytes - before == cost.bytes_read
    assert cost.bytes_read == plain[0].plan.cost.bytes_read > 0
    assert prepared[0].plan.fingerprint != plain[0].plan.fingerprint
    with netCDF4.Dataset(output.path) as nc:
        sizes = [nc[own].size * nc[own].dtype.itemsize
                 for own in ("analysed_sst", "analysed_sst_count", "x", "y")]  # fmt: skip
    assert sum(sizes) <= cost.bytes_written < sum(sizes) + 1000


@pytest.mark.parametrize(("media_type", "name"), [("text/csv", "csv"), (PARQUET, "parquet")])
def test_table_has_a_row_for_each_cell_of_the_target(media_type, name, stores, tmp_path):
    href, target = stores("plain"), replace(POLAR, interpolation="bilinear")
    gridded = run(href, target, tmp_path / "gridded")
    wanted = replace(request(("analysed_sst",)), target=target, media_type=media_type)
    (tmp_path / name).mkdir()
    using = services(trusted=[f"{href.rpartition('/')[0]}/"])
    answer = ask(wanted, href, using, tmp_path / name)
    reader = pyarrow.csv.read_csv if name == "csv" else pyarrow.parquet.read_table
    found = reader(answer.path)
    assert found.column_names == ["time", "y", "x", "analysed_sst"]
    with netCDF4.Dataset(gridded.path) as nc:
        values = np.ma.filled(nc["analysed_sst"][:].astype(float), np.nan)
    assert len(found) == values.size == answer.prepared.plan.cost.rows
    told = found["analysed_sst"].to_numpy(zero_copy_only=False).astype(float)
    np.testing.assert_allclose(told.reshape(values.shape), values, rtol=1e-6)
    shape = values.shape[1:]
    assert np.array_equal(found["x"].to_numpy()[: shape[1]], gridded.read("x"))
    assert np.array_equal(found["y"].to_numpy()[:: shape[1]][: shape[0]], gridded.read("y"))


def test_table_of_an_average_on_a_target_tells_its_numbers_of_values(stores, tmp_path):
    answer = averaged(
        stores("plain"), TargetGrid("EPSG:4326", scale_size=(10, 10)), tmp_path,
        media_type="text/csv",
    )  # fmt: skip
    found = pyarrow.csv.read_csv(answer.path)
    assert found.column_names == [
        "time", "latitude", "longitude", "analysed_sst", "analysed_sst_count",
    ]  # fmt: skip
    assert len(found) == 18 * 36 == answer.prepared.plan.cost.rows
    mean, count = mean_of_days()
    rows, columns = 89 - 5 * np.arange(18) - 2, 5 * np.arange(36) + 2
    expected = count[np.ix_(rows, columns)]
    assert np.array_equal(found["analysed_sst_count"].to_numpy().reshape(18, 36), expected)
    told = found["analysed_sst"].to_numpy(zero_copy_only=False).astype(float).reshape(18, 36)
    np.testing.assert_allclose(told, mean[np.ix_(rows, columns)], rtol=1e-12)


def test_average_beside_the_target_holds_no_data(stores, tmp_path):
    target = TargetGrid("EPSG:3857", "", (9e6, 9e6, 10e6, 10e6), None, 10, 10)
    with pytest.raises(NoDataError, match="under the target grid"):
        averaged(stores("plain"), target, tmp_path, (0, 0, 20, 20))


def test_price_is_what_is_read(stores, tmp_path):
    href = stores("plain")
    for name in ("mercator across", "polar"):
        wanted = replace(request(("analysed_sst",)), target=TARGETS[name])
        with services(trusted=[f"{href.rpartition('/')[0]}/"]) as using:
            prepared = prepare(wanted, using, href)
            before = using.access.fetcher.traffic.nbytes, using.access.fetcher.traffic.requests
            folder = tmp_path / name
            folder.mkdir()
            (output,) = fulfil(prepared, folder, using)
            traffic = using.access.fetcher.traffic
            cost = prepared[0].plan.cost
            assert traffic.nbytes - before[0] == cost.bytes_read
            assert traffic.requests - before[1] == cost.requests
        with netCDF4.Dataset(output.path) as nc:
            nc.set_auto_maskandscale(False)
            sizes = [v.size * v.dtype.itemsize for v in nc.variables.values()]
        assert sum(sizes) == cost.bytes_written


def test_plan_says_everything_that_decides_the_values(stores):
    href = stores("plain")
    prints = set()
    for target in (POLAR, replace(POLAR, interpolation="bilinear"), TARGETS["polar"],
                   replace(POLAR, scale_size=(40_000, 37_001))):  # fmt: skip
        with services(trusted=[f"{href.rpartition('/')[0]}/"]) as using:
            (own,) = prepare(replace(request(("mask",)), target=target), using, href)
        prints.add(own.plan.fingerprint)
        assert own.plan.as_json()["target"]["shape"] == list(own.plan.target.shape)
    assert len(prints) == 3


@pytest.mark.parametrize(
    ("target", "named"),
    [
        (TargetGrid("EPSG:12345678"), "EPSG:12345678"),
        (TargetGrid("EPSG:3857", "ewa"), "ewa"),
        (TargetGrid("", "", (0, 0, 10, 10), (1, 1), 12, 10), "along x"),
    ],
)
def test_unusable_target_is_refused(target, named, stores):
    href = stores("plain")
    with services(trusted=[f"{href.rpartition('/')[0]}/"]) as using:
        with pytest.raises(RequestError, match=named):
            prepare(replace(request(("mask",)), target=target), using, href)
        averaged = replace(request(("mask",)), target=POLAR, average="area")
        with pytest.raises(UnsupportedError, match="Averages over an area have no rows and"):
            prepare(averaged, using, href)


def test_default_cells_at_a_pole_are_no_finer_than_twice_the_stores(stores, tmp_path):
    answer = run(stores("plain"), TargetGrid("EPSG:3413"), tmp_path)
    rows, columns = answer.prepared.plan.target.shape
    assert 15 * 180 < rows * columns <= 4.1 * 15 * 180  # the store's cells north of 60 degrees


def test_box_around_an_oval_map_holds_its_middle(stores, tmp_path):
    box = run(stores("plain"), TargetGrid("+proj=moll"), tmp_path).output.bbox
    assert (box.west, box.east) == (-180, 180)
    assert box.south < -85
    assert box.north > 85


def test_map_is_made_for_its_box_in_the_order_of_its_system(stores, tmp_path):
    href = stores("plain")
    wanted = replace(
        request(("analysed_sst",)), target=TargetGrid("EPSG:4326", width=40, height=20),
        is_map_image=True, map_box=(-30.0, 100.0, 30.0, 220.0),
    )  # fmt: skip
    answer = ask(wanted, href, services(trusted=[f"{href.rpartition('/')[0]}/"]), tmp_path)
    assert answer.read("lat")[[0, -1]].tolist() == [28.5, -28.5]
    assert answer.read("lon")[[0, -1]].tolist() == [101.5, 218.5]
    rows, columns = brute_force(answer)
    sure = rows >= 0
    assert np.array_equal(answer.read("analysed_sst")[0][sure], truth(2)[rows, columns][sure])
