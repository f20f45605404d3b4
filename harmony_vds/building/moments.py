"""The time of granules whose data have no time dimension."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
import xarray as xr

from harmony_vds.building.choice import Choice
from harmony_vds.building.files import GranuleFile
from harmony_vds.building.marks import coordinates, is_time_like, time_dimension
from harmony_vds.errors import RequestError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS = "seconds since 1970-01-01T00:00:00"
_DAY = r"(?<!\d)(?P<year>(?:18|19|20|21)\d{2})(?P<s>[-_.]?)(?P<month>0[1-9]|1[0-2])(?P=s)"
_IN_NAMES = (
    re.compile(
        _DAY + r"(?P<day>0[1-9]|[12]\d|3[01])[T_-]?(?P<hour>[01]\d|2[0-3])[-:]?(?P<minute>[0-5]\d)"
        r"(?:[-:]?(?P<second>[0-5]\d))?(?!\d)"
    ),
    re.compile(_DAY + r"(?P<day>0[1-9]|[12]\d|3[01])(?!\d)"),
    re.compile(r"(?<!\d)(?P<year>(?:19|20)\d{2})[-_.]?(?P<yearday>[0-3]\d{2})(?!\d)"),
    re.compile(_DAY.replace("(?P=s)", r"(?!\d)")),
)
_ATTRIBUTES = ("time_coverage_start", "RangeBeginningDateTime", "start_time", "StartTime")


def with_moment(
    groups: dict[str, xr.Dataset], file: GranuleFile, choice: Choice
) -> dict[str, xr.Dataset]:
    """`groups` along a new dimension ``time``, where the data have none and one is needed.

    Raises
    ------
    RequestError
        The place named by ``time_from`` tells no time.

    **Reads:** nothing.
    """
    if time_dimension(groups) is not None or choice.dimension is not None:
        return groups
    scalar = _scalar_time(groups)
    if scalar is not None and choice.time_from in ("", "data", "auto"):
        if not choice.time_from and not choice.is_one_of_many:
            return groups
        group, name = scalar
        return _expanded(groups, group, name, groups[group].variables[name])
    if not choice.time_from or (choice.time_from == "auto" and not choice.is_one_of_many):
        return groups
    moment = _moment(groups["/"], file, choice.time_from)
    seconds = (moment - _EPOCH).total_seconds()
    name = "time"
    while any(name in own.variables or name in own.dims for own in groups.values()):
        name = f"granule_{name}"
    told = {"units": _UNITS, "calendar": "standard", "standard_name": "time", "axis": "T"}
    time = xr.Variable((), np.float64(seconds), told, {"_FillValue": None})
    return _expanded(groups, "/", name, time)


def _scalar_time(groups: Mapping[str, xr.Dataset]) -> tuple[str, str] | None:
    for group, dataset in groups.items():
        for name, variable in dataset.variables.items():
            if variable.ndim == 0 and is_time_like(variable):
                return group, str(name)
    return None


def _expanded(
    groups: dict[str, xr.Dataset], group: str, name: str, time: xr.Variable
) -> dict[str, xr.Dataset]:
    found = {}
    for path, dataset in groups.items():
        fixed = coordinates(dataset) | {name}
        told = {
            key: own.expand_dims(name) for key, own in dataset.variables.items()
            if str(key) not in fixed
        }  # fmt: skip
        found[path] = dataset.drop_vars([*told, name], errors="ignore").assign(told)
    series = xr.Variable((name,), np.atleast_1d(time.values), time.attrs, time.encoding)
    found[group] = found[group].assign({name: series})
    return found


def _moment(root: xr.Dataset, file: GranuleFile, where: str) -> datetime:
    """The time of a granule from `where`: its name, an attribute, or its record."""
    place, _, attribute = where.partition(":")
    if place in ("cmr", "auto"):
        if file.start is None:
            raise RequestError("CMR tells no time of it; take it from its name or an attribute.")
        return file.start
    if place == "name":
        found = moment_in_name(file.name)
        if found is None:
            raise RequestError("Its name holds no date, such as 20240131T120000 or 2024-01-31.")
        return found
    if place == "attribute":
        names = (attribute,) if attribute else _ATTRIBUTES
        for name in names:
            if name in root.attrs:
                return _parsed(root.attrs[name], name)
        raise RequestError(f"It has no attribute {' or '.join(names)} to take its time from.")
    raise RequestError(
        "Its data have no time; take it from its name, from an attribute or from CMR "
        "(--time-from name, attribute, attribute:NAME, cmr)."
    )


def moment_in_name(name: str) -> datetime | None:
    """The first instant written in a file's name, UTC; the finest form that is there.

    >>> moment_in_name("OPERA_L2_RTC-S1_20211119T015859Z_20250830T120333Z_v1.0.tif").isoformat()
    '2021-11-19T01:58:59+00:00'
    >>> moment_in_name("MOD13A1.A2020017.h07v03.nc").isoformat()
    '2020-01-17T00:00:00+00:00'

    **Reads:** nothing.
    """
    for form in _IN_NAMES:
        for found in form.finditer(name):
            told: dict[str, Any] = {k: v for k, v in found.groupdict().items() if k != "s" and v}
            day = told.pop("yearday", None)
            try:
                if day is not None:
                    return datetime.strptime(f"{told['year']} {day} +0000", "%Y %j %z")
                return datetime(
                    int(told["year"]), int(told["month"]), int(told.get("day", 1)),
                    int(told.get("hour", 0)), int(told.get("minute", 0)),
                    int(told.get("second", 0)), tzinfo=UTC,
                )  # fmt: skip
            except ValueError:
                continue
    return None


def _parsed(value: Any, name: str) -> datetime:
    text = value.decode() if isinstance(value, bytes) else str(value)
    try:
        told = datetime.fromisoformat(text.strip().replace(" UTC", "Z").replace("/", "-"))
    except ValueError:
        raise RequestError(f"Its attribute {name} is {text!r}, which is no ISO time.") from None
    return told.replace(tzinfo=told.tzinfo or UTC).astimezone(UTC)
