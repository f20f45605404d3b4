"""What the metadata documents of a zarr v2 hierarchy say of its arrays.

Documents come from elsewhere, so one that is too long or nested too deep gets no further.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from harmony_vds.errors import StoreError
from harmony_vds.stores.metadata import FillRole, fill_role

LONGEST_DOCUMENT = 16 * 2**20
"""Most bytes of one metadata document, attributes among them."""
DEEPEST_DOCUMENT = 64
"""Most levels of lists and objects in one."""
MOST_DOCUMENTS = 2**17
"""Most metadata documents of a store."""


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
    """Metadata documents by key, codecs spelled as zarr v2 does."""
    arrays: Mapping[str, ArrayLayout]
    """By path without slashes around it."""
    role: FillRole
    """What ``fill_value`` means in this hierarchy."""


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
    for key in [key for key in written if key.endswith("/.zarray")]:
        path = key.removesuffix("/.zarray")
        described[path] = document = _parsed(key, documents)
        attributes[path] = _parsed(f"{path}/.zattrs", documents)
        if _respell(document):
            documents[key] = json.dumps(document).encode()
        layout = _layout(document)
        if layout is not None:
            arrays[path] = layout
    for key, body in documents.items():
        _refuse_long(key, body)
    return Layouts(documents, arrays, fill_role(described, attributes))


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
        raise _too_deep(key) from None
    level, depth = [document], 0
    while level:
        level = [inner for own in level for inner in _members(own)]
        depth += 1
        if depth > DEEPEST_DOCUMENT:
            raise _too_deep(key)
    return document if isinstance(document, dict) else {}


def _too_deep(key: str) -> StoreError:
    return StoreError(
        f"The metadata document {key} is nested deeper than {DEEPEST_DOCUMENT} levels."
    )


def _members(value: Any) -> Iterable[Any]:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return (own for own in inner if isinstance(own, dict | list))


def _respell(document: dict[str, Any]) -> bool:
    """Spell codecs as zarr v2 does, where a writer used the spelling of v3; True if one did."""
    filters = document.get("filters") or []
    if not isinstance(filters, list):  # as vetting will say
        return False
    found = [*filters, document.get("compressor")]
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
    if not isinstance(settings, dict):
        return codec
    name = str(codec.get("id", codec.get("name")))
    return {**settings, "id": name.removeprefix("numcodecs.")}


def _type_of(kind: Any) -> Any:
    """A type as numpy takes it: fields as tuples, in fields, too."""
    if not isinstance(kind, list):
        return kind
    return [(name, _type_of(inner), *map(tuple, shape)) for name, inner, *shape in kind]


def _layout(document: Mapping[str, Any]) -> ArrayLayout | None:
    """The layout in a ``.zarray`` document; None if it describes no array, as vetting will say."""
    shape: Any = document.get("shape")
    chunks: Any = document.get("chunks")
    kind: Any = document.get("dtype")
    try:
        itemsize = np.dtype(_type_of(kind)).itemsize
    except (TypeError, ValueError, RecursionError):
        return None
    if not all(isinstance(own, list) and {*map(type, own)} <= {int} for own in (shape, chunks)):
        return None
    separator = document.get("dimension_separator", ".")
    if separator not in (".", "/"):
        return None
    return ArrayLayout(tuple(shape), tuple(chunks), itemsize, separator)
