"""kerchunk reference files: one JSON document that names every chunk of a zarr v2 hierarchy.

They are parsed here, not handed to fsspec: that reads ``file:///`` and scheme-less addresses by
default, retries nothing, and hands login pages on as data.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Protocol

import msgspec

from harmony_vds.access.fetch import Fetcher
from harmony_vds.access.http import Received
from harmony_vds.access.loop import bridge, run
from harmony_vds.errors import StoreError
from harmony_vds.model.chunks import ChunkIndex, Indexers
from harmony_vds.model.store import StoreLocation
from harmony_vds.stores.cache import KeptManifest, ManifestCache, UnusableEntryError
from harmony_vds.stores.freshness import SourceWatch
from harmony_vds.stores.layouts import ArrayLayout, Layouts, read_layouts
from harmony_vds.stores.reference_document import MANIFEST_LIMIT, read_document, unpacked
from harmony_vds.stores.reference_table import ReferenceTable
from harmony_vds.stores.zarr import ManifestStore


class References(Protocol):
    """Where the chunks of a hierarchy lie, whatever form that is written in."""

    async def index(self, path: str, layout: ArrayLayout, selection: Indexers | None) -> ChunkIndex:
        """The chunk index of the array at `path`, at least of `selection`. **Reads:** metadata."""

    async def inline(
        self, path: str, layout: ArrayLayout, numbers: tuple[int, ...]
    ) -> bytes | None:
        """The inline chunk at `numbers` of the array at `path`, if any. **Reads:** metadata."""


class ReferenceStore(ManifestStore):
    """A zarr v2 store over metadata documents and references."""

    zarr_format = 2

    def __init__(
        self,
        layouts: Layouts,
        references: References,
        fetcher: Fetcher,
        watch: SourceWatch | None = None,
    ) -> None:
        super().__init__(fetcher, watch or SourceWatch(None))
        self._layouts = layouts
        self._references = references
        self.fill_role = layouts.role
        self._children: dict[str, set[str]] = {}
        for key in layouts.documents:
            parent = key.rpartition("/")[0]
            while parent:
                above, _, own = parent.rpartition("/")
                self._children.setdefault(above, set()).add(own)
                parent = above

    async def document(self, key: str) -> bytes | None:
        """The metadata document or inline chunk under `key`. **Reads:** metadata."""
        if key in self._layouts.documents:
            return self._layouts.documents[key]
        split = self.split_chunk_key(key)
        if split is None:
            return None
        path, numbers = split
        path = path.strip("/")
        return await self._references.inline(path, self._layouts.arrays[path], numbers)

    async def children(self, prefix: str) -> Iterable[str]:
        """Names directly below `prefix`. **Reads:** nothing."""
        return sorted(self._children.get(prefix, ()))

    def split_chunk_key(self, key: str) -> tuple[str, tuple[int, ...]] | None:
        """Array path and chunk numbers that `key` names. **Reads:** nothing."""
        path, _, name = key.rpartition("/")
        numbers = name.split(".")
        while path and path not in self._layouts.arrays:  # a/0/1/2, where slashes separate
            path, _, name = path.rpartition("/")
            numbers.insert(0, name)
        if path not in self._layouts.arrays:
            return None
        if not self._layouts.arrays[path].shape:
            return f"/{path}", ()
        try:
            return f"/{path}", tuple(int(part) for part in numbers)
        except ValueError:
            return None

    def chunk_key(self, path: str, numbers: tuple[int, ...]) -> str:
        """The key of a chunk, e.g. ``sst/0.1.2``; ``0`` for a scalar. **Reads:** nothing."""
        path = path.strip("/")
        separator = self._layouts.arrays[path].separator
        return f"{path}/{separator.join(map(str, numbers)) or '0'}"

    async def build_index(self, path: str, selection: Indexers | None) -> ChunkIndex:
        """The chunk index of the array at `path`. **Reads:** metadata."""
        path = path.strip("/")
        return await self._references.index(path, self._layouts.arrays[path], selection)


@dataclass(eq=False)
class _KeptReferences:
    """The references of a document as they were kept; parsed again if they are lost."""

    kept: KeptManifest
    document: "_Document"
    parsed: ReferenceTable | None = None

    async def index(self, path: str, layout: ArrayLayout, selection: Indexers | None) -> ChunkIndex:
        """As in `References`. **Reads:** nothing, or metadata if they are lost."""
        if path in self.kept.notes["refused"]:
            raise StoreError(self.kept.notes["refused"][path])
        try:
            return self.kept.index(path)
        except UnusableEntryError:
            if self.parsed is None:
                self.document.forget()
                self.parsed = (await self.document.parsed_again()).table
            return await self.parsed.index(path, layout, selection)

    async def inline(self, path: str, _: ArrayLayout, numbers: tuple[int, ...]) -> bytes | None:
        """As in `References`. **Reads:** nothing."""
        return self.kept.texts.get(_inline_name(path, numbers))


def _inline_name(path: str, numbers: tuple[int, ...]) -> str:
    return f"{path}/{'.'.join(map(str, numbers))}"


@dataclass(frozen=True, eq=False)
class _Parsed:
    """A document, read."""

    table: ReferenceTable
    digest: str
    modified: datetime | None
    validators: tuple[str, ...] | None


@dataclass(frozen=True, eq=False)
class _Document:
    """A reference file at its place."""

    href: str
    fetcher: Fetcher
    cache: ManifestCache | None
    validators: tuple[str, ...] | None
    """What its place says of its present state; None if nothing that tells."""

    def forget(self) -> None:
        """Remove what was kept of it."""
        if self.cache and self.validators:
            self.cache.remove("references", self.href, *self.validators)

    def kept(self) -> KeptManifest | None:
        """What was kept of it in its present state."""
        if self.cache is None or self.validators is None:
            return None
        return self.cache.load("references", self.href, *self.validators)

    def keep(self, parsed: _Parsed, layouts: Layouts) -> KeptManifest | None:
        """Keep what it says; None if that is not possible."""
        if self.cache is None or parsed.validators is None:
            return None
        modified = parsed.modified
        refused: dict[str, str] = {}
        texts = dict(parsed.table.documents)
        notes = {
            "digest": parsed.digest,
            "modified": modified and modified.timestamp(),
            "documents": list(texts),
            "refused": refused,
        }
        key = "references", self.href, *parsed.validators
        indexes = _indexes(parsed.table, layouts, texts, refused)
        return self.cache.keep(*key, indexes=indexes, texts=texts, notes=notes)

    async def parsed_again(self) -> _Parsed:
        """As `parsed`, from another loop than the network's."""
        return self.parse(await bridge(self.fetcher.fetch_whole(self.href, MANIFEST_LIMIT)))

    def parse(self, received: Received) -> _Parsed:
        """The references in a document.

        Raises
        ------
        StoreError
            It is not a kerchunk reference file of version 0 or 1.
        """
        try:
            table, around = read_document(unpacked(received.body))
            table.expand(_templates(around))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise StoreError(f"{self.href} is not a kerchunk reference file: {error}.") from None
        except RecursionError:
            raise StoreError(f"{self.href} is nested too deep for a reference file.") from None
        except StoreError as error:
            raise StoreError(f"{self.href} is not read: {error}") from None
        if ".zgroup" not in table.documents:
            raise StoreError(f"{self.href} is JSON, but holds no kerchunk references.")
        digest = hashlib.sha256(received.body).hexdigest()[:16]
        validators = _validators(received, len(received.body))
        return _Parsed(table, digest, received.modified, validators)


