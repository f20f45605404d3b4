"""Horizontal grids and the axes they are made of."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt


class AxisKind(StrEnum):
    """The role of an axis, by CF's letters."""

    X = "X"
    Y = "Y"
    T = "T"


@dataclass(frozen=True, eq=False)
class Axis:
    """A one-dimensional coordinate, decoded to physical values."""

    path: str
    """Full path of the coordinate variable, e.g. ``/lat``."""
    dimension: str
    """Full path of the dimension it runs along, e.g. ``/lat``; empty for a scalar."""
    kind: AxisKind
    """Its role."""
    values: npt.NDArray[np.float64]
    """Decoded values; shape (size,). NaN where the store holds its fill value."""
    units: str
    """CF units, e.g. ``degrees_east`` or ``days since 1990-01-01``."""
    resolution: float
    """Spacing of representable values around the largest one, in `units`: the precision to which
    the store's own floating type states a coordinate. Integers are exact, and packed ones as exact
    as the factors they are packed with."""
    bounds: npt.NDArray[np.float64] | None = None
    """Cell or step bounds, decoded; shape (size, 2)."""
    calendar: str = "standard"
    """CF calendar; time axes only."""
    bounds_path: str = ""
    """Full path of the bounds variable; empty without one."""


@dataclass(frozen=True, eq=False)
class Grid:
    """A rectilinear latitude/longitude grid."""

    x: Axis
    """Longitudes of cell centres, degrees_east."""
    y: Axis
    """Latitudes of cell centres, degrees_north."""

    @property
    def dimensions(self) -> tuple[str, str]:
        """Full paths of the (y, x) dimensions. **Reads:** nothing."""
        return self.y.dimension, self.x.dimension
