"""Means of tiles: over the steps of a record, and over the area of a grid."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from harmony_vds.model.areas import CellAreas
from harmony_vds.model.average import Measure
from harmony_vds.model.decoding import Floats
from harmony_vds.model.subset import Block
from harmony_vds.model.tiles import Tile
from harmony_vds.transform.shared import Parts
from harmony_vds.transform.slabs import Slabs
from harmony_vds.transform.sums import Sums, quotient

_STEPS = 64
"""Steps that are added in one go, before what rounding took is looked after."""

type Inside = Callable[[Block], npt.NDArray[np.bool_]]
"""Which cells of a block of (rows, columns) count."""


@dataclass(frozen=True, eq=False)
class TimeMean:
    """The mean over one dimension, each step counting the same."""

    slabs: Slabs
    axis: int
    """The dimension averaged over."""

    def __call__(self, tile: Tile) -> Parts:
        """Mean and count of a tile, of length 1 along the dimension. **Reads:** chunks."""
        shape = [own.stop - own.start for own in tile.block]
        shape[self.axis] = 1
        cells = math.prod(shape)
        sums, counts = Sums((cells,)), np.zeros(cells, np.int64)
        order = [self.axis, *(axis for axis in range(len(shape)) if axis != self.axis)]
        for _, slab in self.slabs.read(tile.slabs):
            for _, columns, values in slab.parts(order, 1, _STEPS):
                valid = ~np.isnan(values)
                counts[columns] += valid.sum(axis=0)
                sums.add(columns, np.where(valid, values, 0.0).sum(axis=0))
        return {
            Measure.MEAN: quotient(sums.values, counts).reshape(shape),
            Measure.COUNT: counts.reshape(shape),
        }


@dataclass(frozen=True, eq=False)
class AreaMean:
    """The mean over two dimensions, each cell counting by its area."""

    slabs: Slabs
    axes: tuple[int, int]
    """The dimensions averaged over: rows and columns of the grid."""
    areas: CellAreas
    """Of the kept cells."""
    inside: Inside
    """Which of the kept cells were asked for."""

    def __call__(self, tile: Tile) -> Parts:
        """Mean, count and share of the area, over the other dimensions. **Reads:** chunks."""
        kept = [axis for axis in range(len(tile.block)) if axis not in self.axes]
        shape = [tile.block[axis].stop - tile.block[axis].start for axis in kept]
        sums, areas = Sums((math.prod(shape),)), Sums((math.prod(shape),))
        counts = np.zeros(math.prod(shape), np.int64)
        for block, slab in self.slabs.read(tile.slabs):
            weights = self.weights((block[self.axes[0]], block[self.axes[1]])).ravel()
            for rows, columns, values in slab.parts([*kept, *self.axes], len(kept), 1):
                valid = ~np.isnan(values) & (weights[columns] > 0)
                weighed = np.where(valid, weights[columns], 0.0)
                counts[rows] += valid.sum(axis=1)
                areas.add(rows, weighed.sum(axis=1))
                sums.add(rows, (np.where(valid, values, 0.0) * weighed).sum(axis=1))
        total = np.full(len(counts), self.total)
        return {
            Measure.MEAN: quotient(sums.values, areas.values).reshape(shape),
            Measure.COUNT: counts.reshape(shape),
            Measure.FRACTION: quotient(areas.values, total).reshape(shape),
        }

    def weights(self, block: Sequence[slice]) -> Floats:
        """Square metres of the cells of (rows, columns), nothing where they were not asked for.

        **Reads:** nothing.
        """
        rows, columns = block
        areas = self.areas.of(rows, columns)
        return np.where(self.inside((rows, columns)) & np.isfinite(areas), areas, 0.0)

    @cached_property
    def total(self) -> float:
        """Square metres of all cells that were asked for. **Reads:** nothing."""
        rows, columns = self.areas.rows.size, self.areas.columns.size
        sums = (self.weights((slice(r, r + 1), slice(0, columns))).sum() for r in range(rows))
        return math.fsum(sums)
