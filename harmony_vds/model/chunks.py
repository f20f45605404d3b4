"""The chunk index: where each chunk of one array lies, as numpy arrays over the chunk grid.

One type serves the price of a request, the byte ranges to fetch, and the references of a virtual
subset, so that these three cannot disagree.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from harmony_vds.errors import StoreError
from harmony_vds.model.asked import AskedChunks

MOST_CHUNKS = 2**25
"""Most chunks of one array; the largest published ones have some millions."""
LONGEST_DIMENSION = 2**28
"""Most positions along one dimension."""
LARGEST_CHUNK = 2**32
"""Most bytes of one decoded chunk, as in HDF5."""

type Indices = range | npt.NDArray[np.int64]
"""Sorted positions along one dimension; a range wherever they are contiguous."""
type Cut = int | npt.NDArray[np.int64]
"""How one dimension is cut into chunks: the length of each, or, where they differ, the boundaries,
from 0 to the end of the last chunk."""
type Indexers = Sequence[Indices]
"""Positions along each dimension of an array, in its own dimension order; their order is free."""


class ChunkKind(IntEnum):
    """How a chunk is stored."""

    ABSENT = 0
    """Not in the manifest: reads as the array's fill value."""
    NATIVE = 1
    """An object of the store's own."""
    VIRTUAL = 2
    """A byte range of a source file."""
    INLINE = 3
    """Inside the manifest itself."""
    UNREAD = 4
    """Not known yet: the part of the manifest that tells has not been read."""
    UNASKED = 5
    """Holds no cell that was asked for, and is not read."""


@dataclass(frozen=True)
class ChunkTally:
    """How many chunks a selection touches and how many bytes they hold."""

    chunks: int = 0
    """Chunks touched, missing ones included."""
    missing: int = 0
    """Chunks touched that the manifest does not hold."""
    requests: int = 0
    """Chunks that must be fetched, each by one request."""
    stored: int = 0
    """Bytes to fetch."""
    decoded: int = 0
    """Bytes of the touched chunks once decoded, whole chunks counted."""

    @property
    def largest(self) -> int:
        """Bytes of one chunk, decoded, of a single variable's. **Reads:** nothing."""
        return self.decoded // max(self.chunks, 1)

    def __add__(self, other: "ChunkTally") -> "ChunkTally":
        return ChunkTally(
            self.chunks + other.chunks,
            self.missing + other.missing,
            self.requests + other.requests,
            self.stored + other.stored,
            self.decoded + other.decoded,
        )


