"""The chunk index: where each chunk of one array lies, as numpy arrays over the chunk grid.

One type serves the price of a request, the byte ranges to fetch, and the references of a virtual
subset, so that these three cannot disagree.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

type Indices = range | npt.NDArray[np.int64]
"""Sorted positions along one dimension; a range wherever they are contiguous."""


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

    @staticmethod
    def grid_shape(shape: Sequence[int], chunk_shape: Sequence[int]) -> tuple[int, ...]:
        """Number of chunks along each dimension. **Reads:** nothing."""
        return tuple(-(-n // c) if n else 0 for n, c in zip(shape, chunk_shape, strict=True))

    @classmethod
    def empty(
        cls, shape: tuple[int, ...], chunk_shape: tuple[int, ...], itemsize: int
    ) -> "ChunkIndex":
        """An index in which every chunk is absent, to be filled in. **Reads:** nothing."""
        grid = cls.grid_shape(shape, chunk_shape)
        return cls(
            shape,
            chunk_shape,
            itemsize,
            kinds=np.zeros(grid, np.uint8),
            sources=np.full(grid, -1, np.int32),
            offsets=np.zeros(grid, np.int64),
            lengths=np.zeros(grid, np.int64),
            locations=(),
        )

    @property
    def alone(self) -> npt.NDArray[np.bool_]:
        """Which chunks are objects of the store's own, fetched one by one. **Reads:** nothing."""
        return np.asarray(self.kinds == ChunkKind.NATIVE)

    def tally(self, selection: Sequence[Indices]) -> ChunkTally:
        """What reading `selection` costs.

        Parameters
        ----------
        selection
            Positions along each dimension, in the array's dimension order.

        **Reads:** nothing.
        """
        numbers = [chunk_numbers(s, c) for s, c in zip(selection, self.chunk_shape, strict=True)]
        if any(len(n) == 0 for n in numbers):
            return ChunkTally()
        box = np.ix_(*numbers)
        kinds = self.kinds[box]
        fetched = (kinds == ChunkKind.VIRTUAL) | (kinds == ChunkKind.NATIVE)
        chunk_bytes = int(np.prod(self.chunk_shape, dtype=np.int64)) * self.itemsize
        return ChunkTally(
            chunks=int(kinds.size),
            missing=int((kinds == ChunkKind.ABSENT).sum()),
            requests=int(fetched.sum()),
            stored=int(self.lengths[box][fetched].sum()),
            decoded=int(kinds.size) * chunk_bytes,
        )


def chunk_numbers(indices: Indices, chunk: int) -> npt.NDArray[np.int64]:
    """The sorted numbers of the chunks that hold `indices`, each once.

    **Reads:** nothing.
    """
    if isinstance(indices, range):
        if not indices:
            return np.empty(0, np.int64)
        return np.arange(indices[0] // chunk, indices[-1] // chunk + 1, dtype=np.int64)
    return np.unique(indices // chunk)
