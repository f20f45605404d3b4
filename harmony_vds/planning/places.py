"""Where the cells of a grid are: their centres and corners as longitudes and latitudes in degrees.

Longitudes lie in [-180, 180). Not-a-number stands where a cell has no place: outside of what its
projection shows, off the visible disk, or where the store holds no coordinates.
"""

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from harmony_vds.model.arrays import Floats
from harmony_vds.model.grid import Axis, Grid, GridKind
from harmony_vds.model.sphere import vectors
from harmony_vds.planning.crs import system_of
from harmony_vds.planning.spatial import half_widths

if TYPE_CHECKING:
    from pyproj import Transformer

type Places = tuple[Floats, Floats]
"""Longitudes and latitudes, degrees, of one shape."""
type Kept = npt.NDArray[np.int64] | slice
"""Positions along a dimension."""


def centres(grid: Grid, rows: Kept, columns: Kept) -> Places:
    """The centres of the cells at `rows` and `columns`.

    Returns
    -------
    tuple
        Longitudes and latitudes, each of shape (rows, columns); of a track (rows,), `columns` then
        being of no account.

    **Reads:** nothing.
    """
    x, y = grid.x.values, grid.y.values
    if grid.kind is GridKind.TRACK:
        return sound(x[rows], y[rows])
    if grid.kind is GridKind.CURVILINEAR:
        return sound(x[rows][:, columns], y[rows][:, columns])
    across, down = np.meshgrid(x[columns], y[rows])
    if grid.kind is GridKind.RECTILINEAR:
        return sound(across, down)
    return to_degrees(grid, across, down)


def corners(grid: Grid, rows: Kept, columns: Kept) -> Places:
    """The corners of the cells at `rows` and `columns`, which must each be one run of neighbours.

    Rectilinear and projected cells end where their bounds say, otherwise half-way to the next. Of
    curvilinear ones without a lattice of corners, a corner is the middle of the four centres around
    it; at the edge of the grid, as far outside as its neighbour lies inside.

    Returns
    -------
    tuple
        Longitudes and latitudes, each of shape (rows + 1, columns + 1).

    Raises
    ------
    ValueError
        The grid is a track, whose positions have no corners.

    **Reads:** nothing.
    """
    if grid.kind is GridKind.TRACK:
        raise ValueError("The positions of a track have no corners.")
    if grid.kind is GridKind.CURVILINEAR:
        down, across = np.arange(grid.shape[0])[rows], np.arange(grid.shape[1])[columns]
        if grid.lattice is not None and down.size and across.size:
            own = slice(down[0], down[-1] + 2), slice(across[0], across[-1] + 2)
            return grid.lattice[0][own], grid.lattice[1][own]
        return _middles(grid, down, across)
    turn = 360.0 if grid.kind is GridKind.RECTILINEAR else None
    x, y = edges(grid.x, columns, turn), edges(grid.y, rows)
    if grid.kind is GridKind.RECTILINEAR:
        return sound(*np.meshgrid(x, np.clip(y, -90.0, 90.0)))
    return to_degrees(grid, *np.meshgrid(x, y))


def edges(axis: Axis, kept: Kept, turn: float | None = None) -> Floats:
    """The edges of the cells at `kept`, one run of neighbours, in output order; shape (cells + 1,).

    **Reads:** nothing.
    """
    below, above = (own[kept] for own in half_widths(axis.values, axis.bounds, turn))
    values = axis.values[kept]
    if values.size == 0:
        return values
    steps = np.diff(values)
    if turn is not None:
        steps = steps - turn * np.round(steps / turn)
        values = values[0] + np.concatenate([[0.0], np.cumsum(steps)])
    if (steps < 0).any():
        below, above = -above, -below
    return np.concatenate([values - below, values[-1:] + above[-1:]])


def index_in(axis: Axis, values: Floats) -> npt.NDArray[np.int64]:
    """The cell along an axis that each value lies in; -1 outside. **Reads:** nothing."""
    own = edges(axis, slice(None))
    turned = own.size > 1 and own[0] > own[-1]
    ordered = own[::-1] if turned else own
    with np.errstate(invalid="ignore"):
        within = (values >= ordered[0]) & (values <= ordered[-1])
    found = np.searchsorted(ordered, np.where(within, values, ordered[0]), side="right") - 1
    found = np.clip(found, 0, axis.values.size - 1)
    found = axis.values.size - 1 - found if turned else found
    return np.where(within, found, -1).astype(np.int64)


