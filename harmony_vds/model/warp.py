"""Which cells of a store's grid lie under which cells of the target.

Planning prices by it and reading reads by it, so both mean the same cells.
"""

import math
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache

import numpy as np

from harmony_vds.model.arrays import Floats
from harmony_vds.model.extent import BoundingBox
from harmony_vds.model.lattice import TILE, Lattice
from harmony_vds.model.maps import transformation
from harmony_vds.model.round_trip import BACK, RoundTrip
from harmony_vds.model.scales import in_the_middle, spacing
from harmony_vds.model.sides import Spans, sides_around
from harmony_vds.model.target import TURN, SourceAxis, SourceGrid, TargetPlan
from harmony_vds.model.window import Window, pieces_of, shortest_run

_ALIKE = 1e-6
"""Cells by which a row may be bent and still be a row: rounding is far less."""
_MOST_OFF = 1e-3
"""Cells by which interpolated places may be off; those that matter are then worked out exactly."""
_TILES_AT_ONCE = 4096
_EDGE = 1e-9
"""Degrees: a box is closed, rounding aside."""
_SAMPLES = 17
_KEPT = 8
"""Ways that are kept: planning, pricing smaller requests and reading take the same few."""
_BESIDE = 1e-10
"""Cells: a centre on the edge between two cells belongs to the further one, rounding aside."""


@dataclass(frozen=True, eq=False)
class Places:
    """Where the centres of a block of the target lie, counted in cells of a grid."""

    rows: Floats
    """Cell i begins at i and ends at i + 1; shape (rows, 1) where a row of the target is a row of
    the grid, else (rows, columns). Not-a-number where there is no cell."""
    columns: Floats
    """Likewise; shape (1, columns) or (rows, columns)."""


