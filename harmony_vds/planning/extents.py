"""The box in degrees around cells of a grid whose rows do not follow parallels.

It goes around cells with their corners: only those at the rim of what is kept are asked for theirs,
since nothing inside reaches further, but for a pole. West may lie at any meridian, so that a region
across the antimeridian is small.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from harmony_vds.model.arrays import Flags, Floats, Positions
from harmony_vds.model.extent import BoundingBox
from harmony_vds.model.grid import Grid, GridKind
from harmony_vds.planning.places import centres, corners, edges, from_degrees, index_in, to_degrees

_ROWS = 256
"""Rows whose corners are worked out together."""
_NEAR_POLES = 60.0
"""Degrees of latitude from which on a cell may hold a pole."""
_ARITHMETIC = 1e-9


@dataclass
class _Reach:
    """How far cells reach, while they are looked at."""

    wests: list[Floats] = field(default_factory=list)
    """Western ends of the arcs that cells cover, degrees."""
    widths: list[Floats] = field(default_factory=list)
    """How far each arc runs eastward."""
    south: float = np.inf
    north: float = -np.inf
    poles: set[float] = field(default_factory=set)
    """Latitudes of poles that lie in a cell."""

    def add(
        self, longitudes: Floats, latitudes: Floats, around: list[tuple[Floats, Floats]]
    ) -> None:
        """Take in cells by their centres and, where known, corners in order; shapes (cells,)."""
        known = np.isfinite(longitudes)
        if not known.any():
            return
        away = [np.zeros(longitudes.shape)]
        heights = [latitudes]
        for east, north in around:
            away.append(np.nan_to_num(_turned(east - longitudes)))
            heights.append(np.where(np.isfinite(north), north, latitudes))
        west = np.min(away, axis=0)
        self.wests.append((longitudes + west)[known])
        self.widths.append((np.max(away, axis=0) - west)[known])
        self.south = min(self.south, float(np.min(heights, axis=0)[known].min()))
        self.north = max(self.north, float(np.max(heights, axis=0)[known].max()))
        if around:
            self._find_poles(latitudes, [east for east, _ in around])

    def _find_poles(self, latitudes: Floats, easts: list[Floats]) -> None:
        """A cell whose corners go once around the Earth has a pole inside."""
        following = [*easts[1:], easts[0]]
        turned = sum(_turned(b - a) for a, b in zip(easts, following, strict=True))
        with np.errstate(invalid="ignore"):
            polar = np.abs(turned) > 180.0
        self.poles |= {90.0 if own > 0 else -90.0 for own in latitudes[polar]}

    def box(self) -> BoundingBox | None:
        """The box around all; None where no place is known."""
        if not self.wests:
            return None
        west, width = _arc(np.concatenate(self.wests), np.concatenate(self.widths))
        if self.poles or width >= 360.0 - _ARITHMETIC:
            west, width = -180.0, 360.0
        south, north = min(self.south, *self.poles, 90.0), max(self.north, *self.poles, -90.0)
        return BoundingBox(round(west, 9), round(south, 9), round(west + width, 9), round(north, 9))


def extent(grid: Grid, kept: tuple[Positions, ...], inside: Flags) -> BoundingBox | None:
    """The box around the cells of `grid` at the positions `kept` that are `inside`.

    Parameters
    ----------
    grid
        Any but a rectilinear one.
    kept
        Positions along each dimension of the grid, ascending.
    inside
        Over them.

    Returns
    -------
    BoundingBox or None
        None where no cell that is inside has a place.

    **Reads:** nothing.
    """
    reach = _Reach()
    if grid.kind is GridKind.TRACK:
        reach.add(*centres(grid, kept[0][inside], slice(None)), [])
    elif grid.kind is GridKind.PROJECTED:
        _take_in_plane(reach, grid, kept, inside)
    else:
        for own, rows, columns, within in _sheets(grid, kept, inside):
            _take_in(reach, own, rows, columns, within)
    return reach.box()


def whole_extent(grid: Grid) -> BoundingBox | None:
    """The box around all cells of `grid`, any but a rectilinear one; None if none has a place.

    **Reads:** nothing.
    """
    everywhere = tuple(np.arange(size) for size in grid.shape)
    return extent(grid, everywhere, np.ones(grid.shape, np.bool_))


def _take_in_plane(reach: _Reach, grid: Grid, kept: tuple[Positions, ...], inside: Flags) -> None:
    """Look at the cells at the rim, and at those that the poles lie in."""
    rim = _rim(inside)
    rows, columns = (own[at] for own, at in zip(kept, rim, strict=True))
    x, y = edges(grid.x, slice(None)), edges(grid.y, slice(None))
    places = to_degrees(grid, grid.x.values[columns], grid.y.values[rows])
    ring = [
        to_degrees(grid, x[columns + right], y[rows + below])
        for below, right in ((0, 0), (0, 1), (1, 1), (1, 0))
    ]
    reach.add(*places, ring)
    found = reach.box()
    if found is not None and found.width >= 360.0:
        for pole in (-90.0, 90.0):
            across, down = from_degrees(grid, np.zeros(1), np.full(1, pole))
            cell = [index_in(axis, own)[0] for axis, own in ((grid.y, down), (grid.x, across))]
            at = [np.flatnonzero(own == one) for own, one in zip(kept, cell, strict=True)]
            if inside[np.ix_(*at)].any():
                reach.poles.add(pole)


def _sheets(
    grid: Grid, kept: tuple[Positions, ...], inside: Flags
) -> Iterator[tuple[Grid, Positions, Positions, Flags]]:
    """The two-dimensional grids that `grid` is made of."""
    if len(kept) == 2:
        yield grid, kept[0], kept[1], inside
        return
    for number, position in enumerate(kept[0]):
        x, y = (replace(own, values=own.values[position]) for own in (grid.x, grid.y))
        yield from _sheets(Grid(grid.kind, x, y, grid.dimensions[1:]), kept[1:], inside[number])


def _take_in(reach: _Reach, grid: Grid, rows: Positions, columns: Positions, inside: Flags) -> None:
    """Look at the rim of what is kept, or at all of it where a pole may be near."""
    if not inside.any():
        return
    polar = np.nanmax(np.abs(grid.y.values[np.ix_(rows, columns)][inside])) > _NEAR_POLES
    asked = inside if polar else inside & ~_surrounded(inside)
    for down in _pieces(rows):
        for across in _pieces(columns, len(columns)):
            wanted = asked[down, across]
            if not wanted.any():
                continue
            own = (rows[down], columns[across])
            east, north = centres(grid, *own)
            round_east, round_north = corners(grid, *own)
            ring = [
                (at(round_east)[wanted], at(round_north)[wanted])
                for at in (_north_west, _north_east, _south_east, _south_west)
            ]
            reach.add(east[wanted], north[wanted], ring)


def _north_west(corner: Floats) -> Floats:
    return corner[:-1, :-1]


def _north_east(corner: Floats) -> Floats:
    return corner[:-1, 1:]


def _south_east(corner: Floats) -> Floats:
    return corner[1:, 1:]


def _south_west(corner: Floats) -> Floats:
    return corner[1:, :-1]


def _pieces(positions: Positions, most: int = _ROWS) -> Iterator[slice]:
    """Runs of neighbours among positions, none of them too long."""
    apart = np.concatenate([[True], np.diff(positions) != 1]) if positions.size else np.empty(0)
    starts = np.flatnonzero(apart)
    for start, stop in zip(starts, [*starts[1:], positions.size], strict=True):
        for own in range(int(start), int(stop), most):
            yield slice(own, min(own + most, int(stop)))


def _rim(inside: Flags) -> tuple[Positions, Positions]:
    """Rows and columns of the cells that are inside and have a neighbour that is not."""
    found = []
    for start in range(0, inside.shape[0], _ROWS):
        above = min(start, 1)
        block = inside[start - above : start + _ROWS + 1]
        rim = (block & ~_surrounded(block))[above : above + _ROWS]
        rows, columns = np.nonzero(rim)
        found.append((rows + start, columns))
    rows, columns = (np.concatenate(own) for own in zip(*found, strict=True))
    return rows, columns


def _surrounded(inside: Flags) -> Flags:
    """Cells all of whose four neighbours are inside too."""
    padded = np.pad(inside, 1)
    found: Flags = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return found


def _turned(angles: Floats) -> Floats:
    """Angles less whole turns, in [-180, 180)."""
    return np.mod(angles + 180.0, 360.0) - 180.0


def _arc(wests: Floats, widths: Floats) -> tuple[float, float]:
    """The shortest arc that holds all of some arcs: its western end and its width, degrees."""
    starts = np.mod(wests, 360.0)
    order = np.argsort(starts, kind="stable")
    starts, ends = starts[order], (starts + widths)[order]
    reached = np.maximum.accumulate(ends)
    before = np.concatenate([[reached[-1] - 360.0], reached[:-1]])
    before = np.maximum(before, reached[-1] - 360.0)
    gaps = starts - before
    widest = int(np.argmax(gaps))
    if gaps[widest] <= _ARITHMETIC:
        return -180.0, 360.0
    west = float(starts[widest])
    return float(_turned(np.array(west))), 360.0 - float(gaps[widest])