def to_degrees(grid: Grid, x: Floats, y: Floats) -> Places:
    """Points of a projected grid, in units of its reference system, as degrees of WGS 84.

    A point that does not come back to itself has no place: beyond its edges, a map of the whole
    Earth repeats places that it shows elsewhere. Where x is a matter of longitude alone, it is the
    same place once more.

    **Reads:** nothing.
    """
    transformer = _transformer(grid.crs)
    longitudes, latitudes = transformer.transform(x, y)
    longitudes, latitudes = sound(np.asarray(longitudes), np.asarray(latitudes))
    if not _repeats(grid.crs):
        back = transformer.transform(longitudes, latitudes, direction="INVERSE")
        with np.errstate(invalid="ignore"):
            off = np.hypot(np.asarray(back[0]) - x, np.asarray(back[1]) - y)
            lost = ~(off <= _half_step(grid))
        longitudes, latitudes = (np.where(lost, np.nan, own) for own in (longitudes, latitudes))
    return longitudes, latitudes


def from_degrees(grid: Grid, longitudes: Floats, latitudes: Floats) -> Places:
    """Places as x and y of a projected grid; not-a-number where it does not show them.

    **Reads:** nothing.
    """
    x, y = _transformer(grid.crs).transform(longitudes, latitudes, direction="INVERSE")
    lost = ~(np.isfinite(x) & np.isfinite(y))
    return np.where(lost, np.nan, x), np.where(lost, np.nan, y)


@lru_cache(maxsize=16)
def _transformer(crs: str) -> "Transformer":
    from pyproj import Transformer

    return Transformer.from_crs(system_of(crs), "EPSG:4326", always_xy=True)


@lru_cache(maxsize=16)
def _repeats(crs: str) -> bool:
    """Whether x (or the rotated longitude) goes on in turns, whatever y is."""
    if system_of(crs).is_geographic:
        return True
    x, _ = _transformer(crs).transform([10.0] * 3, [0.0, 40.0, -60.0], direction="INVERSE")
    return bool(np.isfinite(x).all() and np.ptp(x) < 1e-3)


def _half_step(grid: Grid) -> float:
    steps = [np.abs(np.diff(axis.values)) for axis in (grid.x, grid.y) if axis.values.size > 1]
    return float(min((np.min(own) for own in steps), default=2.0)) / 2


def sound(longitudes: Floats, latitudes: Floats) -> Places:
    """Places with both numbers known and possible, longitudes within one turn.

    **Reads:** nothing.
    """
    with np.errstate(invalid="ignore"):
        known = np.isfinite(longitudes) & (np.abs(latitudes) <= 90.0 + 1e-6)
        within = (np.abs(longitudes) <= 720.0) & known
        turned = np.mod(np.where(within, longitudes, 0.0) + 180.0, 360.0) - 180.0
    clipped = np.clip(np.where(within, latitudes, 0.0), -90.0, 90.0)
    return np.where(within, turned, np.nan), np.where(within, clipped, np.nan)


def _middles(grid: Grid, rows: npt.NDArray[np.int64], columns: npt.NDArray[np.int64]) -> Places:
    """Corners half-way between centres, by way of the sphere: there is no seam and no pole."""
    down = np.clip(np.arange(rows[0] - 1, rows[-1] + 2), 0, grid.shape[0] - 1)
    across = np.clip(np.arange(columns[0] - 1, columns[-1] + 2), 0, grid.shape[1] - 1)
    around = vectors(*centres(grid, down, across))
    for axis, size in enumerate(grid.shape):
        kept = (rows, columns)[axis]
        around = _continued(np.moveaxis(around, axis, 0), kept[0] == 0, kept[-1] == size - 1)
        around = np.moveaxis(around, 0, axis)
    sums = around[:-1, :-1] + around[1:, :-1] + around[:-1, 1:] + around[1:, 1:]
    lengths = np.linalg.norm(sums, axis=-1)
    with np.errstate(invalid="ignore"):
        latitudes = np.degrees(np.arcsin(np.clip(sums[..., 2] / lengths, -1, 1)))
    return sound(np.degrees(np.arctan2(sums[..., 1], sums[..., 0])), latitudes)


def _continued(lines: Floats, first: np.bool, last: np.bool) -> Floats:
    """`lines` whose ends, where they stand beyond the grid, go on as the grid ended."""
    if len(lines) > 2 + (first and last):
        if first:
            lines[0] = 2 * lines[1] - lines[2]
        if last:
            lines[-1] = 2 * lines[-2] - lines[-3]
    return lines
