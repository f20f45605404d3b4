"""Puts variables on the target grid, block by block, each from the window that it needs."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from harmony_vds.errors import UnsupportedError
from harmony_vds.model.approach import Approach, Approaches
from harmony_vds.model.arrays import Values
from harmony_vds.model.chunks import Cut
from harmony_vds.model.decoding import Decoding
from harmony_vds.model.paths import name_of
from harmony_vds.model.plan import PlannedVariable, Role
from harmony_vds.model.quads import Corners
from harmony_vds.model.scatter import Scatter, Way
from harmony_vds.model.subset import Block, SubsetVariable
from harmony_vds.model.target import Resampling, TargetPlan, made_type
from harmony_vds.model.warp import Places, Warp, within
from harmony_vds.model.warp_blocks import WarpBlock, warp_blocks, window_reads
from harmony_vds.model.window import Window
from harmony_vds.transform.computed import computed
from harmony_vds.transform.footprints import gathered, over_rectangles
from harmony_vds.transform.mask import fill_of
from harmony_vds.transform.resample import blended, mixed, nearest
from harmony_vds.transform.target_attributes import (
    axis_attributes,
    mapping_attributes,
    reprojected_attributes,
)

_CHUNK = 512
"""Rows and columns of an output's chunks."""
_KEPT_PLACES = 16


class Reprojection:
    """A plan's way to its target, shared by all variables."""

    def __init__(self, target: TargetPlan, there: frozenset[str] = frozenset()) -> None:
        self.target = target
        self.there = there
        """Names of the variables of the output."""
        self.approaches = Approaches(target)
        self._box = None if target.inside is None else within(target, target.inside)
        self._lock = Lock()
        self._found: OrderedDict[tuple[object, ...], Any] = OrderedDict()

    def places(self, warp: Way, rows: slice, columns: slice, *, sharp: bool) -> Places:
        """As `Warp.places`. **Reads:** nothing."""
        if warp.is_cylindrical:
            return warp.places(rows, columns, sharp=sharp)
        key = (id(warp), rows.start, rows.stop, columns.start, columns.stop, sharp)
        return self._kept(key, lambda: warp.places(rows, columns, sharp=sharp))

    def corners(self, scatter: Scatter, rows: slice, columns: slice) -> Corners:
        """As `Scatter.corners`. **Reads:** nothing."""
        key = (id(scatter), rows.start, rows.stop, columns.start, columns.stop, "corners")
        return self._kept(key, lambda: scatter.corners(rows, columns))

    def _kept[T](self, key: tuple[object, ...], find: Callable[[], T]) -> T:
        """What `find` gives; what was last asked for is kept, for the next step in time."""
        with self._lock:
            if key in self._found:
                self._found.move_to_end(key)
                kept: T = self._found[key]
                return kept
        found = find()
        with self._lock:
            self._found[key] = found
            while len(self._found) > _KEPT_PLACES:
                self._found.popitem(last=False)
        return found

    def outside(self, rows: slice, columns: slice) -> npt.NDArray[np.bool_] | None:
        """Which cells of a block lie outside of the box that was asked for; None without one.

        **Reads:** nothing.
        """
        if self._box is None:
            return None
        places = self.places(self._box, rows, columns, sharp=True)
        return np.isnan(places.rows) | np.isnan(places.columns)


@dataclass(frozen=True, eq=False)
class _Source:
    """A variable to be reprojected, and what its values become."""

    path: str
    data: xr.Variable
    axes: tuple[int, ...]
    """Which of its dimensions are the grid's rows and columns, or a track's one."""
    approach: Approach
    dtype: np.dtype[Any]
    fill: Any
    declared: bool
    decoding: Decoding | None

    @property
    def others(self) -> list[int]:
        return [axis for axis in range(self.data.ndim) if axis not in self.axes]

    def read(self, leading: Sequence[slice], window: Window) -> Values:
        """The values of a window: the other dimensions, then rows and columns."""
        reads = window_reads(window, leading, self.data.ndim, self.axes)
        parts = [self.data[own].values.transpose(*self.others, *self.axes) for own in reads]
        if len(self.axes) == 1:
            return parts[0][..., None]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1)


