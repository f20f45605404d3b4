"""The price of a plan: arithmetic on chunk indices and positions, exact before anything is read."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from harmony_vds.model.blocks import AHEAD_BYTES, WINDOW_BYTES, blocks
from harmony_vds.model.chunks import ChunkIndex, ChunkTally, Indices, chunk_numbers
from harmony_vds.model.limits import REQUESTS_IN_FLIGHT
from harmony_vds.model.plan import Cost, PlannedVariable
from harmony_vds.model.selection import AxisSelection
from harmony_vds.model.spans import merged_spans
from harmony_vds.planning.hierarchy import Hierarchy


def price(
    variables: Sequence[PlannedVariable],
    selection: Mapping[str, AxisSelection],
    hierarchy: Hierarchy,
) -> Cost:
    """What reading and writing `variables`, cut by `selection`, costs.

    Coordinates that planning has read already cost nothing more. **Reads:** metadata.
    """
    tally = ChunkTally()
    written = 0
    largest_chunk = 0
    for variable in variables:
        raw = hierarchy.variables[variable.path]
        kept = kept_indices(variable, raw.shape, selection)
        count = 1
        for indices in kept:
            count *= len(indices)
        written += count * raw.dtype.itemsize
        if variable.path in hierarchy.held or count == 0:
            continue
        index = hierarchy.store.chunk_index(variable.path, kept)
        found = index.tally(kept)
        if (gap := hierarchy.store.merge_gap(variable.path)) >= 0:
            positions = kept_positions(variable, raw.shape, selection)
            found = _merged(found, index, positions, gap)
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
        peak_memory=min(written, 2 * max(WINDOW_BYTES, largest_chunk) + AHEAD_BYTES) + in_flight,
        peak_disk=written,
        missing=tally.missing,
    )


def _merged(
    tally: ChunkTally, index: ChunkIndex, positions: Sequence[npt.NDArray[np.int64]], gap: int
) -> ChunkTally:
    """`tally` for a reader that merges neighbouring ranges, block by block as it reads."""
    requests, stored = 0, 0
    alone = index.alone
    for block in blocks(positions, index.cuts, index.itemsize):
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
