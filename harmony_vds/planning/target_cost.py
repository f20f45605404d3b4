"""The price of variables on a target grid: the chunks under each block that will be read."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from harmony_vds.errors import NoDataError
from harmony_vds.model.approach import Approach, Approaches
from harmony_vds.model.chunks import ChunkTally
from harmony_vds.model.masking import asked_chunks
from harmony_vds.model.plan import Cost, Mask, PlannedVariable
from harmony_vds.model.selection import AxisSelection
from harmony_vds.model.swath import Swath
from harmony_vds.model.target import Resampling, TargetPlan, made_type
from harmony_vds.model.warp_blocks import BLOCK_BYTES, Rectangle, rectangles
from harmony_vds.planning.cost import Course, in_flight, kept_positions, price
from harmony_vds.planning.hierarchy import Hierarchy
from harmony_vds.planning.layered_reads import LayeredReads

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


@dataclass(frozen=True, eq=False)
class Making:
    """What making one variable on a target takes."""

    approach: Approach
    """How its values are made."""
    rectangles: Sequence[Rectangle]
    """In which pieces."""
    cells: int
    """How many values it has."""
    itemsize: int
    """Bytes of one of them."""
    tally: ChunkTally = field(default_factory=ChunkTally)
    """What is read for it; nothing where what it is made of is held."""

    @property
    def is_met(self) -> bool:
        """Whether anything of the store lies under the target. **Reads:** nothing."""
        return any(own.window is not None for own in self.rectangles)

    @property
    def written(self) -> int:
        """Bytes of all its values. **Reads:** nothing."""
        return self.cells * self.itemsize

    @property
    def computing(self) -> float:
        """Processor seconds. **Reads:** nothing."""
        return self.cells * _seconds_a_cell(self.approach)

    @property
    def largest(self) -> int:
        """Bytes of the largest piece, or of what it needs. **Reads:** nothing."""
        return max((own.deepest * own.cells for own in self.rectangles), default=0) * self.itemsize


@dataclass(frozen=True, eq=False)
class _Makings:
    """Variables of a store that go onto a target."""

    selection: Mapping[str, AxisSelection]
    hierarchy: Hierarchy
    masks: Sequence[Mask]
    approaches: Approaches

    def of(self, variable: PlannedVariable) -> Making | None:
        """What making `variable` takes; None if it stays as it is."""
        approach = self.approaches.of(variable.path, variable.dimensions)
        if approach is None:
            return None
        raw = self.hierarchy.variables[variable.path]
        positions = kept_positions(variable, raw.shape, self.selection)
        index = self.hierarchy.store.chunk_index(variable.path, positions)
        index = index.sparing(
            asked_chunks(self.masks, variable.path, variable.dimensions, positions, index.cuts)
        )
        axes = tuple(variable.dimensions.index(own) for own in approach.warp.source.dimensions)
        itemsize = made_type(raw.dtype, approach.method).itemsize
        found = rectangles(approach, positions, index.cuts, axes, max(itemsize, raw.dtype.itemsize))
        gap = self.hierarchy.store.merge_gap(variable.path)
        reads = LayeredReads(index, positions, axes, gap)
        tally = sum((_under(own, reads) for own in found), ChunkTally())
        deep = math.prod(len(own) for axis, own in enumerate(positions) if axis not in axes)
        cells = deep * math.prod(self.approaches.target.size)
        return Making(approach, found, cells, itemsize, tally)


def price_target(
    variables: Sequence[PlannedVariable],
    selection: Mapping[str, AxisSelection],
    hierarchy: Hierarchy,
    target: TargetPlan,
    masks: tuple[Mask, ...] = (),
) -> Cost:
    """What an output costs of which some variables go onto a target grid.

    A chunk under two blocks is read, and counted, for each.

    Raises
    ------
    NoDataError
        Nothing of the store lies under the target.

    **Reads:** metadata.
    """
    found = _Makings(selection, hierarchy, masks, Approaches(target))
    made = {own.path: making for own in variables if (making := found.of(own)) is not None}
    left = [own for own in variables if own.path not in made]
    rest = price(left, selection, hierarchy, Course(masks=masks))
    refuse_unmet(list(made.values()), target)
    tally = sum((own.tally for own in made.values()), ChunkTally())
    chunk = max((own.tally.largest for own in made.values()), default=0)
    axes = 8 * sum(target.size) + 4  # coordinates, and the reference system
    written = sum(own.written for own in made.values()) + axes
    held = sum(own.inside.nbytes for own in masks) + working_of(list(made.values()))
    held += sum(own.nbytes for own in target.sources if isinstance(own, Swath))
    merged = all(hierarchy.store.merge_gap(path) >= 0 for path in made)
    computing = sum(own.computing for own in made.values())
    return Cost(
        chunks=rest.chunks + tally.chunks,
        requests=rest.requests + tally.requests,
        bytes_read=rest.bytes_read + tally.stored,
        bytes_decoded=rest.bytes_decoded + tally.decoded,
        bytes_written=rest.bytes_written + written,
        peak_memory=max(rest.peak_memory, held + in_flight(tally, chunk, merged=merged)),
        peak_disk=rest.peak_disk + written,
        missing=rest.missing + tally.missing,
        computing=round(rest.computing + computing, 6),
    )


def _under(rectangle: Rectangle, reads: LayeredReads) -> ChunkTally:
    """What is read for all blocks of a rectangle."""
    found = ChunkTally()
    if rectangle.window is None:
        return found
    for columns in rectangle.window.columns:
        sides = (rectangle.window.rows, columns)[: len(reads.axes)]
        parts = [reads.positions[axis][side] for axis, side in zip(reads.axes, sides, strict=True)]
        found += reads.under(parts, rectangle.leading)
    return found


def refuse_unmet(made: Sequence[Making], target: TargetPlan) -> None:
    """Raise if nothing of any variable lies under the target; a strip of one may be empty.

    Raises
    ------
    NoDataError
        So it is; the text says what the target covers.

    **Reads:** nothing.
    """
    if made and target.strip is None and not any(own.is_met for own in made):
        raise NoDataError(
            f"No data lie under the target grid, which covers {target.bbox} (west, south, east, "
            "north). Ask for another extent."
        )


def working_of(made: Sequence[Making]) -> int:
    """Bytes that are held while blocks of variables are made. **Reads:** nothing."""
    largest = max((own.largest for own in made), default=0)
    return min(_AT_ONCE * _COPIES * min(largest, 2 * BLOCK_BYTES), 64 * largest)


def _seconds_a_cell(approach: Approach) -> float:
    """Processor seconds that a cell of the target takes."""
    if approach.parts > 1:
        return approach.parts**2 / _SAMPLED
    return 1.0 / RESAMPLED[approach.method]
