"""Corners of curvilinear cells by the bounds that CF gives their latitudes and longitudes.

CF stores four corners for each cell (conventions, section 7.1), going round it either way from any
of them. Where neighbours share theirs, all together are one lattice of corners. Cells that do not,
such as footprints with gaps between, have no such lattice, nor have bounds that lie elsewhere.
"""

import numpy as np

from harmony_vds.model.arrays import Floats
from harmony_vds.model.sphere import vectors
from harmony_vds.planning.axes import decode
from harmony_vds.planning.hierarchy import Hierarchy
from harmony_vds.planning.places import Places, sound

_CORNERS = 4
_APART = 2e-6
"""Radians between corners that count as one: thirteen metres, which single precision blurs."""
_ORDERS = tuple(
    tuple((first + way * step) % _CORNERS for step in range(_CORNERS))
    for way in (1, -1)
    for first in range(_CORNERS)
)
"""Numbers of the corners before and behind along columns in the first row, then in the second."""


def lattice_of(y: str, x: str, hierarchy: Hierarchy) -> Places | None:
    """The corners of the cells whose latitudes and longitudes are stored at `y` and `x`.

    Returns
    -------
    tuple or None
        Longitudes and latitudes, each of shape (rows + 1, columns + 1); None where the store has
        no bounds of both, or none that neighbours share.

    **Reads:** coordinates.
    """
    paths = [_bounds_of(path, hierarchy) for path in (x, y)]
    known = [path for path in paths if path is not None]
    if len(known) < 2:
        return None
    bounds, middles = [], []
    for path, own in zip((x, y), known, strict=True):
        told = hierarchy.variables[path].attrs
        middles.append(decode(hierarchy.load(path), told))
        bounds.append(decode(hierarchy.load(own), {**told, **hierarchy.variables[own].attrs}))
    longitudes, latitudes = sound(*bounds)
    corners = vectors(longitudes, latitudes)
    if not _surround(corners, vectors(*sound(*middles))):
        return None
    for order in _ORDERS:
        a, b, c, d = (corners[..., own, :] for own in order)
        across = _meet(b[:, :-1], a[:, 1:]) and _meet(c[:, :-1], d[:, 1:])
        if across and _meet(d[:-1], a[1:]) and _meet(c[:-1], b[1:]):
            return _joined(longitudes, order), _joined(latitudes, order)
    return None


def _bounds_of(path: str, hierarchy: Hierarchy) -> str | None:
    """The bounds of a coordinate of two dimensions, if there are four for each cell."""
    named = str(hierarchy.variables[path].attrs.get("bounds", "")).strip()
    found = hierarchy.resolve(named, path.rpartition("/")[0] or "/") if named else None
    if found is None or hierarchy.variables[path].ndim != 2:
        return None
    own = hierarchy.variables[found]
    fits = hierarchy.dimensions(found)[:-1] == hierarchy.dimensions(path)
    return found if fits and own.shape[-1] == _CORNERS and own.dtype.kind in "iuf" else None


def _meet(one: Floats, other: Floats) -> bool:
    """Whether places are the same, as far as both are known."""
    apart = np.linalg.norm(one - other, axis=-1)
    return bool((np.nan_to_num(apart) <= _APART).all())


def _surround(corners: Floats, centres: Floats) -> bool:
    """Whether no centre lies further from the middle of its corners than they do themselves.

    Bounds that were never written, all zero, have no area and lie elsewhere.
    """
    middles = corners.mean(axis=-2)
    reach = np.linalg.norm(corners - middles[..., None, :], axis=-1).max(axis=-1)
    beyond = np.linalg.norm(centres - middles, axis=-1) - reach
    known = np.isfinite(beyond)
    return bool(known.any()) and bool((beyond[known] <= _APART).all() and (reach[known] > 0).all())


def _joined(bounds: Floats, order: tuple[int, ...]) -> Floats:
    """The corners of all cells as one lattice; each from any cell around it that has it."""
    rows, columns = bounds.shape[:2]
    found = np.full((rows + 1, columns + 1), np.nan)
    for number, (down, over) in zip(order, ((0, 0), (0, 1), (1, 1), (1, 0)), strict=True):
        part = found[down : down + rows, over : over + columns]
        part[...] = np.where(np.isfinite(part), part, bounds[..., number])
    return found
