"""The cells that a line passes, as places one after another.

Between two of its vertices a line runs straight in degrees, the shorter way round. On grids with
latitudes along rows and longitudes along columns every cell that it passes is found, by where it
crosses their edges; on others it is looked at four times for each cell.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from harmony_vds.errors import TooLargeError
from harmony_vds.model.arrays import Floats
from harmony_vds.model.grid import Axis, Grid, GridKind
from harmony_vds.model.places import Place
from harmony_vds.planning.nearest import great_circle, nearest_cells, turned
from harmony_vds.planning.places import centres, edges

MOST_STRETCHES = 20_000
"""Stretches of a line that are looked at."""
_PER_CELL = 4


def places_along(grid: Grid, line: Sequence[tuple[float, float]]) -> tuple[Place, ...]:
    """A place in each cell of `grid` that `line` passes, in its order; cells outside left out.

    Parameters
    ----------
    grid
        A horizontal grid.
    line
        Longitudes and latitudes of its vertices, degrees.

    Raises
    ------
    TooLargeError
        The line is too long for the cells of the grid.

    **Reads:** nothing.
    """
    looked = [
        _on(line[number : number + 2], (ts[:-1] + ts[1:]) / 2)
        for number, ts in enumerate(_stretches(grid, line))
    ]
    lon, lat = np.concatenate(looked, axis=1)
    if lon.size > MOST_STRETCHES:
        raise TooLargeError(
            f"The line passes some {lon.size:,} cells, and at most {MOST_STRETCHES:,} are looked "
            "at. Ask for a shorter one."
        )
    seen = [Place(float(x), float(np.clip(y, -90, 90))) for x, y in zip(lon, lat, strict=True)]
    cells = nearest_cells(grid, seen)
    told = np.concatenate([cells.positions, cells.inside[None]])
    other = (np.diff(told, axis=1) != 0).any(axis=0)
    starts = np.concatenate([[0], np.flatnonzero(other) + 1])
    runs = pairwise([*starts.tolist(), len(seen)])
    chosen = [seen[(first + last) // 2] for first, last in runs if cells.inside[first]]
    return tuple(
        Place(
            round(float(turned(np.asarray(own.longitude))), 6), round(own.latitude, 6), str(number)
        )
        for number, own in enumerate(chosen or seen[:1], 1)
    )


def _on(ends: Sequence[tuple[float, float]], parts: Floats) -> Floats:
    """Longitudes and latitudes at parts, 0 to 1, of the way between two vertices."""
    (x, y), (x2, y2) = ends
    across = float(turned(np.asarray(x2 - x)))
    return np.stack([x + parts * across, y + parts * (y2 - y)])


def _stretches(grid: Grid, line: Sequence[tuple[float, float]]) -> Iterator[Floats]:
    """For each segment, the parts of its way, 0 and 1 included, at which it is divided."""
    for (x, y), (x2, y2) in pairwise(line):
        across, along = float(turned(np.asarray(x2 - x))), y2 - y
        if grid.kind is GridKind.RECTILINEAR:
            found = [_crossings(grid.y, y, along), _crossings(grid.x, x, across, 360.0)]
            inner = np.unique(np.concatenate(found).round(12))
        else:
            length = great_circle(*map(np.asarray, (x, y, x + across, y2))).item()
            count = int(np.ceil(_PER_CELL * length / _cell(grid)))
            inner = np.linspace(0, 1, min(max(count, 1), MOST_STRETCHES) + 1)[1:-1]
        yield np.concatenate([[0.0], inner[(inner > 0) & (inner < 1)], [1.0]])


def _crossings(axis: Axis, start: float, way: float, period: float | None = None) -> Floats:
    """At which parts of a way the edges of cells along `axis` are crossed."""
    if way == 0:
        return np.empty(0)
    sides = edges(axis, slice(None), period)
    sides = sides[np.isfinite(sides)]
    if period is not None:
        low, high = min(start, start + way), max(start, start + way)
        turns = np.arange(np.floor((low - sides.max()) / period),
                          np.ceil((high - sides.min()) / period) + 1)  # fmt: skip
        sides = (sides[None, :] + period * turns[:, None]).ravel()
    parts: Floats = (sides - start) / way
    return parts[(parts > 0) & (parts < 1)]


def _cell(grid: Grid) -> float:
    """How large the cells of a grid are, km: the usual step along its last dimension."""
    middle = grid.shape[0] // 2
    lon, lat = centres(grid, np.arange(grid.shape[0]) if len(grid.shape) == 1 else
                       np.array([middle]), slice(None))  # fmt: skip
    lon, lat = lon.ravel(), lat.ravel()
    steps = great_circle(lon[:-1], lat[:-1], lon[1:], lat[1:])
    known = steps[np.isfinite(steps) & (steps > 0)]
    return float(np.median(known)) if known.size else 1.0
