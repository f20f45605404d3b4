"""Which variables an average is made of, over which dimensions, and what is left out and why."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import xarray as xr

from harmony_vds.errors import UnsupportedError
from harmony_vds.model.areas import WGS84, Ellipsoid
from harmony_vds.model.average import (
    AveragedTime,
    AveragedVariable,
    AverageKind,
    AveragePlan,
    Features,
    Measure,
)
from harmony_vds.model.grid import Axis, AxisKind
from harmony_vds.model.listing import listed
from harmony_vds.model.paths import group_of, join, name_of
from harmony_vds.model.plan import PlannedVariable, Role
from harmony_vds.model.selection import AxisSelection
from harmony_vds.model.shape import Shape
from harmony_vds.planning.areas import areas_of
from harmony_vds.planning.crs import ellipsoid_of
from harmony_vds.planning.features import Window, features_of
from harmony_vds.planning.features import remarks as empty_features
from harmony_vds.planning.grids import Footing, Ground
from harmony_vds.planning.ground import grid_of, with_corners
from harmony_vds.planning.hierarchy import Hierarchy
from harmony_vds.planning.mappings import mapping_of
from harmony_vds.planning.ranges import step_edges
from harmony_vds.planning.recognition import is_coordinate
from harmony_vds.planning.suitability import unsuited

_MEASURES = {
    AverageKind.TIME: (Measure.MEAN, Measure.COUNT),
    AverageKind.AREA: (Measure.MEAN, Measure.COUNT, Measure.FRACTION),
}
_OF_FEATURES = (Measure.MIN, Measure.MAX, Measure.STD)
_PARTLY = "it has only part of the dimensions"


@dataclass(frozen=True, eq=False)
class Cuts:
    """What is known of a request when its cuts have been made."""

    hierarchy: Hierarchy
    footings: Mapping[str, Footing]
    """Of the requested variables."""
    times: Mapping[str, Axis]
    """Time axes by path."""
    selection: Mapping[str, AxisSelection]
    """What is kept of each dimension that is cut."""
    interrupted: frozenset[str] = frozenset()
    """Paths of the time axes between whose kept steps months were left out."""
    shape: Shape | None = None
    """What was cut by, if it was a shape."""

    def kept(self, dimension: str, size: int) -> AxisSelection:
        """What is kept of a dimension. **Reads:** nothing."""
        return self.selection.get(dimension, AxisSelection.whole(size))


@dataclass(eq=False)
class _Sorted:
    """The variables of an output, told apart by what an average does to them."""

    averaged: list[AveragedVariable] = field(default_factory=list)
    unsuited: dict[str, list[str]] = field(default_factory=dict)
    """Reason → names."""
    accompanying: list[str] = field(default_factory=list)
    """Names of what is required by others, and tells of single values."""
    untouched: list[str] = field(default_factory=list)
    """Names of requested variables without the dimensions that are averaged over."""
    kept: list[PlannedVariable] = field(default_factory=list)


def plan_average(
    kind: AverageKind, variables: Sequence[PlannedVariable], cuts: Cuts
) -> tuple[tuple[PlannedVariable, ...], AveragePlan, list[str]]:
    """What of `variables` is averaged.

    Parameters
    ----------
    kind
        What over.
    variables
        The requested variables and what they need.
    cuts
        What is known of them.

    Returns
    -------
    tuple
        The variables to be read; the average; remarks that the user should read.

    Raises
    ------
    UnsupportedError
        No requested variable can be averaged; the text says why.

    **Reads:** nothing that planning has not read.
    """
    ways = {path: _along(kind, path, cuts) for path in cuts.footings}
    gone = {dimension for along in ways.values() for dimension in along}
    found = _sorted(kind, variables, ways, gone, cuts)
    if not found.averaged:
        raise UnsupportedError(_nothing(kind, found))
    if kind is AverageKind.TIME:
        times = tuple(_times(gone, cuts))
        replaced = {time.bounds_path for time in times}
        kept = tuple(own for own in found.kept if own.path not in replaced)
        return kept, AveragePlan(kind, tuple(found.averaged), times), list(_remarks(kind, found))
    average, notes = _over_area(found, cuts)
    return tuple(found.kept), average, [*_remarks(kind, found), *notes]


def _over_area(found: _Sorted, cuts: Cuts) -> tuple[AveragePlan, list[str]]:
    """The average of each variable over its grid, or over each feature of the shape; remarks."""
    ways = dict.fromkeys(own.along for own in found.averaged)
    windows = [_window(along, cuts) for along in ways]
    figures = [_ellipsoid(along, cuts) for along in ways]
    areas = tuple(areas_of(*own, figure) for own, figure in zip(windows, figures, strict=True))
    average = AveragePlan(AverageKind.AREA, tuple(found.averaged), areas=areas)
    notes = [
        f"Cells are weighed by their areas on {own}, as the grid mapping states."
        for own in dict.fromkeys(figures)
        if not own.is_nearly(WGS84)
    ]
    if cuts.shape is not None and len(cuts.shape.features) > 1:
        taken = {*cuts.hierarchy.variables, *(d for own in found.kept for d in own.dimensions)}
        features = features_of(cuts.shape, windows, taken)
        notes += empty_features(features)
        each = tuple(_of_features(own, features, cuts.hierarchy) for own in average.variables)
        average = replace(average, variables=each, features=features)
    return average, notes


def _along(kind: AverageKind, path: str, cuts: Cuts) -> tuple[str, ...]:
    """The dimensions of a requested variable that are averaged over; empty where it has none."""
    footing, own = cuts.footings[path], cuts.hierarchy.dimensions(path)
    if kind is AverageKind.AREA:
        found = () if footing.ground is None else footing.ground.dimensions
        return found if len(found) == 2 else ()
    axis = cuts.times.get(footing.t or "")
    if axis is not None:
        return (axis.dimension,) if axis.dimension in own else ()
    return tuple(d for d in own if name_of(d).lower() == "time")[:1]


def _sorted(
    kind: AverageKind, variables: Sequence[PlannedVariable], ways: Mapping[str, tuple[str, ...]],
    gone: set[str], cuts: Cuts,
) -> _Sorted:  # fmt: skip
    """Which variables are averaged, stay as they are, go along, or are left out, and why."""
    found = _Sorted()
    hierarchy = cuts.hierarchy
    coordinates = _coordinates(variables, cuts)
    for own in variables:
        name, along = own.path.lstrip("/"), ways.get(own.path, ())
        is_data = own.role is Role.REQUESTED and own.path not in coordinates
        reason = _elsewhere(kind, cuts.footings.get(own.path)) if is_data else ""
        if reason:
            found.unsuited.setdefault(reason, []).append(name)
        elif own.role is Role.REQUIRED and _is_moot(kind, hierarchy.variables[own.path]):
            continue
        elif not gone & {*own.dimensions} or _is_replaced(kind, own.path, cuts):
            found.kept.append(own)
            found.untouched += [name] if is_data else []
        elif not is_data and own.path in coordinates:
            continue
        elif reason := unsuited(hierarchy.variables[own.path]):
            found.unsuited.setdefault(reason, []).append(name)
        elif own.role is Role.REQUIRED:
            found.accompanying.append(name)
        elif not along:
            found.unsuited.setdefault(_PARTLY, []).append(name)
        else:
            found.kept.append(own)
            found.averaged.append(_averaged(kind, own, along, hierarchy))
    return found


def _is_replaced(kind: AverageKind, path: str, cuts: Cuts) -> bool:
    """Whether a variable is a time that another takes the place of."""
    return kind is AverageKind.TIME and path in cuts.times


def _is_moot(kind: AverageKind, variable: xr.Variable) -> bool:
    """Whether a variable only says how the cells of a grid lie, and no grid is left."""
    return kind is AverageKind.AREA and "grid_mapping_name" in variable.attrs


def _coordinates(variables: Sequence[PlannedVariable], cuts: Cuts) -> set[str]:
    """Variables that place others, and are nothing to be averaged."""
    found = {path for own in cuts.footings.values() for path in own.coordinates}
    for own in variables:
        raw = cuts.hierarchy.variables[own.path]
        kinds = (AxisKind.X, AxisKind.Y, AxisKind.T)
        named = [str(raw.attrs.get(key, "")) for key in ("bounds", "climatology", "coordinates")]
        paths = (cuts.hierarchy.resolve(n, group_of(own.path)) for t in named for n in t.split())
        found |= {path for path in paths if path}
        if own.dimensions == (own.path,) or any(is_coordinate(k, own.path, raw) for k in kinds):
            found.add(own.path)
    return found


def _elsewhere(kind: AverageKind, footing: Footing | None) -> str:
    """Why a requested variable cannot be averaged at the place where it lies."""
    if footing is None:
        return ""
    if kind is AverageKind.TIME:
        return f"its times ({footing.moments.lstrip('/')}) are of cells" if footing.moments else ""
    if footing.ground is not None and len(footing.ground.dimensions) != 2:
        return "its cells are in no rows and columns, and their areas are not known"
    return footing.obstacle or ""


def _averaged(
    kind: AverageKind, own: PlannedVariable, along: tuple[str, ...], hierarchy: Hierarchy
) -> AveragedVariable:
    stays = kind is AverageKind.TIME
    dimensions = tuple(d for d in own.dimensions if stays or d not in along)
    measures = _named(_MEASURES[kind], own.path, hierarchy)
    return AveragedVariable(own.path, along, dimensions, measures)


def _of_features(
    own: AveragedVariable, features: Features, hierarchy: Hierarchy
) -> AveragedVariable:
    """The same for each feature by itself."""
    return replace(
        own,
        dimensions=(features.dimension, *own.dimensions),
        measures=_named(_MEASURES[AverageKind.AREA] + _OF_FEATURES, own.path, hierarchy),
        features=len(features.names),
    )


def _named(
    measures: Iterable[Measure], path: str, hierarchy: Hierarchy
) -> tuple[tuple[Measure, str], ...]:
    """Measures with the full paths of their variables; the mean takes the place of its source."""
    found = []
    for measure in measures:
        name = path if measure is Measure.MEAN else f"{path}_{measure}"
        while measure is not Measure.MEAN and name in hierarchy.variables:
            name += "_of_mean"
        found.append((measure, name))
    return tuple(found)


def _times(gone: Iterable[str], cuts: Cuts) -> Iterable[AveragedTime]:
    """What becomes of the time coordinates along the dimensions `gone`."""
    for path, axis in cuts.times.items():
        if axis.dimension not in gone:
            continue
        kept = cuts.kept(axis.dimension, axis.values.size).positions
        kept = kept[np.isfinite(axis.values[kept])]
        low, high = (own[kept] for own in step_edges(axis))
        first, last = (low.min(), high.max()) if kept.size else (np.nan, np.nan)
        stored = cuts.hierarchy.dimensions(axis.bounds_path) if axis.bounds_path else ()
        yield AveragedTime(
            path, axis.dimension, axis.bounds_path or f"{path}_bnds",
            stored[-1] if len(stored) == 2 else _pair(path, cuts.hierarchy),
            float(first), float(last), path in cuts.interrupted,
        )  # fmt: skip


def _pair(path: str, hierarchy: Hierarchy) -> str:
    """A dimension of two for the bounds of the time at `path`."""
    sizes = {
        dimension: size
        for own, raw in hierarchy.variables.items()
        for dimension, size in zip(hierarchy.dimensions(own), raw.shape, strict=True)
    }
    names = ("bnds", "nv", f"{name_of(path)}_bnds")
    places = [join(group_of(path), name) for name in names]
    return next((place for place in places if sizes.get(place, 2) == 2), f"{path}_sides")


def _ground_along(along: tuple[str, ...], cuts: Cuts) -> tuple[str, Ground]:
    """A variable on the grid with the dimensions `along`, and what is known of that grid."""
    return next(
        (path, own.ground) for path, own in cuts.footings.items()
        if own.ground is not None and own.ground.dimensions == along
    )  # fmt: skip


def _ellipsoid(along: tuple[str, ...], cuts: Cuts) -> Ellipsoid:
    """What the latitudes of a grid are of, by the grid mapping of its variables."""
    path, ground = _ground_along(along, cuts)
    mapping = ground.mapping or mapping_of(path, cuts.hierarchy)
    if mapping is None or (ground.mapping is None and mapping.remark):
        return WGS84
    return ellipsoid_of(mapping.crs) or WGS84


def _window(along: tuple[str, ...], cuts: Cuts) -> Window:
    """The grid with the dimensions `along`, and what is kept of it."""
    path, ground = _ground_along(along, cuts)
    grid = with_corners(grid_of(ground, path, cuts.hierarchy), cuts.hierarchy)
    rows, columns = (cuts.kept(d, n) for d, n in zip(along, grid.shape, strict=True))
    return grid, rows, columns


def _nothing(kind: AverageKind, found: _Sorted) -> str:
    reasons = [f"{listed(names)}: {reason}" for reason, names in found.unsuited.items()]
    if found.untouched:
        lacking = "a time dimension" if kind is AverageKind.TIME else "latitudes and longitudes"
        reasons.append(f"{listed(found.untouched)}: without {lacking}")
    return (
        f"None of the requested variables has an average over {kind}: {'; '.join(reasons)}. Ask "
        "for other variables, or without average."
    )


def _remarks(kind: AverageKind, found: _Sorted) -> Iterable[str]:
    for reason, names in found.unsuited.items():
        yield f"Left out of the average over {kind}: {listed(names)} ({reason})."
    if found.accompanying:
        yield (
            f"Left out of the average over {kind}: {listed(found.accompanying)}, which tell of "
            "single values; ask for them by name to have their averages."
        )
