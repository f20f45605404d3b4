"""Averages through the whole service, against exact sums of what netCDF4 reads of the granules."""

import json
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pyproj
import pytest
import shapely
from systems.granules import Field, times, weather, write_fields
from systems.kits import Answer, ask, place, raw, request, services, write_store
from world import FILL, kerchunk_references, write_days, write_references

from harmony_vds.errors import UnsupportedError
from harmony_vds.model.request import Request

type Box = tuple[float, float, float, float]

DAYS = 5


@pytest.fixture(scope="module")
def granules(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_days(tmp_path_factory.mktemp("averages") / "granules", DAYS)


@pytest.fixture(scope="module")
def stored(granules: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("averages-store")
    with place("http", granules[0].parent, folder) as published:
        yield published, write_store("icechunk", granules, folder, published.granules)


def averaged(stored: Any, kind: str, workdir: Path, *names: str, **more: Any) -> Answer:
    published, name = stored
    box = more.pop("box", None)
    wanted = Request(**{**vars(request(names, box)), **more, "average": kind})
    for server in published.servers:
        server.forget()
    return ask(wanted, f"{published.stores}{name}", services(published), workdir)


def quantities(granules: list[Path], name: str = "analysed_sst") -> np.ma.MaskedArray:
    """By netCDF4, in double precision from the stored integers."""
    found = []
    for path in granules:
        with netCDF4.Dataset(path) as nc:
            variable = nc[name]
            masked = np.ma.masked_invalid(variable[:])
            variable.set_auto_maskandscale(False)
            values = variable[:] * np.float64(variable.scale_factor) + np.float64(
                variable.add_offset
            )
            found.append(np.ma.masked_array(values, np.ma.getmaskarray(masked)))
    return np.ma.concatenate(found)


def test_time_mean_is_the_exact_mean_of_what_the_granules_hold(
    stored: Any, granules: list[Path], tmp_path: Path
) -> None:
    answer = averaged(stored, "time", tmp_path, "analysed_sst", box=(-60, -40, 40, 40))
    values = quantities(granules)[:, 10:26, 24:44]
    got, counts = answer.read("analysed_sst"), answer.read("analysed_sst_count")
    assert got.shape == counts.shape == (1, 16, 20)
    np.testing.assert_array_equal(counts[0], (~values.mask).sum(axis=0))
    for row, column in np.ndindex(16, 20):
        known = values[:, row, column].compressed()
        if not known.size:
            assert np.isnan(got[0, row, column])
            continue
        exact = sum(map(Fraction, known.tolist()), Fraction(0)) / known.size
        assert abs(Fraction(float(got[0, row, column])) - exact) <= Fraction(1, 2**43)
    assert (counts == 0).any()
    assert (counts == DAYS).any()


def parallels(edges: np.ndarray) -> np.ndarray:
    """Square metres between parallels for one radian, by the meridian's own integral."""
    a, f = np.longdouble(6378137), 1 / np.longdouble("298.257223563")
    squared = f * (2 - f)
    nodes, shares = (own.astype(np.longdouble) for own in np.polynomial.legendre.leggauss(40))
    low, high = np.radians(edges[:-1].astype(np.longdouble)), np.radians(edges[1:])
    at = (high + low)[:, None] / 2 + (high - low)[:, None] / 2 * nodes
    ring = a**2 * (1 - squared) * np.cos(at) / (1 - squared * np.sin(at) ** 2) ** 2
    return (ring * shares).sum(axis=1) * (high - low) / 2


def test_area_mean_weighs_cells_by_their_area_on_the_ellipsoid(
    stored: Any, granules: list[Path], tmp_path: Path
) -> None:
    answer = averaged(stored, "area", tmp_path, "analysed_sst", box=(100, -40, -120, 80))
    rows, columns = np.arange(10, 34), np.r_[56:72, 0:12]
    values = quantities(granules)[:, rows][:, :, columns]
    weights = parallels(np.linspace(-90, 90, 37))[rows, None] * np.ones(columns.size)
    known = ~values.mask
    sums = (values.filled(0).astype(np.longdouble) * weights * known).sum(axis=(1, 2))
    got = answer.read("analysed_sst")
    np.testing.assert_allclose(
        got, (sums / (weights * known).sum(axis=(1, 2))).astype(float), 1e-14
    )
    np.testing.assert_array_equal(answer.read("analysed_sst_count"), known.sum(axis=(1, 2)))
    share = (weights * known).sum(axis=(1, 2)) / weights.sum()
    np.testing.assert_allclose(answer.read("analysed_sst_fraction"), share.astype(float), 1e-14)
    np.testing.assert_array_equal(
        answer.read("time"), np.concatenate([raw(g, "time") for g in granules])
    )
    assert 0.5 < share[0] < 1


def test_average_says_what_it_is_and_keeps_what_still_holds(stored: Any, tmp_path: Path) -> None:
    over_time = averaged(stored, "time", tmp_path / "time", "analysed_sst", "mask")
    with netCDF4.Dataset(over_time.path) as nc:
        mean, count, time = nc["analysed_sst"], nc["analysed_sst_count"], nc["time"]
        assert mean.cell_methods == "time: mean"
        assert (mean.units, mean.standard_name) == ("kelvin", "sea_surface_temperature")
        assert mean.ancillary_variables == "analysed_sst_count"
        assert {*mean.ncattrs()} & {"scale_factor", "add_offset", "valid_min", "valid_max"} == set()
        assert mean.dtype == np.float64
        assert count.dtype == np.int32
        assert count.standard_name == "sea_surface_temperature number_of_observations"
        first, last = (15_706 * 86_400 + 43_200 + day * 86_400 for day in (0, DAYS - 1))
        assert time[:].tolist() == [(first + last) / 2]
        assert nc[time.bounds][:].tolist() == [[first, last]]
        assert "mask" not in nc.variables
        assert "crs" in nc.variables
        assert "mask (it holds flags)" in nc.virtual_store_notes
        assert "average=time" in nc.history
    over_area = averaged(stored, "area", tmp_path / "area", "analysed_sst")
    with netCDF4.Dataset(over_area.path) as nc:
        assert nc["analysed_sst"].cell_methods == "area: mean"
        assert nc["analysed_sst"].dimensions == ("time",)
        assert {*nc.variables} == {
            "analysed_sst",
            "analysed_sst_count",
            "analysed_sst_fraction",
            "time",
        }
        assert "grid_mapping" not in nc["analysed_sst"].ncattrs()
        assert (nc.geospatial_lat_min, nc.geospatial_lat_max) == (-90, 90)


@pytest.mark.parametrize("kind", ["time", "area"])
def test_average_asks_the_archive_for_what_its_price_says_and_for_no_chunk_twice(
    kind: str, stored: Any, tmp_path: Path
) -> None:
    published, _ = stored
    archive = published.servers[0]
    answer = averaged(stored, kind, tmp_path, "analysed_sst", box=(-100, -50, 100, 50))
    asked = [(own.path, own.headers["Range"]) for own in archive.asked if "Range" in own.headers]
    assert len({*asked}) == len(asked) == answer.prepared.plan.cost.requests
    ends = [own.removeprefix("bytes=").split("-") for _, own in asked]
    nbytes = sum(int(last) - int(first) + 1 for first, last in ends)
    assert nbytes == answer.prepared.plan.cost.bytes_read
    with netCDF4.Dataset(answer.path) as nc:
        names = [name for name in nc.variables if name.startswith("analysed_sst")]
        written = sum(nc[name].size * nc[name].dtype.itemsize for name in names)
    others = answer.prepared.plan.cost.bytes_written - written
    assert 0 <= others < 4 * (DAYS + 36 + 72 + 1)


def test_variables_that_have_no_mean_are_refused_when_nothing_else_is_asked(
    stored: Any, tmp_path: Path
) -> None:
    with pytest.raises(UnsupportedError, match=r"mask: it holds flags.*without average"):
        averaged(stored, "time", tmp_path, "mask")
    with pytest.raises(UnsupportedError, match="crs: without latitudes and longitudes"):
        averaged(stored, "area", tmp_path, "crs")


def test_whole_store_is_averaged_with_its_flags_left_out(stored: Any, tmp_path: Path) -> None:
    answer = averaged(stored, "time", tmp_path)
    with netCDF4.Dataset(answer.path) as nc:
        assert {*nc.variables} == {
            "analysed_sst", "analysed_sst_count", "crs", "lat", "lon", "time", "time_bnds",
        }  # fmt: skip


def feature(name: str, *ring: tuple[float, float]) -> dict[str, Any]:
    return {"type": "Feature", "properties": {"name": name},
            "geometry": {"type": "Polygon", "coordinates": [[*ring, ring[0]]]}}  # fmt: skip


SHAPES = {
    "triangle": ((-50, -30), (30, -30), (-10, 50)),
    "across": ((-20, 0), (60, 0), (60, 25), (-20, 25)),
    "ashore": ((15, 0), (25, 0), (25, 10), (15, 10)),  # land alone
}


def test_each_feature_of_a_shape_has_its_own_mean_in_one_pass(
    stored: Any, granules: list[Path], tmp_path: Path
) -> None:
    document = {"type": "FeatureCollection",
                "features": [feature(name, *ring) for name, ring in SHAPES.items()]}  # fmt: skip
    answer = averaged(stored, "area", tmp_path, "analysed_sst", shape=json.dumps(document))
    archive = stored[0].servers[0]
    asked = [(own.path, own.headers["Range"]) for own in archive.asked if "Range" in own.headers]
    assert len({*asked}) == len(asked) == answer.prepared.plan.cost.requests
    lon, lat = np.meshgrid(np.arange(-177.5, 180, 5), np.arange(-87.5, 90, 5))
    weights = parallels(np.linspace(-90, 90, 37))[:, None].astype(float) * np.ones(72)
    values = quantities(granules)
    with netCDF4.Dataset(answer.path) as nc:
        assert nc["feature_name"][:].tolist() == [*SHAPES]
        assert nc["analysed_sst"].dimensions == ("feature", "time")
        assert "feature_name" in nc["analysed_sst"].coordinates
        assert nc["analysed_sst_max"].cell_methods == "area: maximum"
        told = {key: nc[f"analysed_sst{key}"][:].filled(np.nan) for key in
                ("", "_count", "_fraction", "_min", "_max", "_std")}  # fmt: skip
    for number, ring in enumerate(SHAPES.values()):
        inside = shapely.covers(shapely.Polygon(ring), shapely.points(lon, lat))
        for day in range(DAYS):
            own = inside & ~values.mask[day]
            got = {key: rows[number, day] for key, rows in told.items()}
            assert got["_count"] == own.sum()
            assert got["_fraction"] == pytest.approx(weights[own].sum() / weights[inside].sum())
            if not own.any():
                assert np.isnan([got[""], got["_min"], got["_max"], got["_std"]]).all()
                continue
            here, by = values.data[day][own], weights[own]
            mean = np.average(here, weights=by)
            assert got[""] == pytest.approx(mean, rel=1e-13)
            assert (got["_min"], got["_max"]) == (here.min(), here.max())
            spread = np.sqrt(np.average((here - mean) ** 2, weights=by))
            assert got["_std"] == pytest.approx(spread, rel=1e-9)


def test_shape_of_one_feature_gives_a_plain_series_of_its_cells(
    stored: Any, granules: list[Path], tmp_path: Path
) -> None:
    document = json.dumps(feature("triangle", *SHAPES["triangle"]))
    over_area = averaged(stored, "area", tmp_path / "area", "analysed_sst", shape=document)
    over_time = averaged(stored, "time", tmp_path / "time", "analysed_sst", shape=document)
    lon, lat = np.meshgrid(np.arange(-177.5, 180, 5), np.arange(-87.5, 90, 5))
    inside = shapely.covers(shapely.Polygon(SHAPES["triangle"]), shapely.points(lon, lat))
    values = quantities(granules)
    known = inside & ~values.mask
    assert over_area.read("analysed_sst_count").tolist() == known.sum(axis=(1, 2)).tolist()
    weights = parallels(np.linspace(-90, 90, 37))[:, None].astype(float) * known
    expected = (values.filled(0) * weights).sum(axis=(1, 2)) / weights.sum(axis=(1, 2))
    np.testing.assert_allclose(over_area.read("analysed_sst"), expected, rtol=1e-14)
    assert over_time.read("analysed_sst_count").sum() == known.sum()


@pytest.mark.parametrize("kind", ["time", "area"])
def test_chunk_that_the_manifest_lacks_has_no_weight_and_is_told(
    kind: str, granules: list[Path], tmp_path: Path
) -> None:
    document = kerchunk_references(granules)
    # Absent chunks would read as zero kelvin above the offset, which is a temperature.
    array = json.loads(document["refs"]["analysed_sst/.zarray"])
    document["refs"]["analysed_sst/.zarray"] = json.dumps(array | {"fill_value": 0})
    attributes = json.loads(document["refs"]["analysed_sst/.zattrs"])
    marked = attributes | {"_FillValue": FILL}
    document["refs"]["analysed_sst/.zattrs"] = json.dumps(marked)
    del document["refs"]["analysed_sst/2.1.1"]
    write_references(tmp_path / "store.json", document)
    values = quantities(granules)
    values[2, 12:24, 24:48] = np.ma.masked
    with place("file", granules[0].parent, tmp_path) as published:
        answer = averaged((published, "store.json"), kind, tmp_path / "work", "analysed_sst")
    axes = 0 if kind == "time" else (1, 2)
    counts = (~np.ma.getmaskarray(values)).sum(axis=axes)
    np.testing.assert_array_equal(answer.read("analysed_sst_count").squeeze(), counts)
    if kind == "time":
        expected = values.mean(axis=0).filled(np.nan)
        np.testing.assert_allclose(answer.read("analysed_sst")[0], expected, rtol=1e-13)
    with netCDF4.Dataset(answer.path) as nc:
        assert nc.virtual_store_missing_chunks == 1
        assert "# The manifest lacks 1 chunk. In the output they" in nc.virtual_store_recipe


def test_cells_of_a_polar_grid_weigh_by_the_areas_of_their_geodesics(tmp_path: Path) -> None:
    cell = 25_000.0
    x = cell * (np.arange(12) - 5.5)
    y = np.arange(-2_100_000.0, -2_100_000.0 + 10 * cell, cell)[::-1]
    ice = weather((3, 10, 12), 5)
    ice[:, 4, 4:7] = -9.0
    mapping = {k: v for k, v in pyproj.CRS("EPSG:3413").to_cf().items() if v is not None}
    plane = {kind: f"projection_{kind}_coordinate" for kind in "xy"}
    path = write_fields(tmp_path / "granules" / "ice.nc", {
        "time": times(np.arange(3, dtype="i4"), "days since 2020-01-01"),
        "y": Field(("y",), y, {"standard_name": plane["y"], "units": "m"}),
        "x": Field(("x",), x, {"standard_name": plane["x"], "units": "m"}),
        "crs": Field((), np.array(0, "i4"), mapping),
        "ice": Field(("time", "y", "x"), ice, {"grid_mapping": "crs"}, (1, 5, 6), np.float32(-9)),
    })  # fmt: skip
    (tmp_path / "store").mkdir()
    with place("file", path.parent, tmp_path / "store") as published:
        name = write_store("kerchunk", [path], tmp_path / "store", published.granules, along=None)
        published.publish()
        answer = averaged((published, name), "area", tmp_path / "work", "ice")
    back = pyproj.Transformer.from_crs(3413, 4326, always_xy=True)
    geod, half = pyproj.Geod(ellps="WGS84"), cell / 2
    areas = np.empty((10, 12))
    for row, column in np.ndindex(10, 12):
        left, top = x[column] - half, y[row] + half
        ring = back.transform([left, left + cell, left + cell, left],
                              [top, top, top - cell, top - cell])  # fmt: skip
        areas[row, column] = abs(geod.polygon_area_perimeter(*ring)[0])
    known = ice != -9
    weights = areas * known
    expected = (ice.astype(float) * weights).sum(axis=(1, 2)) / weights.sum(axis=(1, 2))
    np.testing.assert_allclose(answer.read("ice"), expected, rtol=1e-6)
    np.testing.assert_allclose(answer.read("ice_fraction"), weights[0].sum() / areas.sum(), 1e-7)
    with netCDF4.Dataset(answer.path) as nc:
        assert {"x", "y", "crs"} & {*nc.variables} == set()
