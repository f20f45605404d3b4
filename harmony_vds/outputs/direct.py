"""Puts encoded chunks into a netCDF-4 file that has been defined and closed.

They are written one after another in an order that depends on the request alone, whichever thread
encodes them first, so that equal requests give equal bytes.
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from harmony_vds.model.blocks import AHEAD_BYTES
from harmony_vds.model.stored import Held
from harmony_vds.model.subset import Block, SubsetVariable
from harmony_vds.outputs.filters import Filters
from harmony_vds.outputs.order import in_order
from harmony_vds.outputs.pieces import Step, read_ahead
from harmony_vds.outputs.tiles import Tiling

type Target = tuple[SubsetVariable, Filters]
type Chunk = tuple[int, tuple[int, ...], Held]
"""Number of the variable, numbers of the chunk, and what is known of it."""


def write_chunks(
    path: Path, targets: Sequence[Target], unlimited: frozenset[str], step: Step
) -> None:
    """Read, encode and write every chunk of `targets`.

    Parameters
    ----------
    path
        A netCDF-4 file in which they are defined.
    targets
        Variables and their filters.
    unlimited
        Full paths of the dimensions that have no length yet.
    step
        Told of each chunk.

    Raises
    ------
    StoreError, UpstreamError, TimeLimitError
        A chunk cannot be read; the file is then incomplete and must not be used.

    **Reads:** chunks.
    """
    import h5py

    with (
        h5py.File(path, "r+") as file,
        ThreadPoolExecutor(os.cpu_count() or 2, thread_name_prefix="harmony-vds-encode") as pool,
    ):
        _lengthen(file, targets, unlimited)
        written = [_dataset(file, own).id for own, _ in targets]

        def encode(chunk: Chunk) -> tuple[int, tuple[int, ...], bytes | memoryview]:
            number, numbers, held = chunk
            stored = targets[number][1].encoded(held) if isinstance(held, np.ndarray) else held
            return number, numbers, stored

        chunks = _chunks(targets, path.parent)
        for number, numbers, stored in in_order(chunks, encode, pool, _nbytes):
            variable, filters = targets[number]
            starts = [n * c for n, c in zip(numbers, filters.chunks, strict=True)]
            written[number].write_direct_chunk(tuple(starts), stored)
            ends = zip(starts, filters.chunks, variable.data.shape, strict=True)
            cells = np.prod([min(c, size - a) for a, c, size in ends], dtype=np.int64)
            step(int(cells) * filters.dtype.itemsize)


def _nbytes(chunk: Chunk) -> int:
    held = chunk[2]
    return held.nbytes if isinstance(held, np.ndarray | memoryview) else len(held)


def _chunks(targets: Sequence[Target], scratch: Path) -> Iterator[Chunk]:
    """Every chunk of the output, as stored where it may stay so, in the order of the pieces."""

    def stored(number: int, block: Block) -> bool:
        raw = targets[number][1].raw
        return raw is not None and raw.fits(block)

    with ExitStack() as stack:
        tilings: dict[int, Tiling] = {}
        # Copied chunks wait as they were compressed, so twice as many may.
        ahead = AHEAD_BYTES * (2 if any(filters.raw for _, filters in targets) else 1)
        for number, block, found in read_ahead([own for own, _ in targets], stored, ahead):
            if isinstance(found, dict):
                yield from ((number, numbers, held) for numbers, held in found.items())
                continue
            if number not in tilings:  # pieces of several variables may take turns
                (variable, filters), own = targets[number], scratch / f"scratch-{number}"
                tiling = Tiling(variable.data.shape, filters.chunks, variable.data.dtype, own)
                tilings[number] = stack.enter_context(tiling)
            yield from ((number, *tile) for tile in tilings[number].add(block, found))


def _lengthen(file: Any, targets: Sequence[Target], unlimited: frozenset[str]) -> None:
    """Give variables along unlimited dimensions, and these themselves, their length."""
    for variable, _ in targets:
        paths = variable.planned.dimensions
        if unlimited.isdisjoint(paths):
            continue
        _dataset(file, variable).resize(variable.data.shape)
        for path, size in zip(paths, variable.data.shape, strict=True):
            scale = file[path]
            if path in unlimited and scale.ndim == 1 and scale.shape[0] < size:
                scale.resize((size,))


def _dataset(file: Any, variable: SubsetVariable) -> Any:
    """The dataset of a netCDF variable, which has another name where a dimension has its own."""
    group, _, name = variable.planned.path.rpartition("/")
    place = file[group or "/"]
    return place.get(f"_nc4_non_coord_{name}", place.get(name))
