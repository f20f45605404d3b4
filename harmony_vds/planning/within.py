"""Which cells of a grid of any kind a geometry holds.

Edge rules. A cell is in when its centre lies in an area or on its edge, to within the precision to
which the store's data type states coordinates; a centre at a pole lies on every meridian. A part of
a shape that holds no centre (an island smaller than a cell, say; two halves at the antimeridian are
one part), a line, a point, and an area that
is nowhere wider than `THIN` (a line or point drawn as an area, as Harmony draws those of EDR
requests) takes every cell that it touches. The positions of a track have no extent: nothing touches
them. Cells without a place are never in.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import shapely

from harmony_vds.model.grid import Grid, GridKind
from harmony_vds.planning.meeting import Boxes, Flags, Floats, meeting
from harmony_vds.planning.outlines import cells_touched
from harmony_vds.planning.places import centres
from harmony_vds.planning.plane import on_plane
from harmony_vds.planning.spatial import half_widths

type Positions = npt.NDArray[np.int64]
type Parts = npt.NDArray[np.object_]

THIN = 2e-4
"""Degrees; Harmony draws lines and points 1e-4 degrees wide."""
_ARITHMETIC = 1e-9
"""Degrees: well above the rounding of sums of angles, far below any cell."""
_AT_ONCE = 2**21
"""Cells whose places are worked out together."""


def inside(grid: Grid, rows: Positions, columns: Positions, geometry: shapely.Geometry) -> Flags:
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
    numpy.ndarray
        Shape (r, c); of a track (r,).

    **Reads:** nothing.
    """
    return parts_inside(grid, rows, columns, singles(geometry))


def parts_inside(grid: Grid, rows: Positions, columns: Positions, parts: Parts) -> Flags:
    """As `inside`, for single geometries at once. **Reads:** nothing."""
    track = grid.kind is GridKind.TRACK
    across = np.zeros(1, np.int64) if track else columns
    found = np.zeros((rows.size, across.size), np.bool_)
    if found.size:
        flat = shapely.get_dimensions(parts) < 2
        useful = np.zeros(parts.size, np.bool_)
        for block, boxes, reach in _centre_boxes(grid, rows, across):
            own, held = meeting_all_turns(parts[~flat], boxes, reach)
            found[block] = own & np.isfinite(boxes.west + boxes.south)  # those that have a place
            useful[~flat] |= held
        wholes = _wholes(parts)
        held = np.isin(wholes, wholes[useful])
        left = parts[flat | are_thin(parts) | ~held]
        if left.size and not track:
            found |= _touched(grid, rows, across, left)
    return found[:, 0] if track else found


def layers_inside(grid: Grid, parts: Parts) -> Flags:
    """Which cells of a grid whose places have any number of dimensions hold `parts`.

    Those of more than two dimensions are swaths, one after another. **Reads:** nothing.
    """
    if grid.kind is GridKind.TRACK:
        return parts_inside(grid, np.arange(grid.shape[0]), np.empty(0, np.int64), parts)
    x, y = (axis.values.reshape(-1, *grid.shape[-2:]) for axis in (grid.x, grid.y))
    layers = [
        replace(
            grid, x=replace(grid.x, values=east), y=replace(grid.y, values=north),
            dimensions=grid.dimensions[-2:],
        ) for east, north in zip(x, y, strict=True)
    ]  # fmt: skip
    down, across = (np.arange(size) for size in grid.shape[-2:])
    found = [parts_inside(own, down, across, parts) for own in layers]
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


def _centre_boxes(
    grid: Grid, rows: Positions, columns: Positions
) -> Iterator[tuple[slice, Boxes, float]]:
    """Boxes as small as centres are uncertain, for some rows after others, and how far they go."""
    if grid.kind is GridKind.RECTILINEAR:
        x, y = turned(grid.x.values[columns])[None, :], grid.y.values[rows][:, None]
        wide, tall = (max(axis.resolution, _ARITHMETIC) for axis in (grid.x, grid.y))
        yield slice(0, rows.size), Boxes(x - wide, y - tall, x + wide, y + tall), wide
        return
    projected = grid.kind is GridKind.PROJECTED
    exactness = 0.0 if projected else max(grid.x.resolution, grid.y.resolution)
    reach = max(exactness, _ARITHMETIC)
    step = max(_AT_ONCE // columns.size, 1)
    for start in range(0, rows.size, step):
        block = slice(start, min(start + step, rows.size))
        x, y = (own.reshape(-1, columns.size) for own in centres(grid, rows[block], columns))
        polar = np.abs(y) >= 90.0 - reach
        west, east = np.where(polar, -180.0, x - reach), np.where(polar, 180.0, x + reach)
        yield block, Boxes(west, y - reach, east, y + reach), reach


def _touched(grid: Grid, rows: Positions, columns: Positions, parts: Parts) -> Flags:
    """The cells that any of `parts` touches."""
    if grid.kind is GridKind.CURVILINEAR:
        return cells_touched(grid, rows, columns, parts)
    x, y = grid.x.values[columns], grid.y.values[rows]
    turn = 360.0 if grid.kind is GridKind.RECTILINEAR else None
    below, above = (own[columns] for own in half_widths(grid.x.values, grid.x.bounds, turn))
    under, over = (own[rows] for own in half_widths(grid.y.values, grid.y.bounds))
    if grid.kind is GridKind.PROJECTED:
        cells = Boxes((x - below)[None], (y - under)[:, None], (x + above)[None],
                      (y + over)[:, None])  # fmt: skip
        return meeting(on_plane(grid, parts), cells)[0]
    x = turned(x)
    south, north = np.maximum(y - under, -90.0)[:, None], np.minimum(y + over, 90.0)[:, None]
    cells = Boxes((x - below)[None], south, (x + above)[None], north)
    return meeting_all_turns(parts, cells, float(max(below.max(), above.max())))[0]


def meeting_all_turns(parts: Parts, boxes: Boxes, reach: float) -> tuple[Flags, Flags]:
    """As `meeting`, for boxes that reach at most `reach` degrees beyond [-180, 180].

    **Reads:** nothing.
    """
    if not parts.size:
        return np.zeros(boxes.shape, np.bool_), np.zeros(0, np.bool_)
    bounds = shapely.bounds(parts)
    owners, everywhere = [np.arange(parts.size)], [parts]
    for near, by in (
        (bounds[:, 0] <= reach - 180.0, 360.0), (bounds[:, 2] >= 180.0 - reach, -360.0)
    ):  # fmt: skip
        shift = np.array([by, 0.0])
        moved = shapely.transform(parts[near], lambda own, shift=shift: own + shift)
        owners.append(np.flatnonzero(near))
        everywhere.append(np.asarray(moved, object))
    found, useful = meeting(np.concatenate(everywhere), boxes)
    any_turn = np.zeros(parts.size, np.bool_)
    any_turn[np.concatenate(owners)[useful]] = True
    return found, any_turn


def turned(longitudes: Floats) -> Floats:
    """Longitudes in [-180, 180). **Reads:** nothing."""
    within = (longitudes >= -180.0) & (longitudes < 180.0)
    return np.where(within, longitudes, np.mod(longitudes + 180.0, 360.0) - 180.0)
