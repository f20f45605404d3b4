"""The kinds of arrays that modules hand each other, by what their numbers are."""

from typing import Any

import numpy as np
import numpy.typing as npt

type Floats = npt.NDArray[np.float64]
"""Numbers in double precision: coordinates, areas, weights, quantities."""
type Integers = npt.NDArray[np.int64]
"""Counts, offsets and lengths."""
type Positions = npt.NDArray[np.int64]
"""Positions along dimensions, counted from 0."""
type Flags = npt.NDArray[np.bool_]
"""True or false for each cell, or each of whatever there is."""
type Values = npt.NDArray[Any]
"""Values of a variable, of whichever type it has."""


def tightened(positions: Positions) -> slice | Positions:
    """`positions`, one or more, as a slice where they follow each other. **Reads:** nothing.

    >>> tightened(np.array([3, 4, 5]))
    slice(3, 6, None)
    """
    first, last = int(positions[0]), int(positions[-1])
    if last - first + 1 == positions.size and (np.diff(positions) == 1).all():
        return slice(first, last + 1)
    return positions
