"""Longitudes continued past the edge of the data, type by type."""

import numpy as np
import pytest
import xarray as xr

from harmony_vds.transform.longitudes import continue_longitudes

SCALE = float(np.float32(0.01))  # as JSON hands on a single-precision factor


def moved(raw, shifts, coordinate=None, **attributes):
    values = np.asarray(raw)
    dimensions = ("lon", "nv")[: values.ndim]
    variable = xr.Variable(dimensions, values, attributes)
    return continue_longitudes(variable, np.array(shifts, float), coordinate)


def decoded(variable: xr.Variable) -> np.ndarray:
    scale, offset = (variable.attrs.get(n, d) for n, d in (("scale_factor", 1), ("add_offset", 0)))
    return variable.values.astype(float) * scale + offset


@pytest.mark.parametrize("dtype", ["f4", "f8", ">f4", "i2", ">i4", "i8"])
def test_values_keep_their_type(dtype: str) -> None:
    out = moved(np.array([178, 179, -180, -179], dtype), [0, 0, 360, 360])
    assert out.dtype == np.dtype(dtype)
    assert out.values.tolist() == [178, 179, 180, 181]


def test_packed_longitudes_stay_packed_where_they_fit() -> None:
    # 359.5 is 1438 quarters; 1438 - 1440 = -2.
    out = moved(np.array([1438, 0], "i2"), [-360, 0], scale_factor=0.25, add_offset=0.0)
    assert out.dtype == np.int16
    assert out.values.tolist() == [-2, 0]
    assert out.attrs["scale_factor"] == 0.25


def test_packing_by_a_single_precision_factor_stays_packed() -> None:
    # 0.01 in single precision is 0.009999999776: 360 degrees are 36000.0008 of it.
    out = moved(np.array([17999, -18000], "i4"), [0, 360], scale_factor=SCALE, add_offset=0.0)
    assert out.dtype == np.int32
    assert out.values.tolist() == [17999, 18000]


@pytest.mark.parametrize(
    "raw, dtype, scale, shifts, expected",
    [
        ([17999, -3000], "i2", 0.01, [0, 360], [179.99, 330.0]),  # beyond int16
        ([1438, 0], "u2", 0.25, [-360, 0], [-0.5, 0.0]),  # below an unsigned type
        ([120, -120], "i1", 1.4, [0, 360], [168.0, 192.0]),  # 360/1.4 is not whole
    ],
)
def test_packed_longitudes_are_decoded_where_they_do_not_fit(
    raw, dtype, scale, shifts, expected
) -> None:
    out = moved(
        np.array(raw, dtype), shifts, scale_factor=scale, add_offset=0.0, units="degrees_east",
        _FillValue=np.array(99).astype(dtype)[()],
    )  # fmt: skip
    assert out.dtype == np.float64
    assert out.values == pytest.approx(expected, abs=1e-9)
    assert out.attrs == {"units": "degrees_east"}


def test_offsets_of_packed_longitudes_are_kept() -> None:
    out = moved(np.array([-2, 2], "i2"), [-360, 0], scale_factor=0.5, add_offset=180.0)
    # -2 is 179 and 2 is 181; 360 degrees are 720 halves.
    assert out.values.tolist() == [-722, 2]
    assert decoded(out).tolist() == [-181.0, 181.0]


def test_missing_values_stay_missing() -> None:
    raw = np.array([[178, 179], [-9999, -9999], [-180, -179]], "f4")
    out = moved(raw, [0, 360, 360], _FillValue=np.float32(-9999))
    assert out.values.tolist() == [[178, 179], [-9999, -9999], [180, 181]]


def test_packed_missing_values_stay_missing() -> None:
    raw = np.array([[712, 714], [-32768, -32768], [-720, -718]], "i2")
    out = moved(raw, [0, 360, 360], scale_factor=0.25, _FillValue=np.int16(-32768))
    assert out.dtype == np.int16
    assert out.values.tolist() == [[712, 714], [-32768, -32768], [720, 722]]


def test_a_packed_number_that_would_mean_missing_is_not_written() -> None:
    # -2 quarters of a degree moved by a turn are 1438, which this store calls missing.
    out = moved(np.array([-4, -2], "i2"), [360, 360], scale_factor=0.25, _FillValue=np.int16(1438))
    assert out.dtype == np.float64
    assert out.values.tolist() == [359.0, 359.5]


def test_limits_are_widened_in_their_own_numbers() -> None:
    out = moved(
        np.array([1438, 0, 2], "i2"), [-360, 0, 0], scale_factor=0.25,
        valid_min=np.int16(0), valid_max=np.int16(1440), valid_range=[0, 1440],
        actual_range=[0.0, 359.75],
    )  # fmt: skip
    assert out.attrs["valid_min"] == -2
    assert out.attrs["valid_max"] == 1440
    assert out.attrs["valid_range"] == [-2, 1440]
    assert out.attrs["actual_range"] == [-0.5, 359.75]  # CF: in decoded numbers


def test_limits_of_decoded_longitudes_are_decoded() -> None:
    out = moved(
        np.array([17999, -3000], "i2"), [0, 360], scale_factor=0.01,
        valid_range=[-18000, 18000], valid_max=18000,
    )  # fmt: skip
    assert out.attrs["valid_range"] == pytest.approx([-180.0, 330.0])
    assert out.attrs["valid_max"] == pytest.approx(330.0)


def test_missing_values_widen_no_limits() -> None:
    out = moved(np.array([-9999.0, 179.0]), [0, 0], _FillValue=-9999.0, valid_range=[-180.0, 180.0])
    assert out.attrs["valid_range"] == [-180.0, 180.0]


def test_limits_that_are_no_numbers_are_left_alone() -> None:
    out = moved(np.array([179.0, -180.0]), [0, 360], valid_min="none", valid_range="any, all")
    assert out.attrs == {"valid_min": "none", "valid_range": "any, all"}


def test_bounds_without_packing_are_packed_as_their_coordinate() -> None:
    coordinate = {"scale_factor": 0.25, "add_offset": 0.0}
    raw = np.array([[1436, 1438], [-2, 0]], "i2")
    out = moved(raw, [-360, 0], coordinate)
    assert out.values.tolist() == [[-4, -2], [-2, 0]]
    # Stated, so that they mean the same should their coordinate be decoded.
    assert out.attrs == {"scale_factor": 0.25, "add_offset": 0.0}


def test_decoded_bounds_do_not_inherit_packing() -> None:
    coordinate = {"scale_factor": 0.01, "add_offset": 0.0}
    raw = np.array([[17990, 18000], [-3010, -3000]], "i2")
    out = moved(raw, [0, 360], coordinate)
    assert out.dtype == np.float64
    assert decoded(out).ravel() == pytest.approx([179.9, 180.0, 329.9, 330.0])
    assert out.attrs == {"scale_factor": 1.0, "add_offset": 0.0}


def test_bounds_with_packing_of_their_own_keep_it() -> None:
    coordinate = {"scale_factor": 0.25}
    out = moved(np.array([[719.0, 721.0]]), [-360], coordinate, scale_factor=0.5)
    assert decoded(out).tolist() == [[359.5 - 360, 360.5 - 360]]
