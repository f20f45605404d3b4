"""Attributes that say where a grid lies, in the window that comes out; names of dimensions."""

from typing import Any

import numpy as np
import pytest
import xarray as xr
from unit.test_grids import store_of
from unit.test_places import EAST, NORTH, STATED, image

from harmony_vds.model.chunks import ChunkIndex, ChunkKind, Indexers
from harmony_vds.model.extent import BoundingBox
from harmony_vds.model.request import Request, Source
from harmony_vds.model.store import ManifestFormat, StoreLocation, VirtualStore
from harmony_vds.model.subset import Subset
from harmony_vds.planning.planner import make_plan
from harmony_vds.stores.dimensions import with_short_names
from harmony_vds.transform.apply import apply_plan

GDAL = "299500.0 1000.0 0.0 4100500.0 0.0 -1000.0"
MIDDLE = (-119.233, 37.005, -119.213, 37.022)
"""Rows 1 to 2 and columns 1 to 2 or so of the image."""


def cut(
    groups: dict[str, Any], told: dict[str, Any], *names: str,
    box: tuple[float, float, float, float] = MIDDLE,
) -> Subset:  # fmt: skip
    tree = xr.DataTree.from_dict({
        path: xr.Dataset({name: xr.Variable(*own) for name, own in variables.items()})
        for path, variables in groups.items()
    })  # fmt: skip
    tree.attrs.update(told)

    def index(path: str, selection: Indexers | None = None) -> ChunkIndex:
        own = tree[path.rpartition("/")[0] or "/"].variables[path.rpartition("/")[2]]
        present = ChunkIndex.empty(own.shape, tuple(max(n, 1) for n in own.shape), 4)
        present.kinds[...] = ChunkKind.INLINE
        return present

    location = StoreLocation("https://example.com/store", ManifestFormat.KERCHUNK_JSON, None, "1")
    store = VirtualStore(location, tree, index)
    request = Request((Source("", "S", variables=names),), bbox=BoundingBox(*box))
    return apply_plan(store, make_plan(store, request, request.sources[0]))


def found(subset: Subset, path: str) -> xr.Variable:
    return next(own.data for own in subset.variables if own.planned.path == path)


def test_gdal_transform_is_that_of_the_first_kept_cell() -> None:
    subset = cut({"/": image(STATED["CF"] | {"GeoTransform": GDAL})}, {}, "image")
    x, y = (found(subset, path).values for path in ("/x", "/y"))
    assert 0 < x.size < EAST.size
    assert 0 < y.size < NORTH.size
    c, a, b, f, d, e = map(float, found(subset, "/crs").attrs["GeoTransform"].split())
    assert (a, b, d, e) == (1000.0, 0.0, 0.0, -1000.0)
    assert (c + a / 2, f + e / 2) == (x[0], y[0])


def test_geozarr_attributes_of_a_group_tell_of_the_window() -> None:
    told = {"proj:code": "EPSG:32611", "spatial:transform": [1000, 0, 299500, 0, -1000, 4100500],
            "spatial:dimensions": ["y", "x"], "spatial:shape": [4, 5],
            "spatial:bbox": [299500, 4096500, 304500, 4100500]}  # fmt: skip
    subset = cut({"/": image()}, told, "image")
    x, y = (found(subset, path).values for path in ("/x", "/y"))
    own = subset.groups["/"]
    assert own["spatial:shape"] == [y.size, x.size] == list(found(subset, "/image").shape)
    assert own["spatial:transform"] == [1000, 0, x[0] - 500, 0, -1000, y[0] + 500]
    assert own["spatial:bbox"] == [x[0] - 500, y[-1] - 500, x[-1] + 500, y[0] + 500]
    assert own["spatial:dimensions"] == ["y", "x"]


