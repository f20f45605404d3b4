"""Cuts a request into Parts: along time, or another dimension, where the store's chunks end.

What has too few of those on a target grid is cut into strips of the grid's rows.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from itertools import pairwise

import numpy as np

from harmony_vds.model.arrays import Integers
from harmony_vds.model.chunks import Cut, distinct, numbers_of
from harmony_vds.model.formats import PNG
from harmony_vds.model.lattice import TILE
from harmony_vds.model.plan import Cost, Plan
from harmony_vds.model.request import Stretch
from harmony_vds.model.selection import AxisSelection
from harmony_vds.model.store import VirtualStore
from harmony_vds.planning.cost import kept_indices
from harmony_vds.planning.hierarchy import Hierarchy

_SMALL = 0.05
"""Share of the bytes below which a variable's chunks do not decide where is cut."""


def of_stretch(
    stretch: Stretch | None, selection: Mapping[str, AxisSelection], hierarchy: Hierarchy
) -> dict[str, AxisSelection]:
    """What `selection` keeps of the dimension of `stretch` within it. **Reads:** nothing."""
    if stretch is None or stretch.of_target:
        return {}
    size = hierarchy.length(stretch.dimension)
    own = AxisSelection(size, (range(stretch.start, min(stretch.stop, size)),))
    kept = selection.get(stretch.dimension, AxisSelection.whole(size))
    return {stretch.dimension: kept.intersection(own)}


def in_parts(
    plan: Plan,
    store: VirtualStore,
    excess: Callable[[Cost], float],
    planned: Callable[[Stretch], Plan],
) -> list[tuple[Stretch | None, Plan]]:
    """`plan` whole if it is small enough, else cut into as few Parts as are, in order.

    Parameters
    ----------
    plan
        The plan of the whole request.
    store
        Its store.
    excess
        How many times too large a price is; up to 1 it is allowed.
    planned
        The plan of a stretch of the request.

    Returns
    -------
    list of (Stretch or None, Plan)
        A Part that is a single row of chunks stands even if it is too large; a plan that has no
        dimension to cut comes back whole.

    **Reads:** nothing, or coordinates as `planned` does.
    """
    factor = excess(plan.cost)
    stretches = [] if factor <= 1 else stretches_of(plan, store, factor)
    if len(stretches) < 2:
        return [(None, plan)]
    return [*cut_evenly(stretches, factor, lambda own: excess(own.cost), planned)]


def cut_evenly[T](
    stretches: Sequence[Stretch],
    factor: float,
    excess: Callable[[T], float],
    planned: Callable[[Stretch], T],
) -> list[tuple[Stretch, T]]:
    """What `planned` gives for as few joined `stretches` as are small enough, in order.

    `factor` is how many times too large all of them are. **Reads:** as `planned` does.
    """
    found: list[tuple[Stretch, T]] = []
    waiting = _even(stretches, math.ceil(factor))
    while waiting:
        own = waiting.pop(0)
        stretch = replace(own[0], stop=own[-1].stop)
        part = planned(stretch)
        factor = excess(part)
        if factor > 1 and len(own) > 1:
            waiting[:0] = _even(own, math.ceil(factor))
        else:
            found.append((stretch, part))
    return found


def stretches_of(plan: Plan, store: VirtualStore, factor: float) -> list[Stretch]:
    """The least that `plan` can be cut into, if it is `factor` times too large.

    Strips of a target grid are taken where nothing else has so many. **Reads:** nothing.
    """
    hierarchy = Hierarchy(store)
    dimension = _dimension(plan, hierarchy)
    along = []
    if dimension is not None:
        rows = _rows(dimension, plan, hierarchy).tolist()
        along = [Stretch(dimension, start, stop) for start, stop in rows]
    if len(along) >= factor:
        return along
    return max(along, strips_of(plan, factor), key=len)


def divides(plan: Plan, store: VirtualStore, factor: float) -> bool:
    """Whether `stretches_of` gives more than one; in a fraction of its time. **Reads:** nothing."""
    hierarchy = Hierarchy(store)
    dimension = _dimension(plan, hierarchy)
    if dimension is not None and len(_rows(dimension, plan, hierarchy)) > 1:
        return True
    return len(strips_of(plan, factor)) > 1


