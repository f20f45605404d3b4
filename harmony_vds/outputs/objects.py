"""The objects of a Zarr array: a file for each chunk, or for each shard of many."""

import math
from pathlib import Path
from typing import Any

import numcodecs.checksum32
import numpy as np
import numpy.typing as npt

_ABSENT = np.uint64(2**64 - 1)


class Objects:
    """Puts encoded chunks of one array where its readers look for them.

    Chunks of a shard lie in it in the order in which they came; it is whole with its last one.
    """

    def __init__(
        self,
        folder: Path,
        shape: tuple[int, ...],
        chunks: tuple[int, ...],
        shards: tuple[int, ...] | None,
    ) -> None:
        self._folder = folder
        self._counts = tuple(-(-n // c) for n, c in zip(shape, chunks, strict=True))
        unit = chunks if shards is None else shards
        self._held = tuple(s // c for s, c in zip(unit, chunks, strict=True))
        self._sharded = shards is not None
        self._unfinished: dict[tuple[int, ...], tuple[npt.NDArray[Any], int]] = {}

    def put(self, place: tuple[int, ...], body: bytes | memoryview) -> None:
        """Write the chunk of these numbers; each must come once. **Reads:** nothing."""
        if not self._sharded:
            self._path(place).write_bytes(body)
            return
        shard = tuple(n // h for n, h in zip(place, self._held, strict=True))
        within = tuple(n % h for n, h in zip(place, self._held, strict=True))
        if shard not in self._unfinished:
            spans = zip(shard, self._held, self._counts, strict=True)
            missing = math.prod(min(h, count - n * h) for n, h, count in spans)
            self._unfinished[shard] = np.full((*self._held, 2), _ABSENT, "<u8"), missing
        index, missing = self._unfinished.pop(shard)
        with self._path(shard).open("ab") as file:
            index[within] = file.tell(), len(body)
            file.write(body)
            if missing == 1:
                file.write(numcodecs.checksum32.CRC32C().encode(index))
            else:
                self._unfinished[shard] = index, missing - 1

    def _path(self, numbers: tuple[int, ...]) -> Path:
        path = self._folder.joinpath("c", *map(str, numbers))
        path.parent.mkdir(parents=True, exist_ok=True)
        return path
