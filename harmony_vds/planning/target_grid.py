"""A target grid completed from whatever part of one a request states.

Rules. Extents are the outermost edges of cells. Two of extent, cell size and width and height give
the third; if all are given they must agree to within half a cell, and the extent and the number of
cells then stand. With an extent and a cell size that do not divide evenly the grid begins at the
upper left corner and has the nearest whole number of cells. A width alone gives square cells, and
so does a height. Without an extent the grid covers what is kept of the store's grid, or the box
that was asked for; with a cell size it is begun at a multiple of the cell size. With neither cell
size nor width nor height the cells are as large as those of the store, as GDAL suggests it, or by
the places of cells where they lie across the edge of a map or beside it (`default_mesh`); in the
store's own reference system they are the store's cells.
"""

import math
from dataclasses import dataclass

from harmony_vds.errors import RequestError, TooLargeError
from harmony_vds.model.request import TargetGrid

MOST_CELLS = 4 * 10**9
"""Cells of a target grid: the Earth in cells of a kilometre has 9·10⁸."""
MOST_ALONG = 10**6
"""Rows or columns of it: each row and each column is looked up in the store's grid by itself."""
_FURTHEST = 1e12
"""In units of any reference system; a light-hour in metres."""
_CLOSE = 1e-9

type Extent = tuple[float, float, float, float]
"""(x min, y min, x max, y max)."""


@dataclass(frozen=True)
class Cells:
    """A north-up grid."""

    left: float
    top: float
    width: float
    """Size of a cell along x."""
    height: float
    """Size of a cell along y."""
    columns: int
    rows: int

    @property
    def transform(self) -> tuple[float, float, float, float, float, float]:
        """As `TargetPlan.transform`. **Reads:** nothing."""
        return self.width, 0.0, self.left, 0.0, -self.height, self.top

    @property
    def extent(self) -> Extent:
        """Its outer edges. **Reads:** nothing."""
        right, bottom = self.left + self.width * self.columns, self.top - self.height * self.rows
        return self.left, bottom, right, self.top


def checked(asked: TargetGrid, *, degrees: bool) -> TargetGrid:
    """`asked`, its numbers usable each by itself.

    In degrees an extent whose eastern edge is less than its western one crosses the antimeridian.

    Raises
    ------
    RequestError
        A number is missing, not finite, zero or negative; the text names it.

    **Reads:** nothing.
    """
    extent, size = asked.scale_extent, asked.scale_size
    if extent is not None:
        if not all(abs(own) <= _FURTHEST for own in extent):
            raise RequestError(
                f"scaleExtent holds {_listed(extent)}: each must be a number of at most "
                f"{_FURTHEST:g}."
            )
        x0, y0, x1, y1 = extent
        if degrees and x1 < x0:
            x1 += 360.0
        if not (x0 < x1 and y0 < y1):
            raise RequestError(
                f"scaleExtent {_listed(extent)} (x min, y min, x max, y max) is empty: x min must "
                "be less than x max, and y min less than y max."
            )
        extent = x0, y0, x1, y1
    if size is not None and not all(1 / _FURTHEST <= own <= _FURTHEST for own in size):
        raise RequestError(
            f"scaleSize {_listed(size)} should be two positive numbers (x, y) from "
            f"{1 / _FURTHEST:g} to {_FURTHEST:g}."
        )
    width, height = _count("width", asked.width), _count("height", asked.height)
    return TargetGrid(asked.crs, asked.interpolation, extent, size, width, height)


def _count(name: str, value: object) -> int | None:
    if value is None:
        return None
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not (1 <= number <= _FURTHEST and number == int(number)):
        raise RequestError(f"{name}={value} should be a whole number of cells, at least 1.")
    return int(number)


