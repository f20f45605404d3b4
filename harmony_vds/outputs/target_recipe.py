"""Lines of Python that put what a recipe has cut on the output's own grid."""

from collections.abc import Sequence

import numpy as np

from harmony_vds.model.approach import Approach
from harmony_vds.model.extent import BoundingBox
from harmony_vds.model.grid import GridKind
from harmony_vds.model.maps import DEGREES, world_of
from harmony_vds.model.paths import group_of, name_of
from harmony_vds.model.plan import GridPlan, Plan
from harmony_vds.model.scatter import Scatter, way_to
from harmony_vds.model.swath import Swath
from harmony_vds.model.target import Resampling, SourceAxis, SourceGrid, TargetPlan
from harmony_vds.model.warp import Warp, within
from harmony_vds.outputs.average_recipe import by_area, is_averaged
from harmony_vds.outputs.kernel_recipe import by_kernel
from harmony_vds.outputs.reference_recipe import named
from harmony_vds.outputs.sample_recipe import by_points
from harmony_vds.outputs.store_recipe import are_found

type Source = SourceGrid | Swath

_EARTH = BoundingBox(-180.0, -90.0, 180.0, 90.0)
_NEAREST = [
    "# Each takes the cell that its centre lies nearest to; where two are equally near, to the",
    "# last digit, this may take the other one.",
]
_BESIDE = "1e-10"
"""Cells by which rounding may put a place on the other side of an edge, as `model.warp` has it."""


def source_in(plan: Plan, group: str, *, is_whole: bool) -> Source | None:
    """The grid that lines from `on_target` take values from; None where there are no such lines.

    There are for what lies on one grid of `group`, and for nearest values of a swath. All but the
    nearest values need the lines before to have done all that the plan does (`is_whole`).
    **Reads:** nothing.
    """
    target = plan.target
    if target is None or (plan.average is not None and not is_whole) or plan.beside:
        return None
    found: dict[int, Source] = {}
    for own in plan.variables:
        source = target.source_of(own.dimensions)
        if group_of(own.path) != group or source is None:
            continue
        method = target.resampling_of(own.path)
        plain = isinstance(source, SourceGrid) and is_whole
        if own.is_added or not (method is Resampling.NEAREST or plain):
            return None
        found[id(source)] = source
    source = next(iter(found.values()), None)
    if len(found) > 1 or (source is not None and not _is_told(source, plan, group)):
        return None
    return source


def place_paths(plan: Plan, source: Source) -> list[str]:
    """Full paths of the variables that the lines take places from. **Reads:** nothing."""
    if isinstance(source, SourceGrid) and source.y.is_even:
        return []
    grid = _grid(plan, source)
    paths = [] if grid is None else [grid.y_path]
    if grid is not None and isinstance(source, Swath):
        paths.append(grid.x_path)
    return paths


def _place_names(plan: Plan, source: Source) -> list[str]:
    return [name_of(own) for own in place_paths(plan, source)]


def on_target(plan: Plan, source: Source) -> list[str]:
    """Lines that put ``subset`` on the target grid of `plan`; see `source_in`.

    **Reads:** nothing.
    """
    assert plan.target is not None
    target, way = plan.target, way_to(plan.target, source)
    lines, located = _axes(target), _located(target, source, way)
    if isinstance(way, Scatter):
        lines += [*_NEAREST, *located, *_near(plan, way), *_returning(target, way)]
    else:
        located += [*_counted(plan, way), *_returning(target, way)]
        lines += _as_function(located) if _is_sampled(target, way) else [*_NEAREST, *located]
    return [*lines, *_asked(target), *_made(plan, way)]


def _is_sampled(target: TargetPlan, way: Warp | Scatter) -> bool:
    return Approach(way, target.resampling).parts > 1


def _as_function(located: Sequence[str]) -> list[str]:
    """Lines that locate places of the target, as a function of them, and those of its centres."""
    return [
        "",
        "def located(xs, ys):",
        *(f"    {own}" for own in located),
        "    return row, column, inside",
        "",
        "row, column, inside = located(xs, ys)",
    ]


def _grid(plan: Plan, source: Source) -> GridPlan | None:
    return next((own for own in plan.grids if own.dimensions == source.dimensions), None)


def _is_told(source: Source, plan: Plan, group: str) -> bool:
    """Whether few lines can say where the cells of `source` are."""
    assert plan.target is not None
    grid = _grid(plan, source)
    stored = grid is not None and are_found(plan, group, (grid.x_path, grid.y_path))
    if isinstance(source, Swath):
        return stored and not source.crs and grid is not None and grid.shifts is None
    latitudes = stored and grid is not None and grid.kind is GridKind.RECTILINEAR
    if not source.x.is_even or not (source.y.is_even or latitudes):
        return False
    way = Warp(plan.target, source)
    by_sides = Approach(way, plan.target.resampling).is_exact
    if by_sides and not is_averaged(plan.target, way):
        return False
    return not (_must_return(plan.target, way) and world_of(plan.target.crs))


