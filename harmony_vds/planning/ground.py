"""Reads the horizontal grid that a variable lies on, and checks what its store says twice."""

from dataclasses import replace

import numpy as np

from harmony_vds.errors import UncutBoxError
from harmony_vds.model.grid import Axis, AxisKind, Grid, GridKind
from harmony_vds.model.sphere import vectors
from harmony_vds.planning.axes import decode, read_axis, read_projected_axis
from harmony_vds.planning.grids import Ground
from harmony_vds.planning.hierarchy import Hierarchy
from harmony_vds.planning.places import centres
from harmony_vds.planning.staggered import between
from harmony_vds.planning.vertices import lattice_of

MOST_CELLS = 2**25
"""Latitudes that are read to cut a box; with longitudes and as doubles they are 512 MiB."""
_SAMPLES = 3
"""Rows, and columns, at which two statements of places are compared."""


def with_corners(grid: Grid, hierarchy: Hierarchy) -> Grid:
    """`grid` with the corners of its cells, where the store has them. **Reads:** coordinates."""
    stored = grid.kind is GridKind.CURVILINEAR and len(grid.shape) == 2 and grid.y.path
    if not stored or grid.lattice is not None or 4 * grid.y.values.size > MOST_CELLS:
        return grid
    lattice = lattice_of(grid.y.path, grid.x.path, hierarchy)
    fits = lattice is not None and np.subtract(lattice[0].shape, 1).tolist() == [*grid.shape]
    return replace(grid, lattice=lattice) if fits else grid


def grid_of(ground: Ground, path: str, hierarchy: Hierarchy) -> Grid:
    """The grid of the variable at `path`, whose ground is `ground`.

    Latitudes and longitudes that are repeated along further dimensions are taken once. Those of
    swaths one after another stay as they are, with more than two dimensions.

    Raises
    ------
    StoreError
        Coordinates are unusable; the text says which and why.
    UncutBoxError
        There are too many to read, or the reference system and the latitudes and longitudes that
        the store has of each cell are further apart than a cell.

    **Reads:** coordinates.
    """
    if ground.shift is not None:
        cells = replace(ground, dimensions=ground.shift.along, shift=None)
        return between(grid_of(cells, path, hierarchy), ground.dimensions, ground.shift)
    if ground.kind in (GridKind.CURVILINEAR, GridKind.TRACK):
        return _stored(ground, hierarchy)
    mapping = ground.mapping
    if mapping is None:
        x, y = (
            read_axis(kind, own, hierarchy)
            for kind, own in ((AxisKind.X, ground.x), (AxisKind.Y, ground.y))
            if own is not None
        )
        return Grid.rectilinear(x, y)
    x, y = (_axis(kind, ground, path, hierarchy) for kind in (AxisKind.X, AxisKind.Y))
    crs = mapping.crs if ground.kind is GridKind.PROJECTED else ""
    grid = Grid(ground.kind, x, y, ground.dimensions, crs)
    if ground.also is not None:
        _compare(grid, ground.also, hierarchy)
    return grid


def _axis(kind: AxisKind, ground: Ground, path: str, hierarchy: Hierarchy) -> Axis:
    own = ground.x if kind is AxisKind.X else ground.y
    if ground.affine is not None:
        return ground.affine.axis(kind, hierarchy, path)
    if own is None or ground.mapping is None:
        raise AssertionError("a projected grid has coordinates or a transform")
    return read_projected_axis(kind, own, ground.mapping.crs, hierarchy)


def _stored(ground: Ground, hierarchy: Hierarchy) -> Grid:
    """The grid whose store holds a latitude and a longitude for each cell."""
    if ground.x is None or ground.y is None:
        raise AssertionError("latitudes and longitudes are variables")
    size = hierarchy.variables[ground.y].size
    if size > MOST_CELLS:
        raise UncutBoxError(
            f"Neither a bounding box nor a target grid can go by {ground.y}: it holds {size:,} "
            f"latitudes, and at most {MOST_CELLS:,} are read. Ask without them, for a time range."
        )
    x = read_axis(AxisKind.X, ground.x, hierarchy)
    y = read_axis(AxisKind.Y, ground.y, hierarchy)
    dimensions = ground.dimensions
    while y.values.ndim > 2 and _is_repeated(x.values) and _is_repeated(y.values):
        x, y = (replace(own, values=own.values[0]) for own in (x, y))
        dimensions = dimensions[1:]
    return Grid(ground.kind, x, y, dimensions)


def _is_repeated(values: np.ndarray) -> bool:
    """Whether the first is the same as all others along the first dimension."""
    return bool(len(values)) and bool(
        all(np.array_equal(values[0], own, equal_nan=True) for own in values[1:])
    )


def _compare(grid: Grid, also: tuple[str, str], hierarchy: Hierarchy) -> None:
    """Raise if the places by the reference system and those in the store differ by a cell."""
    y_path, x_path = also
    own = hierarchy.dimensions(y_path)
    if set(own) != set(grid.dimensions):
        return
    rows, columns = (
        np.unique(np.linspace(0, size - 1, _SAMPLES + 2)[1:-1].round().astype(np.int64))
        for size in grid.shape
    )
    for row in rows:
        for column in columns:
            stated = vectors(*centres(grid, np.array([row]), np.array([column])))[0, 0]
            at = dict(zip(grid.dimensions, (int(row), int(column)), strict=True))
            key = tuple(at[dimension] for dimension in own)
            numbers = [_one(path, key, hierarchy) for path in (x_path, y_path)]
            stored = vectors(*map(np.asarray, numbers))
            apart = float(np.linalg.norm(stored - stated))
            cell = _size(grid, int(row), int(column))
            if np.isfinite(apart) and apart > cell > 0:
                raise UncutBoxError(
                    f"A bounding box cannot cut by {grid.y.path or 'the transform'}: by the "
                    f"reference system of the store, cells lie {apart * 6371:,.0f} km from where "
                    f"{y_path} and {x_path} say, more than a cell's {cell * 6371:,.0f} km. The "
                    "publisher must correct one of them. Ask without a box."
                )


def _one(path: str, key: tuple[int, ...], hierarchy: Hierarchy) -> float:
    """One latitude or longitude; not-a-number where it is missing."""
    variable = hierarchy.variables[path]
    value = float(decode(np.asarray(variable[key].values), variable.attrs))
    return value if abs(value) <= 720 else float("nan")


def _size(grid: Grid, row: int, column: int) -> float:
    """The longer side of a cell, in radians."""
    rows, columns = (
        np.unique(np.clip([own - 1, own, own + 1], 0, size - 1))
        for own, size in zip((row, column), grid.shape, strict=True)
    )
    around = vectors(*centres(grid, rows, columns))
    sides = [np.linalg.norm(np.diff(around, axis=axis), axis=-1).ravel() for axis in (0, 1)]
    return float(np.nanmax(np.concatenate(sides), initial=0.0))
