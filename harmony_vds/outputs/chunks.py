"""The chunks of an output one after another, as they shall lie there.

They come in an order that depends on the request alone, whichever thread encodes them first, so
that equal requests give equal bytes.
"""

import os
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np

from harmony_vds.model.blocks import AHEAD_BYTES
from harmony_vds.model.stored import Held, RawChunks
from harmony_vds.model.subset import Block, SubsetVariable
from harmony_vds.outputs.order import in_order
from harmony_vds.outputs.pieces import read_ahead
from harmony_vds.outputs.scratch import Scratch
from harmony_vds.outputs.tiles import Tiling


class Encoding(Protocol):
    """How the chunks of one variable of an output are encoded."""

    @property
    def chunks(self) -> tuple[int, ...]:
        """Shape of a chunk."""

    @property
    def raw(self) -> RawChunks | None:
        """Chunks of the archive that may stay as they were compressed."""

    def stored(self, held: Held) -> bytes | memoryview:
        """A chunk as it shall lie in the output, of values or of one of `raw`."""


type Target = tuple[SubsetVariable, Encoding]


@dataclass(frozen=True)
class EncodedChunk:
    """One chunk of one variable of an output."""

    number: int
    """Of the variable."""
    place: tuple[int, ...]
    """Number of the chunk along each dimension."""
    body: bytes | memoryview
    """As it shall lie in the output."""
    nbytes: int
    """Bytes of the values in it that lie within the array."""


type _Chunk = tuple[int, tuple[int, ...], Held]
"""Number of the variable, numbers of the chunk, and what is known of it."""


def encoded_chunks(targets: Sequence[Target], scratch: Path) -> Generator[EncodedChunk]:
    """Read and encode every chunk of `targets`, in threads.

    Parameters
    ----------
    targets
        Variables, none of them empty, and how they are encoded.
    scratch
        A folder for parts of chunks that wait for the rest.

    Raises
    ------
    StoreError, UpstreamError
        A chunk cannot be read.

    **Reads:** chunks.
    """
    threads = os.cpu_count() or 2
    with ThreadPoolExecutor(threads, thread_name_prefix="harmony-vds-encode") as pool:
        yield from in_order(_chunks(targets, scratch), partial(_encoded, targets), pool, _nbytes)


def _encoded(targets: Sequence[Target], chunk: _Chunk) -> EncodedChunk:
    number, place, held = chunk
    variable, encoding = targets[number]
    spans = zip(place, encoding.chunks, variable.data.shape, strict=True)
    cells = np.prod([min(c, size - n * c) for n, c, size in spans], dtype=np.int64)
    nbytes = int(cells) * variable.data.dtype.itemsize
    return EncodedChunk(number, place, encoding.stored(held), nbytes)


def _nbytes(chunk: _Chunk) -> int:
    held = chunk[2]
    return held.nbytes if isinstance(held, np.ndarray | memoryview) else len(held)


def _chunks(targets: Sequence[Target], scratch: Path) -> Iterator[_Chunk]:
    """Every chunk of the output, as stored where it may stay so, in the order of the pieces."""

    def stored(number: int, block: Block) -> bool:
        raw = targets[number][1].raw
        return raw is not None and raw.fits(block)

    with ExitStack() as stack:
        tilings: dict[int, Tiling] = {}
        # Copied chunks wait as they were compressed, so twice as many may.
        ahead = AHEAD_BYTES * (2 if any(own.raw for _, own in targets) else 1)
        for number, block, found in read_ahead([own for own, _ in targets], stored, ahead):
            if isinstance(found, dict):
                yield from ((number, place, held) for place, held in found.items())
                continue
            if number not in tilings:  # pieces of several variables may take turns
                (variable, encoding), own = targets[number], Scratch(scratch / f"scratch-{number}")
                tiling = Tiling(variable.data.shape, encoding.chunks, variable.data.dtype, own)
                tilings[number] = stack.enter_context(tiling)
            yield from ((number, *tile) for tile in tilings[number].add(block, found))
