"""Cells end where the bounds of their latitudes and longitudes say, if neighbours share corners."""

from typing import Any

import numpy as np
import pytest
from pyproj import Geod
from unit.test_grids import store_of

from harmony_vds.model.request import Request, Source
from harmony_vds.planning.hierarchy import Hierarchy
from harmony_vds.planning.planner import make_plan
from harmony_vds.planning.vertices import lattice_of

ROWS, COLUMNS = 4, 5
GEOD = Geod(ellps="WGS84")


def lattice() -> tuple[np.ndarray, np.ndarray]:
    """Corners of cells of very unequal sizes, across the antimeridian."""
    j, i = np.meshgrid(np.arange(ROWS + 1.0), np.arange(COLUMNS + 1.0), indexing="ij")
    longitudes = 172 + 0.6 * i**2 - 0.9 * j
    return (longitudes + 180) % 360 - 180, 60 + 0.7 * j**1.5 + 0.4 * i


def around(own: np.ndarray, order: tuple[int, ...]) -> np.ndarray:
    """The four corners of each cell, listed in some order of going round."""
    ring = (own[:-1, :-1], own[:-1, 1:], own[1:, 1:], own[1:, :-1])
    return np.stack([ring[number] for number in order], axis=-1)


def stored(order: tuple[int, ...] = (0, 1, 2, 3), **changed: Any) -> dict[str, dict[str, tuple]]:
    east, north = lattice()
    middle = np.mean(around(np.where(east < 0, east + 360, east), order), -1)
    own = {
        "lon": (("j", "i"), middle, {"units": "degrees_east", "bounds": "lon_bnds"}),
        "lat": (("j", "i"), np.mean(around(north, order), -1),
                {"units": "degrees_north", "bounds": "lat_bnds"}),
        "lon_bnds": (("j", "i", "nv"), around(east, order), {}),
        "lat_bnds": (("j", "i", "nv"), around(north, order), {}),
        "field": (("j", "i"), np.zeros((ROWS, COLUMNS)), {"coordinates": "lat lon"}),
    }  # fmt: skip
    return {"/": own | changed}


ORDERS = [(0, 1, 2, 3), (1, 2, 3, 0), (2, 3, 0, 1), (3, 0, 1, 2), (0, 3, 2, 1), (3, 2, 1, 0),
          (2, 1, 0, 3), (1, 0, 3, 2)]  # fmt: skip


@pytest.mark.parametrize("order", ORDERS, ids=str)
def test_corners_are_found_whichever_way_the_bounds_go_round(order: tuple[int, ...]) -> None:
    found = lattice_of("/lat", "/lon", Hierarchy(store_of(stored(order))))
    assert found is not None
    for ours, theirs in zip(found, lattice(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-12)


def areas(variables: dict[str, dict[str, tuple]]) -> np.ndarray:
    store = store_of(variables)
    request = Request((Source("", "S", variables=("field",)),), average="area")
    plan = make_plan(store, request, request.sources[0])
    assert plan.average is not None
    return plan.average.areas[0].of(slice(None), slice(None))


def test_cells_weigh_by_the_areas_within_their_bounds() -> None:
    found, (east, north) = areas(stored()), lattice()
    for row in range(ROWS):
        for column in range(COLUMNS):
            at = [(row, column), (row, column + 1), (row + 1, column + 1), (row + 1, column)]
            ring = [own[place] for place in at for own in (east, north)]
            exact = abs(GEOD.polygon_area_perimeter(ring[::2], ring[1::2])[0])
            # Sides are great circles here and geodesics there, of up to 300 km.
            assert found[row, column] == pytest.approx(exact, rel=1e-4)
    nearby = areas({"/": {name: own for name, own in stored()["/"].items() if "bnds" not in name}})
    assert np.abs(nearby / found - 1).max() > 0.05  # what middles of centres would give


def test_a_corner_that_one_cell_lacks_is_taken_from_another() -> None:
    variables = stored()
    bounds = variables["/"]["lat_bnds"][1]
    bounds[1, 2] = np.nan
    found = lattice_of("/lat", "/lon", Hierarchy(store_of(variables)))
    assert found is not None
    np.testing.assert_allclose(found[1], lattice()[1], atol=1e-12)


def apart() -> np.ndarray:
    """Footprints a tenth narrower than the cells are wide."""
    east = around(np.where(lattice()[0] < 0, lattice()[0] + 360, lattice()[0]), (0, 1, 2, 3))
    middle = east.mean(axis=-1, keepdims=True)
    return middle + 0.9 * (east - middle)


@pytest.mark.parametrize(
    "changed",
    [
        {"lon_bnds": (("j", "i", "nv"), np.zeros((ROWS, COLUMNS, 4)), {})},
        {"lon_bnds": (("j", "i", "nv"), apart(), {})},
        {"lon_bnds": (("j", "i", "two"), np.zeros((ROWS, COLUMNS, 2)), {})},
        {"lon_bnds": (("i", "j", "nv"), np.zeros((COLUMNS, ROWS, 4)), {})},
        {"lon_bnds": ((), 0.0, {})},
    ],
    ids=["never written", "cells with gaps", "two bounds", "another order", "a scalar"],
)
def test_bounds_that_neighbours_do_not_share_leave_corners_to_the_centres(
    changed: dict[str, Any],
) -> None:
    assert lattice_of("/lat", "/lon", Hierarchy(store_of(stored(**changed)))) is None
