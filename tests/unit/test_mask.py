"""Cells outside of what was asked become what the variable calls missing; the others stay."""

import numpy as np
import pytest
import xarray as xr

from harmony_vds.errors import UnsupportedError
from harmony_vds.model.cell_set import CellSet
from harmony_vds.model.plan import Mask, PlannedVariable, Role
from harmony_vds.model.subset import SubsetVariable
from harmony_vds.transform.computed import computed
from harmony_vds.transform.mask import masked

INSIDE = np.array([[True, False, True], [False, False, True]])
MASK = Mask(("/y", "/x"), CellSet.of(INSIDE), frozenset({"/sst"}))


def variable(
    values: np.ndarray, dims: tuple[str, ...], path: str = "/sst", **attributes
) -> SubsetVariable:
    planned = PlannedVariable(path, tuple(f"/{own}" for own in dims), Role.REQUESTED)
    whole = tuple(slice(0, size) for size in values.shape)
    return SubsetVariable(planned, xr.Variable(dims, values, attributes), values.shape, (whole,))


@pytest.mark.parametrize("dims", [("t", "y", "x"), ("x", "t", "y"), ("y", "x", "t")])
def test_cells_outside_become_the_declared_fill_in_any_order_of_dimensions(dims):
    ordered = np.arange(12, dtype=np.int16).reshape(2, 2, 3)
    own = variable(
        np.moveaxis(ordered, (0, 1, 2), [dims.index(d) for d in "tyx"]), dims, _FillValue=-9
    )
    found = masked(own, [MASK]).data
    expected = np.where(INSIDE, ordered, -9)
    assert np.array_equal(found.transpose("t", "y", "x").values, expected)
    assert found.dtype == np.int16
    assert found.attrs == {"_FillValue": -9}


def test_any_part_of_a_masked_variable_equals_that_part_of_the_whole():
    own = variable(np.arange(12.0).reshape(2, 2, 3), ("t", "y", "x"), _FillValue=-1.0)
    data = masked(own, [MASK]).data
    whole = np.where(INSIDE, np.arange(12.0).reshape(2, 2, 3), -1.0)
    assert np.array_equal(data[:, 1, ::-1].values, whole[:, 1, ::-1])
    assert np.array_equal(data[1, ::-1, 0:3:2].values, whole[1, ::-1, 0:3:2])
    assert np.array_equal(data[1, :, [2, 0]].values, whole[1][:, [2, 0]])
    assert data[:, 0:0].values.shape == (2, 0, 3)
    assert data[-1, -1, -1].values == whole[-1, -1, -1]


def test_two_masks_leave_what_both_leave():
    other = Mask(("/t",), CellSet.of(np.array([True, False])), frozenset({"/sst"}))
    own = variable(np.zeros((2, 2, 3)), ("t", "y", "x"))
    kept = np.isfinite(masked(own, [MASK, other]).data.values)
    assert np.array_equal(kept, np.stack([INSIDE, np.zeros_like(INSIDE)]))


def test_variable_that_a_mask_does_not_name_stays_itself():
    own = variable(np.zeros((2, 3)), ("y", "x"), path="/lat")
    assert masked(own, [MASK]) is own


@pytest.mark.parametrize(
    ("dtype", "attributes", "fill"),
    [
        ("f4", {}, np.nan),
        ("i2", {}, -32767),
        ("u1", {}, 255),
        ("i2", {"missing_value": -5}, -5),
        ("i2", {"_FillValue": 1e20}, -32767),  # which no int16 can be
        ("u1", {"flag_values": [0, 1, 255]}, 0 + 1 + 1),
        ("i1", {"valid_min": -127, "valid_max": 127}, -128),
        ("u1", {"valid_range": [0, 250], "flag_values": [255]}, 251),
    ],
)  # fmt: skip
def test_variable_without_fill_value_gets_one_that_means_nothing_else(dtype, attributes, fill):
    own = variable(np.full((2, 3), 1, dtype), ("y", "x"), **attributes)
    data = masked(own, [MASK]).data
    assert np.array_equal(
        data.values,
        np.where(INSIDE, np.array(1, dtype), np.array(fill, dtype)),
        equal_nan=dtype == "f4",
    )
    told = (
        data.attrs["missing_value"] if attributes.get("missing_value") else data.attrs["_FillValue"]
    )
    if attributes.get("_FillValue") != 1e20:
        assert np.array_equal(told, np.array(fill, dtype), equal_nan=dtype == "f4")


def test_value_that_would_mean_missing_outside_is_refused_inside():
    own = variable(np.full((2, 3), 255, np.uint8), ("y", "x"))
    with pytest.raises(UnsupportedError, match=r"sst .* 255 .* pixelSubset"):
        masked(own, [MASK]).data.values  # noqa: B018


def test_text_is_blanked_too():
    own = variable(np.full((2, 3), "a", object), ("y", "x"))
    assert np.array_equal(masked(own, [MASK]).data.values == "a", INSIDE)


def test_computed_values_are_asked_for_by_blocks_only():
    asked = []

    def compute(block):
        asked.append(block)
        return np.arange(20).reshape(4, 5)[block]

    lazy = computed(("y", "x"), (4, 5), np.int64, compute, {"units": "1"})
    assert asked == []
    assert np.array_equal(lazy[3:0:-2, 4].values, np.array([19, 9]))
    assert asked == [(slice(1, 4), slice(4, 5))]
