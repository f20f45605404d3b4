"""From names to variables, and from variables to all that they need."""

import numpy as np
import pytest
import xarray as xr

from harmony_vds.errors import StoreError, UnknownVariableError
from harmony_vds.model.chunks import ChunkIndex
from harmony_vds.model.plan import Role
from harmony_vds.model.store import ManifestFormat, StoreLocation, VirtualStore
from harmony_vds.planning.hierarchy import Hierarchy
from harmony_vds.planning.variables import requested_paths, with_required


def hierarchy(variables: dict[str, tuple], defects: dict[str, str] | None = None) -> Hierarchy:
    """An open store of small variables: full path → (dimensions, attributes)."""
    groups: dict[str, dict[str, xr.Variable]] = {"/": {}}
    for path, (dimensions, attributes) in variables.items():
        group, _, name = path.rpartition("/")
        shape = (2,) * len(dimensions)
        own = xr.Variable(dimensions, np.zeros(shape, "f4"), attributes)
        groups.setdefault(group or "/", {})[name] = own
    tree = xr.DataTree.from_dict({path: xr.Dataset(own) for path, own in groups.items()})
    location = StoreLocation("https://example.com/store", ManifestFormat.KERCHUNK_JSON, None, "1")
    empty = ChunkIndex.empty((), (), 4)
    return Hierarchy(VirtualStore(location, tree, lambda _: empty, defects=defects or {}))


def needed(own: Hierarchy, *requested: str) -> dict[str, Role]:
    return {v.path: v.role for v in with_required(requested, own)}


GRID = ("lat", "lon")
FLAT = {"/sst": (GRID, {}), "/mask": (GRID, {}), "/lat": (("lat",), {}), "/lon": (("lon",), {})}
GROUPED = {
    "/product/no2": (("y", "x"), {}),
    "/support/no2": (("y", "x"), {}),
    "/support/cloud/fraction": (("y", "x"), {}),
    "/qa/cloud/fraction": (("y", "x"), {}),
    "/qa/flag": (("y", "x"), {}),
}


@pytest.mark.parametrize("name", ["sst", "/sst", " sst ", "/sst/"])
def test_a_path_counts_with_or_without_slash(name: str) -> None:
    assert requested_paths([name], hierarchy(FLAT)) == ("/sst",)


def test_no_name_means_every_variable() -> None:
    assert set(requested_paths([], hierarchy(FLAT))) == set(FLAT)


def test_a_variable_named_twice_is_taken_once() -> None:
    assert requested_paths(["sst", "/sst", "mask"], hierarchy(FLAT)) == ("/sst", "/mask")


@pytest.mark.parametrize(
    "name, path",
    [
        ("product/no2", "/product/no2"),
        ("flag", "/qa/flag"),
        ("qa/cloud/fraction", "/qa/cloud/fraction"),
    ],
)
def test_the_end_of_a_path_is_enough_where_it_is_unique(name: str, path: str) -> None:
    assert requested_paths([name], hierarchy(GROUPED)) == (path,)


def test_a_full_path_means_the_last_part_of_it_in_a_flattened_store() -> None:
    assert requested_paths(["/science/grids/sst"], hierarchy(FLAT)) == ("/sst",)


@pytest.mark.parametrize(
    "name, offered",
    [("no2", ["product/no2", "support/no2"]),
     ("cloud/fraction", ["support/cloud/fraction", "qa/cloud/fraction"])],
)  # fmt: skip
def test_an_ambiguous_name_is_refused_with_what_it_may_mean(name: str, offered: list[str]) -> None:
    with pytest.raises(UnknownVariableError, match="not unique") as caught:
        requested_paths([name], hierarchy(GROUPED))
    assert all(path in str(caught.value) for path in offered)


def test_a_path_may_begin_above_the_group_that_was_made_into_a_store() -> None:
    assert requested_paths(["science/qa/flag"], hierarchy(GROUPED)) == ("/qa/flag",)


@pytest.mark.parametrize("name", ["/product/flag", "/science/no2", "lag"])
def test_a_name_in_one_group_never_means_a_variable_of_another(name: str) -> None:
    with pytest.raises(UnknownVariableError):
        requested_paths([name], hierarchy(GROUPED))


def test_a_flattened_path_is_not_guessed_where_two_variables_end_alike() -> None:
    own = hierarchy({**FLAT, "/daily/sst": (GRID, {})})
    assert requested_paths(["/sst"], own) == ("/sst",)
    with pytest.raises(UnknownVariableError, match="not unique"):
        requested_paths(["/science/sst"], own)


def test_an_unknown_name_is_refused_with_near_ones_first() -> None:
    with pytest.raises(UnknownVariableError, match=r"did you mean sst") as caught:
        requested_paths(["sts"], hierarchy(FLAT))
    assert "'sts'" in str(caught.value)


