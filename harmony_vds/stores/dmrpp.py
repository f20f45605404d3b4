"""DMR++ documents: one granule's chunks, listed by OPeNDAP's servers in an XML file beside it.

Each becomes a zarr v2 hierarchy whose chunks lie in the granule, so that the planned reader serves
it like any other manifest.
"""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from harmony_vds.access.fetch import Fetcher
from harmony_vds.access.http import Received
from harmony_vds.access.loop import run
from harmony_vds.access.trust import Trust
from harmony_vds.errors import StoreError, UntrustedError
from harmony_vds.model.chunks import ChunkIndex, ChunkKind, Indexers
from harmony_vds.model.paths import group_of, name_of
from harmony_vds.model.store import StoreLocation
from harmony_vds.stores.dmr import DMRPP, DmrDocument, DmrVariable, read_dmr
from harmony_vds.stores.dmr_storage import DmrStorage, storage_of
from harmony_vds.stores.freshness import SourceWatch
from harmony_vds.stores.zarr import ManifestStore

DOCUMENT_LIMIT = 128 * 2**20
"""Most bytes of a DMR++; those of the largest granules have a tenth of it."""
SUFFIX = ".dmrpp"


class DmrHierarchy(ManifestStore):
    """A zarr v2 hierarchy of variables whose storage is known; subclasses fill it in."""

    zarr_format = 2

    def __init__(self, fetcher: Fetcher, watch: SourceWatch) -> None:
        super().__init__(fetcher, watch)
        # All by full path: groups with their attributes, and what is known of each variable.
        self.groups: Mapping[str, Mapping[str, Any]] = {}
        self.described: dict[str, Mapping[str, Any]] = {}
        self.dimensions: dict[str, tuple[str, ...]] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.storage: dict[str, DmrStorage] = {}
        self.sources: dict[str, tuple[str, ...]] = {}

    async def document(self, key: str) -> bytes | None:
        """The metadata document or inline chunk under `key`. **Reads:** nothing."""
        path, _, name = f"/{key}".rpartition("/")
        if name == ".zgroup":
            return b'{"zarr_format":2}' if (path or "/") in self.groups else None
        if path not in self.storage:
            return b"{}" if name == ".zattrs" and (path or "/") in self.groups else None
        if name == ".zarray":
            return json.dumps(self._zarray(path)).encode()
        if name == ".zattrs":
            return json.dumps({"_ARRAY_DIMENSIONS": self.dimensions[path]}).encode()
        return self.storage[path].inline

    def _zarray(self, path: str) -> dict[str, Any]:
        storage = self.storage[path]
        return {
            "zarr_format": 2,
            "shape": self.shapes[path],
            "chunks": storage.chunk_shape,
            "dtype": storage.dtype.str,
            "fill_value": _as_json(storage.fill),
            "order": "C",
            "filters": storage.filters or None,
            "compressor": None,
        }

    def attributes(self, path: str, stored: Mapping[str, Any]) -> Mapping[str, Any]:
        """The attributes of the variable or group at `path`, in their types. **Reads:** nothing."""
        return self.described.get(path, stored)

    async def children(self, prefix: str) -> Iterable[str]:
        """Names directly below `prefix`. **Reads:** nothing."""
        above = f"/{prefix}"
        listed = [path for path in (*self.groups, *self.storage) if path != "/"]
        return sorted(name_of(path) for path in listed if group_of(path) == above)

    def split_chunk_key(self, key: str) -> tuple[str, tuple[int, ...]] | None:
        """Array path and chunk numbers that `key` names. **Reads:** nothing."""
        path, _, name = f"/{key}".rpartition("/")
        if path not in self.storage:
            return None
        if not self.shapes[path]:
            return path, ()
        try:
            return path, tuple(int(part) for part in name.split("."))
        except ValueError:
            return None

    def chunk_key(self, path: str, numbers: tuple[int, ...]) -> str:
        """The key of a chunk, e.g. ``sst/0.1.2``; ``0`` for a scalar. **Reads:** nothing."""
        return f"{path.strip('/')}/{'.'.join(map(str, numbers)) or '0'}"

    async def build_index(
        self,
        path: str,
        selection: Indexers | None,  # noqa: ARG002  the document is there as a whole
    ) -> ChunkIndex:
        """The chunk index of the array at `path`. **Reads:** nothing."""
        storage, shape = self.storage[path], self.shapes[path]
        index = ChunkIndex.empty(shape, storage.chunk_shape, storage.dtype.itemsize)
        if storage.inline is not None:
            index.kinds[...] = ChunkKind.INLINE
            index.lengths[...] = len(storage.inline)
            return index
        if not len(storage.offsets):
            return index
        locations = tuple(dict.fromkeys(self.sources[path]))
        places = {url: number for number, url in enumerate(locations)}
        box = tuple(storage.numbers.T) if shape else ...
        index.kinds[box] = ChunkKind.VIRTUAL
        index.sources[box] = np.array([places[url] for url in self.sources[path]], np.int32)
        index.offsets[box], index.lengths[box] = storage.offsets, storage.lengths
        return replace(index, locations=locations)


