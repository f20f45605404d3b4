"""Several variables that come from one pass over the chunks.

A mean and its count are read by a writer as two variables, piece by piece. Whichever is asked for
first computes the tile for all of them; the others take what is there. A writer that reads them
side by side reads each chunk once; one that does not still gets right values.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from harmony_vds.model.subset import Block
from harmony_vds.model.tiles import Tile

type Parts = Mapping[str, npt.NDArray[Any]]
"""What one tile gives: the values of each part, over the tile's place in the result."""

KEPT_BYTES = 64 * 2**20
"""Bytes of tiles that wait for the parts that have not been asked for yet."""


class Shared:
    """The tiles of some variables that are computed together."""

    def __init__(
        self, tiles: Sequence[Tile], places: Sequence[Block], parts: int,
        compute: Callable[[Tile], Parts],
    ) -> None:  # fmt: skip
        self.tiles = tiles
        self.places = places
        self._parts = parts
        self._compute = compute
        self._lock = Lock()
        self._results: OrderedDict[int, Future[Parts]] = OrderedDict()
        self._taken: dict[int, int] = {}
        self._numbers = {_key(place): number for number, place in enumerate(places)}

    def read(self, part: str, block: Block, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
        """The values of a part in a block of the result. **Reads:** chunks."""
        number = self._numbers.get(_key(block))
        if number is not None:
            return self._tile(number, part)
        out = np.empty([own.stop - own.start for own in block], dtype)
        for number, place in enumerate(self.places):
            common = _common(place, block)
            if common is not None:
                values = self._tile(number, part)
                out[_within(common, block)] = values[_within(common, place)]
        return out

    def _tile(self, number: int, part: str) -> npt.NDArray[Any]:
        """One part of a tile, which is computed once however many ask for it."""
        with self._lock:
            future = self._results.get(number)
            mine = future is None
            if future is None:
                future = self._results[number] = Future()
        if mine:
            try:
                future.set_result(self._compute(self.tiles[number]))
            except BaseException as error:  # whatever it is, others wait for this tile
                with self._lock:
                    self._results.pop(number, None)
                future.set_exception(error)
                raise
        values = future.result()[part]
        self._forget(number)
        return values

    def _forget(self, number: int) -> None:
        """Let go of a tile that all parts have taken, and of the oldest when there are too many."""
        with self._lock:
            self._taken[number] = self._taken.get(number, 0) + 1
            if self._taken[number] >= self._parts:
                self._results.pop(number, None)
                self._taken[number] = 0
            done = [(n, own) for n, own in self._results.items() if own.done()]
            held = sum(_nbytes(own) for _, own in done)
            for oldest, own in done[:-1]:
                if held <= KEPT_BYTES:
                    break
                held -= _nbytes(own)
                del self._results[oldest]
                self._taken[oldest] = 0


def _nbytes(future: Future[Parts]) -> int:
    return sum(own.nbytes for own in future.result().values()) if not future.exception() else 0


def _key(block: Block) -> tuple[tuple[int, int], ...]:
    return tuple((own.start, own.stop) for own in block)


def _common(one: Block, other: Block) -> Block | None:
    both = tuple(
        slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(one, other, strict=True)
    )
    return both if all(own.start < own.stop for own in both) else None


def _within(common: Block, place: Block) -> Block:
    """`common` as counted from the start of `place`."""
    return tuple(
        slice(c.start - p.start, c.stop - p.start) for c, p in zip(common, place, strict=True)
    )
