"""Writes Zarr v3: raw values as stored, groups kept, in whole chunks or shards.

Chunks are encoded here, or copied as the archive compressed them, and put where readers look for
them; zarr defines the arrays, and writes text. Attributes are CF's, in the form in which xarray
writes and reads them; beside them stand GeoZarr's for regular grids. Consolidated metadata are no
part of Zarr v3 yet, but what a reader of a plain prefix needs to open it with one request.
"""

import json
import math
import shutil
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

import numpy as np

from harmony_vds.errors import UnsupportedError
from harmony_vds.model.paths import name_of
from harmony_vds.model.plan import Plan
from harmony_vds.model.subset import Subset, SubsetVariable
from harmony_vds.outputs.attributes import netcdf_attributes
from harmony_vds.outputs.chunks import encoded_chunks
from harmony_vds.outputs.geozarr import geozarr_attributes
from harmony_vds.outputs.layout import output_chunks
from harmony_vds.outputs.objects import Objects
from harmony_vds.outputs.packing import Packing, packing_of
from harmony_vds.outputs.pieces import Step, read_ahead
from harmony_vds.outputs.provenance import global_attributes

_MOST_OBJECTS = 100
"""Chunks of one variable that are objects of their own; more are gathered in shards."""
_SHARD_BYTES = 32 * 2**20
_TYPES = "biuf"


def write_zarr(subset: Subset, plan: Plan, path: Path, step: Step) -> None:
    """Write `subset` to `path`, a folder, or one zip file where the plan's layout says so.

    Packed integers and fill values are those of the store; nothing is decoded but text.

    Raises
    ------
    UnsupportedError
        A variable has a type that is no part of Zarr v3.
    StoreError, UpstreamError, TimeLimitError
        A chunk cannot be read; the output is then incomplete and must not be used.

    **Reads:** chunks.
    """
    import zarr

    zipped = plan.layout.zarr == "zip"
    folder = path.with_suffix(".folder") if zipped else path
    with warnings.catch_warnings(), zarr.config.set({"array.write_empty_chunks": True}):
        warnings.filterwarnings("ignore", message="Consolidated metadata", category=UserWarning)
        root = zarr.create_group(folder, attributes=_root_attributes(subset, plan))
        for group, attributes in subset.groups.items():
            if group != "/":
                root.create_group(group.strip("/"), attributes=_plain(attributes))
        packings = [_create(root, own, subset, plan) for own in subset.variables]
        _write_numbers(folder, subset.variables, packings, step)
        _write_texts(root, subset.variables, packings, step)
        zarr.consolidate_metadata(folder)
    _sort_consolidated(folder / "zarr.json")
    if zipped:
        _zip(folder, path)


def _root_attributes(subset: Subset, plan: Plan) -> dict[str, Any]:
    return _plain(global_attributes(subset.groups.get("/", {}), plan))


def _create(root: Any, variable: SubsetVariable, subset: Subset, plan: Plan) -> Packing | None:
    """Define one array; how its chunks are encoded, or None for text, which zarr writes."""
    from zarr.codecs import BytesCodec, ZstdCodec

    dtype = variable.data.dtype
    if dtype.kind not in _TYPES + "SUOT":
        raise UnsupportedError(
            f"The variable {variable.planned.path.lstrip('/')} has the type {dtype}, which Zarr "
            "cannot hold. Ask for other variables."
        )
    chunks = output_chunks(variable, subset, plan.layout)
    attributes = _plain(variable.data.attrs, dtype)
    attributes |= geozarr_attributes(variable, subset, plan)
    fill = _fill(variable)
    packing = packing_of(variable, chunks, fill) if dtype.kind in _TYPES else None
    encoded: dict[str, Any] = {"dtype": "string", "compressors": [ZstdCodec()]}
    if packing is not None:
        endian: Literal["big", "little"] = "big" if packing.dtype.byteorder == ">" else "little"
        encoded = {
            "dtype": packing.dtype.newbyteorder("="), "serializer": BytesCodec(endian=endian),
            "compressors": [packing.codec],
            "shards": _shards(variable.data.shape, chunks, dtype.itemsize),
        }  # fmt: skip
    root.create_array(
        variable.planned.path.strip("/"),
        shape=variable.data.shape,
        chunks=chunks,
        fill_value=fill,
        attributes=attributes,
        dimension_names=[name_of(own) for own in variable.planned.dimensions],
        **encoded,
    )
    return packing


