"""The price of averages over time that go onto a target grid: averaged first, then put there.

Every chunk is read once, as for the average alone. The average of all that is kept is held in
memory, since a block of the target may need any part of it.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from harmony_vds.model.approach import Approaches
from harmony_vds.model.average import AveragedVariable
from harmony_vds.model.plan import Cost, PlannedVariable
from harmony_vds.model.selection import AxisSelection
from harmony_vds.model.target import TargetPlan, made_type
from harmony_vds.model.warp_blocks import rectangles, whole_planes
from harmony_vds.planning.cost import Course, price
from harmony_vds.planning.hierarchy import Hierarchy
from harmony_vds.planning.target_cost import Making, price_target, refuse_unmet, working_of


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
    approaches = Approaches(target)
    averaged = [
        (own, made) for own in variables
        if (made := average.of(own.path)) and approaches.way(own.dimensions) is not None
    ]  # fmt: skip
    moved = [own for own, _ in averaged]
    others = [own for own in variables if own not in moved]
    alone = [own for own in others if average.of(own.path)]
    plain = [own for own in others if own not in alone]
    cost = price_target(plain, selection, hierarchy, target, course.masks)
    first = price([*moved, *alone], selection, hierarchy, course)
    held = sum(price([own], selection, hierarchy, course).bytes_written for own in moved)
    makings = [
        making for own, made in averaged
        for making in _makings(own, made, _shape(own, made, selection, hierarchy), approaches)
    ]  # fmt: skip
    refuse_unmet(makings, target)
    written = first.bytes_written - held + sum(own.written for own in makings)
    computing = first.computing + sum(own.computing for own in makings)
    return replace(
        cost,
        chunks=cost.chunks + first.chunks,
        requests=cost.requests + first.requests,
        bytes_read=cost.bytes_read + first.bytes_read,
        bytes_decoded=cost.bytes_decoded + first.bytes_decoded,
        bytes_written=cost.bytes_written + written,
        peak_memory=max(cost.peak_memory, first.peak_memory + held, held + working_of(makings)),
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


def _makings(
    own: PlannedVariable, made: AveragedVariable, shape: Sequence[int], approaches: Approaches
) -> Iterator[Making]:
    """What putting each measure of an average of `shape` onto the target takes."""
    for measure, path in made.measures:
        approach = approaches.of(path, own.dimensions)
        assert approach is not None
        dimensions = approach.warp.source.dimensions
        axes = tuple(own.dimensions.index(dimension) for dimension in dimensions)
        itemsize = made_type(measure.dtype, approach.method).itemsize
        cuts = whole_planes(own.dimensions, shape, dimensions)
        positions = [np.arange(size) for size in shape]
        largest = max(itemsize, measure.dtype.itemsize)
        found = rectangles(approach, positions, cuts, axes, largest)
        deep = math.prod(size for axis, size in enumerate(shape) if axis not in axes)
        yield Making(approach, found, deep * math.prod(approaches.target.size), itemsize)
