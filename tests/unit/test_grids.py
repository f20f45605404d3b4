"""Axes as they are read from a store, and the cut of a packed one from end to end."""

from datetime import UTC, datetime

import numpy as np
import pytest
import xarray as xr

from harmony_vds.errors import NoDataError, UnsupportedError
from harmony_vds.model.chunks import ChunkIndex, ChunkKind, Indexers
from harmony_vds.model.extent import BoundingBox, TimeRange
from harmony_vds.model.grid import Axis, AxisKind
from harmony_vds.model.request import Request, Source
from harmony_vds.model.store import ManifestFormat, StoreLocation, VirtualStore
from harmony_vds.planning.axes import read_axis
from harmony_vds.planning.hierarchy import Hierarchy
from harmony_vds.planning.planner import make_plan
from harmony_vds.transform.apply import apply_plan

SINGLE = float(np.float32(0.01))  # as JSON hands on a factor of single precision


def store_of(groups: dict[str, dict[str, tuple]]) -> VirtualStore:
    """A store of small arrays: group → name → (dimensions, values, attributes)."""
    datasets = {
        path: xr.Dataset({name: xr.Variable(*own) for name, own in variables.items()})
        for path, variables in groups.items()
    }
    tree = xr.DataTree.from_dict(datasets)
    location = StoreLocation("https://example.com/store", ManifestFormat.KERCHUNK_JSON, None, "1")

    def index(path: str, selection: Indexers | None = None) -> ChunkIndex:
        group, _, name = path.rpartition("/")
        own = tree[group or "/"].variables[name]
        chunks = tuple(max(n, 1) for n in own.shape)
        present = ChunkIndex.empty(own.shape, chunks, own.dtype.itemsize)
        present.kinds[...] = ChunkKind.INLINE
        return present

    return VirtualStore(location, tree, index)


def longitude(values: np.ndarray, **attributes: object) -> Axis:
    store = store_of({"/": {"lon": (("lon",), values, {"units": "degrees_east", **attributes})}})
    return read_axis(AxisKind.X, "/lon", Hierarchy(store))


@pytest.mark.parametrize(
    "values, attributes, resolution",
    [
        (np.array([0, 359.5], "f4"), {}, 2**-15),  # single precision from 256 to 512
        (np.array([0, 359.5], "f8"), {}, 2**-44),
        (np.array([0, 1438], "i2"), {"scale_factor": 0.25}, 2**-44),  # a quarter is exact
        (np.array([0, 35950], "u2"), {"scale_factor": 0.01}, 2**-44),
        (np.array([0, 35950], "u2"), {"scale_factor": SINGLE}, 2**-15),
    ],
)
def test_the_resolution_is_that_of_the_stored_type(values, attributes, resolution) -> None:
    assert longitude(values, **attributes).resolution == resolution


def test_a_centre_packed_in_single_precision_lies_on_the_edge_it_stands_for() -> None:
    own = longitude(np.array([17950, 17960], "i4"), scale_factor=SINGLE)
    assert own.values[0] < 179.5 - 1e-6  # what unpacking makes of 179.5
    fields = {
        "lon": (("lon",), np.array([17950, 17960], "i4"),
                {"units": "degrees_east", "scale_factor": SINGLE}),
        "lat": (("lat",), np.array([0.0, 1.0]), {"units": "degrees_north"}),
        "sst": (("lat", "lon"), np.zeros((2, 2), "i2"), {}),
    }  # fmt: skip
    request = Request((Source("", "DEMO"),), bbox=BoundingBox(179.5, 0, 179.55, 1))
    plan = make_plan(store_of({"/": fields}), request, request.sources[0])
    assert plan.selection["/lon"].positions.tolist() == [0]


@pytest.mark.parametrize("place", ["beside", "above", "absolute"])
@pytest.mark.parametrize("dtype, unpacked", [("i4", False), ("i2", True)])
def test_bounds_of_a_wrapped_box_follow_their_coordinate(place, dtype, unpacked) -> None:
    # 16 bits of 0.005 degrees reach to 163: edges beyond are cut there, and no turn ever fits.
    factor = 0.005 if unpacked else SINGLE
    centres = np.array([-160, -80, 0, 80, 160])
    bounds = np.stack([centres - 20, centres + 20], axis=1) * 0.999
    packed = np.round(centres / factor).clip(-32768, 32767 if unpacked else None).astype(dtype)
    edges = np.round(bounds / factor).clip(-32768, 32767 if unpacked else None).astype(dtype)
    root = {"lon_bnds": (("lon", "nv"), edges, {})}
    group = {
        "lon": (("lon",), packed, {"units": "degrees_east", "scale_factor": factor,
                                   "add_offset": 0.0,
                                   "bounds": "/lon_bnds" if place == "absolute" else "lon_bnds"}),
        "lat": (("lat",), np.array([0.0, 1.0]), {"units": "degrees_north"}),
        "sst": (("lat", "lon"), np.zeros((2, 5), "i2"), {}),
    }  # fmt: skip
    flat = place == "beside"
    store = store_of({"/": {**root, **group}} if flat else {"/": root, "/g": group})
    request = Request((Source("", "DEMO"),), bbox=BoundingBox(150, 0, -150, 1))
    subset = apply_plan(store, make_plan(store, request, request.sources[0]))
    found = {v.planned.path.rpartition("/")[2]: v.data for v in subset.variables}
    lon, edge = (_decoded(found[name]) for name in ("lon", "lon_bnds"))
    first, last = packed[4] * factor, packed[0] * factor + 360
    assert lon == pytest.approx([first, last], abs=1e-5)
    expected = [edges[4] * factor, edges[0] * factor + 360]
    assert edge == pytest.approx(np.array(expected), abs=1e-5)
    assert (found["lon"].dtype == np.float64) == unpacked


