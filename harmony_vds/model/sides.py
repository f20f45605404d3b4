"""Where the sides of a target's cells lie on a grid whose rows are rows of the target."""

from collections.abc import Callable

import numpy as np

from harmony_vds.model.arrays import Floats

type Spans = tuple[Floats, Floats]
"""Where cells begin and where they end."""

_HALVINGS = 40


def sides_around(
    centres: Floats, cells: slice, at: Callable[[Floats], Floats], turn: float
) -> Spans:
    """Least and greatest side of each cell; of one beyond the edge of the map, that edge.

    Parameters
    ----------
    centres
        Places of the cells' centres on another grid; not-a-number where there are none.
    cells
        Which of the target's rows, or columns, they are.
    at
        Gives the places on the grid of places among the rows, or columns.
    turn
        Cells of the grid in a whole turn; 0 where it does not go round.

    **Reads:** nothing.
    """
    edges = at(np.arange(cells.start, cells.stop + 1.0))
    sides = np.stack([edges[:-1], edges[1:]])
    for number, own in enumerate(sides):
        lost = np.flatnonzero(np.isnan(own) & np.isfinite(centres))
        near, far = cells.start + lost + 0.5, cells.start + lost + float(number)
        for _ in range(_HALVINGS if lost.size else 0):
            middle = (near + far) / 2
            known = np.isfinite(at(middle))
            near, far = np.where(known, middle, near), np.where(known, far, middle)
        own[lost] = at(near)
    if turn:
        sides += turn * np.round((centres - sides) / turn)
    return sides.min(axis=0), sides.max(axis=0)
