"""True areas of grid cells on the ellipsoid, the weights of an area average.

Between two parallels the ellipsoid has the area that Snyder gives in closed form (J. P. Snyder, Map
Projections: A Working Manual, U.S. Geological Survey Professional Paper 1395, 1987, equations 3-11
and 3-12): a² q(φ) / 2 for each radian of longitude from the equator to φ.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

type Floats = npt.NDArray[np.float64]

SEMI_MAJOR_AXIS = 6_378_137.0
"""Metres; of WGS 84."""
FLATTENING = 1 / 298.257223563
"""Of WGS 84."""
_SQUARED = FLATTENING * (2 - FLATTENING)
"""Squared eccentricity."""


@dataclass(frozen=True, eq=False)
class CellAreas:
    """The areas of the kept cells of one grid whose cells lie between parallels and meridians."""

    dimensions: tuple[str, str]
    """Full paths of the (y, x) dimensions."""
    rows: Floats
    """Square metres of each row for one radian of longitude; shape (rows,)."""
    columns: Floats
    """Radians of each column; shape (columns,)."""

    def of(self, rows: slice, columns: slice) -> Floats:
        """Square metres of the cells of a block, shape (rows, columns). **Reads:** nothing."""
        return np.multiply.outer(self.rows[rows], self.columns[columns])

    @property
    def digest(self) -> str:
        """SHA-256 of all areas. **Reads:** nothing."""
        return hashlib.sha256(self.rows.tobytes() + self.columns.tobytes()).hexdigest()


def area_north_of_equator(latitudes: Floats) -> Floats:
    """Square metres from the equator to each latitude for one radian of longitude.

    Negative to the south. `latitudes` are geodetic, in degrees. **Reads:** nothing.
    """
    sine = np.sin(np.radians(latitudes))
    e = np.sqrt(_SQUARED)
    q = (1 - _SQUARED) * (sine / (1 - _SQUARED * sine**2) + np.arctanh(e * sine) / e)
    return np.asarray(SEMI_MAJOR_AXIS**2 * q / 2, np.float64)