def test_transform_of_two_windows_is_left_out() -> None:
    fields = image(STATED["CF"] | {"GeoTransform": GDAL})
    fields["x2"] = ("x2", EAST[:1] + np.arange(0, 4500, 500.0), fields["x"][2])
    fields["fine"] = (("y", "x2"), np.zeros((4, 9), "f4"), {"grid_mapping": "crs"})
    attributes = found(cut({"/": fields}, {}, "image", "fine"), "/crs").attrs
    assert "GeoTransform" not in attributes
    assert attributes["grid_mapping_name"] == "transverse_mercator"


def test_track_which_has_no_window_is_cut() -> None:
    place = {"lat": ("t", np.array([37.01, 0.0, 37.012]), {"units": "degrees_north"}),
             "lon": ("t", np.array([-119.22, 0.0, -119.23]), {"units": "degrees_east"}),
             "height": ("t", np.arange(3.0), {"coordinates": "lat lon"})}  # fmt: skip
    assert found(cut({"/": place}, {}, "height"), "/height").values.tolist() == [0, 2]


def test_transform_that_contradicts_the_coordinates_is_left_out() -> None:
    upside_down = "299500 1000 0 4096500 0 1000"
    subset = cut({"/": image(STATED["CF"] | {"GeoTransform": upside_down})}, {}, "image")
    assert "GeoTransform" not in found(subset, "/crs").attrs


def test_transform_of_a_grid_that_is_kept_whole_stands_as_it_is() -> None:
    told = {"GeoTransform": "299500 1000 0 4100500 0 -1000"}
    fields = image(STATED["CF"] | told)
    subset = cut({"/": fields}, {}, "image", box=(-121, 36, -118, 38))
    assert found(subset, "/image").shape == (4, 5)
    assert found(subset, "/crs").attrs["GeoTransform"] == told["GeoTransform"]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ({"data/time": 3, "n": 2}, {"time": 3, "n": 2}),
        ({"a/x": 3, "b/x": 2}, {"a/x": 3, "b/x": 2}),  # one name for two would be no name
        ({"x": 3, "a/x": 2}, {"x": 3, "a/x": 2}),
        ({"x": 3}, {"x": 3}),
    ],
)
def test_dimensions_lose_the_path_to_their_group(
    names: dict[str, int], expected: dict[str, int]
) -> None:
    fields = {f"v{n}": ((name,), np.zeros(size)) for n, (name, size) in enumerate(names.items())}
    short = with_short_names(xr.Dataset(fields, attrs={"title": "kept"}))
    assert dict(short.sizes) == expected
    assert short.attrs == {"title": "kept"}


def test_coordinate_with_a_short_name_again_is_not_read() -> None:
    dataset = xr.Dataset({"time": (("data/time",), np.arange(3))})
    short = with_short_names(dataset)
    assert short["time"].dims == ("time",)
    assert not short.indexes


@pytest.mark.parametrize(("average", "stays"), [(None, True), ("time", False)])
def test_formula_for_heights_goes_where_one_of_its_terms_does(
    average: str | None, stays: bool
) -> None:
    """An average over time leaves surface pressures out, unless they are asked for by name."""
    formula = {"formula_terms": "sigma: lev ps: ps ptop: ptop", "units": "1"}
    variables = {
        "time": (("time",), [0.0, 1.0], {"units": "days since 2000-01-01"}),
        "lev": (("lev",), [0.1, 0.9], formula),
        "ps": (("time",), [9.0, 8.0], {"units": "Pa"}),
        "ptop": ((), 1.0, {"units": "Pa"}),
        "wind": (("time", "lev"), np.zeros((2, 2)), {"units": "m s-1"}),
    }
    store = store_of({"/": variables})
    for names, whole in ((("wind",), stays), (("wind", "ps"), True)):
        request = Request((Source("", "S", variables=names),), average=average)
        subset = apply_plan(store, make_plan(store, request, request.sources[0]))
        held = {own.planned.path for own in subset.variables}
        assert ("/ps" in held) == whole
        told = found(subset, "/lev").attrs
        assert told == (formula if whole else {"units": "1"})