class DmrppStore(DmrHierarchy):
    """A zarr v2 store over one DMR++ document."""

    def __init__(
        self, document: DmrDocument, data_url: str, fetcher: Fetcher, watch: SourceWatch
    ) -> None:
        super().__init__(fetcher, watch)
        self.data_url = data_url
        self._own_names = {
            document.root.get("name", ""), document.root.get(f"{DMRPP}href", ""), data_url
        }  # fmt: skip
        self.groups = document.groups
        self.described.update(document.groups)
        self.defects.update(document.defects)
        ordered = document.root.get(f"{DMRPP}version") is not None
        for path, variable in document.variables.items():
            try:
                self._add(path, variable, storage_of(variable, ordered=ordered))
            except StoreError as error:
                self.defects[path] = str(error)

    def _add(self, path: str, variable: DmrVariable, storage: DmrStorage) -> None:
        self.sources[path] = tuple(self._address(href) for href in storage.hrefs)
        self.storage[path], self.shapes[path] = storage, variable.shape
        self.dimensions[path] = variable.dimensions
        self.described[path] = variable.attributes

    def _address(self, href: str | None) -> str:
        """Where a chunk lies; the document's own file goes by many names."""
        if href is None or any(name_of(href) == name_of(own) for own in self._own_names):
            return self.data_url
        if urlsplit(href).scheme in ("https", "http", "s3", "file"):
            return href
        raise StoreError(f"its values lie in {href[:200]!r}, which is no complete address")


def _as_json(fill: Any) -> Any:
    """A fill value as zarr v2 writes it."""
    if fill is None:
        return None
    plain = fill.item()
    if isinstance(plain, float) and not math.isfinite(plain):
        return "NaN" if math.isnan(plain) else "Infinity" if plain > 0 else "-Infinity"
    return plain


def open_dmrpp(
    location: StoreLocation, fetcher: Fetcher, *, refuse_stale: bool = False
) -> tuple[DmrppStore, StoreLocation]:
    """The store of a DMR++ document, and its location pinned by the document's digest.

    The data lie where the location says; else where the document says, if that may be read; else
    beside it, under its name without the suffix.

    Parameters
    ----------
    location
        Where the document is published.
    fetcher
        Reads it and its granule.
    refuse_stale
        Whether a granule newer than the document is an error, or only a warning.

    Raises
    ------
    StoreError
        It is no DMR++, or nothing says where its data lie.
    ForbiddenError, UpstreamError
        It cannot be read.

    **Reads:** metadata.
    """
    received = run(fetcher.fetch_whole(location.href, DOCUMENT_LIMIT))
    return store_of(received, location, fetcher, refuse_stale=refuse_stale)


def store_of(
    received: Received, location: StoreLocation, fetcher: Fetcher, *, refuse_stale: bool
) -> tuple[DmrppStore, StoreLocation]:
    """The store of a document that was `received`; otherwise as `open_dmrpp`.

    **Reads:** nothing.
    """
    document = read_dmr(received.body, location.href)
    written = str(document.root.get(f"{DMRPP}href", ""))
    data_url = location.data_href or _trusted(written, fetcher.trust)
    if data_url is None and location.href.endswith(SUFFIX):
        data_url = location.href.removesuffix(SUFFIX)
    if data_url is None:
        raise StoreError(
            f"{location.href} does not say where its data lie: its dmrpp:href is {written[:200]!r} "
            f"and its name does not end in {SUFFIX}. Publish it as the data's address with "
            f"{SUFFIX} appended."
        )
    watch = SourceWatch(received.modified, refuses=refuse_stale)
    digest = hashlib.sha256(received.body).hexdigest()[:16]
    store = DmrppStore(document, data_url, fetcher, watch)
    return store, replace(location, snapshot=digest, data_href=data_url)


def _trusted(href: str, trust: Trust) -> str | None:
    """`href` if it is a complete address that may be read; documents are often moved."""
    if "://" not in href:
        return None
    try:
        trust.check(href)
    except UntrustedError:
        return None
    return href
