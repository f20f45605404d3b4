"""icechunk repositories: metadata and native chunks by icechunk, virtual chunks by our fetcher.

icechunk's own reader would follow redirects, obey the containers and endpoints that are stored in
the repository, and multiply our retries by its own; so it is asked only where chunks lie.
"""

import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import icechunk
import msgspec
import numpy as np
import pandas as pd
from zarr.core.buffer import default_buffer_prototype

from harmony_vds.access.fetch import Fetcher
from harmony_vds.access.gateway import Access
from harmony_vds.access.keys import S3Keys
from harmony_vds.access.loop import run
from harmony_vds.access.trust import Address
from harmony_vds.access.ways import Way
from harmony_vds.errors import ForbiddenError, MissingSourceError, StoreError, UpstreamError
from harmony_vds.model.chunks import ChunkIndex, ChunkKind, Positions
from harmony_vds.model.store import StoreLocation
from harmony_vds.stores.cache import ManifestCache, UnusableEntryError
from harmony_vds.stores.cuts import cut_of
from harmony_vds.stores.freshness import SourceWatch
from harmony_vds.stores.versions import session_of
from harmony_vds.stores.zarr import ManifestStore

_BATCH = 100_000
_WORTH_KEEPING = 4_096
"""Chunks from which on an array's index is kept on disk; fewer are enumerated as fast."""


@dataclass(frozen=True)
class KeptIndexes:
    """The indexes of one snapshot that are kept between requests, each an entry of its own."""

    cache: ManifestCache | None
    """Where; None if nothing is kept."""
    href: str
    """Address of the repository."""
    snapshot: str
    """Which snapshot."""

    def load(self, path: str) -> ChunkIndex | None:
        """The index of the array at `path` as it was kept, if it was. **Reads:** nothing."""
        if self.cache is None:
            return None
        found = self.cache.load("icechunk", self.href, self.snapshot, path)
        try:
            return None if found is None else found.index(path)
        except UnusableEntryError:
            self.cache.remove("icechunk", self.href, self.snapshot, path)
            return None

    def keep(self, path: str, index: ChunkIndex) -> ChunkIndex:
        """Keep `index` for later. **Reads:** nothing."""
        if self.cache is not None:
            self.cache.keep("icechunk", self.href, self.snapshot, path, indexes=[(path, index)])
        return index


