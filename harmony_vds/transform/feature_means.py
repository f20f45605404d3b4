"""The area means of many features of a shape, in one pass over the chunks."""

import math
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from harmony_vds.model.areas import CellAreas
from harmony_vds.model.arrays import Floats
from harmony_vds.model.average import FeatureCells, Measure
from harmony_vds.model.subset import Block
from harmony_vds.model.tiles import Tile
from harmony_vds.transform.shared import Parts
from harmony_vds.transform.slabs import Slab, Slabs
from harmony_vds.transform.sums import Sums, quotient

type Cells = tuple[npt.NDArray[np.int64], Floats]
"""Columns of a slab's table, and the square metres of each."""


@dataclass(frozen=True, eq=False)
class FeatureMeans:
    """The mean over two dimensions, for the cells of each feature alone."""

    slabs: Slabs
    axes: tuple[int, int]
    """The dimensions averaged over: rows and columns of the grid."""
    areas: CellAreas
    """Of the kept cells."""
    features: FeatureCells
    """Which of the kept cells are whose."""
    _known: dict[tuple[int, ...], list[Cells]] = field(default_factory=dict)

    def __call__(self, tile: Tile) -> Parts:
        """All measures of a tile; features first, then the other dimensions. **Reads:** chunks."""
        kept = [axis for axis in range(len(tile.block)) if axis not in self.axes]
        shape = [tile.block[axis].stop - tile.block[axis].start for axis in kept]
        found = [_Growing(math.prod(shape)) for _ in self.features.rows]
        for block, slab in self.slabs.read(tile.slabs):
            own = self._cells((block[self.axes[0]], block[self.axes[1]]))
            for (cells, weights), growing in zip(own, found, strict=True):
                if cells.size:
                    growing.add(slab, [*kept, *self.axes], len(kept), cells, weights)
        parts = [own.parts(total) for own, total in zip(found, self._totals, strict=True)]
        return {
            measure: np.stack([own[measure] for own in parts]).reshape(len(found), *shape)
            for measure in parts[0]
        }

    def _cells(self, block: Block) -> list[Cells]:
        """For each feature its cells in a block of rows and columns, and their areas."""
        rows, columns = block
        key = (rows.start, rows.stop, columns.start, columns.stop)
        if key not in self._known:
            areas = self.areas.of(rows, columns)
            self._known[key] = [
                _within(r - rows.start, c - columns.start, areas)
                for r, c in zip(self.features.rows, self.features.columns, strict=True)
            ]
        return self._known[key]

    @cached_property
    def _totals(self) -> list[float]:
        """Square metres of all cells of each feature."""
        found = []
        for rows, columns in zip(self.features.rows, self.features.columns, strict=True):
            sums = [0.0]
            for row in np.unique(rows):
                areas = self.areas.of(slice(row, row + 1), slice(None))[0, columns[rows == row]]
                sums.append(float(areas[np.isfinite(areas)].sum()))
            found.append(math.fsum(sums))
        return found


def _within(rows: npt.NDArray[np.int64], columns: npt.NDArray[np.int64], areas: Floats) -> Cells:
    """The cells at `rows` and `columns` of a block that lie in it and have an area."""
    high, wide = areas.shape
    inside = (rows >= 0) & (rows < high) & (columns >= 0) & (columns < wide)
    places, weights = rows[inside] * wide + columns[inside], areas[rows[inside], columns[inside]]
    known = np.isfinite(weights) & (weights > 0)
    return places[known], weights[known]


class _Growing:
    """The measures of one feature while its slabs come in."""

    def __init__(self, size: int) -> None:
        self.counts = np.zeros(size, np.int32)
        self.sums, self.areas = Sums((size,)), Sums((size,))
        self.lowest, self.highest = np.full(size, np.inf), np.full(size, -np.inf)
        # As Chan, Golub and LeVeque join two samples (The American Statistician 37, 1983, 242-247).
        self.weight, self.mean, self.squares = np.zeros(size), np.zeros(size), np.zeros(size)

    def add(
        self, slab: Slab, order: list[int], leading: int, cells: npt.NDArray[np.int64],
        weights: Floats,
    ) -> None:  # fmt: skip
        """Take in the cells of a slab, `weights` being their areas."""
        for rows, columns, values in slab.parts(order, leading, 1, cells):
            valid = ~np.isnan(values)
            weighed = np.where(valid, weights[columns], 0.0)
            known = np.where(valid, values, 0.0)
            areas, sums = weighed.sum(axis=1), (known * weighed).sum(axis=1)
            self.counts[rows] += valid.sum(axis=1, dtype=np.int32)
            self.areas.add(rows, areas)
            self.sums.add(rows, sums)
            low, high = np.where(valid, values, np.inf), np.where(valid, values, -np.inf)
            self.lowest[rows] = np.minimum(self.lowest[rows], low.min(axis=1))
            self.highest[rows] = np.maximum(self.highest[rows], high.max(axis=1))
            means = sums / np.where(areas > 0, areas, 1.0)
            self._join(rows, areas, means, (weighed * (known - means[:, None]) ** 2).sum(axis=1))

    def _join(self, rows: slice, areas: Floats, means: Floats, squares: Floats) -> None:
        before = self.weight[rows]
        after = before + areas
        share = areas / np.where(after > 0, after, 1.0)
        apart = means - self.mean[rows]
        self.squares[rows] += squares + apart**2 * before * share
        self.mean[rows] += apart * share
        self.weight[rows] = after

    def parts(self, total: float) -> Parts:
        """All measures, for `total` square metres; nothing can be added after."""
        areas, there = self.areas.total(), self.counts > 0
        return {
            Measure.MEAN: quotient(self.sums.total(), areas),
            Measure.COUNT: self.counts,
            Measure.MIN: np.where(there, self.lowest, np.nan),
            Measure.MAX: np.where(there, self.highest, np.nan),
            Measure.STD: np.sqrt(quotient(self.squares, areas)),
            # Sums of the same areas in another order differ in their last digit.
            Measure.FRACTION: np.minimum(quotient(areas, np.full(areas.size, total)), 1.0),
        }
