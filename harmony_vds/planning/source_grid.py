"""What is kept of a store's grid, as the grid that values for another are taken from."""

from collections.abc import Sequence

import numpy as np

from harmony_vds.model.arrays import Floats
from harmony_vds.model.extent import BoundingBox
from harmony_vds.model.grid import Grid, GridKind
from harmony_vds.model.selection import AxisSelection
from harmony_vds.model.swath import Swath
from harmony_vds.model.target import SourceAxis, SourceGrid
from harmony_vds.planning.places import centres
from harmony_vds.planning.spatial import HorizontalSelection

_SAMPLES = 33
_MOST = 0.95
"""Share of neighbours that lie nearer to each other than is counted with."""
_BESIDE = 3
"""Rows and columns that are kept beside a box: cells inside may lie nearest to them."""


def source_grid(grid: Grid, kept: HorizontalSelection) -> SourceGrid:
    """What `kept` leaves of `grid`. **Reads:** nothing."""
    x = grid.x.values[kept.x.positions] + (0.0 if kept.shifts is None else kept.shifts)
    y = grid.y.values[kept.y.positions]
    rows, columns = grid.dimensions
    turns = grid.kind is GridKind.RECTILINEAR
    x = _onward(x) if turns else x
    return SourceGrid(
        (rows, columns), grid.crs, SourceAxis(_rounded(x, grid.x.resolution), turns=turns),
        SourceAxis(_rounded(y, grid.y.resolution)),
    )  # fmt: skip


def swath(grid: Grid, along: Sequence[AxisSelection]) -> Swath:
    """What is kept of a curvilinear grid or a track. **Reads:** nothing."""
    rows = along[0].positions
    columns = along[1].positions if len(along) > 1 else slice(None)
    longitudes, latitudes = centres(grid, rows, columns)
    shape = (*latitudes.shape, 1)[:2]
    return Swath(grid.dimensions, longitudes.reshape(shape), latitudes.reshape(shape))


def around(grid: Grid, box: BoundingBox) -> BoundingBox:
    """`box` and some cells beside it. **Reads:** nothing."""
    wide, tall = (_BESIDE * own for own in _spacing(grid))
    south, north = max(box.south - tall, -90.0), min(box.north + tall, 90.0)
    if box.width + 2 * wide >= 360.0:
        return BoundingBox(-180.0, south, 180.0, north)
    west = (box.west - wide + 180.0) % 360.0 - 180.0
    return BoundingBox(west, south, west + box.width + 2 * wide, north)


def _spacing(grid: Grid) -> tuple[float, float]:
    """Degrees between neighbours, (eastward, northward), where a grid is nearly coarsest."""
    if grid.kind is GridKind.RECTILINEAR:
        apart = np.diff(grid.x.values), np.diff(grid.y.values)
    elif grid.kind is GridKind.PROJECTED:
        some = [np.linspace(0, max(size - 2, 0), _SAMPLES).astype(int) for size in grid.shape]
        here = centres(grid, *some)
        there = centres(grid, *(np.minimum(own + 1, size - 1)
                                for own, size in zip(some, grid.shape, strict=True)))  # fmt: skip
        apart = there[0] - here[0], there[1] - here[1]
    else:
        apart = np.diff(grid.x.values, axis=-1), np.diff(grid.y.values, axis=0)
    found = []
    for own in apart:
        away = np.abs(own - 360.0 * np.round(own / 360.0))
        known = away[np.isfinite(away)]
        found.append(float(np.quantile(known, _MOST)) if known.size else 1.0)
    return found[0], found[1]


def _onward(longitudes: Floats) -> Floats:
    """Longitudes that run on, without a jump of a turn."""
    steps = np.diff(longitudes)
    onward = np.cumsum(steps - 360 * np.round(steps / 360))
    return np.asarray(longitudes[0] + np.concatenate([[0.0], onward]))


def _rounded(centres: Floats, resolution: float) -> Floats:
    """Evenly spaced centres as the decimals they were before they were stored, if they are near.

    Single precision keeps -179.975 as -179.97500610; a grid that begins there is half a millionth
    of a degree off everywhere.
    """
    if centres.size < 2:
        return centres
    first, last = centres[0], centres[-1]
    step = (last - first) / (centres.size - 1)
    if not step or np.abs(first + step * np.arange(centres.size) - centres).max() > max(
        2 * resolution, 1e-9 * abs(first)
    ):
        return centres
    low, high = (_decimal(own, 2 * resolution) for own in (first - step / 2, last + step / 2))
    return np.asarray(low + (high - low) / centres.size * np.arange(0.5, centres.size))


def _decimal(value: float, slack: float) -> float:
    """The number of fewest decimals within `slack` of `value`."""
    for digits in range(13):
        short = round(float(value), digits)
        if abs(short - value) <= slack:
            return short
    return float(value)
