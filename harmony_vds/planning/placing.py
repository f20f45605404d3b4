"""From places asked for to the cells that answer, or the reason why none does."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from harmony_vds.errors import NoDataError
from harmony_vds.model.grid import Grid
from harmony_vds.model.places import Place, Placement
from harmony_vds.model.plan import GridPlan
from harmony_vds.model.selection import AxisSelection
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


def place_on(grid: Grid, places: Sequence[Place], taken: Collection[str] = ()) -> Placed:
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

    Raises
    ------
    NoDataError
        No place lies in the grid, or within one cell of it; the text names the nearest cell.

    **Reads:** nothing.
    """
    cells = nearest_cells(grid, places)
    whole = HorizontalSelection(
        AxisSelection.whole(grid.y.values.size), AxisSelection.whole(grid.x.values.size), None
    )
    extent = grid_plan(grid, whole).bbox
    inside = np.flatnonzero(cells.inside)
    if inside.size == 0:
        raise NoDataError(_nowhere(cells, places, extent))
    named = [replace(own, name=own.name or f"place {n + 1}") for n, own in enumerate(places)]
    placement = Placement(
        dimensions=grid.dimensions,
        cells=cells.positions[:, inside],
        dimension=_free(taken),
        places=tuple(named[n] for n in inside),
        longitudes=cells.longitudes[inside],
        latitudes=cells.latitudes[inside],
        distances=cells.distances[inside],
        coordinates=(grid.y.path, grid.x.path),
    )
    outside = [named[n] for n in np.flatnonzero(~cells.inside)]
    rows, columns = (
        _kept(own, size)
        for own, size in zip(placement.cells, (whole.y.size, whole.x.size), strict=True)
    )
    return Placed(
        placement,
        grid_plan(grid, HorizontalSelection(rows, columns, None)),
        dict(zip(grid.dimensions, (rows, columns), strict=True)),
        (_left_out(outside, extent),) if outside else (),
    )


def _kept(cells: npt.NDArray[np.int64], size: int) -> AxisSelection:
    mask = np.zeros(size, np.bool_)
    mask[cells] = True
    return AxisSelection.of_mask(mask)


def _free(taken: Collection[str]) -> str:
    """A dimension at the root that is not among those of the output."""
    path, number = f"/{DIMENSION}", 2
    while path in taken:
        path, number = f"/{DIMENSION}_{number}", number + 1
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
    listed = ", ".join(map(str, outside[:_MOST_NAMED]))
    more = f" and {len(outside) - _MOST_NAMED} more" if len(outside) > _MOST_NAMED else ""
    return f"Left out, because they lie outside of {extent}: {listed}{more}."
