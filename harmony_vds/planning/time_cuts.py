"""The times of a request, on every time axis of the variables it asks for."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace

from harmony_vds.errors import NoDataError, StoreError, UnsupportedError
from harmony_vds.model.extent import TimeRange
from harmony_vds.model.grid import Axis, AxisKind
from harmony_vds.model.paths import name_of
from harmony_vds.model.request import Request
from harmony_vds.model.selection import AxisSelection
from harmony_vds.planning.axes import read_axis
from harmony_vds.planning.cells import CellCuts
from harmony_vds.planning.grids import Footing
from harmony_vds.planning.hierarchy import Hierarchy
from harmony_vds.planning.latest import latest_step
from harmony_vds.planning.moments import Moments, moments_of
from harmony_vds.planning.ranges import refuse_absent, time_coverage
from harmony_vds.planning.recognition import is_coordinate
from harmony_vds.planning.stacked import NamedParts, parts_by_name
from harmony_vds.planning.steps import is_interrupted, kept_steps, remarks


@dataclass
class TimeCuts:
    """What the times of a request keep, axis after axis, and what the user should know of it."""

    hierarchy: Hierarchy
    """The store's."""
    footings: Mapping[str, Footing]
    """Full path of each requested variable → where it stands."""
    request: Request
    """What was asked; without periods once granules were picked by name."""
    cells: CellCuts
    """Takes the cells whose own times are asked for."""
    notes: list[str]
    """Added to."""
    axes: dict[str, Axis] = field(default_factory=dict)
    """Full path of each time coordinate that was read → it."""
    moments: dict[str, Moments] = field(default_factory=dict)
    """Full path of times of single cells → them."""
    interrupted: set[str] = field(default_factory=set)
    """Full paths of axes of which months leave steps out in between."""
    picked: NamedParts | None = None
    """The selected granules in a stack that names its files."""

    def cut(self, selection: Mapping[str, AxisSelection]) -> Iterator[tuple[str, AxisSelection]]:
        """Each dimension that is cut, and what is kept of it, as axis after axis is read.

        Parameters
        ----------
        selection
            What is kept of each dimension so far.

        Raises
        ------
        NoDataError
            Nothing lies in the time range.
        UnsupportedError
            The requested variables have no times to be cut by.

        **Reads:** coordinates.
        """
        self._pick_granules()
        if self.request.has_times:
            self._cut_moments()
        paths = dict.fromkeys(f.t for f in self.footings.values() if f.t is not None)
        for path in paths:
            axis = self.axes[path] = read_axis(AxisKind.T, path, self.hierarchy)
            if axis.dimension:
                yield axis.dimension, self._kept_of(axis)
            elif self.request.has_times:
                self._kept_steps(axis)
        if self.picked is not None and self.picked.dimension not in selection:
            yield self.picked.dimension, self.picked.kept
        if self.request.has_times:
            self._tell_auxiliary_times()
            self._refuse_timeless({*paths, *self.moments})
        self._tell_open_side()

    def _kept_of(self, axis: Axis) -> AxisSelection:
        """What is kept of an axis along a dimension; what there is to say of it is noted."""
        kept = self._picked_of(axis, self._kept_steps(axis))
        if self.request.is_map_image:
            kept, told = latest_step(axis, kept)
            self.notes += told
        self.notes += remarks(axis, kept)
        return kept

    def _refuse_timeless(self, paths: Collection[str]) -> None:
        """Raise where `paths`, of all times that there are, are none."""
        if paths:
            return
        if self.request.periods:
            raise UnsupportedError(
                "The selected granules cannot be picked from their common store: the requested "
                "variables have no time coordinate. Ask for the whole collection."
            )
        wanted = self.request.temporal
        asked = "months" if wanted is None else f"time range {wanted}"
        raise UnsupportedError(
            f"The {asked} cannot be applied: the requested variables have no time coordinate"
            f"{self._unreadable()}. Ask without."
        )

    def _tell_open_side(self) -> None:
        wanted = self.request.temporal
        if wanted is not None and wanted.is_open and wanted != TimeRange():
            side = "end" if wanted.end is None else "start"
            self.notes.append(
                f"The time range has no {side}; it was taken to the {side} of the record."
            )

    def _pick_granules(self) -> None:
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
            f"The times of the steps along {name_of(self.axes[path].dimension)} were taken from "
            f"{path.lstrip('/')}, by which each is kept or left out as a whole."
            for path in self.axes
            if not is_coordinate(AxisKind.T, path, self.hierarchy.variables[path])
        ]

    def _cut_moments(self) -> None:
        """Apply the request's times to every variable whose cells have times of their own."""
        for path, own in self.footings.items():
            if own.moments is not None:
                if own.moments not in self.moments:
                    found = moments_of(own.moments, self.hierarchy, self.request)
                    self.moments[own.moments] = found
                self.cells.add(path, self.moments[own.moments].cells)

    def _kept_steps(self, axis: Axis) -> AxisSelection:
        if not self.request.has_times:
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

    def coverage(self, selection: Mapping[str, AxisSelection]) -> TimeRange | None:
        """The time covered by all steps that `selection` keeps; None without time axis.

        **Reads:** nothing.
        """
        spread = (own.coverage(selection) for own in self.moments.values())
        found = [span for span in spread if span]
        for axis in self.axes.values():
            kept = selection.get(axis.dimension) if axis.dimension else None
            try:
                span = time_coverage(axis, kept or AxisSelection.whole(axis.values.size))
            except StoreError as error:
                if self.request.has_times:
                    raise
                self.notes.append(str(error))  # which nobody's numbers depend on
                continue
            found += [span] if span else []
        if not found:
            return None
        starts = [span.start for span in found if span.start]
        ends = [span.end for span in found if span.end]
        return TimeRange(min(starts), max(ends))
