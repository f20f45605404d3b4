"""How the arrays of a repository are cut into chunks, all of one length or each of its own.

icechunk moves chunks of regular grids alone. Where lengths differ, an array is called one of as
many elements as it has chunks while they move, and gets its own grid again before a commit.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any

import icechunk
import zarr
from zarr.core.buffer import default_buffer_prototype
from zarr.core.metadata.v3 import RectilinearChunkGridMetadata
from zarr.core.sync import sync

type Lengths = list[list[int]]
"""Along each axis, the length of each chunk; the last may reach beyond the array."""


def lengths_of(array: Any) -> Lengths:
    """The lengths of an open array's chunks. **Reads:** nothing."""
    grid = array.metadata.chunk_grid
    if not isinstance(grid, RectilinearChunkGridMetadata):
        return regular_lengths(array.shape, array.chunks)
    return [
        [own] * -(-size // own) if isinstance(own, int) else list(own)
        for own, size in zip(grid.chunk_shapes, array.shape, strict=True)
    ]


def regular_lengths(shape: Sequence[int], chunks: Sequence[int]) -> Lengths:
    """The lengths of chunks of one shape that cover an array. **Reads:** nothing."""
    return [[step] * -(-size // step) for size, step in zip(shape, chunks, strict=True)]


def set_grid(store: Any, path: str, shape: Sequence[int], lengths: Lengths) -> None:
    """Say that the array at `path` has this shape and chunks of these lengths.

    Chunks stay where they are. **Reads:** metadata.
    """
    grid: Any = {
        "name": "regular",
        "configuration": {"chunk_shape": [own[0] if own else 1 for own in lengths]},
    }
    if any(len(set(own)) > 1 for own in lengths):
        grid = RectilinearChunkGridMetadata(chunk_shapes=tuple(map(tuple, lengths))).to_dict()
    _write(store, path, {"shape": list(shape), "chunk_grid": grid})


def rearrange(
    session: icechunk.Session, path: str, axis: int, lengths: Lengths, kept: Sequence[int]
) -> None:
    """Let the chunks whose numbers along `axis` are `kept` follow each other in that order.

    All others are dropped. The array has the grid of `lengths` before; the caller sets that of
    `kept` afterwards. **Reads:** metadata.
    """
    counts = [len(own) for own in lengths]
    left = sorted(set(range(counts[axis])) - set(kept))
    sources = [*kept, *left]
    targets = {source: target for target, source in enumerate(sources)}
    single = {"name": "regular", "configuration": {"chunk_shape": [1] * len(counts)}}
    _write(session.store, path, {"shape": counts, "chunk_grid": single})
    session.reindex_array(path, _moving(axis, targets), _moving(axis, sources))
    if left:
        array = zarr.open_array(session.store, path=path.strip("/"), mode="r+", zarr_format=3)
        shrunk = list(counts)
        shrunk[axis] = len(kept)
        array.resize(tuple(shrunk))


def _moving(axis: int, table: Any) -> Callable[[Any], list[int]]:
    """Gives, for numbers of a chunk, those where `table` puts it along `axis`."""

    def moved(index: Any) -> list[int]:
        found = list(index)
        found[axis] = table[found[axis]]
        return found

    return moved


def _write(store: Any, path: str, changed: dict[str, Any]) -> None:
    """Change entries of an array's metadata document."""
    key, prototype = f"{path.strip('/')}/zarr.json", default_buffer_prototype()
    told = json.loads(sync(store.get(key, prototype)).to_bytes())
    text = json.dumps({**told, **changed}).encode()
    sync(store.set(key, prototype.buffer.from_bytes(text)))
