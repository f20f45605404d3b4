"""Positions along dimensions, decided once from labels and used for price and reading alike."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from harmony_vds.errors import StoreError
from harmony_vds.model.chunks import Indices

_MOST_PIECES = 1_000_000
"""Pieces of a selection: each takes a hundred bytes, and a few more in a plan."""


@dataclass(frozen=True, eq=False)
class AxisSelection:
    """The positions kept along one dimension, in output order.

    ``pieces`` holds contiguous ranges; there are two where a box wraps around the edge of the data,
    the western one first, and many where the kept positions are scattered.
    """

    size: int
    """Length of the dimension in the store."""
    pieces: tuple[range, ...]
    """Contiguous ranges with step 1, in output order."""

    @classmethod
    def whole(cls, size: int) -> Self:
        """All positions. **Reads:** nothing."""
        return cls(size, (range(size),))

    @classmethod
    def of_mask(cls, mask: npt.NDArray[np.bool_]) -> Self:
        """The positions where `mask`, 1-D over the dimension, is true.

        Raises
        ------
        StoreError
            They lie in more pieces than any real axis has.

        **Reads:** nothing.
        """
        starts = np.count_nonzero(mask[1:] & ~mask[:-1])
        if starts > _MOST_PIECES:
            raise StoreError(
                f"What is asked for along an axis of {mask.size:,} entries lies in {starts:,} "
                f"pieces; at most {_MOST_PIECES:,} are read. Are its values in any order?"
            )
        return cls(mask.size, tuple(runs(mask)))

    def __len__(self) -> int:
        return sum(len(piece) for piece in self.pieces)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, AxisSelection):
            return NotImplemented
        return self.size == other.size and self.pieces == other.pieces

    def __hash__(self) -> int:
        return hash((self.size, self.pieces))

    @property
    def is_whole(self) -> bool:
        """Whether every position is kept, in stored order. **Reads:** nothing."""
        return self.pieces == (range(self.size),)

    @property
    def wraps(self) -> bool:
        """Whether output order differs from stored order. **Reads:** nothing."""
        return any(a.start >= b.start for a, b in zip(self.pieces, self.pieces[1:], strict=False))

    @property
    def positions(self) -> npt.NDArray[np.int64]:
        """All kept positions in output order. **Reads:** nothing."""
        if not self.pieces:
            return np.empty(0, np.int64)
        return np.concatenate([np.arange(p.start, p.stop, dtype=np.int64) for p in self.pieces])

    @property
    def indices(self) -> Indices:
        """The kept positions sorted: a range if contiguous. **Reads:** nothing."""
        if len(self.pieces) == 1:
            return self.pieces[0]
        return np.sort(self.positions)

    def intersection(self, other: Self) -> Self:
        """The positions that both keep, in stored order. **Reads:** nothing."""
        masks = np.zeros((2, self.size), np.bool_)
        masks[0, self.positions], masks[1, other.positions] = True, True
        return self.of_mask(masks.all(axis=0))

    def part(self, start: int, stop: int) -> Self:
        """The kept positions from the `start`-th to before the `stop`-th, in output order.

        **Reads:** nothing.
        """
        pieces, passed = [], 0
        for piece in self.pieces:
            own = piece[max(start - passed, 0) : max(stop - passed, 0)]
            pieces += [own] if own else []
            passed += len(piece)
        return type(self)(self.size, tuple(pieces))

    def as_lists(self) -> list[list[int]]:
        """The pieces as [start, stop) pairs for JSON. **Reads:** nothing."""
        return [[piece.start, piece.stop] for piece in self.pieces]


def runs(mask: npt.NDArray[np.bool_]) -> Sequence[range]:
    """The contiguous runs of true positions in the 1-D `mask`, in order. **Reads:** nothing."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return [range(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]
