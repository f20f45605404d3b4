"""Refuses what is too large, with numbers, the limit, and smaller requests that fit."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harmony_vds.errors import TooLargeError
from harmony_vds.model.duration import human_seconds
from harmony_vds.model.limits import PROCESS_BYTES, Limits
from harmony_vds.model.plan import Cost, Plan, human_bytes
from harmony_vds.model.request import Request, Source
from harmony_vds.model.store import VirtualStore
from harmony_vds.planning.narrowing import Narrowing
from harmony_vds.planning.offers import offers

_LONGEST = 960
"""Letters of a refusal; what Harmony shows ends below 1,000."""


@dataclass(frozen=True)
class Measure:
    """One number of a price, and the limit it is held to."""

    verb: str
    """What the request would do with it."""
    wanted: Callable[[Cost], float]
    """The number."""
    allowed: Callable[[Limits], float]
    """Its limit."""
    setting: Callable[[Limits], str]
    """Who sets the limit."""
    shown: Callable[[float], str] = human_bytes
    """How the number reads."""

    unit: str = ""
    """What stands behind the number."""

    def excess(self, cost: Cost, limits: Limits) -> str:
        """What is too much, in words; empty where nothing is. **Reads:** nothing."""
        wanted, allowed = self.wanted(cost), self.allowed(limits)
        if wanted <= allowed:
            return ""
        asked, most = (f"{self.shown(number)} {self.unit}".rstrip() for number in (wanted, allowed))
        return (
            f"{self.verb} {asked} ({cost.chunks:,} chunks), and one request may {self.verb} {most} "
            f"({self.setting(limits)})"
        )


def _count(number: float) -> str:
    return f"{number:,.0f}"


def _named(suffix: str) -> Callable[[Limits], str]:
    return lambda _: f"HARMONY_VDS_MAX_{suffix}"


MEASURES = (
    Measure("read", lambda c: c.bytes_read, lambda n: n.max_read_bytes, _named("READ_BYTES")),
    Measure("write", lambda c: c.bytes_written, lambda n: n.max_output_bytes,
            _named("OUTPUT_BYTES")),
    Measure("touch", lambda c: c.chunks, lambda n: n.max_chunks, _named("CHUNKS"),
            _count, "chunks"),
    Measure("make", lambda c: c.requests, lambda n: n.max_requests, _named("REQUESTS"),
            _count, "requests to the archive"),
    Measure("decode", lambda c: c.bytes_decoded, lambda n: n.max_decoded_bytes,
            _named("DECODED_BYTES")),
    Measure("hold", lambda c: c.peak_memory + PROCESS_BYTES, lambda n: n.max_memory_bytes,
            _named("MEMORY_BYTES"), human_bytes, "of memory"),
    Measure("put", lambda c: c.peak_disk, lambda n: n.max_disk_bytes, lambda n: n.max_disk_setting,
            human_bytes, "on local disk"),
    Measure("take", lambda c: c.duration.least, lambda n: n.max_seconds, _named("SECONDS"),
            human_seconds, "or more"),
)  # fmt: skip


def excess(cost: Cost, limits: Limits) -> list[str]:
    """All that exceeds its limit, in words. **Reads:** nothing."""
    return [told for own in MEASURES if (told := own.excess(cost, limits))]


def check_total(costs: Sequence[Cost], limits: Limits) -> None:
    """Raise if several plans, each of them allowed, are too much together.

    Raises
    ------
    TooLargeError
        The text gives what was asked, the limit and its setting.

    **Reads:** nothing.
    """
    if len(costs) < 2:
        return
    found = excess(total(costs), limits)
    if found:
        raise TooLargeError(
            f"The request is too large: its {len(costs)} outputs together would {found[0]}. Ask "
            "for a smaller box, a shorter time range or fewer collections."
        )


def total(costs: Sequence[Cost]) -> Cost:
    """The price of outputs that are written one after another. **Reads:** nothing."""
    return Cost(
        chunks=sum(own.chunks for own in costs),
        requests=sum(own.requests for own in costs),
        bytes_read=sum(own.bytes_read for own in costs),
        bytes_decoded=sum(own.bytes_decoded for own in costs),
        bytes_written=sum(own.bytes_written for own in costs),
        peak_memory=max((own.peak_memory for own in costs), default=0),
        peak_disk=max((own.peak_disk for own in costs), default=0),
        missing=sum(own.missing for own in costs),
    )


def check_volume(
    plan: Plan, limits: Limits, store: VirtualStore, request: Request, source: Source
) -> None:
    """Raise if `plan` would do more than `limits` allow.

    Parameters
    ----------
    plan
        The plan that answers `request` for `source` from `store`.
    limits
        What one request may do.
    store, request, source
        Where the plan came from; smaller requests are planned in the same way.

    Raises
    ------
    TooLargeError
        The text gives what was asked, the limit, its setting, and requests that fit.

    **Reads:** nothing; coordinates for a request that is too large.
    """
    found = excess(plan.cost, limits)
    if not found:
        return
    narrowing = Narrowing(store, request, source, plan, lambda cost: not excess(cost, limits))
    raise TooLargeError(_refusal(found[0], [str(own) for own in offers(narrowing)]))


def _refusal(asked: str, offered: Sequence[str]) -> str:
    """The text, with as many of the offers as it has room for."""
    for count in range(len(offered), -1, -1):
        way_on = f"Ask for {'; or '.join(offered[:count])}" if count else (
            "No smaller request was found to fit" if not offered else "Ask for less")  # fmt: skip
        text = (
            f"The request is too large: it would {asked}. {way_on}; or ask the operator for more."
        )
        if len(text) <= _LONGEST:
            return text
    return text
