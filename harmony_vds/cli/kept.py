"""What outputs keep of their request, read out of each form that keeps it."""

import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from harmony_vds.errors import RequestError

type Attributes = Mapping[str, Any]


def attributes_of(file: Path) -> Attributes:
    """The root attributes of an output, `history_json` among them.

    Raises
    ------
    RequestError
        The file is of no form that keeps any.
    OSError, ValueError, KeyError
        It is damaged, or absent.

    **Reads:** nothing from outside.
    """
    if file.is_dir():
        return _of_zarr(file) if (file / "zarr.json").exists() else _of_repository(file)
    if file.suffix == ".csv":
        raise RequestError(f"{file} is CSV, which holds cells alone; Parquet keeps its request.")
    return _READERS.get(file.suffix, _of_netcdf)(file)


def _of_zarr(folder: Path) -> Attributes:
    return dict(json.loads((folder / "zarr.json").read_text(encoding="utf-8"))["attributes"])


def _of_zip(file: Path) -> Attributes:
    try:
        with zipfile.ZipFile(file) as archive:
            return dict(json.loads(archive.read("zarr.json"))["attributes"])
    except zipfile.BadZipFile as error:
        raise ValueError(str(error)) from None


def _of_references(file: Path) -> Attributes:
    refs = json.loads(file.read_text(encoding="utf-8"))["refs"]
    return dict(json.loads(refs[".zattrs"]))


def _of_repository(folder: Path) -> Attributes:
    import icechunk
    import zarr

    storage = icechunk.local_filesystem_storage(str(folder))
    try:
        repository = icechunk.Repository.open(storage)
    except icechunk.IcechunkError as error:
        raise ValueError(error.message.partition("\n")[0]) from None
    return dict(zarr.open_group(repository.readonly_session("main").store, mode="r").attrs)


def _of_netcdf(file: Path) -> Attributes:
    import netCDF4

    with netCDF4.Dataset(file) as root:
        return {name: root.getncattr(name) for name in root.ncattrs()}


def _of_geotiff(file: Path) -> Attributes:
    import rasterio

    with rasterio.open(file) as raster:
        return dict(raster.tags())


def _of_png(file: Path) -> Attributes:
    from PIL import Image

    with Image.open(file, formats=["PNG"]) as image:
        return {str(name): own for name, own in image.info.items() if isinstance(own, str)}


def _of_parquet(file: Path) -> Attributes:
    import pyarrow.parquet

    told = pyarrow.parquet.read_schema(file).metadata or {}
    return dict(json.loads(told[b"attributes"]))


_READERS: Mapping[str, Callable[[Path], Attributes]] = {
    ".json": _of_references,
    ".parquet": _of_parquet,
    ".png": _of_png,
    ".tif": _of_geotiff,
    ".zip": _of_zip,
}
