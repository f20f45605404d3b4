"""The order of steps in a repository: chunks move, and are neither read nor written."""

from collections.abc import Callable
from typing import Any

import icechunk
import numpy as np
import numpy.typing as npt

from harmony_vds.building.contents import Contents
from harmony_vds.building.files import file_name
from harmony_vds.errors import StoreError


def order_by_time(contents: Contents) -> npt.NDArray[np.int64] | None:
    """Positions of the steps, granules by their first times; None where they lie so already.

    **Reads:** coordinates.
    """
    path = contents.times
    if path is None:
        return None
    times = np.asarray(contents.arrays[path][...])
    starts = np.flatnonzero(np.r_[True, np.diff(contents.owners) != 0])
    runs = np.split(np.arange(times.size), starts[1:])
    names = [file_name(contents.urls[contents.owners[run[0]]]) for run in runs]
    order = sorted(range(len(runs)), key=lambda own: (times[runs[own][0]], names[own]))
    steps = np.concatenate([runs[own] for own in order])
    return None if (np.diff(steps) == 1).all() else steps


def arrange(session: icechunk.Session, contents: Contents, order: npt.NDArray[np.int64]) -> None:
    """Keep of every array along the granules' dimension the steps of `order`, in that order.

    Raises
    ------
    StoreError
        A chunk would have to be cut.

    **Reads:** coordinates.
    """
    for path, array in contents.arrays.items():
        axis = contents.axis(path)
        shape = list(array.shape)
        if path in contents.held:
            values = np.take(np.asarray(array[...]), order, axis)
        else:
            forward, backward = _moves(order, array.shape[axis], array.chunks[axis], axis, path)
            session.reindex_array(path, forward, backward)
        shape[axis] = order.size
        array.resize(tuple(shape))
        if path in contents.held:
            array[...] = values


type Move = Callable[[Any], Any]


def _moves(
    order: npt.NDArray[np.int64], size: int, chunk: int, axis: int, path: str
) -> tuple[Move, Move]:
    """Where each chunk goes, and which comes to each place; those left out go behind the last."""
    whole = order.size // chunk * chunk
    firsts = order[:whole:chunk]
    blocks = order[:whole].reshape(-1, chunk)
    if order.size % chunk or size % chunk or (blocks != firsts[:, None] + np.arange(chunk)).any():
        raise StoreError(
            f"Chunks of {path.lstrip('/')} hold steps of several granules; build the store anew."
        )
    kept = (firsts // chunk).tolist()
    sources = [*kept, *sorted(set(range(size // chunk)) - set(kept))]
    targets = {source: target for target, source in enumerate(sources)}

    def moved(index: Any, table: Any) -> list[int]:
        found = list(index)
        found[axis] = table[found[axis]]
        return found

    return lambda index: moved(index, targets), lambda index: moved(index, sources)
