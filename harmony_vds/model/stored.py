"""Chunks as they are stored, for outputs that can take them without compressing them anew."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import xarray as xr

type Held = bytes | memoryview | npt.NDArray[Any]
"""A whole chunk as it is stored, every byte of it proven by decoding; or, of a chunk that is cut or
that the manifest does not hold, the values inside the selection."""


class StoredArray(Protocol):
    """One array of a store whose chunks have one shape."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of its elements, byte order included."""

    @property
    def chunk_shape(self) -> tuple[int, ...]:
        """Shape of its chunks, those at its end included, which are stored whole."""

    @property
    def codecs(self) -> tuple[Mapping[str, Any], ...]:
        """How its chunks are encoded, in this order, as numcodecs spells it."""

    def read_stored(
        self, positions: Sequence[npt.NDArray[np.int64]]
    ) -> Mapping[tuple[int, ...], Held]:
        """The chunks of a box by their numbers.

        Parameters
        ----------
        positions
            Contiguous and rising along each dimension.

        Raises
        ------
        StoreError, ForbiddenError, UpstreamError
            A chunk cannot be fetched, or is damaged.

        **Reads:** chunks.
        """


@dataclass(frozen=True, eq=False)
class RawChunks:
    """The stored chunks of a variable that was cut and not otherwise changed."""

    data: "xr.Variable"
    """The values that they hold; of a variable with any other, they say nothing."""
    array: StoredArray
    """Where they come from."""
    positions: tuple[npt.NDArray[np.int64], ...]
    """Stored positions along each dimension, in output order."""

    def fits(self, block: tuple[slice, ...]) -> bool:
        """Whether the chunks of the output at `block` are those of the store.

        The output's chunks have the shape of the store's. **Reads:** nothing.
        """
        for span, kept, chunk in zip(block, self.positions, self.array.chunk_shape, strict=True):
            inside = kept[span]
            if not inside.size or span.start % chunk or inside[0] % chunk:
                return False
            if span.stop % chunk and span.stop != kept.size:
                return False
            if inside.size > 1 and not (np.diff(inside) == 1).all():
                return False
        return True

    def read(self, block: tuple[slice, ...]) -> dict[tuple[int, ...], Held]:
        """The output's chunks at a block that `fits`, by their numbers in the output.

        Errors as in `StoredArray.read_stored`. **Reads:** chunks.
        """
        inside = [kept[span] for span, kept in zip(block, self.positions, strict=True)]
        shift = [
            (span.start - int(own[0])) // chunk
            for span, own, chunk in zip(block, inside, self.array.chunk_shape, strict=True)
        ]
        found = self.array.read_stored(inside)
        return {
            tuple(n + by for n, by in zip(numbers, shift, strict=True)): held
            for numbers, held in sorted(found.items())
        }
