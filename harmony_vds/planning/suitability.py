"""Whether numbers between a variable's values mean anything: an average, or a weighed one."""

import re

import xarray as xr

from harmony_vds.planning.recognition import has_time_units

_ROUND = re.compile(
    r"_direction$|_direction_|^direction_of_|azimuth|^platform_(heading|course|yaw)"
    r"|^angle_of_rotation|_phase$|longitude$"
)
"""Standard names of quantities that go round in a circle."""
_ANGLES = re.compile(r"deg|rad|$", re.IGNORECASE)
_LOGARITHMIC = re.compile(r"\s*(db|dbz|dbm|decibels?|lg\(.*|ln\(.*|log.*)\s*", re.IGNORECASE)
_LOGARITHMS = re.compile(r"^log|_ph_reported_|acidity")


def unsuited(variable: xr.Variable) -> str:
    """Why the average of a variable's numbers would mean nothing; empty where it means something.

    The standard name and the units decide, as CF has them. **Reads:** nothing.
    """
    attributes = variable.attrs
    units = str(attributes.get("units", "")).strip()
    standard_name = str(attributes.get("standard_name", "")).partition(" ")[0]
    if variable.dtype.kind not in "iuf":
        return "it holds text or marks"
    if {"flag_values", "flag_masks", "flag_meanings"} & {*attributes}:
        return "it holds flags"
    if has_time_units(variable):
        return "it holds times"
    if _ROUND.search(standard_name) and _ANGLES.match(units):
        return "it holds angles that go round in a circle"
    if _LOGARITHMIC.fullmatch(units) or _LOGARITHMS.search(standard_name):
        return "it holds logarithms"
    return ""