class Warp:
    """The way from the cells of a whole target to those of one grid; immutable."""

    def __init__(self, target: TargetPlan, source: SourceGrid) -> None:
        self.target = target
        self.source = source
        self._way = transformation(target.crs, source.crs)
        self._trip = RoundTrip(target.crs, self._way, (target.transform[0], target.transform[4]))
        self.is_checked = False
        """Whether places must return where they came from; see `RoundTrip`."""
        self.rows: Floats | None = None
        """Places of the target's rows, where each of them is one row of the grid."""
        self.columns: Floats | None = None
        """Places of the target's columns, likewise."""
        self._finest = (source.y.finest, source.x.finest)
        off = (_MOST_OFF * self._finest[0], _MOST_OFF * self._finest[1])
        self._lattice = Lattice(self.locate, off, turns=source.x.turns)
        self._windows: dict[tuple[object, ...], Window | None] = {}
        survey = self._survey()
        self.scale = survey[0]
        """Steps along the grid's (rows, columns) that go as far as a target cell is wide, in the
        middle of all target cells; at least 1."""
        self.under = survey[1]
        """(Rows, columns) of the box around a target cell on the grid, likewise."""

    @property
    def is_round(self) -> bool:
        """Whether the grid's last column meets its first. **Reads:** nothing."""
        return self.source.x.is_round

    @property
    def is_cylindrical(self) -> bool:
        """Whether rows of the target are rows of the grid, and columns columns.

        **Reads:** nothing.
        """
        return self.rows is not None

    def locate(self, rows: Floats, columns: Floats) -> Floats:
        """Exact (y, x) in the grid's system at places of the target; see `Locate`.

        **Reads:** nothing.
        """
        a, _, left, _, e, top = self.target.transform
        x, y = left + a * columns, top + e * rows
        found = np.stack(self._way.transform(x, y)[::-1])
        found[:, ~np.isfinite(found).all(axis=0)] = np.nan
        if self.is_checked:
            found[:, ~(self._trip.astray(found, x, y) < BACK)] = np.nan
        return found

    def _survey(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Find out of which kind the way is; gives `scale` and `under`."""
        tall, wide = (
            np.unique(np.linspace(0, size - 1, min(size, _SAMPLES)).round()) + 0.5
            for size in self.target.shape
        )
        rows, columns = np.meshgrid(tall, wide, indexing="ij")
        found = self.locate(rows, columns)
        if self._is_straight(found):
            good = np.isfinite(found[0])
            row, column = tall[good.sum(axis=1).argmax()], wide[good.sum(axis=0).argmax()]
            every_row, every_column = (np.arange(0.5, size) for size in self.target.shape)
            y = self.locate(every_row, np.full(every_row.size, column))[0]
            x = self.locate(np.full(every_column.size, row), every_column)[1]
            self.rows, self.columns = self._rows_at(y), self._columns_at(x)
        else:
            a, _, left, _, e, top = self.target.transform
            away = self._trip.astray(found, left + a * columns, top + e * rows)
            self.is_checked = bool((away[np.isfinite(found[0])] >= BACK).any())
        down = self._steps(rows, columns, (0.5, 0.0))
        over = self._steps(rows, columns, (0.0, 0.5))
        return spacing(down, over), in_the_middle(np.abs(down) + np.abs(over))

    def _steps(self, rows: Floats, columns: Floats, half: tuple[float, float]) -> Floats:
        """Cells of the grid, (rows, columns), that one of the target spans in one direction.

        Shape (2, places); not-a-number where there are none.
        """
        tall, wide = half
        ahead = self.locate(rows + tall, columns + wide)
        spans = (ahead - self.locate(rows - tall, columns - wide)).reshape(2, -1)
        if self.source.x.turns:
            spans[1] -= TURN * np.round(spans[1] / TURN)
        return np.asarray(spans / np.array(self._finest)[:, None])

    def _is_straight(self, found: Floats) -> bool:
        good = np.isfinite(found[0])
        outer = good.any(axis=1)[:, None] & good.any(axis=0)[None, :]
        if not good.any() or (good != outer).any():
            return False
        y, x = (own[good.any(axis=1)][:, good.any(axis=0)] for own in found)
        bent_x = np.abs(x - x[:1])
        if self.source.x.turns:
            bent_x = np.abs(bent_x - TURN * np.round(bent_x / TURN))
        bent_y = np.abs(y - y[:, :1])
        return bool(
            bent_y.max() <= _ALIKE * self._finest[0] and bent_x.max() <= _ALIKE * self._finest[1]
        )

    def _rows_at(self, y: Floats) -> Floats:
        return _within(self.source.y.positions(y), self.source.y)

    def _columns_at(self, x: Floats) -> Floats:
        return _within(self.source.x.positions(x), self.source.x)

    def finer(self, parts: int) -> "Warp":
        """The way from a target whose cells are cut into `parts` by `parts`. **Reads:** nothing."""
        a, b, c, d, e, f = self.target.transform
        rows, columns = self.target.shape
        fine = (a / parts, b, c, d, e / parts, f)
        shape = (rows * parts, columns * parts)
        return warp_to(replace(self.target, transform=fine, shape=shape), self.source)

    def places(self, rows: slice, columns: slice, *, sharp: bool) -> Places:
        """Where a block's centres lie; the cells they lie in are exact if `sharp`.

        Otherwise they are off by at most a thousandth of a cell. **Reads:** nothing.
        """
        if self.rows is not None and self.columns is not None:
            return Places(self.rows[rows][:, None], self.columns[columns][None, :])
        found = self._lattice.coordinates(rows, columns)
        y, x = self.source.y.positions(found[0]), self.source.x.positions(found[1])
        if sharp:
            with np.errstate(invalid="ignore"):
                near = np.abs(y - np.rint(y)) <= _MOST_OFF + _BESIDE
                near |= np.abs(x - np.rint(x)) <= _MOST_OFF + _BESIDE
            doubtful = np.nonzero(near)
            exact = self._lattice.exact(doubtful, rows, columns)
            y[doubtful] = self.source.y.positions(exact[0])
            x[doubtful] = self.source.x.positions(exact[1])
        return Places(_within(y, self.source.y), _within(x, self.source.x))

    def sides(self, rows: slice, columns: slice) -> tuple[Spans, Spans]:
        """Where the rows and columns of a block begin and end on the grid, if it is cylindrical.

        **Reads:** nothing.
        """
        assert self.rows is not None
        assert self.columns is not None
        row, column = (float(np.isfinite(own).argmax()) + 0.5 for own in (self.rows, self.columns))

        def down(places: Floats) -> Floats:
            return self.source.y.positions(self.locate(places, np.full(places.size, column))[0])

        def along(places: Floats) -> Floats:
            return self.source.x.positions(self.locate(np.full(places.size, row), places)[1])

        turn = TURN / abs(self.source.x.step) if self.source.x.turns else 0.0
        return (
            sides_around(self.rows[rows], rows, down, 0.0),
            sides_around(self.columns[columns], columns, along, turn),
        )

    def window(
        self, rows: slice, columns: slice, reach: tuple[int, int], *, entire: bool = False
    ) -> Window | None:
        """What a block needs of the grid, `reach` (rows, columns) on every side included.

        That is what lies under the block's centres, or if `entire` under all of its cells. None
        where nothing of the grid lies under it. **Reads:** nothing.
        """
        asked = (rows.start, rows.stop, columns.start, columns.stop, reach, entire)
        if asked not in self._windows:
            self._windows[asked] = self._window(rows, columns, reach, entire=entire)
        return self._windows[asked]

    def _window(
        self, rows: slice, columns: slice, reach: tuple[int, int], *, entire: bool
    ) -> Window | None:
        if self.rows is not None and self.columns is not None:
            y, x = self.rows[rows], self.columns[columns]
            sides = self.sides(rows, columns) if entire else ((y, y + _BESIDE), (x, x + _BESIDE))
            tall, wide = (
                (low[np.isfinite(own)], high[np.isfinite(own)])
                for own, (low, high) in zip((y, x), sides, strict=True)
            )
        else:
            tall, wide = self._spans(rows, columns)
        if not tall[0].size or not wide[0].size:
            return None
        low, high = int(np.floor(tall[0].min())), int(np.floor(tall[1].max()))
        top, end = max(low - reach[0], 0), min(high + reach[0] + 1, self.source.shape[0])
        pieces = pieces_of(wide, self.source.x, reach[1])
        return Window(slice(top, end), pieces) if top < end and pieces else None

    def _spans(self, rows: slice, columns: slice) -> tuple[Spans, Spans]:
        """Least and greatest rows, and columns, under each of the tiles that a block touches."""
        tall, wide = (slice(o.start // TILE, -(-o.stop // TILE)) for o in (rows, columns))
        low_y, high_y, low_x, high_x = self._tiles[:, tall, wide].reshape(4, -1)
        met = np.isfinite(low_y) & np.isfinite(low_x)
        return (low_y[met], high_y[met]), (low_x[met], high_x[met])

    @cached_property
    def _tiles(self) -> Floats:
        """Least and greatest rows and columns under each tile, shape (4, tile rows, tile columns).

        Columns of a tile run on without a jump. Not-a-number where nothing lies under a tile.
        """
        tall, wide = (-(-size // TILE) for size in self.target.shape)
        found = np.full((4, tall, wide), np.nan)
        strip = max(1, _TILES_AT_ONCE // wide)
        for top in range(0, tall, strip):
            rows = range(top, min(top + strip, tall))
            tiles = self._lattice.tiles(rows, range(wide))
            rough = np.isnan(tiles.off[0])
            for number, axis in enumerate((self.source.y, self.source.x)):
                sides = axis.spread(tiles.known[number])
                found[2 * number : 2 * number + 2, rows.start : rows.stop] = sides
            for row, column in zip(*np.nonzero(rough), strict=True):
                found[:, top + row, column] = self._rough(int(top + row), int(column))
        return found

    def _rough(self, row: int, column: int) -> tuple[float, float, float, float]:
        """Least and greatest row and column under a tile, from the corners of its cells."""
        tall, wide = (
            np.arange(own * TILE, min((own + 1) * TILE, size) + 1.0)
            for own, size in zip((row, column), self.target.shape, strict=True)
        )
        found = self.locate(*np.meshgrid(tall, wide, indexing="ij"))
        if not np.isfinite(found).any():
            return (math.nan,) * 4
        y, x = self.source.y.positions(found[0]), self.source.x.positions(found[1])
        size = self.source.shape[1]
        more = 1.0 + _leap(y, 0.0)
        rows = float(np.nanmin(y)) - more, float(np.nanmax(y)) + more
        if not self.source.x.is_round:
            return *rows, -1.0, float(size)
        marked = np.zeros(size, np.bool_)
        marked[np.floor(x[np.isfinite(x)]).astype(np.int64) % size] = True
        first, *rest = shortest_run(marked)
        begin, end = (first.start, first.stop) if not rest else (first.start - size, rest[0].stop)
        more = 1.0 + _leap(x, float(size))
        if end - begin + 2 * more > size / 2:
            return *rows, 0.0, size - 1.0
        return *rows, begin - more, end + more


def _leap(places: Floats, turn: float) -> float:
    """The furthest that neighbouring places lie apart."""
    leaps = [np.abs(np.diff(places, axis=axis)) for axis in (0, 1)]
    if turn:
        leaps = [np.abs(own - turn * np.round(own / turn)) for own in leaps]
    return max(float(np.nanmax(own, initial=0.0)) for own in leaps)


def _within(places: Floats, axis: SourceAxis) -> Floats:
    """`places` less those outside of the cells, on the edges to within rounding."""
    size = axis.centres.size
    with np.errstate(invalid="ignore"):
        inside = (places >= -_BESIDE) & (places < size - _BESIDE)
    return np.where(inside, np.maximum(places, 0.0), np.nan)


@dataclass(frozen=True)
class _Ends:
    """A target and a grid, the same as others of equal cells."""

    told: tuple[object, ...]
    target: TargetPlan = field(compare=False)
    source: SourceGrid = field(compare=False)


@lru_cache(maxsize=_KEPT)
def _kept(ends: _Ends) -> Warp:
    return Warp(ends.target, ends.source)


def warp_to(target: TargetPlan, source: SourceGrid) -> Warp:
    """The way from the cells of a target, all of its rows, to those of a grid.

    The last ones are kept: what the way is surveyed for takes longer than most of what it is for.
    **Reads:** nothing.
    """
    told = (target.crs, target.transform, target.shape, source.crs, source.dimensions,
            source.x.turns, source.y.turns, source.shape, source.sha256)  # fmt: skip
    return _kept(_Ends(told, target, source))


def within(target: TargetPlan, box: BoundingBox) -> Warp:
    """The way to a grid that covers `box` alone: what has a place there has it in the box.

    **Reads:** nothing.
    """
    north, south = box.north + _EDGE, box.south - _EDGE
    west, width = box.west - _EDGE, min(box.width + 2 * _EDGE, TURN)
    quarters = np.array([0.25, 0.75])
    return warp_to(
        target,
        SourceGrid(
            ("", ""), "", SourceAxis(west + width * quarters, turns=True),
            SourceAxis(south + (north - south) * quarters),
        ),
    )  # fmt: skip
