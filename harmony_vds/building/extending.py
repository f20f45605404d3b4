"""Chunks of new granules behind those that an array of a repository refers to."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import zarr
from virtualizarr.manifests import ManifestArray
from virtualizarr.writers.icechunk import write_manifest_to_icechunk

from harmony_vds.building.chunk_grids import lengths_of, regular_lengths, set_grid
from harmony_vds.building.encodings import decoding
from harmony_vds.building.repository import just_now
from harmony_vds.errors import StoreError
from harmony_vds.model.paths import group_of, name_of


def extend(store: Any, path: str, array: Any, axis: int, pieces: Sequence[ManifestArray]) -> None:
    """Put `pieces` behind the chunks of the array at `path`, one after another along `axis`.

    Where their chunks are of another length, the array's chunks are of lengths of their own from
    then on.

    Raises
    ------
    StoreError
        They are stored in another way, or the array's last chunk is not full.

    **Reads:** metadata.
    """
    name, lengths = name_of(path), lengths_of(array)
    if sum(lengths[axis]) != array.shape[axis]:
        raise StoreError(
            f"The store's last chunk of {name} is not full, and no new granule can follow it; "
            "build the store anew."
        )
    firsts = []
    for number, piece in enumerate(pieces):
        own = regular_lengths(piece.shape, piece.metadata.chunks)
        _refuse_other_storage(array, piece, axis, name)
        if sum(own[axis]) != piece.shape[axis] and number + 1 < len(pieces):
            raise StoreError(
                f"A new granule ends within a chunk of {name}, and no other can follow it; build "
                "the store anew without it."
            )
        firsts.append(len(lengths[axis]))
        lengths[axis] += own[axis]
    shape = list(array.shape)
    shape[axis] += sum(piece.shape[axis] for piece in pieces)
    set_grid(store, path, shape, lengths)
    group = zarr.open_group(store, path=group_of(path).strip("/"), mode="r+", zarr_format=3)
    for first, piece in zip(firsts, pieces, strict=True):
        offsets = tuple(first if n == axis else 0 for n in range(len(shape)))
        write_manifest_to_icechunk(store, group, name, piece.manifest, offsets, just_now())


def _refuse_other_storage(array: Any, piece: ManifestArray, axis: int, name: str) -> None:
    """Raise if `piece` could not stand in `array`: other chunks, type, filters, fill or size."""
    ours: Any = array.metadata
    theirs: Any = piece.metadata
    before = [own for n, own in enumerate(lengths_of(array)) if n != axis]
    after = regular_lengths(piece.shape, theirs.chunks)
    fills = np.array_equal(ours.fill_value, theirs.fill_value, equal_nan=piece.dtype.kind in "fc")
    told = {
        "size": _around(array.shape, axis) != _around(piece.shape, axis),
        "chunks": before != [own for n, own in enumerate(after) if n != axis],
        "type": ours.data_type != theirs.data_type,
        "filters": decoding(ours.codecs) != decoding(theirs.codecs),
        "fill value": not fills,
    }
    if any(told.values()):
        odd = " and ".join(what for what, differs in told.items() if differs)
        raise StoreError(
            f"The new granules do not fit to the store: their {name} differs in {odd}; build a "
            "store of their own of them."
        )


def _around(shape: Sequence[int], axis: int) -> tuple[int, ...]:
    return (*shape[:axis], *shape[axis + 1 :])
