"""The cells of a grid that answer for places.

A place is answered by the cell that contains it; where it lies on an edge between cells, by the one
of them whose centre is nearest on the sphere, and of equally near ones by the southern, then the
western. A place outside of the grid is answered by the nearest cell if it lies no more than one
cell away, and not at all otherwise. Cells whose coordinates are missing answer for nothing.
Longitudes are compared modulo 360, whatever numbers the store uses.

On a projected grid a cell contains what lies within its edges on the map. Of curvilinear grids and
tracks, whose cells have no stated edges, the cell with the nearest centre answers, if the place is
no further from it than one and a half times its neighbours are.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from harmony_vds.errors import UncutBoxError
from harmony_vds.model.arrays import Floats
from harmony_vds.model.grid import Axis, ByCells, Grid, GridKind
from harmony_vds.model.places import Place
from harmony_vds.model.request import Request
from harmony_vds.model.sphere import vectors
from harmony_vds.planning.crs import system_of
from harmony_vds.planning.places import centres, from_degrees
from harmony_vds.planning.spatial import half_widths

EARTH_RADIUS_KM = 6371.0088
"""Mean radius of the Earth."""
_ARITHMETIC = 1e-9
"""Degrees: well above the rounding of sums of angles, far below any cell."""
_MOST_LINES = 512
"""Rows, and columns, of a projected grid that are looked at for the nearest cell."""
_MOST_AT_ONCE = 2**22
"""Pairs of a place and a cell that are compared at once."""
_KEPT = 4
"""Answers that are kept, one for each grid that a request has places on."""


@dataclass(frozen=True, eq=False)
class Cells:
    """One cell for each place."""

    positions: npt.NDArray[np.int64]
    """Along each dimension of the grid; shape (dimensions, places)."""
    longitudes: Floats
    """Of the centres, degrees_east, as the store states them; shape (places,)."""
    latitudes: Floats
    """Of the centres, degrees_north."""
    distances: Floats
    """From the places to the centres, km."""
    inside: npt.NDArray[np.bool_]
    """Whether the place lies in the grid or no more than one cell away."""


def great_circle(lon: Floats, lat: Floats, lon2: Floats, lat2: Floats) -> Floats:
    """Distances on the sphere in km between places in degrees. **Reads:** nothing.

    >>> great_circle(np.array(0.0), np.array(0.0), np.array(0.0), np.array(90.0)).round(3).item()
    10007.557
    """
    phi, phi2 = np.radians(lat), np.radians(lat2)
    across = np.sin(np.radians(turned(lon2 - lon)) / 2) ** 2
    along = np.sin((phi2 - phi) / 2) ** 2
    chord = np.clip(along + np.cos(phi) * np.cos(phi2) * across, 0.0, 1.0)
    distance: Floats = 2 * EARTH_RADIUS_KM * np.arcsin(np.sqrt(chord))
    return distance


def turned(angles: Floats) -> Floats:
    """`angles` less whole turns, in [-180, 180]. **Reads:** nothing."""
    return np.asarray(angles - 360.0 * np.round(angles / 360.0))


def nearest_cells(grid: Grid, places: Sequence[Place]) -> Cells:
    """The cells of `grid` that answer for `places`, by the rules above.

    What was found last is kept, since planning asks twice and each smaller request anew; it must
    not be written to.

    Raises
    ------
    UncutBoxError
        The grid has latitudes and longitudes along more than two dimensions.

    **Reads:** nothing.
    """
    return _nearest_cells(ByCells.of(grid), tuple(places))


@lru_cache(maxsize=_KEPT)
def _nearest_cells(cells: ByCells, places: tuple[Place, ...]) -> Cells:
    grid = cells.grid
    if grid.kind is GridKind.RECTILINEAR:
        rows, columns = _Edges.of(grid.y), _Edges.of(grid.x, period=360.0)
        found = [_nearest_cell(rows, columns, place) for place in places]
    elif grid.kind is GridKind.PROJECTED:
        found = _on_the_map(grid, places)
    elif len(grid.shape) > 2:
        raise UncutBoxError(
            f"A place has no series in {grid.y.path.lstrip('/')}: every step has latitudes and "
            "longitudes of its own. Ask for a box."
        )
    else:
        return _among_all(grid, places)
    positions = np.array([[row, column] for row, column, _ in found], np.int64).reshape(-1, 2).T
    inside = np.array([held for _, _, held in found], np.bool_)
    if grid.kind is GridKind.RECTILINEAR:
        return _cells(positions, grid.x.values[positions[1]], grid.y.values[positions[0]], places,
                      inside)  # fmt: skip
    pairs = [centres(grid, positions[:1, n], positions[1:, n]) for n in range(len(places))]
    lon, lat = (np.array([pair[n].item() for pair in pairs]) for n in (0, 1))
    return _cells(positions, lon, lat, places, inside)


def nearest_words(grids: Iterable[Grid], request: Request) -> str:
    """Where the cell of `grids` nearest to the middle of a request's region is, for people.

    Empty where there is none, or no region. **Reads:** nothing.
    """
    shape = request.shape
    box = request.bbox or (None if shape is None or isinstance(shape, str) else shape.bbox)
    if box is None:
        return ""
    south, north = max(box.south, -90.0), min(box.north, 90.0)
    middle = Place(float(turned(np.array(box.west + box.width / 2))), (south + north) / 2)
    found: list[tuple[float, float, float]] = []
    for grid in grids:
        if grid.kind is GridKind.PROJECTED:  # whose map may not show the place at all
            found.append(_nearest_on_globe(grid, middle))
        else:
            cells = nearest_cells(grid, [middle])
            own = (cells.distances, cells.longitudes, cells.latitudes)
            found.append((float(own[0][0]), float(own[1][0]), float(own[2][0])))
    found = [told for told in found if np.isfinite(told[0])]
    if not found:
        return ""
    away, longitude, latitude = min(found)
    longitude = float(turned(np.array(longitude)))
    return (
        f"; the nearest cell is at longitude {longitude:g}, latitude {latitude:g}, "
        f"{away:,.0f} km from its middle"
    )


def _nearest_on_globe(grid: Grid, place: Place) -> tuple[float, float, float]:
    """How far the centre nearest to a place is, km, with its longitude and latitude.

    Of large grids some rows and columns are looked at first, and then those around the nearest.
    """
    kept = [slice(0, size) for size in grid.shape]
    best = np.inf, 0.0, 0.0
    for _ in range(2):
        lines = [
            np.unique(np.linspace(own.start, own.stop - 1, _MOST_LINES).round().astype(np.int64))
            for own in kept
        ]
        lon, lat = centres(grid, lines[0], lines[1])
        away = great_circle(np.array(place.longitude), np.array(place.latitude), lon, lat)
        away = np.nan_to_num(away, nan=np.inf)
        row, column = np.unravel_index(np.argmin(away), away.shape)
        best = min(best, (float(away[row, column]), float(lon[row, column]),
                          float(lat[row, column])))  # fmt: skip
        kept = [
            slice(int(own[max(at - 1, 0)]), int(own[min(at + 1, own.size - 1)]) + 1)
            for own, at in zip(lines, (int(row), int(column)), strict=True)
        ]
    return best


def _cells(
    positions: npt.NDArray[np.int64], lon: Floats, lat: Floats, places: Sequence[Place],
    inside: npt.NDArray[np.bool_],
) -> Cells:  # fmt: skip
    asked = np.array([[own.longitude, own.latitude] for own in places]).reshape(-1, 2).T
    distances = great_circle(asked[0], asked[1], lon, lat).round(6)
    return Cells(positions, lon, lat, distances, inside & np.isfinite(distances))


def _on_the_map(grid: Grid, places: Sequence[Place]) -> list[tuple[int, int, bool]]:
    """Row, column, and whether it answers, of the cell of a projected grid for each place."""
    rotated = system_of(grid.crs).is_geographic
    rows, columns = _Edges.of(grid.y), _Edges.of(grid.x, period=360.0 if rotated else None)
    asked = np.array([[own.longitude, own.latitude] for own in places]).reshape(-1, 2).T
    found = []
    for place, x, y in zip(places, *from_degrees(grid, asked[0], asked[1]), strict=True):
        if not (np.isfinite(x) and np.isfinite(y)):
            found.append((0, 0, False))
            continue
        across = turned(x - columns.values) if rotated else x - columns.values
        near_rows, in_rows = rows.near(y - rows.values)
        near_columns, in_columns = columns.near(across)
        lon, lat = centres(grid, near_rows.astype(np.int64), near_columns.astype(np.int64))
        here = np.asarray(place.longitude), np.asarray(place.latitude)
        away = np.nan_to_num(great_circle(*here, lon, lat), nan=np.inf).round(6)
        order = np.lexsort((lon.ravel(), lat.ravel(), away.ravel()))
        row, column = np.unravel_index(order[0], away.shape)
        held = in_rows and in_columns and bool(np.isfinite(away.ravel()[order[0]]))
        found.append((int(near_rows[row]), int(near_columns[column]), held))
    return found


def _among_all(grid: Grid, places: Sequence[Place]) -> Cells:
    """The nearest of all centres of a curvilinear grid or a track."""
    columns = slice(None)
    asked = vectors(*np.array([[own.longitude, own.latitude] for own in places]).reshape(-1, 2).T)
    best = np.full(len(places), -np.inf)
    where = np.zeros(len(places), np.int64)
    width = int(np.prod(grid.shape[1:], dtype=np.int64))
    step = max(1, _MOST_AT_ONCE // max(width * len(places), 1))
    for start in range(0, grid.shape[0], step):
        around = vectors(*centres(grid, slice(start, start + step), columns)).reshape(-1, 3)
        closeness = np.nan_to_num(around @ asked.T, nan=-np.inf)
        rank = np.argmax(closeness, axis=0)
        found = closeness[rank, np.arange(len(places))]
        closer = found > best
        best[closer], where[closer] = found[closer], start * width + rank[closer]
    positions = np.stack(np.unravel_index(where, grid.shape)).astype(np.int64)
    at = [_around(grid, tuple(own)) for own in positions.T]
    lon, lat = (np.array([pair[n] for pair in at]) for n in (0, 1))
    cells = _cells(positions, lon, lat, places, np.isfinite(best))
    reach = np.array([pair[2] for pair in at])
    return replace(cells, inside=cells.inside & (cells.distances <= 1.5 * reach))


def _around(grid: Grid, cell: tuple[int, ...]) -> tuple[float, float, float]:
    """Longitude and latitude of a cell, and how far its furthest neighbour is, km."""
    kept = [
        np.unique(np.clip([own - 1, own, own + 1], 0, size - 1))
        for own, size in zip(cell, grid.shape, strict=True)
    ]
    lon, lat = centres(grid, kept[0], kept[-1])
    middle = tuple(int(np.searchsorted(k, c)) for k, c in zip(kept, cell, strict=True))
    away = great_circle(lon[middle], lat[middle], lon, lat)
    return float(lon[middle]), float(lat[middle]), float(np.nanmax(away, initial=0.0))


@dataclass(frozen=True, eq=False)
class _Edges:
    """How far the cells along an axis reach below and above their centres, in degrees."""

    values: Floats
    below: Floats
    above: Floats
    tolerance: float

    @classmethod
    def of(cls, axis: Axis, period: float | None = None) -> "_Edges":
        below, above = (_known(own) for own in half_widths(axis.values, axis.bounds, period))
        return cls(axis.values, below, above, max(axis.resolution, _ARITHMETIC))

    def near(self, away: Floats) -> tuple[npt.NDArray[np.intp], bool]:
        """The cells that hold a place `away` from each centre, or else the nearest ones.

        And whether the place lies in the axis or no more than one cell away.
        """
        known = np.isfinite(away)
        reach, outer = self.tolerance, np.abs(away)
        holding = known & (away >= -self.below - reach) & (away <= self.above + reach)
        if holding.any():
            return np.flatnonzero(holding), True
        if not known.any():
            return np.zeros(1, np.intp), False
        least = float(np.min(outer[known]))
        nearest = np.flatnonzero(known & (outer <= least + reach))
        side = np.where(away[nearest] < 0, self.below[nearest], self.above[nearest])
        width = self.below[nearest] + self.above[nearest]
        return nearest, bool((outer[nearest] <= side + width + reach).any())


def _known(widths: Floats) -> Floats:
    """Half widths, the usual one where neighbours are missing."""
    known = np.isfinite(widths)
    return np.where(known, widths, np.median(widths[known]) if known.any() else 0.0)


def _nearest_cell(rows: _Edges, columns: _Edges, place: Place) -> tuple[int, int, bool]:
    """Row, column, and whether the place lies in the grid or no more than one cell away."""
    candidates, in_rows = rows.near(place.latitude - rows.values)
    eastward = turned(place.longitude - columns.values)
    beside, in_columns = columns.near(eastward)
    column = beside[np.lexsort((eastward[beside] < 0, np.abs(eastward[beside]).round(9)))[0]]
    # Great circles grow with the difference of longitudes, whatever the row: the column is settled.
    lat, lon = rows.values[candidates], np.full(candidates.size, columns.values[column])
    distances = great_circle(np.asarray(place.longitude), np.asarray(place.latitude), lon, lat)
    row = candidates[np.lexsort((lat, distances.round(6)))[0]]
    return int(row), int(column), in_rows and in_columns
