"""What is read of a grid at one place after another, all other dimensions layer by layer.

A target has thousands of rectangles, and a record thousands of steps, each read by itself. Most of
the rectangles lie over the same few chunks, and all steps can be counted at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from harmony_vds.model.arrays import Positions
from harmony_vds.model.blocks import Edges, blocks_of, reads_of
from harmony_vds.model.chunks import ChunkIndex, ChunkKind, ChunkTally, chunk_numbers
from harmony_vds.model.spans import merged_totals

type _Numbers = Sequence[Positions]


@dataclass(frozen=True, eq=False)
class LayeredReads:
    """How a variable is read."""

    index: ChunkIndex
    """Where its chunks lie."""
    positions: Sequence[Positions]
    """For each dimension the stored positions that are kept, in output order."""
    axes: tuple[int, ...]
    """Which dimensions are the grid's rows and columns; of a track the one that carries it."""
    gap: int
    """Most unwanted bytes between ranges that are fetched together; below 0 none are."""
    _known: dict[tuple[bytes, ...], ChunkTally] = field(default_factory=dict, init=False)

    def under(self, parts: Sequence[Positions], layers: Edges) -> ChunkTally:
        """What a part of the grid costs in all layers, neighbouring ranges merged in each.

        Parameters
        ----------
        parts
            Stored positions along each of `axes`.
        layers
            Pieces of the other dimensions, in the variable's order, which are read one after
            another; shape (pieces, other dimensions, 2).

        **Reads:** nothing.
        """
        cuts = [self.index.cuts[axis] for axis in self.axes]
        numbers = [chunk_numbers(np.sort(own), cut) for own, cut in zip(parts, cuts, strict=True)]
        key = (*(own.tobytes() for own in numbers), layers.tobytes())
        if key not in self._known:
            self._known[key] = self._counted(numbers, layers)
        return self._known[key]

    def _counted(self, numbers: _Numbers, layers: Edges) -> ChunkTally:
        others = [axis for axis in range(len(self.positions)) if axis not in self.axes]
        kept = [self.positions[axis] for axis in others]
        cuts = [self.index.cuts[axis] for axis in others]
        apart = reads_of(layers, kept, cuts) if len(layers) else None
        if apart is not None:
            return self._at_once(self._box(numbers, apart[0]), apart[1])
        found = ChunkTally()
        for piece in blocks_of(layers):  # some of them touch the same chunk
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
