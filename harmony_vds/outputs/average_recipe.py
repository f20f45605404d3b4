"""Lines of Python that average what lies under each cell of a target, by rows and by columns."""

import numpy as np

from harmony_vds.model.paths import name_of
from harmony_vds.model.target import TURN, Resampling, SourceAxis, TargetPlan
from harmony_vds.model.warp import Warp
from harmony_vds.outputs.decoded_recipe import DECODED, FLOATING


def _extreme(reduce: str, none: str) -> list[str]:
    """Lines for the least or greatest of the cells that lie under one, if only in part."""
    return [
        f"    found = own.fillna({none}).values  # of cells that lie under one in part, too",
        f"    found = [found[..., o > 1e-9, :].{reduce}(axis=-2, initial={none}) for o in down]",
        "    found = np.stack(found, axis=-2)",
        f"    found = [found[..., o > 1e-9].{reduce}(axis=-1, initial={none}) for o in over]",
        "    found = np.stack(found, axis=-1)",
    ]


_FOUND = {
    Resampling.AVERAGE: ["    found = down @ own.fillna(0).values @ over.T / there"],
    Resampling.MINIMUM: _extreme("min", "np.inf"),
    Resampling.MAXIMUM: _extreme("max", "-np.inf"),
}


def is_averaged(target: TargetPlan, way: Warp) -> bool:
    """Whether `by_area` can tell an average: cells of both lie along each other on the map.

    **Reads:** nothing.
    """
    if not way.is_cylindrical or not way.source.y.is_even or not way.source.x.is_even:
        return False
    row, column = _middle(way)
    rows, columns = (np.arange(size + 1.0) for size in target.shape)
    return all(
        np.isfinite(way.locate(*own)).all()
        for own in ((rows, np.full(rows.size, column)), (np.full(columns.size, row), columns))
    )


def by_area(target: TargetPlan, way: Warp) -> list[str]:
    """Lines that define ``averaged``, which takes a variable as it is stored.

    They take ``way`` and ``inside`` of `harmony_vds.outputs.target_recipe`. **Reads:** nothing.
    """
    (a, _, left, _, e, top), (row, column) = target.transform, _middle(way)
    y, x = map(name_of, target.dimensions)
    grid = [name_of(own) for own in way.source.dimensions]
    first, stop = target.rows.start, target.rows.stop
    turn = abs(TURN / way.source.x.step) if way.source.x.turns else 0.0
    turns = f", {[number * turn for number in (-2, -1, 0, 1, 2)]!r}" if turn else ""
    unwrapped = ["x = np.unwrap(x, period=360)"] if turn else []
    if turn:
        low = float(min(way.source.x.edges))
        unwrapped.append(f"x -= 360 * np.floor((x[0] - {low!r}) / 360)")
    return [
        "",
        "# How much of each stored row, and column, lies under each of the output's.",
        f"x = {left!r} + {a!r} * np.arange({target.shape[1] + 1}.0)",
        f"y = {top!r} + {e!r} * np.arange({first}.0, {stop + 1})",
        f"x, y = (way.transform(x, np.full(x.size, {float(top + e * row)!r}))[0],",
        f"    way.transform(np.full(y.size, {float(left + a * column)!r}), y)[1])",
        *unwrapped,
        "",
        "def shares(sides, size, turns=[0]):",
        "    low, high = np.sort([sides[:-1], sides[1:]], axis=0)[..., None]",
        "    ats = [np.arange(size) + turn for turn in turns]",
        "    lying = [np.minimum(high, at + 1) - np.maximum(low, at) for at in ats]",
        "    return np.clip(lying, 0, None).sum(axis=0), high - low",
        "",
        f"down, tall = shares({_positions('y', way.source.y)}, {way.source.shape[0]})",
        f"over, wide = shares({_positions('x', way.source.x)}, {way.source.shape[1]}{turns})",
        *DECODED,
        *FLOATING,
        "# Missing where less than half of what lies under a cell is there; the last digits of",
        "# single precision may differ.",
        "def averaged(own):",
        "    made = floating(own)",
        f"    own = decoded(own.load()).transpose(..., {grid[0]!r}, {grid[1]!r})",
        "    there = down @ own.notnull().values @ over.T",
        *_FOUND[target.resampling],
        "    found = np.where(there >= (0.5 - 1e-6) * tall * wide.T, found, np.nan)",
        f"    dimensions = (*own.dims[:-2], {y!r}, {x!r})",
        "    return xr.Variable(dimensions, found.astype(made)).where(inside)",
    ]


def _middle(way: Warp) -> tuple[float, float]:
    """A row and a column of the target, at their centres, that lie on the map."""
    assert way.rows is not None
    assert way.columns is not None
    return int(np.isfinite(way.rows).argmax()) + 0.5, int(np.isfinite(way.columns).argmax()) + 0.5


def _positions(places: str, axis: SourceAxis) -> str:
    return f"({places} - {axis.edges[0]!r}) / {axis.step or 1.0!r}"
