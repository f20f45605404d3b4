"""Attributes as JSON manifests leave them, turned into what netCDF holds and CF asks for."""

from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest

from harmony_vds.outputs.attributes import netcdf_attributes

SHORT = np.dtype("i2")


def one(name: str, value: Any, dtype: np.dtype | None = SHORT, **more: Any) -> Any:
    return netcdf_attributes({name: value, **more}, dtype).get(name)


def typed(value: Any) -> tuple[Any, np.dtype]:
    array = np.asarray(value)
    return array.tolist(), array.dtype


@pytest.mark.parametrize(
    "value, expected",
    [
        ("text", "text"),
        ("", ""),
        ("nul\x00inside", "nulinside"),
        (True, np.int8(1)),
        (False, np.int8(0)),
        (7, np.int32(7)),
        (-(2**31), np.int32(-(2**31))),
        (2**31, np.int64(2**31)),
        (2**63 - 1, np.int64(2**63 - 1)),
        (2**63, "9223372036854775808"),
        (10**30, "1" + "0" * 30),
        (0.1, 0.1),
        ([1, 2], np.array([1, 2], np.int32)),
        ([1.5, 2], np.array([1.5, 2.0])),
        (["a", "b"], ["a", "b"]),
        ([2**40, 1], np.array([2**40, 1], np.int64)),
        ([2**70, 1], "[1180591620717411303424, 1]"),
        ([[1, 2], [3, 4]], "[[1, 2], [3, 4]]"),
        ([1, "a"], '[1, "a"]'),
        ([True, False], "[true, false]"),
        ({"b": 1, "a": [2]}, '{"a": [2], "b": 1}'),
        (np.float32(0.5), np.float32(0.5)),
        (np.array([1, 2], np.int8), np.array([1, 2], np.int8)),
    ],
)
def test_any_json_value_becomes_something_that_netcdf_holds(
    value: Any, expected: Any, tmp_path: Path
) -> None:
    held = one("note", value)
    assert typed(held) == typed(expected)
    with netCDF4.Dataset(tmp_path / "a.nc", "w") as nc:
        nc.setncatts({"note": held})
    with netCDF4.Dataset(tmp_path / "a.nc") as nc:
        assert np.array_equal(nc.getncattr("note"), expected)


@pytest.mark.parametrize("value", [None, [], ()])
def test_nothing_is_left_out(value: Any) -> None:
    assert netcdf_attributes({"note": value, "kept": 1}) == {"kept": 1}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [float("nan"), 1.0]])
def test_numbers_that_are_none_stay(value: Any, tmp_path: Path) -> None:
    held = one("error_stationary", value)
    with netCDF4.Dataset(tmp_path / "a.nc", "w") as nc:
        nc.setncatts({"error_stationary": held})
        assert np.array_equal(nc.error_stationary, value, equal_nan=True)


@pytest.mark.parametrize(
    "name", ["_FillValue", "_NCProperties", "DIMENSION_LIST", "CLASS", "_Netcdf4Coordinates", ""]
)
def test_attributes_that_the_libraries_set_themselves_are_left_out(name: str) -> None:
    assert netcdf_attributes({name: "x"}, SHORT) == {}


@pytest.mark.parametrize(
    ("name", "legal"),
    [("a\nb\x1b", "a_b_"), ("<b>", "_<b>"), ("x" * 500, "x" * 250), ("ü" * 200, "ü" * 125),
     ("half\ud800", "half?"), ("blank ", "blank")],
)  # fmt: skip
def test_name_that_netcdf_does_not_take_is_changed_to_one_that_it_takes(
    name: str, legal: str, tmp_path: Path
) -> None:
    converted = netcdf_attributes({name: "half\ud800"})
    with netCDF4.Dataset(tmp_path / "a.nc", "w") as nc:
        nc.setncatts(converted)
        assert nc.ncattrs() == [legal]
        assert nc.getncattr(legal) == "half?"


def test_slash_in_a_name_becomes_an_underscore(tmp_path: Path) -> None:
    held = netcdf_attributes({"QA/level": "good"})
    assert held == {"QA_level": "good"}
    with netCDF4.Dataset(tmp_path / "a.nc", "w") as nc:
        nc.setncatts(held)


@pytest.mark.parametrize(
    "written, expected",
    [
        # JSON writes a float32 as the double it equals; no person writes so many digits.
        ({"scale_factor": float(np.float32(0.01)), "add_offset": float(np.float32(273.15))}, "f4"),
        ({"scale_factor": float(np.float32(0.01)), "add_offset": 0.0}, "f4"),
        ({"scale_factor": 0.5, "add_offset": float(np.float32(0.1))}, "f4"),
        ({"scale_factor": 0.01, "add_offset": 273.15}, "f8"),
        ({"scale_factor": 0.01, "add_offset": 0.0}, "f8"),
        ({"scale_factor": 1 / 3}, "f8"),
        ({"scale_factor": 5e-05}, "f8"),
        ({"scale_factor": 1, "add_offset": 0}, "f8"),
        # One of the two is single, the other is not: then neither can be.
        ({"scale_factor": float(np.float32(0.01)), "add_offset": 273.15}, "f8"),
    ],
)
def test_packing_attributes_get_back_their_precision(
    written: dict[str, Any], expected: str
) -> None:
    held = netcdf_attributes(written, SHORT)
    assert {np.asarray(own).dtype.str[1:] for own in held.values()} == {expected}
    assert {name: float(own) for name, own in held.items()} == written


@pytest.mark.parametrize(
    "name, value, dtype, expected",
    [
        ("flag_values", [0, 1, 2], "i1", np.array([0, 1, 2], "i1")),
        ("flag_masks", [1, 2, 128], "u1", np.array([1, 2, 128], "u1")),
        ("missing_value", -9999, "f4", np.float32(-9999)),
        ("valid_min", -300, "i2", np.int16(-300)),
        ("valid_range", [0, 25], "i2", np.array([0, 25], "i2")),
        ("valid_max", 0.1, "f4", np.float32(0.1)),
        # What the type cannot hold stays as it is rather than change.
        ("flag_values", [0, 300], "i1", np.array([0, 300], "i4")),
        ("valid_max", 70000, "i2", np.int32(70000)),
        ("valid_min", -1, "u1", np.int32(-1)),
        ("valid_max", 2.5, "i2", 2.5),
        ("missing_value", "none", "i2", "none"),
    ],
)
def test_attributes_of_the_variables_type_get_it_where_nothing_is_lost(
    name: str, value: Any, dtype: str, expected: Any
) -> None:
    assert typed(one(name, value, np.dtype(dtype))) == typed(expected)


def test_floating_limits_of_packed_integers_stay_limits_of_unpacked_numbers() -> None:
    """0.0 to 25.0 mm/h is no range of packed counts: as int16 it would cut at 2.5 mm/h."""
    held = netcdf_attributes(
        {"valid_range": [0.0, 25.0], "scale_factor": float(np.float32(0.1))}, SHORT
    )
    assert held["valid_range"].dtype == np.float32
    whole = netcdf_attributes({"valid_range": [0, 250], "scale_factor": 0.1}, SHORT)
    assert whole["valid_range"].dtype == np.int16
