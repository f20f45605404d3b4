"""A plan while it grows: each part of a request narrows it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from harmony_vds.errors import (
    NoDataError,
    RequestError,
    UnsupportedError,
)
from harmony_vds.model.average import AverageKind, AveragePlan
from harmony_vds.model.grid import Axis, AxisKind, Grid
from harmony_vds.model.paths import name_of
from harmony_vds.model.places import Placement
from harmony_vds.model.plan import Cost, Mask, PlannedVariable
from harmony_vds.model.request import Request, TargetGrid
from harmony_vds.model.selection import AxisSelection
from harmony_vds.model.shape import Shape
from harmony_vds.model.target import TargetPlan
from harmony_vds.planning.averages import Cuts, plan_average
from harmony_vds.planning.axes import read_axis
from harmony_vds.planning.between import blend, is_blended
from harmony_vds.planning.cells import CellCuts
from harmony_vds.planning.cost import Course
from harmony_vds.planning.grids import Footing
from harmony_vds.planning.ground import grid_of
from harmony_vds.planning.hierarchy import Hierarchy
from harmony_vds.planning.horizontal import GridCuts, refuse_unplaced
from harmony_vds.planning.levels import select_levels
from harmony_vds.planning.lines import places_along
from harmony_vds.planning.placing import Placed, place_on, with_around
from harmony_vds.planning.regions import masks_of, region_words
from harmony_vds.planning.time_cuts import TimeCuts
from harmony_vds.planning.timed import with_times
from harmony_vds.planning.variables import placing_paths


@dataclass
class Draft:
    """A plan while it grows."""

    hierarchy: Hierarchy
    """The store's."""
    footings: Mapping[str, Footing]
    """Full path of each requested variable that is not left out → where it stands."""
    request: Request
    """What was asked."""
    selection: dict[str, AxisSelection] = field(default_factory=dict)
    """Full path of each dimension that was cut → what is kept of it."""
    notes: list[str] = field(default_factory=list)
    """What the user should know of the answer."""
    cells: CellCuts = field(default_factory=CellCuts)
    """Cells that are kept one by one, where rows and columns do not tell them."""
    placements: list[Placement] = field(default_factory=list)
    """Where the cells of places lie, for each grid."""

    def __post_init__(self) -> None:
        self.grids = GridCuts(self.hierarchy, self.request, self.cells)
        self.times = TimeCuts(self.hierarchy, self.footings, self.request, self.cells, self.notes)

    def axes(self) -> set[str]:
        """The coordinates that place the requested variables, scalar times among them.

        **Reads:** nothing.
        """
        return {path for f in self.footings.values() for path in f.coordinates}

    def cut_boxes(self, *, named: bool) -> None:
        """Apply the request's box and shape to every grid that carries a requested variable.

        `named` tells whether the user named the variables; errors as `refuse_unplaced`.
        **Reads:** coordinates.
        """
        if self.request.bbox is not None or self.request.shape is not None:
            refuse_unplaced(self.footings, self.request, named=named)
        if isinstance(self.request.shape, Shape):
            self.notes += self.request.shape.notes
        self.grids.cut(self.footings)
        self.notes += self.grids.notes
        self.footings = {
            path: own for path, own in self.footings.items() if path not in self.grids.missed
        }
        for dimension, kept in self.grids.lines:
            self._keep(dimension, kept)

    def settle_cells(self) -> None:
        """Cut the dimensions of cells that are told one by one to what is kept of them.

        **Reads:** nothing.
        """
        settled = self.cells.settle(self.selection)
        if settled is None:
            asked = [own] if (own := region_words(self.request)) else []
            asked += [f"the time range {self.request.temporal}"] if self.request.temporal else []
            raise NoDataError(f"No data lie in {' and '.join(asked)} together.")
        self.selection |= settled

    def masks(self, variables: Sequence[PlannedVariable]) -> tuple[Mask, ...]:
        """What is blanked inside the windows; nothing where the request asks for windows alone.

        **Reads:** nothing.
        """
        if self.request.pixel_subset:
            return ()
        placing = placing_paths(variables, self.hierarchy) | self.axes()
        data = {own.path: own.dimensions for own in variables if own.path not in placing}
        shaped = masks_of(self.grids.shaped, variables, placing)
        return (*shaped, *self.cells.masks(self.selection, data))

    def cut_places(self, *, named: bool) -> None:
        """Keep the cells that answer for the request's places, on every grid there is.

        `named` and errors as for `cut_boxes`. **Reads:** coordinates.
        """
        refuse_unplaced(self.footings, self.request, named=named)
        own = [(f.ground, path) for path, f in self.footings.items() if f.ground]
        grounds = {ground.dimensions: (ground, path) for ground, path in reversed(own)}
        taken = {d for path in self.footings for d in self.hierarchy.dimensions(path)}
        for ground, path in reversed(grounds.values()):
            grid = grid_of(ground, path, self.hierarchy)
            line = self.request.line
            places = places_along(grid, line) if line else self.request.places
            placed = place_on(grid, places, taken, ground.also or ())
            if is_blended(self.request.interpolation):
                placed = self._between(grid, placed)
            if any(own.time for own in places):
                placed = with_times(placed, self._common_times(len(grounds)), taken)
            taken.add(placed.placement.dimension)
            self.placements.append(placed.placement)
            self.notes += placed.notes
            self.grids.plans.append(placed.grid)
            self.selection |= placed.selection

    def _common_times(self, grids: int) -> Axis:
        """The times of all requested variables, of which each place takes one step."""
        if any(own.time is None for own in self.request.places):
            raise RequestError("Some places have a time and some have none; give one to all.")
        if self.request.has_times:
            raise UnsupportedError(
                "Places with times of their own and a time range cannot be asked for together."
            )
        paths = {f.t for f in self.footings.values() if f.t is not None}
        axes = [read_axis(AxisKind.T, path, self.hierarchy) for path in sorted(paths)]
        if grids > 1 or len(axes) != 1 or not axes[0].dimension:
            raise UnsupportedError(
                "Places with times of their own need variables on one grid and along one time, and "
                f"those asked for have {grids} and {len(axes)}. Ask for fewer variables."
            )
        return axes[0]

    def _between(self, grid: Grid, placed: Placed) -> Placed:
        """`placed` with the cells around the places, where variables have values in between."""
        found, notes = blend(grid, placed.placement, self.footings, self.hierarchy)
        self.notes += notes
        return placed if found is None else with_around(placed, found, grid)

    def _refuse_beside(self, dimension: str, kept: AxisSelection) -> None:
        """Raise if the cells of places lie outside of what else was asked of their dimension."""
        if not np.isin(self.selection[dimension].positions, kept.positions).all():
            raise NoDataError(
                "The cell nearest to a place was not seen in the time range "
                f"{self.request.temporal}. Ask without a time range, or for a box."
            )

    def put_on_target(
        self, asked: TargetGrid, variables: Sequence[PlannedVariable], course: Course
    ) -> tuple[TargetPlan, tuple[PlannedVariable, ...], Cost]:
        """The target, the variables of an output on it, and their price. **Reads:** coordinates."""
        # Imported here: it takes libraries that few requests need.
        from harmony_vds.planning.averaged_target import price_averaged_target
        from harmony_vds.planning.target import counted, in_strip, plan_target, replaced_paths
        from harmony_vds.planning.target_cost import price_target

        sources = self.grids.sources(self.selection)
        box = None if self.request.pixel_subset else self.request.bbox
        gone, notes = replaced_paths(variables, self.axes(), sources, self.hierarchy)
        stay = tuple(own for own in variables if own.path not in gone)
        target, remarks = plan_target(asked, sources, box, stay, self.hierarchy)
        if self.request.stretch is not None and self.request.stretch.of_target:
            target = in_strip(target, self.request.stretch)
        self.notes += notes + remarks + self.grids.unmoved()
        if course.average is None:
            cost = price_target(stay, self.selection, self.hierarchy, target, course.masks)
            return target, stay, cost
        target = counted(target, course.average)
        cost = price_averaged_target(stay, self.selection, self.hierarchy, target, course)
        return target, stay, cost

    def cut_times(self) -> None:
        """Apply the request's times, and pick the selected granules out of a stack.

        Errors as `TimeCuts.cut`. **Reads:** coordinates.
        """
        self.times.footings = self.footings
        for dimension, kept in self.times.cut(self.selection):
            self._keep(dimension, kept)

    def cut_levels(self, requested: Sequence[str]) -> None:
        """Apply the request's ranges of named dimensions. **Reads:** coordinates."""
        placed = {*self.selection}
        for dimension, kept in select_levels(
            self.request.dimensions, requested, self.hierarchy
        ).items():
            if dimension in placed:
                raise RequestError(
                    f"The range of {name_of(dimension)} would cut latitudes, longitudes or times; "
                    "ask for them by lat, lon and time (bbox and temporal)."
                )
            self._keep(dimension, kept)

    def averaged(
        self, variables: tuple[PlannedVariable, ...]
    ) -> tuple[tuple[PlannedVariable, ...], AveragePlan | None]:
        """`variables` less those that an average leaves out, and the average, if one is asked.

        **Reads:** coordinates.
        """
        if self.request.average is None:
            return variables, None
        shape = self.request.shape if isinstance(self.request.shape, Shape) else None
        cuts = Cuts(
            self.hierarchy, self.footings, self.times.axes, self.selection,
            frozenset(self.times.interrupted), shape,
        )  # fmt: skip
        kept, average, notes = plan_average(AverageKind(self.request.average), variables, cuts)
        self.notes += notes
        return kept, average

    def _keep(self, dimension: str, kept: AxisSelection) -> None:
        """Note what is kept of a dimension; two axes may share one only if they agree."""
        if any(dimension in own.dimensions for own in self.placements):
            self._refuse_beside(dimension, kept)
            return
        before = self.selection.setdefault(dimension, kept)
        if before != kept:
            raise UnsupportedError(
                f"Two coordinates along {dimension} are cut in different places by this request; "
                "ask for the variables of each in a request of its own."
            )
