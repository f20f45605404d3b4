"""Writes a virtual subset: a kerchunk JSON file that points to the chunks of the archive.

It opens wherever kerchunk files do, and holds values only of what is small: coordinates, scalars,
and variables whose chunks the store's own manifest holds. ``fill_value`` is what a variable's
attributes call missing, or null: readers of such files mask by it, whatever it was meant for.
"""

import base64
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from numcodecs import VLenUTF8

from harmony_vds.errors import UnsupportedError
from harmony_vds.model.chunks import ChunkKind
from harmony_vds.model.paths import name_of
from harmony_vds.model.plan import Plan
from harmony_vds.model.subset import References, Subset, SubsetVariable
from harmony_vds.outputs.pieces import Step
from harmony_vds.outputs.provenance import global_attributes

EXTENSION = ".json"

type Entry = tuple[str, str]
"""Key and value of a reference, both as JSON text."""


def write_kerchunk(subset: Subset, plan: Plan, path: Path, step: Step) -> None:
    """Write `subset` to `path` as a kerchunk reference file, version 1.

    Parameters
    ----------
    subset
        Variables with their references, cut at chunk edges, and those to be held by value.
    plan
        What was decided.
    path
        The new file.
    step
        Called with the bytes of each entry just written.

    Raises
    ------
    UnsupportedError
        Chunks of a variable cannot be named in this format; the text says why.
    StoreError, ForbiddenError, UpstreamError
        A value that is to be held cannot be read.

    **Reads:** chunks of variables held by value.
    """
    with path.open("w", encoding="utf-8") as file:
        file.write('{"version":1,"refs":{')
        for number, (key, value) in enumerate(_entries(subset, plan)):
            text = f"{',' if number else ''}\n{key}:{value}"
            file.write(text)
            step(len(text))
        file.write("\n}}\n")


def _entries(subset: Subset, plan: Plan) -> Iterator[Entry]:
    for group, attributes in subset.groups.items():
        own = global_attributes(attributes, plan) if group == "/" else attributes
        prefix = f"{group.strip('/')}/".lstrip("/")
        yield _text(f"{prefix}.zgroup"), _text('{"zarr_format":2}')
        yield _text(f"{prefix}.zattrs"), _text(_json(own))
    for variable in subset.variables:
        yield from _variable(variable)


def _variable(variable: SubsetVariable) -> Iterator[Entry]:
    """Keys and values of one variable: its metadata, then its chunks."""
    base = variable.planned.path.lstrip("/")
    attributes = dict(variable.data.attrs)
    # Text, too: a reader that knows netCDF's own rules finds it there.
    names = [name_of(own) for own in variable.planned.dimensions]
    fill = _plain(attributes.get("_FillValue"))
    if fill is None or not np.isfinite(np.asarray(fill, np.float64)).all():
        attributes.pop("_FillValue", None)  # JSON has no such number; the array's own fill tells
    if variable.references is None:
        array, chunks = _held(variable)
    else:
        array, chunks = _pointed(variable, variable.references)
    array["fill_value"] = _number(fill)
    yield _text(f"{base}/.zarray"), _text(_json(array))
    yield _text(f"{base}/.zattrs"), _text(_json({**attributes, "_ARRAY_DIMENSIONS": names}))
    for numbers, value in chunks:
        yield _text(f"{base}/{numbers}"), value


# -- chunks that stay in the archive ---------------------------------------------------------------


def _pointed(
    variable: SubsetVariable, own: References
) -> tuple[dict[str, Any], Iterator[tuple[str, str]]]:
    """Array metadata, and chunk number and reference of each chunk."""
    path = variable.planned.path.lstrip("/")
    array = _metadata(own.layout, path)
    box = np.ix_(*own.numbers) if own.numbers else ()
    kinds = own.index.kinds[box]
    absent = bool((kinds == ChunkKind.ABSENT).any())
    if absent and not _same(array.get("fill_value"), variable.data.attrs.get("_FillValue")):
        raise UnsupportedError(
            f"{path} cannot be given by references: some of its chunks are not in the manifest and "
            f"read as {array.get('fill_value')!r}, which its attributes do not call missing. Ask "
            "for netCDF, or for another time or place."
        )
    array["shape"], array["chunks"] = list(variable.data.shape), list(own.index.chunk_shape)
    return array, _chunks(own, box, kinds)


