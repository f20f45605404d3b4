"""kerchunk reference files: one JSON document that names every chunk of a zarr v2 hierarchy.

They are parsed here, not handed to fsspec: that reads ``file:///`` and scheme-less addresses by
default, retries nothing, and hands login pages on as data.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np

from harmony_vds.access.fetch import Fetcher
from harmony_vds.access.loop import run
from harmony_vds.errors import StoreError
from harmony_vds.model.chunks import ChunkIndex
from harmony_vds.model.store import StoreLocation
from harmony_vds.stores.freshness import SourceWatch
from harmony_vds.stores.metadata import fill_role
from harmony_vds.stores.reference_table import Reference, ReferenceTable, inline, read_document
from harmony_vds.stores.zarr import ManifestStore

MANIFEST_LIMIT = 2 * 2**30
"""Most bytes of a reference file; the largest published one has 0.54 GB."""


class ReferenceStore(ManifestStore):
    """A zarr v2 store over the ``refs`` of a kerchunk document."""

    zarr_format = 2

    def __init__(
        self,
        references: Mapping[str, Reference] | ReferenceTable,
        fetcher: Fetcher,
        watch: SourceWatch | None = None,
    ) -> None:
        super().__init__(fetcher, watch or SourceWatch(None))
        self._table = references if isinstance(references, ReferenceTable) else ReferenceTable()
        if not isinstance(references, ReferenceTable):
            self._table.add(references)
        self._documents = self._table.documents
        self._children: dict[str, set[str]] = {}
        for key in self._documents:
            parent = key.rpartition("/")[0]
            while parent:
                above, _, own = parent.rpartition("/")
                self._children.setdefault(above, set()).add(own)
                parent = above
        self._arrays = {
            key.removesuffix("/.zarray") for key in self._documents if key.endswith("/.zarray")
        }
        described = {path: self._json(f"{path}/.zarray") for path in self._arrays}
        self._scalars = {path for path, own in described.items() if own.get("shape") == []}
        self.fill_role = fill_role(
            described, {path: self._json(f"{path}/.zattrs") for path in self._arrays}
        )

    async def document(self, key: str) -> bytes | None:
        """The metadata document or inline chunk under `key`. **Reads:** metadata."""
        if key in self._documents:
            return self._documents[key]
        path, _, name = key.rpartition("/")
        held = self._table.others.get(path, {})
        reference = held.get(name, held.get("") if name == "0" else None)
        return None if reference is None else inline(key, reference)

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
        if metadata.get("dimension_separator", ".") != "." and len(shape) > 1:
            # Its chunks would be looked for under other names, found missing, and filled in.
            raise StoreError(
                f"The chunks of {path} are named with a separator other than a dot, which this "
                "service does not read. Ask for other variables, or have the publisher change it."
            )
        index = ChunkIndex.empty(shape, chunks, np.dtype(metadata["dtype"]).itemsize)
        return self._table.fill(path, index)


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
        table, around = read_document(received.body)
    except msgspec.DecodeError as error:
        raise StoreError(f"{location.href} is not a kerchunk reference file: {error}.") from None
    if ".zgroup" not in table.documents:
        raise StoreError(f"{location.href} is JSON, but holds no kerchunk references.")
    if around.get("templates") or around.get("gen"):
        raise StoreError(
            f"{location.href} uses kerchunk templates, which this service does not expand. "
            "Publish the references in full."
        )
    digest = hashlib.sha256(received.body).hexdigest()[:16]
    pinned = replace(location, snapshot=digest)
    watch = SourceWatch(received.modified, refuses=refuse_stale)
    return ReferenceStore(table, fetcher, watch), pinned
