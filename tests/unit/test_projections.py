"""Projections that a store leaves out are added only where it is certain which are meant."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import xarray as xr
from pyproj import CRS

from harmony_vds.model.store import RecordedGrid
from harmony_vds.stores.projections import add_grid_mappings

EASE = RecordedGrid("EASE-2 9 km", "EPSG:6933", 4, 6)
POLAR = RecordedGrid("polar", "EPSG:3411", 3, 2)


def fields(sizes: tuple[int, int] = (4, 6), **attributes: Any) -> xr.Dataset:
    """One field on the axes of a projection, and one without them."""
    axes = {
        name: (name, np.arange(size), {"standard_name": f"projection_{name}_coordinate"})
        for name, size in zip(("y", "x"), sizes, strict=True)
    }
    field = xr.Variable(("time", "y", "x"), np.zeros((1, *sizes)), attributes)
    return xr.Dataset({"soil": field, "total": xr.Variable(("time",), [1.0]), **axes})


def added(dataset: xr.Dataset, grids: Sequence[RecordedGrid]) -> dict[str, str]:
    return add_grid_mappings({"/": dataset}, grids)


@pytest.mark.parametrize(
    ("attributes", "name"), [({}, "crs"), ({"grid_mapping": "lambert"}, "lambert")]
)
def test_projection_of_a_recorded_grid_of_just_its_size_is_added(
    attributes: dict[str, str], name: str
) -> None:
    dataset = fields(**attributes)
    repairs = added(dataset, [POLAR, EASE])
    assert list(repairs) == ["/soil"]
    for part in ("EPSG:6933", "EASE-2 9 km", "4 x 6", name):
        assert part in repairs["/soil"]
    assert dataset["soil"].attrs["grid_mapping"] == name
    assert CRS.from_cf(dataset[name].attrs).equals(CRS.from_epsg(6933))


def test_each_of_two_grids_gets_its_own_projection() -> None:
    dataset = fields()
    axes = {name: own.variable for name, own in fields((3, 2)).coords.items()}
    dataset = dataset.assign_coords(
        {f"{name}_polar": ((f"{name}_polar",), own.values, own.attrs) for name, own in axes.items()}
    )
    dataset["ice"] = (("y_polar", "x_polar"), np.zeros((3, 2)))
    assert set(added(dataset, [POLAR, EASE])) == {"/soil", "/ice"}
    told = {name: CRS.from_cf(dataset[dataset[name].attrs["grid_mapping"]].attrs)
            for name in ("soil", "ice")}  # fmt: skip
    assert told["soil"].equals(CRS.from_epsg(6933))
    assert told["ice"].coordinate_operation.method_name == "Polar Stereographic (variant B)"


def test_variables_of_a_subgroup_on_the_axes_of_the_root_get_it_too() -> None:
    root = fields().drop_vars("soil")
    group = xr.Dataset({"soil": fields()["soil"].variable})
    assert list(add_grid_mappings({"/": root, "/a": group}, [EASE])) == ["/a/soil"]
    assert CRS.from_cf(group["crs"].attrs).equals(CRS.from_epsg(6933))


@pytest.mark.parametrize(
    ("dataset", "grids"),
    [
        (fields(), []),
        (fields(), [POLAR]),
        (fields(), [EASE, RecordedGrid("of the same size", "EPSG:3410", 4, 6)]),
        (fields(), [RecordedGrid("degrees", "EPSG:4326", 4, 6)]),
        (fields(), [RecordedGrid("nonsense", "the usual one", 4, 6)]),
        (fields().drop_vars(["y", "x"]), [EASE]),
        (fields().assign(own=((), 0, {"grid_mapping_name": "polar_stereographic"})), [EASE]),
        (fields().assign(own=((), 0, {"crs_wkt": "PROJCRS[]"})), [EASE]),
        (fields(grid_mapping="own").assign(own=((), 0, {})), [EASE]),
        (fields(grid_mapping="own: y x"), [EASE]),
    ],
    ids=["no records", "another size", "two of the size", "degrees", "no CRS", "no axes",
         "stated by CF", "stated by WKT", "named and there", "extended form"],
)  # fmt: skip
def test_nothing_is_added_where_anything_is_left_to_guess(
    dataset: xr.Dataset, grids: list[RecordedGrid]
) -> None:
    before = dataset.copy()
    assert added(dataset, grids) == {}
    xr.testing.assert_identical(dataset, before)
