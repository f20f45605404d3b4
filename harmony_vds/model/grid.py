"""Horizontal grids and the axes they are made of."""

import hashlib
from collections.abc import Hashable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self

import numpy as np
import numpy.typing as npt


class AxisKind(StrEnum):
    """The role of an axis, by CF's letters."""

    X = "X"
    Y = "Y"
    T = "T"


class GridKind(StrEnum):
    """How a grid states where its cells are."""

    RECTILINEAR = "rectilinear"
    """Latitudes along one dimension, longitudes along another."""
    PROJECTED = "projected"
    """x along one dimension and y along another, in a coordinate reference system; those of
    geostationary views and rotated poles too."""
    CURVILINEAR = "curvilinear"
    """A latitude and a longitude for each cell of two dimensions."""
    TRACK = "track"
    """A latitude and a longitude for each position along one dimension."""


@dataclass(frozen=True, eq=False)
class Axis:
    """A coordinate, decoded to physical values."""

    path: str
    """Full path of the coordinate variable, e.g. ``/lat``; empty where it was computed."""
    dimension: str
    """Full path of the dimension it runs along, e.g. ``/lat``; empty for a scalar, and where it
    has two."""
    kind: AxisKind
    """Its role."""
    values: npt.NDArray[np.float64]
    """Decoded values; shape (size,), of curvilinear grids (rows, columns). NaN where the store
    holds its fill value. Those of projected grids are in units of the grid's reference system."""
    units: str
    """CF units as stored, e.g. ``degrees_east`` or ``days since 1990-01-01``."""
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
    is_climatology: bool = False
    """Whether `bounds` are those of a climatology: each step means a part of several years."""


@dataclass(frozen=True, eq=False)
class Grid:
    """A horizontal grid: where on the Earth the cells of some dimensions are."""

    kind: GridKind
    """How it states that."""
    x: Axis
    """Longitudes of cell centres, degrees_east; of projected grids their x, in units of `crs`."""
    y: Axis
    """Latitudes of cell centres, degrees_north; of projected grids their y, in units of `crs`."""
    dimensions: tuple[str, ...]
    """Full paths of the dimensions that carry it: (rows, columns), or the one of a track."""
    crs: str = ""
    """Coordinate reference system of x and y as WKT; empty for plain degrees."""
    lattice: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None = None
    """Longitudes and latitudes of the corners of curvilinear cells, each of shape (rows + 1,
    columns + 1), where the store has them and they were read."""

    @classmethod
    def rectilinear(cls, x: Axis, y: Axis) -> Self:
        """The grid of longitudes `x` and latitudes `y`. **Reads:** nothing."""
        return cls(GridKind.RECTILINEAR, x, y, (y.dimension, x.dimension))

    @property
    def shape(self) -> tuple[int, ...]:
        """Cells along each of `dimensions`. **Reads:** nothing."""
        if self.kind in (GridKind.CURVILINEAR, GridKind.TRACK):
            return self.y.values.shape
        return self.y.values.size, self.x.values.size


@dataclass(frozen=True)
class ByCells:
    """A grid that equals others of the same cells, for what was found out of it and is kept."""

    told: tuple[Hashable, ...]
    """Them."""
    grid: Grid = field(compare=False)

    @classmethod
    def of(cls, grid: Grid) -> Self:
        """`grid`, by its cells. **Reads:** nothing."""
        return cls((grid.kind, grid.crs, grid.dimensions, _told(grid.x), _told(grid.y)), grid)


def _told(axis: Axis) -> tuple[Hashable, ...]:
    cells = hashlib.sha256(np.ascontiguousarray(axis.values).tobytes())
    if axis.bounds is not None:
        cells.update(np.ascontiguousarray(axis.bounds).tobytes())
    return axis.path, axis.values.shape, axis.resolution, axis.bounds is None, cells.hexdigest()
