"""Ways between reference systems, and what their maps look like."""

from functools import cache
from typing import Any

import numpy as np

from harmony_vds.model.target import TURN

DEGREES = "OGC:CRS84"
"""What latitudes and longitudes without a reference system of their own are taken to be in."""
_MERIDIANS = np.arange(-175.0, 180.0, 10.0)
_PARALLELS = np.array([-40.0, 0.0, 40.0])
_DEGREE = 111_320.0
"""Metres of a degree along the equator."""
_ALIKE = 1e-6
"""Degrees by which a meridian may be bent and still be a line."""


def transformation(source: str, target: str) -> Any:
    """The operation from one reference system to another, x before y. **Reads:** nothing."""
    from pyproj import Transformer

    return Transformer.from_crs(source or DEGREES, target or DEGREES, always_xy=True)


def own_degrees(crs: str) -> Any:
    """The operation from a reference system to the degrees of its own datum; None if it has none.

    It is the projection alone, the same there and back everywhere. **Reads:** nothing.
    """
    from pyproj import CRS, Transformer

    own = _unbound(CRS.from_user_input(crs or DEGREES))
    degrees = own.geodetic_crs
    if degrees is None or own.is_geographic:
        return None
    return Transformer.from_crs(own, degrees, always_xy=True)


def metres_of(crs: str) -> float:
    """About how many metres one unit of a reference system is. **Reads:** nothing."""
    from pyproj import CRS

    own = _unbound(CRS.from_user_input(crs or DEGREES))
    return _DEGREE if own.is_geographic else float(own.axis_info[0].unit_conversion_factor)


def _unbound(crs: Any) -> Any:
    return crs.source_crs if crs.is_bound and crs.source_crs is not None else crs


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
