"""Stores inside a zip file: native Zarr of both versions, and kerchunk Parquet.

The zip file's table of contents tells where each member lies, and that members it does not name do
not exist. Chunks are therefore byte ranges of the zip file, read and merged like any other. A range
holds a member's own header too: only that tells where the data begin, and whether they are the
member that was meant.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from zarr.abc.store import ByteRequest
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.core.sync import sync

from harmony_vds.access.answers import host_path
from harmony_vds.access.fetch import Fetcher
from harmony_vds.access.http import Received
from harmony_vds.access.loop import bridge, run
from harmony_vds.errors import MissingSourceError, StoreError
from harmony_vds.model.chunks import ChunkIndex, ChunkKind, Indexers
from harmony_vds.model.listing import listed
from harmony_vds.model.paths import ancestors, group_of
from harmony_vds.model.store import StoreLocation
from harmony_vds.stores.freshness import SourceWatch
from harmony_vds.stores.hierarchy import HierarchyStore, shard_range
from harmony_vds.stores.native_metadata import DOCUMENT_LIMIT, NativeMetadata, read_metadata
from harmony_vds.stores.reference_records import open_records
from harmony_vds.stores.subgroup import group_store
from harmony_vds.stores.zarr import ManifestStore
from harmony_vds.stores.zip_directory import Member, ZipDirectory, read_directory

_ROOTS = ("zarr.json", ".zmetadata", ".zgroup")
_MOST_NAMED = 12


@dataclass(frozen=True, eq=False)
class ZipFolder:
    """A folder inside a zip file."""

    archive: str
    """URL of the zip file."""
    path: str
    """Path of the folder inside it; empty for all of it."""
    directory: ZipDirectory
    """What it holds."""
    fetcher: Fetcher
    """Reads it."""
    watch: SourceWatch
    """Notes if it changes meanwhile."""

    @property
    def href(self) -> str:
        """What it is called in errors. **Reads:** nothing."""
        return f"{host_path(self.archive)}|zip:{self.path}"

    def member(self, key: str) -> Member | None:
        """The member under `key`, if there is one. **Reads:** nothing."""
        return self.directory.members.get(f"{self.path}/{key}".lstrip("/"))

    async def read(self, key: str, limit: int) -> Received:
        """All of the member `key`, at most `limit` bytes, unpacked. **Reads:** metadata.

        Raises
        ------
        StoreError
            It is not there, too large, or not what the table of contents says.
        """
        member = self.member(key)
        if member is None:
            raise MissingSourceError(f"{self.href} has no member {key}.")
        self.refuse_larger(member, limit)
        length = member.stop - member.start
        received = await self.fetcher.fetch_range(self.archive, member.start, length)
        self.watch.check(self.archive, received)
        return replace(received, body=bytes(self.unpacked(member, received.body)))

    def unpacked(self, member: Member, record: bytes | memoryview) -> bytes | memoryview:
        """As `Member.unpacked`, with the zip file named in errors. **Reads:** nothing."""
        try:
            return member.unpacked(record)
        except StoreError as error:
            raise StoreError(f"{host_path(self.archive)} is damaged: {error}") from None

    def refuse_larger(self, member: Member, limit: int) -> None:
        """Raise for a member that would be larger than `limit` bytes. **Reads:** nothing.

        Raises
        ------
        StoreError
            It would be.
        """
        for how, found in (("stored", member.stored), ("unpacked", member.size)):
            if found > limit:
                raise StoreError(
                    f"{host_path(self.archive)} has a member {member.name} of {found:,} bytes "
                    f"{how}, more than the {limit:,} allowed."
                )

    async def names(self, prefix: str) -> tuple[str, ...]:
        """Names directly below `prefix`, those of folders with a slash. **Reads:** nothing."""
        return tuple(sorted(self._below.get(f"{self.path}/{prefix}".strip("/"), ())))

    @cached_property
    def _below(self) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {"": set()}
        for name in self.directory.members:
            folder, _, last = name.rpartition("/")
            found.setdefault(folder, set()).add(last)
        for path in {above for folder in found if folder for above in ancestors(f"/{folder}")}:
            above, _, last = path.strip("/").rpartition("/")
            if last:
                found.setdefault(above, set()).add(f"{last}/")
        return found


class ZippedStore(HierarchyStore):
    """Native Zarr inside a zip file."""

    is_wrapped = True

    def __init__(self, metadata: NativeMetadata, folder: ZipFolder) -> None:
        super().__init__(metadata, folder.fetcher, folder.watch)
        self._folder = folder

    async def document(self, key: str) -> bytes | None:
        """The metadata document under `key`. **Reads:** nothing."""
        return self.metadata.documents.get(key)

    def unwrapped(
        self, path: str, numbers: tuple[int, ...], record: bytes | memoryview
    ) -> bytes | memoryview:
        """A chunk out of the bytes that its index names. **Reads:** nothing."""
        return self._folder.unpacked(self._member(path, numbers), record)

    async def build_index(
        self,
        path: str,
        selection: Indexers | None,  # noqa: ARG002  the table of contents is there as a whole
    ) -> ChunkIndex:
        """The chunk index of the array at `path`. **Reads:** nothing."""
        layout = self.metadata.arrays[path]
        index = ChunkIndex.empty(
            layout.shape, layout.chunk_shape, layout.itemsize, layout.boundaries
        )
        for numbers, member in self._chunks.get(path, ()):
            if any(n >= size for n, size in zip(numbers, index.kinds.shape, strict=True)):
                continue
            self._folder.refuse_larger(member, layout.most_stored)
            index.kinds[numbers] = ChunkKind.VIRTUAL
            index.sources[numbers] = 0
            index.offsets[numbers] = member.start
            index.lengths[numbers] = member.stop - member.start
        return replace(index, locations=(self._folder.archive,))

    @cached_property
    def _chunks(self) -> dict[str, list[tuple[tuple[int, ...], Member]]]:
        """The chunks of each array that the zip file holds."""
        found: dict[str, list[tuple[tuple[int, ...], Member]]] = {}
        prefix = f"{self._folder.path}/".lstrip("/")
        for name, member in self._folder.directory.members.items():
            key = name.removeprefix(prefix)
            split = self.split_chunk_key(key) if name.startswith(prefix) else None
            # Other spellings of a number, such as 01, name no chunk.
            if split is not None and self.chunk_key(*split) == key:
                found.setdefault(split[0], []).append((split[1], member))
        return found

    def _member(self, path: str, numbers: tuple[int, ...]) -> Member:
        key = self.chunk_key(path, numbers)
        member = self._folder.member(key)
        if member is None:
            raise StoreError(f"{self._folder.href} lost its chunk {key} while it was read.")
        return member

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """The bytes under `key`, or None where it does not exist; of shards only what is asked.

        **Reads:** chunks.
        """
        place = await self._place(key)
        if place is None:
            return await super().get(key, prototype, byte_range)
        index, position = place
        if index.kinds[position] == ChunkKind.ABSENT:
            return None
        member = self._member(self.split_chunk_key(key)[0], position)  # type: ignore[index]
        body = await bridge(self._piece(member, byte_range))
        return prototype.buffer.from_bytes(bytes(body))

    async def _piece(self, member: Member, wanted: ByteRequest | None) -> bytes | memoryview:
        """All or some bytes of a member; of a deflated one some cost as much as all."""
        if wanted is None or member.method:
            length = member.stop - member.start
            record = await self.fetch(self._folder.archive, member.start, length)
            body = self._folder.unpacked(member, record)
            start, stop = (0, len(body)) if wanted is None else shard_range(wanted, len(body))
            return body[start:stop]
        begin = member.start + await self._data_start(member)
        start, stop = shard_range(wanted, member.stored)
        return await self.fetch(self._folder.archive, begin + start, stop - start)

    async def _data_start(self, member: Member) -> int:
        most = min(member.stop - member.start, 30 + 4 * len(member.name))
        record = await self.fetch(self._folder.archive, member.start, most)
        try:
            return member.data_start(record)
        except StoreError as error:
            raise StoreError(f"{host_path(self._folder.archive)} is damaged: {error}") from None


def open_zipped(
    location: StoreLocation, fetcher: Fetcher, *, refuse_stale: bool = False
) -> tuple[ManifestStore, StoreLocation]:
    """The store in a zip file, and its location pinned by the checksums of all members.

    Parameters
    ----------
    location
        The zip file; its group is a path inside: of a store, or of a group of one. Without it the
        store lies at the top, or in the one folder there.
    fetcher
        Reads it, and the sources of references in it.
    refuse_stale
        Whether a source newer than references is an error, or only a warning.

    Raises
    ------
    StoreError
        It is no zip file, or holds no store there; the text says what it holds.
    ForbiddenError, UpstreamError
        It cannot be read.

    **Reads:** metadata.
    """
    watch = SourceWatch(None)
    directory = read_directory(location.href, fetcher, watch)
    top = ZipFolder(location.href, "", directory, fetcher, watch)
    root = _root(top, location.group.strip("/"))
    folder = replace(top, path=root)
    pinned = replace(location, snapshot=directory.digest)
    if _is_parquet(folder):
        references, _ = open_records(location, fetcher, folder, refuse_stale=refuse_stale)
        below = location.group.strip("/").removeprefix(root).strip("/")
        if not below:
            return references, pinned
        return sync(group_store(references, replace(location, group=below))), pinned
    return ZippedStore(read_metadata(folder), folder), pinned


def _root(top: ZipFolder, asked: str) -> str:
    """Path of the store that holds the path `asked`; of the only one there is without it."""
    names: Sequence[str] = run(top.names(""))
    if not asked and len(names) == 1 and names[0].endswith("/"):
        asked = names[0].rstrip("/")
    place = asked
    while True:
        folder = replace(top, path=place)
        if any(folder.member(name) for name in _ROOTS) and (place == asked or _is_parquet(folder)):
            return place
        if not place:
            break
        place = group_of(f"/{place}").strip("/")
    shown = listed(names, _MOST_NAMED)
    where = f"no Zarr or kerchunk Parquet at {asked!r}" if asked else "neither Zarr nor Parquet"
    archive = host_path(top.archive)
    raise StoreError(
        f"{archive} holds {where}; at its top lie {shown or 'no members'}. Name the folder "
        f"of the store as {archive}|zip:FOLDER."
    )


def _is_parquet(folder: ZipFolder) -> bool:
    """Kerchunk's Parquet has the looks of consolidated Zarr, and a record size."""
    if folder.member(".zmetadata") is None:
        return False
    return b'"record_size"' in run(folder.read(".zmetadata", DOCUMENT_LIMIT)).body
