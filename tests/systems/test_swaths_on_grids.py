"""Real swaths on target grids, against pyresample run plainly on the whole arrays.

Nearest values are the same to the bit. Bilinear ones are not: pyresample takes, in each quadrant
around a place on the target's map, the nearest of 32 cells, and these four need not be neighbours;
here they are the corners of one quad of neighbours. Where both have values they differ by less than
neighbours do. At the rim of a swath an edge is a great circle here and a straight line on the map
there, so a few places in a hundred have a value by one alone; and where cells are long and narrow
the 32 nearest lie in a line and pyresample finds no value at all, as for TEMPO.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import netCDF4
import numpy as np
import products
import pyproj
import pytest
from products import DATA, answer_on
from swaths import EARTH, bilinear_at, unit
from systems.kits import Answer, raw

from harmony_vds.model.request import TargetGrid
from harmony_vds.model.scatter import Scatter

pytestmark = pytest.mark.shared


@dataclass(frozen=True)
class Granule:
    """A real granule, and how its file says where its cells are."""

    folder: str
    pattern: str
    variable: str
    lon: str
    lat: str
    target: TargetGrid


GRANULES = {
    "ASCAT to polar": Granule(
        "s20_l2_ascat", "*.nc", "/wind_speed", "/lon", "/lat",
        TargetGrid("EPSG:3413", "", (-4e6, -4e6, 4e6, 4e6), (20_000, 20_000)),
    ),
    "ASCAT flags": Granule(
        "s20_l2_ascat", "*.nc", "/wvc_quality_flag", "/lon", "/lat", TargetGrid("EPSG:4326")
    ),
    "TEMPO": Granule(
        "s21_l2_tempo_no2", "*.nc4", "/product/vertical_column_stratosphere",
        "/geolocation/longitude", "/geolocation/latitude",
        TargetGrid("EPSG:4326", scale_size=(0.11, 0.09)),
    ),
    "radar": Granule(
        "s07_radar_hourly", "*.nc", "/UCUR", "/LONGITUDE", "/LATITUDE",
        TargetGrid("EPSG:32650", scale_size=(2500, 2500)),
    ),
    "Africa": Granule(
        "s24_l2_africa", "*.nc", "/red_var", "/lon", "/lat",
        TargetGrid("EPSG:3857", scale_size=(40_000, 40_000)),
    ),
}  # fmt: skip


@pytest.fixture
def asked(tmp_path: Path) -> Callable[[str, str], tuple[Answer, Path]]:
    """The answer for a granule by its name and a method, and the granule."""

    def ask_for(name: str, method: str) -> tuple[Answer, Path]:
        own = GRANULES[name]
        (source, *_) = sorted((DATA / own.folder).glob(own.pattern))
        target = replace(own.target, interpolation=method)
        return answer_on(source, own.variable, target, tmp_path), source

    return ask_for


def decoded(path: Path, name: str) -> np.ndarray:
    """Values as float64 without the dimensions of one entry, missing ones not-a-number."""
    return products.decoded(path, name).squeeze()


def areas(own: Granule, answer: Answer, source: Path) -> tuple:
    """pyresample's swath and area, and the radius of influence in metres."""
    from pyresample.geometry import AreaDefinition, SwathDefinition

    target = answer.prepared.plan.target
    (swath,) = target.sources
    lon = (decoded(source, own.lon) + 180) % 360 - 180
    area = AreaDefinition("", "", "", pyproj.CRS(target.crs), *target.shape[::-1], target.extent)
    radius = Scatter(target, swath).radius * EARTH
    return SwathDefinition(lons=lon, lats=decoded(source, own.lat)), area, radius


@pytest.mark.parametrize("name", GRANULES)
def test_nearest_values_are_those_of_pyresample_to_the_bit(name, asked):
    from pyresample.kd_tree import resample_nearest

    own = GRANULES[name]
    answer, source = asked(name, "near")
    lying, area, radius = areas(own, answer, source)
    assert 2_000 < radius < 100_000
    stored = raw(source, own.variable).squeeze()
    numbers = np.arange(1, stored.size + 1).reshape(stored.shape)
    theirs = resample_nearest(
        lying, numbers, area, radius_of_influence=radius, fill_value=0, reduce_data=False
    )
    found = answer.read(own.variable).squeeze()
    near = theirs > 0
    assert near.mean() > 0.03
    assert found.dtype == stored.dtype.newbyteorder("=")
    assert np.array_equal(found[near], stored.ravel()[theirs[near] - 1], equal_nan=True)
    with netCDF4.Dataset(answer.path) as nc:
        fill = getattr(nc[own.variable], "_FillValue", None)
    assert (found[~near] == fill).all() or np.isnan(found[~near]).all()


@pytest.mark.parametrize("name", ["ASCAT to polar", "radar"])
def test_bilinear_values_are_near_those_of_pyresample(name, asked):
    from pyresample.bilinear import NumpyBilinearResampler

    own = GRANULES[name]
    answer, source = asked(name, "bilinear")
    lying, area, radius = areas(own, answer, source)
    values = decoded(source, own.variable)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = NumpyBilinearResampler(
            lying, area, 2 * radius, neighbours=32, reduce_data=False
        ).resample(values, fill_value=np.nan)
    found = decoded(answer.path, own.variable)
    ours, others = np.isfinite(found), np.isfinite(theirs)
    assert (others & ~ours).sum() < 0.01 * others.sum()
    away = np.abs(found - theirs)[ours & others]
    spread = np.nanstd(values)
    assert np.median(away) < 0.01 * spread
    assert np.quantile(away, 0.99) < 0.15 * spread


@pytest.mark.parametrize("name", ["ASCAT to polar", "TEMPO", "radar"])
def test_bilinear_values_are_those_of_the_quads_around_places(name, asked):
    own = GRANULES[name]
    answer, source = asked(name, "bilinear")
    lying, _, radius = areas(own, answer, source)
    target = answer.prepared.plan.target
    values, found = decoded(source, own.variable), decoded(answer.path, own.variable)
    way = pyproj.Transformer.from_crs(target.crs, "OGC:CRS84", always_xy=True)
    rows, columns = np.nonzero(np.isfinite(found))
    random = np.random.default_rng(11)
    cells = unit(lying.lons, lying.lats)
    seen = 0
    for number in random.integers(0, rows.size, 15):
        row, column = rows[number], columns[number]
        at = way.transform(target.xs[column], target.ys[row])
        near = np.linalg.norm(cells - unit(*map(np.asarray, at)), axis=-1)
        inside = np.nonzero(near * EARTH < 6 * radius)
        box = tuple(slice(max(i.min() - 1, 0), i.max() + 2) for i in inside)
        expected = bilinear_at(
            lying.lons[box], lying.lats[box], values[box], at, 2 * 2 * radius
        )  # fmt: skip
        if expected is not None and np.isfinite(expected):
            seen += 1
            assert found[row, column] == pytest.approx(expected, rel=1e-5)
    assert seen > 7


def test_default_grid_of_a_swath_round_the_earth_meets_itself(asked):
    answer, _ = asked("ASCAT flags", "near")
    target = answer.prepared.plan.target
    assert (target.extent[0], target.extent[2]) == (-180, pytest.approx(180))
    assert 0.2 < target.transform[0] < 0.3
