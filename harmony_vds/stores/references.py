"""kerchunk reference files: one JSON document that names every chunk of a zarr v2 hierarchy.

They are parsed here, not handed to fsspec: that reads ``file:///`` and scheme-less addresses by
default, retries nothing, and hands login pages on as data.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import numpy as np

from harmony_vds.access.fetch import Fetcher
from harmony_vds.access.loop import run
from harmony_vds.errors import StoreError
from harmony_vds.model.chunks import ChunkIndex, ChunkKind
from harmony_vds.model.store import StoreLocation
from harmony_vds.stores.freshness import SourceWatch
from harmony_vds.stores.metadata import fill_role
from harmony_vds.stores.zarr import ManifestStore

MANIFEST_LIMIT = 2 * 2**30
"""Most bytes of a reference file; the largest published one has 0.54 GB."""

type Reference = str | list[Any] | dict[str, Any]
"""Text, ``[url, offset, length]``, or a metadata document that was not made text."""


class ReferenceStore(ManifestStore):
    """A zarr v2 store over the ``refs`` of a kerchunk document."""

    zarr_format = 2

    def __init__(
        self,
        references: Mapping[str, Reference],
        fetcher: Fetcher,
        watch: SourceWatch | None = None,
    ) -> None:
        super().__init__(fetcher, watch or SourceWatch(None))
        self._documents: dict[str, bytes] = {}
        self._chunks: dict[str, dict[str, Reference]] = {}
        self._children: dict[str, set[str]] = {}
        for key, reference in references.items():
            self._file(key.strip("/") if key.endswith("//") else key, reference)
        self._arrays = {
            key.removesuffix("/.zarray") for key in self._documents if key.endswith("/.zarray")
        }

        described = {path: self._json(f"{path}/.zarray") for path in self._arrays}
        self._scalars = {path for path, own in described.items() if own.get("shape") == []}
        self.fill_role = fill_role(
            described, {path: self._json(f"{path}/.zattrs") for path in self._arrays}
        )

    def _file(self, key: str, reference: Reference) -> None:
        parent, _, name = key.rpartition("/")
        if name.startswith(".z"):
            self._documents[key] = _inline(key, reference)
            while parent:
                above, _, own = parent.rpartition("/")
                self._children.setdefault(above, set()).add(own)
                parent = above
        else:
            self._chunks.setdefault(parent, {})[name] = reference

    async def document(self, key: str) -> bytes | None:
        """The metadata document or inline chunk under `key`. **Reads:** metadata."""
        if key in self._documents:
            return self._documents[key]
        path, _, name = key.rpartition("/")
        held = self._chunks.get(path, {})
        reference = held.get(name, held.get("") if name == "0" else None)
        return None if reference is None else _inline(key, reference)

    async def children(self, prefix: str) -> Iterable[str]:
        """Names directly below `prefix`. **Reads:** nothing."""
        return sorted(self._children.get(prefix, ()))

    def split_chunk_key(self, key: str) -> tuple[str, tuple[int, ...]] | None:
        """Array path and chunk numbers that `key` names. **Reads:** nothing."""
        path, _, name = key.rpartition("/")
        if path not in self._arrays:
            return None
        if path in self._scalars:
            return f"/{path}", ()
        try:
            return f"/{path}", tuple(int(part) for part in name.split("."))
        except ValueError:
            return None

    def _json(self, key: str) -> dict[str, Any]:
        """A metadata document; Python writers put NaN into it, so the lenient parser reads it."""
        try:
            document = json.loads(self._documents.get(key, b"{}"))
        except ValueError as error:
            raise StoreError(f"The metadata document {key} is not JSON: {error}.") from None
        return document if isinstance(document, dict) else {}

    def chunk_key(self, path: str, numbers: tuple[int, ...]) -> str:
        """The key of a chunk, e.g. ``sst/0.1.2``; ``0`` for a scalar. **Reads:** nothing."""
        return f"{path.strip('/')}/{'.'.join(map(str, numbers)) or '0'}"

    async def build_index(self, path: str) -> ChunkIndex:
        """The chunk index of the array at `path`. **Reads:** nothing."""
        path = path.strip("/")
        metadata = self._json(f"{path}/.zarray")
        shape, chunks = tuple(metadata["shape"]), tuple(metadata["chunks"])
        index = ChunkIndex.empty(shape, chunks, np.dtype(metadata["dtype"]).itemsize)
        numbers: dict[str, int] = {}
        for name, reference in self._chunks.get(path, {}).items():
            place = () if not shape else tuple(int(part) for part in name.split("."))
            if len(place) != len(shape) or any(
                n >= m for n, m in zip(place, index.kinds.shape, strict=True)
            ):
                continue  # left over from a longer array; zarr never asks for it
            if isinstance(reference, str):
                index.kinds[place] = ChunkKind.INLINE
                index.lengths[place] = len(_inline(f"{path}/{name}", reference))
                continue
            url, offset, length = _range_of(f"{path}/{name}", reference)
            index.kinds[place] = ChunkKind.VIRTUAL
            index.sources[place] = numbers.setdefault(url, len(numbers))
            index.offsets[place], index.lengths[place] = offset, length
        return ChunkIndex(
            shape, chunks, index.itemsize, index.kinds, index.sources, index.offsets,
            index.lengths, tuple(numbers),
        )  # fmt: skip


def open_references(
    location: StoreLocation, fetcher: Fetcher, *, refuse_stale: bool = False
) -> tuple[ReferenceStore, StoreLocation]:
    """The store of a kerchunk JSON document, and its location pinned by the document's digest.

    Parameters
    ----------
    location
        Where the document is published.
    fetcher
        Reads it and its sources.
    refuse_stale
        Whether a source newer than the document is an error, or only a warning: reference files
        are often copied, and a copy is younger than what it describes.

    Raises
    ------
    StoreError
        The document is not a kerchunk reference file of version 0 or 1.
    ForbiddenError, UpstreamError
        It cannot be read.

    **Reads:** metadata.
    """
    received = run(fetcher.fetch_whole(location.href, MANIFEST_LIMIT))
    try:
        document = msgspec.json.decode(received.body, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise StoreError(f"{location.href} is not a kerchunk reference file: {error}.") from None
    references = document.get("refs", document)
    if not isinstance(references, dict) or ".zgroup" not in references:
        raise StoreError(f"{location.href} is JSON, but holds no kerchunk references.")
    if document.get("templates") or document.get("gen"):
        raise StoreError(
            f"{location.href} uses kerchunk templates, which this service does not expand. "
            "Publish the references in full."
        )
    digest = hashlib.sha256(received.body).hexdigest()[:16]
    pinned = StoreLocation(location.href, location.kind, digest, location.region)
    watch = SourceWatch(received.modified, refuses=refuse_stale)
    return ReferenceStore(references, fetcher, watch), pinned


def _inline(key: str, reference: Reference) -> bytes:
    if isinstance(reference, dict):  # metadata documents also come as objects
        return msgspec.json.encode(reference)
    if not isinstance(reference, str):
        raise StoreError(f"The reference {key} should be text and is a byte range.")
    if not reference.startswith("base64:"):
        return reference.encode("utf-8")
    try:
        return base64.b64decode(reference[7:], validate=True)
    except binascii.Error:
        raise StoreError(f"The inline reference {key} is not valid base64.") from None


def _range_of(key: str, reference: Reference) -> tuple[str, int, int]:
    """(URL, offset, length) of a reference, its URL given a scheme."""
    if not isinstance(reference, list) or len(reference) != 3 or not isinstance(reference[0], str):
        raise StoreError(
            f"The reference {key} names a file without offset and length, which this service does "
            "not read."
        )
    url, offset, length = reference
    if not isinstance(offset, int) or not isinstance(length, int) or min(offset, length) < 0:
        raise StoreError(f"The reference {key} has an unusable offset or length.")
    if url.startswith("/"):
        url = f"file://{url}"
    if "://" not in url:
        raise StoreError(f"The reference {key} names {url!r}, which is no complete address.")
    return url, offset, length
