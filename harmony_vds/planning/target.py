"""Decides the target grid of a plan, and which variables go onto it how."""

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from harmony_vds.errors import UnsupportedError
from harmony_vds.model.average import AveragePlan
from harmony_vds.model.extent import BoundingBox
from harmony_vds.model.listing import listed
from harmony_vds.model.maps import DEGREES, transformation
from harmony_vds.model.paths import group_of, name_of
from harmony_vds.model.plan import PlannedVariable, Role
from harmony_vds.model.request import Stretch, TargetGrid
from harmony_vds.model.swath import Swath
from harmony_vds.model.target import Resampling, SourceGrid, TargetPlan, is_blendable
from harmony_vds.planning.default_grid import default_cells
from harmony_vds.planning.hierarchy import Hierarchy
from harmony_vds.planning.recognition import has_time_units
from harmony_vds.planning.resampling import resampling_of
from harmony_vds.planning.target_crs import target_crs
from harmony_vds.planning.target_grid import Extent, checked, completed
from harmony_vds.planning.variables import grid_mapping_names

if TYPE_CHECKING:
    from pyproj import CRS

_DENSE = 51
"""Points along the sides of a box when it is transformed."""
_INNER = np.linspace(0.001, 0.999, _DENSE)


def plan_target(
    asked: TargetGrid,
    sources: Sequence[SourceGrid | Swath],
    box: BoundingBox | None,
    variables: Sequence[PlannedVariable],
    hierarchy: Hierarchy,
) -> tuple[TargetPlan, list[str]]:
    """The target that a request asks for, and remarks for the user.

    Parameters
    ----------
    asked
        As the request states it.
    sources
        What is kept of the store's grids.
    box
        Outside of which no cell of the target holds a value; None: everywhere.
    variables
        What the output is to hold.
    hierarchy
        The store's variables.

    Raises
    ------
    RequestError
        The target is not usable; the text says which part of it, and why.
    UnsupportedError
        There is no grid to take values from.

    **Reads:** nothing.
    """
    _refuse_sources(sources)
    crs = target_crs(asked.crs or sources[0].crs or "EPSG:4326")
    asked = checked(asked, degrees=crs.is_geographic)
    method = resampling_of(asked.interpolation)
    for own in sources:
        if isinstance(own, Swath):
            _refuse_method(method, own)
    default, notes = default_cells(asked, crs, sources, box)
    cells = completed(asked, default, fixed=box is not None)
    picked = _picked(method, variables, sources, hierarchy)
    notes += [_told(picked, method)] if picked else []
    target = TargetPlan(
        crs=crs.to_wkt(),
        transform=cells.transform,
        shape=(cells.rows, cells.columns),
        resampling=method,
        picked=picked,
        dimensions=_names(crs, variables, sources),
        mapping=_free("/crs", variables, sources),
        bbox=_around(cells.extent, crs, box),
        inside=box,
        sources=tuple(sources),
    )
    return target, notes


def in_strip(target: TargetPlan, strip: Stretch) -> TargetPlan:
    """`target`, of whose rows those of a Part come out. **Reads:** nothing."""
    from pyproj import CRS

    first, stop = strip.start, min(strip.stop, target.shape[0])
    left, _, right, top = target.extent
    height = target.transform[4]
    extent = left, top + height * stop, right, top + height * first
    around = _around(extent, CRS.from_wkt(target.crs), target.inside)
    return replace(target, strip=(first, stop), bbox=around)


def counted(target: TargetPlan, average: AveragePlan) -> TargetPlan:
    """`target`, on which numbers of values are those of the nearest cell. **Reads:** nothing."""
    counts = {path for own in average.variables for _, path in own.measures[1:]}
    if target.resampling is Resampling.NEAREST:
        return target
    return replace(target, picked=target.picked | counts)


def _refuse_sources(sources: Sequence[SourceGrid | Swath]) -> None:
    """Raise if there is no grid to take values from, or one has no place between its centres."""
    if not sources:
        raise UnsupportedError(
            "Nothing of what was asked for lies on a grid that can be put on another; swaths that "
            "lie one after another along a dimension of their own cannot. Ask without "
            "outputCrs, scaleExtent, scaleSize, width, height and grid."
        )
    for own in sources:
        if isinstance(own, SourceGrid):
            _refuse_disorder(own)


