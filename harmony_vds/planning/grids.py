"""Which horizontal grid and which time axis a variable lies on."""

from dataclasses import dataclass

from harmony_vds.model.grid import AxisKind, GridKind
from harmony_vds.model.paths import ancestors, group_of, name_of
from harmony_vds.planning.crs import in_degrees
from harmony_vds.planning.hierarchy import Hierarchy
from harmony_vds.planning.located import located
from harmony_vds.planning.mappings import GridMapping, mapping_of
from harmony_vds.planning.recognition import has_time_units, is_coordinate, is_projected, measures
from harmony_vds.planning.stacked import time_of_parts
from harmony_vds.planning.staggered import Shift, shift_of
from harmony_vds.planning.transforms import Affine, affine_of

_AGREED_TIME = "secondary_datetime"
"""Time of a step in stacks of interferograms, whose variables name no time by CF: that of the later
of the two images."""
_TIFF_TAGS = ("model_tiepoint", "model_transformation")
"""Tags that stay on a variable where opening made no coordinates of them."""


@dataclass(frozen=True)
class Ground:
    """What is known of a variable's horizontal grid, before any coordinate is read."""

    kind: GridKind
    """How the grid states where its cells are."""
    y: str | None
    """Variable of its latitudes, or of its y; None where both are computed."""
    x: str | None
    """Variable of its longitudes, or of its x."""
    dimensions: tuple[str, ...]
    """Full paths of the dimensions that carry it, rows first."""
    mapping: GridMapping | None = None
    """The reference system of its x and y."""
    affine: Affine | None = None
    """Where its cells are, if the store has no coordinates of it."""
    also: tuple[str, str] | None = None
    """Latitudes and longitudes of each cell that the store has beside x and y."""
    shift: Shift | None = None
    """How far the variable lies from the cells whose places these are."""


@dataclass(frozen=True)
class Footing:
    """What is known of a variable's place in space and time, before any coordinate is read."""

    ground: Ground | None
    """Its horizontal grid, if it has one whose cells have known places."""
    t: str | None
    """Time variable: along one of its dimensions, or a scalar in its scope."""
    obstacle: str | None
    """Why a box cannot cut it, if it lies on a grid whose cells have no known places."""
    moments: str | None = None
    """Variable of its cells' times, if these lie along several dimensions."""

    @property
    def coordinates(self) -> tuple[str, ...]:
        """Full paths of the variables that place it in space and time. **Reads:** nothing."""
        own = self.ground
        found = () if own is None else (own.y, own.x, *(own.also or ()))
        return tuple(path for path in (*found, self.t, self.moments) if path is not None)


def footing(path: str, hierarchy: Hierarchy) -> Footing:
    """The footing of the variable at `path`, by CF metadata alone. **Reads:** nothing."""
    t = _axis(AxisKind.T, path, hierarchy)
    moments = None if t else _spread_time(path, hierarchy)
    if moments is not None and (t := time_of_parts(path, hierarchy)):
        moments = None
    if t is None and moments is None:
        t = _auxiliary_time(path, hierarchy) or time_of_parts(path, hierarchy)
        t = t or _scalar_time(path, hierarchy)
    ground = _ground(path, hierarchy)
    obstacle = None if ground else _obstacle(path, hierarchy)
    return Footing(ground, t, obstacle, moments)


def _ground(path: str, hierarchy: Hierarchy) -> Ground | None:
    """One-dimensional latitudes and longitudes first, then a reference system, then each cell's."""
    y, x = _axis(AxisKind.Y, path, hierarchy), _axis(AxisKind.X, path, hierarchy)
    if y and x and hierarchy.dimensions(y) != hierarchy.dimensions(x):
        own = (*hierarchy.dimensions(y), *hierarchy.dimensions(x))
        return Ground(GridKind.RECTILINEAR, y, x, own)
    pair = located(path, hierarchy)
    projected = _projected(path, hierarchy, pair)
    if projected is not None:
        return projected
    if pair is None:
        return _between_cells(path, hierarchy)
    dimensions = hierarchy.dimensions(pair[0])
    kind = GridKind.TRACK if len(dimensions) == 1 else GridKind.CURVILINEAR
    return Ground(kind, *pair, dimensions)


def _between_cells(path: str, hierarchy: Hierarchy) -> Ground | None:
    """The grid of a variable between the cells of the one grid that it can be between."""
    found: dict[object, Ground] = {}
    placing = hierarchy.placing
    for y in placing[AxisKind.Y]:
        for x in placing[AxisKind.X]:
            rows, columns = (hierarchy.dimensions(own) for own in (y, x))
            flat = rows == columns and len(rows) > 1
            if group_of(x) != group_of(y) or (not flat and (len(rows), len(columns)) != (1, 1)):
                continue
            told = shift_of(path, rows if flat else (*rows, *columns), hierarchy)
            if told is not None:
                kind = GridKind.CURVILINEAR if flat else GridKind.RECTILINEAR
                found[y, x] = Ground(kind, y, x, told[0], shift=told[1])
    return next(iter(found.values())) if len(found) == 1 else None


