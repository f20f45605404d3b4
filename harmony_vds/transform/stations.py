"""What an output of places says of them: names, where they were asked for, how far the cells are.

CF calls a set of time series at places a discrete sampling geometry: ``featureType`` names its kind
at the root, one variable names the series, and data variables list where the places are among
their ``coordinates`` (CF conventions, chapter 9).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from harmony_vds.model.paths import ancestors, group_of, join, name_of
from harmony_vds.model.places import Placement
from harmony_vds.model.plan import PlannedVariable, Role
from harmony_vds.model.subset import SubsetVariable

_NOT_DATA = ("bounds", "climatology")
_VERTICAL_NAMES = {"height", "depth", "altitude", "air_pressure"}
_DEGREES = {"longitude": "degrees_east", "latitude": "degrees_north"}
_OF_CELLS = ("station_longitude", "station_latitude")
"""Names of the variables that tell the centres of cells."""


def with_stations(
    variables: Sequence[SubsetVariable], placements: Sequence[Placement]
) -> tuple[SubsetVariable, ...]:
    """`variables` at places, and those that describe the places. **Reads:** nothing."""
    described: list[SubsetVariable] = []
    taken = {own.planned.path for own in variables}
    located: list[SubsetVariable] = []
    bounds = {str(own.data.attrs.get(name, "")) for own in variables for name in _NOT_DATA}
    for number, placement in enumerate(placements):
        own, coordinates = _description(placement, taken, is_first=number == 0)
        described += own
        taken |= {variable.planned.path for variable in own}
        located += [
            _located(variable, placement, coordinates)
            for variable in variables
            if variable.planned.dimensions[:1] == (placement.dimension,)
            and variable.planned.path not in placement.coordinates
            and name_of(variable.planned.path) not in bounds
            and (placement.times is None or variable.planned.path != placement.times.path)
        ]
    changed = {own.planned.path: own for own in located}
    return (*(changed.get(own.planned.path, own) for own in variables), *described)


def feature_type(variables: Sequence[SubsetVariable], placements: Sequence[Placement]) -> str:
    """CF's name for what the output holds: series, of profiles where there are levels, or points.

    **Reads:** nothing.
    """
    vertical = {v.planned.dimensions[0] for v in variables if v.data.ndim == 1 and _is_vertical(v)}
    stations = {own.dimension for own in placements}
    located = [
        {*own.planned.dimensions[1:]}
        for own in variables
        if own.planned.role is Role.REQUESTED and stations & {*own.planned.dimensions}
    ]
    timed = any(own.times is not None for own in placements)
    if any(vertical & own for own in located):
        return "profile" if timed else "timeSeriesProfile"
    return "timeSeries" if any(located) and not timed else "point"


def _is_vertical(variable: SubsetVariable) -> bool:
    attributes = variable.data.attrs
    return (
        attributes.get("axis") == "Z"
        or "positive" in attributes
        or attributes.get("standard_name") in _VERTICAL_NAMES
    )


def _located(
    variable: SubsetVariable, placement: Placement, coordinates: Mapping[str, Sequence[str]]
) -> SubsetVariable:
    """`variable`, naming the variables that tell where its values are: of cells, or in between."""
    group = group_of(variable.planned.path)
    names = str(variable.data.attrs.get("coordinates", "")).split()
    if placement.has_between(variable.planned.path):
        cells = {name_of(own) for own in placement.coordinates}
        names = [own for own in names if name_of(own) not in cells]
        paths = [*coordinates["series"], *coordinates["places"]]
    else:
        paths = [*placement.coordinates, *coordinates["series"], *coordinates["cells"]]
    paths += [placement.times.path] if placement.times else []
    names += [own for path in paths if (own := _seen_from(group, path)) not in names]
    data = variable.data.copy(deep=False)
    data.attrs = {**variable.data.attrs, "coordinates": " ".join(names)}
    return replace(variable, data=data)


def _seen_from(group: str, path: str) -> str:
    """The shortest name by which `group` finds a variable: bare in itself and its parents."""
    return name_of(path) if group_of(path) in ancestors(group) else path


def _description(
    placement: Placement, taken: Iterable[str], *, is_first: bool
) -> tuple[list[SubsetVariable], Mapping[str, Sequence[str]]]:
    """The variables that describe places, and the paths of those that are coordinates of data."""
    suffix = "" if placement.times else name_of(placement.dimension).removeprefix("station")
    made = _told(placement, is_first=is_first)
    free = {name: _free(join("/", f"{name}{suffix}"), taken) for name in made}
    variables = [
        _variable(free[name], placement.dimension, values, attributes)
        for name, (values, attributes) in made.items()
    ]
    cells = [free[name] for name in _OF_CELLS if name in made]
    asked = [free["requested_latitude"], free["requested_longitude"]]
    return variables, {"series": [free["station_name"]], "cells": cells, "places": asked}


def _told(
    placement: Placement, *, is_first: bool
) -> dict[str, tuple[npt.NDArray[Any], dict[str, Any]]]:
    """What is told of places, by name: values and attributes."""
    role = {"cf_role": "timeseries_id"} if is_first and placement.times is None else {}
    names = np.array([own.name.encode() for own in placement.places])
    asked = {
        "longitude": np.array([own.longitude for own in placement.places]),
        "latitude": np.array([own.latitude for own in placement.places]),
    }
    centres = {"longitude": placement.longitudes, "latitude": placement.latitudes}
    made: dict[str, tuple[npt.NDArray[Any], dict[str, Any]]] = {
        "station_name": (names, {"long_name": "name of the place", "_Encoding": "utf-8", **role}),
    }
    if not placement.coordinates:
        for own, (name, values) in zip(_OF_CELLS, centres.items(), strict=True):
            made[own] = values, {
                "standard_name": name, "units": _DEGREES[name],
                "long_name": f"{name} of the centre of the cell"}  # fmt: skip
    for name, values in asked.items():
        told = {"long_name": f"requested {name}", "units": "degree"}
        if placement.blend is not None:  # where values between cells are
            told |= {"standard_name": name, "units": _DEGREES[name]}
        made[f"requested_{name}"] = values, told
    if placement.times is not None:
        told = {"units": placement.times.units, "calendar": placement.times.calendar}
        made["requested_time"] = placement.times.asked, {"long_name": "requested time", **told}
    made["distance"] = placement.distances, {
        "long_name": "distance from the requested place to the centre of the cell", "units": "km",
    }  # fmt: skip
    return made


def _free(path: str, taken: Iterable[str]) -> str:
    while path in taken:
        path += "_"
    return path


def _variable(
    path: str, dimension: str, values: npt.NDArray[Any], attributes: dict[str, Any]
) -> SubsetVariable:
    planned = PlannedVariable(path, (dimension,), Role.REQUIRED)
    data = xr.Variable((name_of(dimension),), values, attributes)
    return SubsetVariable(planned, data, values.shape, ((slice(0, values.size),),))
