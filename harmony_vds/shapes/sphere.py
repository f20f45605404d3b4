"""Rings and lines as people write them, made areas and lines on the sphere.

The rules. Latitudes and longitudes are degrees, edges are straight in them. Longitudes may be of
any turn; an edge of more than 180 degrees of longitude goes the short way round, across the
antimeridian, and one of 360 degrees is a whole parallel. A ring that goes round the Earth once
encloses the pole that is nearer to it. The order in which a ring turns means nothing: the first
ring of a polygon is its outline, all others are holes. What comes out lies in [-180, 180], split at
the antimeridian.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from harmony_vds.shapes.tangle import Tangle

type Positions = npt.NDArray[np.float64]
"""Longitudes and latitudes, shape (n, 2)."""

_ROUNDING = 1e-9
"""Degrees: well above the rounding of sums of angles."""


def area(rings: Sequence[Positions], tangle: Tangle, where: str) -> tuple[shapely.Geometry, str]:
    """The area inside the first of `rings` and outside of all others, and what was mended.

    Parameters
    ----------
    rings
        Closed rings, at least one; each shape (n, 2), degrees, n >= 4.
    tangle
        What was met in other areas of the document.
    where
        Which of them it is.

    Returns
    -------
    tuple
        A valid geometry, empty where the holes leave nothing and a line where the outline has no
        width; and a reason, empty if nothing was wrong.

    Raises
    ------
    RequestError
        The rings cross or touch themselves too often.

    **Reads:** nothing.
    """
    for ring in rings:
        tangle.refuse_hopeless(ring, where)
    if all(_is_plain(ring) for ring in rings):
        polygon = shapely.Polygon(rings[0], rings[1:])
        if shapely.is_valid(polygon):
            return polygon, ""
        reason = shapely.is_valid_reason(polygon)
    else:
        reason = ""
    outline, *holes = (_enclosed(ring, tangle, where) for ring in rings)
    return shapely.difference(outline, shapely.union_all(holes)), reason


def line(positions: Positions) -> shapely.Geometry:
    """The line through `positions`, shape (n, 2), n >= 2. **Reads:** nothing."""
    return _folded(shapely.LineString(_running_on(positions)))


def points(positions: Positions) -> shapely.Geometry:
    """The points at `positions`, shape (n, 2). **Reads:** nothing."""
    x = positions[:, 0]
    inside = np.where(np.abs(x) <= 180.0, x, (x + 180.0) % 360.0 - 180.0)
    return shapely.MultiPoint(np.stack([inside, positions[:, 1]], axis=1))


def long_edges(positions: Positions) -> npt.NDArray[np.int64]:
    """Numbers of the edges that go the short way round, from 0. **Reads:** nothing."""
    away = np.abs(np.diff(positions[:, 0]))
    return np.flatnonzero((away > 180.0 + _ROUNDING) & (np.abs(away - 360.0) > _ROUNDING))


def _is_plain(ring: Positions) -> bool:
    """Whether a ring means on the sphere what it means on paper."""
    x = ring[:, 0]
    within = bool((x >= -180.0).all() and (x <= 180.0).all())
    return within and not long_edges(ring).size and _seamless_turn(ring) is None


def _enclosed(ring: Positions, tangle: Tangle, where: str) -> Any:
    """The area inside one ring."""
    around = _running_on(ring)
    if abs(around[-1, 0] - around[0, 0]) > 180.0:
        around = _over_the_pole(around)
    outline = shapely.Polygon(around)
    if not shapely.is_valid(outline):
        tangle.add(outline, where)
        outline = _widest(shapely.make_valid(outline))
    return _folded(outline)


def _running_on(positions: Positions) -> Positions:
    """`positions` with longitudes that never jump; a ring round a pole ends a turn further on."""
    steps = np.diff(positions[:, 0])
    jumps = long_edges(positions)
    steps[jumps] -= 360.0 * np.round(steps[jumps] / 360.0)
    if (seam := _seamless_turn(positions)) is not None:
        steps[seam] = 0.0
    x = positions[0, 0] + np.concatenate([[0.0], np.cumsum(steps)])
    return np.stack([x, positions[:, 1]], axis=1)


def _seamless_turn(positions: Positions) -> int | None:
    """The one edge that closes a ring round a pole by going back all the way, such as 180 to -180.

    It joins a place with itself. Where the ring runs along the antimeridian beside it, or along
    the pole, it is a parallel after all.
    """
    x, y = positions[:, 0], positions[:, 1]
    turns = np.flatnonzero(np.abs(np.abs(np.diff(x)) - 360.0) <= _ROUNDING)
    if turns.size != 1 or (x[0], y[0]) != (x[-1], y[-1]):
        return None
    edge = int(turns[0])
    if y[edge] != y[edge + 1] or abs(y[edge]) >= 90.0 - _ROUNDING:
        return None
    steps = np.diff(x)
    beside = (steps[edge - 1], steps[(edge + 1) % steps.size])
    return edge if all(abs(step) > _ROUNDING for step in beside) else None


def _over_the_pole(around: Positions) -> Positions:
    """A ring that ends a turn away from where it began, closed along the nearer pole."""
    x, y = around[:, 0], around[:, 1]
    mean = float(np.sum(np.diff(x) * (y[1:] + y[:-1]) / 2) / (x[-1] - x[0]))
    pole = 90.0 if mean >= 0 else -90.0
    return np.concatenate([around, [[x[-1], pole], [x[0], pole], around[0]]])


def _widest(geometry: shapely.Geometry) -> shapely.Geometry:
    """The parts of the highest dimension: the areas of a mended ring without its spikes."""
    parts = shapely.get_parts(geometry)
    sizes = shapely.get_dimensions(parts)
    return shapely.union_all(parts[sizes == sizes.max()])


def _folded(geometry: shapely.Geometry) -> shapely.Geometry:
    """`geometry`, of any longitudes, in [-180, 180]."""
    west, _, east, _ = shapely.bounds(geometry)
    if west >= -180.0 and east <= 180.0:
        return geometry
    pieces = []
    for turn in range(int((west + 180.0) // 360.0), int((east + 180.0) // 360.0) + 1):
        strip = shapely.box(360.0 * turn - 180.0, -90.0, 360.0 * turn + 180.0, 90.0)
        piece = shapely.intersection(geometry, strip)
        pieces.append(
            shapely.transform(piece, lambda own, by=360.0 * turn: own - np.array([by, 0.0]))
        )
    return _widest(shapely.GeometryCollection(pieces))