def _projected(path: str, hierarchy: Hierarchy, pair: tuple[str, str] | None) -> Ground | None:
    """The grid of x and y in a reference system, from coordinates or from a transform."""
    if len(hierarchy.dimensions(path)) < 2:
        return None
    y, x = _plane_axes(path, hierarchy)
    marked = "grid_mapping" in hierarchy.variables[path].attrs
    if (y is None or x is None) and not marked and not _has_transform(path, hierarchy):
        return None
    mapping = mapping_of(path, hierarchy)
    if mapping is None:
        return None
    if y is None or x is None:
        y, x = _by_position(path, hierarchy)
    kind = GridKind.RECTILINEAR if in_degrees(mapping.crs) else GridKind.PROJECTED
    on_both = pair if pair and len(hierarchy.dimensions(pair[0])) == 2 else None
    if y is not None and x is not None:
        own = (*hierarchy.dimensions(y), *hierarchy.dimensions(x))
        return Ground(kind, y, x, own, mapping, None, on_both) if len({*own}) == 2 else None
    affine = affine_of(path, mapping, hierarchy)
    if affine is None:
        return None
    return Ground(kind, None, None, affine.dimensions, mapping, affine, on_both)


def _plane_axes(path: str, hierarchy: Hierarchy) -> tuple[str | None, str | None]:
    """The variables of y and x along dimensions of the variable."""
    found: dict[AxisKind, str] = {}
    for kind in (AxisKind.Y, AxisKind.X):
        for dimension in hierarchy.dimensions(path):
            for own in hierarchy.along(dimension, group_of(path)):
                if is_projected(kind, own, hierarchy.variables[own]):
                    found.setdefault(kind, own)
    return found.get(AxisKind.Y), found.get(AxisKind.X)


def _by_position(path: str, hierarchy: Hierarchy) -> tuple[str | None, str | None]:
    """The coordinate variables of the last two dimensions, if they may hold lengths or angles."""
    found = []
    for dimension in hierarchy.dimensions(path)[-2:]:
        own = next(iter(hierarchy.along(dimension, group_of(path))), "")
        fits = name_of(own) == name_of(dimension) and measures(hierarchy.variables[own])
        found.append(own if fits and "units" in hierarchy.variables[own].attrs else None)
    return found[0], found[1]


def _has_transform(path: str, hierarchy: Hierarchy) -> bool:
    tree = hierarchy.store.tree
    around = [tree[group].attrs for group in ancestors(group_of(path)) if group != "/"]
    places = (hierarchy.variables[path].attrs, *around, tree.attrs)
    return any("spatial:transform" in attributes for attributes in places)


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
            return found
    return None


def _obstacle(path: str, hierarchy: Hierarchy) -> str | None:
    """Signs that the variable has a place on the Earth which its store does not tell."""
    if {*_TIFF_TAGS} & {*hierarchy.variables[path].attrs}:
        return (
            "its GeoTIFF tags place it by ground control points, on a turned grid, or in a "
            "reference system without an EPSG code, from which its rows and columns do not follow"
        )
    beside = _beside(path, hierarchy)
    if beside and all(_plane_axes(path, hierarchy)):
        return (
            f"it has one of the dimensions of {beside.lstrip('/')} and not the other, and no "
            "c_grid_axis_shift tells where it lies between these cells"
        )
    if all(_plane_axes(path, hierarchy)):
        return (
            "it lies on a projected grid whose coordinate reference system the store does not "
            "state in a way that is understood"
        )
    dimensions = set(hierarchy.dimensions(path))
    visible = set(ancestors(group_of(path)))
    for kind, what in ((AxisKind.Y, "latitudes"), (AxisKind.X, "longitudes")):
        found = [
            own for own in hierarchy.placing[kind]
            if group_of(own) in visible and len(hierarchy.dimensions(own)) >= 2
            and dimensions.issuperset(hierarchy.dimensions(own))
        ]  # fmt: skip
        if found:
            names = ", ".join(own.lstrip("/") for own in found[:3])
            return f"of its {what} ({names}) it cannot be told which are its cells'"
    return None


def _beside(path: str, hierarchy: Hierarchy) -> str | None:
    """Latitudes of cells with some and not all of whose dimensions the variable goes."""
    own = set(hierarchy.dimensions(path))
    for found in hierarchy.placing[AxisKind.Y]:
        dimensions = set(hierarchy.dimensions(found))
        if len(dimensions) > 1 and own & dimensions and not dimensions <= own:
            return found
    return None
