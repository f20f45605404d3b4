"""Which cells of a swath lie near the cells of a target.

Places are compared on a sphere, latitudes taken as they are stored. The nearest cell is that whose
centre is nearest to the target cell's centre, if it lies within the radius of influence: half the
longer diagonal of the quad of four neighbouring cells, as long as it is in 99 of 100 quads. Of a
track, whose cells have no width, it is half the spacing, or half a target cell's diagonal if that
is more: a line crosses few centres.

Bilinear values lie in the quad of four neighbouring cells that holds the target cell's centre, if
its nearest cell is within the radius: there is no value outside of the swath and across gaps.
"""

from functools import cached_property
from threading import Lock
from typing import Any

import numpy as np

from harmony_vds.model.arrays import Floats, Positions
from harmony_vds.model.extent import WORLD
from harmony_vds.model.lattice import TILE
from harmony_vds.model.quads import AROUND, BEYOND, Corners, Quads
from harmony_vds.model.sphere import angle, caps, vectors
from harmony_vds.model.swath import Swath
from harmony_vds.model.target import SourceGrid, TargetPlan
from harmony_vds.model.warp import Places, Warp, warp_to, within
from harmony_vds.model.window import Window

_NODES = 9
"""Points along each side of a tile at which places are worked out to bound it."""
_TILES_AT_ONCE = 256
_CANDIDATES = 8
"""Cells near a place whose quads may hold it."""
_ROUNDING = 1e-9


