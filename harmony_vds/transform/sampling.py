"""The cells of places in place of a grid: one series at each, CF's discrete sampling geometry.

A variable's horizontal dimensions make room for one along which the places stand, the first of the
output's; whatever else it has, such as time and levels, stays. Values are those of the store.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache, partial
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from harmony_vds.model.arrays import tightened
from harmony_vds.model.chunks import Cut
from harmony_vds.model.paths import name_of
from harmony_vds.model.place_reads import Group, PlaceReads
from harmony_vds.model.places import Placement
from harmony_vds.model.plan import PlannedVariable
from harmony_vds.model.subset import Block, SubsetVariable
from harmony_vds.transform.computed import computed

_READERS = 32
"""Groups read at once: each takes a round trip at least."""


def sampled(
    stored: xr.Variable,
    planned: PlannedVariable,
    positions: Sequence[npt.NDArray[np.int64]],
    cuts: Sequence[Cut],
    placement: Placement,
) -> SubsetVariable:
    """`stored` at the cells of `placement`, lazy: the places first, then its other dimensions.

    Parameters
    ----------
    stored
        The whole variable, lazy.
    planned
        Its place in the plan.
    positions
        Stored positions that are kept along each dimension; along the grid's they do not matter.
    cuts
        How the store's chunks cut each dimension.
    placement
        The cells.

    **Reads:** nothing; chunks when values are asked for, each in one of the blocks.
    """
    reads = PlaceReads.of(placement, planned.dimensions, positions, cuts, stored.dtype.itemsize)
    sizes = [own.size for own in reads.kept]
    dimensions = (placement.dimension, *(planned.dimensions[axis] for axis in reads.others))
    data = computed(
        [name_of(own) for own in dimensions], [len(placement), *sizes], stored.dtype,
        partial(_sampled, stored, reads), stored.attrs,
    )  # fmt: skip
    return SubsetVariable(
        PlannedVariable(planned.path, dimensions, planned.role),
        data,
        (len(placement), *sizes),
        tuple((slice(0, len(placement)), *window) for window in reads.windows),
    )


def _sampled(stored: xr.Variable, reads: PlaceReads, block: Block) -> npt.NDArray[Any]:
    """The values of a block of places."""
    members, window = block[0], block[1:]
    values = np.empty([own.stop - own.start for own in block], stored.dtype)
    for group, cells in _read_all(stored, reads, window, members):
        wanted = (group.members >= members.start) & (group.members < members.stop)
        values[group.members[wanted] - members.start] = cells[wanted]
    return values


def _read_all(
    stored: xr.Variable, reads: PlaceReads, window: Block, members: slice
) -> Iterator[tuple[Group, npt.NDArray[Any]]]:
    """Every group with a member among `members`, and the values of all its members."""
    groups = [
        own for own in reads.groups
        if own.members[-1] >= members.start and own.members[0] < members.stop
    ]  # fmt: skip
    if len(groups) == 1:
        yield groups[0], _read(stored, reads, groups[0], window)
        return
    waiting: list[tuple[Group, Future[npt.NDArray[Any]]]] = [
        (own, _readers().submit(_read, stored, reads, own, window)) for own in groups
    ]
    try:
        for group, future in waiting:
            yield group, future.result()
    finally:
        for _, future in waiting:
            future.cancel()


def _read(stored: xr.Variable, reads: PlaceReads, group: Group, window: Block) -> npt.NDArray[Any]:
    """The cells of a group's members; shape (members, other dimensions …)."""
    key = [tightened(own) for own in reads.positions(group, window)]
    values = np.asarray(stored[tuple(key)].values)
    values = np.moveaxis(values, reads.axes, range(len(reads.axes)))
    return values[group.within]


@lru_cache(maxsize=1)
def _readers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_READERS, thread_name_prefix="harmony-vds-places")
