"""TIFF granules as virtual datasets: references by virtual-tiff, places by the file's own tags."""

from typing import Any

import numpy as np
import xarray as xr

from harmony_vds.building.files import GranuleFile, OpenFile
from harmony_vds.errors import RequestError, StoreError

_NAME = "data"
"""What the one array of a file is called; files of other bands are other series."""
_MAPPING = "spatial_ref"


def read_tiff(file: GranuleFile, own: OpenFile) -> tuple[xr.Dataset, list[str]]:
    """The full-resolution image of a GeoTIFF, with coordinates and its reference system.

    Beside it what is to be told of it.

    Raises
    ------
    RequestError
        The library that reads TIFF references is not installed.
    StoreError
        Chunk references cannot describe the file, or its tags do not say where its cells are.

    **Reads:** metadata.
    """
    try:
        from virtual_tiff import VirtualTIFF
    except ImportError:
        raise RequestError(
            "TIFF granules need the package virtual-tiff: pip install 'harmony-vds[tiff]'."
        ) from None
    try:
        manifests = VirtualTIFF(ifd=0)(url=file.href, registry=own.registry)._group  # noqa: SLF001
        image = manifests.arrays["0"].to_virtual_variable()
    except (ValueError, TypeError, NotImplementedError, AttributeError, KeyError) as error:
        raise StoreError(f"Chunk references cannot describe this TIFF: {error}.") from None
    if image.dims[-2:] != ("y", "x"):
        raise StoreError(f"Its dimensions are {image.dims}, and only y and x are understood.")
    tags = image.attrs
    x, y = _axes(tags, image.sizes["x"], image.sizes["y"])
    image.attrs = {k: v for k, v in tags.items() if isinstance(v, str | int | float | list)}
    image.attrs["grid_mapping"] = _MAPPING
    notes = _scaled(image)
    code = tags.get("projected_type") or tags.get("geographic_type")
    crs, units = _reference_system(code)
    mapping = xr.Variable((), np.int32(0), crs, {"_FillValue": None})
    degrees = units == "degrees"
    rows = ("latitude", "degrees_north") if degrees else ("projection_y_coordinate", units)
    columns = ("longitude", "degrees_east") if degrees else ("projection_x_coordinate", units)
    dataset = xr.Dataset(
        {
            _NAME: image,
            "y": _axis("y", y, *rows),
            "x": _axis("x", x, *columns),
            _MAPPING: mapping,
        },
        attrs={"Conventions": "CF-1.8"},
    )
    return dataset, notes


def _scaled(image: xr.Variable) -> list[str]:
    """Give `image` the CF attributes of GDAL's scale and offset, and tell of it."""
    told = {"SCALE": ("scale_factor", 1.0), "OFFSET": ("add_offset", 0.0)}
    if not told.keys() & image.attrs.keys():
        return []
    for tag, (attribute, default) in told.items():
        text = image.attrs.pop(tag, default)
        try:
            image.attrs[attribute] = float(text)
        except (TypeError, ValueError):
            raise StoreError(f"Its {tag} is {text!r}, which is no number.") from None
    return [f"{_NAME} is scaled by GDAL's SCALE and OFFSET, now as scale_factor and add_offset"]


def _axis(name: str, values: Any, standard: str, units: str) -> xr.Variable:
    told = {"standard_name": standard, "units": units, "axis": name.upper()}
    return xr.Variable((name,), values, told, {"_FillValue": None})


def _axes(tags: dict[str, Any], columns: int, rows: int) -> tuple[Any, Any]:
    """Centres of columns and rows, by the tag of one point and the size of a cell."""
    scale, point = tags.get("model_pixel_scale"), tags.get("model_tiepoint")
    if scale is None or point is None or len(point) != 6 or "model_transformation" in tags:
        raise StoreError("Its tags do not place its cells by one point and a size of cells.")
    centre = 0.0 if tags.get("raster_type") == 2 else 0.5
    x = point[3] + (np.arange(columns) + centre - point[0]) * scale[0]
    y = point[4] - (np.arange(rows) + centre - point[1]) * scale[1]
    return x, y


def _reference_system(code: Any) -> tuple[dict[str, Any], str]:
    """CF attributes of a reference system by its EPSG code, and the units of its axes."""
    import pyproj

    try:
        crs = pyproj.CRS.from_epsg(int(code))
    except (TypeError, ValueError, pyproj.exceptions.CRSError):
        raise StoreError(f"Its reference system {code!r} is no EPSG code.") from None
    units = "degrees" if crs.is_geographic else str(crs.axis_info[0].unit_name)
    return dict(crs.to_cf()), {"metre": "m"}.get(units, units)
