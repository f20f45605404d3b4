"""Which horizontal grid and which time axis a variable lies on."""

from dataclasses import dataclass

from harmony_vds.model.grid import AxisKind
from harmony_vds.model.paths import ancestors, group_of
from harmony_vds.planning.axes import is_coordinate
from harmony_vds.planning.hierarchy import Hierarchy

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

    @property
    def is_rectilinear(self) -> bool:
        """Whether a box can cut it. **Reads:** nothing."""
        return self.y is not None and self.x is not None


def footing(path: str, hierarchy: Hierarchy) -> Footing:
    """The footing of the variable at `path`, by CF metadata alone. **Reads:** nothing."""
    y = _axis(AxisKind.Y, path, hierarchy)
    x = _axis(AxisKind.X, path, hierarchy)
    t = _axis(AxisKind.T, path, hierarchy) or _scalar_time(path, hierarchy)
    if y is not None and x is not None:
        if hierarchy.dimensions(y) != hierarchy.dimensions(x):
            return Footing(y, x, t, None)
        return Footing(None, None, t, "its latitudes and longitudes run along one dimension")
    return Footing(None, None, t, _obstacle(path, hierarchy))


def _axis(kind: AxisKind, path: str, hierarchy: Hierarchy) -> str | None:
    """The one-dimensional coordinate of `kind` along a dimension of the variable."""
    for dimension in hierarchy.dimensions(path):
        for found in hierarchy.along(dimension, group_of(path)):
            if is_coordinate(kind, found, hierarchy.variables[found]):
                return found
    return None


def _scalar_time(path: str, hierarchy: Hierarchy) -> str | None:
    for group in ancestors(group_of(path)):
        for found, variable in hierarchy.variables.items():
            if group_of(found) == group and variable.size == 1 and variable.ndim <= 1:
                single = variable.ndim == 0 or hierarchy.dimensions(found)[0].endswith("/time")
                if single and is_coordinate(AxisKind.T, found, variable):
                    return found
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