def strips_of(plan: Plan, factor: float) -> list[Stretch]:
    """The strips of a target grid that a `plan` is cut into if it is `factor` times too large.

    None without a target, nor of a picture, whose colours follow what is in it. Strips are as high
    as the tiles in which places are worked out, or of two rows, the least that tell their spacing.
    **Reads:** nothing.
    """
    if plan.target is None or plan.average is not None or plan.format.media_type == PNG:
        return []
    total = plan.target.shape[0]
    height = TILE if total // TILE >= 2 * factor else 2
    starts = [*range(0, total, height)]
    if len(starts) > 1 and total - starts[-1] < 2:
        starts.pop()
    rows = plan.target.dimensions[0]
    return [Stretch(rows, *own, of_target=True) for own in pairwise([*starts, total])]


def _dimension(plan: Plan, hierarchy: Hierarchy) -> str | None:
    """The dimension to cut: the longest of the times, or else of those that place nothing."""
    requested = [own for own in plan.variables if own.path in plan.requested]
    carried = {dimension for own in requested for dimension in own.dimensions}
    axes = [path for grid in plan.grids for path in (grid.x_path, grid.y_path) if path]
    placing = {dimension for path in axes for dimension in hierarchy.dimensions(path)}
    placing |= {dimension for grid in plan.grids for dimension in grid.dimensions}
    placing |= {dimension for own in plan.placements for dimension in own.dimensions}
    sources = () if plan.target is None else plan.target.sources
    placing |= {dimension for grid in sources for dimension in grid.dimensions}
    times = {dimension for path in plan.time_axes for dimension in hierarchy.dimensions(path)}
    for choice in (times & carried, carried):
        lengths = {
            dimension: len(_kept(dimension, plan, hierarchy)) for dimension in choice - placing
        }
        longest = max(sorted(lengths), key=lambda own: lengths[own], default=None)
        if longest is not None and lengths[longest] > 1:
            return longest
    return None


def _kept(dimension: str, plan: Plan, hierarchy: Hierarchy) -> AxisSelection:
    return plan.selection.get(dimension, AxisSelection.whole(hierarchy.length(dimension)))


def _rows(dimension: str, plan: Plan, hierarchy: Hierarchy) -> Integers:
    """The kept stretches of `dimension` between places where it can be cut, in stored order.

    First positions and those behind the last, shape (stretches, 2).
    """
    size = hierarchy.length(dimension)
    weights: dict[str, int] = {}
    cuts: dict[str, Integers] = {}
    for own in plan.variables:
        if dimension not in own.dimensions:
            continue
        raw = hierarchy.variables[own.path]
        kept = kept_indices(own, raw.shape, plan.selection)
        index = hierarchy.store.chunk_index(own.path, kept)
        weights[own.path] = int(np.prod(raw.shape, dtype=np.int64)) * raw.dtype.itemsize
        cuts[own.path] = _boundaries(index.cuts[own.dimensions.index(dimension)], size)
    heaviest = max(weights, key=lambda path: weights[path])
    heavy = [path for path in weights if weights[path] >= _SMALL * weights[heaviest]]
    common = reduce(_in_both, [cuts[path] for path in heavy])
    edges = np.concatenate([[0], common if common.size else cuts[heaviest], [size]])
    touched = distinct(numbers_of(_kept(dimension, plan, hierarchy).positions, edges))
    return np.stack([edges[touched], edges[touched + 1]], axis=1)


def _boundaries(cut: Cut, size: int) -> Integers:
    inner = np.arange(cut, size, cut, dtype=np.int64) if isinstance(cut, int) else cut[1:-1]
    return np.asarray(inner, np.int64)


def _in_both(one: Integers, other: Integers) -> Integers:
    """The positions that stand in both, as they do where variables are chunked alike."""
    return one if np.array_equal(one, other) else np.intersect1d(one, other, assume_unique=True)


def _even(rows: Sequence[Stretch], count: int) -> list[Sequence[Stretch]]:
    """`rows` in `count` runs of nearly equal numbers, at least two and none of them empty."""
    count = min(max(count, 2), len(rows))
    edges = [len(rows) * number // count for number in range(count + 1)]
    return [rows[a:b] for a, b in pairwise(edges)]
