"""A plan while it grows: each part of a request narrows it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from harmony_vds.errors import (
    NoDataError,
    RequestError,
    StoreError,
    UnsupportedError,
)
from harmony_vds.model.average import AverageKind, AveragePlan
from harmony_vds.model.extent import TimeRange
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
from harmony_vds.planning.latest import latest_step
from harmony_vds.planning.levels import select_levels
from harmony_vds.planning.lines import places_along
from harmony_vds.planning.moments import Moments, moments_of
from harmony_vds.planning.placing import Placed, place_on, with_around
from harmony_vds.planning.ranges import refuse_absent, time_coverage
from harmony_vds.planning.recognition import is_coordinate
from harmony_vds.planning.regions import masks_of, region_words
from harmony_vds.planning.stacked import NamedParts, parts_by_name
from harmony_vds.planning.steps import is_interrupted, kept_steps, remarks
from harmony_vds.planning.timed import with_times
from harmony_vds.planning.variables import placing_paths


@dataclass
class Draft:
    """A plan while it grows."""

    hierarchy: Hierarchy
    footings: Mapping[str, Footing]
    request: Request
    selection: dict[str, AxisSelection] = field(default_factory=dict)
    times: dict[str, Axis] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    moments: dict[str, Moments] = field(default_factory=dict)
    picked: NamedParts | None = None
    cells: CellCuts = field(default_factory=CellCuts)
    placements: list[Placement] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.grids = GridCuts(self.hierarchy, self.request, self.cells)

    interrupted: set[str] = field(default_factory=set)

    @property
    def _has_times_asked(self) -> bool:
        return self.request.temporal is not None or bool(self.request.periods + self.request.months)

    def axes(self) -> set[str]:
        """The coordinates that place the requested variables, scalar times among them."""
        return {path for f in self.footings.values() for path in f.coordinates}

    def cut_boxes(self, *, named: bool) -> None:
        """Apply the request's box and shape to every grid that carries a requested variable."""
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
        """Cut the dimensions of cells that are told one by one to what is kept of them."""
        settled = self.cells.settle(self.selection)
        if settled is None:
            asked = [own] if (own := region_words(self.request)) else []
            asked += [f"the time range {self.request.temporal}"] if self.request.temporal else []
            raise NoDataError(f"No data lie in {' and '.join(asked)} together.")
        self.selection |= settled

    def masks(self, variables: Sequence[PlannedVariable]) -> tuple[Mask, ...]:
        """What is blanked inside the windows; nothing where the request asks for windows alone."""
        if self.request.pixel_subset:
            return ()
        placing = placing_paths(variables, self.hierarchy) | self.axes()
        data = {own.path: own.dimensions for own in variables if own.path not in placing}
        shaped = masks_of(self.grids.shaped, variables, placing)
        return (*shaped, *self.cells.masks(self.selection, data))

    def cut_places(self, *, named: bool) -> None:
        """Keep the cells that answer for the request's places, on every grid there is."""
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
        if self._has_times_asked:
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
        """The target, the variables of an output on it, and their price."""
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

    def pick_granules(self) -> None:
        """Find the parts of a stack that are the selected granules', by name or else by time."""
        if not self.request.from_stack:
            return
        granules = self.request.granules
        self.picked = parts_by_name(granules, self.footings, self.hierarchy)
        if self.picked is not None:
            self.request = replace(self.request, periods=())
            self.notes.append(
                f"The selected granules were picked by {self.picked.path.lstrip('/')}."
            )
        elif any(own.temporal is None for own in granules):
            raise UnsupportedError(
                "The selected granules cannot be picked from their common store: not all of them "
                "have a time, and no text in it names their files. Ask for the whole collection."
            )

    def cut_times(self) -> None:
        """Apply the request's time range to every time axis that carries a requested variable."""
        if self._has_times_asked:
            self._cut_moments()
        paths = dict.fromkeys(f.t for f in self.footings.values() if f.t is not None)
        for path in paths:
            axis = read_axis(AxisKind.T, path, self.hierarchy)
            self.times[path] = axis
            if axis.dimension:
                kept = self._picked_of(axis, self._kept_steps(axis))
                if self.request.is_map_image:
                    kept, told = latest_step(axis, kept)
                    self.notes += told
                self._keep(axis.dimension, kept)
                self.notes += remarks(axis, kept)
            elif self._has_times_asked:
                self._kept_steps(axis)
        if self.picked is not None and self.picked.dimension not in self.selection:
            self._keep(self.picked.dimension, self.picked.kept)
        wanted = self.request.temporal
        if self._has_times_asked:
            self._tell_auxiliary_times()
        paths |= dict.fromkeys(self.moments)
        if self.request.periods and not paths:
            raise UnsupportedError(
                "The selected granules cannot be picked from their common store: the requested "
                "variables have no time coordinate. Ask for the whole collection."
            )
        if self._has_times_asked and not paths:
            asked = "months" if wanted is None else f"time range {wanted}"
            raise UnsupportedError(
                f"The {asked} cannot be applied: the requested variables have no time coordinate"
                f"{self._unreadable()}. Ask without."
            )
        if wanted is not None and wanted.is_open and wanted != TimeRange():
            side = "end" if wanted.end is None else "start"
            self.notes.append(
                f"The time range has no {side}; it was taken to the {side} of the record."
            )

    def _unreadable(self) -> str:
        """What might have been a coordinate of the requested variables, and why it is none."""
        dimensions = {d for path in self.footings for d in self.hierarchy.dimensions(path)}
        told = [
            f"{path.lstrip('/')} cannot be read: {reason}"
            for path, reason in self.hierarchy.store.defects.items()
            if path in dimensions
        ]
        return f" ({told[0]})" if told else ""

    def _tell_auxiliary_times(self) -> None:
        """Say which times were taken where a variable other than CF's time gives them."""
        self.notes += [
            f"The times of the steps along {name_of(self.times[path].dimension)} were taken from "
            f"{path.lstrip('/')}, by which each is kept or left out as a whole."
            for path in self.times
            if not is_coordinate(AxisKind.T, path, self.hierarchy.variables[path])
        ]

    def cut_levels(self, requested: Sequence[str]) -> None:
        """Apply the request's ranges of named dimensions."""
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
        """`variables` less those that an average leaves out, and the average, if one is asked."""
        if self.request.average is None:
            return variables, None
        shape = self.request.shape if isinstance(self.request.shape, Shape) else None
        cuts = Cuts(
            self.hierarchy, self.footings, self.times, self.selection, frozenset(self.interrupted),
            shape,
        )  # fmt: skip
        kept, average, notes = plan_average(AverageKind(self.request.average), variables, cuts)
        self.notes += notes
        return kept, average

    def _cut_moments(self) -> None:
        """Apply the request's times to every variable whose cells have times of their own."""
        for path, own in self.footings.items():
            if own.moments is not None:
                if own.moments not in self.moments:
                    found = moments_of(own.moments, self.hierarchy, self.request)
                    self.moments[own.moments] = found
                self.cells.add(path, self.moments[own.moments].cells)

    def _kept_steps(self, axis: Axis) -> AxisSelection:
        if not self._has_times_asked:
            return AxisSelection.whole(axis.values.size)
        refuse_absent(axis, self.request.periods)
        kept = kept_steps(axis, self.request)
        if is_interrupted(axis, self.request):
            self.interrupted.add(axis.path)
        return kept

    def _picked_of(self, axis: Axis, kept: AxisSelection) -> AxisSelection:
        """Those of the kept steps that are the selected granules'."""
        if self.picked is None or self.picked.dimension != axis.dimension:
            return kept
        both = kept.intersection(self.picked.kept)
        if len(both) == 0:
            raise NoDataError(
                f"None of the {len(self.request.granules)} selected granules lies in the time "
                f"range {self.request.temporal}."
            )
        return both

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

    def coverage(self) -> TimeRange | None:
        """The time covered by all kept steps; None without time axis."""
        spread = (own.coverage(self.selection) for own in self.moments.values())
        found = [span for span in spread if span]
        for axis in self.times.values():
            kept = self.selection.get(axis.dimension) if axis.dimension else None
            try:
                span = time_coverage(axis, kept or AxisSelection.whole(axis.values.size))
            except StoreError as error:
                if self._has_times_asked:
                    raise
                self.notes.append(str(error))  # which nobody's numbers depend on
                continue
            found += [span] if span else []
        if not found:
            return None
        starts = [span.start for span in found if span.start]
        ends = [span.end for span in found if span.end]
        return TimeRange(min(starts), max(ends))
