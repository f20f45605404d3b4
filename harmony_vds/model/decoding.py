"""Stored numbers as the quantities that they mean, for steps that compute with them.

By the variable's own CF attributes, in double precision, and as the netCDF library does it: missing
is what ``_FillValue`` or ``missing_value`` name, what lies outside of ``valid_range``,
``valid_min`` and ``valid_max``, and, where no ``_FillValue`` is named, what the library writes of
its own accord where nobody wrote.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

import netCDF4
import numpy as np
import numpy.typing as npt

from harmony_vds.errors import StoreError
from harmony_vds.model.arrays import Floats

PACKING = ("scale_factor", "add_offset")
MARKS = ("_FillValue", "missing_value", "valid_range", "valid_min", "valid_max", "_Unsigned")
"""Attributes that speak of stored numbers, beside the packing."""


@dataclass(frozen=True, eq=False)
class Decoding:
    """How the numbers of one variable are decoded."""

    stored: np.dtype[Any]
    """The type that the stored bytes mean: another than the store's where ``_Unsigned`` says so."""
    missing: tuple[Any, ...]
    """Stored numbers that mean missing."""
    lowest: float
    """Smallest valid number, as stored."""
    highest: float
    """Largest valid number, as stored."""
    scale: float
    offset: float

    @classmethod
    def of(cls, dtype: np.dtype[Any], attributes: Mapping[Any, Any]) -> Self:
        """The decoding of a variable of integers or floating numbers.

        Raises
        ------
        StoreError
            Its packing is no pair of numbers by which anything can be unpacked.

        **Reads:** nothing.
        """
        stored = dtype.newbyteorder("=")
        sign = str(attributes.get("_Unsigned", "")).lower()
        if (sign, stored.kind) in (("true", "i"), ("false", "u")):
            stored = np.dtype(f"{'u' if sign == 'true' else 'i'}{stored.itemsize}")
        scale, offset = packing_of(attributes)
        low, high = _limits(stored, attributes, scale, offset)
        return cls(stored, tuple(_marks(stored, attributes)), low, high, scale, offset)

    def decode(self, raw: npt.NDArray[Any]) -> Floats:
        """The quantities that `raw` means, not-a-number where missing or infinite.

        **Reads:** nothing.
        """
        numbers = raw.astype(raw.dtype.newbyteorder("="), copy=False).view(self.stored)
        values = numbers.astype(np.float64)
        floating = self.stored.kind == "f"
        absent = ~np.isfinite(values) if floating else np.zeros(raw.shape, np.bool_)
        for mark in self.missing:
            absent |= numbers == mark
        if self.lowest > -np.inf:
            absent |= values < self.lowest
        if self.highest < np.inf:
            absent |= values > self.highest
        if self.scale != 1:
            values *= self.scale
        if self.offset:
            values += self.offset
        values[absent] = np.nan
        return values


def packing_of(attributes: Mapping[Any, Any]) -> tuple[float, float]:
    """Scale and offset; a list of one number and digits in a text are numbers, too.

    Raises
    ------
    StoreError
        One is no number, or not finite, or the scale is 0.

    **Reads:** nothing.
    """
    found = []
    for name, neutral in zip(PACKING, (1.0, 0.0), strict=True):
        told = attributes.get(name)
        try:
            given = np.asarray(neutral if told is None else told).astype(np.float64).ravel()
        except (ValueError, TypeError):
            given = np.array([np.nan])
        number = float(given[0]) if given.size == 1 else np.nan
        if not np.isfinite(number) or (name == "scale_factor" and number == 0):
            raise StoreError(
                f"The quantities of a variable cannot be told of which {name} is "
                f"{repr(told)[:60]}. Ask for its values as they are stored (as netCDF or Zarr, and "
                "on its own grid), or have the publisher correct it."
            )
        found.append(number)
    return found[0], found[1]


def _marks(dtype: np.dtype[Any], attributes: Mapping[Any, Any]) -> Iterator[Any]:
    default = netCDF4.default_fillvals.get(f"{dtype.kind}{dtype.itemsize}")  # f2 has none
    if "_FillValue" not in attributes and dtype.itemsize > 1 and default is not None:
        yield dtype.type(default)
    for name in ("_FillValue", "missing_value"):
        for mark in np.ravel(np.asarray(attributes.get(name, ()))):
            if (number := _stored(mark, dtype)) is not None:
                yield number


def _stored(mark: Any, dtype: np.dtype[Any]) -> Any:
    """`mark` as a number of `dtype`; None where no stored number can be it."""
    if np.asarray(mark).dtype.kind not in "iuf" or mark != mark:  # noqa: PLR0124  not-a-number
        return None
    if dtype.kind == "f":
        return dtype.type(mark)
    limits = np.iinfo(dtype)
    if dtype.kind == "u" and -(2 ** (8 * dtype.itemsize - 1)) <= mark < 0:
        mark = int(mark) + 2 ** (8 * dtype.itemsize)  # of _Unsigned bytes, as the file types it
    whole = mark == int(mark) and limits.min <= mark <= limits.max
    return dtype.type(int(mark)) if whole else None


def _limits(
    dtype: np.dtype[Any], attributes: Mapping[Any, Any], scale: float, offset: float
) -> tuple[float, float]:
    """The least and the greatest valid number, as stored; infinite where not stated."""
    stated = np.ravel(np.asarray(attributes.get("valid_range", ())))
    pair = tuple(stated) if stated.size == 2 else (
        attributes.get("valid_min"), attributes.get("valid_max"))  # fmt: skip
    packed = dtype.kind in "iu" and any(name in attributes for name in PACKING)
    sides = []
    for side, without in zip(pair, (-np.inf, np.inf), strict=True):
        number = np.asarray(side)
        if number.dtype.kind not in "iuf" or number.size != 1 or np.isnan(number):
            sides.append(without)
        elif packed and number.dtype.kind == "f":  # against CF, in the units of the quantity
            rounding = 1e-6 * np.sign(without)
            sides.append((float(number) - offset) / scale + rounding if scale > 0 else without)
        elif dtype.kind == "f":
            sides.append(float(dtype.type(number)))
        else:
            sides.append(float(number))
    return sides[0], sides[1]
