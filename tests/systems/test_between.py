"""Values between cells at places, against the four cells around each, weighed one by one."""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import xarray as xr
from pyproj import Transformer
from systems.kits import ask, place, raw, request, services, write_store
from systems.test_outlines import write_polar
from systems.test_points import LAYOUTS, series
from systems.test_price import assert_price_is_what_was_asked, watch
from world import FILL, write_days

from harmony_vds.errors import RequestError, UnsupportedError
from harmony_vds.model.places import Place

PLACES = (
    Place(11.5, -21.25, "atlantic"), Place(179.9, 12.4), Place(-179.2, 12.6), Place(-32.5, 2.5),
    Place(3.0, 89.9, "pole"), Place(301.0, 27.0), Place(-31.9, 44.1, "coast"), Place(-17.5, 12.0),
)  # fmt: skip
"""Between the first and the last column, on a centre, beyond the last row, beside land."""


def around(values: np.ndarray, wanted: float, turn: float = 0.0) -> list[tuple[int, float]]:
    """The centres before and behind a place, and what each of them counts."""
    turns = (-turn, 0.0, turn, 2 * turn) if turn else (0.0,)
    every = sorted((float(own) + by, n) for n, own in enumerate(values) for by in {*turns})
    before = [own for own in every if own[0] <= wanted]
    behind = [own for own in every if own[0] > wanted]
    if not before or not behind:
        return [(before[-1][1] if before else behind[0][1], 1.0)]
    (low, first), (high, second) = before[-1], behind[0]
    share = (wanted - low) / (high - low)
    return [(first, 1 - share), (second, share)]


def weighed(values: np.ndarray, rows: Sequence, columns: Sequence) -> np.ndarray:
    """The mean of quantities at the four cells, over the leading dimension."""
    found = []
    for step in values:
        four = [(a * b, step[r, c]) for (r, a), (c, b) in itertools.product(rows, columns)]
        heaviest = max(four, key=lambda own: own[0])
        known = [(w, v) for w, v in four if not np.isnan(v)]
        total = sum(w for w, _ in known)
        mean = sum(w * v for w, v in known) / total if total else np.nan
        found.append(np.nan if np.isnan(heaviest[1]) else mean)
    return np.array(found)


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_values_between_cells_are_those_of_the_four_around_weighed(
    layout: str, tmp_path: Path
) -> None:
    files = write_days(tmp_path / "granules", 2, **LAYOUTS[layout])
    random = np.random.default_rng(5)
    anywhere = zip(random.uniform(-180, 180, 60), random.uniform(-80, 80, 60), strict=True)
    places = (*PLACES, *(Place(float(x), float(y)) for x, y in anywhere))
    answer = series(files, tmp_path, points=places, interpolation="bilinear")
    lat, lon = raw(files[0], "lat").astype(float), raw(files[0], "lon").astype(float)
    packed = np.concatenate([raw(path, "analysed_sst") for path in files]).astype(float)
    kelvin = np.where(packed == FILL, np.nan, packed * np.float32(0.01) + np.float32(273.15))
    expected = np.stack([
        weighed(kelvin, around(lat, own.latitude), around(lon, own.longitude, 360.0))
        for own in places
    ])  # fmt: skip
    with netCDF4.Dataset(answer.path) as nc:
        found = nc["analysed_sst"]
        assert found.dtype == np.float32
        assert not {"scale_factor", "add_offset", "valid_min"} & {*found.ncattrs()}
        assert found.interpolation == "bilinear"
        np.testing.assert_allclose(np.ma.filled(found[:], np.nan), expected, rtol=1e-6)
    some = [
        {bool(np.isnan(kelvin[0, r, c]))
         for r, _ in around(lat, own.latitude) for c, _ in around(lon, own.longitude, 360.0)}
        for own in places
    ]  # fmt: skip
    mixed = [own == {True, False} for own in some]
    assert {*np.isnan(expected[mixed, 0]).tolist()} == {True, False}  # on both sides of coasts