def _refuse_disorder(source: SourceGrid) -> None:
    """Places between centres are known only where centres run on in one direction."""
    for dimension, axis in zip(source.dimensions, (source.y, source.x), strict=True):
        steps = np.diff(axis.centres)
        if not steps.size or not ((steps > 0).all() or (steps < 0).all()):
            reason = "has a single cell" if not steps.size else "does not run on in one direction"
            raise UnsupportedError(
                f"The store's grid cannot be put on another: what is kept of {name_of(dimension)} "
                f"{reason}. Ask without a target grid, or for a larger box."
            )


def _refuse_method(method: Resampling, source: Swath) -> None:
    """Of cells that follow no rows and columns values are taken as they are, or from a quad."""
    taken = [Resampling.NEAREST, *([] if source.is_track else [Resampling.BILINEAR])]
    if method not in taken:
        raise UnsupportedError(
            f"interpolation={method.value} is not done for what lies along "
            f"{' and '.join(map(name_of, source.dimensions))}, a "
            f"{'track' if source.is_track else 'swath or curvilinear grid'}; ask with "
            f"{' or '.join(own.value for own in taken)}."
        )


def _picked(
    method: Resampling,
    variables: Iterable[PlannedVariable],
    sources: Sequence[SourceGrid | Swath],
    hierarchy: Hierarchy,
) -> frozenset[str]:
    """The variables that take the nearest value whatever was asked."""
    if method is Resampling.NEAREST:
        return frozenset()
    found = []
    for own in variables:
        raw = hierarchy.variables[own.path]
        if not any(set(grid.dimensions) <= {*own.dimensions} for grid in sources):
            continue
        exact = raw.dtype.kind == "f" or (raw.dtype.kind in "iu" and raw.dtype.itemsize <= 4)
        fit = exact if method.picks else is_blendable(raw.dtype, raw.attrs)
        if not fit:
            found.append(own.path)
    return frozenset(found)


def _told(picked: Iterable[str], method: Resampling) -> str:
    """Why variables took another method than was asked, as the user reads it."""
    shown = listed([path.lstrip("/") for path in sorted(picked)])
    return (
        f"{shown} took the nearest value rather than {method.value}: flags, categories "
        "and counts have no values in between."
    )


def _names(
    crs: "CRS", variables: Sequence[PlannedVariable], sources: Sequence[SourceGrid | Swath]
) -> tuple[str, str]:
    """Full paths of the target's (row, column) dimensions."""
    names = ("/lat", "/lon") if crs.is_geographic else ("/y", "/x")
    names = ("/rlat", "/rlon") if crs.is_geographic and crs.is_derived else names
    y, x = (_free(name, variables, sources) for name in names)
    return y, x


def _free(
    path: str, variables: Sequence[PlannedVariable], sources: Sequence[SourceGrid | Swath]
) -> str:
    """`path`, or one like it that nothing in the output is called."""
    replaced = {dimension for own in sources for dimension in own.dimensions}
    taken = {name_of(own.path) for own in variables}
    taken |= {name_of(d) for own in variables for d in own.dimensions if d not in replaced}
    while name_of(path) in taken:
        path += "_target"
    return path


