"""The metadata of a native Zarr hierarchy: consolidated, or gathered by listing its folders."""

import asyncio
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
from zarr.core.metadata import ArrayV2Metadata, ArrayV3Metadata

from harmony_vds.access.loop import run
from harmony_vds.errors import MissingSourceError, StoreError
from harmony_vds.model.paths import group_of, name_of
from harmony_vds.stores.crowding import refuse_crowded_json
from harmony_vds.stores.cuts import Boundaries, cut_of
from harmony_vds.stores.folders import Folder
from harmony_vds.stores.vetting import defect_of

DOCUMENT_LIMIT = 256 * 2**20
"""Most bytes of a metadata document; consolidated ones hold those of all arrays."""
_MOST_NODES = 10_000
_DEEPEST = 64
_ADVICE = "Publish it with consolidated metadata (zarr.consolidate_metadata)."


@dataclass(frozen=True)
class NativeArray:
    """How the chunks of one array are cut and named."""

    shape: tuple[int, ...]
    """Shape of the array."""
    chunk_shape: tuple[int, ...]
    """Shape of one stored object, which may be a shard; where they differ, of the largest."""
    itemsize: int
    """Bytes of one element; of texts, of the reference to one."""
    lead: str
    """What chunk names begin with: ``c`` in version 3."""
    separator: str
    """Between the numbers in a name."""
    is_sharded: bool = False
    """Whether objects hold several chunks and an index of them."""
    boundaries: Boundaries = ()
    """As in `harmony_vds.model.chunks.ChunkIndex`."""

    @property
    def most_stored(self) -> int:
        """Most bytes that an object can sensibly have. **Reads:** nothing."""
        return math.prod(self.chunk_shape) * self.itemsize * 9 // 8 + 2**16

    def name(self, numbers: tuple[int, ...]) -> str:
        """The name of a chunk below its array, e.g. ``c/0/1``. **Reads:** nothing."""
        if not numbers:
            return self.lead or "0"
        joined = self.separator.join(map(str, numbers))
        return f"{self.lead}{self.separator}{joined}" if self.lead else joined

    def numbers(self, name: str) -> tuple[int, ...] | None:
        """The chunk numbers that `name` means, or None if it is no chunk's. **Reads:** nothing."""
        if not self.shape:
            return () if name == self.name(()) else None
        text = name.removeprefix(f"{self.lead}{self.separator}") if self.lead else name
        parts = text.split(self.separator)
        if len(parts) != len(self.shape) or not all(p.isascii() and p.isdigit() for p in parts):
            return None
        return tuple(map(int, parts))