class Scatter:
    """The way from the cells of a target to those of a swath; immutable."""

    rows = columns = None
    scale = (1.0, 1.0)
    is_cylindrical = False
    is_round = False

    def __init__(self, target: TargetPlan, source: Swath) -> None:
        self.target = target
        self.source = source
        self._world = within(target, WORLD)
        self._lock = Lock()
        self._tree: Any = None

    @cached_property
    def radius(self) -> float:
        """Chord on the unit sphere within which a cell gives values. **Reads:** nothing."""
        half = self.source.spacing / 2
        if not self.source.is_track:
            return half * (1 + _ROUNDING)
        rows, columns = (np.array([0.0, size / 2, size / 2 + 1]) for size in self.target.shape)
        found = self._points(*np.meshgrid(rows, columns, indexing="ij"))
        across = np.linalg.norm(found[1, 1] - found[2, 2])
        return float(np.nanmax([half, across / 2])) * (1 + _ROUNDING)

    def places(self, rows: slice, columns: slice, *, sharp: bool) -> Places:
        """The cell nearest to each centre of a block, as `Warp.places`. **Reads:** nothing."""
        del sharp  # a cell is found, or it is not
        at = self._centres(rows, columns)
        cells = self._near(at.reshape(-1, 3), 1).reshape(at.shape[:-1])
        found = cells >= 0
        row, column = np.divmod(cells, self.source.shape[1])
        return Places(
            np.where(found, row + 0.5, np.nan), np.where(found, column + 0.5, np.nan)
        )  # fmt: skip

    def corners(self, rows: slice, columns: slice) -> Corners:
        """The cells that each of a block's is made of, and their weights. **Reads:** nothing."""
        at = self._centres(rows, columns)
        found = Quads(self.source, at.reshape(-1, 3))
        near = self._near(found.at, 1)[:, 0]
        found.look(near, AROUND + BEYOND)
        left = np.flatnonzero(found.missing & (near >= 0))
        if left.size:  # where a swath lies over itself the cells of another pass may hold it
            more = np.full((found.at.shape[0], _CANDIDATES), -1)
            more[left] = self._near(found.at[left], _CANDIDATES)
            for number in range(1, _CANDIDATES):
                found.look(more[:, number], AROUND)
        return found.corners((at.shape[0], at.shape[1]))

    def window(self, rows: slice, columns: slice, reach: tuple[int, int]) -> Window | None:
        """As `Warp.window`: all that may lie near a block, and some beside. **Reads:** nothing."""
        tall, wide = (slice(o.start // TILE, -(-o.stop // TILE)) for o in (rows, columns))
        top, end, left, right = self._tiles[:, tall, wide].reshape(4, -1)
        met = end > top
        if not met.any():
            return None
        size = self.source.shape
        down = max(int(top[met].min()) - reach[0], 0), min(int(end[met].max()) + reach[0], size[0])
        over = (
            max(int(left[met].min()) - reach[1], 0),
            min(int(right[met].max()) + reach[1], size[1]),
        )
        return Window(slice(*down), (slice(*over),))

    def _centres(self, rows: slice, columns: slice) -> Floats:
        """The centres of a block as unit vectors; shape (rows, columns, 3)."""
        tall, wide = (np.arange(own.start, own.stop) + 0.5 for own in (rows, columns))
        return self._points(*np.meshgrid(tall, wide, indexing="ij"))

    def _points(self, rows: Floats, columns: Floats) -> Floats:
        latitudes, longitudes = self._world.locate(rows, columns)
        beyond = ~(np.abs(latitudes) <= 90.0)
        latitudes[beyond] = np.nan
        return vectors(longitudes, latitudes)

    def _near(self, at: Floats, number: int) -> Positions:
        """Flat numbers of the cells nearest to places, nearest first; -1 where none is left.

        Shapes (places, 3), (places, number).
        """
        found = np.full((len(at), number), -1)
        good = np.isfinite(at).all(axis=-1)
        if good.any() and self.source.known.size:
            away, which = self._search().query(
                np.ascontiguousarray(at[good]), k=number, distance_upper_bound=self.radius
            )
            near = np.isfinite(away)
            flat = np.where(near, self.source.known[np.where(near, which, 0)], -1)
            found[good] = flat.reshape(-1, number)
        return found

    def _search(self) -> Any:
        with self._lock:
            if self._tree is None:
                from pykdtree.kdtree import KDTree

                self._tree = KDTree(self.source.points.reshape(-1, 3)[self.source.known])
            return self._tree

    @cached_property
    def _tiles(self) -> Positions:
        """First and last row, first and last column near each tile, half-open; none where equal.

        Shape (4, tile rows, tile columns).
        """
        tall, wide = (-(-size // TILE) for size in self.target.shape)
        pieces = self.source.pieces
        ends = np.array([(o.rows.start, o.rows.stop, o.columns.start, o.columns.stop)
                         for o in pieces])  # fmt: skip
        middles, angles = self.source.caps
        found = np.zeros((4, tall * wide), np.int64)
        for start in range(0, tall * wide, _TILES_AT_ONCE):
            numbers = np.arange(start, min(start + _TILES_AT_ONCE, tall * wide))
            around, reach = self._caps(numbers // wide, numbers % wide)
            with np.errstate(invalid="ignore"):
                most = reach[:, None] + angles[None, :] + angle(np.array(self.radius)) + 1e-9
                met = around @ middles.T >= np.cos(np.minimum(most, np.pi))
            for row, (own, none) in enumerate(zip(ends.T, (10**9, -1, 10**9, -1), strict=True)):
                held = np.where(met, own, none)
                found[row, numbers] = held.min(axis=1) if none > 0 else held.max(axis=1)
            found[:, numbers[~met.any(axis=1)]] = 0
        return found.reshape(4, tall, wide)

    def _caps(self, rows: Positions, columns: Positions) -> tuple[Floats, Floats]:
        """Caps that hold all centres of some tiles."""
        steps = np.linspace(0.0, TILE, _NODES)
        tall, wide = self.target.shape
        y = np.minimum(rows[:, None] * TILE + steps, tall)
        x = np.minimum(columns[:, None] * TILE + steps, wide)
        nodes = self._points(*(
            np.broadcast_to(own, (rows.size, _NODES, _NODES)) for own in (y[:, :, None], x[:, None])
        ))  # fmt: skip
        middles, angles = caps(nodes.reshape(rows.size, -1, 3))
        # A centre lies about half a diagonal from one of the nodes around it.
        apart = np.linalg.norm(nodes[:, 1:, 1:] - nodes[:, :-1, :-1], axis=-1)
        angles = angles + 0.75 * angle(np.nan_to_num(apart).reshape(rows.size, -1).max(axis=1))
        for number in np.flatnonzero(np.isnan(nodes).any(axis=(1, 2, 3))):
            top, left = int(rows[number]) * TILE, int(columns[number]) * TILE
            own = self._centres(
                slice(top, min(top + TILE, tall)), slice(left, min(left + TILE, wide))
            )
            middles[number], angles[number] = (part[0] for part in caps(own.reshape(1, -1, 3)))
        return middles, angles


type Way = Warp | Scatter


def way_to(target: TargetPlan, source: SourceGrid | Swath) -> Way:
    """The way from a target to what its values are taken from. **Reads:** nothing."""
    return Scatter(target, source) if isinstance(source, Swath) else warp_to(target, source)
