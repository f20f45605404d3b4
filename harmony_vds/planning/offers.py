"""Kinds of smaller requests to offer in place of one that is too large.

A kind is a function in `STRATEGIES`: it gives the largest request of its kind that fits, or None.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

import numpy as np
import numpy.typing as npt

from harmony_vds.model.extent import BoundingBox, TimeRange
from harmony_vds.model.grid import Axis, AxisKind
from harmony_vds.model.plan import Cost
from harmony_vds.model.request import Request, Source
from harmony_vds.planning.axes import read_axis
from harmony_vds.planning.hierarchy import Hierarchy
from harmony_vds.planning.narrowing import Excess, Fits, Narrowing, Offer, most_fitting
from harmony_vds.planning.ranges import decode, step_edges

_MOST_OFFERS = 3
_MOST_HALVINGS = 24
_MOST_STALLED = 4
"""Halves in a row that cost the same: a side that is halved within its chunks saves nothing."""
_MOST_NAMED = 6
"""Variables that a text names; more would not be read."""
_MOST_UNEVEN = 16
"""How many times less than the mean of all a variable is thought to cost at least."""
_MOST_LETTERS = 120

type Strategy = Callable[[Narrowing], Offer | None]


def shorter_time(narrowing: Narrowing) -> Offer | None:
    """The longest time range from the first kept step on. **Reads:** coordinates."""
    starts = _starts_of_steps(narrowing)

    def until(count: int) -> Request:
        return replace(narrowing.request, temporal=TimeRange(starts[0], starts[count - 1]))

    guess = int(len(starts) / max(narrowing.excess(narrowing.plan.cost), 1))
    count = most_fitting(len(starts) - 1, lambda n: narrowing.fitting(until(n)) is not None, guess)
    cost = narrowing.settled(until(count)) if count else None
    if cost is None:
        return None
    first, last = (_instant(starts[position]) for position in (0, count - 1))
    return Offer(
        f'subset=time("{first}":"{last}")', f"--temporal {first} {last}", cost,
        f"{count} of {len(starts)} steps",
    )  # fmt: skip


def _instant(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


class _Starts:
    """When steps begin, in order of time; each decoded when it is asked for."""

    def __init__(
        self, request: Request, numbers: npt.NDArray[np.float64] | None = None,
        axis: Axis | None = None,
    ) -> None:  # fmt: skip
        self._asked = request.temporal.start if request.temporal else None
        self._numbers = np.empty(0) if numbers is None else numbers
        self._axis = axis

    def __len__(self) -> int:
        return int(self._numbers.size)

    def __getitem__(self, position: int) -> datetime:
        if self._axis is None:
            raise IndexError(position)
        start = decode(float(self._numbers[position]), self._axis)
        return max(start, self._asked) if self._asked else start


def _starts_of_steps(narrowing: Narrowing) -> _Starts:
    """When the kept steps of the longest time axis begin, in order of time."""
    hierarchy = Hierarchy(narrowing.store)
    longest = _Starts(narrowing.request)
    for path in narrowing.plan.time_axes:
        axis = read_axis(AxisKind.T, path, hierarchy)
        if axis.dimension not in narrowing.plan.selection:
            continue
        kept = narrowing.plan.selection[axis.dimension].positions
        lowest = step_edges(axis)[0][kept]
        lowest = np.unique(lowest[np.isfinite(axis.values[kept])])
        if lowest.size > len(longest):
            longest = _Starts(narrowing.request, lowest, axis)
    return longest


def fewer_variables(narrowing: Narrowing) -> Offer | None:
    """The first of the requested variables, as many as fit, or one that fits.

    **Reads:** coordinates.
    """
    ndims = {v.path: len(v.dimensions) for v in narrowing.plan.variables}
    requested = narrowing.plan.requested
    fullest = max((ndims[path] for path in requested), default=0)
    names = [path.lstrip("/") for path in requested if ndims[path] == fullest]
    hopeless = narrowing.excess(narrowing.plan.cost) > _MOST_UNEVEN * len(requested)
    hopeless |= len(narrowing.request.sources) > 1  # what they hold has other names
    if len(requested) < 2 or hopeless:
        return None

    def first(count: int) -> Source:
        return replace(narrowing.source, variables=tuple(names[:count]))

    nameable = [n for n in range(1, len(names) + 1) if len(",".join(names[:n])) < _MOST_LETTERS]
    most = min(max(nameable, default=0), len(requested) - 1, _MOST_NAMED)
    request = narrowing.request
    count = most_fitting(most, lambda n: narrowing.fitting(request, first(n)) is not None)
    if count:
        return _offer_of(first(count).variables, narrowing)
    for name in names[1:50]:
        found = _offer_of((name,), narrowing)
        if found is not None:
            return found
    return None


def _offer_of(names: Sequence[str], narrowing: Narrowing) -> Offer | None:
    source = replace(narrowing.source, variables=tuple(names))
    cost = narrowing.settled(narrowing.request, source)
    if cost is None:
        return None
    return Offer(
        f"variable={','.join(names)}", " ".join(f"--variable {name}" for name in names), cost
    )


def smaller_box(narrowing: Narrowing) -> Offer | None:
    """The box halved, its longer side first, about its middle until it fits.

    **Reads:** coordinates.
    """
    found = _fitting_box(narrowing)
    return None if found is None else Offer(*_told(found[0]), found[1])


def _told(box: BoundingBox) -> tuple[str, str]:
    """The parameters and options that ask for a box."""
    w, s, e, n = (f"{edge:.10g}" for edge in (box.west, box.south, box.east, box.north))
    return f"subset=lon({w}:{e})&subset=lat({s}:{n})", f"--bbox {w} {s} {e} {n}"


def _fitting_box(narrowing: Narrowing) -> tuple[BoundingBox, Cost] | None:
    """The first half of a half that fits, and its price."""
    box = narrowing.request.bbox or narrowing.plan.bbox()
    if box is None:
        return None
    before = narrowing.excess(narrowing.plan.cost)
    hopeless, stalled = int(math.log2(max(before, 1))) - 1, 0
    for number in range(_MOST_HALVINGS):
        box = _halved(box)
        if number < hopeless:  # each half costs half of it, or more where chunks are shared
            continue
        cost, fits = narrowing.tried(replace(narrowing.request, bbox=box))
        stalled = stalled + 1 if cost is not None and narrowing.excess(cost) == before else 0
        if cost is None or (not fits and stalled == _MOST_STALLED):
            return None  # no cell is left, or the box lies within one chunk
        before = narrowing.excess(cost)
        settled = narrowing.settled(replace(narrowing.request, bbox=box)) if fits else None
        if settled is not None:
            return box, settled
    return None


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


def box_for_short(narrowing: Narrowing) -> Offer | None:
    """A smaller box for the first step, and for as many more as fit then.

    For what is too large in one step, and too long in one cell. **Reads:** coordinates.
    """
    starts, request = _starts_of_steps(narrowing), narrowing.request
    if len(starts) < 2:
        return None
    first = replace(request, temporal=TimeRange(starts[0], starts[0]))
    cost, _ = narrowing.tried(first)
    if cost is None:
        return None
    found = _fitting_box(replace(narrowing, request=first, plan=replace(narrowing.plan, cost=cost)))
    if found is None:
        return None
    box, cost = found
    more = shorter_time(replace(narrowing, request=replace(request, bbox=box), plan=narrowing.plan))
    parameters, options = _told(box)
    if more is None:
        moment = _instant(starts[0])
        return Offer(
            f'{parameters}&subset=time("{moment}":"{moment}")',
            f"{options} --temporal {moment} {moment}", cost, f"1 of {len(starts)} steps",
        )  # fmt: skip
    return replace(
        more, parameters=f"{parameters}&{more.parameters}", options=f"{options} {more.options}"
    )


STRATEGIES: tuple[Strategy, ...] = (shorter_time, fewer_variables, smaller_box)
"""Tried in this order, until enough of them gave an offer."""


def offers(
    narrowing: Narrowing,
    fits: Fits,
    excess: Excess,
    strategies: Sequence[Strategy] = STRATEGIES,
    most: int = _MOST_OFFERS,
) -> list[Offer]:
    """Requests that fit, at most one of each kind. **Reads:** coordinates."""
    narrowing = replace(narrowing, fits=fits, excess=excess)
    found: list[Offer] = []
    for strategy in strategies:
        offer = strategy(narrowing)
        if offer is not None:
            found.append(offer)
        if len(found) == most:
            break
    if not found and (offer := box_for_short(narrowing)) is not None:
        found.append(offer)
    return found
