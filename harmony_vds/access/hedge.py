"""A second request beside one that has gone silent; the first answer serves.

After Dean and Barroso, "The Tail at Scale" (2013). What a host's answers are like is learned as
they come; who is slow but alive is not asked twice, and neither is who asks to be left alone.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from harmony_vds.access.traffic import Traffic

TICK = 0.1
"""Seconds between two looks at a request. Silence is counted in these, and not by the clock: while
this process gets no time to run, it can hear nobody."""
_LATE = 0.05
"""Seconds by which a look may come late and still count."""
_LEAST = 10
"""Ticks of silence within which nobody is asked twice."""
_TIMES = 4
"""How much longer than usual a silence must be."""
_USUAL = 0.95
"""Share of a host's latest answers whose silences count as usual."""
_REMEMBERED = 100
"""Answers of a host that are remembered."""
_FEW = 10
"""Answers of a host before which nothing is known of it."""
_UNKNOWN = 30
"""Ticks until a host of which nothing is known is asked again."""
_SHARE = 0.05
"""Second requests for each request to a host."""
_FIRST = 2
"""Second requests beyond that share."""
_AT_ONCE = 4
"""Second requests to a host at once: when all of it pauses, more would not help."""
_COPIES = 3
"""Requests for the same bytes at once, since the second one may go silent, too."""
_SLOW = 2**20
"""Bytes a second of a connection that is slow and well."""
_DEAR = 2**23
"""Bytes of a document beyond which it is not fetched a second time: it would need its memory twice,
and the connection."""


@dataclass(eq=False)
class Pulse:
    """Signs of life of one request under way."""

    signs: Callable[[], int] | None = None
    """Gives a number that changes with whatever arrives; None until the request is sent."""
    silent: int = 0
    """Ticks without a sign."""
    longest: int = 0
    """Most ticks without a sign so far."""
    _last: int | None = None

    def tick(self) -> None:
        """Look once more. **Reads:** nothing."""
        now = self.signs() if self.signs else None
        self.silent = self.silent + 1 if now is not None and now == self._last else 0
        self.longest = max(self.longest, self.silent)
        self._last = now


def nothing_yet() -> int:
    """The signs of a request that was sent and has no answer. **Reads:** nothing."""
    return -1


def document(arrived: Callable[[], int], announced: int | None) -> Callable[[], int]:
    """The signs of a whole document of which so much has `arrived`; a long one never ceases.

    **Reads:** nothing.
    """
    known, ceaseless = announced or 0, count(1).__next__
    return lambda: ceaseless() if max(known, arrived()) > _DEAR else arrived()


def whole_body(nbytes: int) -> Callable[[], int]:
    """The signs of a document of `nbytes` that nobody can look into; a long one never ceases.

    **Reads:** nothing.
    """
    return count(1).__next__ if nbytes > _DEAR else slow_body(nbytes)


def slow_body(nbytes: int) -> Callable[[], int]:
    """The signs of a body of `nbytes` that nobody can look into: it lives as long as it may take.

    **Reads:** nothing.
    """
    since, ticks = time.monotonic(), nbytes / _SLOW / TICK
    return lambda: int(min((time.monotonic() - since) / TICK, ticks))


@dataclass
class _Host:
    """What was seen of a host."""

    silences: deque[int] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    """Longest silence in each of the latest answers, in ticks. Of requests that were overtaken
    nothing is kept: stalls would come to count as usual."""
    requests: int = 0
    hedged: int = 0
    under_way: int = 0
    """Second requests that have not ended."""

    @property
    def patience(self) -> int:
        """Ticks of silence that are beyond what is usual."""
        if len(self.silences) < _FEW:
            return _UNKNOWN
        usual = sorted(self.silences)[int(_USUAL * (len(self.silences) - 1))]
        return max(_LEAST, _TIMES * (1 + usual))

    def may_be_asked_again(self) -> bool:
        return self.hedged < _FIRST + _SHARE * self.requests and self.under_way < _AT_ONCE