class IcechunkStore(ManifestStore):
    """A zarr v3 store over one snapshot of a repository."""

    zarr_format = 3

    def __init__(
        self,
        session: icechunk.Session,
        fetcher: Fetcher,
        written_at: datetime | None,
        kept: "KeptIndexes",
    ) -> None:
        super().__init__(fetcher, SourceWatch(written_at))
        self._inner = session.store
        self._kept = kept

    async def document(self, key: str) -> bytes | None:
        """The metadata document, native or inline chunk under `key`. **Reads:** metadata."""
        try:
            found = await self._inner.get(key, default_buffer_prototype())
        except icechunk.IcechunkError as error:
            raise UpstreamError(f"icechunk could not read {key}: {_first_line(error)}") from None
        return None if found is None else found.to_bytes()

    async def children(self, prefix: str) -> Iterable[str]:
        """Names directly below `prefix`. **Reads:** metadata."""
        names = [name.rstrip("/") async for name in self._inner.list_dir(prefix)]
        return sorted(name for name in names if name != "zarr.json")

    def split_chunk_key(self, key: str) -> tuple[str, tuple[int, ...]] | None:
        """Array path and chunk numbers that `key` names. **Reads:** nothing."""
        path, found, numbers = f"/{key}".rpartition("/c/")
        if not found:
            return (f"/{key}".removesuffix("/c"), ()) if f"/{key}".endswith("/c") else None
        try:
            return path, tuple(int(part) for part in numbers.split("/"))
        except ValueError:
            return None

    def chunk_key(self, path: str, numbers: tuple[int, ...]) -> str:
        """The key of a chunk, e.g. ``sst/c/0/1/2``. **Reads:** nothing."""
        return "/".join([path.strip("/"), "c", *map(str, numbers)])

    async def build_index(
        self,
        path: str,
        selection: Positions | None,  # noqa: ARG002  icechunk enumerates all or nothing
    ) -> ChunkIndex:
        """The chunk index of the array at `path`. **Reads:** metadata."""
        metadata = await self._array_metadata(path)
        shape = tuple(metadata["shape"])
        try:
            chunks, boundaries = cut_of(metadata["chunk_grid"], shape)
            itemsize = _itemsize(metadata["data_type"])
            index = ChunkIndex.empty(shape, chunks, itemsize, boundaries)
        except StoreError as error:
            raise StoreError(f"The array {path} cannot be read: {error}.") from None
        if boundaries or index.kinds.size < _WORTH_KEEPING:
            return await self._listed(path, index)
        return self._kept.load(path) or self._kept.keep(path, await self._listed(path, index))

    async def _listed(self, path: str, index: ChunkIndex) -> ChunkIndex:
        """`index`, filled in by icechunk."""
        try:
            return await self._enumerated(path, index)
        except icechunk.InvalidInputError as error:  # a container that the repository does not name
            raise StoreError(
                f"The chunks of {path} cannot be found: {_first_line(error)}"
            ) from None
        except icechunk.IcechunkError as error:
            raise UpstreamError(f"icechunk could not list {path}: {_first_line(error)}") from None
        except IndexError:
            raise StoreError(f"The repository holds chunks of {path} outside its shape.") from None

    async def _enumerated(self, path: str, index: ChunkIndex) -> ChunkIndex:
        """The same, its errors left as they are."""
        numbers: dict[str, int] = {}
        batches = self._inner.array_chunk_iterator(path, batch_size=_BATCH)
        async for coordinates, kinds, paths, offsets, lengths, _ in batches:
            place = tuple(np.asarray(coordinates, np.int64).T) if index.shape else ...
            # By hashing: sorting a hundred thousand URLs would take a second.
            inverse, names = pd.factorize(np.asarray(paths, dtype=object))
            # VirtualiZarr's rename_paths gives a scalar that was never written a path too: that of
            # its folder, with an offset and a length that mean nothing.
            nowhere = np.array([str(name).endswith("/") for name in names], np.bool_)[inverse]
            # icechunk numbers the kinds as ChunkKind does.
            index.kinds[place] = np.where(nowhere, ChunkKind.ABSENT, kinds)
            index.offsets[place], index.lengths[place] = offsets, np.where(nowhere, 0, lengths)
            known = np.array([numbers.setdefault(name, len(numbers)) for name in names], np.int32)
            index.sources[place] = known[inverse]
        return replace(index, locations=tuple(numbers))

    async def _array_metadata(self, path: str) -> dict[str, Any]:
        body = await self.document(f"{path.strip('/')}/zarr.json")
        if body is None:
            raise StoreError(f"The repository holds no array {path}.")
        return msgspec.json.decode(body, type=dict[str, Any])


def _itemsize(data_type: object) -> int:
    """Bytes of one element of a zarr v3 data type; 1 where the length varies."""
    name = data_type if isinstance(data_type, str) else ""
    if isinstance(data_type, dict):
        settings = data_type.get("configuration", {})
        return int(settings.get("length_bytes", 8))
    return {"string": 1, "variable_length_bytes": 1, "bool": 1}.get(name) or np.dtype(name).itemsize


