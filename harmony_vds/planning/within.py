"""Which cells of a grid of any kind a geometry holds.

Edge rules. A cell is in when its centre lies in an area or on its edge, to within the precision to
which the store's data type states coordinates; a centre at a pole lies on every meridian. A part of
a shape that holds no centre (an island smaller than a cell, say; two halves at the antimeridian are
one part), a line, a point, and an area that
is nowhere wider than `THIN` (a line or point drawn as an area, as Harmony draws those of EDR
requests) takes every cell that it touches. The positions of a track have no extent: nothing touches
them. Cells without a place are never in.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import shapely

from harmony_vds.model.arrays import Flags, Floats, Positions
from harmony_vds.model.cell_set import CellSet
from harmony_vds.model.grid import Grid, GridKind
from harmony_vds.planning.meeting import Boxes, meeting
from harmony_vds.planning.outlines import cells_touched
from harmony_vds.planning.places import centres
from harmony_vds.planning.plane import on_plane
from harmony_vds.planning.spatial import half_widths

type Parts = npt.NDArray[np.object_]

THIN = 2e-4
"""Degrees; Harmony draws lines and points 1e-4 degrees wide."""
_ARITHMETIC = 1e-9
"""Degrees: well above the rounding of sums of angles, far below any cell."""


def inside(grid: Grid, rows: Positions, columns: Positions, geometry: shapely.Geometry) -> CellSet:
    """Which cells at `rows` and `columns` of `grid` are in `geometry`, by the edge rules above.

    Parameters
    ----------
    grid
        Where the cells lie.
    rows, columns
        Their positions, in any order; shapes (r,) and (c,). Of a track, `rows` are its positions
        and `columns` are of no account. Whether a part holds a centre is judged by these cells.
    geometry
        Of a `harmony_vds.model.shape.Feature`: degrees, longitudes in [-180, 180].

    Returns
    -------
    CellSet
        Of the shape (r, c); of a track (r, 1).

    **Reads:** nothing.
    """
    return parts_inside(grid, rows, columns, singles(geometry))


def parts_inside(grid: Grid, rows: Positions, columns: Positions, parts: Parts) -> CellSet:
    """As `inside`, for single geometries at once. **Reads:** nothing."""
    track = grid.kind is GridKind.TRACK
    across = np.zeros(1, np.int64) if track else columns
    flat = shapely.get_dimensions(parts) < 2
    reach, useful = _reach(grid), np.zeros(parts.size, np.bool_)
    areas = AllTurns.of(parts[~flat], reach)

    def by_centres(own: slice) -> Flags:
        boxes = _centre_boxes(grid, rows[own], across, reach)
        found, held = areas.meeting(boxes)
        useful[~flat] |= held
        return found & np.isfinite(boxes.west + boxes.south)  # those that have a place

    found = CellSet.in_bands((rows.size, across.size), by_centres)
    if not found.size:
        return found
    wholes = _wholes(parts)
    held = np.isin(wholes, wholes[useful])
    left = parts[flat | are_thin(parts) | ~held]
    if not left.size or track:
        return found
    touching = _touching(grid, across, left)
    return CellSet.in_bands(
        found.shape, lambda own: found.part((own, slice(None))) | touching(rows[own])
    )


def layers_inside(grid: Grid, parts: Parts) -> Flags:
    """Which cells of a grid whose places have any number of dimensions hold `parts`.

    Those of more than two dimensions are swaths, one after another. **Reads:** nothing.
    """
    if grid.kind is GridKind.TRACK:
        positions = np.arange(grid.shape[0])
        return parts_inside(grid, positions, np.empty(0, np.int64), parts).flags[:, 0]
    x, y = (axis.values.reshape(-1, *grid.shape[-2:]) for axis in (grid.x, grid.y))
    layers = [
        replace(
            grid, x=replace(grid.x, values=east), y=replace(grid.y, values=north),
            dimensions=grid.dimensions[-2:],
        ) for east, north in zip(x, y, strict=True)
    ]  # fmt: skip
    down, across = (np.arange(size) for size in grid.shape[-2:])
    found = [parts_inside(own, down, across, parts).flags for own in layers]
    return np.stack(found).reshape(grid.shape)


def singles(geometry: shapely.Geometry) -> Parts:
    """The areas, lines and points that a geometry consists of. **Reads:** nothing."""
    return np.asarray(shapely.get_parts(shapely.get_parts(geometry)), object)


def are_thin(parts: Parts) -> Flags:
    """Areas of a mean width up to `THIN`. **Reads:** nothing."""
    around = shapely.length(parts)
    return np.asarray(2.0 * shapely.area(parts) / np.where(around > 0, around, 1.0) <= THIN)


def _wholes(parts: Parts) -> npt.NDArray[np.int64]:
    """A number for each part, the same for those that the antimeridian alone parts."""
    bounds = shapely.bounds(parts)
    numbers = np.arange(parts.size)
    east = np.flatnonzero(bounds[:, 2] >= 180.0 - _ARITHMETIC)
    west = np.flatnonzero(bounds[:, 0] <= _ARITHMETIC - 180.0)
    if east.size and west.size:
        turn = np.array([360.0, 0.0])
        moved = shapely.transform(parts[west], lambda own: own + turn)
        near, found = shapely.STRtree(moved).query(parts[east], "dwithin", _ARITHMETIC)
        for one, other in zip(numbers[east[near]], west[found], strict=True):
            numbers[numbers == numbers[other]] = numbers[one]
    return numbers


def _reach(grid: Grid) -> float:
    """How far centres are uncertain, degrees."""
    projected = grid.kind is GridKind.PROJECTED
    return max(0.0 if projected else max(grid.x.resolution, grid.y.resolution), _ARITHMETIC)


def _centre_boxes(grid: Grid, rows: Positions, columns: Positions, reach: float) -> Boxes:
    """Boxes as small as centres are uncertain."""
    if grid.kind is GridKind.RECTILINEAR:
        x, y = turned(grid.x.values[columns])[None, :], grid.y.values[rows][:, None]
        wide, tall = (max(axis.resolution, _ARITHMETIC) for axis in (grid.x, grid.y))
        return Boxes(x - wide, y - tall, x + wide, y + tall)
    x, y = (own.reshape(-1, columns.size) for own in centres(grid, rows, columns))
    polar = np.abs(y) >= 90.0 - reach
    west, east = np.where(polar, -180.0, x - reach), np.where(polar, 180.0, x + reach)
    return Boxes(west, y - reach, east, y + reach)


def _touching(grid: Grid, columns: Positions, parts: Parts) -> Callable[[Positions], Flags]:
    """Tells, for some rows, the cells that any of `parts` touches."""
    if grid.kind is GridKind.CURVILINEAR:
        return lambda rows: cells_touched(grid, rows, columns, parts)
    turn = 360.0 if grid.kind is GridKind.RECTILINEAR else None
    x = grid.x.values[columns]
    below, above = (own[columns] for own in half_widths(grid.x.values, grid.x.bounds, turn))
    under, over = half_widths(grid.y.values, grid.y.bounds)
    if grid.kind is GridKind.PROJECTED:
        flat = on_plane(grid, parts)

        def on_map(rows: Positions) -> Flags:
            y = grid.y.values[rows]
            south, north = (y - under[rows])[:, None], (y + over[rows])[:, None]
            return meeting(flat, Boxes((x - below)[None], south, (x + above)[None], north))[0]

        return on_map
    x = turned(x)
    round_about = AllTurns.of(parts, float(max(below.max(), above.max())))

    def on_globe(rows: Positions) -> Flags:
        y = grid.y.values[rows]
        south, north = np.maximum(y - under[rows], -90.0), np.minimum(y + over[rows], 90.0)
        cells = Boxes((x - below)[None], south[:, None], (x + above)[None], north[:, None])
        return round_about.meeting(cells)[0]

    return on_globe


@dataclass(frozen=True, eq=False)
class AllTurns:
    """Parts, and again one turn east or west where boxes beyond [-180, 180] may meet them."""

    parts: Parts
    """In every turn."""
    owners: npt.NDArray[np.int64]
    """Which part each of them is."""
    count: int
    """Parts there are."""

    @classmethod
    def of(cls, parts: Parts, reach: float) -> "AllTurns":
        """For boxes that reach at most `reach` degrees beyond [-180, 180]. **Reads:** nothing."""
        bounds = shapely.bounds(parts).reshape(-1, 4)
        owners, everywhere = [np.arange(parts.size)], [parts]
        for near, by in (
            (bounds[:, 0] <= reach - 180.0, 360.0), (bounds[:, 2] >= 180.0 - reach, -360.0)
        ):  # fmt: skip
            shift = np.array([by, 0.0])
            moved = shapely.transform(parts[near], lambda own, shift=shift: own + shift)
            owners.append(np.flatnonzero(near))
            everywhere.append(np.asarray(moved, object))
        return cls(np.concatenate(everywhere), np.concatenate(owners), parts.size)

    def meeting(self, boxes: Boxes) -> tuple[Flags, Flags]:
        """As `harmony_vds.planning.meeting.meeting`, in every turn. **Reads:** nothing."""
        found, useful = meeting(self.parts, boxes)
        any_turn = np.zeros(self.count, np.bool_)
        any_turn[self.owners[useful]] = True
        return found, any_turn


def turned(longitudes: Floats) -> Floats:
    """Longitudes in [-180, 180). **Reads:** nothing."""
    within = (longitudes >= -180.0) & (longitudes < 180.0)
    return np.where(within, longitudes, np.mod(longitudes + 180.0, 360.0) - 180.0)
