"""What the metadata documents of a zarr v2 hierarchy say of its arrays, and which are refused.

Documents come from elsewhere: one that is too long or nested too deep, an array too large for any
memory, or a codec that would run code must not get further. What spoils one array leaves the others
readable.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numcodecs.errors import UnknownCodecError
from zarr.core.metadata.v2 import ArrayV2Metadata
from zarr.errors import BaseZarrError

from harmony_vds.errors import StoreError
from harmony_vds.model.chunks import refuse_excess
from harmony_vds.stores.metadata import FillRole, fill_role

LONGEST_DOCUMENT = 16 * 2**20
"""Most bytes of one metadata document, attributes among them."""
DEEPEST_DOCUMENT = 64
"""Most levels of lists and objects in one."""
MOST_DOCUMENTS = 2**17
"""Most metadata documents of a store."""

_OBJECT_CODECS = {"pickle", "json", "json2", "msgpack", "msgpack2"}
"""They turn bytes into Python objects of any kind, the first by running what it is told."""


@dataclass(frozen=True)
class ArrayLayout:
    """How one array is cut into chunks."""

    shape: tuple[int, ...]
    """Shape of the array."""
    chunk_shape: tuple[int, ...]
    """Shape of one chunk."""
    itemsize: int
    """Bytes of one element."""
    separator: str = "."
    """Between the numbers in a chunk's name: a dot or a slash."""


@dataclass(frozen=True, eq=False)
class Layouts:
    """The arrays of a hierarchy."""

    documents: Mapping[str, bytes]
    """Metadata documents by key, without those of refused arrays."""
    arrays: Mapping[str, ArrayLayout]
    """By path without slashes around it."""
    role: FillRole
    """What ``fill_value`` means in this hierarchy."""
    defects: Mapping[str, str]
    """Full path → why the array cannot be read."""


def read_layouts(written: Mapping[str, bytes]) -> Layouts:
    """The arrays that `written`, metadata documents by key, describe.

    Raises
    ------
    StoreError
        There are too many documents, or one is too long, nested too deep, or no JSON.

    **Reads:** nothing.
    """
    if len(written) > MOST_DOCUMENTS:
        raise StoreError(
            f"The store has {len(written):,} metadata documents; at most {MOST_DOCUMENTS:,} are "
            "read."
        )
    documents = dict(written)
    described: dict[str, dict[str, Any]] = {}
    attributes: dict[str, dict[str, Any]] = {}
    arrays: dict[str, ArrayLayout] = {}
    defects: dict[str, str] = {}
    for key in [key for key in written if key.endswith("/.zarray")]:
        path = key.removesuffix("/.zarray")
        described[path] = document = _parsed(key, documents)
        attributes[path] = _parsed(f"{path}/.zattrs", documents)
        try:
            respelled = _respell(document)
            arrays[path] = _layout(document)
        except StoreError as error:
            defects[f"/{path}"] = str(error)
            for name in (".zarray", ".zattrs"):
                documents.pop(f"{path}/{name}", None)
        else:
            if respelled:
                documents[key] = json.dumps(document).encode()
    for key, body in documents.items():
        _refuse_long(key, body)
    return Layouts(documents, arrays, fill_role(described, attributes), defects)


def _refuse_long(key: str, body: bytes) -> None:
    if len(body) > LONGEST_DOCUMENT:
        raise StoreError(
            f"The metadata document {key} has {len(body):,} bytes; at most {LONGEST_DOCUMENT:,} "
            "are read."
        )


def _parsed(key: str, documents: Mapping[str, bytes]) -> dict[str, Any]:
    """A metadata document; Python writers put NaN into it, so the lenient parser reads it."""
    body = documents.get(key, b"{}")
    _refuse_long(key, body)
    try:
        document = json.loads(body)
    except ValueError as error:
        raise StoreError(f"The metadata document {key} is not JSON: {error}.") from None
    except RecursionError:
        document = None
    level, depth = [document], 0
    while level:
        level = [inner for own in level for inner in _members(own)]
        depth += 1
        if depth > DEEPEST_DOCUMENT or document is None:
            raise StoreError(
                f"The metadata document {key} is nested deeper than {DEEPEST_DOCUMENT} levels."
            )
    return document if isinstance(document, dict) else {}


def _members(value: Any) -> Iterable[Any]:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return (own for own in inner if isinstance(own, dict | list))


def _respell(document: dict[str, Any]) -> bool:
    """Spell codecs as zarr v2 does, where a writer used the spelling of v3; True if one did."""
    found = [*(document.get("filters") or ()), document.get("compressor")]
    spelled = [_spelled(codec) for codec in found]
    if spelled == found:
        return False
    document["filters"] = spelled[:-1] or None
    document["compressor"] = spelled[-1]
    return True


def _spelled(codec: Any) -> Any:
    if not isinstance(codec, dict):
        return codec
    settings = codec.get("configuration", {}) if "name" in codec and "id" not in codec else codec
    name = str(codec.get("id", codec.get("name")))
    return {**settings, "id": name.removeprefix("numcodecs.")}


def _layout(document: Mapping[str, Any]) -> ArrayLayout:
    """The layout in a ``.zarray`` document, if zarr and this service can read such an array."""
    for codec in [*(document.get("filters") or ()), document.get("compressor")]:
        if isinstance(codec, dict) and codec.get("id") in _OBJECT_CODECS:
            raise StoreError(f"it is encoded with {codec['id']}, which this service does not run")
    try:
        metadata = ArrayV2Metadata.from_dict(dict(document))
        itemsize = np.dtype(metadata.dtype.to_native_dtype()).itemsize
    except (ValueError, TypeError, KeyError, UnknownCodecError, BaseZarrError) as error:
        told = str(error).partition("\n")[0].partition(". ")[0]
        raise StoreError(f"its description cannot be used: {told}") from None
    shape, chunks = tuple(metadata.shape), tuple(metadata.chunks)
    refuse_excess(shape, chunks, itemsize)
    return ArrayLayout(shape, chunks, itemsize, document.get("dimension_separator", "."))
