"""Places between the centres of cells, for values that are weighed by how far each centre is.

The four centres around a place count by its share of the way from one to the next, along rows and
along columns, in degrees or in the units of the grid's map. Beyond the outermost centres there is
no other side: there the outermost count alone. Longitudes are compared modulo 360, and between the
last and the first column of a whole turn lies what is between any two.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from harmony_vds.errors import StoreError, UnsupportedError
from harmony_vds.model.arrays import Floats
from harmony_vds.model.grid import Axis, Grid, GridKind
from harmony_vds.model.listing import listed
from harmony_vds.model.paths import name_of
from harmony_vds.model.places import Blend, Place, Placement
from harmony_vds.model.target import Resampling, is_blendable
from harmony_vds.planning.crs import system_of
from harmony_vds.planning.hierarchy import Hierarchy
from harmony_vds.planning.nearest import turned
from harmony_vds.planning.places import from_degrees
from harmony_vds.planning.resampling import resampling_of
from harmony_vds.planning.suitability import unsuited

type Shares = tuple[np.ndarray[tuple[int], np.dtype[np.int64]], Floats]


def is_blended(interpolation: str) -> bool:
    """Whether values at places are wanted from between cells.

    Raises
    ------
    UnsupportedError
        They are wanted by another method than the nearest cell or bilinear weights.

    **Reads:** nothing.
    """
    method = resampling_of(interpolation)
    if method not in (Resampling.NEAREST, Resampling.BILINEAR):
        raise UnsupportedError(
            f"Values at places are those of the nearest cell (near) or weighed between four "
            f"(bilinear), and interpolation={method.value} is neither. Ask for one of them."
        )
    return method is Resampling.BILINEAR


def blend(
    grid: Grid, placement: Placement, paths: Iterable[str], hierarchy: Hierarchy
) -> tuple[Blend | None, list[str]]:
    """The four cells around each place, for those of `paths` that have values in between.

    Parameters
    ----------
    grid
        On which the places are.
    placement
        The places.
    paths
        Requested variables.
    hierarchy
        The store's variables.

    Returns
    -------
    tuple
        None where no variable has values in between; remarks that the user should read.

    Raises
    ------
    UnsupportedError
        The grid has no rows and columns to weigh along.
    StoreError
        Its centres do not run on in one direction.

    **Reads:** nothing.
    """
    laid = [own for own in paths if {*placement.dimensions} <= {*hierarchy.dimensions(own)}]
    raws = {own: hierarchy.variables[own] for own in laid}
    blended = {
        own for own, raw in raws.items()
        if is_blendable(raw.dtype, raw.attrs) and not unsuited(raw)
    }  # fmt: skip
    left = [own.lstrip("/") for own in laid if own not in blended]
    notes = []
    if left:
        notes.append(
            f"{listed(left)} took the value of the nearest cell: flags, "
            "categories, counts, text, times, angles and logarithms have none in between."
        )
    if not blended:
        return None, notes
    rows, columns = _shares(grid, placement.places)
    (low, up), (left_of, right) = (_pair(own, size) for own, size in zip(
        (rows, columns), grid.shape, strict=True))  # fmt: skip
    cells = np.stack([
        np.stack([low, low, up, up], axis=-1).ravel(),
        np.stack([left_of, right, left_of, right], axis=-1).ravel(),
    ])  # fmt: skip
    down, across = rows[1][:, None], columns[1][:, None]
    weights = np.concatenate(
        [(1 - down) * (1 - across), (1 - down) * across, down * (1 - across), down * across], axis=1
    )
    return Blend(cells, weights, frozenset(blended)), notes


def _pair(shares: Shares, size: int) -> Shares:
    """The positions before and behind a place."""
    return shares[0], np.where(shares[1] > 0, (shares[0] + 1) % size, shares[0])


def _shares(grid: Grid, places: Sequence[Place]) -> tuple[Shares, Shares]:
    """For rows and columns the position before each place, and its share of the way to the next."""
    asked = np.array([[own.longitude, own.latitude] for own in places]).reshape(-1, 2).T
    if grid.kind is GridKind.RECTILINEAR:
        return _along(grid.y, asked[1]), _along(grid.x, asked[0], 360.0)
    if grid.kind is GridKind.PROJECTED:
        x, y = from_degrees(grid, asked[0], asked[1])
        turn = 360.0 if system_of(grid.crs).is_geographic else None
        return _along(grid.y, y), _along(grid.x, x, turn)
    raise UnsupportedError(
        f"Values between the cells of {grid.y.path.lstrip('/')} cannot be told: they lie in no "
        "rows and columns. Ask without interpolation."
    )


def _along(axis: Axis, values: Floats, period: float | None = None) -> Shares:
    """Of each value the centre before it, and its share of the way to the next in [0, 1]."""
    centres = axis.values
    steps = np.diff(centres) if period is None else turned(np.diff(centres))
    if not (np.isfinite(steps).all() and ((steps > 0).all() or (steps < 0).all())):
        raise StoreError(
            f"The centres along {name_of(axis.dimension)} do not run on in one direction, so that "
            "nothing lies between them. Ask without interpolation."
        )
    sign = -1.0 if steps.size and steps[0] < 0 else 1.0
    known = sign * (centres[0] + np.concatenate([[0.0], np.cumsum(steps)]))
    wanted = sign * values
    if period is not None:
        span, step = known[-1] - known[0], float(np.median(np.abs(steps))) if steps.size else period
        if abs(span + step - period) < 0.01 * step:
            known = np.append(known, known[0] + period)
        margin = (period - min(known[-1] - known[0], period)) / 2
        wanted = known[0] - margin + np.mod(wanted - known[0] + margin, period)
    before = np.clip(np.searchsorted(known, wanted, side="right") - 1, 0, max(known.size - 2, 0))
    behind = np.minimum(before + 1, known.size - 1)
    way = np.where(behind > before, known[behind] - known[before], 1.0)
    share = np.clip((wanted - known[before]) / way, 0.0, 1.0)
    return before.astype(np.int64), share
