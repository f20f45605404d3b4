"""The price of a plan: arithmetic on chunk indices and positions, exact before anything is read."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from harmony_vds.model.chunks import ChunkTally, Indices
from harmony_vds.model.plan import Cost, PlannedVariable
from harmony_vds.model.selection import AxisSelection
from harmony_vds.planning.hierarchy import Hierarchy

WINDOW_BYTES = 64 * 2**20
"""Bytes of output that are read, held and written at once."""
_CHUNKS_IN_FLIGHT = 64


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
        found = hierarchy.store.chunk_index(variable.path).tally(kept)
        if "grid_mapping_name" in raw.attrs:
            found = replace(found, missing=0)  # CF gives such a variable attributes, not a value
        tally += found
        if found.chunks:
            largest_chunk = max(largest_chunk, found.decoded // found.chunks)
    in_flight = min(tally.chunks, _CHUNKS_IN_FLIGHT) * largest_chunk
    return Cost(
        chunks=tally.chunks,
        requests=tally.requests,
        bytes_read=tally.stored,
        bytes_decoded=tally.decoded,
        bytes_written=written,
        peak_memory=2 * min(written, max(WINDOW_BYTES, largest_chunk)) + in_flight,
        peak_disk=written,
        missing=tally.missing,
    )


def kept_indices(
    variable: PlannedVariable, shape: Sequence[int], selection: Mapping[str, AxisSelection]
) -> list[Indices]:
    """Sorted positions kept along each dimension of `variable`. **Reads:** nothing."""
    return [
        selection[dimension].indices if dimension in selection else range(size)
        for dimension, size in zip(variable.dimensions, shape, strict=True)
    ]
