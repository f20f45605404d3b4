"""Whether places of a map are what a transformation says they are: taken back, they must return.

Many projections take places beside the map of the Earth for places on it: in the corners around an
oval map, between the lobes of an interrupted one, far from a central meridian.
"""

from typing import Any

import numpy as np

from harmony_vds.model.arrays import Floats
from harmony_vds.model.maps import metres_of, own_degrees, world_of

BACK = 0.01
"""Target cells by which a place may come back elsewhere and still lie on the map."""
_DATUMS = 2000.0
"""Metres by which it may where a datum is changed: of several ways between two datums that which is
best at a place is taken, and on the way back it can be another one."""


class RoundTrip:
    """From the places of a map to another reference system and back; immutable."""

    def __init__(self, crs: str, way: Any, cell: tuple[float, float]) -> None:
        self._way = way
        self._cell = cell
        """Width and height of a cell of the map."""
        self._map = own_degrees(crs)
        self._slack = _DATUMS / metres_of(crs)
        self._world = world_of(crs)

    def astray(self, found: Floats, x: Floats, y: Floats) -> Floats:
        """Cells by which places miss where they came from when they are taken back.

        Parameters
        ----------
        found
            (y, x) in the other system; shape (2, ...).
        x, y
            Where they came from; shape (...).

        **Reads:** nothing.
        """
        whole = self._missed(self._way, found[1], found[0], x, y)
        with np.errstate(invalid="ignore"):
            away = np.where(np.hypot(*whole) <= self._slack, 0.0, self._cells(*whole))
        if self._map is None:
            return away
        own_x, own_y = self._map.transform(x, y)
        return np.maximum(away, self._cells(*self._missed(self._map, own_x, own_y, x, y)))

    def _missed(
        self, way: Any, there_x: Floats, there_y: Floats, x: Floats, y: Floats
    ) -> tuple[Floats, Floats]:
        """How far (x, y) places come back from themselves."""
        back_x, back_y = way.transform(there_x, there_y, direction="INVERSE")
        with np.errstate(invalid="ignore"):
            away_x, away_y = back_x - x, back_y - y
            if self._world:  # a map that runs on across its edge says the same place twice
                away_x = away_x - self._world * np.round(away_x / self._world)
        return np.asarray(away_x), np.asarray(away_y)

    def _cells(self, x: Floats, y: Floats) -> Floats:
        with np.errstate(invalid="ignore"):
            return np.asarray(np.hypot(x / self._cell[0], y / self._cell[1]))