def reprojected(
    variable: SubsetVariable,
    positions: Sequence[npt.NDArray[np.int64]],
    cuts: Sequence[Cut],
    way: Reprojection,
) -> SubsetVariable:
    """`variable` on the target grid; itself where it lies on none of the grids. Lazy.

    Parameters
    ----------
    variable
        Cut, not yet read.
    positions
        For each of its dimensions the stored positions that it keeps.
    cuts
        How the store's chunks cut each of them.
    way
        The plan's way to its target.

    Raises
    ------
    UnsupportedError
        When read: a value inside is what must mean missing outside.

    **Reads:** nothing; chunks when values are asked for.
    """
    target = way.target
    approach = way.approaches.of(variable.planned.path, variable.planned.dimensions)
    if approach is None:
        return variable
    source = _source(variable, approach)
    itemsize = max(variable.data.dtype.itemsize, source.dtype.itemsize)
    pieces = warp_blocks(source.approach, positions, cuts, source.axes, itemsize)
    others = source.others
    planned = variable.planned
    dimensions = (*(planned.dimensions[own] for own in others), *target.dimensions)
    shape = (*(variable.data.shape[own] for own in others), *target.size)
    first = target.rows.start

    def compute(block: Block) -> Values:
        return _block(source, _moved(block, first), way)

    names = [*(str(variable.data.dims[own]) for own in others), *map(name_of, target.dimensions)]
    attributes = reprojected_attributes(
        variable.data.attrs, source.approach.method, name_of(target.mapping), source.fill, way.there
    )
    chunks = (*(variable.chunk_shape[own] for own in others),
              *(min(size, _CHUNK) for size in target.size))  # fmt: skip
    return SubsetVariable(
        PlannedVariable(planned.path, dimensions, planned.role),
        computed(names, shape, source.dtype, compute, attributes),
        chunks,
        tuple(_moved(own.block, -first) for own in pieces),
    )


def _moved(block: Block, rows: int) -> Block:
    """`block`, so many rows further on."""
    *leading, own, columns = block
    return *leading, slice(own.start + rows, own.stop + rows), columns


def _source(variable: SubsetVariable, approach: Approach) -> _Source:
    data, planned, method = variable.data, variable.planned, approach.method
    dtype = made_type(data.dtype, method)
    if method.picks:
        fill, declared = fill_of(data)
        decoding = None
    else:
        fill, declared, decoding = dtype.type(np.nan), True, Decoding.of(data.dtype, data.attrs)
    axes = tuple(planned.dimensions.index(own) for own in approach.warp.source.dimensions)
    return _Source(planned.path, data, axes, approach, dtype, fill, declared, decoding)


def _block(source: _Source, block: Block, way: Reprojection) -> Values:
    """The values of one block of the output."""
    *leading, rows, columns = block
    window = source.approach.window(rows, columns)
    if window is None:
        return np.full([own.stop - own.start for own in block], source.fill, source.dtype)
    piece = WarpBlock(tuple(leading), rows, columns, window)
    found = _resampled(source, source.read(leading, window), piece, way)
    outside = way.outside(rows, columns)
    if outside is not None:
        found[..., np.broadcast_to(outside, found.shape[-2:])] = source.fill
    return found.astype(source.dtype, copy=False)


