"""The box of a request on every horizontal grid that its variables lie on."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from harmony_vds.errors import NoDataError, UncutBoxError, VdsError
from harmony_vds.model.cell_set import CellSet
from harmony_vds.model.extent import BoundingBox
from harmony_vds.model.grid import Grid, GridKind
from harmony_vds.model.paths import name_of
from harmony_vds.model.plan import GridPlan
from harmony_vds.model.request import Request
from harmony_vds.model.selection import AxisSelection
from harmony_vds.model.swath import Swath
from harmony_vds.model.target import SourceGrid
from harmony_vds.planning.cells import CellCuts, Cells, Selections
from harmony_vds.planning.extents import extent, whole_extent
from harmony_vds.planning.grids import Footing, Ground
from harmony_vds.planning.ground import grid_of, with_corners
from harmony_vds.planning.hierarchy import Hierarchy
from harmony_vds.planning.nearest import nearest_words
from harmony_vds.planning.regions import region_words, select_cells, select_region
from harmony_vds.planning.snapping import snapped_turns
from harmony_vds.planning.source_grid import around, source_grid, swath
from harmony_vds.planning.spatial import HorizontalSelection, grid_plan
from harmony_vds.planning.staggered import Shift, cells_beside

MOST_UNASKED = 2**22
"""Latitudes that are read only to tell what an output covers."""


@dataclass
class GridCuts:
    """What a box keeps of each grid, while a plan grows."""

    hierarchy: Hierarchy
    """The store's variables."""
    request: Request
    """What was asked; without a box and a shape everything is kept."""
    cells: CellCuts
    """Gets the cells that are kept of variables on grids that rows and columns cannot tell."""
    plans: list[GridPlan] = field(default_factory=list)
    """Of the grids with latitudes and longitudes along rows and columns."""
    kept: list[tuple[Grid, HorizontalSelection]] = field(default_factory=list)
    """These grids themselves, and what is kept of them."""
    lines: list[tuple[str, AxisSelection]] = field(default_factory=list)
    """Dimension → what is kept of it, of these grids."""
    shaped: dict[tuple[str, ...], CellSet] = field(default_factory=dict)
    """Dimensions of such a grid → the cells inside a shape, where others are in the window."""
    others: list[tuple[Grid, Cells | None]] = field(default_factory=list)
    """All other grids, and the cells that are kept of them; None for all."""
    missed: dict[str, BoundingBox | None] = field(default_factory=dict)
    """Full path of each variable whose grid the box does not meet → what the grid covers."""
    unmet: list[Grid] = field(default_factory=list)
    """The grids of these variables."""
    notes: list[str] = field(default_factory=list)
    """What the user should read."""

    def cut(self, footings: Mapping[str, Footing]) -> None:
        """Apply the box to every grid that carries one of the variables that `footings` are of.

        Raises
        ------
        NoDataError
            The box meets no grid; the text says what they cover.
        UncutBoxError
            A grid's cells have no places that can be trusted.
        StoreError
            Coordinates are unusable.

        **Reads:** coordinates.
        """
        found: dict[object, tuple[Ground, list[str]]] = {}
        for path, own in footings.items():
            if own.ground is not None:
                found.setdefault(_key(own.ground), (own.ground, []))[1].append(path)
        for ground, paths in found.values():
            self._cut(ground, paths)
        if self.missed and not self.plans and not self.others:
            covered = "; ".join(dict.fromkeys(str(own) for own in self.missed.values() if own))
            raise NoDataError(
                f"No data lie in {region_words(self.request)}: the store covers "
                f"{covered or 'no place'} (west, south, east, north)"
                f"{nearest_words(self.unmet, self.request)}."
            )
        if self.missed:
            names = ", ".join(path.lstrip("/") for path in self.missed)
            self.notes.append(
                f"Left out, since their grid does not meet the region asked for: {names}."
            )

    def plans_of(self, selection: Selections) -> tuple[GridPlan, ...]:
        """All grids, as they are cut in the end. **Reads:** nothing."""
        found = [_other_plan(grid, cells, selection) for grid, cells in self.others]
        return (*self.plans, *(own for own in found if own is not None))

    def plans_widened(self, selection: Selections) -> tuple[GridPlan, ...]:
        """All grids, where `selection` is wider than the cells asked for and none is blanked.

        **Reads:** nothing.
        """
        lines = [grid_plan(grid, _widened(grid, kept, selection)) for grid, kept in self.kept]
        found = [_other_plan(grid, None, selection) for grid, _ in self.others]
        return (*lines, *(own for own in found if own is not None))

    def sources(self, selection: Selections) -> list[SourceGrid | Swath]:
        """What is kept of the grids from which values can be put on another.

        **Reads:** nothing.
        """
        found: list[SourceGrid | Swath] = [source_grid(grid, kept) for grid, kept in self.kept]
        for grid, _ in self.others:
            if not _can_move(grid):
                continue
            along = [
                selection.get(own, AxisSelection.whole(size))
                for own, size in zip(grid.dimensions, grid.shape, strict=True)
            ]
            if grid.kind is GridKind.PROJECTED:
                found.append(source_grid(grid, HorizontalSelection(along[0], along[1], None)))
            else:
                found.append(swath(grid, along))
        return found

    def unmoved(self) -> list[str]:
        """What to say of grids that values are not put on another from. **Reads:** nothing."""
        return [
            f"What lies along {' and '.join(map(name_of, grid.dimensions))} stays on its own grid: "
            "its swaths lie one after another along a dimension of their own."
            for grid, _ in self.others
            if not _can_move(grid)
        ]

    def _cut(self, ground: Ground, paths: list[str]) -> None:
        """Cut the variables at `paths`, which lie on one ground, by its grid."""
        cut = self.request.bbox is not None or self.request.shape is not None
        needed = cut or self.request.target is not None
        if not needed and is_too_large(ground, self.hierarchy):
            return
        try:
            grid = grid_of(ground, paths[0], self.hierarchy)
        except VdsError as error:
            if not cut and ground.kind is not GridKind.RECTILINEAR:
                # What an output covers is then left to the collection's record.
                self.notes += [str(error)] if needed else []
                return
            raise
        if ground.mapping is not None and ground.mapping.remark and cut:
            self.notes.append(f"{paths[0].lstrip('/')}: {ground.mapping.remark}.")
        if ground.shift is not None and cut:
            y, x = (str(own).lstrip("/") for own in (ground.y, ground.x))
            self.notes.append(
                f"{paths[0].lstrip('/')}: it lies between the cells of {y} and {x}, and was cut by "
                "places half-way between theirs."
            )
        if self.request.shape is not None:
            grid = with_corners(grid, self.hierarchy)
        if grid.kind is GridKind.RECTILINEAR:
            self._cut_lines(grid, paths)
        elif not cut:
            self.others.append((grid, None))
        else:
            self._cut_cells(grid, paths)
            if ground.shift is not None:
                self._keep_beside(ground, ground.shift, paths)

    def _cut_lines(self, grid: Grid, paths: list[str]) -> None:
        whole = HorizontalSelection(
            AxisSelection.whole(grid.y.values.size), AxisSelection.whole(grid.x.values.size), None
        )
        kept, inside, note = select_region(grid, self._widened(grid), whole)
        if kept.is_empty:
            self.missed |= dict.fromkeys(paths, grid_plan(grid, whole).bbox)
            self.unmet.append(grid)
            return
        if inside is not None:
            self.shaped[grid.dimensions] = inside
        self.notes += [note] if note else []
        self.plans.append(grid_plan(grid, kept))
        self.kept.append((grid, kept))
        self.lines += [(grid.y.dimension, kept.y), (grid.x.dimension, kept.x)]

    def _widened(self, grid: Grid) -> Request:
        """The request, its box wide enough that cells of a target at its rim have a nearest one."""
        if self.request.target is None or self.request.bbox is None:
            return self.request
        return replace(self.request, bbox=around(grid, self.request.bbox))

    def _cut_cells(self, grid: Grid, paths: list[str]) -> None:
        cells = select_cells(grid, self._widened(grid))
        if cells.is_empty:
            self.missed |= dict.fromkeys(paths, whole_extent(grid))
            self.unmet.append(grid)
            return
        self.others.append((grid, cells))
        for path in paths:
            self.cells.add(path, cells)

    def _keep_beside(self, ground: Ground, shift: Shift, paths: list[str]) -> None:
        """Keep the cells beside what is kept between them, of the coordinates that go with it."""
        kept = self.cells.of.get(paths[0])
        if kept and ground.y is not None and shift.along == self.hierarchy.dimensions(ground.y):
            shape = tuple(map(self.hierarchy.length, shift.along))
            inside = cells_beside(kept[-1].at({}), shift, shape)
            self.cells.add(ground.y, Cells.of(shift.along, inside))


