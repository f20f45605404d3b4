"""Smaller requests in place of one that is too large: each planned and priced, so that it fits."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from harmony_vds.errors import VdsError
from harmony_vds.model.extent import BoundingBox, TimeRange
from harmony_vds.model.grid import AxisKind
from harmony_vds.model.plan import Cost, Plan
from harmony_vds.model.request import Request, Source
from harmony_vds.model.store import VirtualStore
from harmony_vds.planning.axes import read_axis
from harmony_vds.planning.hierarchy import Hierarchy
from harmony_vds.planning.planner import make_plan
from harmony_vds.planning.ranges import decode, step_edges

_MOST_HALVINGS = 24
_MOST_NAMED = 6
"""Variables that a text names; more would not be read."""
_MOST_LETTERS = 200


@dataclass(frozen=True, eq=False)
class Narrowing:
    """A request that is too large, and the search for one that is not."""

    store: VirtualStore
    """Its store."""
    request: Request
    """What was asked."""
    source: Source
    """The collection it was asked of."""
    plan: Plan
    """Its plan."""
    fits: Callable[[Cost], bool]
    """Whether a price is within the limits."""

    def suggestions(self) -> list[str]:
        """Requests that fit, in words: at most one of each kind. **Reads:** coordinates."""
        found = (self.fewer_steps(), self.fewer_variables(), self.smaller_box())
        return [text for text in found if text]

    def fewer_steps(self) -> str | None:
        """The longest time range from the first kept step on. **Reads:** coordinates."""
        starts = self._starts_of_steps()

        def until(count: int) -> Request:
            return replace(self.request, temporal=TimeRange(starts[0], starts[count - 1]))

        count = _most(len(starts) - 1, lambda n: self._fitting(until(n)) is not None)
        if not count:
            return None
        priced = self._fitting(until(count))
        return f"the time range {until(count).temporal} ({count} of {len(starts)} steps; {priced})"

    def _starts_of_steps(self) -> list[datetime]:
        """When the kept steps of the longest time axis begin, in order of time."""
        hierarchy = Hierarchy(self.store)
        longest: list[datetime] = []
        for path in self.plan.time_axes:
            axis = read_axis(AxisKind.T, path, hierarchy)
            if axis.dimension not in self.plan.selection:
                continue
            kept = self.plan.selection[axis.dimension].positions
            lowest = step_edges(axis)[0][kept]
            lowest = np.unique(lowest[np.isfinite(axis.values[kept])])
            if lowest.size > len(longest):
                longest = [decode(float(number), axis) for number in lowest]
        asked = self.request.temporal.start if self.request.temporal else None
        return [max(start, asked) if asked else start for start in longest]

    def fewer_variables(self) -> str | None:
        """The first of the requested variables, as many as fit, or one that fits.

        **Reads:** coordinates.
        """
        ndims = {v.path: len(v.dimensions) for v in self.plan.variables}
        requested = self.plan.requested
        fullest = max((ndims[path] for path in requested), default=0)
        names = [path.lstrip("/") for path in requested if ndims[path] == fullest]
        if len(requested) < 2:
            return None

        def first(count: int) -> Source:
            return replace(self.source, variables=tuple(names[:count]))

        nameable = [
            n for n in range(1, len(names) + 1) if len(", ".join(names[:n])) < _MOST_LETTERS
        ]
        most = min(max(nameable, default=0), len(requested) - 1, _MOST_NAMED)
        count = _most(most, lambda n: self._fitting(self.request, first(n)) is not None)
        if count:
            chosen = first(count)
        else:
            singles = (replace(self.source, variables=(name,)) for name in names[:50])
            found = next((s for s in singles if self._fitting(self.request, s)), None)
            if found is None:
                return None
            chosen = found
        priced = self._fitting(self.request, chosen)
        plural = "s" if len(chosen.variables) > 1 else ""
        return f"the variable{plural} {', '.join(chosen.variables)} ({priced})"

    def smaller_box(self) -> str | None:
        """The box halved, its longer side first, about its middle until it fits.

        **Reads:** coordinates.
        """
        box = self.request.bbox or self.plan.bbox()
        if box is None:
            return None
        for _ in range(_MOST_HALVINGS):
            box = _halved(box)
            priced = self._fitting(replace(self.request, bbox=box))
            if priced is not None:
                w, s, e, n = box.west, box.south, box.east, box.north
                return f"the box {w:.10g},{s:.10g},{e:.10g},{n:.10g} ({priced})"
        return None

    def _fitting(self, request: Request, source: Source | None = None) -> Cost | None:
        """The price of a request, or None if it is still too large or cannot be answered."""
        try:
            cost = make_plan(self.store, request, source or self.source).cost
        except VdsError:
            return None
        return cost if self.fits(cost) else None


def _most(highest: int, fits: Callable[[int], bool]) -> int:
    """The largest number up to `highest` that fits, where fewer always fit; 0 if none does."""
    low = 0
    while low < highest:
        middle = (low + highest + 1) // 2
        if fits(middle):
            low = middle
        else:
            highest = middle - 1
    return low


def _halved(box: BoundingBox) -> BoundingBox:
    """A box of half the size about the same middle, in numbers that can be typed."""
    width, height = box.width, box.north - box.south
    if width >= height:
        west = round(box.west + width / 4, 4)
        east = round(west + width / 2, 4)
        if east > 180:  # in the turn that users write, unless it crosses the antimeridian there
            west, east = (west - 360 if west > 180 else west), east - 360
        return replace(box, west=round(west, 4), east=round(east, 4))
    return replace(
        box, south=round(box.south + height / 4, 4), north=round(box.north - height / 4, 4)
    )
