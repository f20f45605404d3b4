"""Lines of Python that tell the areas of cells, by which an average weighs them."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from harmony_vds.model.areas import WGS84, CellAreas, area_north_of_equator
from harmony_vds.model.grid import GridKind
from harmony_vds.model.paths import group_of, name_of
from harmony_vds.model.plan import GridPlan, Plan
from harmony_vds.outputs.region_recipe import centres
from harmony_vds.outputs.store_recipe import are_found

_NEARLY = 1e-4
"""Share of the weights that may lie in other cells than they should: single precision leaves so
much uncertain of where fine cells end."""
_EXACTLY = 1e-12

type Floats = npt.NDArray[np.float64]


def weights_of(plan: Plan, areas: CellAreas) -> list[str]:
    """Lines for ``weights`` of the cells of a window; none where few lines cannot tell them.

    They are compared with `areas`, and say how far a mean may be from that of the output.
    **Reads:** nothing.
    """
    y, x = map(name_of, areas.dimensions)
    grid = next((own for own in plan.grids if own.dimensions == areas.dimensions), None)
    shape = areas.rows.size, areas.columns.size
    if areas.cells is not None:
        off = _off_alike(areas.cells)
        if off <= _NEARLY:
            return [*_remarks("All cells are of the same area", off),
                    f"weights = xr.Variable({(y, x)!r}, np.ones({shape!r}))"]  # fmt: skip
        return [] if grid is None else _by_scale(grid, plan)
    off = _off_alike(areas.columns[:, None])
    if grid is None or off > _NEARLY:
        return []
    if (areas.rows == areas.rows[0]).all():
        return [*_remarks("All cells are of the same area", off),
                f"weights = xr.Variable({(y, x)!r}, np.ones({shape!r}))"]  # fmt: skip
    for ends in _ends(grid, shape[0]):
        edges = np.linspace(*ends, shape[0] + 1).clip(-90.0, 90.0)
        rows = np.abs(np.diff(area_north_of_equator(edges, WGS84)))
        if (away := off + _off(areas.rows, rows)) <= _NEARLY:
            return _between(ends, (y, x), shape, away)
    return []


def _off_alike(areas: Floats) -> float:
    """`_off` of areas that are told to be the same; a row at a time, for there are many cells."""
    middle = float(np.mean(areas))
    found = sum(float(np.abs(own - middle).sum()) for own in areas) / (middle * areas.size)
    return found if np.isfinite(found) else np.inf


def _off(areas: Floats, told: Floats) -> float:
    """The share of the weights that is in other cells; infinite where an area is not known."""
    own, other = areas / np.sum(areas), told / np.sum(told)
    found = float(np.abs(own - other).sum())
    return found if np.isfinite(found) else np.inf


def _remarks(told: str, off: float) -> list[str]:
    digits = "about twelve digits" if off <= _EXACTLY else f"{off:.0e} of the range of values"
    return [f"# {told}.", f"# Means agree to {digits}."]


def _ends(grid: GridPlan, rows: int) -> Iterator[tuple[float, float]]:
    """Parallels between which even rows may lie, some of them half beyond a pole."""
    south, north = grid.bbox.south, grid.bbox.north
    for below, above in ((0.0, 0.0), (0.5, 0.5), (0.5, 0.0), (0.0, 0.5)):
        if rows > below + above:
            step = (north - south) / (rows - below - above)
            low, high = south - below * step, north + above * step
            yield low, high
            yield high, low


def _between(
    ends: tuple[float, float], names: tuple[str, str], shape: tuple[int, int], off: float
) -> list[str]:
    e = f"np.sqrt({WGS84.squared!r})"
    low, high = (round(own, 12) for own in ends)
    return [
        *_remarks("Cells count by their areas on the ellipsoid (Snyder 1987, equation 3-12)", off),
        f"edges = np.linspace({low!r}, {high!r}, {shape[0] + 1}).clip(-90, 90)",
        f"e, sines = {e}, np.sin(np.radians(edges))",
        "north = sines / (1 - (e * sines) ** 2) + np.arctanh(e * sines) / e",
        f"weights = xr.Variable({names[0]!r}, abs(np.diff(north)))",
        f"weights = weights * xr.Variable({names[1]!r}, np.ones({shape[1]}))",
    ]


def _by_scale(grid: GridPlan, plan: Plan) -> list[str]:
    """Lines that take areas from the scale of a map at the centres of cells."""
    from pyproj import CRS

    from harmony_vds.outputs.reference_recipe import height_of, named

    told = are_found(plan, group_of(plan.requested[0]), (grid.y_path, grid.x_path))
    if grid.kind is not GridKind.PROJECTED or not told or height_of(grid.crs) is not None:
        return []
    if not CRS.from_user_input(grid.crs).is_projected:
        return []
    dimensions = tuple(map(name_of, grid.dimensions))
    return [
        "# Cells count by their areas, as the map has them at their centres. A mean agrees to a",
        "# millionth of the range of values for cells of 25 km, and closer for smaller ones.",
        *([] if plan.masks else centres(grid)),  # else told with the region
        f"scale = pyproj.Proj({named(grid.crs)!r}).get_factors(lon, lat).areal_scale",
        "sides = np.abs(np.multiply.outer(np.gradient(y), np.gradient(x)))",
        f"weights = xr.Variable({dimensions!r}, sides / scale)",
    ]