def _around(extent: Extent, crs: "CRS", box: BoundingBox | None) -> BoundingBox:
    """The box in degrees around an extent, inside the one that was asked for."""
    x0, y0, x1, y1 = extent
    from_greenwich = crs.prime_meridian is None or not crs.prime_meridian.longitude
    if crs.is_geographic and not crs.is_derived and from_greenwich:
        west, south, east, north = extent
    else:
        way = transformation(crs.to_wkt(), DEGREES)
        west, south, east, north = way.transform_bounds(x0, y0, x1, y1, densify_pts=_DENSE)
        # Sides may lie off the Earth where the middle does not.
        xs, ys = (low + (high - low) * _INNER for low, high in ((x0, x1), (y0, y1)))
        inner = np.meshgrid(xs, ys)
        lon, lat = (own[np.isfinite(own)] for own in way.transform(*inner))
        if lat.size:
            south, north = (float(np.nanmin([south, lat.min()])),
                            float(np.nanmax([north, lat.max()])))  # fmt: skip
        span = (east - west) % 360.0 or 360.0
        if not math.isfinite(span) or ((lon - west) % 360.0 > span + 1e-6).any():
            west, east = -180.0, 180.0
    if not all(map(math.isfinite, (west, south, east, north))):
        west, south, east, north = -180.0, -90.0, 180.0, 90.0
    south, north = max(south, -90.0), min(north, 90.0)
    if west >= -720.0 and east <= 720.0 and south <= north:
        found = BoundingBox(west, south, east, north)
    else:
        found = BoundingBox(-180.0, -90.0, 180.0, 90.0)
    if box is None:
        return found
    south, north = max(box.south, found.south), min(box.north, found.north)
    if south > north:
        south, north = max(box.south, -90.0), min(box.north, 90.0)
    narrow = box.width < found.width
    return BoundingBox(
        box.west if narrow else found.west, south, box.east if narrow else found.east, north
    )


def replaced_paths(
    variables: Sequence[PlannedVariable],
    axes: Collection[str],
    sources: Sequence[SourceGrid | Swath],
    hierarchy: Hierarchy,
) -> tuple[frozenset[str], list[str]]:
    """What an output on another grid does not hold, and remarks on what the user will miss.

    Coordinates of the store's grid, their bounds and its reference system go without a word; other
    variables along one of its dimensions alone are named.

    **Reads:** nothing.
    """
    gone: set[str] = set()
    missed: list[str] = []
    horizontal = {path for path in axes if _is_horizontal(path, sources, hierarchy)}
    placing = _placing(horizontal, variables, hierarchy)
    for own in variables:
        raw = hierarchy.variables[own.path]
        along = [{*grid.dimensions} & {*own.dimensions} for grid in sources]
        partial = any(
            0 < len(common) < len(grid.dimensions)
            for grid, common in zip(sources, along, strict=True)
        )
        twice = raw.ndim == 2 and any(along) and _is_place(raw.attrs)
        if own.path in placing or "grid_mapping_name" in raw.attrs or twice:
            gone.add(own.path)
        elif partial:
            gone.add(own.path)
            if own.role is Role.REQUESTED:
                missed.append(own.path)
    notes = [
        f"{path.lstrip('/')} lies along rows or columns of the store's grid alone and is left out."
        for path in missed
    ]
    return frozenset(gone), notes


def _placing(
    horizontal: Collection[str], variables: Sequence[PlannedVariable], hierarchy: Hierarchy
) -> set[str]:
    """The paths of `horizontal` coordinates, of grid mappings, and of the bounds of both."""
    mappings = {
        found
        for own in variables
        for name in grid_mapping_names(
            str(hierarchy.variables[own.path].attrs.get("grid_mapping", ""))
        )
        if (found := hierarchy.resolve(name, group_of(own.path))) is not None
    }
    placing = {*horizontal, *mappings}
    placing -= {path for path in placing if _is_moments(hierarchy.variables[path])}
    bounds = {
        found
        for path in placing
        if (name := hierarchy.variables[path].attrs.get("bounds")) is not None
        and (found := hierarchy.resolve(str(name), group_of(path))) is not None
    }
    return placing | bounds


def _is_horizontal(path: str, sources: Sequence[SourceGrid | Swath], hierarchy: Hierarchy) -> bool:
    along = {*hierarchy.dimensions(path)}
    return bool(along) and any(along <= {*own.dimensions} for own in sources)


def _is_moments(variable: xr.Variable) -> bool:
    """Whether it holds a time for each cell, which is a value like others."""
    return variable.ndim > 1 and has_time_units(variable)


def _is_place(attributes: object) -> bool:
    assert isinstance(attributes, dict)
    return str(attributes.get("standard_name", "")) in ("latitude", "longitude")
