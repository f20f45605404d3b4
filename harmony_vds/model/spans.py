"""Byte ranges to fetch: the chunks of a selection, neighbours in one source file merged.

The same spans price a request and are fetched, so that the two cannot disagree.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harmony_vds.model.chunks import ChunkIndex, ChunkKind

type Numbers = Sequence[npt.NDArray[np.int64]]
"""For each dimension the sorted numbers of the chunks touched."""


LONGEST_SPAN = 8 * 2**20
"""Bytes after which neighbours are fetched apart: one connection alone is slower than several."""


@dataclass(frozen=True, eq=False)
class Span:
    """One request to one source file, and the chunks it brings."""

    source: int
    """Number of the source file in the index's locations."""
    start: int
    """First byte."""
    length: int
    """Bytes, gaps between chunks included."""
    members: npt.NDArray[np.int64]
    """Positions, in the flattened box of chunks, of those inside; in order of their offsets."""
    starts: npt.NDArray[np.int64]
    """First byte of each member, counted from that of the span."""
    lengths: npt.NDArray[np.int64]
    """Stored bytes of each member."""


@dataclass(frozen=True, eq=False)
class Spans:
    """The spans of one box, as columns: a box may touch millions of chunks."""

    sources: npt.NDArray[np.int32]
    """Source file of each chunk; this and the next three are sorted by source and offset."""
    starts: npt.NDArray[np.int64]
    """First byte of each chunk."""
    lengths: npt.NDArray[np.int64]
    """Stored bytes of each chunk."""
    members: npt.NDArray[np.int64]
    """Position of each chunk in the flattened box."""
    firsts: npt.NDArray[np.intp]
    """Which chunk each span begins with."""
    reach: npt.NDArray[np.int64]
    """Byte behind the last of each span."""

    def __len__(self) -> int:
        return int(self.firsts.size)

    @property
    def nbytes(self) -> int:
        """Bytes of all spans. **Reads:** nothing."""
        return int((self.reach - self.starts[self.firsts]).sum())

    def __iter__(self) -> Iterator[Span]:
        bounds = [*self.firsts.tolist(), self.members.size]
        for a, b, end in zip(bounds, bounds[1:], self.reach.tolist(), strict=False):
            start = int(self.starts[a])
            yield Span(
                int(self.sources[a]), start, end - start, self.members[a:b],
                self.starts[a:b] - start, self.lengths[a:b],
            )  # fmt: skip


def merged_spans(
    index: ChunkIndex, numbers: Numbers, gap: int, longest: int = LONGEST_SPAN
) -> Spans:
    """The spans that hold the virtual chunks of a box of the chunk grid.

    Parameters
    ----------
    index
        Where the chunks lie.
    numbers
        Chunk numbers along each dimension; the box is their outer product, in C order.
    gap
        Most unwanted bytes between two chunks that are still fetched together; negative: never
        merge.
    longest
        Chunks that begin in different multiples of so many bytes of a file are fetched apart. The
        cuts do not depend on the selection, so that a narrower one never costs more bytes.

    **Reads:** nothing.
    """
    box = np.ix_(*numbers)
    kinds = index.kinds_of(numbers).ravel()
    if index.is_partial and (kinds == ChunkKind.UNREAD).any():
        raise ValueError("The index was not asked for these chunks.")
    wanted = np.flatnonzero(kinds == ChunkKind.VIRTUAL)
    sources = index.sources[box].ravel()[wanted]
    starts = index.offsets[box].ravel()[wanted]
    lengths = index.lengths[box].ravel()[wanted]
    order = np.lexsort((starts, sources))
    wanted, sources = wanted[order], sources[order]
    starts, lengths = starts[order], lengths[order]
    if wanted.size == 0:
        return Spans(sources, starts, lengths, wanted, np.empty(0, np.intp), lengths)
    firsts = np.arange(wanted.size)
    if gap >= 0:
        firsts = _group_starts(sources, starts, starts + lengths, gap, longest)
    reach = np.maximum.reduceat(starts + lengths, firsts)
    return Spans(sources, starts, lengths, wanted, firsts, reach)


def merged_totals(
    index: ChunkIndex,
    numbers: Numbers,
    reads: npt.NDArray[np.int64],
    gap: int,
    longest: int = LONGEST_SPAN,
) -> tuple[int, int]:
    """Spans, and bytes of all spans, of many reads of a box of the chunk grid at once.

    As `merged_spans` read by read, in a hundredth of the time.

    Parameters
    ----------
    index, numbers, gap, longest
        As for `merged_spans`; `gap` is not negative.
    reads
        Which read each chunk of the box is of, in C order; shape (chunks,).

    **Reads:** nothing.
    """
    box = np.ix_(*numbers)
    kinds = index.kinds_of(numbers).ravel()
    if index.is_partial and (kinds == ChunkKind.UNREAD).any():
        raise ValueError("The index was not asked for these chunks.")
    wanted = np.flatnonzero(kinds == ChunkKind.VIRTUAL)
    if wanted.size == 0:
        return 0, 0
    sources = index.sources[box].ravel()[wanted]
    starts = index.offsets[box].ravel()[wanted]
    ends = starts + index.lengths[box].ravel()[wanted]
    order = np.lexsort((starts, sources, reads[wanted]))
    sources, starts, ends, reads = sources[order], starts[order], ends[order], reads[wanted][order]
    # A file in another read is another place: places are counted, so that no number grows large.
    other = (np.diff(sources) != 0) | (np.diff(reads) != 0)
    places = np.concatenate([[0], np.cumsum(other)])
    firsts = _group_starts(places, starts, ends, gap, longest)
    return firsts.size, int((np.maximum.reduceat(ends, firsts) - starts[firsts]).sum())


def _group_starts(
    sources: npt.NDArray[np.int32] | npt.NDArray[np.int64],
    starts: npt.NDArray[np.int64],
    ends: npt.NDArray[np.int64],
    gap: int,
    longest: int,
) -> npt.NDArray[np.intp]:
    """Where a new span begins among chunks sorted by source and offset.

    Chunks may overlap or be the same, so the reach is the furthest end so far in the same source.
    """
    other = (np.diff(sources) != 0) | (np.diff(starts // longest) != 0)
    # A running maximum that restarts with each source: sources lift it far above any offset.
    lift = sources.astype(np.int64) * (int(ends.max()) + 1)
    reach = np.maximum.accumulate(ends + lift) - lift
    apart = starts[1:] > reach[:-1] + gap
    return np.flatnonzero(np.concatenate([[True], other | apart]))