def test_a_name_unlike_any_is_refused_with_what_there_is() -> None:
    many = {f"/variable_{i:02d}": (GRID, {}) for i in range(30)}
    with pytest.raises(UnknownVariableError, match=r"variable_00, .*and 18 more") as caught:
        requested_paths(["zzz"], hierarchy(many))
    assert len(str(caught.value)) < 1000


def test_a_variable_of_a_group_that_could_not_be_opened_is_refused_with_the_reason() -> None:
    own = hierarchy(FLAT, {"/broken": "the dimension x has 3 entries"})
    with pytest.raises(StoreError, match=r"'broken/no2'.*the dimension x has 3 entries"):
        requested_paths(["broken/no2"], own)


def test_a_variable_brings_all_that_its_attributes_name() -> None:
    own = hierarchy(
        {
            "/sst": (("time", *GRID), {
                "coordinates": "height area_name", "ancillary_variables": "sst_error sst_flag",
                "grid_mapping": "crs", "cell_measures": "area: cell_area volume: not_here",
            }),
            "/height": ((), {}), "/area_name": ((), {}), "/sst_error": (GRID, {}),
            "/sst_flag": (GRID, {"ancillary_variables": "flag_source"}), "/flag_source": ((), {}),
            "/crs": ((), {}), "/cell_area": (GRID, {}),
            "/time": (("time",), {"climatology": "time_climatology"}),
            "/time_climatology": (("time", "nv"), {}),
            "/lat": (("lat",), {"bounds": "lat_bnds"}), "/lat_bnds": (("lat", "nv"), {}),
            "/lon": (("lon",), {"bounds": "lon_bnds"}), "/lon_bnds": (("lon", "nv"), {}),
            "/other": (("time", *GRID), {"grid_mapping": "other_crs"}), "/other_crs": ((), {}),
        }
    )  # fmt: skip
    found = needed(own, "/sst")
    assert set(found) == set(own.variables) - {"/other", "/other_crs"}
    assert [path for path, role in found.items() if role is Role.REQUESTED] == ["/sst"]


def test_the_extended_grid_mapping_names_coordinates_too() -> None:
    own = hierarchy(
        {
            "/sst": (("y", "x"), {"grid_mapping": "crs_osgb: x y crs_wgs84: latitude longitude"}),
            **{f"/{n}": ((), {}) for n in ("crs_osgb", "crs_wgs84", "latitude", "longitude", "z")},
            "/x": (("x",), {}),
            "/y": (("y",), {}),
        }
    )
    assert set(needed(own, "/sst")) == set(own.variables) - {"/z"}


def test_a_vertical_coordinate_brings_the_terms_of_its_formula() -> None:
    own = hierarchy(
        {
            "/ta": (("lev",), {}),
            "/lev": (("lev",), {"formula_terms": "sigma: lev ps: ps ptop: ptop"}),
            "/ps": ((), {}),
            "/ptop": ((), {}),
            "/unused": ((), {}),
        }
    )
    assert set(needed(own, "/ta")) == {"/ta", "/lev", "/ps", "/ptop"}


def test_names_in_groups_are_found_by_proximity() -> None:
    own = hierarchy(
        {
            "/product/no2": (("y", "x"), {
                "coordinates": "latitude /geolocation/longitude ../geolocation/height",
                "grid_mapping": "crs", "ancillary_variables": "support/error",
            }),
            "/product/support/error": (("y", "x"), {}),
            "/product/latitude": (("y",), {}), "/latitude": (("y",), {}),
            "/geolocation/longitude": (("x",), {}), "/longitude": (("x",), {}),
            "/geolocation/height": ((), {}), "/crs": ((), {}), "/elsewhere/crs": ((), {}),
        }
    )  # fmt: skip
    assert set(needed(own, "/product/no2")) == {
        "/product/no2", "/product/support/error", "/product/latitude", "/geolocation/longitude",
        "/geolocation/height", "/crs",
    }  # fmt: skip


def test_variables_that_name_each_other_end_the_search() -> None:
    own = hierarchy(
        {
            "/a": ((), {"ancillary_variables": "b"}),
            "/b": ((), {"ancillary_variables": "a"}),
        }
    )
    assert needed(own, "/a") == {"/a": Role.REQUESTED, "/b": Role.REQUIRED}


def test_attributes_that_name_nothing_bring_nothing() -> None:
    own = hierarchy(
        {"/a": ((), {"coordinates": "gone ../up /x/y", "grid_mapping": "", "bounds": 3})}
    )
    assert set(needed(own, "/a")) == {"/a"}
