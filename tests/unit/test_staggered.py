"""Variables between cells are cut by places half-way between those of the cells."""

from typing import Any

import numpy as np
import pytest
from pyproj import Geod
from unit.test_grids import store_of

from harmony_vds.errors import UncutBoxError
from harmony_vds.model.extent import BoundingBox
from harmony_vds.model.request import Request, Source
from harmony_vds.planning.grids import footing
from harmony_vds.planning.ground import grid_of
from harmony_vds.planning.hierarchy import Hierarchy
from harmony_vds.planning.planner import make_plan
from harmony_vds.transform.apply import apply_plan

LAT, LON = 20.0 + 2 * np.arange(5), 171.0 + 2 * np.arange(6)
EAST, NORTH = {"units": "degrees_east", "axis": "X"}, {"units": "degrees_north", "axis": "Y"}


def flat(shift: float, size: int, **more: Any) -> dict[str, dict[str, tuple]]:
    """Longitudes that cross the antimeridian, as -179 and on, and a variable between them."""
    values = np.arange(5.0 * size).reshape(5, size)
    turned = (LON + 180) % 360 - 180
    return {"/": {
        "lat": (("lat",), LAT, NORTH), "lon": (("lon",), turned, EAST),
        "lon_u": (("lon_u",), np.arange(size), {"axis": "X", "c_grid_axis_shift": shift}),
        "u": (("lat", "lon_u"), values, {}), **more,
    }}  # fmt: skip


@pytest.mark.parametrize(
    ("shift", "size", "first"), [(-0.5, 6, 170), (0.5, 6, 172), (-0.5, 7, 170), (0.5, 5, 172)],
    ids=["left", "right", "outer", "inner"],
)  # fmt: skip
def test_box_cuts_columns_between_longitudes(shift: float, size: int, first: int) -> None:
    store = store_of(flat(shift, size))
    request = Request((Source("", "S", variables=("u",)),), bbox=BoundingBox(173, 21, -178.5, 27))
    subset = apply_plan(store, make_plan(store, request, request.sources[0]))
    (kept,) = (own.data.values for own in subset.variables if own.planned.path == "/u")
    between = first + 2 * np.arange(size)
    columns = np.flatnonzero((between >= 173) & (between <= 181.5))
    np.testing.assert_array_equal(kept, store.tree["u"].values[np.ix_([1, 2, 3], columns)])


def curved(**attributes: Any) -> dict[str, dict[str, tuple]]:
    j, i = np.meshgrid(np.arange(6), np.arange(7), indexing="ij")
    index = {"axis": "X", "c_grid_axis_shift": -0.5}
    return {"/": {
        "XC": (("j", "i"), 150 + 8.0 * i - 3 * j, {"units": "degrees_east"}),
        "YC": (("j", "i"), 60 + 4.0 * j + i, {"units": "degrees_north"}),
        "i": (("i",), np.arange(7), {"axis": "X"}), "j": (("j",), np.arange(6), {"axis": "Y"}),
        "i_g": (("i_g",), np.arange(7), index | attributes),
        "u": (("j", "i_g"), np.zeros((6, 7)), {}),
    }}  # fmt: skip


def test_places_between_cells_are_the_middles_of_great_circles() -> None:
    hierarchy = Hierarchy(store_of(curved()))
    ground = footing("/u", hierarchy).ground
    assert ground is not None
    assert ground.dimensions == ("/j", "/i_g")
    grid = grid_of(ground, "/u", hierarchy)
    east, north = (hierarchy.load(own) for own in ("/XC", "/YC"))
    sphere = Geod(a=1.0, f=0.0)
    for row, column in ((0, 1), (3, 4), (5, 6)):
        ends = [own[row, at] for at in (column - 1, column) for own in (east, north)]
        ((longitude, latitude),) = sphere.npts(*ends, npts=1)
        assert (grid.x.values[row, column] - longitude) % 360 == pytest.approx(0, abs=1e-9)
        assert grid.y.values[row, column] == pytest.approx(latitude, abs=1e-9)


@pytest.mark.parametrize(
    "attributes",
    [{"axis": "Y"}, {"axis": ""}, {"c_grid_axis_shift": 0.25}, {"c_grid_axis_shift": "left"}],
    ids=["another axis", "no axis", "another shift", "no number"],
)
def test_what_may_lie_elsewhere_is_refused(attributes: dict[str, Any]) -> None:
    store = store_of(curved(**attributes))
    request = Request((Source("", "S", variables=("u",)),), bbox=BoundingBox(150, 60, 170, 70))
    with pytest.raises(UncutBoxError, match="cannot cut u"):
        make_plan(store, request, request.sources[0])


def test_faces_of_two_grids_along_one_axis_are_not_guessed() -> None:
    groups = curved()
    again = {f"{name}2": groups["/"][name] for name in ("XC", "YC")}
    hierarchy = Hierarchy(store_of({"/": groups["/"] | again}))
    assert footing("/u", hierarchy).ground is None
