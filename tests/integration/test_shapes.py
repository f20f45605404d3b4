"""Shapes through the whole service, against the granules as netCDF4 reads them."""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
import shapely
from invocation import invoke, make_message
from servers import cmr_server
from world import FILL, umm_collection

from harmony_vds.access.credentials import Credentials
from harmony_vds.errors import NoDataError
from harmony_vds.model.extent import BoundingBox
from harmony_vds.model.request import Request, Source
from harmony_vds.pipeline import Prepared, fulfil, prepare
from harmony_vds.services import Services
from harmony_vds.settings import Settings

SOURCE = Source("", "DEMO", variables=("analysed_sst", "mask"))
TRIANGLE = shapely.Polygon([(-40, -30), (25, -20), (-10, 45)])
PACIFIC = shapely.Polygon([(150, -20), (212, -10), (190, 40)])


def text(geometry: shapely.Geometry) -> str:
    return shapely.to_geojson(geometry)


@pytest.fixture
def services(store: Path, days: list[Path]) -> Iterator[Services]:
    trusted = (f"{store.as_uri()}/", f"{days[0].parent.as_uri()}/")
    with Services.of(Settings(trusted_prefixes=trusted), Credentials.of_token(None)) as own:
        yield own


def prepared(services: Services, store: Path, shape: str, **more: Any) -> Prepared:
    (own,) = prepare(Request((SOURCE,), shape=shape, **more), services, store.as_uri())
    return own


@contextlib.contextmanager
def output(own: Prepared, services: Services, folder: Path) -> Iterator[netCDF4.Dataset]:
    (written,) = fulfil([own], folder, services)
    with netCDF4.Dataset(written.path) as nc:
        nc.set_auto_maskandscale(False)
        yield nc


