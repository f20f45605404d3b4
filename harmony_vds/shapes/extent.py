"""The narrowest box around places on the Earth."""

from collections.abc import Sequence

import numpy as np
import shapely

from harmony_vds.model.extent import BoundingBox

_ROUNDING = 1e-9


def box_around(geometries: Sequence[shapely.Geometry]) -> BoundingBox:
    """The narrowest box around all of `geometries`, whose longitudes lie in [-180, 180].

    It leaves out the widest gap between them; where the gap over the antimeridian is as wide as any
    other, it leaves out that one. **Reads:** nothing.
    """
    bounds = shapely.bounds(shapely.get_parts(np.asarray(geometries, object)))
    south, north = float(bounds[:, 1].min()), float(bounds[:, 3].max())
    order = np.argsort(bounds[:, 0], kind="stable")
    wests, easts = bounds[order, 0], np.maximum.accumulate(bounds[order, 2])
    gaps = wests[1:] - easts[:-1]
    over = wests[0] + 360.0 - easts[-1]
    widest = int(np.argmax(gaps)) if gaps.size else -1
    if widest < 0 or gaps[widest] <= over + _ROUNDING:
        return BoundingBox(float(wests[0]), south, float(easts[-1]), north)
    return BoundingBox(float(wests[widest + 1]), south, float(easts[widest]), north)