def open_icechunk(
    location: StoreLocation, access: Access, cache: ManifestCache | None = None
) -> tuple[IcechunkStore, StoreLocation]:
    """The state of a repository that `location` names, or the tip of ``main``, pinned.

    Raises
    ------
    StoreError
        There is no repository, or it has no such state.
    UpstreamError
        The repository cannot be read now.

    **Reads:** metadata.
    """
    icechunk.set_logs_filter("error")
    try:
        # A fresh configuration: endpoints stored in the repository are not obeyed. The names of its
        # containers are put in place of vcc://name/, and each address must be trusted to be read.
        repository = icechunk.Repository.open(
            _storage(location, access), config=icechunk.RepositoryConfig()
        )
        session = session_of(repository, location)
        written_at = repository.lookup_snapshot(session.snapshot_id).written_at
    except icechunk.IcechunkError as error:
        raise _opening_failure(location, error) from None
    pinned = replace(location, snapshot=session.snapshot_id)
    kept = KeptIndexes(cache, location.href, session.snapshot_id)
    return IcechunkStore(session, access.fetcher, written_at.astimezone(UTC), kept), pinned


def _storage(location: StoreLocation, access: Access) -> icechunk.Storage:
    address = access.fetcher.trust.check(location.href)
    if address.scheme == "file":
        return icechunk.local_filesystem_storage(address.path)
    if address.scheme == "s3":
        return _s3_storage(address, location, access)
    return _http_storage(address, access)


def _http_storage(address: Address, access: Access) -> icechunk.Storage:
    # icechunk connects by itself and follows redirects: at least its first host is a public one.
    run(access.fetcher.http.refuse_private(address))
    headers = access.credentials.authorization(address.url)
    return icechunk.http_storage(
        str(address), opts={"allow_http": "true"} if address.scheme == "http" else None,
        headers={key.lower(): value for key, value in headers.items()} or None,
    )  # fmt: skip


def _s3_storage(address: Address, location: StoreLocation, access: Access) -> icechunk.Storage:
    fetcher = access.fetcher
    if fetcher.s3.found(address, fetcher.buckets) is None:
        _find_way(location, fetcher)
    way = fetcher.s3.way(address, fetcher.buckets)
    if way is Way.HTTPS:
        return _http_storage(fetcher.s3.twin(address, fetcher.buckets, fetcher.trust)[0], access)
    source = fetcher.buckets.endpoint_of(address) if way is Way.SIGNED else None
    region = location.region or fetcher.region
    # Named also for AWS: icechunk would otherwise take an endpoint from the environment.
    endpoint = fetcher.s3.client.endpoint or f"https://s3.{region}.amazonaws.com"
    return icechunk.s3_storage(
        bucket=address.host,
        prefix=address.path.strip("/"),
        region=region,
        anonymous=None if source else True,
        get_credentials=RepositoryKeys(fetcher.s3.ring.source(source)) if source else None,
        endpoint_url=endpoint,
        allow_http=urlsplit(endpoint).scheme == "http",
        force_path_style=True,
    )


def _find_way(location: StoreLocation, fetcher: Fetcher) -> None:
    """Read a byte of the repository, since icechunk cannot try several ways by itself.

    Of a repository that was looked for before it was opened, the way is known already.
    """
    for marker in ("repo", "refs/branch.main/ref.json"):  # of formats 2 and 1
        with contextlib.suppress(ForbiddenError, MissingSourceError):
            run(fetcher.fetch_range(f"{location.href}/{marker}", 0, 1))
            return


@dataclass(frozen=True)
class RepositoryKeys:
    """Gives icechunk temporary credentials; icechunk pickles it, and no secret is in it."""

    source: Callable[[], S3Keys]
    """Gives good keys, by name of who keeps them."""

    def __call__(self) -> icechunk.S3StaticCredentials:
        """Good credentials; asked for often, exchanged rarely. **Reads:** metadata."""
        keys = self.source()
        return icechunk.S3StaticCredentials(
            keys.access_key_id, keys.secret_access_key, keys.session_token, keys.renew
        )


def _opening_failure(location: StoreLocation, error: Exception) -> Exception:
    told = f"{location.href} cannot be opened as an icechunk repository: {_first_line(error)}"
    if isinstance(error, icechunk.RepositoryNotFoundError | icechunk.RefNotFoundError):
        return StoreError(told)
    return UpstreamError(told)


def _first_line(error: Exception) -> str:
    return next(
        (line.strip() for line in str(error).splitlines() if line.strip()), "no reason given"
    )
