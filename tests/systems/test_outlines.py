"""Of an outline only the chunks that hold a cell of it are priced and fetched; the rest is fill.

What must be fetched is worked out from the granules: cells point by point by shapely, chunks by
HDF5's own list of them.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
import shapely
from pyproj import CRS, Transformer
from systems.kits import raw, request, same_bits
from systems.test_price import (
    Range,
    assert_covers_once,
    assert_price_is_what_was_asked,
    chunks_in_file,
    watch,
)
from world import FILL, write_days

from harmony_vds.model.request import TargetGrid

LATITUDES, LONGITUDES = np.arange(-87.5, 90, 5), np.arange(-177.5, 180, 5)
SLANTED = shapely.Polygon([(-161, -62), (-120, -58), (9, 1), (158, 61), (121, 66), (-9, 5)])
"""From one corner of the map to the other, narrow."""


def cells(*areas: shapely.Geometry) -> np.ndarray:
    """Which cells of the granules have their centre in any of some areas."""
    x, y = np.meshgrid(LONGITUDES, LATITUDES)
    return np.any([shapely.intersects_xy(own, x, y) for own in areas], axis=0)


def chunks_with(inside: np.ndarray, files: Sequence[Path], *names: str) -> set[Range]:
    """The chunks of four by eight cells of some variables that hold a cell inside."""
    rows, columns = np.nonzero(inside)
    wanted = {(int(r), int(c)) for r, c in zip(rows // 4, columns // 8, strict=True)}
    return {
        chunk for path in files for name in names
        for number, chunk in chunks_in_file(path, name).items() if number[-2:] in wanted
    }  # fmt: skip


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Nine by nine chunks to a day."""
    return write_days(tmp_path / "granules", 2, chunks=(4, 8))


@pytest.mark.parametrize("form", ["icechunk", "kerchunk"])
def test_shape_fetches_only_chunks_that_hold_a_cell_of_it(
    form: str, reader: str, files: list[Path], tmp_path: Path
) -> None:
    wanted = replace(request(("analysed_sst",)), shape=shapely.to_geojson(SLANTED))
    seen = watch(wanted, form, files, tmp_path)
    inside = cells(SLANTED)
    touched = chunks_with(inside, files, "analysed_sst", "mask")
    window = inside.any(axis=1)[:, None] & inside.any(axis=0)
    assert len(touched) < 0.5 * len(chunks_with(window, files, "analysed_sst", "mask"))
    assert_covers_once(seen.during, touched, reader)
    assert_price_is_what_was_asked(seen)
    cost = seen.answer.prepared.plan.cost
    assert (cost.chunks, cost.missing) == (len(touched) + 1, 0)  # and that of crs
    rows, columns = (np.flatnonzero(inside.any(axis=axis)) for axis in (1, 0))
    kept = np.ix_(
        range(2), np.arange(rows[0], rows[-1] + 1), np.arange(columns[0], columns[-1] + 1)
    )
    for name, fill in (("analysed_sst", FILL), ("mask", raw_fill(seen.answer.path, "mask"))):
        stored = np.concatenate([raw(own, name) for own in files])
        expected = np.where(inside, stored, np.array(fill, stored.dtype))[kept]
        assert same_bits(seen.answer.read(name), expected)


def raw_fill(path: Path, name: str) -> Any:
    with netCDF4.Dataset(path) as nc:
        return nc[name]._FillValue