def _can_move(grid: Grid) -> bool:
    """Whether values can be put from it on another grid."""
    return grid.kind is GridKind.PROJECTED or len(grid.dimensions) <= 2


def _key(ground: Ground) -> object:
    crs = ground.mapping.crs if ground.mapping else ""
    return ground.kind, ground.y, ground.x, ground.dimensions, crs, ground.affine, ground.shift


def is_too_large(ground: Ground, hierarchy: Hierarchy) -> bool:
    """Whether places are too many to read them for nothing but an extent. **Reads:** nothing."""
    stored = ground.kind in (GridKind.CURVILINEAR, GridKind.TRACK)
    return stored and ground.y is not None and hierarchy.variables[ground.y].size > MOST_UNASKED


def _widened(grid: Grid, kept: HorizontalSelection, selection: Selections) -> HorizontalSelection:
    """What `selection` keeps of a grid with rows and columns, of which `kept` was asked for."""
    rows = selection.get(grid.y.dimension, kept.y)
    columns = selection.get(grid.x.dimension, kept.x)
    return HorizontalSelection(rows, columns, snapped_turns(kept.shifts, kept.x, columns))


def _other_plan(grid: Grid, cells: Cells | None, selection: Selections) -> GridPlan | None:
    """How a grid is cut in the end; None where none of its kept cells has a place."""
    positions = tuple(
        selection[own].positions if own in selection else np.arange(size, dtype=np.int64)
        for own, size in zip(grid.dimensions, grid.shape, strict=True)
    )
    if cells is None:
        inside = np.ones([own.size for own in positions], np.bool_)
    else:
        inside = cells.at(selection)
    box = extent(grid, positions, inside)
    if box is None:
        return None
    return GridPlan(
        grid.x.path, grid.y.path, box, kind=grid.kind, crs=grid.crs, dimensions=grid.dimensions
    )