def truth(path: Path, name: str, lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
    """Stored values of a granule at some places."""
    with netCDF4.Dataset(path) as nc:
        nc.set_auto_maskandscale(False)
        own_lat, own_lon = nc["lat"][:], nc["lon"][:]
        rows = [int(np.flatnonzero(own_lat == y)[0]) for y in lat]
        columns = [int(np.flatnonzero((own_lon - x) % 360 == 0)[0]) for x in lon]
        return nc[name][0][np.ix_(rows, columns)]


@pytest.mark.parametrize("shape", [TRIANGLE, PACIFIC])
def test_cells_in_the_shape_hold_the_granules_values_and_all_others_fill(
    shape: shapely.Geometry, services: Services, store: Path, days: list[Path], tmp_path: Path
) -> None:
    with output(prepared(services, store, text(shape)), services, tmp_path) as nc:
        lat, lon = nc["lat"][:], nc["lon"][:]
        assert (np.diff(lon) == 5).all()  # in one piece
        x, y = np.meshgrid(lon, lat)
        inside = shapely.intersects_xy(shape, x, y)
        assert inside.any(axis=0).all()
        assert inside.any(axis=1).all()
        grid = np.arange(-177.5, 900, 5), np.arange(-87.5, 90, 5)
        everywhere = shapely.intersects_xy(shape, *np.meshgrid(*grid))
        assert inside.sum() == everywhere.sum()  # none is missing
        assert nc["mask"]._FillValue not in (0, 1, 2)
        for name, fill in (("analysed_sst", FILL), ("mask", nc["mask"]._FillValue)):
            for day, path in enumerate(days):
                expected = np.where(inside, truth(path, name, lat, lon), fill)
                np.testing.assert_array_equal(nc[name][day], expected)
        assert nc["crs"].grid_mapping_name == "latitude_longitude"


def test_pixel_subset_keeps_all_cells_of_the_window(
    services: Services, store: Path, days: list[Path], tmp_path: Path
) -> None:
    own = prepared(services, store, text(TRIANGLE), pixel_subset=True)
    with output(own, services, tmp_path) as nc:
        lat, lon = nc["lat"][:], nc["lon"][:]
        expected = truth(days[0], "analysed_sst", lat, lon)
        np.testing.assert_array_equal(nc["analysed_sst"][0], expected)
    cut = prepared(services, store, text(TRIANGLE)).plan
    assert own.plan.selection == cut.selection
    assert not own.plan.masks
    assert own.plan.fingerprint != cut.fingerprint


def test_box_and_shape_together_keep_what_both_hold(
    services: Services, store: Path, tmp_path: Path
) -> None:
    box = BoundingBox(-10, -10, 60, 60)
    with output(prepared(services, store, text(TRIANGLE), bbox=box), services, tmp_path) as nc:
        x, y = np.meshgrid(nc["lon"][:], nc["lat"][:])
        assert x.min() >= -10
        assert y.min() >= -10
        inside = nc["analysed_sst"][0] != FILL
        assert (shapely.intersects_xy(TRIANGLE, x, y) >= inside).all()


def test_shape_that_is_a_box_costs_and_writes_what_the_box_does(
    services: Services, store: Path
) -> None:
    own = prepared(services, store, text(shapely.box(-32, -21, 18, 33))).plan
    (boxed,) = prepare(
        Request((SOURCE,), bbox=BoundingBox(-32, -21, 18, 33)), services, store.as_uri()
    )
    assert own.selection == boxed.plan.selection
    assert own.cost == boxed.plan.cost
    assert not own.masks


def test_two_shapes_of_one_window_have_two_fingerprints(services: Services, store: Path) -> None:
    one, other = (
        prepared(services, store, text(shapely.Polygon(corners))).plan
        for corners in (
            [(-40, -30), (40, -30), (40, 30), (-40, 29)],
            [(-40, -30), (40, -30), (40, 30), (-40, 0)],
        )
    )  # fmt: skip
    assert one.selection == other.selection
    assert one.fingerprint != other.fingerprint
    assert json.loads(json.dumps(one.as_json()))["asked"]["shape"]["vertices"] == 5


def test_shape_beside_the_data_is_no_data(services: Services, store: Path, days: list[Path]):
    box = BoundingBox(100, 10, 120, 20)
    with pytest.raises(NoDataError, match=r"the box \[100.* and the shape, which lies within"):
        prepared(services, store, text(TRIANGLE), bbox=box)


def test_what_was_mended_is_told_in_the_output(
    services: Services, store: Path, tmp_path: Path
) -> None:
    open_ring = {"type": "Polygon", "coordinates": [[[0, 0], [20, 0], [20, 20]]]}
    with output(prepared(services, store, json.dumps(open_ring)), services, tmp_path) as nc:
        assert "ring 1 of the shape was not closed" in nc.virtual_store_notes


def test_shape_is_read_once_for_several_stores(services: Services, store: Path) -> None:
    request = Request((SOURCE, replace(SOURCE, variables=("mask",))), shape=text(TRIANGLE))
    first, second = prepare(request, services, store.as_uri())
    assert first.plan.asked["shape"] == second.plan.asked["shape"]


def test_shape_that_stands_in_the_message_is_cut_by(
    store: Path, days: list[Path], tmp_path: Path
) -> None:
    # As a stored operation of an EDR request holds it, and Harmony's library cannot read it.
    record = umm_collection("C1-SHAPES", [store.as_uri()])
    message = make_message("C1-SHAPES", variables=["analysed_sst"])
    message["subset"]["shape"] = text(shapely.box(-8, -8, 8, 8))
    with cmr_server({"C1-SHAPES": record}) as cmr:
        trusted = f"{store.as_uri()}/,{days[0].parent.as_uri()}/"
        environment = {"CMR_ENDPOINT": cmr.url, "HARMONY_VDS_TRUSTED_PREFIXES": trusted}
        done = invoke(message, tmp_path, environment=environment)
    assert done.status == 0, done.stderr
    (path,) = done.data
    with netCDF4.Dataset(path) as nc:
        assert nc["lon"][:].tolist() == nc["lat"][:].tolist() == [-7.5, -2.5, 2.5, 7.5]
