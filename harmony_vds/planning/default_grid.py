"""The target grid that stands where a request states none: that of the store, or as large as it."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from harmony_vds.errors import RequestError
from harmony_vds.model.extent import BoundingBox
from harmony_vds.model.maps import transformation
from harmony_vds.model.request import TargetGrid
from harmony_vds.model.swath import Swath
from harmony_vds.model.target import SourceGrid
from harmony_vds.planning.default_mesh import is_cut, is_torn, mesh_cells, mesh_of
from harmony_vds.planning.target_grid import Cells, Extent

if TYPE_CHECKING:
    from pyproj import CRS

_DENSE = 51
"""Points along the sides of a box when it is transformed."""
_FINER = 4.0
"""Cells that a target may have by default for each of the store's."""


def default_cells(
    asked: TargetGrid, crs: "CRS", sources: Sequence[SourceGrid | Swath], box: BoundingBox | None
) -> tuple[Cells, list[str]]:
    """The grid without any demand but for the reference system, and remarks on it.

    Where the request says it all, what comes back is of no account but for its extent.

    Raises
    ------
    RequestError
        The store's grid has no sensible place in the reference system.

    **Reads:** nothing.
    """
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
    elif len(found) == 1 and not _is_sized(asked):
        return found[0], notes
    x0, y0, x1, y1 = extent
    if crs.is_geographic and _is_sized(asked):  # rows of the store may have a pole in the middle
        y0, y1 = max(y0, -90.0), min(y1, 90.0)
    columns, rows = max(1, round((x1 - x0) / wide)), max(1, round((y1 - y0) / tall))
    return Cells(x0, y1, (x1 - x0) / columns, (y1 - y0) / rows, columns, rows), notes


def _is_sized(asked: TargetGrid) -> bool:
    return any(own is not None for own in (asked.scale_size, asked.width, asked.height))


def _is_own(source: SourceGrid | Swath, crs: "CRS") -> bool:
    from pyproj import CRS

    return isinstance(source, SourceGrid) and bool(
        CRS.from_user_input(source.crs or "EPSG:4326").equals(crs, ignore_axis_order=True)
    )


def _suggested(source: SourceGrid | Swath, crs: "CRS", notes: list[str]) -> Cells:
    """The grid that GDAL suggests for what is kept of `source`, inside the system's own area.

    GDAL takes the map for one piece; where it is not, the places of cells tell.
    """
    if isinstance(source, SourceGrid) and _is_own(source, crs):
        x0, y0, x1, y1 = source.bounds
        rows, columns = source.shape
        return Cells(x0, y1, (x1 - x0) / columns, (y1 - y0) / rows, columns, rows)
    if isinstance(source, Swath) or _is_torn(source, crs):
        cells = mesh_cells(mesh_of(source), crs, notes)
        if cells is None:
            raise _no_default(crs)
        return cells
    x0, y0, x1, y1 = source.bounds
    wide, tall = abs(source.x.step) or 1.0, abs(source.y.step) or 1.0
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
    size_x, size_y = transform.a, -transform.e
    most = _FINER * max(1.0, (x1 - x0) / wide * (y1 - y0) / tall)
    if columns * rows > most:  # too fine by far, as where a pole is a side of the store's grid
        coarser = math.sqrt(columns * rows / most)
        fewer = (max(1, round(own / coarser)) for own in (columns, rows))
        size_x, size_y, columns, rows = _spread(size_x * columns, size_y * rows, *fewer)
    return Cells(transform.c, transform.f, size_x, size_y, columns, rows)


def _is_torn(source: SourceGrid, crs: "CRS") -> bool:
    """Whether GDAL would take two edges of a map, or places that have none on it, for the middle.

    Of degrees that go round, and of those that the system's own area cuts, it does not: they are
    cut before.
    """
    mesh = mesh_of(source)
    return is_torn(mesh, crs) if source.crs else not source.x.is_round and is_cut(mesh, crs)


def _spread(width: float, height: float, columns: int, rows: int) -> tuple[float, float, int, int]:
    return width / columns, height / rows, columns, rows


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
    if own is None or crs.is_projected or crs.is_derived:
        found = _bounds(box, crs)
        is_usable = all(map(math.isfinite, found)) and found[0] < found[2] and found[1] < found[3]
        if own is None and not is_usable:
            raise _no_default(crs)
        if own is None:
            return found
        west, south, east, north = found if is_usable else own.extent
    else:
        x0, _, x1, _ = own.extent
        west = box.west + 360.0 * round(((x0 + x1) - (2 * box.west + box.width)) / 720.0)
        south, east, north = box.south, west + box.width, box.north
    x0, y0, _, _ = own.extent
    begin, end = _outward((west - x0) / own.width, (east - x0) / own.width, own.columns)
    bottom, top = _outward((south - y0) / own.height, (north - y0) / own.height, own.rows)
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
