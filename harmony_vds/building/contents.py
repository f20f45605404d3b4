"""What an icechunk repository holds of which granule, as its references tell."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr
from zarr.core.sync import sync

from harmony_vds.building.chunk_grids import lengths_of
from harmony_vds.errors import StoreError
from harmony_vds.model.joined_times import is_time

_BATCH = 100_000
VIRTUAL = 2
"""icechunk's number for a chunk that lies elsewhere."""


@dataclass(frozen=True, eq=False)
class Contents:
    """The state of a repository that is to be brought up to date."""

    along: str
    """The dimension along which its granules follow each other."""
    arrays: Mapping[str, Any]
    """Full path of each array along it → the array."""
    held: frozenset[str]
    """Those among them whose values lie in the repository itself."""
    owners: npt.NDArray[np.int64]
    """Number of the granule that each step belongs to."""
    urls: tuple[str, ...]
    """The granules."""

    def axis(self, path: str) -> int:
        """The axis of an array that granules lie along. **Reads:** nothing."""
        return dimensions_of(self.arrays[path]).index(self.along)

    @property
    def times(self) -> str | None:
        """The array of the granules' times, or None. **Reads:** nothing."""
        for path, own in self.arrays.items():
            if own.ndim == 1 and is_time(own.attrs.get("units")) and path in self.held:
                return path
        return None


def contents_of(store: Any, dimension: str | None = None) -> Contents:
    """Which steps of an open icechunk store lie in which granules.

    Raises
    ------
    StoreError
        It has no times along a dimension, or one step lies in two granules: such a store is built
        anew, not updated.

    **Reads:** metadata and coordinates.
    """
    with zarr.config.set({"array.rectilinear_chunks": True}):
        root = zarr.open_group(store, mode="r" if store.read_only else "r+", zarr_format=3)
        arrays = {
            f"/{path}": own for path, own in root.members(max_depth=None)
            if isinstance(own, zarr.Array)
        }  # fmt: skip
    along = dimension or _joined_along(arrays)
    mine = {path: own for path, own in arrays.items() if along in dimensions_of(own)}
    steps = {own.shape[dimensions_of(own).index(along)] for own in mine.values()}
    if len(steps) != 1:
        raise StoreError(f"Its arrays disagree on the length of {along}; build it anew.")
    owners = np.full(steps.pop(), -1, np.int64)
    urls: dict[str, int] = {}
    held = set()
    for path, own in mine.items():
        references = sync(_references(store, path, dimensions_of(own).index(along)))
        if not references:
            held.add(path)
            continue
        for granule, steps_of_it in _owned(references, urls, owners, own, along):
            steps_of_it[:] = granule
    if (owners < 0).any():
        raise StoreError(
            "Some of its steps have no reference to tell their granule by; build it anew."
        )
    return Contents(along, mine, frozenset(held), owners, tuple(urls))


def dimensions_of(array: Any) -> tuple[str, ...]:
    """Names of an array's dimensions. **Reads:** nothing."""
    return tuple(own or "" for own in array.metadata.dimension_names or ())


def _joined_along(arrays: Mapping[str, Any]) -> str:
    for own in arrays.values():
        if own.ndim == 1 and is_time(own.attrs.get("units")):
            return dimensions_of(own)[0]
    raise StoreError(
        "It has no times along a dimension; name the dimension that granules lie along "
        "(--dimension)."
    )


def _owned(
    references: Sequence[tuple[int, str]],
    urls: dict[str, int],
    owners: npt.NDArray[np.int64],
    array: Any,
    along: str,
) -> Iterator[tuple[int, npt.NDArray[np.int64]]]:
    """Number of a granule, which `urls` remembers, and the part of `owners` that is its."""
    lengths = lengths_of(array)[dimensions_of(array).index(along)]
    edges = np.concatenate([[0], np.cumsum(lengths)]).tolist()
    for number, url in references:
        mine = owners[edges[number] : edges[number + 1]]
        granule = urls.setdefault(url, len(urls))
        if ((mine >= 0) & (mine != granule)).any():
            raise StoreError(f"A chunk of {array.path} lies across granules; build it anew.")
        yield granule, mine


async def _references(store: Any, path: str, axis: int) -> list[tuple[int, str]]:
    """Chunk number along `axis` and URL, each pair once."""
    seen: dict[tuple[int, str], None] = {}
    batches = store.array_chunk_iterator(path, batch_size=_BATCH)
    async for coordinates, kinds, paths, *_ in batches:
        virtual = np.flatnonzero(np.asarray(kinds) == VIRTUAL)
        numbers = np.asarray(coordinates)[virtual, axis].tolist()
        for number, row in zip(numbers, virtual.tolist(), strict=True):
            seen.setdefault((number, str(paths[row])))
    return list(seen)
