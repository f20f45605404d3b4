"""What of a store is read for a variable on a target grid, as a price counts it.

A target has thousands of rectangles, and a record thousands of steps, each read by itself. Most of
the rectangles lie over the same few chunks, and all of their steps can be counted at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from harmony_vds.model.arrays import Positions
from harmony_vds.model.blocks import Edges, blocks_of, reads_of
from harmony_vds.model.chunks import ChunkIndex, ChunkKind, ChunkTally, chunk_numbers
from harmony_vds.model.spans import merged_totals
from harmony_vds.model.warp_blocks import Rectangle

type _Numbers = Sequence[Positions]


@dataclass(frozen=True, eq=False)
class TargetReads:
    """How a variable on a target is read."""

    index: ChunkIndex
    """Where its chunks lie."""
    positions: Sequence[Positions]
    """For each dimension the stored positions that are kept, in output order."""
    axes: tuple[int, ...]
    """Which dimensions are the grid's rows and columns; of a track the one that carries it."""
    gap: int
    """Most unwanted bytes between ranges that are fetched together; below 0 none are."""
    _known: dict[tuple[bytes, ...], ChunkTally] = field(default_factory=dict, init=False)

    def tally(self, rectangles: Sequence[Rectangle]) -> ChunkTally:
        """What all that lies under `rectangles` costs; a chunk under two is read for each.

        **Reads:** nothing.
        """
        found = ChunkTally()
        for own in rectangles:
            if own.window is None:
                continue
            for columns in own.window.columns:
                under = (own.window.rows, columns)[: len(self.axes)]
                numbers = [self._numbers(*pair) for pair in zip(self.axes, under, strict=True)]
                found += self._under(numbers, own.leading)
        return found

    def _numbers(self, axis: int, part: slice) -> Positions:
        """The chunks that hold a part of the kept positions along one dimension."""
        return chunk_numbers(np.sort(self.positions[axis][part]), self.index.cuts[axis])

    def _under(self, numbers: _Numbers, leading: Edges) -> ChunkTally:
        """What the chunks `numbers` of the grid cost, read for each of the pieces `leading`."""
        key = (*(own.tobytes() for own in numbers), leading.tobytes())
        if key not in self._known:
            self._known[key] = self._counted(numbers, leading)
        return self._known[key]

    def _counted(self, numbers: _Numbers, leading: Edges) -> ChunkTally:
        others = [axis for axis in range(len(self.positions)) if axis not in self.axes]
        kept = [self.positions[axis] for axis in others]
        cuts = [self.index.cuts[axis] for axis in others]
        apart = reads_of(leading, kept, cuts) if len(leading) else None
        if apart is not None:
            return self._at_once(self._box(numbers, apart[0]), apart[1])
        found = ChunkTally()
        for piece in blocks_of(leading):  # some of them touch the same chunk
            parts = zip(kept, piece, cuts, strict=True)
            own = [chunk_numbers(np.sort(axis[part]), cut) for axis, part, cut in parts]
            box = self._box(numbers, own)
            found += self._at_once(box, np.zeros(np.prod([n.size for n in own], dtype=int), int))
        return found

    def _box(self, numbers: _Numbers, others: _Numbers) -> list[Positions]:
        """The numbers along each dimension, in the variable's order."""
        of_grid, of_others = dict(zip(self.axes, numbers, strict=True)), iter(others)
        return [
            of_grid[axis] if axis in of_grid else next(of_others)
            for axis in range(len(self.positions))
        ]

    def _at_once(self, box: list[Positions], reads: Positions) -> ChunkTally:
        """What a box of chunks costs in several reads.

        `reads` tells of which read each part of the other dimensions is, in C order.
        """
        found = self.index.tally_of(box)
        if self.gap < 0:
            return found
        shape = [own.size for own in box]
        across = [1 if axis in self.axes else size for axis, size in enumerate(shape)]
        each = np.broadcast_to(reads.reshape(across), shape).ravel()
        requests, stored = merged_totals(self.index, box, each, self.gap)
        native = self.index.kinds_of(box) == ChunkKind.NATIVE
        return replace(
            found,
            requests=requests + int(native.sum()),
            stored=stored + int(self.index.lengths[np.ix_(*box)][native].sum()),
        )
