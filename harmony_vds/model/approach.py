"""How values are made on a target, and what of the store's grids that takes."""

import math

from harmony_vds.model.scales import EVEN_SCALE
from harmony_vds.model.scatter import Way, way_to
from harmony_vds.model.target import Resampling, TargetPlan
from harmony_vds.model.warp import Warp
from harmony_vds.model.window import Window

_MOST_PARTS = 32


class Approach:
    """How values are made on a target, and what of the store's grid that takes; immutable."""

    def __init__(self, warp: Way, method: Resampling, rows: slice | None = None) -> None:
        self.warp = warp
        self.method = method
        self.rows = rows or slice(0, warp.target.shape[0])
        """The rows of the target that come out; all, if not said."""
        self.parts = 1
        """Points along each side of a target cell at which the store is looked at: neighbours lie
        half a cell of the store apart or less, where as many of those as in the middle of all
        target cells lie under one."""
        self.reach = (0, 0)
        """Rows and columns of the grid that are needed on either side of a place."""
        if method.is_kernel:
            tall, wide = (math.ceil(method.reach * own) + 1 for own in warp.scale)
            self.reach = tall, wide
        elif self.is_gathered:
            self.reach = 1, 1
        if self.is_gathered and not self.is_exact and isinstance(warp, Warp):
            most = max(warp.under) - EVEN_SCALE
            self.parts = min(max(2, 2 * math.ceil(most)), _MOST_PARTS)
        self.fine = warp.finer(self.parts) if self.parts > 1 and isinstance(warp, Warp) else warp
        """The way from those points."""

    @property
    def is_gathered(self) -> bool:
        """Whether values are made of all that lies under a target cell. **Reads:** nothing."""
        return self.method is not Resampling.NEAREST and not self.method.is_kernel

    @property
    def is_exact(self) -> bool:
        """Whether values are worked out from the sides of cells. **Reads:** nothing."""
        gathered = self.is_gathered and self.method is not Resampling.MODE
        return gathered and self.warp.is_cylindrical

    def points(self, cells: slice) -> slice:
        """The rows, or columns, of the points in those of cells. **Reads:** nothing."""
        return slice(cells.start * self.parts, cells.stop * self.parts)

    def window(self, rows: slice, columns: slice) -> Window | None:
        """What a block of the target needs of the grid; None if nothing. **Reads:** nothing."""
        if self.parts > 1 and self.warp.is_cylindrical:
            return self.fine.window(self.points(rows), self.points(columns), self.reach)
        if self.is_exact and isinstance(self.warp, Warp):
            return self.warp.window(rows, columns, self.reach, entire=True)
        return self.warp.window(rows, columns, self.reach)


class Approaches:
    """How variables come onto a target, the way to each of the store's grids found once."""

    def __init__(self, target: TargetPlan) -> None:
        self.target = target
        self._ways = {own.dimensions: way_to(target, own) for own in target.sources}
        self._found: dict[tuple[int, Resampling], Approach] = {}

    def way(self, dimensions: tuple[str, ...]) -> Way | None:
        """The way to the grid that variables of `dimensions` lie on, if on any.

        **Reads:** nothing.
        """
        source = self.target.source_of(dimensions)
        return None if source is None else self._ways[source.dimensions]

    def of(self, path: str, dimensions: tuple[str, ...]) -> Approach | None:
        """How the variable `path` of the output is made; None if it lies on no grid.

        Parameters
        ----------
        path
            In the output.
        dimensions
            Of the variable of the store that it is made of.

        **Reads:** nothing.
        """
        way = self.way(dimensions)
        if way is None:
            return None
        method = self.target.resampling_of(path)
        asked = id(way), method
        if asked not in self._found:
            self._found[asked] = Approach(way, method, self.target.rows)
        return self._found[asked]