def test_flags_are_those_of_the_nearest_cell_and_the_output_says_so(tmp_path: Path) -> None:
    files = write_days(tmp_path / "granules", 2)
    near = series(files, tmp_path / "near", points=PLACES)
    answer = series(files, tmp_path / "between", points=PLACES, interpolation="bilinear")
    asked = replace(request(variables=("mask",)), points=PLACES, interpolation="linear")
    with place("file", files[0].parent, tmp_path) as there:
        store = write_store("icechunk", files, tmp_path, there.granules)
        flags = ask(asked, there.stores + store, services(there), tmp_path / "flags")
    np.testing.assert_array_equal(flags.read("mask"), near.read("mask"))
    assert flags.read("mask").dtype == np.int8
    assert any("mask took the value of the nearest" in own for own in flags.prepared.plan.notes)
    marks = [own.prepared.plan.fingerprint for own in (near, answer)]
    assert marks[0] != marks[1]


def test_values_between_cells_lie_at_the_places_and_not_at_centres(tmp_path: Path) -> None:
    files = write_days(tmp_path / "granules", 2)
    answer = series(files, tmp_path, points=PLACES[:3], interpolation="bilinear")
    with xr.open_dataset(answer.path) as dataset:
        own = dataset.analysed_sst
        assert own.dims == ("station", "time")
        named = own.encoding["coordinates"].split()
        assert named == ["station_name", "requested_latitude", "requested_longitude"]
        assert dataset.requested_latitude.standard_name == "latitude"
        assert dataset.requested_latitude.units == "degrees_north"
        assert dataset.requested_longitude.values.tolist() == [11.5, 179.9, -179.2]


def test_price_of_values_between_cells_is_what_the_archive_is_asked_for(
    reader: str, tmp_path: Path
) -> None:
    """Places between chunks of 12 by 24 cells, on both sides of the antimeridian."""
    files = write_days(tmp_path / "granules", 2)
    places = (Place(-60.4, -30.3), Place(-179.9, 30.2), Place(12.0, 12.0))
    wanted = replace(request(("analysed_sst",)), points=places, interpolation="bilinear")
    seen = watch(wanted, "kerchunk", files, tmp_path)
    assert_price_is_what_was_asked(seen)
    assert len({*seen.during}) == len(seen.during)


def test_values_between_cells_of_a_map_are_weighed_on_the_map(tmp_path: Path) -> None:
    (tmp_path / "granules").mkdir()
    path = write_polar(tmp_path / "granules" / "polar.nc")
    with netCDF4.Dataset(path, "r+") as nc:
        nc["ice"].units = "m"
    places = (Place(-45.0, 71.3), Place(179.99, 80.2), Place(20.0, 89.9))
    with place("file", path.parent, tmp_path) as there:
        store = write_store("kerchunk", [path], tmp_path, there.granules, along=None)
        wanted = replace(request(("ice",)), points=places, interpolation="bilinear")
        answer = ask(wanted, there.stores + store, services(there), tmp_path / "out")
    turn = Transformer.from_crs(4326, 3413, always_xy=True).transform
    ice, x, y = (raw(path, own) for own in ("ice", "x", "y"))
    expected = []
    for own in places:
        across, up = turn(own.longitude, own.latitude)
        expected.append(weighed(ice[None].astype(float), around(y, up), around(x, across))[0])
    np.testing.assert_allclose(answer.read("ice"), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("interpolation", "error", "told"),
    [("cubic", UnsupportedError, "near.*or weighed"), ("bilinaer", RequestError, "bilinear")],
)
def test_other_methods_at_places_are_refused_by_name(
    interpolation: str, error: type[Exception], told: str, tmp_path: Path
) -> None:
    files = write_days(tmp_path / "granules", 1)
    with pytest.raises(error, match=told):
        series(files, tmp_path, points=PLACES, interpolation=interpolation)
