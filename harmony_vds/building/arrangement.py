"""The order of steps in a repository: chunks move, and are neither read nor written."""

from collections.abc import Sequence
from typing import Any

import icechunk
import numpy as np
import numpy.typing as npt

from harmony_vds.building.chunk_grids import lengths_of, rearrange, set_grid
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
    return in_order_of_times(times, contents.owners, contents.urls)


def in_order_of_times(
    times: npt.NDArray[Any], owners: npt.NDArray[np.int64], urls: Sequence[str]
) -> npt.NDArray[np.int64] | None:
    """Positions of the steps, granules by their first times; None where they lie so already.

    Parameters
    ----------
    times
        The time of each step.
    owners
        The number of its granule.
    urls
        The granules.

    **Reads:** nothing.
    """
    starts = np.flatnonzero(np.r_[True, np.diff(owners) != 0])
    runs = np.split(np.arange(times.size), starts[1:])
    names = [file_name(urls[owners[run[0]]]) for run in runs]
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
        shape[axis] = order.size
        if path in contents.held:
            values = np.take(np.asarray(array[...]), order, axis)
            array.resize(tuple(shape))
            array[...] = values
            continue
        lengths = lengths_of(array)
        kept = chunks_of(order, lengths[axis], array.shape[axis], path)
        rearrange(session, path, axis, lengths, kept)
        lengths[axis] = [lengths[axis][number] for number in kept]
        set_grid(session.store, path, shape, lengths)


def chunks_of(
    order: npt.NDArray[np.int64], lengths: Sequence[int], size: int, path: str
) -> list[int]:
    """Numbers of the chunks that hold the steps of `order`, in its order.

    Parameters
    ----------
    order
        Positions of steps.
    lengths
        Length of each chunk along their dimension.
    size
        How many steps there are.
    path
        Whose chunks they are.

    Raises
    ------
    StoreError
        A chunk would have to be cut.

    **Reads:** nothing.
    """
    edges = np.concatenate([[0], np.cumsum(lengths)])
    kept, place = [], 0
    while place < order.size:
        number = int(np.searchsorted(edges, order[place], side="right")) - 1
        steps = np.arange(edges[number], min(edges[number + 1], size))
        is_last = place + steps.size == order.size
        if not np.array_equal(order[place : place + steps.size], steps) or (
            steps.size < lengths[number] and not is_last
        ):
            raise StoreError(
                f"Chunks of {path.lstrip('/')} hold steps of several granules; build the store "
                "anew."
            )
        kept.append(number)
        place += steps.size
    return kept
