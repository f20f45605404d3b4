"""Grids that only GeoTIFF tags place, given coordinates and a grid mapping instead.

Stores of GeoTIFFs, as virtual-tiff writes them, have no coordinates: the tags of each file stand as
attributes on its array, and tell where the whole image lies. Of a window they would be wrong, so
they go where coordinates and a grid mapping tell the same. Scale and offset, which GDAL keeps as
text, become CF's.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

_TIES, _SCALE, _MATRIX = "model_tiepoint", "model_pixel_scale", "model_transformation"
_TAGS = {_TIES, _SCALE, _MATRIX, "model_type", "raster_type", "geographic_type", "projected_type",
         "citation", "projection"}  # fmt: skip
_KEYS = ("geog_", "proj_")
"""Names of what places an image, and beginnings of such names."""
_GEOGRAPHIC = 2
"""The ``model_type`` of images on latitudes and longitudes."""
_USER_DEFINED = 32767
_OF_POINTS = 2
"""The ``raster_type`` of images whose tags mean the centres of cells, not their corners."""
_MAPPINGS = ("spatial_ref", "crs", "geotiff_crs")
_PACKING = {"SCALE": "scale_factor", "OFFSET": "add_offset",
            "scale_factor": "scale_factor", "add_offset": "add_offset"}  # fmt: skip
"""GDAL's names, and CF's own where their numbers are text."""
_BANDS = "band"


@dataclass(frozen=True)
class TaggedGrid:
    """Where tags place an image: x of the centre of column i is ``x + i * dx``; y likewise."""

    crs: str
    """The reference system, such as ``EPSG:32611``."""
    x: float
    """Centre of the first column."""
    dx: float
    """From one column to the next."""
    y: float
    """Centre of the first row."""
    dy: float
    """From one row to the next; negative where north is up."""


def has_tags(attributes: Mapping[Any, Any]) -> bool:
    """Whether attributes are those of a GeoTIFF that is placed in some way. **Reads:** nothing."""
    return _TIES in attributes or _MATRIX in attributes


def tagged_grid(attributes: Mapping[Any, Any]) -> TaggedGrid | None:
    """The grid that tags tell of; None where it is turned, warped or in a system without a code.

    **Reads:** nothing.
    """
    crs = _code(attributes)
    moved = 0.0 if attributes.get("raster_type") == _OF_POINTS else 0.5
    matrix, ties, scale = (_numbers(attributes.get(name)) for name in (_MATRIX, _TIES, _SCALE))
    if crs is None:
        return None
    if len(matrix) == 16:
        a, b, _, c, d, e, _, f = matrix[:8]
    elif len(ties) == 6 and len(scale) == 3:
        column, row, _, x, y, _ = ties
        a, b, d, e = scale[0], 0.0, 0.0, -scale[1]
        c, f = x - column * a, y - row * e
    else:
        return None
    if b or d or not a or not e or not np.isfinite([a, c, e, f]).all():
        return None
    return TaggedGrid(crs, c + moved * a, a, f + moved * e, e)


def place_by_tags(datasets: Mapping[str, xr.Dataset]) -> dict[str, str]:
    """Give images coordinates and grid mappings where their tags alone place them.

    Parameters
    ----------
    datasets
        Group path → its variables; variables and attributes are added and left out in place.

    Returns
    -------
    dict
        Full path of each variable that changed → what changed.

    **Reads:** nothing.
    """
    repairs = {}
    for path, dataset in datasets.items():
        images = {str(n): own for n, own in dataset.variables.items() if has_tags(own.attrs)}
        grids: dict[tuple[str, ...], set[TaggedGrid | None]] = {}
        for own in images.values():
            grids.setdefault(_rows_and_columns(own), set()).add(tagged_grid(own.attrs))
        for name in images:
            own = dataset.variables[name]  # not as it was: what is added replaces the others
            told = _unpacked_text(own)
            found = grids[_rows_and_columns(own)]
            if len(found) == 1 and (grid := next(iter(found))) is not None and own.ndim >= 2:
                told = [_placed(dataset, name, grid), *told]
            if told:
                repairs[f"{path.rstrip('/')}/{name}"] = "; ".join(told)
    return repairs


def _rows_and_columns(variable: xr.Variable) -> tuple[str, ...]:
    dimensions = [str(own) for own in variable.dims if own != _BANDS]
    return tuple(dimensions[-2:])


def _placed(dataset: xr.Dataset, name: str, grid: TaggedGrid) -> str:
    """Add what places a variable, leave its tags out, and say so."""
    from pyproj import CRS  # few stores need it

    crs = CRS.from_user_input(grid.crs)
    added = []
    own = dataset.variables[name]
    ways = ((grid.y, grid.dy), (grid.x, grid.dx))
    for along, letter, way in zip(_rows_and_columns(own), "yx", ways, strict=True):
        if along not in dataset.variables:
            values = way[0] + way[1] * np.arange(own.sizes[along], dtype=np.float64)
            coordinate = xr.Variable((along,), values, _described(crs, letter))
            dataset.coords.update(xr.Coordinates({along: coordinate}, indexes={}))
            added.append(along)
    mapping = next((n for n in _MAPPINGS if _stands_for(dataset, n, grid.crs)), "")
    if mapping and "grid_mapping" not in own.attrs:
        own.attrs["grid_mapping"] = mapping
        if mapping not in dataset.variables:
            dataset[mapping] = xr.Variable((), np.int32(0), crs.to_cf())
            added.append(mapping)
    attributes = dataset.variables[name].attrs  # what was added may have replaced the variable
    for tag in [n for n in attributes if n in _TAGS or str(n).startswith(_KEYS)]:
        del attributes[tag]
    became = f"became {', '.join(added)}" if added else "are told by its coordinates"
    return f"the GeoTIFF tags that place it on {grid.crs} {became}"


def _stands_for(dataset: xr.Dataset, name: str, code: str) -> bool:
    """Whether a grid mapping may go by a name: it is free, or taken by one of the same system."""
    from pyproj import CRS

    if name not in dataset.variables:
        return name not in dataset.sizes
    told = dataset.variables[name].attrs.get("crs_wkt")
    return told is not None and bool(CRS.from_user_input(code) == CRS.from_user_input(told))


def _described(crs: Any, letter: str) -> dict[str, str]:
    """CF's attributes of a coordinate in a reference system."""
    if crs.is_geographic:
        name, unit = ("latitude", "north") if letter == "y" else ("longitude", "east")
        return {"standard_name": name, "units": f"degrees_{unit}", "axis": letter.upper()}
    unit = crs.axis_info[0].unit_name
    return {
        "standard_name": f"projection_{letter}_coordinate",
        "units": "m" if unit == "metre" else unit,
        "axis": letter.upper(),
    }


