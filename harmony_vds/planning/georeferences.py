"""Attributes that say where a whole grid lies, brought up to date for the window that is kept.

GDAL's ``GeoTransform`` on grid mappings and GeoZarr's ``spatial:*`` on variables and groups tell
the corner of the first cell. Where one attribute stands for grids that are cut in different places,
for a window that is not one piece of the store, or where it says anything else than the coordinates
that are stored, nothing true can be said by it: it is left out. Grids that are kept whole keep it.
Likewise a formula for heights is left out where an average leaves out one of its terms.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from harmony_vds.model.grid import AxisKind, GridKind
from harmony_vds.model.paths import ancestors, group_of
from harmony_vds.model.plan import PlannedVariable
from harmony_vds.model.selection import AxisSelection
from harmony_vds.planning.axes import read_axis
from harmony_vds.planning.grids import Footing, Ground
from harmony_vds.planning.hierarchy import Hierarchy
from harmony_vds.planning.transforms import numbers_of
from harmony_vds.planning.variables import grid_mapping_names

_GDAL = "GeoTransform"
_FORMULA = "formula_terms"
"""By which CF computes heights from levels; it holds of all its terms or not at all."""
_STORED = (GridKind.CURVILINEAR, GridKind.TRACK)
_TRANSFORM, _SHAPE, _BBOX = "spatial:transform", "spatial:shape", "spatial:bbox"

type Window = tuple[int, int, int, int] | None
"""First row, first column, rows, columns; None where it is not one piece."""
type First = tuple[float, float, float, float] | None
"""x of the first column, from it to the next, y of the first row, from it to the next, as stored;
None where the store has no coordinates."""
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
    windows: dict[str, set[tuple[Window, First]]] = {}
    cut = {own for own, kept in selection.items() if not kept.is_whole}
    for path, own in footings.items():
        if own.ground is None or own.ground.kind is GridKind.TRACK:
            continue
        if not cut.intersection(own.ground.dimensions[-2:]):
            continue
        window = (
            _window(path, own.ground.dimensions[-2:], selection, hierarchy),
            _first(own.ground, hierarchy),
        )
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
    for path in _lost_formulas(known, hierarchy):
        found.setdefault(path, {})[_FORMULA] = None
    return found


def _lost_formulas(known: set[str], hierarchy: Hierarchy) -> Iterator[str]:
    """The output's variables with a formula of which the store has a term that the output lacks."""
    for path in known:
        stated = str(hierarchy.variables[path].attrs.get(_FORMULA, "")).split()
        terms = (hierarchy.resolve(name, group_of(path)) for name in stated if name[-1] != ":")
        if any(term is not None and term not in known for term in terms):
            yield path


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


def _first(ground: Ground, hierarchy: Hierarchy) -> First:
    """Where rows and columns begin by their coordinates, which planning has read."""
    if ground.x is None or ground.y is None or ground.kind in _STORED:
        return None
    x, y = (
        read_axis(kind, own, hierarchy).values
        for kind, own in ((AxisKind.X, ground.x), (AxisKind.Y, ground.y))
    )
    if x.size < 2 or y.size < 2:
        return None
    return float(x[0]), float(x[1] - x[0]), float(y[0]), float(y[1] - y[0])


def _agrees(name: str, numbers: list[float], first: First) -> bool:
    """Whether a transform says what the coordinates say, to a tenth of a cell."""
    if first is None:
        return True
    c, a, _, f, _, e = numbers if name == _GDAL else [numbers[i] for i in (2, 0, 1, 5, 3, 4)]
    x, dx, y, dy = first
    ends = ((c + a / 2, x, dx), (c, x - dx / 2, dx), (f + e / 2, y, dy), (f, y - dy / 2, dy))
    return all(abs(own - stored) <= abs(step) / 10 for own, stored, step in ends)


def _changed(attributes: Mapping[Any, Any], cuts: set[tuple[Window, First]]) -> dict[str, Any]:
    """What becomes of the attributes that place a grid."""
    stated = {name: attributes[name] for name in (_GDAL, _TRANSFORM) if name in attributes}
    window, first = next(iter(cuts)) if len(cuts) == 1 else (None, None)
    found: dict[str, Any] = {}
    for name, value in stated.items():
        numbers = numbers_of(value)
        moved = None
        if numbers is not None and window is not None and _agrees(name, numbers, first):
            moved = _moved(name, numbers, window)
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
