"""How long reading and writing may take: a range, between a fast and a slow place to work.

The rates stand around measured ones: ``bin/bench rates`` and ``bin/bench read`` print those of the
machine they run on, and `docs/scaling.md` holds a run. Work on a pod with many free cores beside
the archive comes near the fast ones; on one core, far from it, near the slow ones.
"""

from dataclasses import dataclass

from harmony_vds.model.limits import REQUESTS_IN_FLIGHT


@dataclass(frozen=True)
class Rates:
    """What one place to work delivers."""

    start: float
    """Seconds of a process before its first chunk."""
    latency: float
    """Seconds from a request to its first byte."""
    received: float
    """Bytes fetched in a second."""
    decoded: float
    """Bytes inflated in a second, on all cores."""
    written: float
    """Bytes written in a second, before compression."""
    computing: float
    """How many times as fast as one core of the slow place it averages and resamples."""


FAST = Rates(start=1.0, latency=0.02, received=1.0e9, decoded=7.0e9, written=3.0e9, computing=16.0)
"""Eight cores beside the archive; outputs whose chunks are copied as they are."""
SLOW = Rates(start=5.0, latency=0.15, received=4.0e7, decoded=2.5e8, written=5.0e7, computing=1.0)
"""One core far from the archive; outputs compressed anew."""


@dataclass(frozen=True)
class Duration:
    """Seconds that work takes, at least and at most."""

    least: float
    """In a fast place."""
    most: float
    """In a slow one."""

    def __add__(self, other: "Duration") -> "Duration":
        return Duration(self.least + other.least, self.most + other.most)

    def __str__(self) -> str:
        least, most = human_seconds(self.least), human_seconds(self.most)
        if least == most:
            return least
        number, _, unit = least.partition(" ")
        return f"{number} to {most}" if most.endswith(f" {unit}") else f"{least} to {most}"


def expected(
    requests: int, read: int, decoded: int, written: int, computing: float = 0.0
) -> Duration:
    """How long it takes to fetch, decode and write so many bytes, and to compute so many seconds.

    `computing` is in seconds of one core of the slow place. In the fast place the steps go on side
    by side and the longest counts; in the slow one they wait for each other. **Reads:** nothing.

    >>> str(expected(requests=1000, read=10**9, decoded=3 * 10**9, written=10**9))
    '2 s to 1 min'
    """
    fast, slow = (
        (
            requests * own.latency / REQUESTS_IN_FLIGHT,
            read / own.received,
            decoded / own.decoded,
            written / own.written,
            computing / own.computing,
        )
        for own in (FAST, SLOW)
    )
    return Duration(FAST.start + max(fast), SLOW.start + sum(slow))


def human_seconds(seconds: float) -> str:
    """`seconds` in words: ``4 s``, ``12 min``, ``3.5 h``. **Reads:** nothing."""
    if seconds < 60:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"
