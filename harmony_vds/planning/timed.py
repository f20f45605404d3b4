"""Places with times of their own: each is answered by one step, that of its time.

A step with bounds answers for what lies in them. Otherwise the nearest one does, if the place's
time is no further from it than half the usual spacing of steps and half the gap beside it; of two
equally near ones the earlier. A place of another time is left out, as long as one is answered.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from harmony_vds.errors import NoDataError
from harmony_vds.model.arrays import Positions
from harmony_vds.model.grid import Axis
from harmony_vds.model.listing import listed
from harmony_vds.model.places import AROUND, Blend, Place, PlaceTimes
from harmony_vds.model.selection import AxisSelection
from harmony_vds.planning.placing import Placed, free_dimension
from harmony_vds.planning.ranges import encode, step_edges, time_coverage

DIMENSION = "observation"
"""Name of the dimension along which outputs list places with times."""
_MOST_NAMED = 5


def with_times(placed: Placed, axis: Axis, taken: Collection[str] = ()) -> Placed:
    """`placed`, each of its places at the step of its own time.

    Parameters
    ----------
    placed
        Places that all have a time.
    axis
        The times of the variables there, along a dimension.
    taken
        Full paths of dimensions in the output.

    Raises
    ------
    NoDataError
        No place's time lies in the record; the text says what it covers.
    StoreError
        Units or calendar of the times cannot be understood.

    **Reads:** nothing.
    """
    own = placed.placement
    asked = np.array([_number(place, axis) for place in own.places])
    steps = _steps(axis, asked)
    held = np.flatnonzero(steps >= 0)
    covered = time_coverage(axis, AxisSelection.whole(axis.values.size)) or "no time"
    if not held.size:
        raise NoDataError(
            f"None of the {len(own)} places has a time in the record, which covers {covered}; the "
            f"first is {own.places[0]}."
        )
    steps = steps[held]
    placement = replace(
        own,
        dimensions=(axis.dimension, *own.dimensions),
        cells=np.concatenate([steps[None], own.cells[:, held]]),
        dimension=free_dimension(DIMENSION, taken),
        places=tuple(own.places[n] for n in held),
        longitudes=own.longitudes[held],
        latitudes=own.latitudes[held],
        distances=own.distances[held],
        blend=None if own.blend is None else _at_steps(own.blend, held, steps),
        times=PlaceTimes(axis.path, asked[held], axis.units, axis.calendar),
    )
    kept = np.zeros(axis.values.size, np.bool_)
    kept[steps] = True
    left = [own.places[n] for n in np.setdiff1d(np.arange(len(own)), held)]
    return replace(
        placed,
        placement=placement,
        selection={**placed.selection, axis.dimension: AxisSelection.of_mask(kept)},
        notes=(*placed.notes, *([_left_out(left, covered)] if left else [])),
    )


def _at_steps(blend: Blend, held: Positions, steps: Positions) -> Blend:
    """`blend` of the places `held` alone, each at its step."""
    around = (AROUND * held[:, None] + np.arange(AROUND)).ravel()
    cells = np.concatenate([steps.repeat(AROUND)[None], blend.cells[:, around]])
    return replace(blend, cells=cells, weights=blend.weights[held])


def _number(place: Place, axis: Axis) -> float:
    assert place.time is not None
    return encode(place.time, axis)[0]


def _steps(axis: Axis, asked: npt.NDArray[np.float64]) -> Positions:
    """The step of each time; -1 where there is none."""
    lowest, highest = step_edges(axis)
    known = np.flatnonzero(np.isfinite(axis.values))
    known = known[np.argsort(axis.values[known], kind="stable")]
    if not known.size:
        return np.full(asked.size, -1, np.int64)
    centres = axis.values[known]
    behind = np.clip(np.searchsorted(centres, asked), 1, max(centres.size - 1, 1))
    before = behind - 1
    behind = np.minimum(behind, centres.size - 1)
    nearest = np.where(asked - centres[before] <= centres[behind] - asked, before, behind)
    gaps = np.diff(centres)
    usual = float(np.median(gaps[gaps > 0])) if (gaps > 0).any() else 0.0
    slack = np.spacing(np.abs(centres[nearest])) + axis.resolution
    near = np.abs(asked - centres[nearest]) <= usual / 2 + slack
    found = np.where(near, known[nearest], -1)
    wide = np.flatnonzero(highest > lowest)
    if wide.size:
        wide = wide[np.argsort(lowest[wide], kind="stable")]
        last = np.clip(np.searchsorted(lowest[wide], asked, side="right") - 1, 0, None)
        holding = (lowest[wide][last] <= asked) & (asked < highest[wide][last])
        bounded = highest[np.maximum(found, 0)] > lowest[np.maximum(found, 0)]
        found = np.where(holding, wide[last], np.where(bounded, -1, found))
    return found.astype(np.int64)


def _left_out(places: Sequence[Place], covered: object) -> str:
    return (
        f"Left out, because no step of {covered} is of their time: {listed(places, _MOST_NAMED)}."
    )