@dataclass
class Hedges:
    """Second requests, and what is known of the hosts that they go to; used on the network loop."""

    traffic: Traffic = field(default_factory=Traffic)
    """Where they are counted."""
    tick: float = TICK
    """Seconds between two looks."""
    asks_twice: bool = True
    """Whether second requests are made at all."""
    _hosts: dict[tuple[str, str], _Host] = field(default_factory=dict, repr=False)
    _spared: set[str] = field(default_factory=set, repr=False)

    def spare(self, host: str) -> None:
        """Never again ask `host` twice: it said when it wants to be asked. **Reads:** nothing."""
        self._spared.add(host)

    async def first[T](
        self,
        host: str,
        attempt: Callable[[Pulse], Coroutine[Any, Any, T]],
        is_good: Callable[[T], bool] = lambda _: True,
        *,
        kind: str = "range",
    ) -> T:
        """What `attempt` gives, made again while it is silent; whatever is left over is cancelled.

        Parameters
        ----------
        host
            Whose silences are compared; any name.
        attempt
            Makes a request and tells its signs of life.
        is_good
            Whether an answer ends the matter. Where none is good, the first request decides, with
            its answer or its error.
        kind
            What is asked for; what is usual is known of each kind by itself.

        **Reads:** what `attempt` reads.
        """
        known = self._hosts.setdefault((host, kind), _Host())
        race = _Race(known, attempt, is_good, self.tick)
        first = race.begin()
        try:
            while race.running:
                ended = await race.ended_by_next_tick()
                good = [task for task in ended if race.is_won_by(task)]
                if good:
                    race.host.silences.append(ended[good[0]].longest)
                    return good[0].result()
                if ended:
                    race.wait_anew()
                may_begin = not ended and first in race.running and self._may_ask_twice(host)
                if may_begin and race.needs_another():
                    race.begin()
                    self.traffic.hedged += 1
            return first.result()
        finally:
            await race.end()

    def _may_ask_twice(self, host: str) -> bool:
        return self.asks_twice and host not in self._spared


@dataclass(eq=False)
class _Race[T]:
    """Requests for the same bytes."""

    host: _Host
    attempt: Callable[[Pulse], Coroutine[Any, Any, T]]
    is_good: Callable[[T], bool]
    tick: float
    running: dict[asyncio.Task[T], Pulse] = field(default_factory=dict)
    hedged: int = 0

    def begin(self) -> asyncio.Task[T]:
        if self.running:
            self.hedged += 1
            self.host.hedged += 1
            self.host.under_way += 1
        pulse = Pulse()
        task = asyncio.create_task(self.attempt(pulse))
        self.running[task] = pulse
        return task

    async def ended_by_next_tick(self) -> dict[asyncio.Task[T], Pulse]:
        due = time.monotonic() + self.tick
        ended, _ = await asyncio.wait(
            self.running, timeout=self.tick, return_when=asyncio.FIRST_COMPLETED
        )
        if not ended and time.monotonic() < due + _LATE:
            for pulse in self.running.values():
                pulse.tick()
        return {task: self.running.pop(task) for task in ended}

    def needs_another(self) -> bool:
        """Whether all are silent, and the host may be asked once more."""
        ticks = min(pulse.silent for pulse in self.running.values())
        if len(self.running) == _COPIES or ticks < _LEAST or ticks < self.host.patience:
            return False
        return self.host.may_be_asked_again()

    def wait_anew(self) -> None:
        """Let no failure be followed by the next request at once."""
        for pulse in self.running.values():
            pulse.silent = 0

    def is_won_by(self, task: asyncio.Task[T]) -> bool:
        return not task.cancelled() and task.exception() is None and self.is_good(task.result())

    async def end(self) -> None:
        self.host.requests += 1
        self.host.under_way -= self.hedged
        for task in self.running:
            task.cancel()
        if self.running:
            await asyncio.gather(*self.running, return_exceptions=True)