@dataclass(frozen=True, eq=False)
class ChunkIndex:
    """Where each chunk of one array lies; every array has the shape of the chunk grid."""

    shape: tuple[int, ...]
    """Shape of the array, in its own dimension order."""
    chunk_shape: tuple[int, ...]
    """Shape of one chunk."""
    itemsize: int
    """Bytes of one decoded element."""
    kinds: npt.NDArray[np.uint8]
    """A `ChunkKind` for each chunk."""
    sources: npt.NDArray[np.int32]
    """Number of the source file in `locations`; -1 where there is none."""
    offsets: npt.NDArray[np.int64]
    """First byte in the source file."""
    lengths: npt.NDArray[np.int64]
    """Stored bytes."""
    locations: tuple[str, ...]
    """URLs of the source files."""
    boundaries: tuple[npt.NDArray[np.int64] | None, ...] = ()
    """For each dimension whose chunks differ in length, their boundaries; None for the others.
    Empty where there is no such dimension; otherwise `chunk_shape` is that of the largest chunk."""
    is_partial: bool = False
    """Whether chunks outside the selection it was asked for may be `ChunkKind.UNREAD`."""
    asked: tuple[AskedChunks, ...] = ()
    """Which chunks hold cells that were asked for; empty where all do. `kinds` knows nothing of
    it."""

    @staticmethod
    def grid_shape(shape: Sequence[int], chunk_shape: Sequence[int]) -> tuple[int, ...]:
        """Number of chunks along each dimension. **Reads:** nothing."""
        return tuple(-(-n // c) if n else 0 for n, c in zip(shape, chunk_shape, strict=True))

    @classmethod
    def empty(
        cls,
        shape: tuple[int, ...],
        chunk_shape: tuple[int, ...],
        itemsize: int,
        boundaries: tuple[npt.NDArray[np.int64] | None, ...] = (),
    ) -> "ChunkIndex":
        """An index in which every chunk is absent, to be filled in. **Reads:** nothing.

        Raises
        ------
        StoreError
            The array is larger than any that is read.
        """
        refuse_excess(shape, chunk_shape, itemsize)
        grid = cls.grid_shape(shape, chunk_shape)
        if boundaries:
            grid = tuple(
                n if own is None else own.size - 1 for n, own in zip(grid, boundaries, strict=True)
            )
        return cls(
            shape,
            chunk_shape,
            itemsize,
            kinds=np.zeros(grid, np.uint8),
            sources=np.full(grid, -1, np.int32),
            offsets=np.zeros(grid, np.int64),
            lengths=np.zeros(grid, np.int64),
            locations=(),
            boundaries=boundaries,
        )

    @property
    def cuts(self) -> tuple[Cut, ...]:
        """How each dimension is cut. **Reads:** nothing."""
        varying = self.boundaries or (None,) * len(self.shape)
        return tuple(
            chunk if own is None else own
            for chunk, own in zip(self.chunk_shape, varying, strict=True)
        )

    def sparing(self, asked: tuple[AskedChunks, ...]) -> "ChunkIndex":
        """The same index for a reader that leaves out all chunks but those `asked` for.

        **Reads:** nothing.
        """
        return replace(self, asked=asked) if asked else self

    def kinds_of(self, numbers: Sequence[npt.NDArray[np.int64]]) -> npt.NDArray[np.uint8]:
        """The kinds of a box of chunks, `ChunkKind.UNASKED` where they hold nothing asked for.

        **Reads:** nothing.
        """
        kinds = self.kinds[np.ix_(*numbers)]
        for own in self.asked:
            kinds = np.where(own.at(numbers), kinds, np.uint8(ChunkKind.UNASKED))
        return kinds

    def tally(self, selection: Sequence[Indices]) -> ChunkTally:
        """What reading `selection` costs.

        Parameters
        ----------
        selection
            Positions along each dimension, in the array's dimension order.

        **Reads:** nothing.
        """
        return self.tally_of(
            [chunk_numbers(s, c) for s, c in zip(selection, self.cuts, strict=True)]
        )

    def tally_of(self, numbers: Sequence[npt.NDArray[np.int64]]) -> ChunkTally:
        """What reading a box of chunks costs, given by their numbers along each dimension.

        **Reads:** nothing.
        """
        if any(len(n) == 0 for n in numbers):
            return ChunkTally()
        kinds = self.kinds_of(numbers)
        if self.is_partial and (kinds == ChunkKind.UNREAD).any():
            raise ValueError("The index was not asked for these chunks.")
        fetched = (kinds == ChunkKind.VIRTUAL) | (kinds == ChunkKind.NATIVE)
        asked = kinds != ChunkKind.UNASKED
        return ChunkTally(
            chunks=int(asked.sum()),
            missing=int((kinds == ChunkKind.ABSENT).sum()),
            requests=int(fetched.sum()),
            stored=int(self.lengths[np.ix_(*numbers)][fetched].sum()),
            decoded=self._cells(numbers, asked) * self.itemsize,
        )

    def _cells(self, numbers: Sequence[npt.NDArray[np.int64]], asked: npt.NDArray[np.bool_]) -> int:
        """Cells of the chunks of a box that are asked for, whole chunks counted."""
        lengths = [lengths_of(n, c) for n, c in zip(numbers, self.cuts, strict=True)]
        if asked.all():
            return int(np.prod([own.sum() for own in lengths], dtype=np.int64))
        cells = asked.astype(np.int64)
        for axis, own in enumerate(lengths):
            cells *= own.reshape([-1 if axis == n else 1 for n in range(asked.ndim)])
        return int(cells.sum())


def refuse_excess(shape: Sequence[int], chunk_shape: Sequence[int], itemsize: int) -> None:
    """Raise for an array whose description alone would fill the memory. **Reads:** nothing.

    Raises
    ------
    StoreError
        Too many chunks, too long a dimension, too large a chunk, or a shape that is none.
    """
    sound = min(shape, default=0) >= 0 and min(chunk_shape, default=1) >= 1
    if len(shape) != len(chunk_shape) or not sound:
        raise StoreError(
            f"it has the shape {tuple(shape)} in chunks of {tuple(chunk_shape)}, which is none"
        )
    held = math.prod(ChunkIndex.grid_shape(shape, chunk_shape))
    for what, found, most in (
        ("chunks", held, MOST_CHUNKS),
        ("positions along one dimension", max(shape, default=0), LONGEST_DIMENSION),
        ("bytes in one chunk", math.prod(chunk_shape) * itemsize, LARGEST_CHUNK),
    ):
        if found > most:
            raise StoreError(f"it has {found:,} {what}; at most {most:,} are read")


def chunk_numbers(indices: Indices, cut: Cut) -> npt.NDArray[np.int64]:
    """The sorted numbers of the chunks that hold `indices`, each once.

    **Reads:** nothing.
    """
    if isinstance(indices, range):
        if not indices:
            return np.empty(0, np.int64)
        first, last = numbers_of(np.array([indices[0], indices[-1]]), cut)
        return np.arange(first, last + 1, dtype=np.int64)
    return distinct(numbers_of(indices, cut))


def distinct(numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The sorted values of `numbers`, each once. **Reads:** nothing.

    As `numpy.unique`, which hashes what nearly always ascends already.
    """
    steps = np.diff(numbers)
    if (steps > 0).all():
        return numbers
    return numbers[np.append(True, steps > 0)] if (steps >= 0).all() else np.unique(numbers)


def numbers_of(positions: npt.NDArray[np.int64], cut: Cut) -> npt.NDArray[np.int64]:
    """The number of the chunk that holds each position. **Reads:** nothing."""
    if isinstance(cut, int):
        return positions // max(cut, 1)
    return np.searchsorted(cut, positions, side="right") - 1


def starts_of(numbers: npt.NDArray[np.int64], cut: Cut) -> npt.NDArray[np.int64]:
    """The first position of each chunk. **Reads:** nothing."""
    return numbers * cut if isinstance(cut, int) else cut[numbers]


def lengths_of(numbers: npt.NDArray[np.int64], cut: Cut) -> npt.NDArray[np.int64]:
    """The length of each chunk as stored, beyond the end of the array too. **Reads:** nothing."""
    return np.full(numbers.size, cut) if isinstance(cut, int) else np.diff(cut)[numbers]
