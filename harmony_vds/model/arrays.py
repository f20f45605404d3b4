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
