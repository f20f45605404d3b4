"""Ways between reference systems, and what their maps look like."""

from functools import cache
from typing import Any

import numpy as np

from harmony_vds.model.target import TURN

DEGREES = "OGC:CRS84"
"""What latitudes and longitudes without a reference system of their own are taken to be in."""
_MERIDIANS = np.arange(-175.0, 180.0, 10.0)
_PARALLELS = np.array([-40.0, 0.0, 40.0])
_ALIKE = 1e-6
"""Degrees by which a meridian may be bent and still be a line."""


def transformation(source: str, target: str) -> Any:
    """The operation from one reference system to another, x before y. **Reads:** nothing."""
    from pyproj import Transformer

    return Transformer.from_crs(source or DEGREES, target or DEGREES, always_xy=True)


@cache
def world_of(crs: str) -> float:
    """The width of the world on a map where meridians are upright lines; 0 on any other.

    In units of the reference system. **Reads:** nothing.
    """
    longitudes, latitudes = np.meshgrid(_MERIDIANS, _PARALLELS)
    x = np.asarray(transformation("", crs).transform(longitudes, latitudes)[0])
    if not np.isfinite(x).all():
        return 0.0
    degree = float(np.median(np.diff(x[0]) / np.diff(_MERIDIANS)))
    off = x - x[:1]
    return TURN * degree if degree > 0 and np.abs(off).max() < _ALIKE * degree else 0.0