def _chunks(own: References, box: Any, kinds: npt.NDArray[Any]) -> Iterator[tuple[str, str]]:
    urls = [_text(url) for url in own.index.locations]
    columns = (own.index.sources, own.index.offsets, own.index.lengths)
    sources, offsets, lengths = (column[box] for column in columns)
    if kinds.ndim == 0:
        yield "0", f"[{urls[int(sources)]},{int(offsets)},{int(lengths)}]"
        return
    for place in np.argwhere(kinds == ChunkKind.VIRTUAL):
        at = tuple(place)
        text = f"[{urls[sources[at]]},{offsets[at]},{lengths[at]}]"
        yield ".".join(map(str, place)), text


def _metadata(layout: Any, path: str) -> dict[str, Any]:
    """The array's ``.zarray``, of either version of Zarr."""
    from virtualizarr.utils import convert_v3_to_v2_metadata
    from virtualizarr.writers.kerchunk import to_kerchunk_json
    from zarr.core.metadata import ArrayV3Metadata

    if isinstance(layout, ArrayV3Metadata):
        try:
            layout = convert_v3_to_v2_metadata(layout)
        except (ValueError, TypeError, KeyError, NotImplementedError, AttributeError) as error:
            raise UnsupportedError(
                f"{path} cannot be given by references of this format ({error}). Ask for netCDF."
            ) from None
    array: dict[str, Any] = json.loads(to_kerchunk_json(layout))
    array.pop("attributes", None)
    return {**array, "dimension_separator": "."}


# -- values that the file itself holds -------------------------------------------------------------


def _held(variable: SubsetVariable) -> tuple[dict[str, Any], Iterator[tuple[str, str]]]:
    """Metadata of one uncompressed chunk, and the chunk."""
    values = np.asarray(variable.data.values)
    filters = None
    if values.dtype.kind in "OUT":
        texts = np.ravel(values).astype(str).astype(object)
        raw = VLenUTF8().encode(texts)
        dtype, filters = "|O", [{"id": "vlen-utf8"}]
    else:
        raw = np.ascontiguousarray(values).tobytes()
        dtype = values.dtype.str
    array = {
        "zarr_format": 2, "shape": list(values.shape), "chunks": [max(n, 1) for n in values.shape],
        "dtype": dtype, "compressor": None, "filters": filters, "order": "C",
        "dimension_separator": ".",
    }  # fmt: skip
    key = ".".join("0" * values.ndim) or "0"
    sealed = _text(f"base64:{base64.b64encode(raw).decode()}")
    return array, iter([(key, sealed)] if values.size else [])


def _text(value: str) -> str:
    return msgspec.json.encode(value).decode()


def _json(document: Mapping[str, Any]) -> str:
    """`document` as JSON, without members that JSON has no number for."""
    plain = {str(key): _plain(value) for key, value in document.items()}
    kept = {key: value for key, value in plain.items() if _is_json(value)}
    return json.dumps(kept, separators=(",", ":"), default=str)


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False, default=str)
    except ValueError:
        return False
    return True


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return value


def _number(fill: Any) -> Any:
    """A fill value as Zarr's metadata write it: JSON has no not-a-number."""
    if isinstance(fill, float) and not np.isfinite(fill):
        return "NaN" if np.isnan(fill) else "Infinity" if fill > 0 else "-Infinity"
    return fill if isinstance(fill, int | float) else None


def _same(stored: Any, declared: Any) -> bool:
    """Whether what absent chunks read as is what a variable calls missing."""
    if declared is None:
        return False
    try:
        pair = np.asarray([stored, declared], np.float64)
    except (TypeError, ValueError):
        return bool(stored == declared)
    return bool(pair[0] == pair[1] or np.isnan(pair).all())
