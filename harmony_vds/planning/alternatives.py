"""Other requests to offer in place of one that is too large: of the same cells, with less to write.

They help where reading is within the limits and writing is not; a virtual subset reads nothing, and
helps in both cases.
"""

import math
from collections.abc import Iterator
from dataclasses import replace

from harmony_vds.model.formats import KERCHUNK, format_of
from harmony_vds.model.grid import GridKind
from harmony_vds.model.request import Request, TargetGrid
from harmony_vds.model.target import TargetPlan
from harmony_vds.planning.narrowing import Narrowing, Offer

_COARSER = (1, 2, 4)
"""Times the sides that arithmetic says should do, tried one after another."""


def averaged(narrowing: Narrowing) -> Offer | None:
    """The mean over time of what was asked, or else over its area. **Reads:** coordinates."""
    request = narrowing.request
    if not _is_plain(request) or not _reading_fits(narrowing):
        return None
    kinds = ["time"] if narrowing.plan.time_axes else []
    kinds += [] if format_of(request.media_type).per_variable else ["area"]
    for kind in kinds:
        cost = narrowing.settled(replace(request, average=kind))
        if cost is not None:
            return Offer(f"average={kind}", f"--average {kind}", cost)
    return None


def coarser_grid(narrowing: Narrowing) -> Offer | None:
    """Means over square blocks of cells, where latitudes and longitudes lie along rows and columns.

    **Reads:** coordinates.
    """
    request = narrowing.request
    if not _is_plain(request) or format_of(request.media_type).is_table:
        return None
    if not _reading_fits(narrowing):
        return None
    for width, height in _sizes(narrowing):
        asked = TargetGrid(scale_size=(width, height), interpolation="average")
        cost = narrowing.settled(replace(request, target=asked))
        if cost is not None:
            return Offer(
                f"scaleSize={width:g},{height:g}&interpolation=average",
                f"--cell {width:g} {height:g} --interpolation average", cost,
            )  # fmt: skip
    return None


def coarser_target(narrowing: Narrowing) -> Offer | None:
    """The grid that was asked for in larger cells, under which the same chunks lie.

    **Reads:** coordinates.
    """
    asked, target = narrowing.request.target, narrowing.plan.target
    if asked is None or target is None or not _reading_fits(narrowing):
        return None
    times = max(math.ceil(math.sqrt(narrowing.excess(narrowing.plan.cost))), 2)
    for more in _COARSER:
        own, parameters, options = _larger_cells(asked, target, times * more)
        cost = narrowing.settled(replace(narrowing.request, target=own))
        if cost is not None:
            return Offer(parameters, options, cost)
    return None


def _larger_cells(
    asked: TargetGrid, target: TargetPlan, times: int
) -> tuple[TargetGrid, str, str]:  # fmt: skip
    """A target whose cells are so many times as wide and high, for Harmony and the command line."""
    if asked.scale_size is not None and asked.width is None and asked.height is None:
        size = [float(f"{own * times:.4g}") for own in asked.scale_size]
        x, y = (f"{own:.10g}" for own in size)
        found = replace(asked, scale_size=(size[0], size[1]))
        return found, f"scaleSize={x},{y}", f"--cell {x} {y}"
    rows, columns = (max(own // times, 1) for own in target.shape)
    found = replace(asked, scale_size=None, width=columns, height=rows)
    return found, f"width={columns}&height={rows}", f"--width {columns} --height {rows}"


def virtual_subset(narrowing: Narrowing) -> Offer | None:
    """References to the chunks of what was asked; Harmony knows no such form.

    **Reads:** coordinates.
    """
    request = narrowing.request
    if not _is_plain(request) or format_of(request.media_type).is_table:
        return None
    cost = narrowing.settled(replace(request, media_type=KERCHUNK))
    if cost is None:
        return None
    return Offer("on the command line", "--format kerchunk", cost, "points to the archive's chunks")


ALTERNATIVES = (averaged, coarser_grid, coarser_target, virtual_subset)
"""Tried in this order, after all that asks for fewer cells."""


def _is_plain(request: Request) -> bool:
    """Whether stored cells were asked for, and values of them."""
    derived = request.average is not None or request.is_placed or request.target is not None
    return not derived and not format_of(request.media_type).by_reference


def _reading_fits(narrowing: Narrowing) -> bool:
    """Whether the request would be allowed if it wrote nothing."""
    cost = replace(narrowing.plan.cost, bytes_written=0, rows=0, peak_disk=0)
    return narrowing.fits([cost])


def _sizes(narrowing: Narrowing) -> Iterator[tuple[float, float]]:
    """Widths and heights of cells to try, in degrees, in numbers that can be typed."""
    plan = narrowing.plan
    grid = next((own for own in plan.grids if own.kind is GridKind.RECTILINEAR), None)
    if grid is None or len(grid.dimensions) != 2:
        return
    rows, columns = (len(plan.selection[own]) if own in plan.selection else 0
                     for own in grid.dimensions)  # fmt: skip
    if not rows or not columns:
        return
    width, height = grid.bbox.width / columns, (grid.bbox.north - grid.bbox.south) / rows
    times = max(math.ceil(math.sqrt(narrowing.excess(plan.cost))), 2)
    for more in _COARSER:
        yield (
            float(f"{width * times * more:.4g}"),
            float(f"{height * times * more:.4g}"),
        )
