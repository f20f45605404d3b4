"""How many cells of a grid lie under a cell of a target."""

import numpy as np

from harmony_vds.model.arrays import Floats

EVEN_SCALE = 0.05
"""By how much a scale may differ from a whole number and count as it, as with GDAL."""


def spacing(down: Floats, over: Floats) -> tuple[float, float]:
    """Steps along rows, and along columns, of the grid that go as far as a target cell is wide.

    `down` and `over` are what one step along the target's rows, and columns, spans of the grid's
    (rows, columns); shape (2, places).

    Where cells lie oblique to each other these are fewer than those of the box around a target
    cell: a kernel as wide as the box would weigh cells far outside of the target cell.
    **Reads:** nothing.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        area = np.abs(down[0] * over[1] - down[1] * over[0])
        # A step along rows, counted in target cells, is a column of the inverse of what is known.
        return in_the_middle(area / np.hypot(down[::-1], over[::-1]))


def in_the_middle(spans: Floats) -> tuple[float, float]:
    """Of cells under a target cell, (rows, columns), those in the middle of all; at least 1.

    **Reads:** nothing.
    """
    found = []
    for own in spans:
        good = own[np.isfinite(own)]
        scale = float(np.median(good)) if good.size else 1.0
        whole = round(scale)
        found.append(max(1.0, float(whole) if abs(scale - whole) < EVEN_SCALE else scale))
    return found[0], found[1]
