"""The areas of a grid's cells, which an area average weighs them by."""

import numpy as np

from harmony_vds.model.areas import CellAreas, area_north_of_equator
from harmony_vds.model.grid import Axis
from harmony_vds.model.selection import AxisSelection
from harmony_vds.planning.spatial import Floats, half_widths

_ARITHMETIC = 1e-9


def areas_between(y: Axis, x: Axis, rows: AxisSelection, columns: AxisSelection) -> CellAreas:
    """Areas of cells that lie between parallels and meridians, by their bounds where stored.

    Without bounds, cells meet half-way between centres and end at the poles, and columns that are
    stored more than once share their area. A single row or column without bounds has no known
    width, and all its cells weigh by the other side alone.

    Parameters
    ----------
    y, x
        Latitudes and longitudes, degrees.
    rows, columns
        What is kept of them.

    **Reads:** nothing.
    """
    below, above = half_widths(y.values, y.bounds)
    south = np.clip(y.values - below, -90.0, 90.0)
    north = np.clip(y.values + above, -90.0, 90.0)
    each = area_north_of_equator(north) - area_north_of_equator(south)
    return CellAreas(
        (y.dimension, x.dimension),
        _known(each)[rows.positions],
        _known(np.radians(_widths(x)))[columns.positions],
    )


def _known(sides: Floats) -> Floats:
    return sides if (sides > 0).any() else np.ones_like(sides)


def _widths(x: Axis) -> Floats:
    """Degrees of longitude of each column: together no more than a turn."""
    below, above = half_widths(x.values, x.bounds, period=360.0)
    widths = below + above
    if not np.nansum(widths) > 360.0 + _ARITHMETIC + x.resolution * x.values.size:
        return widths
    # Columns that are stored at both edges of the data, or a world of points at both its edges.
    turned = np.round(np.mod(x.values, 360.0) / _ARITHMETIC) * _ARITHMETIC % 360.0
    places, own, times = np.unique(turned, return_inverse=True, return_counts=True)
    after = np.mod(np.roll(places, -1) - places, 360.0)
    after[places.size == 1] = 360.0
    return np.asarray(((after + np.roll(after, 1)) / 2 / times)[own], np.float64)
