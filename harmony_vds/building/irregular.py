"""Arrays whose chunks differ in length from granule to granule, each granule's whole chunks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from virtualizarr.manifests import ManifestArray

from harmony_vds.building.chunk_grids import Lengths, regular_lengths
from harmony_vds.errors import StoreError


@dataclass(frozen=True, eq=False)
class Irregular:
    """One variable in pieces, one after another along an axis."""

    pieces: tuple[ManifestArray, ...]
    """The granules' own arrays."""
    axis: int
    """Along which they follow each other."""
    variable: xr.Variable
    """The first piece, with its dimensions and attributes."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the whole. **Reads:** nothing."""
        first, axis = self.pieces[0].shape, self.axis
        return (*first[:axis], sum(own.shape[axis] for own in self.pieces), *first[axis + 1 :])

    @property
    def lengths(self) -> Lengths:
        """Length of each chunk along each axis. **Reads:** nothing."""
        found = regular_lengths(self.shape, self.pieces[0].metadata.chunks)
        found[self.axis] = [
            length for own in self.pieces
            for length in regular_lengths(own.shape, own.metadata.chunks)[self.axis]
        ]  # fmt: skip
        return found


def as_irregular(
    parts: Sequence[xr.Dataset], along: str, names: Sequence[str]
) -> dict[str, Irregular]:
    """The variables that regular chunks cannot hold, because granules differ in length.

    Raises
    ------
    StoreError
        A granule does not end where a chunk of its own ends: no grid of chunks holds them.

    **Reads:** nothing.
    """
    found = {}
    for key, variable in parts[0].variables.items():
        if along not in variable.dims or not isinstance(variable.data, ManifestArray):
            continue
        axis = variable.dims.index(along)
        arrays: list[Any] = [own.variables[key].data for own in parts]
        steps = [own.metadata.chunks[axis] for own in arrays]
        ends = [own.shape[axis] % step for own, step in zip(arrays, steps, strict=True)]
        if len(set(steps)) == 1 and not any(ends[:-1]):
            continue
        odd = next((number for number, own in enumerate(ends) if own), None)
        if odd is not None:
            raise StoreError(
                f"{names[odd]} has {arrays[odd].shape[axis]} steps of {key} in chunks of "
                f"{steps[odd]}: its last chunk is not full, and no store can put another granule's "
                "steps behind it. Join granules of whole chunks, or leave the variable out."
            )
        _refuse_other_storage(str(key), arrays, axis, names)
        found[str(key)] = Irregular(tuple(arrays), axis, variable)
    return found


def _refuse_other_storage(
    key: str, arrays: Sequence[ManifestArray], axis: int, names: Sequence[str]
) -> None:
    """Raise if the arrays of later granules are stored otherwise than the first."""
    first = arrays[0]
    for own, name in zip(arrays[1:], names[1:], strict=True):
        one, two = first.metadata, own.metadata
        around = [
            [n for number, n in enumerate(own) if number != axis]
            for own in (first.shape, own.shape, one.chunks, two.chunks)
        ]
        floats = first.dtype.kind == "f"
        alike = (
            one.data_type == two.data_type and one.codecs == two.codecs
            and np.array_equal(one.fill_value, two.fill_value, equal_nan=floats)
            and around[0] == around[1] and around[2] == around[3]
        )  # fmt: skip
        if not alike:
            raise StoreError(f"{name} stores {key} otherwise than the first granule: {two}.")
