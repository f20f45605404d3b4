"""The price of averages over time that go onto a target grid: averaged first, then put there.

Every chunk is read once, as for the average alone. The average of all that is kept is held in
memory, since a block of the target may need any part of it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from harmony_vds.errors import NoDataError
from harmony_vds.model.approach import Approach
from harmony_vds.model.average import AveragedVariable
from harmony_vds.model.plan import Cost, PlannedVariable
from harmony_vds.model.scatter import way_to
from harmony_vds.model.selection import AxisSelection
from harmony_vds.model.target import TargetPlan, made_type
from harmony_vds.model.warp_blocks import WarpBlock, warp_blocks, whole_planes
from harmony_vds.planning.cost import Course, price
from harmony_vds.planning.hierarchy import Hierarchy
from harmony_vds.planning.target_cost import price_target, seconds_a_cell, working_of


def price_averaged_target(
    variables: Sequence[PlannedVariable],
    selection: Mapping[str, AxisSelection],
    hierarchy: Hierarchy,
    target: TargetPlan,
    course: Course,
) -> Cost:
    """What an output costs of which some variables are averaged over time and all are moved.

    Raises
    ------
    NoDataError
        Nothing of the store lies under the target.

    **Reads:** metadata.
    """
    assert course.average is not None
    average = course.average
    averaged = [
        own for own in variables
        if average.of(own.path) and target.source_of(own.dimensions) is not None
    ]  # fmt: skip
    others = [own for own in variables if own not in averaged]
    alone = [own for own in others if average.of(own.path)]
    cost = price_target(
        [own for own in others if own not in alone], selection, hierarchy, target, course.masks
    )
    first = price([*averaged, *alone], selection, hierarchy, course)
    held = sum(price([own], selection, hierarchy, course).bytes_written for own in averaged)
    warps = {own.dimensions: way_to(target, own) for own in target.sources}
    written, computing, working, met = first.bytes_written - held, first.computing, 0, False
    for own in averaged:
        source = target.source_of(own.dimensions)
        made = average.of(own.path)
        assert source is not None
        assert made is not None
        shape = _shape(own, made, selection, hierarchy)
        for measure, path in made.measures:
            approach = Approach(warps[source.dimensions], target.resampling_of(path))
            blocks, itemsize = _blocks(own, shape, measure.dtype, approach)
            met |= any(block.window is not None for block in blocks)
            axes = [own.dimensions.index(dimension) for dimension in source.dimensions]
            deep = math.prod(size for axis, size in enumerate(shape) if axis not in axes)
            cells = deep * math.prod(target.shape)
            written += cells * itemsize
            computing += cells * seconds_a_cell(approach)
            working = max(working, working_of(blocks, itemsize))
    if averaged and not met:
        raise NoDataError(
            f"No data lie under the target grid, which covers {target.bbox} (west, south, east, "
            "north). Ask for another extent."
        )
    return replace(
        cost,
        chunks=cost.chunks + first.chunks,
        requests=cost.requests + first.requests,
        bytes_read=cost.bytes_read + first.bytes_read,
        bytes_decoded=cost.bytes_decoded + first.bytes_decoded,
        bytes_written=cost.bytes_written + written,
        peak_memory=max(cost.peak_memory, first.peak_memory + held, held + working),
        peak_disk=cost.peak_disk + written,
        missing=cost.missing + first.missing,
        computing=round(cost.computing + computing, 6),
    )


def _shape(
    own: PlannedVariable, made: AveragedVariable, selection: Mapping[str, AxisSelection],
    hierarchy: Hierarchy,
) -> list[int]:  # fmt: skip
    """Of the average: one step of the time."""
    return [
        1 if dimension in made.along
        else len(selection[dimension]) if dimension in selection else size
        for dimension, size in zip(
            own.dimensions, hierarchy.variables[own.path].shape, strict=True
        )
    ]  # fmt: skip


def _blocks(
    own: PlannedVariable, shape: Sequence[int], dtype: np.dtype[np.float64] | np.dtype[np.int32],
    approach: Approach,
) -> tuple[tuple[WarpBlock, ...], int]:  # fmt: skip
    """Blocks of one measure, and the bytes of one of its values."""
    dimensions = approach.warp.source.dimensions
    axes = tuple(own.dimensions.index(dimension) for dimension in dimensions)
    itemsize = made_type(dtype, approach.method).itemsize
    cuts = whole_planes(own.dimensions, shape, dimensions)
    positions = [np.arange(size) for size in shape]
    largest = max(itemsize, dtype.itemsize)
    return warp_blocks(approach, positions, cuts, axes, largest), itemsize
