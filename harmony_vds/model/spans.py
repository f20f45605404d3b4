"""Byte ranges to fetch: the chunks of a selection, neighbours in one source file merged.

The same spans price a request and are fetched, so that the two cannot disagree.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harmony_vds.model.chunks import ChunkIndex, ChunkKind

type Numbers = Sequence[npt.NDArray[np.int64]]
"""For each dimension the sorted numbers of the chunks touched."""


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


def merged_spans(index: ChunkIndex, numbers: Numbers, gap: int) -> list[Span]:
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

    **Reads:** nothing.
    """
    box = np.ix_(*numbers)
    wanted = np.flatnonzero(index.kinds[box].ravel() == ChunkKind.VIRTUAL)
    if wanted.size == 0:
        return []
    sources = index.sources[box].ravel()[wanted]
    starts = index.offsets[box].ravel()[wanted]
    ends = starts + index.lengths[box].ravel()[wanted]
    order = np.lexsort((starts, sources))
    wanted, sources = wanted[order], sources[order]
    starts, ends = starts[order], ends[order]
    alone = np.arange(wanted.size)
    firsts = alone if gap < 0 else _group_starts(sources, starts, ends, gap)
    lasts = np.append(firsts[1:], wanted.size)
    reach = np.maximum.reduceat(ends, firsts)
    return [
        Span(int(sources[a]), int(starts[a]), int(end - starts[a]), wanted[a:b])
        for a, b, end in zip(firsts, lasts, reach, strict=True)
    ]


def _group_starts(
    sources: npt.NDArray[np.int32],
    starts: npt.NDArray[np.int64],
    ends: npt.NDArray[np.int64],
    gap: int,
) -> npt.NDArray[np.intp]:
    """Where a new span begins among chunks sorted by source and offset.

    Chunks may overlap or be the same, so the reach is the furthest end so far in the same source.
    """
    other = np.diff(sources) != 0
    # A running maximum that restarts with each source: sources lift it far above any offset.
    lift = sources.astype(np.int64) * (int(ends.max()) + 1)
    reach = np.maximum.accumulate(ends + lift) - lift
    apart = starts[1:] > reach[:-1] + gap
    return np.flatnonzero(np.concatenate([[True], other | apart]))
