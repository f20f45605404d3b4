"""The slabs of a tile as quantities, the next ones already being read while one is added up."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from harmony_vds.model.arrays import Floats
from harmony_vds.model.chunks import ChunkIndex, ChunkKind, numbers_of
from harmony_vds.model.decoding import Decoding
from harmony_vds.model.subset import Block
from harmony_vds.model.tiles import SLABS_AHEAD

_CELLS = 2**16
"""Values that are decoded at once: half a megabyte stays in the processor's cache."""


@dataclass(frozen=True, eq=False)
class Slabs:
    """Reads the slabs of one variable."""

    data: xr.Variable
    """The variable, cut and masked, raw as stored."""
    decoding: Decoding
    """What its numbers mean."""
    index: ChunkIndex
    """Where its chunks are."""
    positions: Sequence[npt.NDArray[np.int64]]
    """For each dimension the stored positions that are kept."""

    def read(self, slabs: Sequence[Block]) -> Iterator[tuple[Block, "Slab"]]:
        """Each of `slabs` in order.

        Raises
        ------
        StoreError, ForbiddenError, UpstreamError
            A chunk cannot be read; what else was being read is given up.

        **Reads:** chunks.
        """
        if len(slabs) == 1:
            yield slabs[0], self._one(slabs[0])
            return
        waiting: deque[tuple[Block, Future[Slab]]] = deque()
        readers = ThreadPoolExecutor(SLABS_AHEAD, thread_name_prefix="harmony-vds-slabs")
        coming = iter(slabs)
        try:
            for block in islice(coming, SLABS_AHEAD):
                waiting.append((block, readers.submit(self._one, block)))
            while waiting:
                block, future = waiting.popleft()
                slab = future.result()
                for later in islice(coming, 1):
                    waiting.append((later, readers.submit(self._one, later)))
                yield block, slab
        finally:
            readers.shutdown(wait=False, cancel_futures=True)

    def _one(self, block: Block) -> "Slab":
        return Slab(np.asarray(self.data[block].values), self._absent(block), self.decoding)

    def _absent(self, block: Block) -> npt.NDArray[np.bool_] | None:
        """The cells of a block whose chunks the manifest does not hold; None if there are none.

        Nobody knows what they hold, so they are left out of averages. A native Zarr array is
        another matter: its writer leaves chunks out that hold nothing but the fill value.
        """
        numbers = [
            numbers_of(own[piece], cut)
            for own, piece, cut in zip(self.positions, block, self.index.cuts, strict=True)
        ]
        visited, places = zip(
            *(np.unique(own, return_inverse=True) for own in numbers), strict=True
        )
        kinds = self.index.kinds[np.ix_(*visited)]
        if not (kinds == ChunkKind.ABSENT).any() or self._is_native:
            return None
        return np.asarray((kinds == ChunkKind.ABSENT)[np.ix_(*places)])

    @property
    def _is_native(self) -> bool:
        kinds = self.index.kinds
        return bool((kinds == ChunkKind.NATIVE).any() and not (kinds == ChunkKind.VIRTUAL).any())


@dataclass(frozen=True, eq=False)
class Slab:
    """One slab in memory."""

    raw: npt.NDArray[Any]
    """As stored."""
    absent: npt.NDArray[np.bool_] | None
    """Cells that nobody stored."""
    decoding: Decoding

    def parts(
        self, order: Sequence[int], leading: int, high: int,
        cells: npt.NDArray[np.int64] | None = None,
    ) -> Iterator[tuple[slice, slice, Floats]]:  # fmt: skip
        """The quantities, piece by piece, as a table of two dimensions.

        Parameters
        ----------
        order
            The dimensions in the order in which the table has them.
        leading
            How many of them make the table's rows; the others make its columns.
        high
            Rows that a piece should have where there are as many.
        cells
            The columns that are wanted; None for all.

        Yields
        ------
        tuple
            Rows of the table, columns of it or of `cells`, and the quantities there, not-a-number
            where missing.

        **Reads:** nothing.
        """
        table = _table(self.raw, order, leading)
        absent = None if self.absent is None else _table(self.absent, order, leading)
        rows, columns = table.shape[0], table.shape[1] if cells is None else cells.size
        wide = max(1, min(columns, _CELLS // max(1, min(high, rows))))
        high = max(1, _CELLS // wide)
        for top in range(0, rows, high):
            for left in range(0, columns, wide):
                box = slice(top, min(top + high, rows)), slice(left, min(left + wide, columns))
                own = box if cells is None else (box[0], cells[box[1]])
                values = self.decoding.decode(table[own])
                if absent is not None:
                    values[absent[own]] = np.nan
                yield *box, values


def _table(values: npt.NDArray[Any], order: Sequence[int], leading: int) -> npt.NDArray[Any]:
    turned = values.transpose(order)
    shape = turned.shape
    rows = int(np.prod(shape[:leading], dtype=np.int64))
    return turned.reshape(rows, int(np.prod(shape[leading:], dtype=np.int64)))
