"""Decides the target grid of a plan, and which variables go onto it how."""

import math
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from harmony_vds.errors import RequestError, UnsupportedError
from harmony_vds.model.extent import BoundingBox
from harmony_vds.model.paths import group_of, name_of
from harmony_vds.model.plan import PlannedVariable, Role
from harmony_vds.model.request import TargetGrid
from harmony_vds.model.target import Resampling, SourceGrid, TargetPlan, is_blendable
from harmony_vds.model.warp import DEGREES, transformation
from harmony_vds.planning.hierarchy import Hierarchy
from harmony_vds.planning.resampling import resampling_of
from harmony_vds.planning.target_crs import target_crs
from harmony_vds.planning.target_grid import Cells, Extent, checked, completed
from harmony_vds.planning.variables import grid_mapping_names

if TYPE_CHECKING:
    from pyproj import CRS

_DENSE = 51
"""Points along the sides of a box when it is transformed."""
_SHOWN = 6


def plan_target(
    asked: TargetGrid,
    sources: Sequence[SourceGrid],
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
    if not sources:
        raise UnsupportedError(
            "Nothing of what was asked for lies on a grid that can be put on another; swaths, "
            "tracks and curvilinear grids cannot. Ask without "
            "outputCrs, scaleExtent, scaleSize, width, height and grid."
        )
    for own in sources:
        _refuse_disorder(own)
    crs = target_crs(asked.crs or sources[0].crs or "EPSG:4326")
    asked = checked(asked, degrees=crs.is_geographic)
    method = resampling_of(asked.interpolation)
    default, notes = _default(asked, crs, sources, box)
    cells = completed(asked, default, fixed=box is not None)
    picked = _picked(method, variables, sources, hierarchy)
    if picked:
        shown = ", ".join(path.lstrip("/") for path in sorted(picked)[:_SHOWN])
        more = f" and {len(picked) - _SHOWN} more" if len(picked) > _SHOWN else ""
        notes.append(
            f"{shown}{more} took the nearest value rather than {method.value}: flags, categories "
            "and counts have no values in between."
        )
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


def _default(
    asked: TargetGrid, crs: "CRS", sources: Sequence[SourceGrid], box: BoundingBox | None
) -> tuple[Cells, list[str]]:
    """The grid without any demand but for the reference system, and remarks on it."""
    if asked.scale_extent is not None and (
        asked.scale_size is not None or (asked.width is not None and asked.height is not None)
    ):
        x0, y0, x1, y1 = asked.scale_extent
        return Cells(x0, y1, x1 - x0, y1 - y0, 1, 1), []
    notes: list[str] = []
    found = [_suggested(own, crs, notes) for own in sources]
    extents = np.array([own.extent for own in found])
    wide, tall = min(own.width for own in found), min(own.height for own in found)
    extent = (*extents[:, :2].min(axis=0).tolist(), *extents[:, 2:].max(axis=0).tolist())
    if box is not None:
        extent = _of_box(box, crs, found[0] if _is_own(sources[0], crs) else None)
    elif len(found) == 1:
        return found[0], notes
    x0, y0, x1, y1 = extent
    columns, rows = max(1, round((x1 - x0) / wide)), max(1, round((y1 - y0) / tall))
    return Cells(x0, y1, (x1 - x0) / columns, (y1 - y0) / rows, columns, rows), notes


def _is_own(source: SourceGrid, crs: "CRS") -> bool:
    from pyproj import CRS

    return bool(CRS.from_user_input(source.crs or "EPSG:4326").equals(crs, ignore_axis_order=True))


def _suggested(source: SourceGrid, crs: "CRS", notes: list[str]) -> Cells:
    """The grid that GDAL suggests for what is kept of `source`, inside the system's own area."""
    x0, y0, x1, y1 = source.bounds
    wide, tall = abs(source.x.step) or 1.0, abs(source.y.step) or 1.0
    if _is_own(source, crs):
        rows, columns = source.shape
        return Cells(x0, y1, (x1 - x0) / columns, (y1 - y0) / rows, columns, rows)
    if not source.crs:
        y0, y1 = max(y0, -90.0), min(y1, 90.0)
        x0, y0, x1, y1 = _in_use((x0, y0, x1, y1), crs, notes)
    from rasterio.errors import CRSError
    from rasterio.warp import calculate_default_transform

    try:
        transform, columns, rows = calculate_default_transform(
            source.crs or "EPSG:4326", crs.to_wkt(), max(1, round((x1 - x0) / wide)),
            max(1, round((y1 - y0) / tall)), left=x0, bottom=y0, right=x1, top=y1,
        )  # fmt: skip
    except (CRSError, ValueError, RuntimeError) as error:
        raise _no_default(crs) from error
    if columns is None or rows is None or not all(map(math.isfinite, transform)):
        raise _no_default(crs)
    return Cells(transform.c, transform.f, transform.a, -transform.e, columns, rows)


def _no_default(crs: "CRS") -> RequestError:
    return RequestError(
        f"The store's grid has no sensible place in {crs.name}. Give the extent of the target "
        "(scaleExtent=x min,y min,x max,y max) in units of that system."
    )


def _in_use(extent: Extent, crs: "CRS", notes: list[str]) -> Extent:
    """The part of an extent in degrees for which the reference system was made."""
    area = crs.area_of_use
    if area is None:
        return extent
    x0, y0, x1, y1 = extent
    width = area.east - area.west if area.east > area.west else area.east - area.west + 360.0
    if x1 - x0 >= 360.0 - 1e-6:
        west, east = (x0, x1) if width >= 360.0 else (area.west, area.west + width)
    else:
        shift = min((-360.0, 0.0, 360.0), key=lambda own: abs(
            area.west + width / 2 + own - (x0 + x1) / 2))  # fmt: skip
        west, east = max(x0, area.west + shift), min(x1, area.west + width + shift)
    south, north = max(y0, area.south), min(y1, area.north)
    if west >= east or south >= north:
        return extent
    if (west, south, east, north) != extent:
        notes.append(
            f"The output ends where {crs.name} is meant to be used, at "
            f"{BoundingBox(area.west, area.south, area.east, area.north)}; ask with scaleExtent "
            "for another part."
        )
    return west, south, east, north


def _of_box(box: BoundingBox, crs: "CRS", own: Cells | None) -> Extent:
    """The extent of a box in degrees; outward to the edges of cells where they are the store's."""
    if own is None:
        found = _bounds(box, crs)
        if not all(map(math.isfinite, found)) or found[0] >= found[2] or found[1] >= found[3]:
            raise _no_default(crs)
        return found
    x0, y0, x1, _ = own.extent
    west = box.west + 360.0 * round(((x0 + x1) - (2 * box.west + box.width)) / 720.0)
    first, last = ((west - x0) / own.width, (west + box.width - x0) / own.width)
    low, high = ((box.south - y0) / own.height, (box.north - y0) / own.height)
    begin, end = _outward(first, last, own.columns)
    bottom, top = _outward(low, high, own.rows)
    return (
        x0 + begin * own.width, y0 + bottom * own.height,
        x0 + end * own.width, y0 + top * own.height,
    )  # fmt: skip


def _bounds(box: BoundingBox, crs: "CRS") -> Extent:
    """The extent of a box in degrees, which runs on across the antimeridian if that is a line."""
    way = transformation("", crs.to_wkt())
    south, north = max(box.south, -90.0), min(box.north, 90.0)
    area = crs.area_of_use
    if area is not None and max(south, area.south) < min(north, area.north):
        south, north = max(south, area.south), min(north, area.north)
    south, north = (south, north) if north > south else (south - 1e-6, south + 1e-6)
    longitudes = box.west + np.linspace(0.0, max(box.width, 1e-6), _DENSE)
    lower, upper = (way.transform(longitudes, np.full(_DENSE, own)) for own in (south, north))
    edge = np.array(way.transform([-180 + 1e-9, 180 - 1e-9], [(south + north) / 2] * 2)[0])
    if np.allclose(lower[0], upper[0], rtol=0, atol=1e-6) and np.isfinite(edge).all():
        world = float(edge[1] - edge[0])
        xs = lower[0] + world * np.concatenate([[0], np.cumsum(np.diff(lower[0]) < 0)])
        return float(xs[0]), float(min(lower[1])), float(xs[-1]), float(max(upper[1]))
    x0, y0, x1, y1 = way.transform_bounds(
        box.west, south, box.west + max(box.width, 1e-6), north, densify_pts=_DENSE
    )
    return float(x0), float(y0), float(x1), float(y1)


def _outward(low: float, high: float, size: int) -> tuple[int, int]:
    begin = min(max(math.floor(low + 1e-6), 0), size - 1)
    return begin, max(min(math.ceil(high - 1e-6), size), begin + 1)


def _picked(
    method: Resampling,
    variables: Iterable[PlannedVariable],
    sources: Sequence[SourceGrid],
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


def _names(
    crs: "CRS", variables: Sequence[PlannedVariable], sources: Sequence[SourceGrid]
) -> tuple[str, str]:
    """Full paths of the target's (row, column) dimensions."""
    names = ("/lat", "/lon") if crs.is_geographic else ("/y", "/x")
    y, x = (_free(name, variables, sources) for name in names)
    return y, x


def _free(path: str, variables: Sequence[PlannedVariable], sources: Sequence[SourceGrid]) -> str:
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
    if crs.is_geographic:
        west, south, east, north = extent
    else:
        way = transformation(crs.to_wkt(), DEGREES)
        west, south, east, north = way.transform_bounds(x0, y0, x1, y1, densify_pts=_DENSE)
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
    sources: Sequence[SourceGrid],
    hierarchy: Hierarchy,
) -> tuple[frozenset[str], list[str]]:
    """What an output on another grid does not hold, and remarks on what the user will miss.

    Coordinates of the store's grid, their bounds and its reference system go without a word; other
    variables along one of its dimensions alone are named.

    **Reads:** nothing.
    """
    gone: set[str] = set()
    missed: list[str] = []
    mappings = {
        found
        for own in variables
        for name in grid_mapping_names(
            str(hierarchy.variables[own.path].attrs.get("grid_mapping", ""))
        )
        if (found := hierarchy.resolve(name, group_of(own.path))) is not None
    }
    placing = {path for path in axes if _is_horizontal(path, sources, hierarchy)} | mappings
    bounds = {
        found
        for path in placing
        if (name := hierarchy.variables[path].attrs.get("bounds")) is not None
        and (found := hierarchy.resolve(str(name), group_of(path))) is not None
    }
    for own in variables:
        raw = hierarchy.variables[own.path]
        along = [{*grid.dimensions} & {*own.dimensions} for grid in sources]
        partial = any(len(common) == 1 for common in along)
        twice = raw.ndim == 2 and any(along) and _is_place(raw.attrs)
        if own.path in placing | bounds or "grid_mapping_name" in raw.attrs or twice:
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


def _is_horizontal(path: str, sources: Sequence[SourceGrid], hierarchy: Hierarchy) -> bool:
    along = {*hierarchy.dimensions(path)}
    return bool(along) and any(along <= {*own.dimensions} for own in sources)


def _is_place(attributes: object) -> bool:
    assert isinstance(attributes, dict)
    return str(attributes.get("standard_name", "")) in ("latitude", "longitude")
