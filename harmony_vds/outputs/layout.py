"""How the variables of an output are cut into chunks."""

import math
from collections.abc import Callable, Sequence

from harmony_vds.model.formats import Layout
from harmony_vds.model.subset import Subset, SubsetVariable

_LARGEST = 4 * 2**20
"""Bytes of a chunk that was chosen here; what the store has may be larger where it fits whole."""
_SMALLEST = 2**14
"""Bytes below which chunks are joined: each costs a reader a lookup, and the file an entry."""
_SERIES = 2**20
"""Bytes of a chunk that suits series: a reader of one place throws most of it away."""


def output_chunks(variable: SubsetVariable, subset: Subset, layout: Layout) -> tuple[int, ...]:
    """The shape of the chunks of `variable`, none longer than its dimension; () for scalars.

    **Reads:** nothing.
    """
    shape = tuple(max(size, 1) for size in variable.data.shape)
    itemsize = max(variable.data.dtype.itemsize, 1)
    along_time = [own in subset.time_axes for own in variable.planned.dimensions]
    suited = len(shape) > 1 and any(along_time)
    if layout.chunks_for == "map" and suited:
        start = tuple(1 if t else n for n, t in zip(shape, along_time, strict=True))
        return _shrunk(start, itemsize)
    if layout.chunks_for == "series" and suited:
        start = tuple(n if t else 1 for n, t in zip(shape, along_time, strict=True))
        start = _shrunk(start, itemsize, _SERIES)
        return _grown(start, shape, lambda own: math.prod(own) * itemsize < _SERIES // 2)
    stored = tuple(min(c, n) for c, n in zip(variable.chunk_shape, shape, strict=True))
    if stored != variable.chunk_shape:  # cut anyway, so that they need not stay as they are
        stored = _shrunk(stored, itemsize)
    small = math.prod(stored) * itemsize < _SMALLEST
    if not small:
        return stored
    return _grown(stored, shape, lambda own: math.prod(own) * itemsize < _SMALLEST)


def _shrunk(chunks: Sequence[int], itemsize: int, most: int = _LARGEST) -> tuple[int, ...]:
    """`chunks`, shorter along their first dimensions where they would be too large."""
    shorter = list(chunks)
    for axis in range(len(shorter)):
        excess = math.prod(shorter) * itemsize / most
        if excess <= 1:
            break
        shorter[axis] = max(1, int(shorter[axis] / excess))
    return tuple(shorter)


def _grown(
    chunks: Sequence[int], shape: Sequence[int], wanted: Callable[[Sequence[int]], bool]
) -> tuple[int, ...]:
    """`chunks`, doubled along one dimension after the other, the last first, while `wanted`."""
    longer = list(chunks)
    while wanted(longer) and longer != list(shape):
        for axis in reversed(range(len(longer))):
            longer[axis] = min(2 * longer[axis], shape[axis])
            if not wanted(longer):
                break
    return tuple(longer)
