"""Writes joined granules as kerchunk references, JSON or Parquet, that other readers read right.

VirtualiZarr writes the references. What it says of fill values is put right afterwards: Zarr v2
readers take an array's ``fill_value`` for the mark of missing values, which in HDF5 it is not. The
mark stands in the attributes too, from which other readers take it (decision 0003).
"""

import base64
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from virtualizarr.accessor import VirtualiZarrDatasetAccessor
from virtualizarr.manifests import ManifestArray
from xarray.backends.zarr import FillValueCoder

from harmony_vds.building.joining import Joined
from harmony_vds.building.repository import sanitised
from harmony_vds.errors import RequestError, StoreError

_RECORD_SIZE = 100_000
"""References in one Parquet file."""

type References = dict[str, Any]
"""Key → text, or [URL, offset, length]."""


def write_references(joined: Joined, path: Path) -> int:
    """Write ``….json`` or ``….parquet``; gives the number of references.

    Raises
    ------
    StoreError
        Version 2 of Zarr cannot hold them.
    RequestError
        The path names no form.

    **Reads:** nothing.
    """
    if joined.irregular:
        names = ", ".join(sorted(name for _, name in joined.irregular))
        raise StoreError(
            f"The granules differ in length, so that the chunks of {names} do, which kerchunk "
            "references cannot say. Write icechunk instead."
        )
    refs: References = {}
    for group, dataset in joined.groups.items():
        prefix = f"{group.strip('/')}/".lstrip("/")
        refs.update({f"{prefix}{key}": own for key, own in _references(dataset).items()})
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".json":
        path.write_text(json.dumps({"version": 1, "refs": refs}))
    elif path.suffix in (".parquet", ".parq"):
        _write_parquet(refs, path)
    else:
        raise RequestError(f"{path.name} ends neither with .json nor with .parquet.")
    return len(refs)


def _references(dataset: xr.Dataset) -> References:
    clean = sanitised(dataset)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            told = VirtualiZarrDatasetAccessor(clean).to_kerchunk(None, "dict")
        except (KeyError, ValueError, TypeError, NotImplementedError) as error:
            raise StoreError(
                "Kerchunk references, which are of version 2 of Zarr, cannot say how the chunks "
                f"are encoded ({error!r}). Write icechunk instead."
            ) from None
    refs: References = {}
    for key, value in told["refs"].items():
        if isinstance(value, list) and "://" not in value[0]:
            value = [f"file://{value[0]}", *value[1:]]  # noqa: PLW2901  as others name files
        refs[f"{key}0" if key.endswith("/") else key] = value
    for name, variable in clean.variables.items():
        layout = json.loads(refs[f"{name}/.zarray"])
        attributes = json.loads(refs[f"{name}/.zattrs"])
        mark = _fill(str(name), variable, attributes)
        layout["fill_value"] = mark
        if mark is not None:
            attributes["_FillValue"] = mark
        refs[f"{name}/.zarray"] = json.dumps(layout)
        refs[f"{name}/.zattrs"] = json.dumps(attributes)
    return refs


def _fill(name: str, variable: xr.Variable, attributes: dict[str, Any]) -> Any:
    """What ``.zarray`` says: the mark of missing values, or null where there is none."""
    mark: Any = attributes.pop("_FillValue", None)
    if isinstance(mark, str) and variable.dtype.kind in "iufb":
        mark = FillValueCoder.decode(mark, variable.dtype)
    data = variable.data
    if isinstance(data, ManifestArray):
        fill = data.metadata.fill_value
        gaps = len(data.manifest.dict()) < int(np.prod(data.manifest.shape_chunk_grid))
        unsaid = 0 if mark is None else mark
        if gaps and not np.array_equal(fill, unsaid, equal_nan=data.dtype.kind == "f"):
            raise StoreError(
                f"Chunks of {name} were never written and read as {fill}, which kerchunk "
                "references cannot say beside the mark of missing values. Write icechunk instead."
            )
    if mark is None or variable.dtype.kind in "SU":
        return None
    value = variable.dtype.type(mark)
    if variable.dtype.kind == "f" and not np.isfinite(value):
        return "NaN" if np.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    return value.item()


def _write_parquet(refs: References, path: Path) -> None:
    """A folder with the metadata in one file, and the references of each array in order."""
    metadata = {key: json.loads(own) for key, own in refs.items() if _is_metadata(key)}
    path.mkdir(parents=True)
    arrays = [key.removesuffix("/.zarray") for key in metadata if key.endswith("/.zarray")]
    for name in arrays:
        layout = metadata[f"{name}/.zarray"]
        grid = [
            -(-size // step) for size, step in zip(layout["shape"], layout["chunks"], strict=True)
        ]
        count = int(np.prod(grid, dtype=np.int64))
        (path / name).mkdir(parents=True)
        for number, first in enumerate(range(0, count, _RECORD_SIZE)):
            wanted = range(first, min(first + _RECORD_SIZE, count))
            keys = (".".join(map(str, np.unravel_index(own, grid))) or "0" for own in wanted)
            rows = [_row(refs.get(f"{name}/{key}")) for key in keys]
            _write_records(rows, path / name / f"refs.{number}.parq")
    told = {"metadata": metadata, "record_size": _RECORD_SIZE}
    (path / ".zmetadata").write_text(json.dumps(told))


def _is_metadata(key: str) -> bool:
    return key.rpartition("/")[2] in (".zarray", ".zattrs", ".zgroup")


def _row(reference: Any) -> tuple[str | None, int, int, bytes | None]:
    if reference is None:
        return None, 0, 0, None
    if isinstance(reference, str):
        text = reference.removeprefix("base64:")
        return None, 0, 0, base64.b64decode(text) if text != reference else text.encode()
    return (*reference, None)


def _write_records(rows: list[tuple[str | None, int, int, bytes | None]], path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    types = {"path": pa.string(), "offset": pa.int64(), "size": pa.int64(), "raw": pa.binary()}
    columns = zip(*rows, strict=True) if rows else ((),) * len(types)
    arrays = [pa.array(own, kind) for own, kind in zip(columns, types.values(), strict=True)]
    parquet.write_table(pa.table(arrays, names=list(types)), path, compression="zstd")
