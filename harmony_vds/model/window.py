"""Windows of a store's grid, which may run on from its last column to its first."""

from dataclasses import dataclass

import numpy as np

from harmony_vds.model.arrays import Flags, Floats
from harmony_vds.model.target import SourceAxis

type Spans = tuple[Floats, Floats]


@dataclass(frozen=True)
class Window:
    """The cells of a grid that a block of the target needs."""

    rows: slice
    """Rows."""
    columns: tuple[slice, ...]
    """Columns in the order of their places; two pieces where they run on across the edge."""

    @property
    def cells(self) -> int:
        """How many there are. **Reads:** nothing."""
        return int((self.rows.stop - self.rows.start) * sum(c.stop - c.start for c in self.columns))


def pieces_of(spans: tuple[Floats, Floats], axis: SourceAxis, reach: int) -> tuple[slice, ...]:
    """The columns of all `spans`, as one piece, or two if they run on across the edge.

    `reach` more are taken on either side. **Reads:** nothing.
    """
    size = axis.centres.size
    low = np.floor(spans[0]).astype(np.int64) - reach
    high = np.floor(spans[1]).astype(np.int64) + reach + 1
    if not axis.is_round:
        first, last = max(int(low.min()), 0), min(int(high.max()), size)
        return (slice(first, last),) if first < last else ()
    touched = np.zeros(3 * size + 1, np.int64)
    turns = np.floor_divide(low, size) * size
    np.add.at(touched, low - turns, 1)
    np.add.at(touched, np.minimum(high - turns, low - turns + size), -1)
    marked = (np.cumsum(touched)[: 3 * size].reshape(3, size) > 0).any(axis=0)
    return shortest_run(marked)


def shortest_run(marked: Flags) -> tuple[slice, ...]:
    """The shortest run round the turn that holds all marked columns. **Reads:** nothing."""
    size = marked.size
    places = np.flatnonzero(marked)
    gaps = np.diff(np.concatenate([places, [places[0] + size]]))
    widest = int(gaps.argmax())
    if gaps[widest] == 1:
        return (slice(0, size),)
    start, stop = int(places[(widest + 1) % places.size]), int(places[widest]) + 1
    if start < stop:
        return (slice(start, stop),)
    return slice(start, size), slice(0, stop)
