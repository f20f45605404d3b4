"""Stored numbers as the cells of tables: decoded by CF, with nothing where a value is missing."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import cftime
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from harmony_vds.errors import UnsupportedError
from harmony_vds.model.decoding import PACKING, Decoding
from harmony_vds.outputs.attributes import packing_type

_SINCE = re.compile(r"^\s*[A-Za-z]+\s+since\s+\S", re.IGNORECASE)
_REAL_CALENDARS = {"standard", "gregorian", "proleptic_gregorian", ""}
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""Beginnings of text that spreadsheets take for a formula."""


def is_time(attributes: Mapping[Any, Any]) -> bool:
    """Whether numbers with these attributes are times. **Reads:** nothing."""
    return _SINCE.match(str(attributes.get("units", ""))) is not None


def cells(values: npt.NDArray[Any], attributes: Mapping[Any, Any]) -> pa.Array:
    """The cells of a column, one for each of `values`, in C order.

    Times are text in ISO 8601, to the millisecond, without a zone. Numbers stay whole where they
    are stored so; packed ones have the precision of the factors they are packed with.

    Raises
    ------
    UnsupportedError
        The values are neither numbers nor text.

    **Reads:** nothing.
    """
    flat = np.ravel(values)
    kind = flat.dtype.kind
    if kind == "S":
        texts = [own.decode("utf-8", "replace").rstrip("\x00") for own in flat.tolist()]
        return pa.array(texts, pa.string())
    if kind in "OUT":
        return pa.array([None if own is None else str(own) for own in flat.tolist()], pa.string())
    if kind == "b":
        return pa.array(flat)
    if kind not in "iuf":
        raise UnsupportedError(f"Values of type {flat.dtype} have no form in a table.")
    decoding = Decoding.of(flat.dtype, attributes)
    decoded = decoding.decode(flat)
    missing = np.isnan(decoded)
    if is_time(attributes):
        texts = _moments(decoded, missing, attributes)
        return pa.array(texts, pa.string())
    if decoding.stored.kind in "iu" and not any(name in attributes for name in PACKING):
        whole = flat.astype(flat.dtype.newbyteorder("="), copy=False).view(decoding.stored)
        return pa.array(whole, mask=missing)
    return pa.array(decoded.astype(_precision(flat.dtype, attributes)), mask=missing)


def _precision(dtype: np.dtype[Any], attributes: Mapping[Any, Any]) -> np.dtype[Any]:
    """The type of decoded numbers: single where nothing about them is double."""
    packing = [attributes[name] for name in PACKING if name in attributes]
    if not packing:
        return dtype.newbyteorder("=")
    return np.result_type(packing_type(packing), dtype.newbyteorder("="))


def _moments(
    numbers: npt.NDArray[np.float64], missing: npt.NDArray[np.bool_], attributes: Mapping[Any, Any]
) -> list[str | None]:
    units, calendar = str(attributes["units"]), str(attributes.get("calendar", "standard")).lower()
    known = np.where(missing, 0.0, numbers)
    moments = np.atleast_1d(cftime.num2date(known, units, calendar or "standard"))
    return [
        None if absent else _iso(moment)
        for moment, absent in zip(moments.tolist(), missing.tolist(), strict=True)
    ]


def _iso(moment: Any) -> str:
    """To the millisecond, which is left out where it is zero."""
    rounded = moment + timedelta(microseconds=500 - (moment.microsecond + 500) % 1000)
    text = (
        f"{rounded.year:04d}-{rounded.month:02d}-{rounded.day:02d}"
        f"T{rounded.hour:02d}:{rounded.minute:02d}:{rounded.second:02d}"
    )
    thousandths = rounded.microsecond // 1000
    return f"{text}.{thousandths:03d}" if thousandths else text


def instants(texts: pa.Array, calendar: str) -> pa.Array:
    """Times as Parquet knows them, in UTC; text where the calendar has dates that are none.

    Raises
    ------
    UnsupportedError
        A year lies before 1 or after 9999.

    **Reads:** nothing.
    """
    if calendar.lower() not in _REAL_CALENDARS:
        return texts
    try:
        moments = [
            None if own is None else datetime.fromisoformat(own).replace(tzinfo=UTC)
            for own in texts.to_pylist()
        ]
    except ValueError:
        raise UnsupportedError(
            "Some of the times have no form in Parquet; ask for a time range, or for CSV."
        ) from None
    return pa.array(moments, pa.timestamp("us", "UTC"))


def zoned(texts: pa.Array) -> pa.Array:
    """Times in text with the mark of UTC. **Reads:** nothing."""
    return pa.array([None if own is None else f"{own}Z" for own in texts.to_pylist()], pa.string())


def unarmed(texts: pa.Array) -> pa.Array:
    """Text that no spreadsheet takes for a formula: an apostrophe goes before what it might.

    **Reads:** nothing.
    """
    return pa.array(
        [None if own is None else unarmed_text(own) for own in texts.to_pylist()], pa.string()
    )


def unarmed_text(text: str) -> str:
    """One text, likewise. **Reads:** nothing.

    >>> unarmed_text("=1+1")
    "'=1+1"
    """
    return f"'{text}" if text.startswith(_FORMULA) else text
