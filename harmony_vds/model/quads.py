"""The quads of four neighbouring cells of a swath, and the values between their corners.

A quad is seen from above the place that a value is made for, on the plane that touches the sphere
there: great circles are straight lines, and there is no seam and no pole. Between the corners
values run as a bilinear function of two numbers from 0 to 1.
"""

import numpy as np
import numpy.typing as npt

from harmony_vds.model.arrays import Floats, Positions
from harmony_vds.model.swath import Swath

AROUND = ((-1, -1), (-1, 0), (0, -1), (0, 0))
"""The quads around a cell, by their first corner."""
BEYOND = tuple(
    (row, column) for row in (-2, -1, 0, 1) for column in (-2, -1, 0, 1)
    if (row, column) not in AROUND
)  # fmt: skip
"""The quads around those, which hold a place where quads are oblique."""
_STEPS = 8
_INSIDE = 1e-9
_WIDEST = 2.0
"""Usual diagonals across which values are made; what lies further apart are no neighbours."""

type Corners = tuple[Positions, Positions, Floats]
"""Rows, columns and weights of four cells for each of a block's; shape (4, rows, columns). Weights
are not-a-number where no quad is."""


class Quads:
    """The quads that hold some places, as far as they have been found."""

    def __init__(self, source: Swath, at: Floats) -> None:
        self.source = source
        self.at = at
        """Unit vectors; shape (places, 3)."""
        self._rows, self._columns = np.zeros((2, 4, len(at)), np.int64)
        self._weights = np.full((4, len(at)), np.nan)

    @property
    def missing(self) -> npt.NDArray[np.bool_]:
        """Which places have none yet. **Reads:** nothing."""
        return np.asarray(np.isnan(self._weights[0]))

    def look(self, cells: Positions, about: tuple[tuple[int, int], ...]) -> None:
        """Try quads about `cells`, one flat number for each place, or -1. **Reads:** nothing."""
        rows, columns = np.divmod(cells, self.source.shape[1])
        for down, over in about:
            left = np.flatnonzero(self.missing & (cells >= 0))
            quad = _quad(rows[left] + down, columns[left] + over)
            there = self._is_quad(quad)
            left, quad = left[there], quad[:, :, there]
            weights = _weights(self.at[left], self.source.points[quad[0], quad[1]])
            inside = np.isfinite(weights[0])
            held = left[inside]
            self._rows[:, held], self._columns[:, held] = quad[:, :, inside]
            self._weights[:, held] = weights[:, inside]

    def corners(self, shape: tuple[int, int]) -> Corners:
        """What was found, for places that are a block of `shape`. **Reads:** nothing."""
        whole = (4, *shape)
        return self._rows.reshape(whole), self._columns.reshape(whole), self._weights.reshape(whole)

    def _is_quad(self, quad: Positions) -> npt.NDArray[np.bool_]:
        """Whether all four corners are cells with a place, and neighbours."""
        rows, columns = quad
        size = self.source.shape
        there = (rows >= 0) & (rows < size[0]) & (columns >= 0) & (columns < size[1])
        at = self.source.points[np.where(there, rows, 0), np.where(there, columns, 0)]
        with np.errstate(invalid="ignore"):
            across = np.maximum(
                np.linalg.norm(at[0] - at[3], axis=-1), np.linalg.norm(at[1] - at[2], axis=-1)
            )
            return np.asarray(there.all(axis=0) & (across <= _WIDEST * self.source.spacing))


def _quad(rows: Positions, columns: Positions) -> Positions:
    """The corners of the quads that begin at cells; shape (2, 4, quads)."""
    return np.stack([
        np.stack([rows, rows, rows + 1, rows + 1]),
        np.stack([columns, columns + 1, columns, columns + 1]),
    ])  # fmt: skip


def _weights(at: Floats, points: Floats) -> Floats:
    """Weights of the corners of quads, shape (4, places); not-a-number outside of the quad."""
    first, beside, below, across = _seen_from(at, points)
    right, down, twist = beside - first, below - first, first + across - beside - below
    s = t = np.full(at.shape[0], 0.5)
    with np.errstate(all="ignore"):
        for _ in range(_STEPS):
            off = first + s[:, None] * right + t[:, None] * down + (s * t)[:, None] * twist
            by_s, by_t = right + t[:, None] * twist, down + s[:, None] * twist
            area = by_s[:, 0] * by_t[:, 1] - by_s[:, 1] * by_t[:, 0]
            s = s - (off[:, 0] * by_t[:, 1] - off[:, 1] * by_t[:, 0]) / area
            t = t - (by_s[:, 0] * off[:, 1] - by_s[:, 1] * off[:, 0]) / area
        inside = (np.abs(s - 0.5) <= 0.5 + _INSIDE) & (np.abs(t - 0.5) <= 0.5 + _INSIDE)
    s, t = np.clip(s, 0.0, 1.0), np.clip(t, 0.0, 1.0)
    found = np.stack([(1 - s) * (1 - t), s * (1 - t), (1 - s) * t, s * t])
    return np.where(inside, found, np.nan)


def _seen_from(at: Floats, points: Floats) -> Floats:
    """Points on the plane that touches the sphere at places, eastward and northward.

    Shapes (places, 3), (4, places, 3), (4, places, 2).
    """
    level = np.hypot(at[:, 0], at[:, 1])
    safe = np.where(level > 0, level, 1.0)
    along = np.where(level > 0, -at[:, 1] / safe, 0.0), np.where(level > 0, at[:, 0] / safe, 1.0)
    east = np.stack([*along, np.zeros(level.size)], axis=-1)
    north = np.cross(at, east)
    height = (points * at).sum(axis=-1)
    with np.errstate(all="ignore"):
        return np.stack([(points * own).sum(axis=-1) / height for own in (east, north)], axis=-1)
