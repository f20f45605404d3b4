"""Values of target cells from all of the store's cells that lie under them.

Where rows of the target are rows of the grid the part of the grid under a target cell is a
rectangle. An average is then the mean over it, cells that lie under it in part counted in part, and
least and greatest value are those of all cells of which any part lies under it. Elsewhere, and for
the mode everywhere, values are those at points spread evenly over the target cell.

A target cell has a value where at least half of what lies under it is there.
"""

import numpy as np

from harmony_vds.model.arrays import Floats, Values
from harmony_vds.model.target import Resampling

type Spans = tuple[Floats, Floats]
"""Where each row, or column, of a target block begins and ends, counted in cells of the window."""

_HALF = 0.5 - 1e-6
_BESIDE = 1e-9
"""Cells by which a side may be off: no cell lies under another for less."""


def over_rectangles(
    values: Values, rows: Spans, columns: Spans, method: Resampling, *, turns: bool
) -> Values:
    """One value for each rectangle of the grid; not-a-number where less than half is there.

    Parameters
    ----------
    values
        Floating; shape (..., rows, columns), missing ones not-a-number.
    rows, columns
        Sides of the rectangles.
    method
        `Resampling.AVERAGE`, `Resampling.MINIMUM` or `Resampling.MAXIMUM`.
    turns
        Whether the last column is a neighbour of the first.

    **Reads:** nothing.
    """
    if turns:
        values = np.concatenate([values, values], axis=-1)
    there = np.isfinite(values)
    met = _summed(_summed(there.astype(np.float64), rows, -2), columns, -1)
    if method is Resampling.AVERAGE:
        filled = np.where(there, values, 0.0).astype(np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            found = _summed(_summed(filled, rows, -2), columns, -1) / met
    else:
        reduce = np.fmin if method is Resampling.MINIMUM else np.fmax
        found = _reduced(_reduced(values, rows, -2, reduce), columns, -1, reduce)
    area = (rows[1] - rows[0])[:, None] * (columns[1] - columns[0])[None, :]
    with np.errstate(invalid="ignore"):
        return np.where(met >= _HALF * area, found, np.nan).astype(values.dtype)


def _summed(values: Floats, spans: Spans, axis: int) -> Floats:
    """Sums of `values` over spans along an axis, cells that lie in part counted in part."""
    sums = np.cumsum(np.moveaxis(values, axis, -1), axis=-1)
    sums = np.concatenate([np.zeros((*sums.shape[:-1], 1)), sums], axis=-1)
    ends = []
    for side in spans:
        place = np.clip(np.nan_to_num(side), 0, sums.shape[-1] - 1)
        below = np.minimum(place.astype(np.intp), sums.shape[-1] - 2)
        part = place - below
        ends.append(sums[..., below] * (1 - part) + sums[..., below + 1] * part)
    return np.moveaxis(ends[1] - ends[0], -1, axis)


def _reduced(values: Values, spans: Spans, axis: int, reduce: np.ufunc) -> Values:
    """What `reduce` makes of the cells that spans along an axis touch."""
    size = values.shape[axis]
    first = np.floor(np.nan_to_num(spans[0]) + _BESIDE).astype(np.intp).clip(0, size - 1)
    stop = np.ceil(np.nan_to_num(spans[1]) - _BESIDE).astype(np.intp).clip(first + 1, size)
    shape = list(values.shape)
    shape[axis] = 1
    ended = np.concatenate([values, np.full(shape, np.nan, values.dtype)], axis=axis)
    found = reduce.reduceat(ended, np.stack([first, stop], axis=-1).ravel(), axis=axis)
    return np.asarray(np.moveaxis(np.moveaxis(found, axis, 0)[::2], 0, axis))


def gathered(samples: Values, method: Resampling) -> Values:
    """One value of several; not-a-number where less than half of them are there.

    Parameters
    ----------
    samples
        Floating; shape (..., samples), missing ones not-a-number.
    method
        `Resampling.AVERAGE`, `Resampling.MODE`, `Resampling.MINIMUM` or `Resampling.MAXIMUM`. Of
        values that are equally frequent the least is the mode.

    **Reads:** nothing.
    """
    there = np.isfinite(samples)
    count = there.sum(axis=-1)
    if method is Resampling.MODE:
        found = _most_frequent(samples)
    elif method is Resampling.AVERAGE:
        found = np.where(there, samples, 0.0).sum(axis=-1) / np.maximum(count, 1)
    elif method is Resampling.MINIMUM:
        found = np.where(there, samples, np.inf).min(axis=-1)
    else:
        found = np.where(there, samples, -np.inf).max(axis=-1)
    return np.where(2 * count >= samples.shape[-1], found, np.nan)


def _most_frequent(samples: Values) -> Values:
    """The value of the longest run of equal ones among each cell's ordered samples."""
    ordered = np.sort(samples, axis=-1)
    number = np.arange(ordered.shape[-1], dtype=np.int32)
    begins = np.ones(ordered.shape, np.bool_)
    begins[..., 1:] = ordered[..., 1:] != ordered[..., :-1]
    first = np.maximum.accumulate(np.where(begins, number, 0), axis=-1)
    last = (number - first).argmax(axis=-1)
    return np.asarray(np.take_along_axis(ordered, last[..., None], axis=-1)[..., 0])
