"""Stores in which many granules lie one after another along a dimension: which part is whose.

The part of a granule is found by a text along that dimension that names its file, such as
``filename``, or else by a time of the granule as a whole.
"""

import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from harmony_vds.errors import StoreError
from harmony_vds.model.paths import ancestors, group_of
from harmony_vds.model.request import Granule
from harmony_vds.model.selection import AxisSelection
from harmony_vds.planning.hierarchy import Hierarchy
from harmony_vds.planning.recognition import has_time_units

logger = logging.getLogger(__name__)

_TELLS_FILES = re.compile(r"file|granule|source|product|uri|url", re.IGNORECASE)
_ENDING = re.compile(r"\.(nc4?|h5|he5|hdf5?|cdf)$", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class NamedParts:
    """The parts of a stack whose files' names are those of granules."""

    path: str
    """The variable that names files."""
    dimension: str
    """Full path of the dimension it runs along."""
    kept: AxisSelection
    """Where it names one of the granules."""


def parts_by_name(
    granules: Sequence[Granule], paths: Iterable[str], hierarchy: Hierarchy
) -> NamedParts | None:
    """The parts of `granules` by the names of their files; None unless each of them is found.

    A granule is known by its own name and by those of its files, with or without the ending.

    Parameters
    ----------
    granules
        What was selected.
    paths
        The requested variables; only dimensions that one of them has are looked at.
    hierarchy
        The store's variables.

    **Reads:** coordinates.
    """
    known = [_names(own) for own in granules]
    dimensions = {dimension for path in paths for dimension in hierarchy.dimensions(path)}
    for path in _naming(hierarchy):
        (dimension,) = hierarchy.dimensions(path)
        if dimension not in dimensions:
            continue
        try:
            told = [_stem(_text(own)) for own in hierarchy.load(path).tolist()]
        except StoreError as error:
            logger.info("%s names no files: %s", path, error)
            continue
        places: dict[str, list[int]] = {}
        for position, name in enumerate(told):
            places.setdefault(name, []).append(position)
        found = [[at for name in names for at in places.get(name, ())] for names in known]
        if all(found):
            mask = np.zeros(len(told), np.bool_)
            mask[[at for own in found for at in own]] = True
            return NamedParts(path, dimension, AxisSelection.of_mask(mask))
    return None


def _naming(hierarchy: Hierarchy) -> Iterator[str]:
    """One-dimensional texts that may name files."""
    for path, variable in hierarchy.variables.items():
        if variable.ndim == 1 and variable.dtype.kind in "OSUT" and _TELLS_FILES.search(path):
            yield path


def _names(granule: Granule) -> set[str]:
    # Some archives write the collection before the name of the file, and a colon between.
    own = (granule.name, granule.name.rpartition(":")[2])
    found = (*own, *(asset.href.partition("?")[0] for asset in granule.assets))
    return {name for name in map(_stem, found) if name}


def _stem(name: str) -> str:
    return _ENDING.sub("", name.strip().rstrip("\0").rpartition("/")[2])


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def time_of_parts(path: str, hierarchy: Hierarchy) -> str | None:
    """A time of each granule as a whole, for a variable whose cells have times of their own.

    It runs along one of the variable's dimensions, and some variable of the store names it among
    its ``coordinates``; where there are several, none is guessed. Nor is one where the variable's
    own ``coordinates`` names the times of its cells. **Reads:** nothing.
    """
    variables, visible = hierarchy.variables, set(ancestors(group_of(path)))
    named = [own for own in hierarchy.coordinates(path) if has_time_units(variables[own])]
    if any(variables[own].ndim > 1 for own in named):
        return None
    dimensions = set(hierarchy.dimensions(path))
    found = [
        own for own in named or sorted(hierarchy.auxiliary)
        if group_of(own) in visible and has_time_units(variables[own])
        and len(along := hierarchy.dimensions(own)) == 1 and along[0] in dimensions
        and variables[own].attrs.get("standard_name", "time") == "time"
    ]  # fmt: skip
    return found[0] if len(set(found)) == 1 else None
