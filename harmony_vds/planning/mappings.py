"""Which reference system the x and y of a variable are in: CF's grid mappings, and GeoZarr's.

Published stores lose the link between a variable and its grid mapping in many ways. Where the
attribute is missing, or the variable that it names, a grid mapping in the nearest group holds if
all that the group has state one system; at last, if all of the whole store do.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from harmony_vds.model.paths import ancestors, group_of, name_of
from harmony_vds.planning.crs import crs_of, states_crs
from harmony_vds.planning.hierarchy import Hierarchy


@dataclass(frozen=True, eq=False)
class GridMapping:
    """The reference system of a variable, and what states it."""

    path: str
    """Full path of the variable or group that states it."""
    attributes: dict[str, Any]
    """Its attributes."""
    crs: str
    """The system as WKT."""
    remark: str = ""
    """How it was found where the variable itself does not lead to it, in words for the user."""


def mapping_of(path: str, hierarchy: Hierarchy) -> GridMapping | None:
    """The grid mapping of the variable at `path`, or None without one that is understood.

    **Reads:** nothing.
    """
    own = next(_named(path, hierarchy), None) or _geozarr(path, hierarchy)
    if own is not None:
        return own
    named = " ".join(_names(path, hierarchy))
    lost = f"its grid mapping {named} is not where it says" if named else "it names no grid mapping"
    for group in ancestors(group_of(path)):
        near = [p for p in hierarchy.variables if group_of(p) == group]
        found = list(_understood(near, hierarchy))
        if found:
            return _only(found, f"{lost}; {{}}, the only one in its scope, was taken")
    found = list(_understood(hierarchy.variables, hierarchy))
    return _only(found, f"{lost}; {{}}, the only one in the store, was taken")


def _names(path: str, hierarchy: Hierarchy) -> list[str]:
    """The variables that a ``grid_mapping`` names: in its extended form, those with a colon.

    What follows each of these are the coordinates it is of. (CF conventions, section 5.6.)
    """
    words = str(hierarchy.variables[path].attrs.get("grid_mapping", "")).split()
    extended = [word.removesuffix(":") for word in words if word.endswith(":")]
    return extended or words[:1]


def _named(path: str, hierarchy: Hierarchy) -> Iterator[GridMapping]:
    """What the variable's own attribute leads to, projected systems before plain degrees."""
    found = [hierarchy.resolve(name, group_of(path)) for name in _names(path, hierarchy)]
    named = list(_understood((p for p in found if p is not None), hierarchy))
    yield from sorted(
        named, key=lambda own: own.attributes.get("grid_mapping_name") == "latitude_longitude"
    )


def _geozarr(path: str, hierarchy: Hierarchy) -> GridMapping | None:
    """What the attributes of the variable or of a group around it state by GeoZarr."""
    places = [(path, hierarchy.variables[path].attrs)]
    tree = hierarchy.store.tree
    places += [(group, tree[group].attrs) for group in ancestors(group_of(path)) if group in tree]
    for place, attributes in [*places, ("/", tree.attrs)]:
        stated = {str(name): value for name, value in attributes.items()}
        if any(name.startswith("proj:") for name in stated) or (
            place == path and {"crs_wkt", "spatial_ref"} & {*stated}
        ):
            crs = crs_of(stated)
            if crs is not None:
                return GridMapping(place, stated, crs)
    return None


def _understood(paths: Iterable[str], hierarchy: Hierarchy) -> Iterator[GridMapping]:
    for path in paths:
        attributes = hierarchy.variables[path].attrs
        crs = crs_of(attributes) if states_crs(attributes) else None
        if crs is not None:
            yield GridMapping(path, dict(attributes), crs)


def _only(found: list[GridMapping], remark: str) -> GridMapping | None:
    """The first of `found` if all state one system."""
    if len({own.crs for own in found}) != 1:
        return None
    first = found[0]
    return GridMapping(
        first.path, first.attributes, first.crs, remark.format(name_of(first.path) or first.path)
    )