def _must_return(target: TargetPlan, way: Warp | Scatter) -> bool:
    """Whether places of the target may lie beside its map."""
    around = target.inside or (_EARTH if isinstance(way, Scatter) else None)
    beside = around is not None and within(target, around).is_checked
    return beside or (isinstance(way, Warp) and way.is_checked)


def _axes(target: TargetPlan) -> list[str]:
    a, _, left, _, e, top = target.transform
    return [
        "",
        "# Centres of the output's cells.",
        f"xs = {left!r} + {a!r} * np.arange(0.5, {target.shape[1]})",
        f"ys = {top!r} + {e!r} * np.arange({target.rows.start + 0.5}, {target.rows.stop})",
        f"crs = {named(target.crs)!r}",
    ]


def _located(target: TargetPlan, source: Source, way: Warp | Scatter) -> list[str]:
    """Lines for ``x`` and ``y`` in the system of the source."""
    a, _, left, _, e, top = target.transform
    crs = DEGREES if isinstance(source, Swath) else source.crs or DEGREES
    lines = [f"way = pyproj.Transformer.from_crs(crs, {named(crs)!r}, always_xy=True)"]
    if isinstance(way, Warp) and way.rows is not None and way.columns is not None:
        row, column = (np.isfinite(own).argmax() for own in (way.rows, way.columns))
        return [
            *lines,
            f"x = way.transform(xs, np.full(xs.size, {float(top + e * (row + 0.5))!r}))[0]",
            f"y = way.transform(np.full(ys.size, {float(left + a * (column + 0.5))!r}), ys)[1]",
        ]
    return [*lines, "x, y = way.transform(*np.meshgrid(xs, ys))"]


def _counted(plan: Plan, way: Warp) -> list[str]:
    """Lines for ``row``, ``column`` and ``inside`` of a grid with rows and columns."""
    assert plan.target is not None
    source, (y, x) = way.source, map(name_of, plan.target.dimensions)
    on_y, on_x = (y, x) if way.is_cylindrical else ((y, x), (y, x))
    rows, columns = source.shape
    lines = ["# Stored rows and columns, counted from where the first begins."]
    if source.x.turns:
        low = float(min(source.x.edges))
        lines.append(f"x = (x - {low!r}) % 360 + {low!r}")
    column = _even("x", source.x)
    if source.x.is_round:
        column = f"({column}) % {columns}"
    lines.append(f"column = xr.Variable({on_x!r}, {column})")
    if source.y.is_even:
        row = _even("y", source.y)
    else:
        sign = "-" if source.y.step < 0 else ""
        name = _place_names(plan, source)[0]
        lines += [
            f"own = xr.decode_cf(subset[[{name!r}]])[{name!r}].values.astype(float)",
            f"own = {sign}np.array([1.5 * own[0] - own[1] / 2, *own, 1.5 * own[-1] - own[-2] / 2])",
            f"row = np.interp({sign}y, own, [0, *np.arange(0.5, {rows}), {rows}], left=-1)",
        ]
        row = f"row + {_BESIDE}"
    lines += [
        f"row = xr.Variable({on_y!r}, {row})",
        f"inside = (row >= 0) & (row < {rows}) & (column >= 0) & (column < {columns})",
        f"row, column = row.clip(0, {rows}).fillna(0), column.clip(0, {columns}).fillna(0)",
    ]
    return lines


def _even(places: str, axis: SourceAxis) -> str:
    step = axis.step or 1.0
    return f"({places} - {axis.edges[0]!r}) / {step!r} + {_BESIDE}"


def _near(plan: Plan, way: Scatter) -> list[str]:
    """Likewise of a swath."""
    assert plan.target is not None
    latitude, longitude = _place_names(plan, way.source)
    both = tuple(map(name_of, plan.target.dimensions))
    rows = map(name_of, way.source.dimensions)
    return [
        "",
        "# pykdtree is what pyresample searches by.",
        "from pykdtree.kdtree import KDTree",
        "",
        "def points(lon, lat):  # on the unit sphere; those that are missing far from it",
        "    lon, lat = (np.radians(np.where(np.isfinite(v), v, np.nan)) for v in (lon, lat))",
        "    found = [np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)]",
        "    return np.nan_to_num(np.stack(found, axis=-1), nan=9.0)",
        "",
        f"own = xr.decode_cf(subset[[{latitude!r}, {longitude!r}]].reset_coords())",
        f"own = own.transpose({', '.join(map(repr, rows))}).astype(float)",
        f"tree = points(own[{longitude!r}].values, own[{latitude!r}].values).reshape(-1, 3)",
        "at = (points(x, y) * np.where(np.abs(y) <= 90, 1, -9)[..., None]).reshape(-1, 3)",
        f"away, near = KDTree(tree).query(at, distance_upper_bound={way.radius!r})",
        "away, near = away.reshape(x.shape), near.astype(int).reshape(x.shape)",
        f"inside = xr.Variable({both!r}, np.isfinite(away))",
        f"row, column = np.divmod(near, {way.source.shape[1]})",
        "row, column = xr.Variable(inside.dims, row), xr.Variable(inside.dims, column)",
    ]


