"""Lines of Python that make values of target cells from those at points spread over each."""

from collections.abc import Mapping

from harmony_vds.model.approach import Approach
from harmony_vds.model.paths import name_of
from harmony_vds.model.target import Resampling, TargetPlan
from harmony_vds.model.warp import Warp
from harmony_vds.outputs.decoded_recipe import DECODED, FLOATING

_FOUND: Mapping[Resampling, list[str]] = {
    Resampling.AVERAGE: ["    found = np.nanmean(points, axis=-1)"],
    Resampling.MINIMUM: ["    found = np.nanmin(points, axis=-1)"],
    Resampling.MAXIMUM: ["    found = np.nanmax(points, axis=-1)"],
    Resampling.MODE: [
        "    points = np.sort(points, axis=-1)",
        "    number = np.arange(points.shape[-1])",
        "    begins = np.diff(points, axis=-1, prepend=np.nan) != 0",
        "    run = number - np.maximum.accumulate(np.where(begins, number, 0), axis=-1)",
        "    longest = run.argmax(axis=-1)[..., None]  # of equal ones the first, so the least",
        "    found = np.take_along_axis(points, longest, axis=-1)[..., 0]",
    ],
}


def by_points(target: TargetPlan, way: Warp) -> list[str]:
    """Lines that define ``gathered``, which takes a variable as it is stored.

    They take ``located`` and ``inside`` of `harmony_vds.outputs.target_recipe`.
    **Reads:** nothing.
    """
    method = target.resampling
    parts = Approach(way, method).parts
    (a, _, left, _, e, top), (rows, columns) = target.transform, way.source.shape
    y, x = map(name_of, target.dimensions)
    grid = [name_of(own) for own in way.source.dimensions]
    first, stop = target.rows.start * parts, target.rows.stop * parts
    high, wide = target.size
    boxed = "" if target.inside is None else ".where(asked, made.type(fill))"
    is_mode = method is Resampling.MODE
    attributes = ", own.attrs" if is_mode else ""
    return [
        "",
        f"# {parts} by {parts} points in each of the cells; half of them must have values. One",
        "# on the edge between two stored cells may take the other one, to the last digit.",
        f"row, column, there = located({left!r} + {a / parts!r} * np.arange(0.5, {wide * parts}),",
        f"    {top!r} + {e / parts!r} * np.arange({first + 0.5}, {stop}))",
        f"fine = {{{grid[0]!r}: row.astype(int).clip(0, {rows - 1}),",
        f"    {grid[1]!r}: column.astype(int).clip(0, {columns - 1})}}",
        *([] if is_mode else [*DECODED, *FLOATING]),
        *([""] if is_mode else []),
        "def gathered(own):",
        *(_STORED if is_mode else _DECODED),
        f"    points = points.isel(fine).where(there).transpose(..., {y!r}, {x!r})",
        "    dims, shape = points.dims, points.shape[:-2]",
        f"    points = points.values.reshape(*shape, {high}, {parts}, {wide}, {parts})",
        f"    points = points.swapaxes(-3, -2).reshape(*shape, {high}, {wide}, {parts**2})",
        "    known = np.isfinite(points).sum(axis=-1)",
        *_FOUND[method],
        f"    found = np.where(2 * known >= {parts**2}, found, fill).astype(made)",
        f"    return xr.Variable(dims, found{attributes}){boxed}",
    ]


_DECODED = ["    points, fill, made = decoded(own.load()), np.nan, np.dtype(floating(own))"]
_STORED = [
    "    usual = netCDF4.default_fillvals.get(own.dtype.str[1:], 0)",
    "    usual = np.nan if own.dtype.kind == 'f' else usual",
    "    fill = own.attrs.get('_FillValue', own.attrs.get('missing_value', usual))",
    "    points, made = own.load().astype(float).where(own != fill), own.dtype",
]
