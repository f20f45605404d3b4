"""What a request may have meant by the name of a variable that the store does not hold."""

import difflib
import re
from collections.abc import Sequence

from harmony_vds.errors import UnknownVariableError
from harmony_vds.model.listing import listed
from harmony_vds.model.paths import group_of, name_of
from harmony_vds.planning.hierarchy import Hierarchy

_LONGEST = 80
_MOST_LISTED = 12
_MOST_NEAR = 3


def unknown_variable(name: str, hierarchy: Hierarchy) -> UnknownVariableError:
    """The error that tells why `name` is no variable, and what to ask for. **Reads:** nothing."""
    return UnknownVariableError(_words(name, hierarchy))


def _words(name: str, hierarchy: Hierarchy) -> str:
    return (
        _of_spelling(name, hierarchy) or _of_place(name, hierarchy) or _of_likeness(name, hierarchy)
    )


def _of_spelling(name: str, hierarchy: Hierarchy) -> str:
    """What to say of a name that can be no variable's; empty where it can be one's."""
    shown, held = _shown(name), f"The store holds {named(list(hierarchy.variables))}."
    if "*" in name or "?" in name:
        return (
            f"{shown} is a pattern, and variables are asked for by whole names, or all of them by "
            f"none. {held}"
        )
    if re.search(r"\[.*\]|[<>=]", name):
        return (
            f"{shown} holds a constraint beside the name of a variable. Name the variable alone, "
            f"and cut it by bbox, temporal and dimensions. {held}"
        )
    if len(parts := [own for own in re.split(r"[,;\s]+", name) if own]) > 1:
        return (
            f"The store holds no variable {shown}, and that looks like {len(parts)} names; give "
            f"each as a variable of its own. {held}"
        )
    return ""


def _of_place(name: str, hierarchy: Hierarchy) -> str:
    """What to say where the name is a group's, a dimension's or a variable's of another group."""
    path, shown, known = f"/{name.strip('/')}", _shown(name), list(hierarchy.variables)
    if inside := [own for own in known if own.startswith(f"{path}/")]:
        return f"{shown} is a group of the store; ask for its variables: {named(inside)}."
    if path in {own for other in known for own in hierarchy.dimensions(other)}:
        return (
            f"{shown} is a dimension without a variable of its own, and has no values to ask for. "
            f"The store holds {named(known)}."
        )
    short = name_of(path)
    if elsewhere := [own for own in known if name_of(own) == short and group_of(path) != "/"]:
        return (
            f"The store holds no {short!r} in the group {group_of(path)}; it holds "
            f"{named(elsewhere)}. Ask for it there."
        )
    return ""


def _of_likeness(name: str, hierarchy: Hierarchy) -> str:
    """What to say of any other name: which variables are called much alike, or which there are."""
    path, shown, known = f"/{name.strip('/')}", _shown(name), list(hierarchy.variables)
    short = name_of(path).lower()
    if alike := [own for own in known if name_of(own).lower() == short]:
        return (
            f"The store holds no variable {shown}, but {named(alike)}: capitals and small letters "
            "are told apart. Ask for it as it is written there."
        )
    near = [own for own in known if short and short in name_of(own).lower()][:_MOST_NEAR]
    near = near or difflib.get_close_matches(path, known, n=_MOST_NEAR, cutoff=0.5)
    if near:
        return (
            f"The store holds no variable {shown}; did you mean {named(near)}? It holds "
            f"{len(known):,} variables in all."
        )
    return f"The store holds no variable {shown}; it holds {named(known)}."


def _shown(name: str) -> str:
    return repr(name if len(name) <= _LONGEST else f"{name[:_LONGEST]}…")


def named(paths: Sequence[str]) -> str:
    """Some of `paths`, without leading slash, and how many more. **Reads:** nothing."""
    return listed([own.lstrip("/") for own in paths], _MOST_LISTED)
