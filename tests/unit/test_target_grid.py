"""Target grids are completed from what a request states, and refused where that disagrees."""

import math
from dataclasses import replace

import pytest

from harmony_vds.errors import RequestError, TooLargeError
from harmony_vds.model.request import Request, Source, TargetGrid
from harmony_vds.model.target import Resampling
from harmony_vds.planning.maps import as_target
from harmony_vds.planning.resampling import NAMES, resampling_of
from harmony_vds.planning.target_crs import is_north_first, target_crs
from harmony_vds.planning.target_grid import Cells, checked, completed

STORE = Cells(0.0, 100.0, 10.0, 5.0, 20, 20)
"""Ten by five units a cell, 0 … 200 by 0 … 100."""


def grid(fixed: bool = False, degrees: bool = False, **asked) -> Cells:
    return completed(checked(TargetGrid("", **asked), degrees=degrees), STORE, fixed=fixed)


def test_nothing_but_a_reference_system_gives_the_default():
    assert grid() == STORE


def test_extent_and_width_and_height_give_the_cell_size():
    found = grid(scale_extent=(-10, -20, 30, 20), width=80, height=10)
    assert found == Cells(-10, 20, 0.5, 4.0, 80, 10)
    assert found.extent == (-10, -20, 30, 20)


def test_extent_and_cell_size_give_the_number_of_cells():
    assert grid(scale_extent=(-10, -20, 30, 20), scale_size=(5, 10)) == Cells(-10, 20, 5, 10, 8, 4)


def test_extent_that_cells_do_not_divide_begins_at_its_upper_left_corner():
    found = grid(scale_extent=(0, 0, 10, 10), scale_size=(3, 4))
    assert found == Cells(0, 10, 3, 4, 3, 3)  # 3.33 and 2.5 cells


def test_extent_alone_has_cells_like_the_stores():
    assert grid(scale_extent=(0, 0, 100, 100)) == Cells(0, 100, 10, 5, 10, 20)


def test_width_alone_gives_square_cells_and_so_does_a_height():
    assert grid(scale_extent=(0, 0, 100, 50), width=10) == Cells(0, 50, 10, 10, 10, 5)
    assert grid(scale_extent=(0, 0, 100, 50), height=10) == Cells(0, 50, 5, 5, 20, 10)


def test_cell_size_alone_covers_the_store_from_a_multiple_of_it():
    assert grid(scale_size=(30, 30)) == Cells(0, 120, 30, 30, 7, 4)
    assert grid(fixed=True, scale_size=(30, 30)) == Cells(0, 100, 30, 30, 7, 3)


def test_all_three_agree_to_within_half_a_cell_and_the_extent_stands():
    found = grid(scale_extent=(0, 0, 100, 100), scale_size=(9.7, 10.2), width=10, height=10)
    assert found == Cells(0, 100, 10, 10, 10, 10)


def test_what_does_not_agree_is_refused_with_the_arithmetic():
    with pytest.raises(RequestError, match=r"along y.*100 / scaleSize 10 = 10 cells.*height=12"):
        grid(scale_extent=(0, 0, 100, 100), scale_size=(10, 10), width=10, height=12)


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({"width": 0, "height": 5}, "width=0"),
        ({"width": -3}, "width=-3"),
        ({"height": 2.5}, r"height=2\.5"),
        ({"height": math.nan}, "height=nan"),
        ({"scale_size": (0, 1)}, "scaleSize"),
        ({"scale_size": (1, -1)}, "scaleSize"),
        ({"scale_size": (math.inf, 1)}, "scaleSize"),
        ({"scale_extent": (0, 0, math.nan, 1)}, "scaleExtent"),
        ({"scale_extent": (5, 0, 5, 1)}, "scaleExtent"),
        ({"scale_extent": (5, 0, 1, 1)}, "scaleExtent"),
        ({"scale_extent": (0, 2, 1, 1)}, "scaleExtent"),
    ],
)
def test_unusable_number_is_refused_by_name(asked, named):
    with pytest.raises(RequestError, match=named):
        grid(**asked)


def test_extent_in_degrees_may_cross_the_antimeridian():
    found = grid(degrees=True, scale_extent=(170, -10, -170, 10), scale_size=(1, 1))
    assert found.extent == (170, -10, 190, 10)


@pytest.mark.parametrize(
    "asked",
    [
        {"width": 10**9, "height": 10**9},
        {"scale_extent": (0, 0, 1e9, 1e9), "scale_size": (1, 1)},
        {"scale_extent": (0, 0, 1e12, 1), "scale_size": (1e-12, 1)},
    ],
)
def test_grid_of_too_many_cells_is_refused_before_it_is_made(asked):
    with pytest.raises(TooLargeError, match="4,000,000,000"):
        grid(**asked)


