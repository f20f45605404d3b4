"""The pieces of an output in order, the next ones already being read while one is written."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import groupby
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from harmony_vds.model.blocks import AHEAD_BYTES
from harmony_vds.model.subset import Block, SubsetVariable

type Values = npt.NDArray[Any]
type Piece = tuple[int, Block, Values]
"""Number of the variable, where the values belong, and the values."""

type Step = Callable[[int], None]
"""Called with the number of bytes just written, counted before compression."""

_READERS = 8
"""Pieces read at once: small variables take a round trip each, whatever their size."""


@overload
def read_ahead(variables: Sequence[SubsetVariable], *, ahead: int = ...) -> Iterator[Piece]: ...


@overload
def read_ahead[T](
    variables: Sequence[SubsetVariable], read: Callable[[int, Block], T], ahead: int = ...
) -> Iterator[tuple[int, Block, T]]: ...


def read_ahead(
    variables: Sequence[SubsetVariable],
    read: Callable[[int, Block], Any] | None = None,
    ahead: int = AHEAD_BYTES,
) -> Iterator[tuple[int, Block, Any]]:
    """Every piece of `variables`, in their order and in index order within each.

    Neighbours that come from one pass over the chunks take turns.

    Parameters
    ----------
    variables
        What is to be read.
    read
        Reads a piece of the variable of a number, in a thread; their values by default.
    ahead
        Bytes of the pieces that are read or wait while one is being used. A piece larger than that
        is read ahead alone.

    Raises
    ------
    StoreError, ForbiddenError, UpstreamError
        A chunk cannot be read; what else was being read is given up.

    **Reads:** chunks.
    """
    read = read or (lambda number, block: variables[number].data[block].values)
    coming = _in_order(variables)
    waiting: deque[tuple[int, Block, int, Future[Any]]] = deque()
    held = 0
    readers = ThreadPoolExecutor(_READERS, thread_name_prefix="harmony-vds-pieces")
    try:
        upcoming = next(coming, None)
        while upcoming or waiting:
            while upcoming and (held < ahead or not waiting):
                number, block = upcoming
                size = _nbytes(variables[number], block)
                if held and held + size > ahead:
                    break
                future = readers.submit(read, number, block)
                waiting.append((number, block, size, future))
                held += size
                upcoming = next(coming, None)
            number, block, size, future = waiting.popleft()
            yield number, block, future.result()
            held -= size
    finally:
        # Not waited for: where one read fails, the others may still be trying for a minute.
        readers.shutdown(wait=False, cancel_futures=True)


def _in_order(variables: Sequence[SubsetVariable]) -> Iterator[tuple[int, Block]]:
    """The pieces, each with the number of its variable."""
    numbered = list(enumerate(variables))
    for name, group in groupby(numbered, lambda pair: pair[1].together):
        if not name:
            yield from ((number, block) for number, own in group for block in own.blocks)
            continue
        companions = list(group)
        for turn in zip(*(own.blocks for _, own in companions), strict=True):
            yield from (
                (number, block) for (number, _), block in zip(companions, turn, strict=True)
            )


def _nbytes(variable: SubsetVariable, block: Block) -> int:
    cells = int(np.prod([own.stop - own.start for own in block], dtype=np.int64))
    return cells * int(variable.data.dtype.itemsize) + variable.held
