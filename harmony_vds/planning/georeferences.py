"""Attributes that say where a whole grid lies, brought up to date for the window that is kept.

GDAL's ``GeoTransform`` on grid mappings and GeoZarr's ``spatial:*`` on variables and groups tell
the corner of the first cell. Where one attribute stands for grids that are cut in different places,
or for a window that is not one piece of the store, nothing true can be said by it: it is left out.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from harmony_vds.model.paths import ancestors, group_of
from harmony_vds.model.plan import PlannedVariable
from harmony_vds.model.selection import AxisSelection
from harmony_vds.planning.grids import Footing
from harmony_vds.planning.hierarchy import Hierarchy
from harmony_vds.planning.transforms import numbers_of
from harmony_vds.planning.variables import grid_mapping_names

_GDAL = "GeoTransform"
_TRANSFORM, _SHAPE, _BBOX = "spatial:transform", "spatial:shape", "spatial:bbox"

type Window = tuple[int, int, int, int] | None
"""First row, first column, rows, columns; None where it is not one piece."""
type Updates = dict[str, dict[str, Any]]
"""Full path of a variable or group → attribute → its value, None to leave it out."""


def georeferences(
    variables: Iterable[PlannedVariable],
    footings: Mapping[str, Footing],
    selection: Mapping[str, AxisSelection],
    hierarchy: Hierarchy,
) -> Updates:
    """The attributes of an output's variables and groups that its window changes.

    Parameters
    ----------
    variables
        Of the output.
    footings
        Of the requested ones.
    selection
        What is kept of each dimension.
    hierarchy
        The store's variables.

    **Reads:** nothing.
    """
    windows: dict[str, set[Window]] = {}
    for path, own in footings.items():
        if own.ground is None or len(own.ground.dimensions) != 2:
            continue
        window = _window(path, own.ground.dimensions, selection, hierarchy)
        named = grid_mapping_names(str(hierarchy.variables[path].attrs.get("grid_mapping", "")))
        mappings = (hierarchy.resolve(name, group_of(path)) for name in named)
        for place in (path, *ancestors(group_of(path)), *(p for p in mappings if p)):
            windows.setdefault(place, set()).add(window)
    known = {own.path for own in variables}
    found: Updates = {}
    for place, cuts in windows.items():
        is_group = place not in hierarchy.variables
        if is_group or place in known:
            tree = hierarchy.store.tree
            attributes = (tree[place] if is_group else hierarchy.variables[place]).attrs
            changed = _changed(attributes, cuts)
            if changed:
                found[place] = changed
    return found


def _window(
    path: str, dimensions: tuple[str, ...], selection: Mapping[str, AxisSelection],
    hierarchy: Hierarchy,
) -> Window:  # fmt: skip
    sizes = dict(zip(hierarchy.dimensions(path), hierarchy.variables[path].shape, strict=True))
    rows, columns = (
        selection.get(own, AxisSelection.whole(sizes.get(own, 0))) for own in dimensions
    )
    if len(rows.pieces) != 1 or len(columns.pieces) != 1:
        return None
    return rows.pieces[0].start, columns.pieces[0].start, len(rows), len(columns)


def _changed(attributes: Mapping[Any, Any], cuts: set[Window]) -> dict[str, Any]:
    """What becomes of the attributes that place a grid."""
    stated = {name: attributes[name] for name in (_GDAL, _TRANSFORM) if name in attributes}
    window = next(iter(cuts)) if len(cuts) == 1 else None
    found: dict[str, Any] = {}
    for name, value in stated.items():
        numbers = numbers_of(value)
        moved = None if numbers is None or window is None else _moved(name, numbers, window)
        if name == _TRANSFORM:
            found |= {own: None for own in (_SHAPE, _BBOX) if own in attributes}
            if moved is not None and window is not None and _SHAPE in attributes:
                found[_SHAPE] = [window[2], window[3]]
            if moved is not None and window is not None and _BBOX in attributes:
                found[_BBOX] = _around(moved, window)
        found[name] = " ".join(map(repr, moved)) if moved and isinstance(value, str) else moved
    return found


def _moved(name: str, numbers: list[float], window: tuple[int, int, int, int]) -> list[float]:
    """A transform whose first cell is that of the window."""
    row, column, _, _ = window
    if name == _GDAL:
        c, a, b, f, d, e = numbers
        return [c + a * column + b * row, a, b, f + d * column + e * row, d, e]
    a, b, c, d, e, f = numbers
    return [a, b, c + a * column + b * row, d, e, f + d * column + e * row]


def _around(numbers: list[float], window: tuple[int, int, int, int]) -> list[float]:
    """The box around a window in units of its reference system: x and y least, x and y most."""
    a, b, c, d, e, f = numbers
    _, _, rows, columns = window
    ends = [(i, j) for i in (0, columns) for j in (0, rows)]
    x, y = [a * i + b * j + c for i, j in ends], [d * i + e * j + f for i, j in ends]
    return [min(x), min(y), max(x), max(y)]
