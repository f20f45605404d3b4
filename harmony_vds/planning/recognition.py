"""Which variables are coordinates, and of what, by CF."""

import re

import xarray as xr

from harmony_vds.model.grid import AxisKind
from harmony_vds.model.paths import name_of
from harmony_vds.planning.crs import is_angle, is_length

_NORTH = re.compile(r"degrees?_?(north|n)", re.IGNORECASE)
_EAST = re.compile(r"degrees?_?(east|e)", re.IGNORECASE)
_SINCE = re.compile(r"^\s*[A-Za-z]+\s+since\s+\S", re.IGNORECASE)
_NAMES = {
    AxisKind.Y: {"lat", "latitude", "nav_lat"},
    AxisKind.X: {"lon", "longitude", "long", "nav_lon"},
}
_STANDARD_NAMES = {AxisKind.Y: "latitude", AxisKind.X: "longitude", AxisKind.T: "time"}
_ON_PLANES = {
    AxisKind.Y: {"projection_y_coordinate", "projection_y_angular_coordinate", "grid_latitude"},
    AxisKind.X: {"projection_x_coordinate", "projection_x_angular_coordinate", "grid_longitude"},
}
_PLANE_NAMES = {
    AxisKind.Y: {"y", "yc", "ygrid", "ycoordinates", "y_coordinates", "northing", "rlat"},
    AxisKind.X: {"x", "xc", "xgrid", "xcoordinates", "x_coordinates", "easting", "rlon"},
}


def is_coordinate(kind: AxisKind, path: str, variable: xr.Variable) -> bool:
    """Whether a variable holds latitudes (Y), longitudes (X) or times (T), by CF.

    ``standard_name`` decides, then ``units``; a bare ``degrees`` counts only with a telling name.
    **Reads:** nothing.
    """
    units = str(variable.attrs.get("units", "")).strip()
    standard_name = str(variable.attrs.get("standard_name", "")).strip()
    name = name_of(path).lower()
    if variable.dtype.kind not in "iuf":
        return False
    if kind is AxisKind.T:
        if not has_time_units(variable):
            return False
        told = standard_name == "time" or variable.attrs.get("axis") == "T"
        return told or name == "time" or name in (str(d).lower() for d in variable.dims)
    if standard_name:
        return standard_name == _STANDARD_NAMES[kind]
    pattern = _NORTH if kind is AxisKind.Y else _EAST
    if pattern.fullmatch(units):
        return True
    return name in _NAMES[kind] and units.lower() in ("", "degrees", "degree", "deg")


def is_projected(kind: AxisKind, path: str, variable: xr.Variable) -> bool:
    """Whether a variable holds x (X) or y (Y) of a projected, rotated or geostationary grid, by CF.

    ``standard_name`` decides, then ``axis``, then a telling name; the last two only in units of
    lengths or angles, or in none. **Reads:** nothing.
    """
    if variable.dtype.kind not in "iuf" or is_coordinate(kind, path, variable):
        return False
    standard_name = str(variable.attrs.get("standard_name", "")).strip()
    if standard_name:
        return standard_name in _ON_PLANES[kind]
    if not measures(variable):
        return False
    axis = str(variable.attrs.get("axis", "")).strip().upper()
    return axis == kind if axis else name_of(path).lower() in _PLANE_NAMES[kind]


def measures(variable: xr.Variable) -> bool:
    """Whether a variable may hold lengths or angles, by its units. **Reads:** nothing."""
    units = str(variable.attrs.get("units", ""))
    return not units.strip() or is_length(units) or is_angle(units)


def has_time_units(variable: xr.Variable) -> bool:
    """Whether a variable holds numbers in units such as ``days since …``. **Reads:** nothing."""
    units = str(variable.attrs.get("units", "")).strip()
    return variable.dtype.kind in "iuf" and _SINCE.match(units) is not None
