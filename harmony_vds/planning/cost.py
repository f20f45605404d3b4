"""The price of a plan: arithmetic on chunk indices and positions, exact before anything is read."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from harmony_vds.model.average import BYTES_OF_RESULT, AveragedVariable, AveragePlan
from harmony_vds.model.blocks import AHEAD_BYTES, WINDOW_BYTES, blocks
from harmony_vds.model.chunks import ChunkIndex, ChunkTally, Indices, chunk_numbers
from harmony_vds.model.limits import REQUESTS_IN_FLIGHT
from harmony_vds.model.plan import Cost, PlannedVariable
from harmony_vds.model.selection import AxisSelection
from harmony_vds.model.spans import merged_spans
from harmony_vds.model.subset import Block
from harmony_vds.model.tiles import tiles, working_bytes
from harmony_vds.planning.hierarchy import Hierarchy


def price(
    variables: Sequence[PlannedVariable],
    selection: Mapping[str, AxisSelection],
    hierarchy: Hierarchy,
    average: AveragePlan | None = None,
) -> Cost:
    """What reading and writing `variables`, cut by `selection`, costs, averaged or as they are.

    Coordinates that planning has read already cost nothing more. **Reads:** metadata.
    """
    tally = ChunkTally()
    written, held = 0, 0
    largest_chunk = 0
    for variable in variables:
        raw = hierarchy.variables[variable.path]
        kept = kept_indices(variable, raw.shape, selection)
        count = 1
        for indices in kept:
            count *= len(indices)
        own = None if average is None else average.of(variable.path)
        written += count * raw.dtype.itemsize if own is None else _result_bytes(own, variable, kept)
        if variable.path in hierarchy.held or count == 0:
            continue
        index = hierarchy.store.chunk_index(variable.path, kept)
        found = index.tally(kept)
        positions = kept_positions(variable, raw.shape, selection)
        pieces, working = _pieces(variable, positions, index, own)
        held = max(held, working)
        if (gap := hierarchy.store.merge_gap(variable.path)) >= 0:
            found = _merged(found, index, positions, pieces, gap)
        if "grid_mapping_name" in raw.attrs:
            found = replace(found, missing=0)  # CF gives such a variable attributes, not a value
        tally += found
        if found.chunks:
            largest_chunk = max(largest_chunk, found.decoded // found.chunks)
    in_flight = min(tally.chunks, REQUESTS_IN_FLIGHT) * largest_chunk
    return Cost(
        chunks=tally.chunks,
        requests=tally.requests,
        bytes_read=tally.stored,
        bytes_decoded=tally.decoded,
        bytes_written=written,
        peak_memory=held
        + in_flight
        + min(written, 2 * max(WINDOW_BYTES, largest_chunk) + AHEAD_BYTES),
        peak_disk=written,
        missing=tally.missing,
    )


def _result_bytes(own: AveragedVariable, variable: PlannedVariable, kept: Sequence[Indices]) -> int:
    """Bytes of the measures of an average."""
    stays = [
        len(indices) for dimension, indices in zip(variable.dimensions, kept, strict=True)
        if dimension not in own.along
    ]  # fmt: skip
    return math.prod(stays) * BYTES_OF_RESULT * len(own.measures)


def _pieces(
    variable: PlannedVariable, positions: Sequence[npt.NDArray[np.int64]], index: ChunkIndex,
    own: AveragedVariable | None,
) -> tuple[Sequence[Block], int]:  # fmt: skip
    """What is read at once, one after another, and the bytes that an average holds meanwhile."""
    if own is None:
        return blocks(positions, index.cuts, index.itemsize), 0
    along = [variable.dimensions.index(dimension) for dimension in own.along]
    found = tiles(positions, index.cuts, index.itemsize, along, own.bytes_of_sums)
    working = working_bytes(found, along, index.itemsize, own.bytes_of_sums)
    return [slab for tile in found for slab in tile.slabs], working


def _merged(
    tally: ChunkTally, index: ChunkIndex, positions: Sequence[npt.NDArray[np.int64]],
    pieces: Sequence[Block], gap: int,
) -> ChunkTally:  # fmt: skip
    """`tally` for a reader that merges neighbouring ranges, piece by piece as it reads."""
    requests, stored = 0, 0
    alone = index.alone
    for block in pieces:
        numbers = [
            chunk_numbers(own[piece], cut)
            for own, piece, cut in zip(positions, block, index.cuts, strict=True)
        ]
        spans = merged_spans(index, numbers, gap)
        native = alone[np.ix_(*numbers)]
        requests += len(spans) + int(native.sum())
        stored += spans.nbytes
        stored += int(index.lengths[np.ix_(*numbers)][native].sum())
    return replace(tally, requests=requests, stored=stored)


def kept_positions(
    variable: PlannedVariable, shape: Sequence[int], selection: Mapping[str, AxisSelection]
) -> list[npt.NDArray[np.int64]]:
    """Positions kept along each dimension of `variable`, in output order. **Reads:** nothing."""
    return [
        selection.get(dimension, AxisSelection.whole(size)).positions
        for dimension, size in zip(variable.dimensions, shape, strict=True)
    ]


def kept_indices(
    variable: PlannedVariable, shape: Sequence[int], selection: Mapping[str, AxisSelection]
) -> list[Indices]:
    """Sorted positions kept along each dimension of `variable`. **Reads:** nothing."""
    return [
        selection[dimension].indices if dimension in selection else range(size)
        for dimension, size in zip(variable.dimensions, shape, strict=True)
    ]