def _returning(target: TargetPlan, way: Warp | Scatter) -> list[str]:
    """Lines that leave out what lies beside the map."""
    if not _must_return(target, way):
        return []
    both = tuple(map(name_of, target.dimensions))
    a, e = target.transform[0], target.transform[4]
    return [
        "# What does not come back lies beside the map.",
        "own = pyproj.Transformer.from_crs(crs, pyproj.CRS(crs).geodetic_crs, always_xy=True)",
        "back = own.transform(*own.transform(*np.meshgrid(xs, ys)), direction='INVERSE')",
        f"away = np.hypot((back[0] - xs) / {a!r}, (back[1] - ys[:, None]) / {e!r})",
        f"inside = inside & xr.Variable({both!r}, away < 0.01)",
    ]


def _asked(target: TargetPlan) -> list[str]:
    """Lines that leave out what lies beside the box that was asked for."""
    if target.inside is None:
        return []
    box, both = target.inside, tuple(map(name_of, target.dimensions))
    return [
        f"way = pyproj.Transformer.from_crs(crs, {DEGREES!r}, always_xy=True)",
        "lon, lat = way.transform(*np.meshgrid(xs, ys))",
        f"asked = (lat >= {box.south!r} - 1e-9) & (lat <= {box.north!r} + 1e-9)",
        f"asked &= (lon - {box.west!r} + 1e-9) % 360 <= {box.width!r} + 2e-9",
        f"asked = xr.Variable({both!r}, asked)",
        "inside = inside & asked",
    ]


def _made(plan: Plan, way: Warp | Scatter) -> list[str]:
    """Lines that make the values."""
    assert plan.target is not None
    target, source = plan.target, way.source
    y, x = map(name_of, target.dimensions)
    grid = [name_of(own) for own in source.dimensions]
    both = zip(grid, ("row", "column"), source.shape, strict=False)
    cells = (f"{own!r}: {name}.astype(int).clip(0, {size - 1})"
             for own, name, size in both)  # fmt: skip
    places = _place_names(plan, source)
    mixing, choice = _mixing(plan, way)
    left = f" and name not in {places!r}" if isinstance(source, Swath) else ""
    return [
        "",
        f"cells = {{{', '.join(cells)}}}",
        "",
        "def picked(own):  # what has no cell holds the fill value, or netCDF's usual one",
        "    usual = netCDF4.default_fillvals.get(own.dtype.str[1:], 0)",
        "    usual = np.nan if own.dtype.kind == 'f' else usual",
        "    fill = own.attrs.get('_FillValue', own.attrs.get('missing_value', usual))",
        "    found = own.load().isel(cells).where(inside, own.dtype.type(fill))",
        f"    return found.transpose(..., {y!r}, {x!r})",
        *mixing,
        "",
        "kept = {name: own for name, own in subset.variables.items()",
        f"    if {{*own.dims}} & {{*cells}} in (set(), {{*cells}}){left}}}",
        "subset = xr.Dataset({name: own if not {*cells} <= {*own.dims} else picked(own)",
        f"    {choice}for name, own in kept.items()}})",
        f"subset = subset.assign_coords({{{y!r}: ys, {x!r}: xs}})",
    ]


def _mixing(plan: Plan, way: Warp | Scatter) -> tuple[list[str], str]:
    """Lines that define how values are mixed, and the choice of what is not; none if none are."""
    assert plan.target is not None
    target, group = plan.target, group_of((*plan.requested, "")[0])
    picked = sorted(name_of(own) for own in target.picked if group_of(own) == group)
    if isinstance(way, Warp) and target.resampling.is_kernel:
        return by_kernel(target, way), f"if name in {picked} else blended(own) "
    if not isinstance(way, Warp) or target.resampling is Resampling.NEAREST:
        return [], ""
    if _is_sampled(target, way):
        return by_points(target, way), f"if name in {picked} else gathered(own) "
    return by_area(target, way), f"if name in {picked} else averaged(own) "