def _indexes(
    table: ReferenceTable, layouts: Layouts, texts: dict[str, bytes], refused: dict[str, str]
) -> Iterator[tuple[str, ChunkIndex]]:
    """Path and chunk index of each array in turn.

    On the way what stands inline is put into `texts`, and why an array has no index into `refused`.
    """
    for path, layout in layouts.arrays.items():
        try:
            own = table.index_of(path, layout)
        except StoreError as error:
            refused[path] = str(error)
            continue
        for numbers, body in table.inlined(path, layout).items():
            texts[_inline_name(path, numbers)] = body
        yield path, own


def _templates(around: Mapping[str, Any]) -> Mapping[str, Any]:
    """The templates that stand beside the references of a document."""
    if around.get("gen"):
        raise StoreError(
            "It generates references by expressions (`gen`), which are not run. Publish them in "
            "full."
        )
    templates = around.get("templates") or {}
    if not isinstance(templates, Mapping):
        raise StoreError("Its templates are no object.")
    return templates


def open_references(
    location: StoreLocation,
    fetcher: Fetcher,
    *,
    refuse_stale: bool = False,
    cache: ManifestCache | None = None,
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
    cache
        Where documents are kept between requests.

    Raises
    ------
    StoreError
        The document is not a kerchunk reference file of version 0 or 1.
    ForbiddenError, UpstreamError
        It cannot be read.

    **Reads:** metadata.
    """
    validators = None if cache is None else _ask(location.href, fetcher)
    document = _Document(location.href, fetcher, cache, validators)
    kept = document.kept()
    references: References
    if kept is None:
        parsed = document.parse(run(fetcher.fetch_whole(location.href, MANIFEST_LIMIT)))
        layouts = read_layouts(parsed.table.documents)
        digest, modified = parsed.digest, parsed.modified
        references, kept = parsed.table, document.keep(parsed, layouts)
    else:
        notes = kept.notes
        layouts = read_layouts({key: kept.texts[key] for key in notes["documents"]})
        digest = notes["digest"]
        modified = notes["modified"] and datetime.fromtimestamp(notes["modified"], UTC)
    if kept is not None:
        references = _KeptReferences(kept, document)
    pinned = replace(location, snapshot=digest)
    watch = SourceWatch(modified, refuse_stale)
    return ReferenceStore(layouts, references, fetcher, watch), pinned


def _ask(href: str, fetcher: Fetcher) -> tuple[str, ...] | None:
    """What the place of a file says of its present state, for one byte of it.

    **Reads:** metadata.
    """
    try:
        received = run(fetcher.fetch_range(href, 0, 1))
    except StoreError:  # an empty file, or a place without ranges: reading all of it will tell
        return None
    return _validators(received, received.size)


def _validators(received: Received, size: int | None) -> tuple[str, ...] | None:
    """What tells this state of a file from any other; None if its place says too little."""
    if size is None or (received.etag is None and received.modified is None):
        return None
    modified = received.modified.isoformat() if received.modified else ""
    return received.etag or "", modified, str(size)
