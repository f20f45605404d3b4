"""The price of variables on a target grid: the chunks under each block that will be read."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from harmony_vds.errors import NoDataError
from harmony_vds.model.approach import Approach
from harmony_vds.model.asked import asked_chunks
from harmony_vds.model.chunks import ChunkIndex, ChunkKind, ChunkTally, chunk_numbers
from harmony_vds.model.plan import Cost, Mask, PlannedVariable
from harmony_vds.model.scatter import way_to
from harmony_vds.model.selection import AxisSelection
from harmony_vds.model.spans import merged_spans
from harmony_vds.model.swath import Swath
from harmony_vds.model.target import Resampling, TargetPlan, made_type
from harmony_vds.model.warp_blocks import BLOCK_BYTES, WarpBlock, warp_blocks
from harmony_vds.planning.cost import Course, in_flight, kept_positions, price
from harmony_vds.planning.hierarchy import Hierarchy

_AT_ONCE = 8
"""Blocks that are worked on at once."""
_COPIES = 6
"""Arrays of a block's size that working on it takes."""

RESAMPLED = {
    Resampling.NEAREST: 8.0e7, Resampling.BILINEAR: 1.4e7, Resampling.CUBIC: 5.0e6,
    Resampling.AVERAGE: 2.3e6, Resampling.MODE: 1.6e6, Resampling.MINIMUM: 7.0e6,
    Resampling.MAXIMUM: 7.0e6,
}  # fmt: skip
"""Cells of the target a second that one core makes."""
_SAMPLED = 1.0e7
"""Points a second at which one core looks, where values are made of points in a cell."""


def price_target(
    variables: Sequence[PlannedVariable],
    selection: Mapping[str, AxisSelection],
    hierarchy: Hierarchy,
    target: TargetPlan,
    masks: Sequence[Mask] = (),
) -> Cost:
    """What an output costs of which some variables go onto a target grid.

    A chunk under two blocks is read, and counted, for each.

    Raises
    ------
    NoDataError
        Nothing of the store lies under the target.

    **Reads:** metadata.
    """
    warps = {own.dimensions: way_to(target, own) for own in target.sources}
    moved = [own for own in variables if target.source_of(own.dimensions) is not None]
    left = [own for own in variables if own not in moved]
    rest = price(left, selection, hierarchy, Course(masks=masks))
    held = sum(own.inside.nbytes for own in masks)
    tally, written, met, largest, chunk = ChunkTally(), 0, False, 0, 0
    computing = 0.0
    for own in moved:
        source = target.source_of(own.dimensions)
        assert source is not None
        read = _read(own, selection, hierarchy, masks)
        warp = warps[source.dimensions]
        approach = Approach(warp, target.resampling_of(own.path))
        found, blocks, itemsize = _of_variable(own, approach, read, hierarchy)
        tally += found
        met |= any(block.window is not None for block in blocks)
        cells = math.prod(
            len(selection[d]) if d in selection else size
            for d, size in zip(own.dimensions, hierarchy.variables[own.path].shape, strict=True)
            if d not in source.dimensions
        ) * math.prod(target.shape)  # fmt: skip
        written += cells * itemsize
        computing += cells * seconds_a_cell(approach)
        largest = max([largest, *(_held(block, itemsize) for block in blocks)])
        chunk = max(chunk, found.decoded // max(found.chunks, 1))
    if moved and not met:
        raise NoDataError(
            f"No data lie under the target grid, which covers {target.bbox} (west, south, east, "
            "north). Ask for another extent."
        )
    axes = 8 * sum(target.shape) + 4  # coordinates, and the reference system
    working = _working(largest)
    working += sum(own.nbytes for own in target.sources if isinstance(own, Swath))
    merged = all(hierarchy.store.merge_gap(own.path) >= 0 for own in moved)
    coming = in_flight(tally, chunk, merged=merged)
    return Cost(
        chunks=rest.chunks + tally.chunks,
        requests=rest.requests + tally.requests,
        bytes_read=rest.bytes_read + tally.stored,
        bytes_decoded=rest.bytes_decoded + tally.decoded,
        bytes_written=rest.bytes_written + written + axes,
        peak_memory=max(rest.peak_memory, held + working + coming),
        peak_disk=rest.peak_disk + written + axes,
        missing=rest.missing + tally.missing,
        computing=round(rest.computing + computing, 6),
    )


def _read(
    variable: PlannedVariable,
    selection: Mapping[str, AxisSelection],
    hierarchy: Hierarchy,
    masks: Sequence[Mask],
) -> tuple[list[npt.NDArray[np.int64]], ChunkIndex]:
    """What is kept along each dimension of a variable, and where chunks with cells of it lie."""
    positions = kept_positions(variable, hierarchy.variables[variable.path].shape, selection)
    index = hierarchy.store.chunk_index(variable.path, positions)
    asked = asked_chunks(masks, variable.path, variable.dimensions, positions, index.cuts)
    return positions, index.sparing(asked)


def _of_variable(
    variable: PlannedVariable,
    approach: Approach,
    read: tuple[list[npt.NDArray[np.int64]], ChunkIndex],
    hierarchy: Hierarchy,
) -> tuple[ChunkTally, tuple[WarpBlock, ...], int]:
    """Its chunks, its blocks, and the bytes of one of its values in the output."""
    raw = hierarchy.variables[variable.path]
    positions, index = read
    made = made_type(raw.dtype, approach.method).itemsize
    axes = tuple(variable.dimensions.index(own) for own in approach.warp.source.dimensions)
    blocks = warp_blocks(approach, positions, index.cuts, axes, max(made, raw.dtype.itemsize))
    gap = hierarchy.store.merge_gap(variable.path)
    tally = ChunkTally()
    for block in blocks:
        for own in block.reads(len(positions), axes):
            kept = [axis[part] for axis, part in zip(positions, own, strict=True)]
            tally += _tally(index, kept, gap)
    return tally, blocks, made


def working_of(blocks: Sequence[WarpBlock], itemsize: int) -> int:
    """Bytes that are held while blocks of values of `itemsize` bytes are made.

    **Reads:** nothing.
    """
    return _working(max((_held(block, itemsize) for block in blocks), default=0))


def _working(largest: int) -> int:
    return min(_AT_ONCE * _COPIES * min(largest, 2 * BLOCK_BYTES), 64 * largest)


def seconds_a_cell(approach: Approach) -> float:
    """Processor seconds that a cell of the target takes. **Reads:** nothing."""
    if approach.parts > 1:
        return approach.parts**2 / _SAMPLED
    return 1.0 / RESAMPLED[approach.method]


def _tally(index: ChunkIndex, kept: Sequence[npt.NDArray[np.int64]], gap: int) -> ChunkTally:
    """What one read costs, neighbouring ranges merged."""
    found = index.tally([np.sort(own) for own in kept])
    if gap < 0:
        return found
    numbers = [chunk_numbers(np.sort(own), cut) for own, cut in zip(kept, index.cuts, strict=True)]
    spans = merged_spans(index, numbers, gap)
    alone = index.kinds_of(numbers) == ChunkKind.NATIVE
    return replace(
        found,
        requests=len(spans) + int(alone.sum()),
        stored=spans.nbytes + int(index.lengths[np.ix_(*numbers)][alone].sum()),
    )


def _held(block: WarpBlock, itemsize: int) -> int:
    depth = math.prod(own.stop - own.start for own in block.leading)
    cells = (block.rows.stop - block.rows.start) * (block.columns.stop - block.columns.start)
    return int(itemsize * depth * max(cells, 0 if block.window is None else block.window.cells))
