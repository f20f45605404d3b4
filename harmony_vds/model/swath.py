"""Cells of a store that follow no rows and columns of a map: swaths, curvilinear grids, tracks."""

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from harmony_vds.model.arrays import Floats, Positions
from harmony_vds.model.sphere import caps, vectors

_SAMPLED = 512
"""Rows at which spacings are measured."""
_PIECES = 1024
"""Pieces, about, that a swath is cut into to tell which of it lies near a place."""
_USUAL = 0.99
"""Share of cells that the radius of influence bridges."""


@dataclass(frozen=True)
class Piece:
    """Some neighbouring cells."""

    rows: slice
    columns: slice


@dataclass(frozen=True, eq=False)
class Swath:
    """Cells with a latitude and a longitude each, as far as they are kept, in output order."""

    dimensions: tuple[str, ...]
    """Full paths of the dimensions that carry it: (rows, columns), or the one of a track."""
    longitudes: Floats
    """Degrees east; shape (rows, columns), of a track (positions, 1). Not-a-number where the store
    holds no place."""
    latitudes: Floats
    """Degrees north; likewise."""
    crs: str = ""
    """Reference system of the places; empty for plain degrees."""

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns) kept. **Reads:** nothing."""
        rows, columns = self.latitudes.shape
        return rows, columns

    @property
    def is_track(self) -> bool:
        """Whether cells have neighbours along one line alone. **Reads:** nothing."""
        return len(self.dimensions) == 1

    @property
    def nbytes(self) -> int:
        """Bytes that places, vectors and search tree take. **Reads:** nothing."""
        return self.latitudes.size * 96

    @cached_property
    def known(self) -> Positions:
        """Flat numbers of the cells that have a place. **Reads:** nothing."""
        return np.flatnonzero(np.isfinite(self.longitudes + self.latitudes))

    @cached_property
    def points(self) -> Floats:
        """The cells as unit vectors; shape (rows, columns, 3). **Reads:** nothing."""
        return vectors(self.longitudes, self.latitudes)

    @cached_property
    def spacing(self) -> float:
        """Chord on the unit sphere that bridges neighbours, of quads of four the longer diagonal.

        A cell counts by the smaller quad beside it, so that the gap between the two halves of a
        swath is none; as long as for 99 cells in 100, and 0 where no two neighbours have places.
        **Reads:** nothing.
        """
        rows, columns = self.shape
        tops = np.unique(np.linspace(0, max(rows - 2, 0), _SAMPLED).astype(np.int64))
        upper, lower = self.points[tops], self.points[np.minimum(tops + 1, rows - 1)]
        if rows == 1:
            lower = upper
        if columns > 1:
            pairs = ((upper[:, :-1], lower[:, 1:]), (upper[:, 1:], lower[:, :-1]))
        else:
            pairs = ((upper, lower), (upper, lower))
        apart = np.maximum(*(np.linalg.norm(a - b, axis=-1) for a, b in pairs))
        if columns > 2:
            apart = np.fmin(apart[:, :-1], apart[:, 1:])
        usual = apart[np.isfinite(apart)]
        return float(np.quantile(usual, _USUAL)) if usual.size else 0.0

    @cached_property
    def pieces(self) -> tuple[Piece, ...]:
        """It cut into pieces of neighbours. **Reads:** nothing."""
        rows, columns = self.shape
        side = max(8, int(np.ceil(np.sqrt(rows * columns / _PIECES))))
        tall = side if columns > side else max(8, -(-rows * columns // (_PIECES * columns)))
        wide = max(side, 1)
        return tuple(
            Piece(slice(top, min(top + tall, rows)), slice(left, min(left + wide, columns)))
            for top in range(0, rows, tall)
            for left in range(0, columns, wide)
        )

    @cached_property
    def caps(self) -> tuple[Floats, Floats]:
        """The cap around each piece, as `sphere.caps`. **Reads:** nothing."""
        found = [caps(self.points[own.rows, own.columns].reshape(1, -1, 3)) for own in self.pieces]
        return np.concatenate([own[0] for own in found]), np.concatenate([own[1] for own in found])

    @property
    def sha256(self) -> str:
        """Of the places. **Reads:** nothing."""
        told = self.latitudes.tobytes() + self.longitudes.tobytes()
        return hashlib.sha256(told).hexdigest()
