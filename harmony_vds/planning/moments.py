"""Times of single cells, as swaths have them: a time range keeps the cells whose time is in it."""

from dataclasses import dataclass, replace

import numpy as np

from harmony_vds.errors import UnsupportedError
from harmony_vds.model.extent import TimeRange
from harmony_vds.model.grid import Axis, AxisKind
from harmony_vds.model.paths import name_of
from harmony_vds.model.request import Request
from harmony_vds.model.selection import AxisSelection
from harmony_vds.planning.axes import read_axis
from harmony_vds.planning.cells import Cells, Selections
from harmony_vds.planning.ground import MOST_CELLS
from harmony_vds.planning.hierarchy import Hierarchy
from harmony_vds.planning.ranges import time_coverage
from harmony_vds.planning.steps import kept_steps


@dataclass(frozen=True, eq=False)
class Moments:
    """The times along several dimensions, and which cells they keep."""

    axis: Axis
    """The times one after another, in storage order."""
    cells: Cells
    """Those that were asked for."""

    def coverage(self, selection: Selections) -> TimeRange | None:
        """First and last time of the cells that are kept. **Reads:** nothing."""
        places = np.arange(self.axis.values.size).reshape(self.cells.shape)
        for axis, own in enumerate(self.cells.dimensions):
            if own in selection:
                places = np.take(places, selection[own].positions, axis)
        inside = np.zeros(self.axis.values.size, np.bool_)
        inside[places[self.cells.at(selection)]] = True
        return time_coverage(self.axis, AxisSelection.of_mask(inside))


def moments_of(path: str, hierarchy: Hierarchy, request: Request) -> Moments:
    """The times stored at `path`, and the cells that the times of `request` keep.

    Raises
    ------
    UnsupportedError
        There are too many to read, or granules are to be picked by them.
    NoDataError
        No cell is in; the text tells what the store covers.
    StoreError
        Units or calendar cannot be understood.

    **Reads:** coordinates.
    """
    variable = hierarchy.variables[path]
    if request.periods:
        along = " and ".join(name_of(dimension) for dimension in hierarchy.dimensions(path))
        raise UnsupportedError(
            "The selected granules cannot be picked from their common store: its times "
            f"({path.lstrip('/')}) lie along {along}, and are none of a granule as a whole. Ask "
            "for the whole collection and a time range."
        )
    if variable.size > MOST_CELLS:
        raise UnsupportedError(
            f"Times cannot cut by {path.lstrip('/')}: it holds {variable.size:,} times, and at "
            f"most {MOST_CELLS:,} are read for that. Ask without times, or for a box."
        )
    stored = read_axis(AxisKind.T, path, hierarchy)
    axis = replace(stored, values=stored.values.ravel())
    inside = np.zeros(axis.values.size, np.bool_)
    inside[kept_steps(axis, request).positions] = True
    cells = Cells.of(hierarchy.dimensions(path), inside.reshape(variable.shape))
    return Moments(axis, cells)
