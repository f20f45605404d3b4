"""Writes Cloud-Optimized GeoTIFF: one file for each variable, one band for each time and level.

Values stay packed, with scale, offset and nodata beside them. GDAL's own driver makes the layout
from a plain file that pieces were written into, so that memory stays bounded. Overviews are made
in that file, band by band: the driver would make them of all bands at once.
"""

import itertools
from pathlib import Path
from typing import Any

import cftime
import numpy as np
import numpy.typing as npt

from harmony_vds import __version__
from harmony_vds.errors import UnsupportedError
from harmony_vds.memory import return_free_blocks
from harmony_vds.model.blocks import AHEAD_BYTES
from harmony_vds.model.decoding import packing_of
from harmony_vds.model.paths import name_of
from harmony_vds.model.plan import Plan
from harmony_vds.model.subset import Block, Subset
from harmony_vds.outputs.pieces import Step, read_ahead
from harmony_vds.outputs.provenance import PROGRAM, global_attributes
from harmony_vds.outputs.raster import Raster

_MOST_BANDS = 65_535
_TILE = 512
_CACHE_BYTES = 16 * 2**20
_PLAIN = {"driver": "GTiff", "tiled": True, "blockxsize": _TILE, "blockysize": _TILE,
          "interleave": "band", "BIGTIFF": "IF_SAFER", "SPARSE_OK": True}  # fmt: skip
_OPTIMIZED = {"driver": "COG", "BLOCKSIZE": _TILE, "COMPRESS": "DEFLATE", "LEVEL": 6,
              "PREDICTOR": "YES", "INTERLEAVE": "BAND", "BIGTIFF": "IF_SAFER",
              "OVERVIEWS": "FORCE_USE_EXISTING"}  # fmt: skip


