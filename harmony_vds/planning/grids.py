"""Which horizontal grid and which time axis a variable lies on."""

from dataclasses import dataclass

from harmony_vds.model.grid import AxisKind
from harmony_vds.model.paths import ancestors, group_of, name_of
from harmony_vds.planning.axes import has_time_units, is_coordinate
from harmony_vds.planning.hierarchy import Hierarchy
from harmony_vds.planning.stacked import time_of_parts

_AGREED_TIME = "secondary_datetime"
"""Time of a step in stacks of interferograms, whose variables name no time by CF: that of the later
of the two images."""

_OTHER_HORIZONTAL = {
    "projection_x_coordinate": "it lies on a projected grid",
    "projection_y_coordinate": "it lies on a projected grid",
    "projection_x_angular_coordinate": "it lies on a geostationary grid",
    "projection_y_angular_coordinate": "it lies on a geostationary grid",
    "grid_latitude": "it lies on a rotated grid",
    "grid_longitude": "it lies on a rotated grid",
}


@dataclass(frozen=True)
class Footing:
    """What is known of a variable's place in space and time, before any coordinate is read."""

    y: str | None
    """Latitude variable along one of its dimensions, if it has a rectilinear grid."""
    x: str | None
    """Longitude variable along another of its dimensions."""
    t: str | None
    """Time variable: along one of its dimensions, or a scalar in its scope."""
    obstacle: str | None
    """Why a box cannot cut it, if it lies on a grid of another kind."""
    untimed: str | None = None
    """Why a time range cannot cut it, if its times lie along several dimensions."""

    @property
    def is_rectilinear(self) -> bool:
        """Whether a box can cut it. **Reads:** nothing."""
        return self.y is not None and self.x is not None


def footing(path: str, hierarchy: Hierarchy) -> Footing:
    """The footing of the variable at `path`, by CF metadata alone. **Reads:** nothing."""
    y = _axis(AxisKind.Y, path, hierarchy)
    x = _axis(AxisKind.X, path, hierarchy)
    t = _axis(AxisKind.T, path, hierarchy)
    untimed = None if t else _spread_time(path, hierarchy)
    if untimed is not None and (t := time_of_parts(path, hierarchy)):
        untimed = None
    if t is None and untimed is None:
        t = _auxiliary_time(path, hierarchy) or time_of_parts(path, hierarchy)
        t = t or _scalar_time(path, hierarchy)
    if y is not None and x is not None:
        if hierarchy.dimensions(y) != hierarchy.dimensions(x):
            return Footing(y, x, t, None, untimed)
        reason = "its latitudes and longitudes run along one dimension"
        return Footing(None, None, t, reason, untimed)
    return Footing(None, None, t, _obstacle(path, hierarchy), untimed)


def _axis(kind: AxisKind, path: str, hierarchy: Hierarchy) -> str | None:
    """The one-dimensional coordinate of `kind` along a dimension of the variable."""
    for dimension in hierarchy.dimensions(path):
        for found in hierarchy.along(dimension, group_of(path)):
            if is_coordinate(kind, found, hierarchy.variables[found]):
                return found
    return None


def _auxiliary_time(path: str, hierarchy: Hierarchy) -> str | None:
    """A time along a dimension that is not called time, such as the files of a stack.

    It is the one that the variable's ``coordinates`` names, or else `_AGREED_TIME`; where several
    are named, or none, none is guessed. Nor is one where each cell has a time of its own.
    """
    own = hierarchy.dimensions(path)
    group = group_of(path)
    listed = str(hierarchy.variables[path].attrs.get("coordinates", "")).split()
    named = [p for name in listed if (p := hierarchy.resolve(name, group)) is not None]
    timed = [p for p in named if has_time_units(hierarchy.variables[p])]
    if any(hierarchy.variables[p].ndim > 1 for p in timed):
        return None
    found = [
        p for dimension in own for p in hierarchy.along(dimension, group)
        if has_time_units(hierarchy.variables[p])
        and hierarchy.variables[p].attrs.get("standard_name", "time") == "time"
    ]  # fmt: skip
    marked = [p for p in found if p in named]
    if len(marked) == 1:
        return marked[0]
    return next((p for p in found if name_of(p) == _AGREED_TIME), None)


def _scalar_time(path: str, hierarchy: Hierarchy) -> str | None:
    for group in ancestors(group_of(path)):
        for found, variable in hierarchy.variables.items():
            if group_of(found) == group and variable.size == 1 and variable.ndim <= 1:
                single = variable.ndim == 0 or hierarchy.dimensions(found)[0].endswith("/time")
                if single and is_coordinate(AxisKind.T, found, variable):
                    return found
    return None


def _spread_time(path: str, hierarchy: Hierarchy) -> str | None:
    """The times of the variable's cells where they have several dimensions, as those of swaths."""
    dimensions, visible = set(hierarchy.dimensions(path)), set(ancestors(group_of(path)))
    for found, variable in hierarchy.variables.items():
        if variable.ndim < 2 or group_of(found) not in visible:
            continue
        own = hierarchy.dimensions(found)
        if set(own) <= dimensions and is_coordinate(AxisKind.T, found, variable):
            along = " and ".join(name_of(dimension) for dimension in own)
            return f"its times ({found.lstrip('/')}) lie along {along}"
    return None


def _obstacle(path: str, hierarchy: Hierarchy) -> str | None:
    """Signs that the variable has a place on the Earth which a box in degrees cannot cut."""
    dimensions = set(hierarchy.dimensions(path))
    visible = set(ancestors(group_of(path)))
    for found, variable in hierarchy.variables.items():
        if group_of(found) not in visible or found == path or not variable.ndim:
            continue
        if not set(hierarchy.dimensions(found)) <= dimensions:
            continue
        standard_name = str(variable.attrs.get("standard_name", ""))
        if standard_name in _OTHER_HORIZONTAL:
            return _OTHER_HORIZONTAL[standard_name]
        located = any(is_coordinate(k, found, variable) for k in (AxisKind.Y, AxisKind.X))
        if located and variable.ndim >= 2:
            return "its latitudes and longitudes have two dimensions (a curvilinear grid or swath)"
    return None
