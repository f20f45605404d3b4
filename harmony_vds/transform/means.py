"""Means of tiles: over the steps of a record, and over the area of a grid."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from harmony_vds.model.areas import CellAreas
from harmony_vds.model.arrays import Floats
from harmony_vds.model.average import Measure
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
        sums, counts = Sums((cells,)), np.zeros(cells, np.int32)
        order = [self.axis, *(axis for axis in range(len(shape)) if axis != self.axis)]
        for _, slab in self.slabs.read(tile.slabs):
            for _, columns, values in slab.parts(order, 1, _STEPS):
                valid = ~np.isnan(values)
                counts[columns] += valid.sum(axis=0, dtype=np.int32)
                sums.add(columns, np.where(valid, values, 0.0).sum(axis=0))
        return {
            Measure.MEAN: quotient(sums.total(), counts).reshape(shape),
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
        counts = np.zeros(math.prod(shape), np.int32)
        for block, slab in self.slabs.read(tile.slabs):
            window = block[self.axes[0]], block[self.axes[1]]
            before, weights = slice(0, 0), np.empty(0)
            for rows, columns, values in slab.parts([*kept, *self.axes], len(kept), 1):
                if columns != before:
                    before, weights = columns, self.weights(window, columns)
                valid = ~np.isnan(values) & (weights > 0)
                weighed = np.where(valid, weights, 0.0)
                counts[rows] += valid.sum(axis=1, dtype=np.int32)
                areas.add(rows, weighed.sum(axis=1))
                sums.add(rows, (np.where(valid, values, 0.0) * weighed).sum(axis=1))
        known, whole = areas.total(), np.full(len(counts), self.total)
        return {
            Measure.MEAN: quotient(sums.total(), known).reshape(shape),
            Measure.COUNT: counts.reshape(shape),
            # Sums of the same areas in another order differ in their last digit.
            Measure.FRACTION: np.minimum(quotient(known, whole), 1.0).reshape(shape),
        }

    def weights(self, block: Block, cells: slice) -> Floats:
        """Square metres of some cells, nothing where they were not asked for.

        Parameters
        ----------
        block
            (rows, columns) of the window.
        cells
            Which of the block, row after row.

        **Reads:** nothing.
        """
        rows, columns = block
        wide = columns.stop - columns.start
        first, last = cells.start // wide, (cells.stop - 1) // wide + 1
        part = slice(rows.start + first, rows.start + last), columns
        areas = self.areas.of(*part)
        found = np.where(self.inside(part) & np.isfinite(areas), areas, 0.0).ravel()
        return found[cells.start - first * wide : cells.stop - first * wide]

    @cached_property
    def total(self) -> float:
        """Square metres of all cells that were asked for. **Reads:** nothing."""
        rows, columns = self.areas.rows.size, self.areas.columns.size
        block = slice(0, rows), slice(0, columns)
        each = (slice(row * columns, (row + 1) * columns) for row in range(rows))
        return math.fsum(float(self.weights(block, own).sum()) for own in each)
