"""The rows of a table in blocks of bounded size, in order, whatever the order of the chunks.

Chunks are read once, in the order that suits them, and put down on local disk as they are stored;
rows are made from there. So memory is bounded, and rows run through time, latitude and longitude as
people expect, for every chunking.
"""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harmony_vds.model.plan import Mask
from harmony_vds.model.subset import Block, SubsetVariable
from harmony_vds.outputs.columns import Table
from harmony_vds.outputs.pieces import Step, read_ahead

ROWS_AT_ONCE = 2**18
"""Rows of one block."""


class Spool:
    """The stored values of some variables on local disk; text stays in memory."""

    def __init__(self, variables: Sequence[SubsetVariable], folder: Path) -> None:
        self._variables = {own.planned.path: own for own in variables}
        self._folder = folder
        self._held: dict[str, npt.NDArray[Any]] = {}

    def fill(self, step: Step) -> None:
        """Read all variables. **Reads:** chunks."""
        variables = list(self._variables.values())
        for number, own in enumerate(variables):
            if own.data.dtype.hasobject or own.data.dtype.kind in "UT" or not own.data.size:
                self._held[own.planned.path] = np.empty(own.data.shape, own.data.dtype)
            else:
                self._map(number, own, "w+")
        for number, block, values in read_ahead(variables):
            own = variables[number]
            held = self._held.get(own.planned.path)
            if held is None:
                self._map(number, own, "r+")[block] = values
            else:
                held[block] = values
            step(0)

    def read(self, variable: SubsetVariable, block: Block) -> npt.NDArray[Any]:
        """The values of a variable in a block. **Reads:** nothing from outside."""
        path = variable.planned.path
        if path in self._held:
            return self._held[path][block]
        number = list(self._variables).index(path)
        # Opened anew each time, so that pages which were read do not stay in memory.
        return np.array(self._map(number, variable, "r")[block])

    def _map(self, number: int, own: SubsetVariable, mode: Any) -> npt.NDArray[Any]:
        path, shape = self._folder / f"{number}.raw", own.data.shape
        held: npt.NDArray[Any] = np.memmap(path, own.data.dtype, mode, shape=shape or (1,))
        return held if shape else held.reshape(())


def blocks_of(shape: Sequence[int], rows: int = ROWS_AT_ONCE) -> Iterator[Block]:
    """Boxes that go through an array in C order, each of about `rows` cells. **Reads:** nothing.

    >>> [own for own in blocks_of((2, 3), 2)]
    [(slice(0, 1, None), slice(0, 2, None)), (slice(0, 1, None), slice(2, 3, None)), \
(slice(1, 2, None), slice(0, 2, None)), (slice(1, 2, None), slice(2, 3, None))]
    """
    if 0 in shape:
        return
    axis = 0
    while axis < len(shape) - 1 and math.prod(shape[axis + 1 :]) > rows:
        axis += 1
    inner = math.prod(shape[axis + 1 :])
    length = max(1, rows // max(inner, 1))
    size = shape[axis] if shape else 1
    for outer in np.ndindex(*shape[:axis]):
        for start in range(0, size, length):
            if not shape:
                yield ()
                continue
            yield (
                *(slice(i, i + 1) for i in outer),
                slice(start, min(start + length, size)),
                *(slice(0, n) for n in shape[axis + 1 :]),
            )


def spread(
    values: npt.NDArray[Any], own: Sequence[str], table: Table, block: Block
) -> npt.NDArray[Any]:
    """Values over the dimensions `own` of a block, repeated along those they lack; in row order.

    **Reads:** nothing.
    """
    shape = [part.stop - part.start for part in block]
    axes = [table.dimensions.index(dimension) for dimension in own]
    ordered = values.transpose(np.argsort(axes)) if axes else values
    full = [shape[axis] if axis in axes else 1 for axis in range(len(shape))]
    return np.broadcast_to(ordered.reshape(full), shape).ravel()


def part_of(own: Sequence[str], table: Table, block: Block) -> Block:
    """The part of a variable on dimensions `own` that a block of rows needs. **Reads:** nothing."""
    return tuple(block[table.dimensions.index(dimension)] for dimension in own)


def kept_rows(masks: Sequence[Mask], table: Table, block: Block) -> npt.NDArray[np.bool_] | None:
    """Which rows of a block lie inside of what was asked for; None where all do.

    **Reads:** nothing.
    """
    paths = {own.variable.planned.path for own in table.data if own.variable is not None}
    wanted = [
        own for own in masks
        if own.variables & paths and {*own.dimensions} <= {*table.dimensions}
    ]  # fmt: skip
    if not wanted:
        return None
    kept = np.ones(math.prod(part.stop - part.start for part in block), np.bool_)
    for own in wanted:
        inside = own.inside.part(part_of(own.dimensions, table, block))
        kept &= spread(inside, own.dimensions, table, block)
    return kept
