"""The latitudes and longitudes of a variable's cells, wherever the store keeps them.

Those that the variable's ``coordinates`` name come first, then those in its group and in the groups
above, at last those of other groups: geolocation often has a group of its own. They must lie on
dimensions of the variable.
"""

from collections.abc import Sequence

from harmony_vds.model.grid import AxisKind
from harmony_vds.model.paths import ancestors, group_of, name_of
from harmony_vds.planning.hierarchy import Hierarchy

_USUAL = ("lat", "latitude", "nav_lat")


def located(path: str, hierarchy: Hierarchy) -> tuple[str, str] | None:
    """The latitudes and longitudes of the variable at `path`: both on the same dimensions.

    None where there are none, or several of which none is named. **Reads:** nothing.
    """
    listed = named_coordinates(path, hierarchy)
    own = set(hierarchy.dimensions(path))
    fitting = [y for y in hierarchy.placing[AxisKind.Y] if own.issuperset(hierarchy.dimensions(y))]
    near = {group: rank for rank, group in enumerate(ancestors(group_of(path)), start=1)}
    ranks: dict[tuple[int, int], list[tuple[str, str]]] = {}
    for y in fitting:
        x = _partner(y, listed, hierarchy)
        if x is None:
            continue
        rank = 0 if y in listed else near.get(group_of(y), len(near) + 1)
        ranks.setdefault((rank, -len(hierarchy.dimensions(y))), []).append((y, x))
    if not ranks:
        return None
    best = ranks[min(ranks)]
    usual = [pair for pair in best if name_of(pair[0]).lower() in _USUAL]
    chosen = usual if len(best) > 1 else best
    return chosen[0] if len(chosen) == 1 else None


def named_coordinates(path: str, hierarchy: Hierarchy) -> Sequence[str]:
    """The variables that the ``coordinates`` of the one at `path` name. **Reads:** nothing.

    Names that CF's search by proximity does not find mean the only variable of that name.
    """
    names = str(hierarchy.variables[path].attrs.get("coordinates", "")).split()
    found = []
    for name in names:
        near = hierarchy.resolve(name, group_of(path))
        far = [p for p in hierarchy.variables if p.endswith(f"/{name.strip('/')}")]
        found += [near] if near else far if len(far) == 1 else []
    return found


def _partner(y: str, listed: Sequence[str], hierarchy: Hierarchy) -> str | None:
    """The longitudes that belong to the latitudes at `y`."""
    dimensions = hierarchy.dimensions(y)
    found = [
        x for x in hierarchy.placing[AxisKind.X]
        if hierarchy.dimensions(x) == dimensions and group_of(x) == group_of(y)
    ]  # fmt: skip
    if len(found) > 1:
        named = [x for x in found if x in listed]
        alike = name_of(y).lower().replace("latitude", "longitude").replace("lat", "lon")
        found = named or [x for x in found if name_of(x).lower() == alike]
    return found[0] if len(found) == 1 else None
