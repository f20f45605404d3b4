"""From the names a user asked for to the variables an output needs to make sense.

A variable without its coordinates, bounds, grid mapping and ancillary variables is numbers without
meaning; one that nobody asked for and nothing needs is a burden.
"""

import re
from collections.abc import Iterable, Sequence

from harmony_vds.errors import StoreError, UnknownVariableError
from harmony_vds.model.grid import AxisKind
from harmony_vds.model.paths import group_of, name_of
from harmony_vds.model.plan import PlannedVariable, Role
from harmony_vds.planning.hierarchy import Hierarchy
from harmony_vds.planning.recognition import is_coordinate
from harmony_vds.planning.unknown import named, unknown_variable

# Attributes that name other variables: a list of names, or "key: name" pairs (CF, appendix A).
_NAME_LISTS = ("coordinates", "ancillary_variables", "bounds", "climatology", "geometry")
_PLACING = ("coordinates", "bounds", "climatology", "geometry")
_NAME_PAIRS = ("cell_measures", "formula_terms")


def requested_paths(names: Sequence[str], hierarchy: Hierarchy) -> tuple[str, ...]:
    """The full paths that `names` mean; every variable if there are none.

    A name is a full path with or without leading slash, as UMM-Var writes it. The end of a path is
    enough where no other path ends so; and where the store was flattened, a longer path means the
    variable at its end, if the store holds its last part only once. A name in one group never
    means a variable of another.

    Raises
    ------
    UnknownVariableError
        A name means nothing, or more than one variable; the text offers what it may have meant.
    StoreError
        The name means a variable, or lies in a group, that could not be opened.

    **Reads:** nothing.
    """
    if not names:
        return tuple(hierarchy.variables)
    found = dict.fromkeys(_path_of(name.strip(), hierarchy) for name in names)
    return tuple(found)


def _path_of(name: str, hierarchy: Hierarchy) -> str:
    """The one variable that `name` means; raise where there is none, or several."""
    path = f"/{name.strip('/')}"
    if path in hierarchy.variables:
        return path
    for place, reason in hierarchy.store.defects.items():
        if path == place or path.startswith(f"{place.rstrip('/')}/"):
            raise StoreError(f"The variable {name!r} cannot be read: {reason}.")
    within = [p for p in hierarchy.variables if p.endswith(path)]
    short = name_of(path)
    alike = [p for p in hierarchy.variables if name_of(p) == short]
    if len(within) == 1:
        return within[0]
    if not within and len(alike) == 1 and path.endswith(alike[0]):
        return alike[0]
    if within or any(path.endswith(p) for p in alike):
        raise UnknownVariableError(
            f"The variable name {name!r} is not unique: the store holds {named(alike)}. "
            "Ask by the full path."
        )
    for place, reason in hierarchy.store.defects.items():
        if place.endswith(path) or path.endswith(place):
            raise StoreError(f"The variable {name!r} cannot be read: {reason}.")
    raise unknown_variable(name, hierarchy)


def with_required(
    requested: Sequence[str], hierarchy: Hierarchy, axes: Iterable[str] = ()
) -> tuple[PlannedVariable, ...]:
    """The requested variables, `axes` and all that they need, in the store's order.

    **Reads:** nothing.
    """
    needed = {*requested, *axes}
    waiting = sorted(needed)
    while waiting:
        for path in _companions(waiting.pop(), hierarchy):
            if path not in needed:
                needed.add(path)
                waiting.append(path)
    chosen = set(requested)
    return tuple(
        PlannedVariable(
            path,
            hierarchy.dimensions(path),
            Role.REQUESTED if path in chosen else Role.REQUIRED,
            path in hierarchy.store.added,
        )
        for path in hierarchy.variables
        if path in needed
    )


def _companions(path: str, hierarchy: Hierarchy) -> Iterable[str]:
    """The variables that the one at `path` names, and the coordinates of its dimensions."""
    variable, group = hierarchy.variables[path], group_of(path)
    names = [str(name) for name in variable.dims]
    for attribute in _NAME_LISTS:
        names += str(variable.attrs.get(attribute, "")).split()
    for attribute in _NAME_PAIRS:
        names += re.findall(r":\s*(\S+)", str(variable.attrs.get(attribute, "")))
    names += grid_mapping_names(str(variable.attrs.get("grid_mapping", "")))
    resolved = (hierarchy.resolve(name, group) for name in names)
    return [found for found in resolved if found is not None]


def placing_paths(variables: Iterable[PlannedVariable], hierarchy: Hierarchy) -> set[str]:
    """Those of `variables` that place others or bound their cells, and are no data themselves.

    **Reads:** nothing.
    """
    found = set()
    for own in variables:
        raw, group = hierarchy.variables[own.path], group_of(own.path)
        names = [
            name for attribute in _PLACING for name in str(raw.attrs.get(attribute, "")).split()
        ]
        for attribute in _NAME_PAIRS:
            names += re.findall(r":\s*(\S+)", str(raw.attrs.get(attribute, "")))
        found |= {path for name in names if (path := hierarchy.resolve(name, group)) is not None}
        if own.dimensions == (own.path,) or any(is_coordinate(k, own.path, raw) for k in AxisKind):
            found.add(own.path)
    return found


def grid_mapping_names(attribute: str) -> list[str]:
    """Variables that a ``grid_mapping`` names, in its short or extended form.

    **Reads:** nothing.

    >>> grid_mapping_names("crs: x y other: lat lon")
    ['crs', 'x', 'y', 'other', 'lat', 'lon']
    """
    return attribute.replace(":", " ").split()
