"""Reference systems as stores state them, and where the cells of grids in them are.

Expected places are worked out by pyproj, one point at a time, from numbers given here.
"""

import math
from typing import Any

import numpy as np
import pytest
import xarray as xr
from pyproj import CRS, Transformer

from harmony_vds.errors import StoreError, UncutBoxError
from harmony_vds.inspection.findings import findings_of
from harmony_vds.model.chunks import ChunkIndex, ChunkKind, Indexers
from harmony_vds.model.grid import Grid, GridKind
from harmony_vds.model.store import ManifestFormat, StoreLocation, VirtualStore
from harmony_vds.planning.grids import footing
from harmony_vds.planning.ground import grid_of
from harmony_vds.planning.hierarchy import Hierarchy
from harmony_vds.planning.places import centres, corners

UTM = CRS.from_epsg(32611)
X = {"standard_name": "projection_x_coordinate", "units": "m"}
Y = {"standard_name": "projection_y_coordinate", "units": "m"}
EAST = 300_000.0 + 1000.0 * np.arange(5)
NORTH = 4_100_000.0 - 1000.0 * np.arange(4)

type Fields = dict[str, tuple[Any, Any, dict[str, Any]]]


def hierarchy_of(groups: dict[str, Fields], told: dict[str, Any] | None = None) -> Hierarchy:
    """A store of small arrays: group → name → (dimensions, values, attributes)."""
    tree = xr.DataTree.from_dict({
        path: xr.Dataset({name: xr.Variable(*own) for name, own in variables.items()})
        for path, variables in groups.items()
    })  # fmt: skip
    tree.attrs.update(told or {})
    location = StoreLocation("https://example.com/store", ManifestFormat.KERCHUNK_JSON, None, "1")

    def index(path: str, selection: Indexers | None = None) -> ChunkIndex:
        group, _, name = path.rpartition("/")
        own = tree[group or "/"].variables[name]
        present = ChunkIndex.empty(own.shape, tuple(max(n, 1) for n in own.shape), 4)
        present.kinds[...] = ChunkKind.INLINE
        return present

    return Hierarchy(VirtualStore(location, tree, index))


def image(mapping: dict[str, Any] | None = None, **more: Any) -> Fields:
    """An image on a UTM grid, its mapping named `crs`."""
    named = {} if mapping is None else {"grid_mapping": "crs"}
    fields: Fields = {
        "x": ("x", EAST, X),
        "y": ("y", NORTH, Y),
        "image": (("y", "x"), np.zeros((4, 5), "f4"), named),
    }
    if mapping is not None:
        fields["crs"] = ((), np.int32(0), mapping)
    return fields | more


def grid(hierarchy: Hierarchy, path: str = "/image") -> Grid:
    ground = footing(path, hierarchy).ground
    assert ground is not None, footing(path, hierarchy).obstacle
    return grid_of(ground, path, hierarchy)


def check(own: Grid, crs: CRS, x: np.ndarray = EAST, y: np.ndarray = NORTH) -> None:
    """Each centre, and each corner half-way, lies where pyproj puts it."""
    assert own.kind is GridKind.PROJECTED
    transformer = Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    half_x, half_y = (np.append(a - s / 2, a[-1] + s / 2) for a, s in
                      ((x, x[1] - x[0]), (y, y[1] - y[0])))  # fmt: skip
    for found, across, down in (
        (centres(own, slice(None), slice(None)), x, y),
        (corners(own, slice(None), slice(None)), half_x, half_y),
    ):
        assert found[0].shape == (down.size, across.size)
        for i, north in enumerate(down):
            for j, east in enumerate(across):
                lon, lat = transformer.transform(east, north)
                assert found[0][i, j] == pytest.approx(lon, abs=1e-9)
                assert found[1][i, j] == pytest.approx(lat, abs=1e-9)


STATED = {
    "crs_wkt": {"crs_wkt": UTM.to_wkt()},
    "spatial_ref": {"spatial_ref": UTM.to_wkt("WKT1_GDAL")},
    "epsg_code": {"epsg_code": 32611},
    "epsg_code as text": {"epsg_code": "EPSG:32611", "grid_mapping_name": "no name of CF"},
    "CF": {k: v for k, v in UTM.to_cf().items() if k != "crs_wkt"},
    "CF, numbers in lists": {k: [v] for k, v in UTM.to_cf().items() if k != "crs_wkt"},
    "proj:code": {"proj:code": "EPSG:32611"},
    "proj:wkt2": {"proj:wkt2": UTM.to_wkt()},
    "proj:projjson": {"proj:projjson": UTM.to_json_dict()},
}


@pytest.mark.parametrize("form", STATED)
def test_every_form_of_stating_a_reference_system_places_the_cells(form: str) -> None:
    check(grid(hierarchy_of({"/": image(STATED[form])})), UTM)