def _shards(
    shape: tuple[int, ...], chunks: tuple[int, ...], itemsize: int
) -> tuple[int, ...] | None:
    """Whole numbers of chunks, growing from the last dimension; None where chunks are few."""
    counts = [-(-n // c) for n, c in zip(shape, chunks, strict=True)]
    if math.prod(counts) <= _MOST_OBJECTS:
        return None
    held = [1] * len(chunks)
    room = max(1, _SHARD_BYTES // (math.prod(chunks) * itemsize))
    for axis in reversed(range(len(chunks))):
        held[axis] = max(1, min(counts[axis], room // math.prod(held)))
    return tuple(c * n for c, n in zip(chunks, held, strict=True))


def _fill(variable: SubsetVariable) -> Any:
    """What a reader makes of chunks that are not there; all are, so it matters to no one."""
    dtype = variable.data.dtype
    if dtype.kind not in _TYPES:
        return ""
    fill = variable.data.attrs.get("_FillValue")
    return np.zeros(1, dtype)[0] if fill is None else np.ravel(np.asarray(fill))[0].astype(dtype)


def _plain(attributes: Mapping[Any, Any], dtype: np.dtype[Any] | None = None) -> dict[str, Any]:
    """Attributes as JSON holds them; those of a variable in xarray's form."""
    from xarray.backends.zarr import FillValueCoder

    found = {name: _json(own) for name, own in netcdf_attributes(attributes, dtype).items()}
    # Of floating numbers NaN is missing anyway, and JSON has no word for it.
    found = {name: own for name, own in found.items() if own is not None}
    fill = attributes.get("_FillValue")
    if dtype is not None and dtype.kind in _TYPES and fill is not None:
        value = np.ravel(np.asarray(fill))[0].astype(dtype)
        found["_FillValue"] = FillValueCoder.encode(value.item(), dtype)
    return found


def _json(value: Any) -> Any:
    plain = value.tolist() if isinstance(value, np.ndarray | np.generic) else value
    if isinstance(plain, list):
        return [str(own) if _json(own) is None else _json(own) for own in plain]
    if isinstance(plain, bytes):
        return plain.decode(errors="replace")
    return None if isinstance(plain, float) and not math.isfinite(plain) else plain


def _write_numbers(
    folder: Path,
    variables: Sequence[SubsetVariable],
    packings: Sequence[Packing | None],
    step: Step,
) -> None:
    """Every chunk once, encoded in threads or copied, in the file where readers look for it."""
    targets = [(own, p) for own, p in zip(variables, packings, strict=True) if p is not None]
    objects = [
        Objects(
            folder / own.planned.path.strip("/"), own.data.shape, packing.chunks,
            _shards(own.data.shape, packing.chunks, packing.dtype.itemsize),
        )
        for own, packing in targets
    ]  # fmt: skip
    with closing(encoded_chunks(targets, folder.parent)) as chunks:
        for chunk in chunks:
            objects[chunk.number].put(chunk.place, chunk.body)
            step(chunk.nbytes)


def _write_texts(
    root: Any, variables: Sequence[SubsetVariable], packings: Sequence[Packing | None], step: Step
) -> None:
    """What zarr encodes, piece by piece."""
    texts = [own for own, packing in zip(variables, packings, strict=True) if packing is None]
    for number, block, values in read_ahead(texts):
        found = np.empty(values.shape, object)
        for place, own in np.ndenumerate(values):
            found[place] = _text(own)
        root[texts[number].planned.path.strip("/")][block] = found
        step(values.nbytes)


def _text(value: Any) -> str:
    if not isinstance(value, bytes):
        return str(value)
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _sort_consolidated(path: Path) -> None:
    """Put the arrays in an order that does not depend on the file system's."""
    document = json.loads(path.read_text())
    inside = document["consolidated_metadata"]["metadata"]
    document["consolidated_metadata"]["metadata"] = dict(sorted(inside.items()))
    path.write_text(json.dumps(document, indent=2))


def _zip(folder: Path, path: Path) -> None:
    """The files of `folder` as they are, without times, in one; then the folder goes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for own in sorted(own for own in folder.rglob("*") if own.is_file()):
            info = zipfile.ZipInfo(own.relative_to(folder).as_posix())
            with own.open("rb") as file, archive.open(info, "w", force_zip64=True) as target:
                while body := file.read(2**22):
                    target.write(body)
    shutil.rmtree(folder)