def write_geotiff(raster: Raster, subset: Subset, plan: Plan, path: Path, step: Step) -> None:
    """Write one variable to `path`, north up.

    Raises
    ------
    UnsupportedError
        There are more bands than a GeoTIFF can have.
    StoreError, UpstreamError, TimeLimitError
        A chunk cannot be read; the file is then incomplete and must not be used.

    **Reads:** chunks.
    """
    import rasterio
    import rasterio.shutil
    from rasterio.enums import Resampling

    if raster.bands > _MOST_BANDS:
        raise UnsupportedError(
            f"A GeoTIFF holds at most {_MOST_BANDS:,} bands, and "
            f"{raster.variable.planned.path.lstrip('/')} would have {raster.bands:,}: one for each "
            "time and level. Ask for a shorter time range, or for netCDF or Zarr."
        )
    plain = path.with_suffix(".plain.tif")
    is_flag = "flag_meanings" in raster.variable.data.attrs
    with rasterio.Env(GDAL_CACHEMAX=_CACHE_BYTES, GDAL_NUM_THREADS="ALL_CPUS"):
        with rasterio.open(plain, "w", **_profile(raster)) as file:
            _describe(file, raster, subset, plan)
            for _, block, values in read_ahead([raster.variable], ahead=AHEAD_BYTES // 2):
                _put(file, raster, block, values)
                step(values.nbytes)
        return_free_blocks()
        with rasterio.open(plain, "r+") as file:
            overviews = _overviews(raster.width, raster.height)
            file.build_overviews(overviews, Resampling.nearest if is_flag else Resampling.average)
        return_free_blocks()
        rasterio.shutil.copy(plain, path, **_OPTIMIZED)
    plain.unlink()


def _overviews(width: int, height: int) -> list[int]:
    """By how much each overview is smaller; the last one fits into one tile."""
    found = [1]
    while max(width, height) // found[-1] > _TILE:
        found.append(2 * found[-1])
    return found[1:]


def _profile(raster: Raster) -> dict[str, Any]:
    from rasterio.crs import CRS
    from rasterio.transform import Affine

    west, south, east, north = raster.bounds
    dtype = file_dtype(raster.variable.data.dtype)
    return {
        **_PLAIN, "dtype": dtype.name, "count": raster.bands, "width": raster.width,
        "height": raster.height, "nodata": nodata_of(raster.variable.data.attrs, dtype),
        "crs": CRS.from_user_input(raster.crs),
        "transform": Affine((east - west) / raster.width, 0.0, west,
                            0.0, (south - north) / raster.height, north),
    }  # fmt: skip


def file_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The type that holds values of `dtype` in a raster. **Reads:** nothing."""
    if dtype.kind == "b":
        return np.dtype(np.uint8)
    return np.dtype(np.float32) if dtype == np.float16 else dtype.newbyteorder("=")


def nodata_of(attributes: Any, dtype: np.dtype[Any]) -> Any:
    """What means missing, if it is a value of the type; None where nothing does.

    **Reads:** nothing.
    """
    for name in ("_FillValue", "missing_value"):
        stated = np.ravel(np.asarray(attributes.get(name, ())))
        if stated.size and stated.dtype.kind in "iuf":
            value = stated[0].astype(dtype)
            if value == stated[0] or (np.isnan(value) and np.isnan(stated[0])):
                return value.item()
    return None


def _put(file: Any, raster: Raster, block: Block, values: npt.NDArray[Any]) -> None:
    """Write a piece into every band that it touches, north up and west left."""
    from rasterio.windows import Window

    rows, columns = block[raster.y_axis], block[raster.x_axis]
    order = (*raster.others, raster.y_axis, raster.x_axis)
    layers = values.transpose(order).astype(file.dtypes[0], copy=False)
    top, left = rows.start, columns.start
    if raster.step[1] > 0:
        layers, top = layers[..., ::-1, :], raster.height - rows.stop
    if raster.step[0] < 0:
        layers, left = layers[..., ::-1], raster.width - columns.stop
    window = Window(left, top, layers.shape[-1], layers.shape[-2])
    shape = [raster.variable.data.shape[axis] for axis in raster.others]
    spans = [range(block[axis].start, block[axis].stop) for axis in raster.others]
    for place in itertools.product(*spans):
        band = int(np.ravel_multi_index(place, shape)) if shape else 0
        inside = tuple(n - own.start for n, own in zip(place, spans, strict=True))
        file.write(np.ascontiguousarray(layers[inside]), band + 1, window=window)


def _describe(file: Any, raster: Raster, subset: Subset, plan: Plan) -> None:
    """Say what the bands are and where they come from."""
    attributes = raster.variable.data.attrs
    told = global_attributes(subset.groups.get("/", {}), plan)
    kept = ("long_name", "standard_name", "units", "flag_values", "flag_meanings", "cell_methods")
    file.update_tags(
        TIFFTAG_SOFTWARE=f"{PROGRAM} {__version__}",
        TIFFTAG_IMAGEDESCRIPTION=str(told.get("title", plan.requested[0].lstrip("/"))),
        **{name: str(told[name]) for name in ("history", "history_json", "virtual_store",
                                              "virtual_store_snapshot", "virtual_store_notes",
                                              "virtual_store_missing_chunks", "Conventions")
           if name in told},
        **{name: _told(attributes[name]) for name in kept if name in attributes},
    )  # fmt: skip
    scale, offset = packing_of(attributes)
    if (scale, offset) != (1.0, 0.0):
        file.scales, file.offsets = [scale] * raster.bands, [offset] * raster.bands
    if "units" in attributes:
        file.units = [str(attributes["units"])] * raster.bands
    for band, text in enumerate(band_descriptions(raster, subset), 1):
        file.set_band_description(band, text)


def _told(value: Any) -> str:
    return " ".join(map(str, np.ravel(value).tolist()))


def band_descriptions(raster: Raster, subset: Subset) -> list[str]:
    """For each band the name of the variable, and where it stands along other dimensions.

    **Reads:** coordinates.
    """
    name = name_of(raster.variable.planned.path)
    along = []
    for axis in raster.others:
        dimension = raster.variable.planned.dimensions[axis]
        size = raster.variable.data.shape[axis]
        own = next((v for v in subset.variables if v.planned.path == dimension), None)
        labels = [str(n) for n in range(size)] if own is None else _labels(own)
        along.append([f"{name_of(dimension)}={label}" for label in labels])
    return [" ".join((name, *place)) for place in itertools.product(*along)]


def _labels(variable: Any) -> list[str]:
    """The values of a coordinate as people write them."""
    values, attributes = variable.data.values, variable.data.attrs
    units = str(attributes.get("units", ""))
    if " since " in units and values.dtype.kind in "iuf":
        calendar = str(attributes.get("calendar", "standard"))
        moments = cftime.num2date(values, units, calendar)
        return [own.isoformat() for own in np.ravel(moments)]
    return [f"{own} {units}".strip() for own in np.ravel(values).tolist()]
