"""Some of the cells of a window, a bit for each, so that windows of half a globe fit in memory."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harmony_vds.model.arrays import Flags, Positions
from harmony_vds.model.chunks import Cut, numbers_of

_EVEN = 64
"""Rows that bands are multiples of, where they are as high: cells are looked at in such squares."""


BAND_CELLS = 2**22
"""Cells that are told apart at once while a set is made, or looked at as a whole."""


@dataclass(frozen=True, eq=False)
class CellSet:
    """Which cells of a window are in."""

    shape: tuple[int, ...]
    """Of the window."""
    packed: npt.NDArray[np.uint8]
    """Eight cells of the last dimension to a byte, the first in its highest bit, the last byte of a
    row filled up with zeros."""

    @classmethod
    def of(cls, inside: Flags) -> "CellSet":
        """The cells where `inside` is true. **Reads:** nothing."""
        return cls(inside.shape, np.packbits(inside, axis=-1))

    @classmethod
    def in_bands(
        cls, shape: Sequence[int], told: Callable[[slice], Flags], together: int = BAND_CELLS
    ) -> "CellSet":
        """The cells that `told` gives for some rows after others, about so many `together`.

        **Reads:** nothing.
        """
        packed = np.zeros((shape[0], -(-shape[1] // 8)), np.uint8)
        for rows in bands(shape, together):
            packed[rows] = np.packbits(told(rows), axis=-1)
        return cls(tuple(shape), packed)

    @property
    def size(self) -> int:
        """Cells of the window. **Reads:** nothing."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def nbytes(self) -> int:
        """Bytes that it holds. **Reads:** nothing."""
        return self.packed.nbytes

    @property
    def count(self) -> int:
        """Cells that are in. **Reads:** nothing."""
        return sum(
            int(np.bitwise_count(self.packed[rows]).sum(dtype=np.int64))
            for rows in bands(self.packed.shape)
        )

    @property
    def is_full(self) -> bool:
        """Whether all are in. **Reads:** nothing."""
        return self.count == self.size

    @property
    def sha256(self) -> str:
        """Tells this set from all others of its shape. **Reads:** nothing."""
        return hashlib.sha256(np.ascontiguousarray(self.packed)).hexdigest()

    @property
    def flags(self) -> Flags:
        """All cells at once, a byte for each: for small windows. **Reads:** nothing."""
        return self.part([slice(None)] * len(self.shape))

    def part(self, block: Sequence[slice]) -> Flags:
        """The cells of a block, whose slices have step 1. **Reads:** nothing."""
        start, stop, _ = block[-1].indices(self.shape[-1])
        eights = slice(start // 8, -(-stop // 8))
        flags = np.unpackbits(self.packed[(*block[:-1], eights)], axis=-1).view(np.bool_)
        found: Flags = flags[..., start - 8 * eights.start : stop - 8 * eights.start]
        return found

    def at(self, rows: Positions, columns: Positions) -> Flags:
        """Some cells of a window of rows and columns. **Reads:** nothing."""
        bits = self.packed[rows, columns >> 3] >> (7 - (columns & 7)).astype(np.uint8)
        found: Flags = (bits & 1).astype(np.bool_)
        return found

    @property
    def places(self) -> tuple[Positions, Positions]:
        """Rows and columns of all cells of a window of rows and columns. **Reads:** nothing."""
        found = [np.empty((2, 0), np.int64)]
        for rows in bands(self.shape):
            own = np.stack(np.nonzero(self.part((rows, slice(None))))).astype(np.int64)
            own[0] += rows.start
            found.append(own)
        down, across = np.concatenate(found, axis=1)
        return down, across

    def lines(self, axis: int) -> Flags:
        """Which positions along a dimension have any cell. **Reads:** nothing."""
        others = tuple(own for own in range(len(self.shape)) if own != axis)
        if axis < len(self.shape) - 1:
            return np.asarray(np.bitwise_or.reduce(self.packed, axis=others) != 0)
        eights = np.bitwise_or.reduce(self.packed, axis=others)
        return np.unpackbits(eights)[: self.shape[-1]].astype(np.bool_)

    def cut(self, rows: slice, columns: slice) -> "CellSet":
        """The set of a smaller window of rows and columns. **Reads:** nothing."""
        window = [range(size)[own] for own, size in zip((rows, columns), self.shape, strict=True)]
        return CellSet.in_bands(
            (len(window[0]), len(window[1])),
            lambda own: self.part((
                slice(window[0].start + own.start, window[0].start + own.stop), columns,
            )),
        )  # fmt: skip

    def in_chunks(self, positions: Sequence[Positions], cuts: Sequence[Cut]) -> Flags:
        """Which chunks of the store hold a cell that is in.

        Parameters
        ----------
        positions
            For each dimension of the window the stored positions, in its order.
        cuts
            How the store's chunks cut each.

        Returns
        -------
        numpy.ndarray
            For each dimension as long as the number of the last chunk that is touched.

        **Reads:** nothing.
        """
        found: npt.NDArray[np.uint8] = self.packed
        numbers = [numbers_of(own, cut) for own, cut in zip(positions, cuts, strict=True)]
        starts = [np.flatnonzero(np.diff(own, prepend=-1)) for own in numbers]
        last = len(self.shape) - 1
        for axis in range(last):
            found = np.bitwise_or.reduceat(found, starts[axis], axis=axis)
        flags = np.unpackbits(found, axis=-1)[..., : self.shape[-1]]
        flags = np.bitwise_or.reduceat(flags, starts[last], axis=last)
        visited = [own[start] for own, start in zip(numbers, starts, strict=True)]
        chunks = np.zeros([int(own.max()) + 1 for own in visited], np.uint8)
        np.bitwise_or.at(chunks, np.ix_(*visited), flags)
        return chunks.astype(np.bool_)


def bands(shape: Sequence[int], together: int = BAND_CELLS) -> Iterator[slice]:
    """Rows of a window, so many at once as hold about `together` cells, one band after another.

    **Reads:** nothing.
    """
    step = max(together // max(int(np.prod(shape[1:], dtype=np.int64)), 1), 1)
    step -= step % _EVEN if step > _EVEN else 0
    for start in range(0, shape[0], step):
        yield slice(start, min(start + step, shape[0]))
