"""Puts encoded chunks into a netCDF-4 file that has been defined and closed."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from harmony_vds.model.subset import SubsetVariable
from harmony_vds.outputs.chunks import Target, encoded_chunks
from harmony_vds.outputs.pieces import Step


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

    with h5py.File(path, "r+") as file, closing(encoded_chunks(targets, path.parent)) as chunks:
        _lengthen(file, targets, unlimited)
        written = [_dataset(file, own).id for own, _ in targets]
        for chunk in chunks:
            lengths = targets[chunk.number][1].chunks
            start = tuple(n * c for n, c in zip(chunk.place, lengths, strict=True))
            written[chunk.number].write_direct_chunk(start, chunk.body)
            step(chunk.nbytes)


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
