"""Variables that are worked out whole, once, and then read in any order.

An average makes its tiles one after another, each from all steps of a record. A step after it that
reads across tiles would have them made again and again; so they are made once and held.
"""

from collections.abc import Sequence
from dataclasses import replace
from threading import Lock

import numpy as np

from harmony_vds.model.arrays import Values
from harmony_vds.model.subset import Block, SubsetVariable
from harmony_vds.transform.computed import computed


class _Together:
    """Some variables with the same pieces, read side by side when the first is asked for."""

    def __init__(self, variables: Sequence[SubsetVariable]) -> None:
        self._variables = variables
        self._lock = Lock()
        self._values: list[Values] = []

    def values(self, number: int, block: Block) -> Values:
        """Those of a block of one of them. **Reads:** chunks, once."""
        with self._lock:
            if not self._values:
                self._values = self._read()
        return self._values[number][block]

    def _read(self) -> list[Values]:
        found = [np.empty(own.data.shape, own.data.dtype) for own in self._variables]
        for block in self._variables[0].blocks:
            for own, values in zip(self._variables, found, strict=True):
                values[block] = own.data[block].values
        return found


def held(variables: Sequence[SubsetVariable]) -> tuple[SubsetVariable, ...]:
    """`variables`, those that come from one pass over the chunks held in memory. Lazy.

    **Reads:** nothing; chunks when values are asked for.
    """
    groups: dict[str, list[SubsetVariable]] = {}
    for own in variables:
        if own.together:
            groups.setdefault(own.together, []).append(own)
    known = {name: _Together(members) for name, members in groups.items()}
    return tuple(
        _held(own, known[own.together], groups[own.together].index(own)) if own.together else own
        for own in variables
    )


def _held(variable: SubsetVariable, together: _Together, number: int) -> SubsetVariable:
    def compute(block: Block) -> Values:
        return together.values(number, block)

    data = variable.data
    names = [str(own) for own in data.dims]
    lazy = computed(names, data.shape, data.dtype, compute, data.attrs)
    return replace(variable, data=lazy, held=0)