@pytest.mark.parametrize("attribute", ["crs", "crs: x y", "other: lat lon crs: x y"])
def test_grid_mapping_is_found_in_its_short_and_extended_form(attribute: str) -> None:
    fields = image(STATED["CF"])
    fields["image"] = (("y", "x"), np.zeros((4, 5)), {"grid_mapping": attribute})
    plain = {"grid_mapping_name": "latitude_longitude"}
    check(grid(hierarchy_of({"/": fields | {"other": ((), np.int32(0), plain)}})), UTM)


@pytest.mark.parametrize("named", [True, False], ids=["named", "unnamed"])
@pytest.mark.parametrize("place", ["/", "/a", "/b"])
def test_misplaced_grid_mapping_is_taken_where_it_is_the_only_one(named: bool, place: str) -> None:
    fields = image()
    if named:
        fields["image"] = (("y", "x"), np.zeros((4, 5)), {"grid_mapping": "crs"})
    groups: dict[str, Fields] = {"/": {}, "/a": fields, "/b": {}}
    groups[place] = groups[place] | {"crs": ((), np.int32(0), STATED["CF"])}
    hierarchy = hierarchy_of(groups)
    check(grid(hierarchy, "/a/image"), UTM)
    ground = footing("/a/image", hierarchy).ground
    assert ground is not None
    assert ground.mapping is not None
    assert ("the only one" in ground.mapping.remark) == (not named or place == "/b")


def test_of_two_reference_systems_none_is_guessed() -> None:
    other = {"one": ((), np.int32(0), STATED["CF"]), "two": ((), np.int32(0), {"epsg_code": 32612})}
    own = footing("/image", hierarchy_of({"/": image() | other}))
    assert own.ground is None
    assert own.obstacle is not None
    assert "reference system" in own.obstacle


def test_kilometres_and_metres_give_the_same_places() -> None:
    fields = image(STATED["CF"])
    fields["x"] = ("x", EAST / 1000, X | {"units": "km"})
    fields["y"] = ("y", NORTH / 1000, Y | {"units": "kilometers"})
    check(grid(hierarchy_of({"/": fields})), UTM)


def test_axes_are_known_by_axis_attribute_and_by_units_at_their_position() -> None:
    for attributes in ({"axis": "X", "units": "m"}, {"units": "meters"}):
        fields = image(STATED["CF"])
        del fields["x"], fields["y"]
        upright = attributes | ({"axis": "Y"} if "axis" in attributes else {})
        fields |= {"a": ("a", NORTH, upright), "b": ("b", EAST, attributes),
                   "image": (("a", "b"), np.zeros((4, 5)), {"grid_mapping": "crs"})}  # fmt: skip
        check(grid(hierarchy_of({"/": fields})), UTM)


@pytest.mark.parametrize("form", ["GeoTransform", "spatial:transform"])
def test_axes_are_computed_from_a_transform_where_there_are_none(form: str) -> None:
    fields = image(STATED["CF"] | {"GeoTransform": "299500 1000 0 4100500 0 -1000"})
    del fields["x"], fields["y"]
    told = {"spatial:transform": [1000, 0, 299500, 0, -1000, 4100500],
            "spatial:dimensions": ["y", "x"], "proj:code": "EPSG:32611"}  # fmt: skip
    if form != "GeoTransform":
        del fields["crs"]
        fields["image"] = (("y", "x"), np.zeros((4, 5)), {})
    check(grid(hierarchy_of({"/": fields}, told if form != "GeoTransform" else None)), UTM)


def test_scan_angles_become_metres_by_the_height_of_the_satellite() -> None:
    cf = {"grid_mapping_name": "geostationary", "perspective_point_height": 35786023.0,
          "semi_major_axis": 6378137.0, "semi_minor_axis": 6356752.31414,
          "longitude_of_projection_origin": -75.0, "sweep_angle_axis": "x"}  # fmt: skip
    fields = image(cf)
    packed = {"scale_factor": -5.6e-05, "add_offset": 0.1, "units": "rad", "axis": "Y"}
    fields["y"] = ("y", np.arange(4, dtype="i2"), packed)
    fields["x"] = (
        "x",
        np.array([-3000, 0, 1, 2, 3], "i2"),
        {"scale_factor": 5.6e-05, "axis": "X", "add_offset": 0.0, "units": "rad"},
    )
    own = grid(hierarchy_of({"/": fields}))
    lon, lat = centres(own, slice(None), slice(None))
    back = Transformer.from_crs(
        "+proj=geos +h=35786023 +lon_0=-75 +sweep=x +a=6378137 +b=6356752.31414", "EPSG:4326",
        always_xy=True,
    )  # fmt: skip
    assert np.isnan(lon[:, 0]).all()  # off the disk
    for i in range(4):
        for j in range(1, 5):
            x, y = 5.6e-05 * (j - 1) * 35786023, (0.1 - 5.6e-05 * i) * 35786023
            expected = back.transform(x, y)
            assert (lon[i, j], lat[i, j]) == pytest.approx(expected, abs=1e-6)


