"""The variables of an output before they are read: lazy, with the pieces to read them in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from harmony_vds.model.chunks import ChunkIndex
from harmony_vds.model.plan import PlannedVariable
from harmony_vds.model.stored import RawChunks

if TYPE_CHECKING:
    import xarray as xr

type Block = tuple[slice, ...]
"""A box in the index space of an output variable, one slice per dimension."""
type Wanted = tuple[str, Block, bool]
"""A piece: full path of its variable, where it lies, and whether its chunks are wanted as stored.
"""


class Turn(Protocol):
    """Some pieces that are being read in another process."""

    def take(self, number: int) -> Any:
        """The values of a piece, once each, as `SubsetVariable.read` gives them.

        **Reads:** chunks.
        """

    @property
    def is_over(self) -> bool:
        """Whether all has been taken. **Reads:** nothing."""

    def give_up(self) -> None:
        """Have it no longer read. **Reads:** nothing."""


class Elsewhere(Protocol):
    """Other processes that read pieces in place of this one."""

    @property
    def at_once(self) -> int:
        """Turns that may be begun before the first of them is taken. **Reads:** nothing."""

    def begin(self, wanted: Sequence[Wanted]) -> Turn:
        """Have some pieces read that come from one pass over the chunks. **Reads:** chunks."""


@dataclass(frozen=True, eq=False)
class References:
    """Where the stored chunks of a variable lie, for an output that points to them."""

    index: ChunkIndex
    """Chunks of the whole array, or pieces of the kept ones."""
    numbers: tuple[npt.NDArray[np.int64], ...]
    """For each dimension the numbers of the kept chunks, in output order."""
    layout: Any
    """The array's Zarr metadata: type, codecs and fill value; the shape of chunks is `index`'s."""


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
    elsewhere: Elsewhere | None = None
    """Who reads its pieces, where this process should not."""

    def read(self, block: Block, *, stored: bool = False) -> Any:
        """The values of a piece; or its chunks by their numbers, if wanted as `stored`.

        Errors as the stages raise them. **Reads:** chunks.
        """
        if stored and self.raw is not None:
            return self.raw.read(block)
        return self.data[block].values

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
