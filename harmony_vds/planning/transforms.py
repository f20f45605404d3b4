"""Axes of grids whose store keeps no coordinates, only the affine transform of their cells.

GDAL's ``GeoTransform`` stands on a grid mapping, GeoZarr's ``spatial:transform`` on a variable or a
group. Turned or sheared grids have no axes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from harmony_vds.model.grid import Axis, AxisKind
from harmony_vds.model.paths import ancestors, group_of, name_of
from harmony_vds.planning.hierarchy import Hierarchy
from harmony_vds.planning.mappings import GridMapping

_DIMENSIONS = "spatial:dimensions"
_TRANSFORM = "spatial:transform"
_GDAL = "GeoTransform"


@dataclass(frozen=True)
class Affine:
    """Where cells are: x of the centre of column i is ``x + i * dx``; y likewise."""

    x: float
    """Centre of the first column, in units of the reference system."""
    dx: float
    """From one column to the next."""
    y: float
    """Centre of the first row."""
    dy: float
    """From one row to the next; negative where north is up."""
    dimensions: tuple[str, str]
    """Full paths of the dimensions of rows and columns."""

    def axis(self, kind: AxisKind, hierarchy: Hierarchy, path: str) -> Axis:
        """The axis of x or y of the variable at `path`. **Reads:** nothing."""
        own = self.dimensions[kind is AxisKind.X]
        size = hierarchy.variables[path].shape[hierarchy.dimensions(path).index(own)]
        first, step = (self.x, self.dx) if kind is AxisKind.X else (self.y, self.dy)
        values = first + step * np.arange(size, dtype=np.float64)
        largest = float(np.max(np.abs(values), initial=1.0))
        return Axis("", own, kind, values, "", float(np.spacing(largest)))


def affine_of(path: str, mapping: GridMapping, hierarchy: Hierarchy) -> Affine | None:
    """The transform of the cells of the variable at `path`, or None without one.

    A grid mapping's holds only for variables that name it. **Reads:** nothing.
    """
    dimensions = hierarchy.dimensions(path)
    if len(dimensions) < 2:
        return None
    for attributes in _around(path, hierarchy):
        numbers = numbers_of(attributes.get(_TRANSFORM))
        if numbers is not None:
            own = _stated(attributes.get(_DIMENSIONS), dimensions) or dimensions[-2:]
            half = 0.0 if attributes.get("spatial:registration") == "node" else 0.5
            return _upright(numbers, half, (own[0], own[1]))
    numbers = numbers_of(mapping.attributes.get(_GDAL))
    if numbers is None or mapping.remark:
        return None
    c, a, b, f, d, e = numbers
    return _upright([a, b, c, d, e, f], 0.5, (dimensions[-2], dimensions[-1]))


def _around(path: str, hierarchy: Hierarchy) -> list[Mapping[Any, Any]]:
    """Attributes of the variable and of the groups around it."""
    tree = hierarchy.store.tree
    groups = [tree[group].attrs for group in ancestors(group_of(path)) if group != "/"]
    return [hierarchy.variables[path].attrs, *groups, tree.attrs]


def numbers_of(stated: Any) -> list[float] | None:
    """The six numbers of a transform, text or list; None if they are none. **Reads:** nothing."""
    parts = stated.split() if isinstance(stated, str) else stated
    try:
        numbers = [float(own) for own in np.ravel(parts if parts is not None else ())]
    except (TypeError, ValueError):
        return None
    return numbers[:6] if len(numbers) >= 6 and np.isfinite(numbers[:6]).all() else None


def _stated(names: Any, dimensions: tuple[str, ...]) -> tuple[str, ...] | None:
    """The dimensions that GeoZarr names, rows first."""
    asked = [str(name) for name in names] if isinstance(names, list | tuple) else []
    found = [own for name in asked for own in dimensions if name_of(own) == name]
    return tuple(found) if len(found) == 2 else None


def _upright(numbers: list[float], half: float, dimensions: tuple[str, str]) -> Affine | None:
    """An affine transform without rotation, from corners to centres."""
    a, b, c, d, e, f = numbers
    if b or d or not a or not e:
        return None
    return Affine(c + half * a, a, f + half * e, e, dimensions)
