"""What native Zarr has in common wherever its chunks lie: its metadata, and keys of chunks."""

from collections.abc import Iterable

from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest

from harmony_vds.access.fetch import Fetcher
from harmony_vds.errors import StoreError
from harmony_vds.stores.freshness import SourceWatch
from harmony_vds.stores.metadata import fill_role
from harmony_vds.stores.native_metadata import NativeMetadata
from harmony_vds.stores.zarr import ManifestStore


class HierarchyStore(ManifestStore):
    """A hierarchy whose metadata documents are all known."""

    def __init__(self, metadata: NativeMetadata, fetcher: Fetcher, watch: SourceWatch) -> None:
        super().__init__(fetcher, watch)
        self.zarr_format = metadata.zarr_format
        self.metadata = metadata
        if metadata.zarr_format == 2:
            described, attributes = metadata.described()
            self.fill_role = fill_role(described, attributes)

    async def children(self, prefix: str) -> Iterable[str]:
        """Names directly below `prefix`. **Reads:** nothing."""
        return self.metadata.children.get(prefix, ())

    def split_chunk_key(self, key: str) -> tuple[str, tuple[int, ...]] | None:
        """Array path and chunk numbers that `key` names. **Reads:** nothing."""
        path = f"/{key}"
        while path and path not in self.metadata.arrays:
            path = path.rpartition("/")[0]
        if not path:
            return None
        numbers = self.metadata.arrays[path].numbers(f"/{key}"[len(path) + 1 :])
        return None if numbers is None else (path, numbers)

    def chunk_key(self, path: str, numbers: tuple[int, ...]) -> str:
        """The key of a chunk, e.g. ``sst/c/0/1``. **Reads:** nothing."""
        return f"{path.strip('/')}/{self.metadata.arrays[path].name(numbers)}"

    def doubt(self, path: str) -> str | None:
        """Why the price of the array at `path` is a bound, if it is one. **Reads:** nothing."""
        if self.metadata.arrays[path].is_sharded:
            return "it is stored in shards, of which only parts are read"
        return None


def shard_range(wanted: ByteRequest, size: int) -> tuple[int, int]:
    """First byte and the one after the last that are `wanted` of a shard of `size` bytes.

    Raises
    ------
    StoreError
        They lie outside of it.

    **Reads:** nothing.
    """
    if isinstance(wanted, RangeByteRequest):
        start, stop = wanted.start, wanted.end
    elif isinstance(wanted, OffsetByteRequest):
        start, stop = wanted.offset, size
    else:
        start, stop = size - wanted.suffix, size
    if not 0 <= start <= stop <= size:
        raise StoreError(f"A shard of {size:,} bytes points to bytes {start:,} to {stop:,}.")
    return start, stop
