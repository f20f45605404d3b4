"""Variables between the cells of a grid, such as velocities on the faces of an Arakawa C grid.

Their dimensions often have no coordinates but an index, whose ``c_grid_axis_shift`` (the COMODO
convention, which xgcm reads too) tells how far it stands from the index of the cells along the same
axis: -0.5 where its n-th lies before the n-th cell, 0.5 where behind. Places then follow from those
of the cells, half-way between two neighbours, and beyond the outermost by half a cell.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from harmony_vds.model.arrays import Flags, Floats
from harmony_vds.model.grid import Axis, Grid, GridKind
from harmony_vds.model.paths import group_of
from harmony_vds.model.sphere import vectors
from harmony_vds.planning.places import sound

if TYPE_CHECKING:
    from harmony_vds.planning.hierarchy import Hierarchy


_SHIFT = "c_grid_axis_shift"
_SHIFTS = (-0.5, 0.5)


@dataclass(frozen=True)
class Shift:
    """How far a variable lies from the cells of a grid, in cells."""

    along: tuple[str, ...]
    """Full paths of the dimensions of the cells, rows before columns."""
    cells: tuple[float, ...]
    """Along each: what is added to an index of the variable to give one of the cells."""
    sizes: tuple[int, ...]
    """Positions that the variable has along each."""


def shift_of(
    path: str, cells: tuple[str, ...], hierarchy: "Hierarchy"
) -> tuple[tuple[str, ...], Shift] | None:
    """Which dimensions of the variable at `path` stand between cells, and how far.

    Parameters
    ----------
    path
        Full path of a variable.
    cells
        Dimensions of the cells of a grid.
    hierarchy
        The store's variables.

    Returns
    -------
    tuple or None
        The dimensions of the variable in the order of `cells`, and the shift; None where it has not
        one for each of `cells`, and where none of them is shifted.

    **Reads:** nothing.
    """
    own = hierarchy.dimensions(path)
    shifted = list(_shifted(own, hierarchy))
    found, shifts = [], []
    for cell in cells if shifted else ():
        beside = [(d, s) for d, s in shifted if _are_beside(d, cell, hierarchy)]
        fitting = [(cell, 0.0)] if cell in own else beside
        if len(fitting) != 1 or _shift(cell, hierarchy) is not None:
            return None
        found.append(fitting[0][0])
        shifts.append(fitting[0][1])
    if not any(shifts):
        return None
    sizes = tuple(hierarchy.length(dimension) for dimension in found)
    return tuple(found), Shift(cells, tuple(shifts), sizes)


def _shifted(dimensions: tuple[str, ...], hierarchy: "Hierarchy") -> Iterator[tuple[str, float]]:
    for dimension in dimensions:
        shift = _shift(dimension, hierarchy)
        if shift is not None:
            yield dimension, shift


def _shift(dimension: str, hierarchy: "Hierarchy") -> float | None:
    """How far a dimension stands from the cells; None for those of cells themselves."""
    index = hierarchy.variables.get(dimension)
    stated = None if index is None else index.attrs.get(_SHIFT)
    try:
        number = float(np.ravel(stated)[0]) if stated is not None else None
    except (TypeError, ValueError):
        return None
    return number if number in _SHIFTS else None


def _are_beside(dimension: str, cell: str, hierarchy: "Hierarchy") -> bool:
    """Whether two dimensions run along one axis of one group, of as many cells or one more."""
    pair = [hierarchy.variables.get(own) for own in (dimension, cell)]
    axes = {"" if own is None else str(own.attrs.get("axis", "")) for own in pair}
    alike = group_of(dimension) == group_of(cell) and len(axes) == 1 and "" not in axes
    sizes = [hierarchy.length(own) for own in (dimension, cell)]
    return alike and abs(sizes[0] - sizes[1]) <= 1 and sizes[1] >= 2


def between(grid: Grid, dimensions: tuple[str, ...], shift: Shift) -> Grid:
    """The grid of what lies between the cells of `grid`, on the variable's own `dimensions`.

    **Reads:** nothing.
    """
    told = dict(zip(shift.along, zip(dimensions, shift.cells, shift.sizes, strict=True),
                    strict=True))  # fmt: skip
    own = tuple(told[dimension][0] for dimension in grid.dimensions)
    if grid.kind is GridKind.CURVILINEAR:
        around = vectors(grid.x.values, grid.y.values)
        for axis, dimension in enumerate(grid.dimensions):
            _, cells, size = told[dimension]
            around = _moved(around, axis, cells, size)
        with np.errstate(invalid="ignore"):
            heights = around[..., 2] / np.linalg.norm(around, axis=-1)
        x, y = sound(
            np.degrees(np.arctan2(around[..., 1], around[..., 0])),
            np.degrees(np.arcsin(np.clip(heights, -1.0, 1.0))),
        )
        return Grid(
            grid.kind, replace(grid.x, path="", values=x), replace(grid.y, path="", values=y), own
        )
    axes = [_along(axis, told[axis.dimension]) for axis in (grid.x, grid.y)]
    return Grid(grid.kind, axes[0], axes[1], own, grid.crs)


def cells_beside(kept: Flags, shift: Shift, shape: tuple[int, ...]) -> Flags:
    """The cells, of `shape`, that any of what is kept between them lies beside.

    **Reads:** nothing.
    """
    found = kept
    for axis, (cells, size) in enumerate(zip(shift.cells, shape, strict=True)):
        if cells or found.shape[axis] != size:
            lines = np.moveaxis(found, axis, 0)
            wider = np.zeros((size, *lines.shape[1:]), np.bool_)
            before = np.floor(np.arange(len(lines)) + cells).astype(np.int64)
            for beside in (before, before + 1):
                np.logical_or.at(wider, np.clip(beside, 0, size - 1), lines)
            found = np.moveaxis(wider, 0, axis)
    return found


def _along(axis: Axis, told: tuple[str, float, int]) -> Axis:
    """One axis between the cells of another."""
    dimension, cells, size = told
    if not cells:
        return axis
    steady = axis.values if axis.kind == "Y" else np.unwrap(axis.values, period=360.0)
    values = _moved(steady, 0, cells, size)
    return replace(axis, path="", dimension=dimension, values=values, bounds=None, bounds_path="")


def _moved(values: Floats, axis: int, cells: float, size: int) -> Floats:
    """What lies `cells` beside, by the two nearest along an axis; `size` of them."""
    if not cells and size == values.shape[axis]:
        return values
    at = np.arange(size) + cells
    first = np.clip(np.floor(at).astype(np.int64), 0, values.shape[axis] - 2)
    share = (at - first).reshape([-1 if own == axis else 1 for own in range(values.ndim)])
    before, behind = (np.take(values, first + own, axis) for own in (0, 1))
    return np.asarray(before * (1 - share) + behind * share, np.float64)
