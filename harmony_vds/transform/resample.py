"""Values of target cells from those of the store's cells around their centres.

The nearest value is the stored one. Bilinear and cubic values are made as GDAL makes them, with
kernels as wide as a target cell where that is larger than the store's; beyond the grid its
outermost cells go on.

A target cell has a value where the nearest cell has one, with bilinear and cubic too, as GDAL has
it; missing neighbours then give their weight to the others.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from harmony_vds.model.arrays import Floats, Values
from harmony_vds.model.quads import Corners
from harmony_vds.model.target import Resampling
from harmony_vds.model.warp import Places

type Tap = tuple[npt.NDArray[np.intp], Values, npt.NDArray[np.bool_]]
"""Index of a cell for each place, its weight, and whether it is not one gone on from the edge."""

_BESIDE = 1e-10


@dataclass(frozen=True)
class Kernel:
    """Weights by distance."""

    weights: Callable[[Floats], Floats]
    """Of distances, counted in target cells where those are the larger ones."""
    radius: int
    """The distance at which they end."""


def nearest(values: Values, places: Places, fill: Any) -> Values:
    """The stored values at places counted in cells of the window; `fill` where there is none.

    Parameters
    ----------
    values
        Shape (..., rows, columns).
    places
        Rows and columns of the window.
    fill
        What stands for missing.

    **Reads:** nothing.
    """
    no_row, no_column = np.isnan(places.rows), np.isnan(places.columns)
    upright = no_row.shape[1] == 1 and no_column.shape[0] == 1
    if not upright:  # of a cell beside the grid the row may be known, and lie beside the window
        no_row = no_column = no_row | no_column
    y = (np.where(no_row, 0.0, places.rows) + _BESIDE).astype(np.intp)
    x = (np.where(no_column, 0.0, places.columns) + _BESIDE).astype(np.intp)
    found = _at(values, y, x)
    if upright:
        found[..., no_row[:, 0], :] = fill
        found[..., no_column[0]] = fill
    elif no_row.any():
        found[..., no_row] = fill
    return found


def _at(values: Values, rows: npt.NDArray[np.intp], columns: npt.NDArray[np.intp]) -> Values:
    """Values at indices that can be broadcast together."""
    if rows.shape[1] == 1 and columns.shape[0] == 1:
        across = columns[0]
        if rows.size < values.shape[-2]:
            return np.asarray(values.take(rows[:, 0], axis=-2).take(across, axis=-1))
        if across.size and (np.diff(across) == 1).all():
            part = values[..., int(across[0]) : int(across[-1]) + 1]
        else:
            part = values.take(across, axis=-1)
        return np.asarray(part.take(rows[:, 0], axis=-2))
    flat = values.reshape(*values.shape[:-2], -1)
    return np.asarray(flat.take(rows * values.shape[-1] + columns, axis=-1))


def blended(
    values: Values, places: Places, method: Resampling, scale: tuple[float, float], *, turns: bool
) -> Values:
    """Values at places between cell centres, by a kernel; missing where the nearest one is.

    Cubic needs all of its sixteen cells, or as many as a wider kernel has; elsewhere the value is
    the bilinear one.

    Parameters
    ----------
    values
        Floating; shape (..., rows, columns), missing ones not-a-number.
    places
        As for `nearest`.
    method
        `Resampling.BILINEAR` or `Resampling.CUBIC`.
    scale
        Cells under a target cell, (rows, columns), at least 1.
    turns
        Whether the last column is a neighbour of the first.

    **Reads:** nothing.
    """
    linear, _ = _by_kernel(values, places, LINEAR, scale, turns=turns)
    if method is Resampling.CUBIC:
        cubic, complete = _by_kernel(values, places, CUBIC, scale, turns=turns)
        linear = np.where(complete, cubic, linear)
    linear[np.isnan(nearest(values, places, np.nan))] = np.nan
    return linear


def mixed(values: Values, corners: Corners) -> Values:
    """Values of the quads of a swath; missing where the corner of most weight is.

    Other missing corners give their weight to those that are there.

    Parameters
    ----------
    values
        Floating; shape (..., rows, columns), missing ones not-a-number.
    corners
        Rows and columns of the window, and weights.

    **Reads:** nothing.
    """
    rows, columns, weights = corners
    none = np.isnan(weights[0])
    y, x = (np.where(none, 0, own) for own in (rows, columns))
    shape = (*values.shape[:-2], *none.shape)
    total, weight = np.zeros(shape, values.dtype), np.zeros(shape, values.dtype)
    flat = values.reshape(*values.shape[:-2], -1)
    most = np.where(none, 0.0, weights).argmax(axis=0)
    missing = np.broadcast_to(none, shape).copy()
    for number in range(4):
        own = flat.take(y[number] * values.shape[-1] + x[number], axis=-1)
        there = np.isfinite(own)
        each = np.where(none, 0.0, weights[number]).astype(values.dtype)
        total += np.where(there, own, 0.0) * each
        weight += there * each
        missing |= ~there & (most == number)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(missing, np.nan, total / weight).astype(values.dtype)


def _linear(away: Floats) -> Floats:
    return np.maximum(1.0 - np.abs(away), 0.0)


def _cubic(away: Floats) -> Floats:
    """Catmull and Rom's."""
    x = np.abs(away)
    near = (1.5 * x - 2.5) * x * x + 1.0
    far = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))


LINEAR = Kernel(_linear, 1)
CUBIC = Kernel(_cubic, 2)


def _by_kernel(
    values: Values, places: Places, kernel: Kernel, scale: tuple[float, float], *, turns: bool
) -> tuple[Values, npt.NDArray[np.bool_]]:
    """Weighted means, and where each of the cells that they are made from has a value."""
    there = np.isfinite(values)
    whole = bool(there.all())
    filled = values if whole else np.where(there, values, values.dtype.type(0))
    tall = _taps(places.rows, values.shape[-2], kernel, scale[0], turns=False)
    wide = _taps(places.columns, values.shape[-1], kernel, scale[1], turns=turns)
    shape = np.broadcast_shapes(places.rows.shape, places.columns.shape)
    total = np.zeros((*values.shape[:-2], *shape), values.dtype)
    weight, full = np.zeros_like(total), np.zeros(shape, values.dtype)
    complete = np.ones(total.shape, np.bool_)
    for row, by_row, inner_row in tall:
        for column, by_column, inner_column in wide:
            each = (by_row * by_column).astype(values.dtype)
            total += each * _at(filled, row, column)
            full += each
            complete &= inner_row & inner_column
            if not whole:
                met = _at(there, row, column)
                weight += each * met
                complete &= met
    with np.errstate(invalid="ignore", divide="ignore"):
        return total / (full if whole else weight), complete


def _taps(places: Floats, size: int, kernel: Kernel, scale: float, *, turns: bool) -> Sequence[Tap]:
    """The cells around places along one axis."""
    known = np.nan_to_num(places)
    first = np.floor(known - 0.5).astype(np.intp)
    around = math.ceil(kernel.radius * scale - 1e-9)
    found: list[Tap] = []
    for step in range(1 - around, around + 1):
        cell = first + step
        weight = kernel.weights((cell + 0.5 - known) / scale)
        inner = (cell >= 0) & (cell < size) | turns
        found.append((cell % size if turns else np.clip(cell, 0, size - 1), weight, inner))
    return found
