"""Whole chunks of an output, put together from pieces that were cut along other lines.

The pieces follow the chunks of the store, so that each of those is read once; where the chunks of
the output begin elsewhere, a piece fills only parts of them. Parts wait in memory up to a budget,
then in scratch files, until their chunk is complete.
"""

import itertools
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from harmony_vds.model.arrays import Values
from harmony_vds.model.blocks import PARTS_BYTES
from harmony_vds.model.subset import Block
from harmony_vds.outputs.scratch import Scratch

type Tile = tuple[tuple[int, ...], Values]
"""Numbers of a chunk along each dimension, and its values; cut off at the end of the array."""


@dataclass
class _Unfinished:
    """A chunk some of whose cells are still missing."""

    missing: int
    parts: list[tuple[int, Values]] = field(default_factory=list)
    """Number of the piece that each part in memory came with, and its values."""
    filed: "array[int]" = field(default_factory=lambda: array("q"))
    """Of each part on disk the numbers of its piece and of its file, and where it begins, in turn.

    There may be millions of them: plain numbers take a fortieth of what objects would.
    """


class Tiling:
    """Puts the chunks of one output variable together.

    A context manager that drops its scratch files, and refuses to leave a chunk unfinished.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        chunks: tuple[int, ...],
        dtype: np.dtype[Any],
        scratch: Scratch,
        budget: int = PARTS_BYTES,
    ) -> None:
        self._shape, self._chunks, self._dtype = shape, chunks, dtype
        self._scratch, self._budget = scratch, budget
        self._unfinished: dict[tuple[int, ...], _Unfinished] = {}
        self._pieces: list[Block] = []
        self._held = 0

    def add(self, block: Block, values: Values) -> Iterator[Tile]:
        """The chunks that `values`, belonging at `block`, complete; in index order.

        Pieces may come in any order and must not overlap. **Reads:** nothing.
        """
        self._pieces.append(block)
        spans = zip(block, self._chunks, strict=True)
        touched = [range(own.start // c, -(-own.stop // c)) for own, c in spans]
        for numbers in itertools.product(*touched):
            within, _, extent = self._cut(block, numbers)
            index: Any = (*within, ...)  # also of a scalar it gives an array
            part = values[index]
            if part.shape == extent:
                yield numbers, part
            elif (whole := self._wait(numbers, part, extent)) is not None:
                yield numbers, whole

    def _cut(self, block: Block, numbers: tuple[int, ...]) -> tuple[Block, Block, tuple[int, ...]]:
        """What of a piece lies in a chunk: within the piece, within the chunk, and its shape."""
        within, where, extent = [], [], []
        for own, number, c, size in zip(block, numbers, self._chunks, self._shape, strict=True):
            first = number * c
            low, high = max(own.start, first), min(own.stop, first + c)
            within.append(slice(low - own.start, high - own.start))
            where.append(slice(low - first, high - first))
            extent.append(min(c, size - first))
        return tuple(within), tuple(where), tuple(extent)

    def _wait(
        self, numbers: tuple[int, ...], part: Values, extent: tuple[int, ...]
    ) -> Values | None:
        """Keep a part of the latest piece; the whole chunk if it was the last one missing."""
        cells = int(np.prod(extent, dtype=np.int64))
        own = self._unfinished.setdefault(numbers, _Unfinished(cells))
        own.missing -= part.size
        self._keep(own, part)
        if own.missing:
            return None
        del self._unfinished[numbers]
        whole = np.empty(extent, self._dtype)
        for piece, held in own.parts:
            whole[self._cut(self._pieces[piece], numbers)[1]] = held
            self._held -= held.nbytes
        for piece, file, begin in itertools.batched(own.filed, 3):
            place = self._cut(self._pieces[piece], numbers)[1]
            whole[place] = self._fetched(file, begin, whole[place].shape)
        return whole

    def _keep(self, unfinished: _Unfinished, part: Values) -> None:
        latest = len(self._pieces) - 1
        # Texts have no bytes of their own to be put into a file.
        if self._held + part.nbytes <= self._budget or self._dtype.hasobject:
            self._held += part.nbytes
            unfinished.parts.append((latest, part.copy()))
            return
        unfinished.filed.extend((latest, *self._scratch.keep(np.ascontiguousarray(part).tobytes())))

    def _fetched(self, file: int, begin: int, shape: tuple[int, ...]) -> Values:
        nbytes = int(np.prod(shape, dtype=np.int64)) * self._dtype.itemsize
        return np.frombuffer(self._scratch.take(file, begin, nbytes), self._dtype).reshape(shape)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, failed: object, *_: object) -> None:
        self._scratch.close()
        if failed is None and self._unfinished:
            raise ValueError(f"{len(self._unfinished)} chunks of the output were never complete.")