@pytest.mark.parametrize(
    "asked",
    [
        {"height": 10**9, "scale_size": (100, 100)},
        {"scale_extent": (0, 0, 10, 2e6), "scale_size": (10, 1)},
    ],
)
def test_grid_that_is_too_long_is_refused_before_it_is_made(asked):
    with pytest.raises(TooLargeError, match="may be 1,000,000 of each"):
        grid(**asked)


@pytest.mark.parametrize(
    ("text", "epsg"),
    [
        ("EPSG:3857", 3857),
        ("epsg:6933", 6933),
        ("4326", 4326),
        ("+proj=utm +zone=11 +datum=WGS84 +units=m +no_defs", 32611),
    ],
)
def test_reference_system_is_taken_in_the_forms_that_harmony_sends(text, epsg):
    assert target_crs(text).to_epsg(min_confidence=20) == epsg
    assert target_crs(target_crs(text).to_wkt("WKT1_GDAL")).to_epsg(min_confidence=20) == epsg


def test_compound_system_is_taken_without_its_heights():
    assert target_crs("EPSG:4326+5773").to_epsg() == 4326
    assert len(target_crs("EPSG:4979").axis_info) == 2


@pytest.mark.parametrize(
    "text", ["EPSG:999999", "nonsense", "+proj=nothing", "+init=epsg:4326", "EPSG:5773",
             "EPSG:4978", "1" * 30_000, "PROJCS[", "EPSG:4901"]
)  # fmt: skip
def test_system_in_which_no_map_can_be_drawn_is_refused_by_name(text):
    with pytest.raises(RequestError, match=r"outputCrs"):
        target_crs(text)


def test_axis_order_is_that_of_the_authority():
    assert is_north_first(target_crs("EPSG:4326"))
    assert not is_north_first(target_crs("CRS:84"))
    assert not is_north_first(target_crs("EPSG:3857"))


@pytest.mark.parametrize("method", list(Resampling))
def test_method_is_known_by_all_its_names_in_any_spelling(method):
    for name in NAMES[method]:
        assert resampling_of(name) is method
        assert resampling_of(f" {name.upper()} ") is method


@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("", Resampling.NEAREST),
        ("Nearest Neighbor", Resampling.NEAREST),
        ("nearest-neighbour", Resampling.NEAREST),
        ("area_average", Resampling.AVERAGE),
    ],
)
def test_method_is_known_as_people_write_it(name, method):
    assert resampling_of(name) is method


@pytest.mark.parametrize("name", ["ewa", "lanczos", "cubicspline", "bilinaer", "0"])
def test_unknown_method_is_refused_with_all_that_are_known(name):
    with pytest.raises(
        RequestError, match=r"near, bilinear, cubic, average, mode, min, max"
    ) as caught:
        resampling_of(name)
    assert repr(name) in str(caught.value)


def map_request(crs: str, box: tuple[float, ...], **more) -> Request:
    target = TargetGrid(crs, width=64, height=32)
    source = Source("C1-TEST", "TEST")
    return replace(Request((source,), target=target, is_map_image=True, map_box=box), **more)


@pytest.mark.parametrize(
    ("crs", "box", "extent"),
    [
        ("EPSG:4326", (-10, 20, 30, 60), (20, -10, 60, 30)),  # south, west, north, east
        ("EPSG:4326", (-180, -90, 180, 90), (-180, -90, 180, 90)),  # no latitude is -180
        ("CRS:84", (-10, 20, 30, 60), (-10, 20, 30, 60)),
        ("EPSG:3857", (-1e6, -2e6, 3e6, 4e6), (-1e6, -2e6, 3e6, 4e6)),
        ("EPSG:2193", (1e6, 2e6, 3e6, 4e6), (2e6, 1e6, 4e6, 3e6)),  # northing before easting
    ],
)
def test_box_of_a_map_is_in_the_order_of_its_system(crs, box, extent):
    assert as_target(map_request(crs, box)).target.scale_extent == extent


def test_map_without_box_or_size_is_refused():
    with pytest.raises(RequestError, match="bbox"):
        as_target(map_request("CRS:84", None))
    with pytest.raises(RequestError, match="width"):
        as_target(map_request("CRS:84", (0, 0, 1, 1), target=TargetGrid("CRS:84", height=3)))


def test_what_is_no_map_stays_itself():
    request = map_request("CRS:84", None, is_map_image=False)
    assert as_target(request) is request