def test_cells_that_a_map_of_the_whole_earth_repeats_have_no_place() -> None:
    cf = {"grid_mapping_name": "sinusoidal", "earth_radius": 6371007.181,
          "longitude_of_central_meridian": 0.0}  # fmt: skip
    fields = image(cf)
    fields["x"] = ("x", np.array([0.0, 9e6, 19e6]), X)
    fields["y"] = ("y", np.array([0.0, 6371007.181 * math.pi / 3]), Y)
    fields["image"] = (("y", "x"), np.zeros((2, 3)), {"grid_mapping": "crs"})
    lon, _ = centres(grid(hierarchy_of({"/": fields})), slice(None), slice(None))
    assert np.isfinite(lon[0]).all()
    assert lon[1, 1] == pytest.approx(math.degrees(9e6 / 6371007.181 / 0.5), abs=1e-6)
    assert np.isnan(lon[1, 2])  # half-way to the pole the map is half as wide


def test_reference_system_that_contradicts_stored_latitudes_refuses_the_box() -> None:
    back = Transformer.from_crs(UTM, "EPSG:4326", always_xy=True)
    lon, lat = back.transform(*np.meshgrid(EAST, NORTH))
    places: Fields = {"lon": (("y", "x"), lon, {"units": "degrees_east"}),
                      "lat": (("y", "x"), lat, {"units": "degrees_north"})}  # fmt: skip
    check(grid(hierarchy_of({"/": image(STATED["CF"]) | places})), UTM)
    wrong = hierarchy_of({"/": image({"epsg_code": 32612}) | places})
    with pytest.raises(UncutBoxError, match=r"cells lie .* km from where /lat and /lon say"):
        grid(wrong)
    told = [own.told for own in findings_of(wrong, {})]
    assert any("km from where /lat and /lon say" in own for own in told)  # inspection tells it too


def test_x_that_counts_cells_is_refused() -> None:
    fields = image(STATED["CF"])
    fields |= {"x": ("x", np.arange(5), {}), "y": ("y", np.arange(4), {})}
    with pytest.raises(StoreError, match="counts cells"):
        grid(hierarchy_of({"/": fields}))


def test_latitudes_in_another_group_place_the_cells_that_share_their_dimensions() -> None:
    lat, lon = np.arange(12.0).reshape(3, 4), 10 + np.arange(12.0).reshape(3, 4)
    groups: dict[str, Fields] = {
        "/": {"line": ("line", np.arange(3), {}), "pixel": ("pixel", np.arange(4), {})},
        "/geolocation": {"latitude": (("line", "pixel"), lat, {"units": "degrees_north"}),
                         "longitude": (("line", "pixel"), lon, {"units": "degrees_east"})},
        "/product": {"no2": (("line", "pixel"), np.zeros((3, 4)), {})},
    }  # fmt: skip
    own = grid(hierarchy_of(groups), "/product/no2")
    assert (own.kind, own.dimensions) == (GridKind.CURVILINEAR, ("/line", "/pixel"))
    found = centres(own, slice(1, 3), np.array([0, 2]))
    np.testing.assert_array_equal(found[0], lon[1:][:, [0, 2]])
    np.testing.assert_array_equal(found[1], lat[1:][:, [0, 2]])
    assert corners(own, slice(1, 3), slice(0, 2))[0].shape == (3, 3)


def test_corners_of_curvilinear_cells_meet_across_the_antimeridian_and_the_edge() -> None:
    lon, lat = np.meshgrid([178.0, 179.0, -180.0, -179.0], [1.0, 0.0, -1.0])
    fields: Fields = {"lat": (("j", "i"), lat, {"units": "degrees_north"}),
                      "lon": (("j", "i"), lon, {"units": "degrees_east"}),
                      "image": (("j", "i"), np.zeros((3, 4)), {})}  # fmt: skip
    east, north = corners(grid(hierarchy_of({"/": fields})), slice(None), slice(None))
    np.testing.assert_allclose(east, [[177.5, 178.5, 179.5, -179.5, -178.5]] * 4, atol=0.01)
    np.testing.assert_allclose(north[:, 0], [1.5, 0.5, -0.5, -1.5], atol=0.01)


def test_latitudes_along_one_dimension_are_a_track() -> None:
    fields: Fields = {"lat": ("time", np.array([0.0, 1.0, 95.0]), {"units": "degrees_north"}),
                      "lon": ("time", np.array([359.0, 0.0, 0.0]), {"units": "degrees_east"}),
                      "height": ("time", np.zeros(3), {"coordinates": "lon lat"})}  # fmt: skip
    own = grid(hierarchy_of({"/": fields}), "/height")
    assert (own.kind, own.dimensions) == (GridKind.TRACK, ("/time",))
    lon, lat = centres(own, slice(None), slice(None))
    np.testing.assert_array_equal(lon, [-1.0, 0.0, np.nan])
    np.testing.assert_array_equal(lat, [0.0, 1.0, np.nan])
