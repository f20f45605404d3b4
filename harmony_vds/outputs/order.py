"""Work done in threads whose results come in the order of what was given."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future

from harmony_vds.model.blocks import ENCODING_BYTES


def in_order[T, R](
    items: Iterable[T],
    work: Callable[[T], R],
    pool: Executor,
    nbytes: Callable[[T], int],
    most: int = ENCODING_BYTES,
) -> Iterator[R]:
    """What `work` makes of each item, in their order whichever thread finishes first.

    Parameters
    ----------
    items
        Taken one after another, as long as there is room.
    work
        Called in threads of `pool`. The first exception ends everything.
    nbytes
        Size of an item.
    most
        Bytes of items that are being worked on or wait to be given; a larger one goes alone.

    **Reads:** what `items` read.
    """
    waiting: deque[tuple[int, Future[R]]] = deque()
    held = 0
    for item in items:
        size = nbytes(item)
        while waiting and held + size > most:
            gone, future = waiting.popleft()
            held -= gone
            yield future.result()
        waiting.append((size, pool.submit(work, item)))
        held += size
        while waiting and waiting[0][1].done():
            gone, future = waiting.popleft()
            held -= gone
            yield future.result()
    while waiting:
        yield waiting.popleft()[1].result()
