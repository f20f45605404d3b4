"""Which of many small boxes in degrees meet which of some geometries, far faster than each by each.

Boxes are looked at in squares of 64, of 16, of 4, and one by one: a square that a geometry covers
is in, one that it does not meet is out, and only those on its edge are looked into.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely

from harmony_vds.model.arrays import Flags, Floats

type Positions = npt.NDArray[np.intp]

_SIDES = (64, 16, 4)
_MOST_AT_ONCE = 2**21
"""Boxes held at once, each of some 300 bytes while it is looked at."""


@dataclass(frozen=True, eq=False)
class Boxes:
    """Boxes in degrees; the arrays have two dimensions and broadcast to (rows, columns)."""

    west: Floats
    south: Floats
    east: Floats
    north: Floats

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns. **Reads:** nothing."""
        rows, columns = np.broadcast_shapes(*(own.shape for own in self._sides))
        return rows, columns

    def rows(self, start: int, stop: int) -> "Boxes":
        """Some rows. **Reads:** nothing."""
        return Boxes(*(own[start:stop] if own.shape[0] > 1 else own for own in self._sides))

    def squares(self, side: int) -> "Boxes":
        """The boxes around squares of `side` rows and columns. **Reads:** nothing."""
        low, high = np.fmin, np.fmax  # not-a-number stands where a cell has no place
        how = zip((low, low, high, high), self._sides, strict=True)
        return Boxes(*(_reduced(reduce, own, side) for reduce, own in how))

    def at(self, rows: Positions, columns: Positions) -> npt.NDArray[np.object_]:
        """Some boxes as geometries. **Reads:** nothing."""
        own = (np.broadcast_to(side, self.shape)[rows, columns] for side in self._sides)
        return np.asarray(shapely.box(*own))

    @property
    def _sides(self) -> tuple[Floats, Floats, Floats, Floats]:
        return self.west, self.south, self.east, self.north


def meeting(
    geometries: npt.NDArray[np.object_],
    boxes: Boxes,
    exact: Callable[[Positions, Positions], npt.NDArray[np.object_]] | None = None,
) -> tuple[Flags, Flags]:
    """The boxes that any of `geometries` meets, its edge included.

    Parameters
    ----------
    geometries
        Single geometries in the same turn as the boxes; shape (n,).
    boxes
        Where to look.
    exact
        Gives, for rows and columns, what the boxes stand for where they are only the outer bounds
        of it; by default the boxes themselves.

    Returns
    -------
    tuple
        Whether each box is met, shape (rows, columns), and whether each geometry meets any,
        shape (n,).

    **Reads:** nothing.
    """
    rows, columns = boxes.shape
    met = np.zeros((rows, columns), np.bool_)
    useful = np.zeros(len(geometries), np.bool_)
    if not (rows and columns and len(geometries)):
        return met, useful
    shapely.prepare(geometries)
    side = _SIDES[0]
    step = max(_MOST_AT_ONCE // (columns * side), 1) * side
    for start in range(0, rows, step):
        stop = min(start + step, rows)
        found, own = _met(geometries, boxes.rows(start, stop), start, exact or boxes.at)
        met[start:stop] = found
        useful |= own
    return met, useful


def _met(
    geometries: npt.NDArray[np.object_],
    boxes: Boxes,
    first: int,
    exact: Callable[[Positions, Positions], npt.NDArray[np.object_]],
) -> tuple[Flags, Flags]:
    """As `meeting`, for rows that begin with number `first`."""
    met = np.zeros(boxes.shape, np.bool_)
    useful = np.zeros(len(geometries), np.bool_)
    above = 0
    owners = r = c = np.empty(0, np.intp)
    for side in _SIDES:
        squares = boxes.squares(side)
        if not above:
            places = np.indices(squares.shape).reshape(2, -1)
            tree = shapely.STRtree(squares.at(*places))
            owners, found = tree.query(geometries)
            r, c = places[0, found], places[1, found]
        else:
            owners, r, c = _within(owners, r, c, above // side, squares.shape)
        pieces = squares.at(r, c)
        touched = shapely.intersects(geometries[owners], pieces)
        owners, r, c, pieces = owners[touched], r[touched], c[touched], pieces[touched]
        covered = shapely.covers(geometries[owners], pieces)
        useful[owners[covered]] = True
        whole = np.zeros(squares.shape, np.bool_)
        whole[r[covered], c[covered]] = True
        met |= whole.repeat(side, 0).repeat(side, 1)[: met.shape[0], : met.shape[1]]
        owners, r, c, above = owners[~covered], r[~covered], c[~covered], side
    owners, r, c = _within(owners, r, c, above, boxes.shape)
    hit = shapely.intersects(geometries[owners], exact(r + first, c))
    useful[owners[hit]] = True
    met[r[hit], c[hit]] = True
    return met, useful


def _within(
    owners: Positions, rows: Positions, columns: Positions, ratio: int, shape: tuple[int, int]
) -> tuple[Positions, Positions, Positions]:
    """The smaller squares, `ratio` to a side, within larger ones."""
    down, along = np.indices((ratio, ratio)).reshape(2, -1)
    r = (rows[:, None] * ratio + down).ravel()
    c = (columns[:, None] * ratio + along).ravel()
    inner = (r < shape[0]) & (c < shape[1])
    return owners.repeat(ratio * ratio)[inner], r[inner], c[inner]


def _reduced(how: np.ufunc, side: Floats, size: int) -> Floats:
    starts = (np.arange(0, length, size) for length in side.shape)
    found = side
    for axis, own in enumerate(starts):
        found = how.reduceat(found, own, axis=axis)
    return found