def completed(asked: TargetGrid, default: Cells, *, fixed: bool) -> Cells:
    """The grid that `asked` means, by the rules above.

    Parameters
    ----------
    asked
        Checked.
    default
        The grid without any demand but for the reference system.
    fixed
        Whether the edges of `default` were asked for, and so stand with a cell size, too.

    Raises
    ------
    RequestError
        What was asked does not agree with itself; the text shows the arithmetic.
    TooLargeError
        It has more cells than any output can.

    **Reads:** nothing.
    """
    extent, size = asked.scale_extent, asked.scale_size
    _refuse_disagreement(asked)
    if extent is None and size is None and asked.width is None and asked.height is None:
        return _bounded(default)
    x0, y0, x1, y1 = extent or default.extent
    if extent is None and size is not None and not fixed:
        x0, y0, x1, y1 = _snapped((x0, y0, x1, y1), size)
    if size is None:
        own = _by_numbers(asked, x1 - x0, y1 - y0, default)
        columns, rows = own
        return _bounded(Cells(x0, y1, (x1 - x0) / columns, (y1 - y0) / rows, columns, rows))
    columns = asked.width or _nearest_count((x1 - x0) / size[0])
    rows = asked.height or _nearest_count((y1 - y0) / size[1])
    width, height = size
    if asked.width is not None and extent is not None:
        width = (x1 - x0) / columns
    if asked.height is not None and extent is not None:
        height = (y1 - y0) / rows
    return _bounded(Cells(x0, y1, width, height, columns, rows))


def _nearest_count(cells: float) -> int:
    return max(1, math.floor(min(cells, float(MOST_CELLS) + 1.0) + 0.5))


def _refuse_disagreement(asked: TargetGrid) -> None:
    if asked.scale_extent is None or asked.scale_size is None:
        return
    x0, y0, x1, y1 = asked.scale_extent
    for axis, length, size, count, name in (
        ("x", x1 - x0, asked.scale_size[0], asked.width, "width"),
        ("y", y1 - y0, asked.scale_size[1], asked.height, "height"),
    ):
        if count is not None and abs(length / size - count) > 0.5 + _CLOSE:
            raise RequestError(
                f"The target grid does not agree with itself along {axis}: scaleExtent covers "
                f"{length:g}, and {length:g} / scaleSize {size:g} = {length / size:.6g} cells, "
                f"but {name}={count}. Leave one of them out."
            )


def _by_numbers(asked: TargetGrid, wide: float, tall: float, default: Cells) -> tuple[int, int]:
    """(columns, rows) where no cell size was asked for."""
    if asked.width is not None and asked.height is not None:
        return asked.width, asked.height
    if asked.width is not None:
        return asked.width, max(1, round(tall * asked.width / wide))
    if asked.height is not None:
        return max(1, round(wide * asked.height / tall)), asked.height
    return max(1, round(wide / default.width)), max(1, round(tall / default.height))


def _snapped(extent: Extent, size: tuple[float, float]) -> Extent:
    """`extent` outward to multiples of the cell size."""
    x0, y0, x1, y1 = extent
    wide, tall = size
    return (
        math.floor(x0 / wide + _CLOSE) * wide, math.floor(y0 / tall + _CLOSE) * tall,
        math.ceil(x1 / wide - _CLOSE) * wide, math.ceil(y1 / tall - _CLOSE) * tall,
    )  # fmt: skip


def _bounded(cells: Cells) -> Cells:
    if cells.columns * cells.rows > MOST_CELLS:
        raise TooLargeError(
            f"The target grid is too large: {cells.columns:,} by {cells.rows:,} cells, and one may "
            f"have {MOST_CELLS:,}. Ask for a smaller extent or larger cells (scaleExtent, "
            "scaleSize, width, height)."
        )
    if max(cells.columns, cells.rows) > MOST_ALONG:
        raise TooLargeError(
            f"The target grid is too long: {cells.columns:,} columns by {cells.rows:,} rows, and "
            f"there may be {MOST_ALONG:,} of each. Ask for a smaller extent or larger cells "
            "(scaleExtent, scaleSize, width, height)."
        )
    return cells


def _listed(numbers: tuple[float, ...]) -> str:
    return ", ".join(f"{own:g}" for own in numbers)
