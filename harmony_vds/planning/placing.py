"""From places asked for to the cells that answer, or the reason why none does."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from harmony_vds.errors import NoDataError
from harmony_vds.model.extent import BoundingBox
from harmony_vds.model.grid import Grid, GridKind
from harmony_vds.model.listing import listed
from harmony_vds.model.places import Blend, Place, Placement
from harmony_vds.model.plan import GridPlan
from harmony_vds.model.selection import AxisSelection
from harmony_vds.planning.extents import extent
from harmony_vds.planning.nearest import Cells, nearest_cells
from harmony_vds.planning.spatial import HorizontalSelection, grid_plan

DIMENSION = "station"
"""Name of the dimension along which outputs list places."""
_MOST_NAMED = 5


@dataclass(frozen=True, eq=False)
class Placed:
    """What a plan keeps of a grid for places."""

    placement: Placement
    """The cells."""
    grid: GridPlan
    """Their extent."""
    selection: Mapping[str, AxisSelection]
    """Dimension path → positions of the cells, in stored order."""
    notes: tuple[str, ...]
    """Remarks for the user."""


def place_on(
    grid: Grid,
    places: Sequence[Place],
    taken: Collection[str] = (),
    also: tuple[str, ...] = (),
) -> Placed:
    """The cells of `grid` that answer for `places`.

    Places outside of the grid are left out, as long as one is inside. Places without a name get
    one by their number.

    Parameters
    ----------
    grid
        A horizontal grid.
    places
        What was asked.
    taken
        Full paths of dimensions in the output.
    also
        Latitudes and longitudes that the store has beside x and y of a projected grid.

    Raises
    ------
    NoDataError
        No place lies in the grid, or within one cell of it; the text names the nearest cell.

    **Reads:** nothing.
    """
    cells = nearest_cells(grid, places)
    inside = np.flatnonzero(cells.inside)
    if inside.size == 0:
        raise NoDataError(_nowhere(cells, places, _covered(grid)))
    named = [replace(own, name=own.name or f"place {n + 1}") for n, own in enumerate(places)]
    placement = Placement(
        dimensions=grid.dimensions,
        cells=cells.positions[:, inside],
        dimension=free_dimension(DIMENSION, taken),
        places=tuple(named[n] for n in inside),
        longitudes=cells.longitudes[inside],
        latitudes=cells.latitudes[inside],
        distances=cells.distances[inside],
        coordinates=also if grid.kind is GridKind.PROJECTED else (grid.y.path, grid.x.path),
    )
    outside = [named[n] for n in np.flatnonzero(~cells.inside)]
    kept = tuple(_kept(own, size) for own, size in zip(placement.cells, grid.shape, strict=True))
    positions = tuple(own.positions for own in kept)
    held = np.zeros([own.size for own in positions], np.bool_)
    held[tuple(np.searchsorted(p, c) for p, c in zip(positions, placement.cells, strict=True))] = 1
    return Placed(
        placement,
        _plan(grid, positions, held),
        dict(zip(grid.dimensions, kept, strict=True)),
        (_left_out(outside, _covered(grid)),) if outside else (),
    )


def with_around(placed: Placed, blend: Blend, grid: Grid) -> Placed:
    """`placed`, its values weighed between the cells of `blend`. **Reads:** nothing."""
    near = zip(placed.placement.cells, blend.cells, grid.shape, strict=True)
    kept = [_kept(np.concatenate([own, around]), size) for own, around, size in near]
    return replace(
        placed,
        placement=replace(placed.placement, blend=blend),
        selection=dict(zip(grid.dimensions, kept, strict=True)),
    )


def _covered(grid: Grid) -> BoundingBox:
    everything = tuple(np.arange(size) for size in grid.shape)
    return _plan(grid, everything, np.ones(grid.shape, np.bool_)).bbox


def _plan(
    grid: Grid, kept: tuple[npt.NDArray[np.int64], ...], held: npt.NDArray[np.bool_]
) -> GridPlan:
    """What a plan says of cells of `grid`; the whole globe where their places are not known."""
    if grid.kind is GridKind.RECTILINEAR:
        rows, columns = (_kept(own, size) for own, size in zip(kept, grid.shape, strict=True))
        return grid_plan(grid, HorizontalSelection(rows, columns, None))
    box = extent(grid, kept, held) or BoundingBox(-180.0, -90.0, 180.0, 90.0)
    return GridPlan(
        grid.x.path, grid.y.path, box, kind=grid.kind, crs=grid.crs, dimensions=grid.dimensions
    )


def _kept(cells: npt.NDArray[np.int64], size: int) -> AxisSelection:
    mask = np.zeros(size, np.bool_)
    mask[cells] = True
    return AxisSelection.of_mask(mask)


def free_dimension(name: str, taken: Collection[str]) -> str:
    """The dimension `name` at the root, numbered where one of the output is called so.

    **Reads:** nothing.

    >>> free_dimension("station", {"/station", "/station_2"})
    '/station_3'
    """
    path, number = f"/{name}", 2
    while path in taken:
        path, number = f"/{name}_{number}", number + 1
    return path


def _nowhere(cells: Cells, places: Sequence[Place], extent: object) -> str:
    nearest = int(np.argmin(cells.distances))
    asked = f"The place {places[0]} lies" if len(places) == 1 else (
        f"All {len(places)} places, the nearest of them {places[nearest]}, lie")  # fmt: skip
    return (
        f"{asked} outside of the data: the store covers {extent} (west, south, east, north), and "
        f"its nearest cell is at ({cells.longitudes[nearest]:g}, {cells.latitudes[nearest]:g}), "
        f"{cells.distances[nearest]:,.0f} km away."
    )


def _left_out(outside: Sequence[Place], extent: object) -> str:
    return f"Left out, because they lie outside of {extent}: {listed(outside, _MOST_NAMED)}."
