"""The variables of an output before they are read: lazy, with the pieces to read them in."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from harmony_vds.model.chunks import ChunkIndex
from harmony_vds.model.plan import PlannedVariable
from harmony_vds.model.stored import RawChunks

if TYPE_CHECKING:
    import xarray as xr

type Block = tuple[slice, ...]
"""A box in the index space of an output variable, one slice per dimension."""


@dataclass(frozen=True, eq=False)
class References:
    """Where the stored chunks of a variable lie, for an output that points to them."""

    index: ChunkIndex
    """Chunks of the whole array."""
    numbers: tuple[npt.NDArray[np.int64], ...]
    """For each dimension the numbers of the kept chunks, in output order."""
    layout: Any
    """The array's Zarr metadata: type, chunk shape, codecs and fill value."""


@dataclass(frozen=True, eq=False)
class SubsetVariable:
    """One variable of the output, cut but not yet read."""

    planned: PlannedVariable
    """Its place in the plan."""
    data: "xr.Variable"
    """Lazy, raw values as stored, with their attributes."""
    chunk_shape: tuple[int, ...]
    """Shape of the store's chunks."""
    blocks: tuple[Block, ...]
    """Pieces to read one after another; each chunk of the store lies in exactly one."""
    references: References | None = None
    """Its chunks, where the output is to point to them; it is then not read."""
    together: str = ""
    """Neighbours of the same name here come from one pass over the chunks and have the same pieces:
    they are best read side by side, piece by piece. Empty for all others."""
    held: int = 0
    """Bytes held while one of the pieces is computed, beside the piece itself."""
    raw: RawChunks | None = None
    """Its chunks as stored, where values are those of the store; see `copyable`."""

    @property
    def copyable(self) -> RawChunks | None:
        """Chunks that hold exactly the values of `data`: none once a step has changed them.

        **Reads:** nothing.
        """
        return self.raw if self.raw is not None and self.raw.data is self.data else None


@dataclass(frozen=True, eq=False)
class Subset:
    """Everything that goes into one output."""

    variables: tuple[SubsetVariable, ...]
    """In the store's order."""
    groups: Mapping[str, Mapping[str, Any]]
    """Full path → attributes, for each group that holds a variable, and the root."""
    time_axes: frozenset[str]
    """Dimensions that records are added along: unlimited in the output."""
