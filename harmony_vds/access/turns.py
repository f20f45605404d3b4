"""What one finds out for all who wait for it, also that it cannot be found out now.

A place that stalls would otherwise be asked by one after another of those who wait, each for as
long as it takes to give up.
"""

import asyncio
import copy
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field

from harmony_vds.errors import VdsError


@dataclass(eq=False)
class _Turn:
    """What came of the one who went first."""

    over: asyncio.Event = field(default_factory=asyncio.Event)
    failure: VdsError | None = None


@dataclass
class Turns:
    """Who goes first, by what is to be found out; used on the network loop."""

    shared: tuple[type[VdsError], ...]
    """Failures that hold for all who wait. Any other concerns only whom it met, and the next of
    them goes first."""
    _under_way: dict[Hashable, _Turn] = field(default_factory=dict, repr=False)

    async def first[T](self, what: Hashable, work: Callable[[], Awaitable[T]]) -> T | None:
        """What `work` gives to whoever comes first; None to those who waited, who look again.

        Raises
        ------
        VdsError
            That of `work`, or of the work that was waited for, if it is one of those shared.

        **Reads:** what `work` reads.
        """
        ahead = self._under_way.get(what)
        if ahead is not None:
            await ahead.over.wait()
            if ahead.failure is not None:
                raise copy.copy(ahead.failure)  # each with a traceback of its own
            return None
        turn = self._under_way[what] = _Turn()
        try:
            return await work()
        except self.shared as error:
            turn.failure = error
            raise
        finally:
            del self._under_way[what]
            turn.over.set()
