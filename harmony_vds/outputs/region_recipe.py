"""Lines of Python that tell which cells lie in the region that was asked for, and blank the others.

The lines go by the centres of cells, and hold the number of cells that the output has: where they
find another one they say so instead of giving other values.
"""

from collections.abc import Mapping, Sequence

from harmony_vds.model.average import AverageKind
from harmony_vds.model.grid import GridKind
from harmony_vds.model.paths import group_of, name_of
from harmony_vds.model.plan import GridPlan, Mask, Plan
from harmony_vds.outputs.store_recipe import are_found

_ARITHMETIC = "1e-9"
"""Degrees, well above the rounding of sums of angles."""

_LONGEST_SHAPE = 1000
"""Letters of a GeoJSON document that a recipe repeats."""


def regional(plan: Plan, group: str) -> list[str]:
    """Lines that define ``inside`` for the cells of a mask; none where few lines cannot.

    There are for one grid, cut by a box or by a shape, whose places are stored.
    **Reads:** nothing.
    """
    if len(plan.masks) != 1:
        return []
    grid = _grid(plan, plan.masks[0], group)
    region = None if grid is None else _region(plan)
    if grid is None or region is None:
        return []
    return [
        "",
        "# Of the cells of the window those count whose centres lie in what was asked for.",
        *centres(grid),
        *region,
        *_counted(plan),
    ]


def places_of(plan: Plan, group: str) -> list[str]:
    """Full paths of the variables that `regional` takes places from. **Reads:** nothing."""
    if len(plan.masks) != 1 or not regional(plan, group):
        return []
    grid = _grid(plan, plan.masks[0], group)
    return [] if grid is None else [grid.y_path, grid.x_path]


def blanked(names: Sequence[str]) -> list[str]:
    """Lines that blank what `regional` has told to lie outside, of some variables.

    **Reads:** nothing.
    """
    if not names:
        return []
    return [
        "",
        "def blanked(own):  # cells outside hold the fill value, or netCDF's usual one",
        "    usual = netCDF4.default_fillvals.get(own.dtype.str[1:], 0)",
        "    usual = np.nan if own.dtype.kind == 'f' else usual",
        "    fill = own.attrs.get('_FillValue', own.attrs.get('missing_value', usual))",
        "    fill = own.dtype.type(fill)",
        "    found = own.load().where(inside, fill)",
        "    found.attrs = {**own.attrs, '_FillValue': fill}",
        "    return found",
        "",
        f"subset = subset.assign({{name: blanked(subset.variables[name]) for name in {names!r}}})",
    ]


def masked_in(plan: Plan, group: str) -> list[str]:
    """Names of the variables of a group to blank: an area's average gives no weight to what is out.

    **Reads:** nothing.
    """
    paths = {path for own in plan.masks for path in own.variables}
    if plan.average is not None and plan.average.kind is AverageKind.AREA:
        paths -= {own.path for own in plan.average.variables}
    return [name_of(own.path) for own in plan.variables
            if own.path in paths and group_of(own.path) == group and not own.is_added]  # fmt: skip


def _grid(plan: Plan, mask: Mask, group: str) -> GridPlan | None:
    """The grid that a mask lies on, if it is cut by places alone and they are stored."""
    timed = any(
        own.path in plan.time_axes and {*own.dimensions} & {*mask.dimensions}
        for own in plan.variables
    )
    found = (own for own in plan.grids if own.dimensions == mask.dimensions)
    grid = next(found, None)
    if grid is None or timed or len(mask.dimensions) != 2:
        return None
    stored = are_found(plan, group, (grid.x_path, grid.y_path))
    return grid if stored else None


def centres(grid: GridPlan) -> list[str]:
    """Lines for ``lon`` and ``lat`` of the cells of a window, in degrees. **Reads:** nothing."""
    y, x = name_of(grid.y_path), name_of(grid.x_path)
    lines = [f"own = xr.decode_cf(subset[[{y!r}, {x!r}]].reset_coords()).astype(float)"]
    match grid.kind:
        case GridKind.RECTILINEAR:
            lines += [f"lon, lat = np.meshgrid(own[{x!r}].values, own[{y!r}].values)"]
        case GridKind.PROJECTED:
            from harmony_vds.outputs.reference_recipe import height_of, named

            high = height_of(grid.crs)
            turned = "" if high is None else f" * {high!r}"  # stated as angles of a scan
            lines += [
                f"way = pyproj.Transformer.from_crs({named(grid.crs)!r}, 4326, always_xy=True)",
                f"x, y = own[{x!r}].values{turned}, own[{y!r}].values{turned}",
                "lon, lat = way.transform(*np.meshgrid(x, y))",
            ]
        case _:
            rows = ", ".join(repr(name_of(own)) for own in grid.dimensions)
            lines += [f"lon, lat = (own[name].transpose({rows}).values for name in {[x, y]!r})"]
    return lines


def _region(plan: Plan) -> list[str] | None:
    """Lines for ``asked``, by ``lon`` and ``lat``; None where they do not tell what was asked."""
    lines, terms = [], []
    asked = plan.asked
    if isinstance(asked.get("bbox"), list):
        west, south, east, north = map(float, asked["bbox"])  # type: ignore[call-overload]
        wide = east - west if east >= west else east - west + 360
        lines += [
            f"across = (lon - {west!r} + {_ARITHMETIC}) % 360 <= {wide!r} + 2 * {_ARITHMETIC}",
            f"along = (lat >= {south!r} - {_ARITHMETIC}) & (lat <= {north!r} + {_ARITHMETIC})",
        ]
        terms += ["across", "along"]
    if isinstance(asked.get("shape"), Mapping):
        opened = _opened(plan)
        if opened is None:
            return None
        lines += [
            *opened,
            "shapely.prepare(shape)",
            "held = shapely.intersects_xy(shape, lon, lat)",
        ]
        terms += ["held"]
    return [*lines, f"asked = {' & '.join(terms)}"] if terms else None


def _opened(plan: Plan) -> list[str] | None:
    """Lines for ``shape`` as it was sent; None where it had to be mended or turned first."""
    import numpy as np
    import shapely

    document = plan.record.get("shape")
    sent = "shape = shapely.from_geojson(open('shape.geojson').read())  # as it was sent"
    if not isinstance(document, str):
        return None
    whole = shapely.from_geojson(document, on_invalid="ignore")  # as of features without places
    if whole is None or whole.is_empty:
        return None
    parts = shapely.get_parts(shapely.get_parts(shapely.get_parts(whole)))
    bounds = shapely.bounds(parts)
    if not shapely.is_valid(parts).all() or (np.ptp(bounds[:, [0, 2]], axis=1) > 180).any():
        return None  # an edge of more than half a turn goes the other way
    low = -180.0
    if bounds[:, 0].min() < -180 or bounds[:, 2].max() > 180:
        low = float(np.floor((bounds[:, 0].min() + bounds[:, 2].max()) / 2)) - 180
    told = f"shape = shapely.from_geojson({document!r})"
    return [
        told if len(document) <= _LONGEST_SHAPE else sent,
        f"lon = (lon - {low!r}) % 360 + {low!r}",
    ]


def _counted(plan: Plan) -> list[str]:
    inside = plan.masks[0].inside
    dimensions = tuple(map(name_of, plan.masks[0].dimensions))
    return [
        "# The output may differ by cells on edges, or touched by parts that hold no centre.",
        f"assert asked.sum() == {inside.count}, 'other cells than in the output'",
        f"inside = xr.Variable({dimensions!r}, asked)",
    ]