def refuse_unplaced(footings: Mapping[str, Footing], request: Request, *, named: bool) -> None:
    """Raise unless the region of `request` can cut each variable that has a place on the Earth.

    Parameters
    ----------
    footings
        Of the requested variables.
    request
        What was asked.
    named
        Whether the user named the variables.

    Raises
    ------
    UncutBoxError
        The text names a variable that it cannot cut, and why.

    **Reads:** nothing.
    """
    region, other = ("A bounding box", "a box")
    if request.is_placed:
        region, other = ("Points", "points")
    elif request.shape is not None:
        region, other = ("A shape", "a shape")
    blocked = {}
    for path, own in footings.items():
        reason = own.obstacle
        if reason:
            blocked[path] = reason
    if blocked:
        path, reason = next(iter(blocked.items()))
        others = f" (and {len(blocked) - 1} more)" if len(blocked) > 1 else ""
        raise UncutBoxError(
            f"{region} cannot cut {path.lstrip('/')}{others}: {reason}. Ask without {other}, or "
            "for other variables."
        )
    if not any(own.ground for own in footings.values()):
        asked = ", ".join(path.lstrip("/") for path in footings) if named else "the store"
        raise UncutBoxError(
            f"{region} cannot cut {asked[:200]}: the store has no latitudes and longitudes, and no "
            f"reference system, of its cells. Ask without {other}."
        )
