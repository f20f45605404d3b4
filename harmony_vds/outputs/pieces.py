"""The pieces of an output in order, the next ones already being read while one is written."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import groupby
from typing import Any

import numpy as np

from harmony_vds.model.blocks import AHEAD_BYTES
from harmony_vds.model.subset import Block, SubsetVariable, Turn

type Begun = tuple[int, Block, Callable[[], Any]]
"""Number of the variable, where the values belong, and what gives them."""

type Step = Callable[[int], None]
"""Called with the number of bytes just written, counted before compression."""

_READERS = 8
"""Pieces read at once: small variables take a round trip each, whatever their size."""


def read_ahead(
    variables: Sequence[SubsetVariable],
    stored: Callable[[int, Block], bool] = lambda *_: False,
    ahead: int = AHEAD_BYTES,
) -> Iterator[tuple[int, Block, Any]]:
    """Every piece of `variables`, in their order and in index order within each.

    Neighbours that come from one pass over the chunks take turns. Pieces that are read elsewhere
    are begun as far ahead as there are others to read them.

    Parameters
    ----------
    variables
        What is to be read.
    stored
        Whether a piece of the variable of a number is wanted as its chunks are stored; by default
        all come as values.
    ahead
        Bytes of the pieces that are read or wait here while one is being used. A piece larger than
        that is read ahead alone.

    Raises
    ------
    StoreError, ForbiddenError, UpstreamError
        A chunk cannot be read; what else was being read is given up.

    **Reads:** chunks.
    """
    turns: list[Turn] = []
    coming = _begun(variables, stored, turns)
    waiting: deque[tuple[int, Block, int, Future[Any]]] = deque()
    held = 0
    readers = ThreadPoolExecutor(_READERS, thread_name_prefix="harmony-vds-pieces")
    try:
        upcoming = next(coming, None)
        while upcoming or waiting:
            while upcoming and (held < ahead or not waiting):
                number, block, read = upcoming
                size = _nbytes(variables[number], block)
                if held and held + size > ahead:
                    break
                waiting.append((number, block, size, readers.submit(read)))
                held += size
                upcoming = next(coming, None)
            number, block, size, future = waiting.popleft()
            yield number, block, future.result()
            held -= size
    finally:
        for own in turns:
            own.give_up()
        # Not waited for: where one read fails, the others may still be trying for a minute.
        readers.shutdown(wait=False, cancel_futures=True)


def _begun(
    variables: Sequence[SubsetVariable], stored: Callable[[int, Block], bool], turns: list[Turn]
) -> Iterator[Begun]:
    """The pieces, each with what gives its values; `turns` are those that are read elsewhere."""
    at_once = max((own.elsewhere.at_once for own in variables if own.elsewhere), default=0)
    begun: deque[list[Begun]] = deque()
    for pieces in _in_order(variables):
        elsewhere = variables[pieces[0][0]].elsewhere
        given: list[Begun] = []
        if elsewhere is None:
            for number, block in pieces:
                read = partial(variables[number].read, block, stored=stored(number, block))
                given.append((number, block, read))
        else:
            turn = elsewhere.begin(
                [(variables[n].planned.path, block, stored(n, block)) for n, block in pieces]
            )
            turns[:] = [*(own for own in turns if not own.is_over), turn]
            for place, (number, block) in enumerate(pieces):
                given.append((number, block, partial(turn.take, place)))
        begun.append(given)
        if len(begun) > at_once:
            yield from begun.popleft()
    for given in begun:
        yield from given


def _in_order(variables: Sequence[SubsetVariable]) -> Iterator[list[tuple[int, Block]]]:
    """The pieces with the numbers of their variables; those of one pass together."""
    numbered = list(enumerate(variables))
    for name, group in groupby(numbered, lambda pair: pair[1].together):
        if not name:
            yield from ([(number, block)] for number, own in group for block in own.blocks)
            continue
        companions = list(group)
        for turn in zip(*(own.blocks for _, own in companions), strict=True):
            yield [(number, block) for (number, _), block in zip(companions, turn, strict=True)]


def _nbytes(variable: SubsetVariable, block: Block) -> int:
    cells = int(np.prod([own.stop - own.start for own in block], dtype=np.int64))
    return cells * int(variable.data.dtype.itemsize) + variable.held
