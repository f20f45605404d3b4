"""The price of a plan: arithmetic on chunk indices and positions, exact before anything is read."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import numpy.typing as npt

from harmony_vds.model.asked import asked_chunks
from harmony_vds.model.average import AveragedVariable, AveragePlan
from harmony_vds.model.blocks import (
    AHEAD_BYTES,
    WINDOW_BYTES,
    Edges,
    edges_of,
    edges_of_blocks,
    reads_of,
)
from harmony_vds.model.chunks import ChunkIndex, ChunkKind, ChunkTally, Indices, chunk_numbers
from harmony_vds.model.limits import BYTES_IN_FLIGHT, DECODERS, REQUESTS_IN_FLIGHT
from harmony_vds.model.place_reads import PlaceReads
from harmony_vds.model.places import Placement, placement_for
from harmony_vds.model.plan import Cost, Mask, PlannedVariable
from harmony_vds.model.scratch import waiting_bytes
from harmony_vds.model.selection import AxisSelection
from harmony_vds.model.spans import merged_spans, merged_totals
from harmony_vds.model.target import Resampling, made_type
from harmony_vds.model.tiles import tiles, working_bytes
from harmony_vds.planning.hierarchy import Hierarchy


@dataclass(frozen=True, eq=False)
class Course:
    """What becomes of variables once they are cut."""

    average: AveragePlan | None = None
    """What is averaged."""
    placements: Sequence[Placement] = ()
    """The cells that answer for places."""
    masks: Sequence[Mask] = ()
    """What is blanked."""


STRAIGHT = Course()
"""Nothing at all."""

AVERAGED = 5.0e7
"""Cells a second that one core adds up."""


def price(
    variables: Sequence[PlannedVariable],
    selection: Mapping[str, AxisSelection],
    hierarchy: Hierarchy,
    course: Course = STRAIGHT,
) -> Cost:
    """What reading and writing `variables`, cut by `selection`, costs, averaged or as they are.

    Of variables on the grid of a placement only its cells are read, and of those under a mask only
    chunks with a cell inside. Coordinates that planning has read already cost nothing
    more. **Reads:** metadata.
    """
    average, masks = course.average, course.masks
    tally = ChunkTally()
    written = 0
    held = sum(own.inside.nbytes for own in masks) + (0 if average is None else average.nbytes)
    largest_chunk = working_most = waiting = 0
    merged, averaged = True, 0
    for variable in variables:
        raw = hierarchy.variables[variable.path]
        kept = kept_indices(variable, raw.shape, selection)
        placement = placement_for(variable.dimensions, course.placements)
        count = 1 if placement is None else len(placement)
        for dimension, indices in zip(variable.dimensions, kept, strict=True):
            count *= 1 if placement and dimension in placement.dimensions else len(indices)
        own = None if average is None else average.of(variable.path)
        between = placement is not None and placement.has_between(variable.path)
        made = made_type(raw.dtype, Resampling.BILINEAR) if between else raw.dtype
        written += count * made.itemsize if own is None else _result_bytes(own, variable, kept)
        if variable.path in hierarchy.held or count == 0:
            continue
        index = hierarchy.store.chunk_index(variable.path, kept)
        gap = hierarchy.store.merge_gap(variable.path)
        merged &= gap >= 0
        averaged += 0 if own is None else math.prod(len(indices) for indices in kept)
        positions = kept_positions(variable, raw.shape, selection)
        index = index.sparing(
            asked_chunks(masks, variable.path, variable.dimensions, positions, index.cuts)
        )
        if placement is None:
            pieces, working = _pieces(variable, positions, index, own)
            working_most = max(working_most, working)
            found = index.tally(kept)
            found = _merged(found, index, positions, pieces, gap) if gap >= 0 else found
            waiting += 0 if own else waiting_bytes(positions, index.cuts, raw.dtype.itemsize)
        else:
            cells = placement.reading(variable.path)
            working_most = max(working_most, WINDOW_BYTES if between else 0)
            found = _at_places(variable, index, positions, cells, gap)
        if "grid_mapping_name" in raw.attrs:
            found = replace(found, missing=0)  # CF gives such a variable attributes, not a value
        tally += found
        if found.chunks:
            largest_chunk = max(largest_chunk, found.decoded // found.chunks)
    return Cost(
        chunks=tally.chunks,
        requests=tally.requests,
        bytes_read=tally.stored,
        bytes_decoded=tally.decoded,
        bytes_written=written,
        peak_memory=held
        + working_most
        + in_flight(tally, largest_chunk, merged=merged)
        + min(written, max(AHEAD_BYTES, largest_chunk) + max(WINDOW_BYTES, largest_chunk)),
        peak_disk=written + waiting,
        missing=tally.missing,
        computing=round(averaged / AVERAGED, 6),
    )


def in_flight(tally: ChunkTally, chunk: int, *, merged: bool) -> int:
    """Bytes at most of chunks that are on their way or being decoded.

    Parameters
    ----------
    tally
        What is read.
    chunk
        Bytes of the largest chunk, decoded.
    merged
        Whether the planned reader reads all of it: it decodes into the result, and few at once.

    **Reads:** nothing.
    """
    if not merged:
        return min(tally.chunks, REQUESTS_IN_FLIGHT) * chunk
    return min(tally.stored, max(BYTES_IN_FLIGHT, chunk)) + min(tally.chunks, DECODERS) * chunk


def _result_bytes(own: AveragedVariable, variable: PlannedVariable, kept: Sequence[Indices]) -> int:
    """Bytes of the measures of an average."""
    stays = [
        len(indices) for dimension, indices in zip(variable.dimensions, kept, strict=True)
        if dimension not in own.along
    ]  # fmt: skip
    return math.prod(stays) * own.bytes_of_results


def _pieces(
    variable: PlannedVariable, positions: Sequence[npt.NDArray[np.int64]], index: ChunkIndex,
    own: AveragedVariable | None,
) -> tuple[Edges, int]:  # fmt: skip
    """What is read at once, one after another, and the bytes that an average holds meanwhile."""
    if own is None:
        return edges_of_blocks(positions, index.cuts, index.itemsize), 0
    along = [variable.dimensions.index(dimension) for dimension in own.along]
    found = tiles(positions, index.cuts, index.itemsize, along, own.bytes_of_sums)
    working = working_bytes(found, along, index.itemsize, own.bytes_of_sums)
    return edges_of([slab for tile in found for slab in tile.slabs]), working


def doubts(variables: Sequence[PlannedVariable], hierarchy: Hierarchy) -> list[str]:
    """What keeps the price from being exact, in words. **Reads:** nothing."""
    asked = [own.path for own in variables if own.path not in hierarchy.held]
    found = [(path, hierarchy.store.doubt(path)) for path in asked]
    return [f"The price of {path} is an upper bound: {why}." for path, why in found if why]


def _merged(
    tally: ChunkTally, index: ChunkIndex, positions: Sequence[npt.NDArray[np.int64]],
    pieces: Edges, gap: int,
) -> ChunkTally:  # fmt: skip
    """`tally` for a reader that merges neighbouring ranges, piece by piece as it reads."""
    requests, stored = 0, 0
    apart = reads_of(pieces, positions, index.cuts) if positions and len(pieces) else None
    if apart is not None:
        native = index.kinds_of(apart[0]) == ChunkKind.NATIVE
        requests, stored = merged_totals(index, *apart, gap)
        return replace(
            tally,
            requests=requests + int(native.sum()),
            stored=stored + int(index.lengths[np.ix_(*apart[0])][native].sum()),
        )
    for block in pieces.tolist():
        parts = [own[first:stop] for own, (first, stop) in zip(positions, block, strict=True)]
        more, nbytes = _one_read(index, parts, gap)
        requests, stored = requests + more, stored + nbytes
    return replace(tally, requests=requests, stored=stored)


def _one_read(
    index: ChunkIndex, positions: Sequence[npt.NDArray[np.int64]], gap: int
) -> tuple[int, int]:
    """Requests and bytes of one read that merges neighbouring ranges."""
    numbers = [chunk_numbers(own, cut) for own, cut in zip(positions, index.cuts, strict=True)]
    spans = merged_spans(index, numbers, gap)
    native = index.kinds_of(numbers) == ChunkKind.NATIVE
    lengths = index.lengths[np.ix_(*numbers)]
    return len(spans) + int(native.sum()), spans.nbytes + int(lengths[native].sum())


def _at_places(
    variable: PlannedVariable,
    index: ChunkIndex,
    positions: Sequence[npt.NDArray[np.int64]],
    placement: Placement,
    gap: int,
) -> ChunkTally:
    """The tally of the cells of `placement` alone, window by window as they are read."""
    reads = PlaceReads.of(placement, variable.dimensions, positions, index.cuts, index.itemsize)
    tally = ChunkTally()
    for group, window in product(reads.groups, reads.windows):
        pieces = reads.positions(group, window)
        found = index.tally([np.sort(own) for own in pieces])
        if gap >= 0:
            requests, stored = _one_read(index, pieces, gap)
            found = replace(found, requests=requests, stored=stored)
        tally += found
    return tally


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