def _unpacked_text(variable: xr.Variable) -> list[str]:
    """Give a variable the scale and offset that its store has as text, and say so."""
    found = {}
    for name, meant in _PACKING.items():
        value = variable.attrs.get(name)
        number = _number(value) if isinstance(value, str) else None
        if number is not None and (meant not in variable.attrs or name == meant):
            found[meant] = name, number
    if not found:
        return []
    if _BANDS in variable.dims:
        return ["its scale and offset are those of one of its bands; all are as stored"]
    for meant, (name, number) in found.items():
        del variable.attrs[name]
        variable.attrs[meant] = number
    told = ", ".join(f"{meant} {number:g}" for meant, (_, number) in found.items())
    return [f"its scale and offset were text, and became {told}"]


def _code(attributes: Mapping[Any, Any]) -> str | None:
    """The EPSG code of a reference system that has one."""
    from pyproj import CRS
    from pyproj.exceptions import CRSError

    code = attributes.get("projected_type")
    if code is None and attributes.get("model_type") in (None, _GEOGRAPHIC):
        code = attributes.get("geographic_type")
    if not isinstance(code, int) or not 0 < code < _USER_DEFINED:
        return None
    try:
        crs = CRS.from_epsg(code)
    except CRSError:
        return None
    return f"EPSG:{code}" if crs.is_projected or crs.is_geographic else None


def _numbers(stated: Any) -> list[float]:
    try:
        return [float(own) for own in np.ravel(stated if stated is not None else ())]
    except (TypeError, ValueError):
        return []


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if np.isfinite(number) else None
