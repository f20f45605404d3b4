"""Values of coordinates kept on disk between requests, for users who may read their sources.

What is kept is found by the references themselves: which bytes of which files, decoded how. It is
given to nobody on the strength of that: first the user's own access must read one byte of a source
under each place that the coordinate's sources lie in.
"""

import hashlib
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import numpy as np

from harmony_vds.access.loop import run
from harmony_vds.errors import VdsError
from harmony_vds.model.arrays import Values
from harmony_vds.model.chunks import ChunkIndex, ChunkKind
from harmony_vds.stores.cache import ManifestCache
from harmony_vds.stores.tickets import OpenArrays

logger = logging.getLogger(__name__)

_MOST_PLACES = 8
"""Places to be read from before a coordinate is given; with more it is read as if not kept."""
_LARGEST = 32 * 2**20
"""Most bytes of one coordinate that are kept."""
_FOLDERS = 2
"""Of a URL's path, how many folders make a place: the bucket, or what stands for it, and the
collection. Archives give permission by these."""


@dataclass(frozen=True, eq=False)
class KeptCoordinates:
    """The coordinates of an open store, as far as they were kept."""

    opened: OpenArrays
    """The store."""
    cache: ManifestCache
    """Where they are kept."""
    _proved: set[str] = field(default_factory=set)

    def take(self, path: str) -> Values | None:
        """The stored values of the array at `path`; None where they are to be read.

        **Reads:** coordinates, one byte for each place in which sources lie.
        """
        index = self._index(path)
        kept = self.cache.load(*self._key(path, index)) if index is not None else None
        if index is None or kept is None or not self._may_read(index):
            return None
        array = self.opened.arrays[path]
        try:
            values = np.frombuffer(kept.texts["values"], np.dtype(kept.notes["dtype"]))
            return values.reshape(array.shape).copy()
        except (KeyError, TypeError, ValueError) as error:
            logger.info("The kept values of %s are not usable: %s", path, error)
            return None

    def put(self, path: str, values: Values) -> None:
        """Keep the stored `values` of the array at `path`, all of them. **Reads:** metadata."""
        index = self._index(path)
        if index is not None and values.dtype.kind in "biuf" and values.shape == index.shape:
            self.cache.keep(
                *self._key(path, index), indexes=(), texts={"values": values.tobytes()},
                notes={"dtype": values.dtype.str},
            )  # fmt: skip

    def _index(self, path: str) -> ChunkIndex | None:
        """Where its chunks lie, if all that it holds comes from sources whose addresses tell."""
        array = self.opened.arrays.get(path)
        if array is None or array.size * array.dtype.itemsize > _LARGEST:
            return None
        index = self.opened.manifest.chunk_index(path)
        kinds = {int(kind) for kind in np.unique(index.kinds)}
        from_sources = ChunkKind.VIRTUAL in kinds and kinds <= {ChunkKind.VIRTUAL, ChunkKind.ABSENT}
        signed = any("?" in url and not url.startswith("s3:") for url in index.locations)
        return index if from_sources and not signed else None

    def _key(self, path: str, index: ChunkIndex) -> tuple[str, ...]:
        """What its values are made of, and how."""
        metadata = {**self.opened.arrays[path].metadata.to_dict(), "attributes": None}
        digest = hashlib.sha256(json.dumps(metadata, sort_keys=True, default=str).encode())
        for column in (index.kinds, index.offsets, index.lengths):
            digest.update(np.ascontiguousarray(column).tobytes())
        for source in index.sources.ravel().tolist():
            digest.update(f"{index.locations[source] if source >= 0 else ''}\n".encode())
        return "coordinate", path, digest.hexdigest()

    def _may_read(self, index: ChunkIndex) -> bool:
        """Whether the user's own access reads from each place of the sources, in this invocation.

        A source that cannot be read is no error here: who reads the coordinate itself will say.
        """
        found = dict(_places(index))
        if len(found) > _MOST_PLACES:
            return False
        for place, position in found.items():
            if place not in self._proved:
                url = index.locations[index.sources[position]]
                try:
                    run(self.opened.manifest.fetch(url, int(index.offsets[position]), 1))
                except VdsError as error:
                    logger.info("What was kept of %s is not used: %s", place, error)
                    return False
                self._proved.add(place)
        return True


def _places(index: ChunkIndex) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Each place that sources lie in, and the position of a chunk from there."""
    used, firsts = np.unique(index.sources, return_index=True)
    for source, first in zip(used.tolist(), firsts.tolist(), strict=True):
        if source >= 0:
            position = np.unravel_index(first, index.sources.shape)
            yield place_of(index.locations[source]), tuple(map(int, position))


def place_of(url: str) -> str:
    """The host or bucket and the first folders of `url`. **Reads:** nothing.

    >>> place_of("https://host/bucket/collection/2024/a.nc")
    'https://host/bucket/collection'
    >>> place_of("s3://bucket/collection/2024/a.nc")
    's3://bucket/collection'
    """
    parts = urlsplit(url)
    folders = parts.path.split("/")[1:-1][: _FOLDERS - (parts.scheme == "s3")]
    return "/".join([f"{parts.scheme}://{parts.netloc}", *folders])
