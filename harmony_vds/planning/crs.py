"""Coordinate reference systems from the attributes that state them, in every form that is in use.

Forms are tried in this order: ``crs_wkt``, ``spatial_ref``, GeoZarr's ``proj:code``, ``proj:wkt2``
and ``proj:projjson``, ``epsg_code``, CF's own parameters, and a Proj4 string. The first that is
understood holds.
"""

import json
import warnings
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from harmony_vds.model.areas import Ellipsoid

if TYPE_CHECKING:
    from pyproj import CRS

_TEXTS = ("crs_wkt", "spatial_ref", "proj:code", "proj:wkt2", "proj:projjson", "epsg_code")
_PROJ4 = ("proj4text", "proj4", "proj4string", "proj4_string")
_CF = "grid_mapping_name"


def states_crs(attributes: Mapping[Any, Any]) -> bool:
    """Whether attributes are those of a grid mapping. **Reads:** nothing."""
    return any(name in attributes for name in (*_TEXTS, _CF))


def crs_of(attributes: Mapping[Any, Any]) -> str | None:
    """The reference system that `attributes` state, as WKT; None if none is understood.

    **Reads:** nothing.
    """
    stated = {
        str(name): _plain(value)
        for name, value in attributes.items()
        if not isinstance(value, dict) or str(name) in _TEXTS
    }
    return _parsed(json.dumps(stated, sort_keys=True, default=str))


@lru_cache(maxsize=64)
def _parsed(attributes: str) -> str | None:
    from pyproj import CRS  # takes as long to import as a store to open
    from pyproj.exceptions import CRSError

    stated = json.loads(attributes)
    for form in _forms(stated):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of what Proj4 strings cannot say
                crs = CRS.from_cf(form) if isinstance(form, dict) else CRS.from_user_input(form)
        except (CRSError, KeyError, ValueError, TypeError):
            continue
        return str(crs.to_wkt())
    return None


def _forms(stated: Mapping[str, Any]) -> list[Any]:
    """What may state the system: text, EPSG code, or a dictionary of CF's parameters."""
    found: list[Any] = []
    for name in _TEXTS:
        value = stated.get(name)
        if name == "epsg_code" and value is not None:
            value = f"EPSG:{str(value).upper().removeprefix('EPSG:')}"
        if isinstance(value, dict):
            value = json.dumps(value)  # PROJJSON
        found += [value] if value else []
    if _CF in stated:
        own = {name: value for name, value in stated.items() if name not in _TEXTS}
        found.append(own)
    return found + [stated[name] for name in _PROJ4 if stated.get(name)]


def _plain(value: Any) -> Any:
    """A number or text as JSON has it: arrays as lists, those of one element as that element."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    return value[0] if isinstance(value, list) and len(value) == 1 else value


@lru_cache(maxsize=64)
def system_of(wkt: str) -> "CRS":
    """The reference system of a WKT text. **Reads:** nothing."""
    from pyproj import CRS

    return CRS.from_wkt(wkt)


def in_degrees(wkt: str) -> bool:
    """Whether coordinates are latitudes and longitudes as they are: neither projected nor rotated.

    **Reads:** nothing.
    """
    crs = system_of(wkt)
    return bool(crs.is_geographic and not crs.is_derived)


def ellipsoid_of(wkt: str) -> Ellipsoid | None:
    """The ellipsoid of a reference system, if it states one. **Reads:** nothing."""
    stated = system_of(wkt).ellipsoid
    if stated is None:
        return None
    major, minor = stated.semi_major_metre, stated.semi_minor_metre
    return Ellipsoid(major, 1 - minor / major)


def factor_to(wkt: str, units: str) -> float | None:
    """What coordinates in `units` are multiplied by to be in those of a reference system.

    Angles of a geostationary view become lengths by the height of the satellite; missing units are
    those of the system.

    Returns
    -------
    float or None
        None where `units` cannot be those of such coordinates.

    **Reads:** nothing.
    """
    crs = system_of(wkt)
    own = crs.axis_info[0].unit_conversion_factor if crs.axis_info else 1.0
    word = units.strip().lower()
    if not word:
        return 1.0
    angle = _ANGLES.get(word)
    if crs.is_geographic:
        return None if angle is None else _whole(angle / own)
    if angle is not None:
        height = _satellite_height(crs)
        return None if height is None else angle * height / own
    length = _LENGTHS.get(word)
    return None if length is None else _whole(length / own)


def _whole(factor: float) -> float:
    """`factor`, without the rounding of a division of equals."""
    return 1.0 if abs(factor - 1) < 1e-12 else factor


def _satellite_height(crs: "CRS") -> float | None:
    """Metres from the ellipsoid to the satellite of a geostationary view."""
    height = crs.to_cf().get("perspective_point_height")
    return None if height is None else float(height)


def _named(factor: float, *names: str) -> dict[str, float]:
    return dict.fromkeys(names, factor)


_LENGTHS = {
    **_named(1.0, "m", "meter", "meters", "metre", "metres", "1 m"),
    **_named(1000.0, "km", "kilometer", "kilometers", "kilometre", "kilometres"),
    **_named(1200 / 3937, "us-ft", "us survey foot", "us_survey_foot"),
    **_named(0.3048, "ft", "foot", "feet"),
}
"""Metres."""
_DEGREE = float(np.pi / 180)
_ANGLES = {
    **_named(1.0, "rad", "radian", "radians"),
    **_named(1e-6, "urad", "microradian", "microradians"),
    **_named(1e-3, "mrad", "milliradian", "milliradians"),
    **_named(_DEGREE, "deg", "degree", "degrees", "degree_north", "degrees_north", "degree_east",
             "degrees_east"),
}  # fmt: skip
"""Radians."""


def is_angle(units: str) -> bool:
    """Whether `units` are those of an angle. **Reads:** nothing."""
    return units.strip().lower() in _ANGLES


def is_length(units: str) -> bool:
    """Whether `units` are those of a length. **Reads:** nothing."""
    return units.strip().lower() in _LENGTHS
