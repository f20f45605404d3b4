"""When a store has data: how many steps in each part of its time, and where steps are missing."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harmony_vds.errors import VdsError
from harmony_vds.model.grid import Axis, AxisKind
from harmony_vds.model.store import VirtualStore
from harmony_vds.planning.axes import read_axis
from harmony_vds.planning.grids import footing
from harmony_vds.planning.hierarchy import Hierarchy
from harmony_vds.planning.ranges import decode

_BINS = 72
_WIDER = 1.6
"""Times the usual step above which steps are missing; months differ by a tenth."""
_MOST_GAPS = 1000


@dataclass(frozen=True)
class Gap:
    """A stretch without steps."""

    after: str
    """Last instant before it, ISO 8601."""
    before: str
    """First instant behind it."""
    missing: int
    """About how many steps of the usual length would fit."""


@dataclass(frozen=True)
class Timeline:
    """One time axis from its first step to its last."""

    path: str
    """Time variable."""
    first: str
    """First instant, ISO 8601."""
    last: str
    """Last instant."""
    counts: tuple[int, ...]
    """Steps in each of equal parts of the time between."""
    gaps: tuple[Gap, ...]
    """Where the usual step is exceeded, in the order of time."""


def timelines(store: VirtualStore) -> tuple[Timeline, ...]:
    """Each time axis of a store that can be read, once. **Reads:** coordinates."""
    hierarchy = Hierarchy(store)
    paths = dict.fromkeys(footing(path, hierarchy).t for path in hierarchy.variables)
    return tuple(_timelines([path for path in paths if path], hierarchy))


def _timelines(paths: list[str], hierarchy: Hierarchy) -> Iterator[Timeline]:
    for path in paths:
        try:
            axis = read_axis(AxisKind.T, path, hierarchy)
            values = np.unique(axis.values[np.isfinite(axis.values)])
            if values.size:
                yield _timeline(axis, values)
        except VdsError:  # told among the findings
            continue


def _timeline(axis: Axis, values: npt.NDArray[np.float64]) -> Timeline:
    counts, _ = np.histogram(values, min(_BINS, values.size))
    steps = np.diff(values)
    usual = _usual(steps)
    wide = np.flatnonzero(steps > _WIDER * usual)[:_MOST_GAPS]
    gaps = tuple(
        Gap(
            _instant(values[n], axis),
            _instant(values[n + 1], axis),
            max(round(steps[n] / usual) - 1, 1),
        )
        for n in wide
    )
    first, last = _instant(values[0], axis), _instant(values[-1], axis)
    return Timeline(axis.path, first, last, tuple(counts.tolist()), gaps)


def _instant(value: float, axis: Axis) -> str:
    """The time that `value` counts, as ISO 8601 in UTC."""
    return decode(float(value), axis).isoformat().replace("+00:00", "Z")


def _usual(steps: npt.NDArray[np.float64]) -> float:
    """The commonest step, to a twentieth of it; the shortest of equally common ones."""
    if not steps.size:
        return 0.0
    alike = np.round(np.log(steps) * 20)
    kinds, counts = np.unique(alike, return_counts=True)
    return float(np.median(steps[alike == kinds[np.argmax(counts)]]))