@dataclass(frozen=True, eq=False)
class NativeMetadata:
    """All metadata documents of a hierarchy."""

    zarr_format: Literal[2, 3]
    """Its version."""
    documents: Mapping[str, bytes] = field(default_factory=dict)
    """By key, e.g. ``grp/zarr.json``."""

    @cached_property
    def children(self) -> Mapping[str, list[str]]:
        """Names directly below each group, by its path without slashes around it."""
        found: dict[str, list[str]] = {}
        for key in sorted(self.documents):
            path = f"/{key}".rpartition("/")[0]
            if path:
                names = found.setdefault(group_of(path).strip("/"), [])
                if name_of(path) not in names:
                    names.append(name_of(path))
        return found

    @cached_property
    def arrays(self) -> Mapping[str, NativeArray]:
        """The arrays that can be read, by full path."""
        found = {}
        for key, body in self.documents.items():
            path, _, name = f"/{key}".rpartition("/")
            if name == ("zarr.json" if self.zarr_format == 3 else ".zarray") and path:
                document = _parsed(key, body)
                is_array = self.zarr_format == 2 or document.get("node_type") == "array"
                if is_array and defect_of(name_of(path), document, {}, self.zarr_format) is None:
                    found[path] = _array(document, self.zarr_format)
        return found

    @property
    def digest(self) -> str:
        """Tells this state of the metadata from others. **Reads:** nothing."""
        whole = hashlib.sha256()
        for key in sorted(self.documents):
            whole.update(key.encode() + b"\0" + self.documents[key] + b"\0")
        return whole.hexdigest()[:16]

    def described(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """``.zarray`` and ``.zattrs`` of each array, by path. **Reads:** nothing."""
        paths = [p.strip("/") for p in self.arrays]
        arrays = {p: _parsed(p, self.documents[f"{p}/.zarray"]) for p in paths}
        return arrays, {p: _parsed(p, self.documents.get(f"{p}/.zattrs", b"{}")) for p in paths}


def _parsed(key: str, body: bytes) -> dict[str, Any]:
    """A metadata document; Python writers put NaN into it, so the lenient parser reads it."""
    try:
        refuse_crowded_json(body)
        document = json.loads(body)
    except StoreError as error:
        raise StoreError(f"The metadata document {key} is not read: {error}") from None
    except (ValueError, RecursionError) as error:
        raise StoreError(f"The metadata document {key} is not JSON: {error}.") from None
    if not isinstance(document, dict):
        raise StoreError(f"The metadata document {key} is no JSON object.")
    return document


def _array(document: dict[str, Any], zarr_format: int) -> NativeArray:
    plain = {key: value for key, value in document.items() if key != "attributes"}
    if zarr_format == 2:
        own = ArrayV2Metadata.from_dict(plain)
        dtype = np.dtype(own.dtype.to_native_dtype())
        return NativeArray(own.shape, own.chunks, dtype.itemsize, "", own.dimension_separator)
    metadata = ArrayV3Metadata.from_dict(plain)
    dtype = np.dtype(metadata.data_type.to_native_dtype())
    named = document.get("chunk_key_encoding") or {}
    lead = "c" if named.get("name", "default") == "default" else ""
    separator = (named.get("configuration") or {}).get("separator", "/" if lead else ".")
    sharded = any(c.get("name") == "sharding_indexed" for c in document["codecs"])
    chunks, boundaries = cut_of(document["chunk_grid"], metadata.shape)
    return NativeArray(
        metadata.shape, chunks, dtype.itemsize, lead, str(separator), sharded, boundaries
    )


def read_metadata(folder: Folder) -> NativeMetadata:
    """All metadata documents of the hierarchy in `folder`.

    Raises
    ------
    StoreError
        There is no group, or its members are neither consolidated nor can be listed.
    ForbiddenError, UpstreamError
        They cannot be read.

    **Reads:** metadata.
    """
    return run(_Gathering(folder).metadata())


@dataclass(frozen=True)
class _Gathering:
    """Fetches the documents of one hierarchy, on the network loop."""

    folder: Folder

    @property
    def href(self) -> str:
        """Where the hierarchy lies."""
        return self.folder.href

    async def metadata(self) -> NativeMetadata:
        """As `read_metadata`."""
        root = await self._document("zarr.json")
        if root is not None:
            return await self._version_3(root)
        whole = await self._document(".zmetadata")
        if whole is not None:
            return self._consolidated(_parsed(".zmetadata", whole).get("metadata"))
        root = await self._document(".zgroup")
        if root is None:
            raise StoreError(f"{self.href} holds no Zarr group; publish the address of one.")
        found = {".zgroup": root, **await self._own("", (".zattrs",))}
        return NativeMetadata(2, found | await self._below((".zarray", ".zgroup", ".zattrs")))

    async def _version_3(self, body: bytes) -> NativeMetadata:
        root = _parsed("zarr.json", body)
        if root.get("node_type") != "group":
            raise StoreError(f"{self.href} is a single array; publish the group that holds it.")
        inner = root.get("consolidated_metadata")
        found = {"zarr.json": _alone(root)}
        if inner is None:
            return NativeMetadata(3, found | await self._below(("zarr.json",)))
        members = inner.get("metadata") if isinstance(inner, dict) else None
        if not isinstance(members, dict) or len(members) > _MOST_NODES:
            raise StoreError(f"The consolidated metadata of {self.href} cannot be used.")
        for path, document in members.items():
            found[f"{_refused_if_odd(path)}/zarr.json"] = _alone(document)
        return NativeMetadata(3, found)

    def _consolidated(self, members: Any) -> NativeMetadata:
        if not isinstance(members, dict) or len(members) > 3 * _MOST_NODES:
            raise StoreError(f"The consolidated metadata of {self.href} cannot be used.")
        found = {_refused_if_odd(key): _alone(own) for key, own in members.items()}
        return NativeMetadata(2, found)

    async def _below(self, names: tuple[str, ...]) -> dict[str, bytes]:
        """The documents of all members, found by listing one level of groups after another."""
        found: dict[str, bytes] = {}
        level, seen = [""], 0
        for _ in range(_DEEPEST):
            listed = await asyncio.gather(*(self._folders(prefix) for prefix in level))
            keys = [key for folders in listed for key in folders]
            seen += len(keys)
            if seen > _MOST_NODES:
                raise StoreError(f"{self.href} holds more than {_MOST_NODES:,} folders.")
            documents = await asyncio.gather(*(self._own(key, names) for key in keys))
            found |= {key: _alone(_parsed(key, b)) for own in documents for key, b in own.items()}
            level = [k for k, own in zip(keys, documents, strict=True) if _is_group(k, own)]
            if not level:
                return found
        raise StoreError(f"{self.href} holds groups more than {_DEEPEST} levels deep.")

    async def _folders(self, prefix: str) -> list[str]:
        names = await self.folder.names(prefix)
        if names is None:
            raise StoreError(
                f"{self.href} neither lists its members in its metadata nor can be listed, so that "
                f"its variables cannot be found. {_ADVICE}"
            )
        return [f"{prefix}/{n.rstrip('/')}".lstrip("/") for n in names if n.endswith("/")]

    async def _own(self, prefix: str, names: tuple[str, ...]) -> dict[str, bytes]:
        keys = [f"{prefix}/{name}".lstrip("/") for name in names]
        bodies = await asyncio.gather(*(self._document(key) for key in keys))
        return {key: body for key, body in zip(keys, bodies, strict=True) if body is not None}

    async def _document(self, key: str) -> bytes | None:
        try:
            return (await self.folder.read(key, DOCUMENT_LIMIT)).body
        except MissingSourceError:
            return None


def _alone(document: Any) -> bytes:
    """A document without the copies of others that groups may hold."""
    if not isinstance(document, dict):
        raise StoreError("The consolidated metadata hold something else than JSON objects.")
    own = {key: value for key, value in document.items() if key != "consolidated_metadata"}
    return json.dumps(own).encode()


def _is_group(key: str, documents: Mapping[str, bytes]) -> bool:
    if f"{key}/zarr.json" in documents:
        found = _parsed(key, documents[f"{key}/zarr.json"])
        return found.get("node_type") == "group"
    return f"{key}/.zgroup" in documents


def _refused_if_odd(key: str) -> str:
    """`key`, unless it would lead out of the store."""
    if {"", ".", ".."} & set(key.split("/")):
        raise StoreError(f"The consolidated metadata name {key[:200]!r}, which is no path.")
    return key
