"""What variables on a target grid say of themselves, by CF."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from harmony_vds.model.decoding import MARKS, PACKING
from harmony_vds.model.target import Resampling, TargetPlan

_OF_STORED_GRID = {"bounds", "cell_measures", "formula_terms", "grid_mapping", "coordinates",
                   "DIMENSION_LABELS", "_ChunkSizes", "geospatial_bounds"}  # fmt: skip
_OF_STORED_PLACE = {"GeoTransform", "esri_pe_string", "zarr_conventions"}
"""By which GDAL and GeoZarr say in place where a grid lies, beside `proj:…` and `spatial:…`."""
_METHODS = {
    Resampling.AVERAGE: "area: mean", Resampling.MODE: "area: mode",
    Resampling.MINIMUM: "area: minimum", Resampling.MAXIMUM: "area: maximum",
}  # fmt: skip
_UNITS = {"metre": "m", "kilometre": "km", "degree": "degrees"}


def without_place(attributes: Mapping[Any, Any]) -> dict[Any, Any]:
    """The attributes of a variable or group less those that place the store's grid.

    **Reads:** nothing.
    """
    return {
        key: own for key, own in attributes.items()
        if key not in _OF_STORED_PLACE and not str(key).startswith(("proj:", "spatial:"))
    }  # fmt: skip


def reprojected_attributes(
    source: Mapping[Any, Any], method: Resampling, mapping: str, fill: Any, there: frozenset[str]
) -> dict[Any, Any]:
    """The attributes of a variable whose own were `source`.

    Parameters
    ----------
    source
        Of the stored variable.
    method
        How its values were made.
    mapping
        Name of the variable of the reference system.
    fill
        What stands for missing.
    there
        Names of the variables of the output, of which coordinates may be.

    **Reads:** nothing.
    """
    packing = set() if method.picks else {*PACKING, *MARKS, "actual_range"}
    gone = _OF_STORED_GRID | packing
    kept = {key: own for key, own in without_place(source).items() if key not in gone}
    beside = [own for own in str(source.get("coordinates", "")).split() if own in there]
    if beside:
        kept["coordinates"] = " ".join(beside)
    if method in _METHODS:
        kept["cell_methods"] = f"{kept.get('cell_methods', '')} {_METHODS[method]}".strip()
    if "missing_value" not in kept:
        kept["_FillValue"] = fill
    if isinstance(kept.get("_FillValue"), str | bytes | bool | np.bool_):
        kept.pop("_FillValue")
    return {**kept, "grid_mapping": mapping}


def mapping_attributes(target: TargetPlan) -> dict[str, Any]:
    """CF's attributes of the target's reference system, and GDAL's of its place.

    **Reads:** nothing.
    """
    from pyproj import CRS

    try:
        described = CRS.from_wkt(target.crs).to_cf()
    except KeyError:  # CF names parameters that this one leaves out
        described = {"crs_wkt": target.crs}
    if described.get("grid_mapping_name") == "unknown":
        described.pop("grid_mapping_name")
    plain = {
        key: own for key, own in described.items() if isinstance(own, str | int | float | list)
    }
    a, b, c, d, e, f = target.placed
    return {
        **plain,
        "spatial_ref": target.crs,
        "GeoTransform": " ".join(json.dumps(own) for own in (c, a, b, f, d, e)),
    }


def axis_attributes(target: TargetPlan) -> tuple[dict[str, str], dict[str, str]]:
    """The attributes of the target's (y, x) coordinates. **Reads:** nothing."""
    from pyproj import CRS

    crs = CRS.from_wkt(target.crs)
    if crs.is_geographic and crs.is_derived:  # about a pole of its own
        return (
            {"standard_name": "grid_latitude", "long_name": "latitude about the turned pole",
             "units": "degrees", "axis": "Y"},
            {"standard_name": "grid_longitude", "long_name": "longitude about the turned pole",
             "units": "degrees", "axis": "X"},
        )  # fmt: skip
    if crs.is_geographic:
        return (
            {"standard_name": "latitude", "long_name": "latitude", "units": "degrees_north",
             "axis": "Y"},
            {"standard_name": "longitude", "long_name": "longitude", "units": "degrees_east",
             "axis": "X"},
        )  # fmt: skip
    unit = crs.axis_info[0].unit_name if crs.axis_info else "metre"
    units = _UNITS.get(unit, unit)
    return (
        {"standard_name": "projection_y_coordinate", "long_name": "y of projection",
         "units": units, "axis": "Y"},
        {"standard_name": "projection_x_coordinate", "long_name": "x of projection",
         "units": units, "axis": "X"},
    )  # fmt: skip