def test_chunks_beside_a_shape_are_not_missing_though_no_manifest_holds_them(
    files: list[Path], tmp_path: Path
) -> None:
    """Chunks that netCDF never wrote have no place; only one of these lies under the shape."""
    path = tmp_path / "granules" / "sparse.nc"
    with netCDF4.Dataset(files[0]) as source, netCDF4.Dataset(path, "w") as nc:
        for name in ("lat", "lon"):
            nc.createDimension(name, source[name].size)
            axis = nc.createVariable(name, "f4", (name,))
            axis.units = source[name].units
            axis[:] = source[name][:]
        field = nc.createVariable("field", "i4", ("lat", "lon"), chunksizes=(4, 8), fill_value=-1)
        field[8:28, 16:56] = 7  # of nine by nine chunks five by five
    area = shapely.box(-80, -72.5, 90, -40)  # whose first row of chunks was never written
    wanted = replace(request(("field",)), shape=shapely.to_geojson(area.union(SLANTED)))
    seen = watch(wanted, "kerchunk", [path], tmp_path)
    inside = cells(area, SLANTED)
    written = chunks_in_file(path, "field")
    rows, columns = np.nonzero(inside)
    under = {(int(r), int(c)) for r, c in zip(rows // 4, columns // 8, strict=True)}
    cost = seen.answer.prepared.plan.cost
    assert (cost.chunks, cost.missing) == (len(under), len(under - {*written}))
    assert 0 < cost.missing < cost.chunks
    assert_price_is_what_was_asked(seen)


def test_each_feature_has_its_mean_from_the_chunks_of_all_features_alone(
    reader: str, files: list[Path], tmp_path: Path
) -> None:
    areas = [shapely.Polygon([(-161, -62), (-120, -58), (-80, -20)]), shapely.box(120, 31, 158, 61)]
    document = {
        "type": "FeatureCollection",
        "features": [
            {"type": "Feature", "geometry": json.loads(shapely.to_geojson(own))} for own in areas
        ],
    }
    wanted = replace(request(("analysed_sst",)), average="area", shape=json.dumps(document))
    seen = watch(wanted, "kerchunk", files, tmp_path)
    assert_covers_once(seen.during, chunks_with(cells(*areas), files, "analysed_sst"), reader)
    assert_price_is_what_was_asked(seen)
    kelvin = np.ma.masked_equal(np.concatenate([raw(own, "analysed_sst") for own in files]), FILL)
    with netCDF4.Dataset(seen.answer.path) as nc:
        for number, own in enumerate(areas):
            held = np.ma.where(cells(own), kelvin, np.ma.masked)
            counts = nc["analysed_sst_count"][number]
            assert counts.tolist() == held.count(axis=(1, 2)).tolist()
            lowest = held.min(axis=(1, 2)) * np.float64(np.float32(0.01))
            np.testing.assert_allclose(nc["analysed_sst_min"][number], lowest + 273.15, atol=1e-4)


def test_shape_on_a_target_grid_is_cut_from_its_own_chunks_alone(
    reader: str, files: list[Path], tmp_path: Path
) -> None:
    target = TargetGrid("EPSG:4326", "near", (-180, -90, 180, 90), (5, 5))
    wanted = replace(
        request(("analysed_sst",)), shape=shapely.to_geojson(SLANTED), target=target
    )  # fmt: skip
    seen = watch(wanted, "kerchunk", files[:1], tmp_path)
    inside = cells(SLANTED)
    touched = chunks_with(inside, files[:1], "analysed_sst", "mask")
    if reader == "zarr":
        assert {*seen.during} == touched
    assert_price_is_what_was_asked(seen)
    ours = seen.answer.read("analysed_sst")[0][::-1]
    assert same_bits(ours, np.where(inside, raw(files[0], "analysed_sst")[0], np.int16(FILL)))


def write_polar(path: Path) -> Path:
    """A grid of 25 km around the north pole in chunks of 20 by 20 cells."""
    x = (np.arange(200) - 99.5) * 45e3
    with netCDF4.Dataset(path, "w") as nc:
        for name, values in (("y", x[::-1]), ("x", x)):
            nc.createDimension(name, x.size)
            axis = nc.createVariable(name, "f8", (name,))
            axis.setncatts({"standard_name": f"projection_{name}_coordinate", "units": "m"})
            axis[:] = values
        nc.createVariable("crs", "i4", ()).setncatts(CRS.from_epsg(3413).to_cf())
        ice = nc.createVariable("ice", "i2", ("y", "x"), chunksizes=(20, 20), fill_value=-1)
        ice.grid_mapping = "crs"
        ice[:] = np.arange(40_000).reshape(200, 200) % 30_000
    return path


def test_box_on_a_projected_grid_fetches_only_chunks_that_hold_a_cell_of_it(
    reader: str, tmp_path: Path
) -> None:
    (tmp_path / "granules").mkdir()
    path = write_polar(tmp_path / "granules" / "polar.nc")
    seen = watch(request(("ice",), (-20, 62, 130, 66)), "kerchunk", [path], tmp_path)
    turn = Transformer.from_crs(3413, 4326, always_xy=True).transform
    x, y = turn(*np.meshgrid(raw(path, "x"), raw(path, "y")))
    inside = (x >= -20) & (x <= 130) & (y >= 62) & (y <= 66)
    rows, columns = np.nonzero(inside)
    wanted = {(int(r), int(c)) for r, c in zip(rows // 20, columns // 20, strict=True)}
    held = chunks_in_file(path, "ice")
    assert_covers_once(seen.during, {held[own] for own in wanted}, reader)
    assert_price_is_what_was_asked(seen)
    window = slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1)
    expected = np.where(inside, raw(path, "ice"), np.int16(-1))[window]
    assert same_bits(seen.answer.read("ice"), expected)
    assert len(wanted) < 0.7 * np.prod([-(-own.stop // 20) - own.start // 20 for own in window])
