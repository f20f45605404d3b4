"""Variables whose values are computed, block by block, when somebody reads them.

Every step after the cut gives such variables, so that steps can follow each other and a writer
reads the last of them as it would read the store: piece by piece, in bounded memory.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from harmony_vds.model.subset import Block

type Compute = Callable[[Block], npt.NDArray[Any]]
"""The values of a block; its slices have step 1 and lie within the shape."""


class ComputedArray(BackendArray):
    """An array without storage; immutable."""

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any], compute: Compute) -> None:
        self.shape = shape
        self.dtype = dtype
        self._compute = compute

    def __getitem__(self, key: indexing.ExplicitIndexer) -> npt.NDArray[Any]:
        """The values at `key`. **Reads:** chunks."""
        values: npt.NDArray[Any] = indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.BASIC, self._values
        )
        return values

    def _values(self, key: tuple[Any, ...]) -> npt.NDArray[Any]:
        """The values at integers and slices: those of the block around them, thinned out."""
        block: list[slice] = []
        within: list[slice | int] = []
        for own, size in zip(key, self.shape, strict=True):
            if isinstance(own, slice):
                positions = range(*own.indices(size))
                low, high = (min(positions), max(positions) + 1) if positions else (0, 0)
                block.append(slice(low, high))
                within.append(slice(None, None, own.step))
            else:
                position = int(own) % size
                block.append(slice(position, position + 1))
                within.append(0)
        return self._compute(tuple(block))[tuple(within)]


def computed(
    dimensions: Sequence[str],
    shape: Sequence[int],
    dtype: npt.DTypeLike,
    compute: Compute,
    attributes: Mapping[Any, Any],
) -> xr.Variable:
    """A lazy variable of computed values.

    Parameters
    ----------
    dimensions
        Names of its dimensions.
    shape
        Their lengths.
    dtype
        What `compute` gives.
    compute
        Called with one block at a time, from several threads at once.
    attributes
        Of the variable.

    **Reads:** nothing; chunks when values are asked for.
    """
    array = ComputedArray(tuple(shape), np.dtype(dtype), compute)
    return xr.Variable(tuple(dimensions), indexing.LazilyIndexedArray(array), dict(attributes))
