"""The cell that a box without any centre touches: the one whose centre is nearest to its middle.

A box touches a cell if one of its points lies in it, as seen at a lattice of the box's points. Of
two cells that are equally near the southern is taken, then the western one.
"""

import numpy as np
import numpy.typing as npt

from harmony_vds.model.arrays import Floats, Positions
from harmony_vds.model.extent import BoundingBox
from harmony_vds.model.grid import Grid
from harmony_vds.model.sphere import vectors
from harmony_vds.planning.cells import Cells
from harmony_vds.planning.places import centres, corners, from_degrees, index_in

_LATTICE = 33
"""Points along each side of a box; odd, so that its middle is one of them."""
_MOST_NEAR = 2048
"""Cells around a box that are tried; the nearest ones."""
_SAME = 1e-12
"""Squared chords, on a sphere of radius 1, that count as equal."""


def touched_on_plane(grid: Grid, box: BoundingBox) -> Cells:
    """The cell of a projected grid that `box` touches; none if it touches none.

    **Reads:** nothing.
    """
    x, y = from_degrees(grid, *_points(box))
    rows, columns = index_in(grid.y, y), index_in(grid.x, x)
    known = (rows >= 0) & (columns >= 0)
    cells = np.unique(np.stack([rows[known], columns[known]], axis=-1), axis=0)
    return _nearest(grid, box, cells[:, 0], cells[:, 1])


def touched_on_sphere(grid: Grid, box: BoundingBox) -> Cells:
    """The cell of a curvilinear grid that `box` touches; none if it touches none.

    **Reads:** nothing.
    """
    nobody = np.empty(0, np.int64)
    middle = vectors(*_middle(box))[0]
    east, north = _points(box)
    reach = float(np.linalg.norm(vectors(east, north) - middle, axis=-1).max())
    rows, columns = _near(grid, middle, reach)
    found: list[tuple[int, int]] = []
    plane = _Plane(middle)
    points = plane.flat(vectors(east, north))
    for row, column in zip(rows, columns, strict=True):
        quad = vectors(*corners(grid, slice(row, row + 1), slice(column, column + 1)))
        ring = plane.flat(quad[[0, 0, 1, 1], [0, 1, 1, 0]])
        if _in_ring(points, ring).any():
            found.append((int(row), int(column)))
    if not found:
        return _nearest(grid, box, nobody, nobody)
    own = np.array(found, np.int64)
    return _nearest(grid, box, own[:, 0], own[:, 1])


def _near(grid: Grid, middle: Floats, reach: float) -> tuple[Positions, Positions]:
    """Cells whose centres lie within `reach` and two cells of a place, the nearest first."""
    chords = np.full(grid.shape, np.inf)
    for row in range(grid.shape[0]):
        own = vectors(*centres(grid, slice(row, row + 1), slice(None)))[0]
        chords[row] = np.nan_to_num(np.linalg.norm(own - middle, axis=-1), nan=np.inf)
    if not np.isfinite(chords).any():
        return np.empty(0, np.int64), np.empty(0, np.int64)
    row, column = (int(own) for own in np.unravel_index(np.argmin(chords), chords.shape))
    around = corners(grid, slice(row, row + 1), slice(column, column + 1))
    quad = vectors(*around)
    side = float(np.nan_to_num(np.linalg.norm(quad[0, 0] - quad[1, 1])))
    rows, columns = np.nonzero(chords <= reach + 2 * side)
    nearest = np.argsort(chords[rows, columns], kind="stable")[:_MOST_NEAR]
    return rows[nearest], columns[nearest]


class _Plane:
    """The plane that touches the sphere at a place."""

    def __init__(self, middle: Floats) -> None:
        pole = np.array([0.0, 0.0, 1.0]) if abs(middle[2]) < 0.9 else np.array([1.0, 0.0, 0.0])
        self.up = middle
        self.east = np.cross(pole, middle) / np.linalg.norm(np.cross(pole, middle))
        self.north = np.cross(middle, self.east)

    def flat(self, places: Floats) -> Floats:
        """Places on it, as seen from the middle of the sphere; great circles are straight."""
        height = places @ self.up
        height = np.where(height > 0.1, height, np.nan)
        return np.stack([places @ self.east, places @ self.north], axis=-1) / height[..., None]


def _in_ring(points: Floats, ring: Floats) -> npt.NDArray[np.bool_]:
    """Whether points lie in, or on the edge of, a convex ring that may turn either way."""
    if not np.isfinite(ring).all():
        return np.zeros(len(points), np.bool_)
    following = np.roll(ring, -1, axis=0)
    sides = (following[:, 0] - ring[:, 0]) * (points[:, None, 1] - ring[:, 1]) - (
        following[:, 1] - ring[:, 1]
    ) * (points[:, None, 0] - ring[:, 0])
    found: npt.NDArray[np.bool_] = (sides >= -1e-15).all(axis=1) | (sides <= 1e-15).all(axis=1)
    return found


def _nearest(grid: Grid, box: BoundingBox, rows: Positions, columns: Positions) -> Cells:
    """Of some cells the one whose centre is nearest to the middle of the box."""
    places = [
        tuple(float(own[0, 0]) for own in centres(grid, np.array([row]), np.array([column])))
        for row, column in zip(rows, columns, strict=True)
    ]
    known = [index for index, (east, _) in enumerate(places) if np.isfinite(east)]
    if not known:
        return Cells(grid.dimensions, grid.shape, (0, 0), np.zeros((0, 0), np.bool_))
    middle = vectors(*_middle(box))[0]
    east, north = (np.array([places[index][axis] for index in known]) for axis in (0, 1))
    chords = ((vectors(east, north) - middle) ** 2).sum(axis=-1)
    near = np.flatnonzero(chords <= chords.min() + _SAME)
    chosen = known[int(near[np.lexsort((east[near], north[near]))[0]])]
    first = (int(rows[chosen]), int(columns[chosen]))
    return Cells(grid.dimensions, grid.shape, first, np.ones((1, 1), np.bool_))


def _points(box: BoundingBox) -> tuple[Floats, Floats]:
    """A lattice of points of a box, its edges among them; shapes (points,)."""
    east = box.west + np.linspace(0.0, box.width, _LATTICE)
    north = np.clip(np.linspace(box.south, box.north, _LATTICE), -90.0, 90.0)
    across, up = np.meshgrid(np.mod(east + 180.0, 360.0) - 180.0, north)
    return across.ravel(), up.ravel()


def _middle(box: BoundingBox) -> tuple[Floats, Floats]:
    north = np.clip((box.south + box.north) / 2, -90.0, 90.0)
    return np.array([box.west + box.width / 2]), np.array([north])
