"""Fill values that stores get wrong are repaired where it is certain what was meant."""

import numpy as np
import pytest

from harmony_vds.stores.repairs import missing_mark, packed_sentinel

PACKED = {"scale_factor": 0.01, "add_offset": 273.15}


@pytest.mark.parametrize(
    ("declared", "dtype", "attributes", "meant"),
    [
        (-54.5300061, "i2", PACKED, -32768),
        (-54.53, "i2", PACKED, -32768),
        (float(np.float32(-54.53)), "i2", PACKED, -32768),
        (214748.3647, "i4", {"scale_factor": 1e-4}, 2147483647),
        (214748.359375, "i4", {"scale_factor": 1e-4}, 2147483647),  # as float32 has it
        (-327.67, "i2", {"scale_factor": 0.01}, -32767),
        (-99.99, "i2", {"scale_factor": 0.01}, -9999),
        (655.35, "u2", {"scale_factor": 0.01}, 65535),
    ],
)
def test_unpacked_fill_value_is_packed_again(
    declared: float, dtype: str, attributes: dict[str, float], meant: int
) -> None:
    found = packed_sentinel(declared, np.dtype(dtype), attributes)
    assert found == meant
    assert found.dtype == np.dtype(dtype)


@pytest.mark.parametrize(
    ("declared", "dtype", "attributes"),
    [
        (-54.5250061, "i2", PACKED),  # between two steps
        (-9999.0, "i2", {"scale_factor": 0.01}),  # far outside the type
        (1.5, "i2", {}),  # not packed
        (1.5, "f4", PACKED),
        (float("nan"), "i2", PACKED),
        ("-54.53", "i2", PACKED),
    ],
)
def test_fill_value_of_doubtful_meaning_is_left_alone(
    declared: object, dtype: str, attributes: dict[str, float]
) -> None:
    assert packed_sentinel(declared, np.dtype(dtype), attributes) is None


def test_repair_says_what_it_saw() -> None:
    value, why = missing_mark(PACKED | {"_FillValue": -54.5300061}, PACKED, np.dtype("i2"), {})
    assert value == -32768
    assert "-54.53" in why
    assert "-32768" in why


def test_usable_fill_value_is_never_replaced() -> None:
    own = {"_FillValue": np.int16(-1), **PACKED, "fmissing_value": -9999.0}
    assert missing_mark(own, own, np.dtype("i2"), {"missing_value": -9999.0}) is None


def test_mark_under_another_name_counts() -> None:
    own = {"fmissing_value": -9999.0}
    value, why = missing_mark(own, own, np.dtype("f4"), {})
    assert value == np.float32(-9999)
    assert "fmissing_value" in why


def test_cfs_older_mark_is_no_defect() -> None:
    own = {"missing_value": -9999.0, "fmissing_value": -9999.0}
    assert missing_mark(own, own, np.dtype("f4"), {"missing_value": -1.0}) is None


def test_mark_of_the_group_counts_for_fields_and_not_for_axes() -> None:
    around = {"missing_value": -9999.0}
    assert missing_mark({}, {}, np.dtype("f4"), around)[0] == -9999
    assert missing_mark({}, {"axis": "X"}, np.dtype("f4"), around) is None
    assert missing_mark({}, {}, np.dtype("i2"), around) is None
