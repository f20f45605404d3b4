"""The target grid by the places of cells where a request states none: square cells about as large.

A cell has the area that the quad of four neighbouring centres has in the middle of all, in the
target's own units, its side cut to two digits; of a track it is as wide as positions are apart. The
grid begins at a multiple of the cell size and covers all centres that lie where the reference
system is meant to be used. Where the world ends in an upright line it runs on across that line,
if that makes it narrower.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from harmony_vds.model.arrays import Floats, Positions
from harmony_vds.model.extent import BoundingBox
from harmony_vds.model.maps import transformation, world_of
from harmony_vds.model.round_trip import BACK, RoundTrip
from harmony_vds.model.swath import Swath
from harmony_vds.model.target import TURN, SourceGrid
from harmony_vds.planning.target_grid import Cells

if TYPE_CHECKING:
    from pyproj import CRS, Transformer

_SAMPLES = 512
"""Rows and columns whose places are looked at, beside the outermost."""
_OVERVIEW = 128
"""Likewise, where it is asked whether the map holds them in one piece."""
_GAP = 1 / 360
"""Of the world: where places leave less than that free, the grid goes all the way round."""
_AWAY = 0.05
"""Degrees by which a place on the map may come back from it elsewhere."""
_TORN = 20.0
"""Times the usual distance at which neighbours lie on two sides of a cut through the map."""


@dataclass(frozen=True)
class Mesh:
    """Cells, by the places of their centres."""

    shape: tuple[int, int]
    """(Rows, columns)."""
    at: Callable[[Positions, Positions], tuple[Floats, Floats]]
    """Longitudes and latitudes at rows and columns, shape (rows, columns); not-a-number where a
    cell has no place."""


def mesh_of(source: Swath | SourceGrid) -> Mesh:
    """The places of a store's cells. **Reads:** nothing."""
    if isinstance(source, Swath):
        return Mesh(
            source.shape,
            lambda rows, columns: (
                source.longitudes[rows][:, columns], source.latitudes[rows][:, columns]),
        )  # fmt: skip
    return Mesh(source.shape, _OnGrid.of(source))


@dataclass(frozen=True, eq=False)
class _OnGrid:
    """The places of the cells of a grid."""

    source: SourceGrid
    way: "Transformer"
    """From the grid's own coordinates to degrees."""
    trip: RoundTrip | None
    """Tells which places do not come back to their cells; None of a grid in degrees."""

    @classmethod
    def of(cls, source: SourceGrid) -> "_OnGrid":
        way = transformation(source.crs, "")
        steps = (source.x.step or 1.0, source.y.step or 1.0)
        return cls(source, way, RoundTrip(source.crs, way, steps) if source.crs else None)

    def __call__(self, rows: Positions, columns: Positions) -> tuple[Floats, Floats]:
        """As `Mesh.at`."""
        x, y = np.meshgrid(self.source.x.centres[columns], self.source.y.centres[rows])
        longitudes, latitudes = (np.array(own) for own in self.way.transform(x, y))
        lost = ~np.isfinite(longitudes + latitudes)
        if self.trip is not None:
            lost |= ~(self.trip.astray(np.stack([latitudes, longitudes]), x, y) < BACK)
        longitudes[lost] = latitudes[lost] = np.nan
        return longitudes, latitudes


def is_torn(mesh: Mesh, crs: "CRS") -> bool:
    """Whether some cells have no place on the map, or lie on two sides of a cut through it.

    **Reads:** nothing.
    """
    found = _mapped(mesh.at(*_sampled(mesh, _OVERVIEW)), crs)
    return not np.isfinite(found).all() or _jumps(found, crs)


def is_cut(mesh: Mesh, crs: "CRS") -> bool:
    """Whether neighbours lie far apart on the map. **Reads:** nothing."""
    return _jumps(_mapped(mesh.at(*_sampled(mesh, _OVERVIEW)), crs), crs)


def _jumps(found: Floats, crs: "CRS") -> bool:
    """Whether places on the map, (x, y) of rows and columns, lie far from their neighbours."""
    world = world_of(crs.to_wkt())
    for axis in (1, 2):
        steps = np.diff(found, axis=axis)
        apart = np.abs(steps[0]) if world else np.hypot(*steps)
        known = apart[np.isfinite(apart)]
        if known.size and known.max() > (world / 2 if world else _TORN * np.median(known)):
            return True
    return False


def mesh_cells(mesh: Mesh, crs: "CRS", notes: list[str]) -> Cells | None:
    """The grid, outward to multiples of its cell size; None where no cell has a place in `crs`.

    **Reads:** nothing.
    """
    side = _side(mesh, crs)
    used = _used(mesh, crs, notes)
    if side is None or not used[0].size:
        return None
    x, y = _mapped(used, crs)
    known = np.isfinite(x)
    if not known.any():
        return None
    between = max(mesh.shape) // _SAMPLES  # of the cells inside some are looked at
    world = world_of(crs.to_wkt())
    ends = _ends(x[known], world, side) if world else None
    if ends is None and world and crs.is_geographic:
        half = max(1, round(TURN / 2 / side))
        side, left, right = TURN / 2 / half, -half, half  # the last column meets the first
    else:
        first, last = ends or (x[known].min(), x[known].max())
        left, right = _outward(first, last, side, 0 if ends else between)
    bottom, top = _outward(y[known].min(), y[known].max(), side, between)
    if crs.is_geographic:
        most = round(90.0 / side)  # no row has its centre beyond a pole
        bottom, top = max(bottom, -most), min(top, most)
    return Cells(left * side, top * side, side, side, right - left, top - bottom)


