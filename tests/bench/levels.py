"""``bin/bench levels FILE …``: what each level of compression costs and saves, on real granules.

The chunks of the files are encoded as the writers encode them, by one thread: CPU seconds against
bytes. `harmony_vds.outputs.filters.LEVEL` and its fellow for Zarr are chosen by it.
"""

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import deflate
import numcodecs
import numpy as np
from rich.console import Console
from rich.table import Table

_MOST_CHUNKS = 6
"""Of one variable, evenly spaced."""
_LEAST_BYTES = 2**14
_LARGEST = 2**23
_SHUFFLE = numcodecs.Blosc.SHUFFLE

type Encode = Callable[[np.ndarray], bytes]
type Decode = Callable[[bytes, int], Any]


@dataclass
class Way:
    """One way to encode, and what it has taken and made so far."""

    encode: Encode
    decode: Decode
    nbytes: int = 0
    seconds: list[float] = field(default_factory=lambda: [0.0, 0.0])

    def take(self, chunk: np.ndarray) -> None:
        start = time.thread_time()
        body = self.encode(chunk)
        middle = time.thread_time()
        self.decode(body, chunk.nbytes)
        self.seconds[0] += middle - start
        self.seconds[1] += time.thread_time() - middle
        self.nbytes += len(body)


def ways(itemsize: int) -> dict[str, Way]:
    """Those of netCDF, which has shuffle and zlib, and those of Zarr."""
    shuffle = numcodecs.Shuffle(itemsize)
    found = {}
    for level in (1, 2, 4, 6, 9):
        found[f"shuffle, zlib {level}"] = Way(
            lambda chunk, level=level: bytes(
                deflate.zlib_compress(memoryview(shuffle.encode(_bytes(chunk))).cast("B"), level)
            ),
            lambda body, nbytes: shuffle.decode(deflate.zlib_decompress(body, nbytes)),
        )
    others = {f"zstd {level}": numcodecs.Zstd(level) for level in (1, 3, 6, 9)}
    for level in (1, 2, 3, 4, 5, 6):  # above, blosc asks for the slowest levels that zstd has
        others[f"blosc: shuffle, zstd {level}"] = numcodecs.Blosc("zstd", level, _SHUFFLE)
    for name, own in others.items():
        found[name] = Way(own.encode, lambda body, _, own=own: own.decode(body))
    return found


def _bytes(chunk: np.ndarray) -> np.ndarray:
    return chunk.reshape(-1).view(np.uint8)


def chunks_of(path: Path) -> Iterator[np.ndarray]:
    """Some chunks of every variable of numbers that is more than a few values."""
    import h5py

    found: list[Any] = []
    with h5py.File(path) as file:
        file.visititems(lambda _, own: found.append(own) if isinstance(own, h5py.Dataset) else None)
        for own in found:
            shape = own.chunks or own.shape
            nbytes = int(np.prod(shape, dtype=np.int64)) * own.dtype.itemsize
            if own.dtype.kind not in "iuf" or not _LEAST_BYTES <= nbytes <= _LARGEST:
                continue
            starts = [range(0, size, c) for size, c in zip(own.shape, shape, strict=True)]
            places = list(itertools.product(*starts))
            for place in places[:: max(1, len(places) // _MOST_CHUNKS)][:_MOST_CHUNKS]:
                yield own[tuple(slice(a, a + c) for a, c in zip(place, shape, strict=True))]


def run(paths: Sequence[Path], console: Console) -> None:
    """Encode, and print a table for packed integers and one for floating numbers."""
    numcodecs.blosc.use_threads = False  # their time would not be seen
    totals: dict[str, int] = {"integers": 0, "floating numbers": 0}
    kinds: dict[tuple[str, int], dict[str, Way]] = {}
    for path in paths:
        for chunk in chunks_of(path):
            kind = "floating numbers" if chunk.dtype.kind == "f" else "integers"
            totals[kind] += chunk.nbytes
            contiguous = np.ascontiguousarray(chunk)
            size = chunk.dtype.itemsize
            for way in kinds.setdefault((kind, size), ways(size)).values():
                way.take(contiguous)
    for kind, total in totals.items():
        same = [own for (name, _), own in kinds.items() if name == kind]
        if same:
            console.print(_table(kind, total, same))


def _table(kind: str, total: int, found: list[dict[str, Way]]) -> Table:
    table = Table(title=f"{kind}, {total / 1e6:,.0f} MB of {len(found)} sizes",
                  title_justify="left", box=None, pad_edge=False)  # fmt: skip
    columns = ("encoded as", "part of the size", "encoding, CPU s/GB", "decoding, CPU s/GB")
    for number, name in enumerate(columns):
        table.add_column(name, justify="right" if number else "left")
    for name in found[0]:
        nbytes = sum(own[name].nbytes for own in found)
        seconds = [sum(own[name].seconds[i] for own in found) for i in (0, 1)]
        table.add_row(name, f"{nbytes / total:.3f}", *(f"{own / total * 1e9:.2f}"
                                                       for own in seconds))  # fmt: skip
    return table
