"""The target grid for cells of a swath where a request states none: square cells about as large.

A cell has the area that the quad of four neighbouring centres has in the middle of all, in the
target's own units, its side cut to two digits; of a track it is as wide as positions are apart. The
grid begins at a multiple of the cell size and covers all centres that lie where the reference
system is meant to be used.
"""

import math
from typing import TYPE_CHECKING

import numpy as np

from harmony_vds.model.extent import BoundingBox
from harmony_vds.model.maps import transformation
from harmony_vds.model.swath import Floats, Swath
from harmony_vds.model.target import TURN
from harmony_vds.planning.target_grid import Cells

if TYPE_CHECKING:
    from pyproj import CRS

_SAMPLES = 512
"""Rows and columns whose places are looked at, beside the outermost."""
_GAP = 1.0
"""Degrees: where longitudes leave less than that free, the grid goes all the way round."""


def swath_cells(source: Swath, crs: "CRS", notes: list[str]) -> Cells | None:
    """The grid, outward to multiples of its cell size; None where no cell has a place in `crs`.

    **Reads:** nothing.
    """
    side = _side(source, crs)
    used = _used(source, crs, notes)
    if side is None or not used[0].size:
        return None
    x, y = transformation("", crs.to_wkt()).transform(*used)
    known = np.isfinite(x) & np.isfinite(y)
    if not known.any():
        return None
    ends = _ends(x[known]) if crs.is_geographic else (x[known].min(), x[known].max())
    if ends is None:
        half = max(1, round(TURN / 2 / side))
        side, left, right = TURN / 2 / half, -half, half  # the last column meets the first
    else:
        left, right = _outward(ends[0], ends[1], side)
    bottom, top = _outward(y[known].min(), y[known].max(), side)
    if crs.is_geographic:
        bottom, top = max(bottom, math.floor(-90.0 / side)), min(top, math.ceil(90.0 / side))
    return Cells(left * side, top * side, side, side, right - left, top - bottom)


def _outward(low: float, high: float, side: float) -> tuple[int, int]:
    """The cells, counted from 0, that hold all centres and half a cell around them."""
    return math.floor(low / side - 0.5), math.ceil(high / side + 0.5)


def _side(source: Swath, crs: "CRS") -> float | None:
    """The side of a cell, in the target's units."""
    rows, columns = source.shape
    tops, lefts = (
        np.unique(np.linspace(0, max(size - 2, 0), _SAMPLES).astype(np.int64))
        for size in (rows, columns)
    )
    here, below, beside = (
        _projected(source, crs, np.minimum(tops + down, rows - 1),
                   np.minimum(lefts + over, columns - 1))
        for down, over in ((0, 0), (1, 0), (0, 1))
    )  # fmt: skip
    down, over = below - here, beside - here
    if crs.is_geographic:
        for own in (down, over):
            own[0] -= TURN * np.round(own[0] / TURN)
    if min(rows, columns) > 1:
        sizes = np.sqrt(np.abs(down[0] * over[1] - down[1] * over[0]))
    else:
        sizes = np.hypot(*(down if columns == 1 else over))
    known = sizes[np.isfinite(sizes) & (sizes > 0)]
    if not known.size:
        return None
    side = float(np.median(known))
    digit = 10.0 ** (math.floor(math.log10(side)) - 1)
    return math.floor(side / digit + 1e-9) * digit


def _projected(source: Swath, crs: "CRS", rows: Floats, columns: Floats) -> Floats:
    """(x, y) of cells; shape (2, rows, columns)."""
    lon, lat = (own[rows][:, columns] for own in (source.longitudes, source.latitudes))
    return np.stack(transformation("", crs.to_wkt()).transform(lon, lat))


def _used(source: Swath, crs: "CRS", notes: list[str]) -> tuple[Floats, Floats]:
    """Longitudes and latitudes of centres where the reference system is meant to be used."""
    rows, columns = (
        np.unique(np.linspace(0, size - 1, _SAMPLES).astype(np.int64)) for size in source.shape
    )
    lon, lat = (
        np.concatenate([own[rows][:, columns].ravel(), own[[0, -1]].ravel(),
                        own[:, [0, -1]].ravel()])
        for own in (source.longitudes, source.latitudes)
    )  # fmt: skip
    known = np.isfinite(lon) & np.isfinite(lat)
    lon, lat = lon[known], lat[known]
    area = crs.area_of_use
    if area is None:
        return lon, lat
    wide = (area.east - area.west) % TURN or TURN
    inside = ((lon - area.west) % TURN <= wide) & (lat >= area.south) & (lat <= area.north)
    if inside.all() or not inside.any():
        return lon, lat
    notes.append(
        f"The output ends where {crs.name} is meant to be used, at "
        f"{BoundingBox(area.west, area.south, area.east, area.north)}; ask with scaleExtent "
        "for another part."
    )
    return lon[inside], lat[inside]


def _ends(longitudes: Floats) -> tuple[float, float] | None:
    """The shortest run of longitudes that holds all; None where they leave no gap."""
    known = np.unique(np.mod(longitudes + 180.0, TURN) - 180.0)
    gaps = np.diff(np.concatenate([known, known[:1] + TURN]))
    widest = int(gaps.argmax())
    if gaps[widest] < _GAP:
        return None
    west = float(known[(widest + 1) % known.size])
    return west, west + TURN - float(gaps[widest])
