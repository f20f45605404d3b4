"""The cells of a grid that answer for places.

A place is answered by the cell that contains it; where it lies on an edge between cells, by the one
of them whose centre is nearest on the sphere, and of equally near ones by the southern, then the
western. A place outside of the grid is answered by the nearest cell if it lies no more than one
cell away, and not at all otherwise. Cells whose coordinates are missing answer for nothing.
Longitudes are compared modulo 360, whatever numbers the store uses.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harmony_vds.model.grid import Axis, Grid
from harmony_vds.model.places import Place
from harmony_vds.planning.spatial import half_widths

type Floats = npt.NDArray[np.float64]

EARTH_RADIUS_KM = 6371.0088
"""Mean radius of the Earth."""
_ARITHMETIC = 1e-9
"""Degrees: well above the rounding of sums of angles, far below any cell."""


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
    """The cells of `grid` that answer for `places`, by the rules above. **Reads:** nothing."""
    rows, columns = _Edges.of(grid.y), _Edges.of(grid.x, period=360.0)
    found = [_nearest_cell(rows, columns, place) for place in places]
    positions = np.array([[row, column] for row, column, _ in found], np.int64).reshape(-1, 2).T
    lat, lon = grid.y.values[positions[0]], grid.x.values[positions[1]]
    asked = np.array([[own.longitude, own.latitude] for own in places]).reshape(-1, 2).T
    return Cells(
        positions, lon, lat, great_circle(asked[0], asked[1], lon, lat).round(6),
        np.array([inside for _, _, inside in found], np.bool_),
    )  # fmt: skip


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