def _outward(low: float, high: float, side: float, more: int) -> tuple[int, int]:
    """The cells, counted from 0, that hold all centres and half a cell around them, and `more`."""
    return math.floor(low / side - 0.5) - more, math.ceil(high / side + 0.5) + more


def _side(mesh: Mesh, crs: "CRS") -> float | None:
    """The side of a cell, in the target's units."""
    down, over = _steps(mesh, crs)
    if min(mesh.shape) > 1:
        sizes = np.sqrt(np.abs(down[0] * over[1] - down[1] * over[0]))
    else:
        sizes = np.hypot(*(down if mesh.shape[1] == 1 else over))
    known = sizes[np.isfinite(sizes) & (sizes > 0)]
    if not known.size:
        return None
    side = float(np.median(known))
    digit = 10.0 ** (math.floor(math.log10(side)) - 1)
    return math.floor(side / digit + 1e-9) * digit


def _steps(mesh: Mesh, crs: "CRS") -> tuple[Floats, Floats]:
    """From some cells to those below and beside them on the map, (x, y); shape (2, …)."""
    rows, columns = mesh.shape
    tops, lefts = (
        np.unique(np.linspace(0, max(size - 2, 0), _SAMPLES).astype(np.int64))
        for size in mesh.shape
    )
    world = world_of(crs.to_wkt())
    here, below, beside = (
        _mapped(mesh.at(np.minimum(tops + down, rows - 1), np.minimum(lefts + over, columns - 1)),
                crs)
        for down, over in ((0, 0), (1, 0), (0, 1))
    )  # fmt: skip
    down, over = below - here, beside - here
    if world:
        for own in (down, over):
            own[0] -= world * np.round(own[0] / world)
    return down, over


def _mapped(places: tuple[Floats, Floats], crs: "CRS") -> Floats:
    """(x, y) of longitudes and latitudes; not-a-number where they are not on the map."""
    way = transformation("", crs.to_wkt())
    found = np.stack(way.transform(*places))
    back = way.transform(*found, direction="INVERSE")
    with np.errstate(invalid="ignore"):
        away = (np.abs((back[0] - places[0] + 180.0) % TURN - 180.0)
                * np.cos(np.radians(places[1])) + np.abs(back[1] - places[1]))  # fmt: skip
        found[:, ~(away < _AWAY)] = np.nan
    return found


def _sampled(mesh: Mesh, number: int) -> tuple[Positions, Positions]:
    rows, columns = (
        np.unique(np.linspace(0, size - 1, number).astype(np.int64)) for size in mesh.shape
    )
    return rows, columns


def _used(mesh: Mesh, crs: "CRS", notes: list[str]) -> tuple[Floats, Floats]:
    """Longitudes and latitudes of centres where the reference system is meant to be used."""
    ends, (rows, columns) = np.array([0, -1]), map(np.arange, mesh.shape)
    found = [mesh.at(*_sampled(mesh, _SAMPLES)), mesh.at(ends, columns), mesh.at(rows, ends)]
    lon, lat = (np.concatenate([own[part].ravel() for own in found]) for part in (0, 1))
    known = np.isfinite(lon) & np.isfinite(lat)
    lon, lat = lon[known], lat[known]
    area, inside = crs.area_of_use, _inside(lon, lat, crs)
    if area is None or inside.all() or not inside.any():
        return lon, lat
    notes.append(
        f"The output ends where {crs.name} is meant to be used, at "
        f"{BoundingBox(area.west, area.south, area.east, area.north)}; ask with scaleExtent "
        "for another part."
    )
    return lon[inside], lat[inside]


def _inside(lon: Floats, lat: Floats, crs: "CRS") -> npt.NDArray[np.bool_]:
    """Which places lie where the reference system is meant to be used."""
    area = crs.area_of_use
    if area is None:
        return np.ones(lon.shape, np.bool_)
    wide = (area.east - area.west) % TURN or TURN
    return np.asarray(
        ((lon - area.west) % TURN <= wide) & (lat >= area.south) & (lat <= area.north)
    )


def _ends(places: Floats, world: float, side: float) -> tuple[float, float] | None:
    """The shortest run along a round world that holds all; None where they leave no gap to see."""
    known = np.unique(places)
    gaps = np.diff(np.concatenate([known, known[:1] + world]))
    widest = int(gaps.argmax())
    if gaps[widest] < max(_GAP * world, 3 * side):
        return None
    west = float(known[(widest + 1) % known.size])
    return west, west + world - float(gaps[widest])
