"""The price of a plan: arithmetic on chunk indices and positions, exact before anything is read."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from harmony_vds.model.average import AveragedVariable, AveragePlan
from harmony_vds.model.blocks import (
    AHEAD_BYTES,
    ENCODING_BYTES,
    PARTS_BYTES,
    WINDOW_BYTES,
    Edges,
    edges_of_blocks,
    reads_of,
)
from harmony_vds.model.chunks import ChunkIndex, ChunkKind, ChunkTally, Indices, chunk_numbers
from harmony_vds.model.limits import BYTES_IN_FLIGHT, DECODERS, REQUESTS_IN_FLIGHT
from harmony_vds.model.masking import asked_chunks
from harmony_vds.model.place_reads import PlaceReads
from harmony_vds.model.places import Placement, placement_for
from harmony_vds.model.plan import Cost, Mask, PlannedVariable
from harmony_vds.model.scratch import waiting_bytes
from harmony_vds.model.selection import AxisSelection
from harmony_vds.model.spans import merged_spans, merged_totals
from harmony_vds.model.target import Resampling, made_type
from harmony_vds.model.tiles import TileEdges
from harmony_vds.planning.hierarchy import Hierarchy
from harmony_vds.planning.layered_reads import LayeredReads


@dataclass(frozen=True, eq=False)
class Course:
    """What becomes of variables once they are cut."""

    average: AveragePlan | None = None
    """What is averaged."""
    placements: tuple[Placement, ...] = ()
    """The cells that answer for places."""
    masks: tuple[Mask, ...] = ()
    """What is blanked."""

    @property
    def nbytes(self) -> int:
        """Bytes held for weights and masks. **Reads:** nothing."""
        held = sum(own.inside.nbytes for own in self.masks)
        return held + (0 if self.average is None else self.average.nbytes)

    def averaged(self, path: str) -> AveragedVariable | None:
        """How the variable at `path` is averaged; None if it is not. **Reads:** nothing."""
        return None if self.average is None else self.average.of(path)


STRAIGHT = Course()
"""Nothing at all."""

AVERAGED = 5.0e7
"""Cells a second that one core adds up."""
_DECODED_BYTES = 16
"""Of each place that was decoded: the number, and what looking for cells among them takes."""


@dataclass(frozen=True, eq=False)
class _Reading:
    """What reading one variable takes."""

    tally: ChunkTally
    """Its chunks."""
    merged: bool
    """Whether the planned reader reads it."""
    working: int
    """Bytes that making its values holds meanwhile."""
    waiting: int
    """Bytes that wait on disk until they are written."""
    averaged: int
    """Cells that are added up."""


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
    written = 0
    reads = []
    for variable in variables:
        raw = hierarchy.variables[variable.path]
        kept = kept_indices(variable, raw.shape, selection)
        count, nbytes = _written(variable, raw.dtype, kept, course)
        written += nbytes
        if variable.path not in hierarchy.held and count:
            reads.append(_reading(variable, selection, hierarchy, course))
    tally = sum((own.tally for own in reads), ChunkTally())
    chunk = max((own.tally.largest for own in reads), default=0)
    coming = in_flight(tally, chunk, merged=all(own.merged for own in reads))
    return Cost(
        chunks=tally.chunks,
        requests=tally.requests,
        bytes_read=tally.stored,
        bytes_decoded=tally.decoded,
        bytes_written=written,
        peak_memory=course.nbytes
        + _places_held(hierarchy)
        + max((own.working for own in reads), default=0)
        + coming
        + _writing_bytes(written, chunk, in_parts=any(own.waiting for own in reads)),
        peak_disk=written + sum(own.waiting for own in reads),
        missing=tally.missing,
        computing=round(sum(own.averaged for own in reads) / AVERAGED, 6),
    )


def _written(
    variable: PlannedVariable, dtype: np.dtype[Any], kept: Sequence[Indices], course: Course
) -> tuple[int, int]:
    """Cells that make the output of a variable stored as `dtype`, and its bytes."""
    placement = placement_for(variable.dimensions, course.placements)
    count = 1 if placement is None else len(placement)
    for dimension, indices in zip(variable.dimensions, kept, strict=True):
        count *= 1 if placement and dimension in placement.dimensions else len(indices)
    own = course.averaged(variable.path)
    if own is not None:
        return count, _result_bytes(own, variable, kept)
    between = placement is not None and placement.has_between(variable.path)
    made = made_type(dtype, Resampling.BILINEAR) if between else dtype
    return count, count * made.itemsize


def _reading(
    variable: PlannedVariable,
    selection: Mapping[str, AxisSelection],
    hierarchy: Hierarchy,
    course: Course,
) -> _Reading:
    """What reading what is kept of one variable takes."""
    path, raw = variable.path, hierarchy.variables[variable.path]
    kept = kept_indices(variable, raw.shape, selection)
    positions = kept_positions(variable, raw.shape, selection)
    index = hierarchy.store.chunk_index(path, kept)
    gap = hierarchy.store.merge_gap(path)
    index = index.sparing(
        asked_chunks(course.masks, path, variable.dimensions, positions, index.cuts)
    )
    own = course.averaged(path)
    placement = placement_for(variable.dimensions, course.placements)
    waiting = 0
    if placement is None:
        pieces, working = _pieces(variable, positions, index, own)
        found = index.tally(kept)
        found = _merged(found, index, positions, pieces, gap) if gap >= 0 else found
        waiting = 0 if own else waiting_bytes(positions, index.cuts, raw.dtype.itemsize)
    else:
        working = WINDOW_BYTES if placement.has_between(path) else 0
        found = _at_places(variable, index, positions, placement.reading(path), gap)
    if "grid_mapping_name" in raw.attrs:
        found = replace(found, missing=0)  # CF gives such a variable attributes, not a value
    averaged = 0 if own is None else math.prod(len(indices) for indices in kept)
    return _Reading(found, gap >= 0, working, waiting, averaged)


def _writing_bytes(written: int, chunk: int, *, in_parts: bool) -> int:
    """Bytes at most of pieces from when they are read until they are written.

    Parameters
    ----------
    written
        All of them.
    chunk
        Bytes of the largest chunk of the store, decoded.
    in_parts
        Whether chunks of the output are put together from parts: these wait, and keep the piece
        that they were cut from; and what becomes of them may be as large again.

    **Reads:** nothing.
    """
    window = max(WINDOW_BYTES, chunk)
    held = min(written, max(AHEAD_BYTES, chunk) + window + ENCODING_BYTES)
    return held + (min(written, PARTS_BYTES + window + ENCODING_BYTES) if in_parts else 0)


def _places_held(hierarchy: Hierarchy) -> int:
    """Bytes of the latitudes and longitudes of all cells that planning has read, and decoded."""
    read = [hierarchy.variables[path] for path in hierarchy.held]
    return sum(own.size * (own.dtype.itemsize + _DECODED_BYTES) for own in read if own.ndim > 1)


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
        Others hold each chunk twice, as it is stored and decoded.

    **Reads:** nothing.
    """
    if not merged:
        coming = min(tally.chunks, REQUESTS_IN_FLIGHT) * chunk
        return coming + min(tally.stored, coming)
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
    found = TileEdges.of(positions, index.cuts, index.itemsize, along, own.bytes_of_sums)
    return found.all_slabs, found.working_bytes(index.itemsize, own.bytes_of_sums)


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
    places = PlaceReads.of(placement, variable.dimensions, positions, index.cuts, index.itemsize)
    reads = LayeredReads(index, positions, places.axes, gap)
    found = (reads.under(own.positions, places.layers) for own in places.groups)
    return sum(found, ChunkTally())


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