def _decoded(variable: xr.Variable) -> np.ndarray:
    scale, offset = (variable.attrs.get(n, d) for n, d in (("scale_factor", 1), ("add_offset", 0)))
    return variable.values.astype(float) * scale + offset


SINCE = {"units": "days since 2020-01-01"}


def stack(coordinates: str = "", **times: tuple[tuple[str, ...], np.ndarray]) -> VirtualStore:
    """Three images along a dimension that is not called time, and their times."""
    named = {"coordinates": coordinates} if coordinates else {}
    fields = {
        "file": (("file",), np.array(["a", "b", "c"]), {}),
        "image": (("file", "y"), np.zeros((3, 2), "f4"), named),
        **{name: (dims, values, SINCE) for name, (dims, values) in times.items()},
    }
    return store_of({"/": fields})


ALONG, DAYS = ("file",), np.array([0, 10, 20])
EARLY, LATE = (ALONG, DAYS), (ALONG, DAYS + 5)


@pytest.mark.parametrize(
    ("store", "taken"),
    [
        (stack(reference_datetime=EARLY, secondary_datetime=LATE), "/secondary_datetime"),
        (stack("reference_datetime", reference_datetime=EARLY, secondary_datetime=LATE),
         "/reference_datetime"),
        (stack("reference_datetime secondary_datetime", reference_datetime=EARLY,
               secondary_datetime=LATE), "/secondary_datetime"),
        (stack("seen", seen=LATE, made=EARLY), "/seen"),
    ],
    ids=["agreed", "named", "both", "one-of-two"],
)  # fmt: skip
def test_steps_along_a_dimension_not_called_time_have_the_time_that_metadata_name(
    store: VirtualStore, taken: str
) -> None:
    wanted = TimeRange(datetime(2020, 1, 12, tzinfo=UTC), None)
    request = Request((Source("", "DEMO", variables=("image",)),), temporal=wanted)
    plan = make_plan(store, request, request.sources[0])
    assert plan.time_axes == (taken,)
    positions = [2] if taken == "/reference_datetime" else [1, 2]
    assert plan.selection["/file"].positions.tolist() == positions
    assert f"taken from {taken[1:]}" in " ".join(plan.notes)
    assert plan.coverage is not None


@pytest.mark.parametrize(
    "store",
    [
        stack(made=EARLY),
        stack("made seen", made=EARLY, seen=LATE),
        stack("seen", seen=(("file", "y"), np.zeros((3, 2))), secondary_datetime=LATE),
    ],
    ids=["unnamed", "several", "each-cell"],
)
def test_no_time_is_guessed_where_metadata_name_none_or_several(store: VirtualStore) -> None:
    wanted = TimeRange(datetime(2020, 1, 12, tzinfo=UTC), None)
    request = Request((Source("", "DEMO", variables=("image",)),), temporal=wanted)
    with pytest.raises(UnsupportedError, match="no time coordinate"):
        make_plan(store, request, request.sources[0])


def test_a_time_range_cuts_steps_and_the_cells_of_the_swath_beside_them() -> None:
    hours = {"units": "hours since 2024-01-01"}
    seen = np.array([[0, 1, 2, 3], [3, 4, np.nan, 6]])
    store = store_of({"/": {
        "time": (("time",), np.arange(3), hours),
        "mean": (("time",), np.zeros(3, "f4"), {}),
        "line_time": (("granule", "line"), seen, hours | {"standard_name": "time"}),
        "height": (("granule", "line", "pixel"), np.arange(40.0).reshape(2, 4, 5), {}),
    }})  # fmt: skip
    wanted = TimeRange(datetime(2024, 1, 1, 2, tzinfo=UTC), datetime(2024, 1, 1, 4, tzinfo=UTC))
    asked = Request((Source("", "S"),), temporal=wanted)
    plan = make_plan(store, asked, Source("", "S", variables=("mean", "height")))
    assert plan.selection["/time"].positions.tolist() == [2]
    assert plan.selection["/line"].positions.tolist() == [0, 1, 2, 3]
    (mask,) = plan.masks
    assert mask.variables == {"/height"}
    np.testing.assert_array_equal(mask.inside.flags, (seen >= 2) & (seen <= 4))
    assert plan.coverage == wanted
    subset = apply_plan(store, plan)
    height = next(v.data for v in subset.variables if v.planned.path == "/height").values
    inside = np.broadcast_to(((seen >= 2) & (seen <= 4))[..., None], height.shape)
    np.testing.assert_array_equal(np.isnan(height), ~inside)
    np.testing.assert_array_equal(height[inside], np.arange(40.0).reshape(2, 4, 5)[inside])


def test_a_time_range_that_no_cell_of_a_swath_meets_tells_what_there_is() -> None:
    hours = {"units": "hours since 2024-01-01", "standard_name": "time"}
    store = store_of({"/": {
        "line_time": (("granule", "line"), np.arange(8.0).reshape(2, 4), hours),
        "height": (("granule", "line"), np.zeros((2, 4), "f4"), {}),
    }})  # fmt: skip
    wanted = TimeRange(datetime(2025, 1, 1, tzinfo=UTC), None)
    asked = Request((Source("", "S", variables=("height",)),), temporal=wanted)
    with pytest.raises(NoDataError, match=r"the store covers 2024-01-01T00:00:00Z/2024-01-01T07"):
        make_plan(store, asked, asked.sources[0])
