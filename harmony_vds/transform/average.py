"""Averages over time or area: the step of a plan after cutting and masking.

A mean is float64 whatever the store's type, without packing, and not-a-number where no value was
there. Beside it stand the number of values that it was made of and, of an area, the share of the
area that had values. Only what a chunk of the store holds counts: missing values, cells that were
masked, and chunks that a manifest does not hold have no weight.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from harmony_vds.model.average import AveragedTime, AveragedVariable, AverageKind, Measure
from harmony_vds.model.cell_set import CellSet
from harmony_vds.model.chunks import ChunkIndex
from harmony_vds.model.decoding import Decoding
from harmony_vds.model.paths import name_of
from harmony_vds.model.plan import Plan, PlannedVariable, Role
from harmony_vds.model.subset import Block, SubsetVariable
from harmony_vds.model.tiles import Tile, TileEdges
from harmony_vds.transform.averaged_attributes import measure_attributes, time_attributes
from harmony_vds.transform.computed import computed
from harmony_vds.transform.feature_means import FeatureMeans
from harmony_vds.transform.means import AreaMean, TimeMean
from harmony_vds.transform.shared import Shared
from harmony_vds.transform.slabs import Slabs


def averaged(
    variable: SubsetVariable,
    index: ChunkIndex,
    positions: Sequence[npt.NDArray[np.int64]],
    plan: Plan,
) -> tuple[SubsetVariable, ...]:
    """What becomes of `variable` by the plan's average: itself where the plan does not name it.

    Parameters
    ----------
    variable
        Cut and masked.
    index
        Where its chunks are, at least those of `positions`.
    positions
        For each of its dimensions the stored positions that are kept.
    plan
        What to do.

    **Reads:** nothing; chunks when values are asked for.
    """
    if plan.average is None:
        return (variable,)
    path = variable.planned.path
    for time in plan.average.times:
        if path == time.path:
            return _moments(variable, time)
    own = plan.average.of(path)
    return (variable,) if own is None else _measures(variable, own, index, positions, plan)


def _measures(
    variable: SubsetVariable,
    own: AveragedVariable,
    index: ChunkIndex,
    positions: Sequence[npt.NDArray[np.int64]],
    plan: Plan,
) -> tuple[SubsetVariable, ...]:
    """The mean of a variable, and all else that is told of it, computed together."""
    assert plan.average is not None
    data, dimensions = variable.data, variable.planned.dimensions
    axes = tuple(dimensions.index(dimension) for dimension in own.along)
    itemsize = data.dtype.itemsize
    edges = TileEdges.of(positions, index.cuts, itemsize, axes, own.bytes_of_sums)
    found = tuple(edges.one_by_one())
    slabs = Slabs(data, Decoding.of(data.dtype, data.attrs), index, positions)
    compute = _means(slabs, own, axes, plan)
    places = [_place(tile, axes, own, plan.average.kind) for tile in found]
    made = _Made(variable, own, plan, Shared(found, places, len(own.measures), compute))
    held = edges.working_bytes(itemsize, own.bytes_of_sums)
    results = [made.measure(measure, path) for measure, path in own.measures]
    return replace(results[0], held=held), *results[1:]


def _means(
    slabs: Slabs, own: AveragedVariable, axes: tuple[int, ...], plan: Plan
) -> TimeMean | AreaMean | FeatureMeans:
    """What computes a tile."""
    assert plan.average is not None
    if plan.average.kind is AverageKind.TIME:
        return TimeMean(slabs, axes[0])
    areas, both = plan.average.areas_along((own.along[0], own.along[1])), (axes[0], axes[1])
    if plan.average.features is not None:
        cells = plan.average.features.on(own.along).within(_Asked.of(own, plan).masks)
        return FeatureMeans(slabs, both, areas, cells)
    return AreaMean(slabs, both, areas, _Asked.of(own, plan))


@dataclass(frozen=True, eq=False)
class _Made:
    """An average and its source."""

    source: SubsetVariable
    own: AveragedVariable
    plan: Plan
    shared: Shared

    def measure(self, measure: Measure, path: str) -> SubsetVariable:
        """The variable of one measure."""
        source, own = self.source, self.own
        dtype = measure.dtype
        sizes = dict(zip(source.planned.dimensions, source.data.shape, strict=True))
        sizes |= {own.dimensions[0]: own.features} if own.features else {}
        shape = tuple(1 if path in own.along else sizes[path] for path in own.dimensions)
        lazy = computed(
            [name_of(path) for path in own.dimensions], shape, dtype,
            lambda block: self.shared.read(measure, block, dtype),
            measure_attributes(measure, own, source.data.attrs, self.plan),
        )  # fmt: skip
        role = source.planned.role if measure is Measure.MEAN else Role.REQUIRED
        # A series is one chunk, a map has those of the store.
        is_map = len(own.dimensions) == len(source.planned.dimensions)
        return SubsetVariable(
            PlannedVariable(path, own.dimensions, role), lazy,
            source.chunk_shape if is_map else shape, tuple(self.shared.places), together=own.path,
        )  # fmt: skip


def _place(tile: Tile, axes: Sequence[int], own: AveragedVariable, kind: AverageKind) -> Block:
    """Where a tile lies in the result."""
    if kind is AverageKind.TIME:
        return tuple(slice(0, 1) if axis in axes else s for axis, s in enumerate(tile.block))
    stay = tuple(side for axis, side in enumerate(tile.block) if axis not in axes)
    return (slice(0, own.features), *stay) if own.features else stay


def feature_names(plan: Plan) -> tuple[SubsetVariable, ...]:
    """The variable of the names of features, where each has an average. **Reads:** nothing."""
    features = None if plan.average is None else plan.average.features
    if features is None:
        return ()
    names = np.array([name.encode() for name in features.names])
    planned = PlannedVariable(features.name_path, (features.dimension,), Role.REQUIRED)
    attributes = {"long_name": "name of the feature", "_Encoding": "utf-8"}
    return (_held(planned, names, attributes),)


@dataclass(frozen=True, eq=False)
class _Asked:
    """Which of the kept cells of a grid were asked for."""

    masks: tuple[CellSet, ...]
    """Each over (rows, columns)."""

    @classmethod
    def of(cls, own: AveragedVariable, plan: Plan) -> "_Asked":
        """By the masks of `plan` that lie along what is averaged."""
        return cls(tuple(
            m.inside for m in plan.masks if own.path in m.variables and m.dimensions == own.along
        ))  # fmt: skip

    def __call__(self, block: Block) -> npt.NDArray[np.bool_]:
        """Those of a block of rows and columns."""
        rows, columns = block
        inside = np.ones((rows.stop - rows.start, columns.stop - columns.start), np.bool_)
        for mask in self.masks:
            inside &= mask.part((rows, columns))
        return inside


def _moments(variable: SubsetVariable, time: AveragedTime) -> tuple[SubsetVariable, ...]:
    """The time that stands for all steps, and its bounds."""
    attributes, about_bounds = time_attributes(variable.data.attrs, time)
    middle = np.array([(time.first + time.last) / 2])
    bounds = np.array([[time.first, time.last]])
    role = variable.planned.role
    dimensions = (time.dimension, time.bounds_dimension)
    return (
        _held(PlannedVariable(time.path, dimensions[:1], role), middle, attributes),
        _held(PlannedVariable(time.bounds_path, dimensions, Role.REQUIRED), bounds, about_bounds),
    )


def _held(
    planned: PlannedVariable, values: npt.NDArray[Any], attributes: dict[Any, Any]
) -> SubsetVariable:
    names = [name_of(own) for own in planned.dimensions]
    whole = tuple(slice(0, size) for size in values.shape)
    return SubsetVariable(planned, xr.Variable(names, values, attributes), values.shape, (whole,))
