"""Ranges of named dimensions, such as pressure levels, depths or bands, by their values.

A range is closed, in the units of the dimension's coordinate, whatever the direction of that
coordinate; a missing side is open. It cuts every requested variable that has the dimension, and
leaves the others whole. Edges that the request gives in decimals meet values that the store keeps
in single precision: equal means to within the precision of the stored type.
"""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from harmony_vds.errors import NoDataError, RequestError, UnsupportedError
from harmony_vds.model.paths import group_of, name_of
from harmony_vds.model.request import DimensionRange
from harmony_vds.model.selection import AxisSelection
from harmony_vds.planning.axes import decode, resolution_of
from harmony_vds.planning.hierarchy import Hierarchy

_MOST_NAMED = 8


def select_levels(
    ranges: Sequence[DimensionRange], requested: Sequence[str], hierarchy: Hierarchy
) -> Mapping[str, AxisSelection]:
    """What `ranges` keep of each dimension that they name.

    Parameters
    ----------
    ranges
        As asked; two of one dimension keep what both allow.
    requested
        Full paths of the requested variables.
    hierarchy
        The store's variables.

    Returns
    -------
    Mapping
        Full path of the dimension → positions kept, in stored order.

    Raises
    ------
    RequestError
        No requested variable has such a dimension, or its lower side is above its upper one.
    UnsupportedError
        The dimension has no coordinate to compare with.
    NoDataError
        No value lies in the range; the text tells which there are.

    **Reads:** coordinates.
    """
    masks: dict[str, npt.NDArray[np.bool_]] = {}
    for wanted in ranges:
        for dimension, coordinate in _coordinates(wanted, requested, hierarchy).items():
            inside = _inside(wanted, coordinate, hierarchy)
            masks[dimension] = masks.get(dimension, True) & inside
            if not masks[dimension].any():
                raise NoDataError(_nothing(wanted, coordinate, hierarchy))
    return {dimension: AxisSelection.of_mask(mask) for dimension, mask in masks.items()}


def _coordinates(
    wanted: DimensionRange, requested: Sequence[str], hierarchy: Hierarchy
) -> dict[str, str]:
    """The dimensions that a range means, each with its coordinate variable."""
    least, most = wanted.minimum, wanted.maximum
    if least is not None and most is not None and least > most:
        raise RequestError(f"The range {wanted} has its lower side above its upper side.")
    found: dict[str, str] = {}
    bare, known = [], set()
    for path in requested:
        for dimension in hierarchy.dimensions(path):
            known.add(dimension)
            along = list(hierarchy.along(dimension, group_of(path)))
            named = [own for own in along if _is_called(own, wanted.name)]
            if named or _is_called(dimension, wanted.name):
                placing = [own for own in along if _places(own, path, hierarchy)]
                usable = [own for own in (*named, *placing) if _has_numbers(own, hierarchy)]
                if usable:
                    found[dimension] = usable[0]
                else:
                    bare.append(dimension)
    if not found and bare:
        raise UnsupportedError(
            f"The dimension {wanted.name} has no coordinate values in this store, so a range of "
            "them cannot be cut; ask without it."
        )
    if not found and any(_is_called(own, wanted.name) for own in hierarchy.variables):
        raise RequestError(
            f"{wanted.name!r} is no dimension of a requested variable but a variable itself, and "
            f"cells are not chosen by their values. {_offer(known)}"
        )
    if not found:
        raise RequestError(
            f"No requested variable has a dimension {wanted.name!r}. {_offer(known)}"
        )
    return found


def _offer(dimensions: Collection[str]) -> str:
    offered = sorted(name_of(own) for own in dimensions)[:_MOST_NAMED]
    return f"Its dimensions are {', '.join(offered)}." if offered else "It has no dimensions."


def _is_called(path: str, name: str) -> bool:
    """Whether `path` is what a request calls `name`: a full path, or its last part."""
    return path.strip("/") == name.strip("/") or name_of(path) == name


def _places(coordinate: str, path: str, hierarchy: Hierarchy) -> bool:
    """Whether a variable along a dimension of the one at `path` is a coordinate, by CF."""
    attributes = hierarchy.variables[coordinate].attrs
    listed = str(hierarchy.variables[path].attrs.get("coordinates", "")).split()
    own_name = hierarchy.dimensions(coordinate) == (coordinate,)
    return own_name or name_of(coordinate) in listed or bool({"axis", "positive"} & {*attributes})


def _has_numbers(path: str, hierarchy: Hierarchy) -> bool:
    return hierarchy.variables[path].dtype.kind in "iuf"


def _inside(wanted: DimensionRange, coordinate: str, hierarchy: Hierarchy) -> npt.NDArray[np.bool_]:
    raw, attributes = hierarchy.load(coordinate), hierarchy.variables[coordinate].attrs
    values = decode(raw, attributes)
    slack = resolution_of(raw, values, attributes)
    inside = np.isfinite(values)
    if wanted.minimum is not None:
        inside &= values >= wanted.minimum - slack
    if wanted.maximum is not None:
        inside &= values <= wanted.maximum + slack
    return inside


def _nothing(wanted: DimensionRange, coordinate: str, hierarchy: Hierarchy) -> str:
    variable = hierarchy.variables[coordinate]
    values = decode(hierarchy.load(coordinate), variable.attrs)
    known = np.unique(values[np.isfinite(values)])
    units = f" {variable.attrs['units']}" if variable.attrs.get("units") else ""
    if known.size == 0:
        return f"The dimension {wanted.name} holds no values at all."
    edge = wanted.minimum if wanted.minimum is not None else wanted.maximum
    nearest = known[np.argmin(np.abs(known - (0.0 if edge is None else edge)))]
    return (
        f"No data lie in {wanted}: the store has {known.size:,} values from "
        f"{known[0]:g} to {known[-1]:g}{units}, and the nearest is {nearest:g}."
    )
