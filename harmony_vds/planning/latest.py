"""The one time of a map: the latest, as map servers take it where a request names none."""

import numpy as np

from harmony_vds.errors import StoreError
from harmony_vds.model.grid import Axis
from harmony_vds.model.selection import AxisSelection
from harmony_vds.planning.ranges import decode


def latest_step(axis: Axis, kept: AxisSelection) -> tuple[AxisSelection, list[str]]:
    """The latest of the `kept` steps of `axis`, and what to say of it.

    Steps that share the latest time all stay, since nothing tells which of them is meant; so do all
    steps where no time is known.

    **Reads:** nothing.
    """
    times = axis.values[kept.positions]
    if len(kept) < 2 or not np.isfinite(times).any():
        return kept, []
    newest = float(times[np.isfinite(times)].max())
    chosen = np.zeros(kept.size, np.bool_)
    chosen[kept.positions[times == newest]] = True
    try:
        moment = f"{decode(newest, axis):%Y-%m-%dT%H:%M:%SZ}"
    except StoreError:  # units that nobody understands are still in order
        moment = f"{newest:g} {axis.units}"
    remark = (
        f"A map shows one time, and no request for a map can name it: this is {moment}, the latest "
        f"of the {len(kept):,} steps of {axis.path.lstrip('/')}."
    )
    return AxisSelection.of_mask(chosen), [remark]
