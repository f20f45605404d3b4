"""What is read of a variable for places.

Cells are grouped by the chunks that hold them. The same groups price the places and are read, so
that the two cannot disagree and no chunk is fetched twice.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from harmony_vds.model.arrays import Positions
from harmony_vds.model.blocks import WINDOW_BYTES as BLOCK_BYTES
from harmony_vds.model.blocks import Edges, blocks_of, edges_of_blocks
from harmony_vds.model.chunks import Cut, numbers_of
from harmony_vds.model.places import Placement
from harmony_vds.model.subset import Block

WINDOW_BYTES = 8 * 2**20
"""Bytes of the cells of one group that are read at once; several groups are read side by side."""
_MOST_CHUNKS = 2048
"""Chunks after which a series is read in several pieces, so that its progress can be told."""


@dataclass(frozen=True, eq=False)
class Group:
    """Places whose cells lie in one chunk along the grid's dimensions."""

    members: Positions
    """Numbers of the places."""
    positions: tuple[Positions, ...]
    """Along each of the grid's dimensions the sorted positions of their cells, each once."""
    within: tuple[Positions, ...]
    """For each place and dimension, which of `positions` is its own."""


@dataclass(frozen=True, eq=False)
class PlaceReads:
    """What is read of one variable for places: every group in every window."""

    groups: tuple[Group, ...]
    """Disjoint in chunks."""
    layers: Edges
    """Boxes over the kept positions of the other dimensions, along chunk boundaries; shape (boxes,
    other dimensions, 2)."""
    axes: tuple[int, ...]
    """Which of the variable's dimensions are the grid's, in the order of the grid."""
    others: tuple[int, ...]
    """Which are not."""
    kept: tuple[Positions, ...]
    """Stored positions that are kept along each of the others."""

    @cached_property
    def windows(self) -> tuple[Block, ...]:
        """The boxes one by one. **Reads:** nothing."""
        return tuple(blocks_of(self.layers))

    def positions(self, group: Group, window: Block) -> list[Positions]:
        """Stored positions of one read along each dimension of the variable.

        **Reads:** nothing.
        """
        found = dict(zip(self.axes, group.positions, strict=True))
        parts = zip(self.others, self.kept, window, strict=True)
        found |= {axis: own[part] for axis, own, part in parts}
        return [found[axis] for axis in sorted(found)]

    @classmethod
    def of(
        cls,
        placement: Placement,
        dimensions: Sequence[str],
        positions: Sequence[Positions],
        cuts: Sequence[Cut],
        itemsize: int,
    ) -> "PlaceReads":
        """The reads of a variable.

        Parameters
        ----------
        placement
            The cells.
        dimensions
            Full paths of the variable's dimensions, some of them of the grid.
        positions
            For each of them the stored positions that are kept; of those of the grid not used.
        cuts
            How the store's chunks cut each dimension.
        itemsize
            Bytes of one element.

        **Reads:** nothing.
        """
        axes = placement.along(dimensions)
        groups = _groups(placement.cells_of(dimensions), [cuts[axis] for axis in axes])
        others = [axis for axis in range(len(dimensions)) if axis not in axes]
        kept = [positions[axis] for axis in others]
        own_cuts = [cuts[axis] for axis in others]
        widest = max(math.prod(p.size for p in own.positions) for own in groups)
        widest = max(widest, -(-len(placement) * WINDOW_BYTES // BLOCK_BYTES))
        cell = max(itemsize, placement.width) * widest
        chunks = len(groups) * math.prod(
            np.unique(numbers_of(k, c)).size for k, c in zip(kept, own_cuts, strict=True)
        )
        total = cell * math.prod(own.size for own in kept)
        window = min(WINDOW_BYTES, max(total * _MOST_CHUNKS // max(chunks, 1), 1))
        layers = edges_of_blocks(kept, own_cuts, cell, window)
        return cls(groups, layers, tuple(axes), tuple(others), tuple(kept))


def _groups(cells: Positions, cuts: Sequence[Cut]) -> tuple[Group, ...]:
    """The places grouped by the chunk that holds their cells, in the order of the chunks."""
    numbers = np.stack([numbers_of(own, cut) for own, cut in zip(cells, cuts, strict=True)])
    _, inverse = np.unique(numbers, axis=1, return_inverse=True)
    inverse = inverse.ravel()
    order = np.argsort(inverse, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(inverse[order])) + 1)
    groups = []
    for members in parts:
        pairs = [np.unique(own[members], return_inverse=True) for own in cells]
        groups.append(Group(members, tuple(p for p, _ in pairs), tuple(w for _, w in pairs)))
    return tuple(groups)