def _resampled(source: _Source, values: Values, piece: WarpBlock, way: Reprojection) -> Values:
    """Values of a block from those of its window."""
    approach, warp = source.approach, source.approach.warp
    method = approach.method
    if source.decoding is not None:
        values = source.decoding.decode(values).astype(source.dtype, copy=False)
    if approach.parts > 1:
        return _sampled(source, values, piece, way)
    if isinstance(warp, Scatter) and method.is_kernel:
        assert piece.window is not None
        down, over, weights = way.corners(warp, piece.rows, piece.columns)
        first = piece.window.rows.start, piece.window.columns[0].start
        return mixed(values, (down - first[0], over - first[1], weights))
    sharp = method is Resampling.NEAREST
    places = _local(way.places(warp, piece.rows, piece.columns, sharp=sharp), piece, warp)
    if sharp:
        found = nearest(values, places, source.fill)
        if not source.declared:
            _refuse_meaning(source, found, np.isnan(places.rows) | np.isnan(places.columns))
        return found
    turns = _turns(piece, warp)
    if method.is_kernel:
        return blended(values, places, method, warp.scale, turns=turns)
    assert isinstance(warp, Warp)
    (low, high), (begin, end) = warp.sides(piece.rows, piece.columns)
    local = _local(Places(low, begin), piece, warp)
    rows, columns = (
        (local.rows, local.rows + high - low),
        (local.columns, local.columns + end - begin),
    )
    found = over_rectangles(values, rows, columns, method, turns=turns)
    found[..., np.isnan(places.rows) | np.isnan(places.columns)] = np.nan
    return found


def _sampled(source: _Source, values: Values, piece: WarpBlock, way: Reprojection) -> Values:
    """Values made of those at points spread evenly over each cell."""
    approach, parts = source.approach, source.approach.parts
    if source.decoding is None:
        values = np.where(values == source.fill, np.nan, values.astype(np.float64))
    points = approach.points(piece.rows), approach.points(piece.columns)
    places = _local(way.places(approach.fine, *points, sharp=True), piece, approach.warp)
    found = nearest(values, places, np.nan)
    tall, wide = piece.rows.stop - piece.rows.start, piece.columns.stop - piece.columns.start
    cells = found.reshape(*found.shape[:-2], tall, parts, wide, parts).swapaxes(-3, -2)
    made = gathered(cells.reshape(*cells.shape[:-2], parts * parts), approach.method)
    if source.decoding is not None:
        return made
    return np.where(np.isnan(made), source.fill, made).astype(source.dtype)


def _turns(piece: WarpBlock, warp: Way) -> bool:
    """Whether the last column of a block's window is a neighbour of the first."""
    whole = (slice(0, warp.source.shape[1]),)
    return warp.is_round and piece.window is not None and piece.window.columns == whole


def _local(places: Places, piece: WarpBlock, warp: Way) -> Places:
    """Places counted from the first row and column of a block's window."""
    assert piece.window is not None
    away = places.columns - piece.window.columns[0].start
    if warp.is_round:
        away = np.where(away < 0, away + warp.source.shape[1], away)
    return Places(places.rows - piece.window.rows.start, away)


def _refuse_meaning(source: _Source, found: Values, outside: npt.NDArray[np.bool_]) -> None:
    """Refuse what stands for missing outside if it is a value inside."""
    if source.dtype.kind not in "iu" or not outside.any():
        return
    if (found[..., ~outside] == source.fill).any():
        raise UnsupportedError(
            f"{source.path.lstrip('/')} cannot be put on the target grid: it names no fill value, "
            f"and the value {source.fill} that would stand for cells outside of the store's grid "
            "occurs inside. Ask for a target grid within the store's, or for other variables."
        )


def target_variables(target: TargetPlan) -> tuple[SubsetVariable, ...]:
    """The coordinates of the target grid and the variable of its reference system.

    **Reads:** nothing.
    """
    y, x = target.dimensions
    whole = xr.Variable((), np.int32(0), mapping_attributes(target))
    found = [SubsetVariable(PlannedVariable(target.mapping, (), Role.REQUIRED), whole, (), ((),))]
    for path, values, attributes in zip(
        (y, x), (target.ys, target.xs), axis_attributes(target), strict=True
    ):
        data = xr.Variable((name_of(path),), values, attributes)
        planned = PlannedVariable(path, (path,), Role.REQUIRED)
        found.append(SubsetVariable(planned, data, values.shape, ((slice(0, values.size),),)))
    return tuple(found)
