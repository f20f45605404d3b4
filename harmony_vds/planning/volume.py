"""Refuses what is too large, with numbers, the limit, and smaller requests that fit."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NoReturn

from harmony_vds.errors import TooLargeError
from harmony_vds.model.duration import human_seconds
from harmony_vds.model.limits import PROCESS_BYTES, Limits
from harmony_vds.model.plan import Cost, human_bytes, told_apart
from harmony_vds.planning.alternatives import ALTERNATIVES
from harmony_vds.planning.narrowing import Narrowing, total
from harmony_vds.planning.offers import STRATEGIES, offers

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
    exactly: Callable[[float], str] = "{:,.0f} bytes".format
    """How it reads where its limit would read the same."""
    unit: str = ""
    """What stands behind the number."""
    shrinks: bool = True
    """Whether a smaller share of a request has less of it."""

    def excess(self, cost: Cost, limits: Limits) -> str:
        """What is too much, in words; empty where nothing is. **Reads:** nothing."""
        wanted, allowed = self.wanted(cost), self.allowed(limits)
        if wanted <= allowed:
            return ""
        told = told_apart(wanted, allowed, self.shown, self.exactly)
        asked, most = (f"{number} {self.unit}".rstrip() for number in told)
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
            _count, unit="chunks"),
    Measure("tell", lambda c: c.rows, lambda n: n.max_rows, _named("ROWS"), _count,
            unit="rows of a table"),
    Measure("make", lambda c: c.requests, lambda n: n.max_requests, _named("REQUESTS"),
            _count, unit="requests to the archive"),
    Measure("decode", lambda c: c.bytes_decoded, lambda n: n.max_decoded_bytes,
            _named("DECODED_BYTES")),
    Measure("hold", lambda c: c.peak_memory + PROCESS_BYTES, lambda n: n.max_memory_bytes,
            _named("MEMORY_BYTES"), unit="of memory", shrinks=False),
    Measure("put", lambda c: c.peak_disk, lambda n: n.max_disk_bytes, lambda n: n.max_disk_setting,
            unit="on local disk"),
    Measure("take", lambda c: c.duration.least, lambda n: n.max_seconds, _named("SECONDS"),
            human_seconds, "{:,.3f} s".format, "or more"),
)  # fmt: skip


def excess(cost: Cost, limits: Limits) -> list[str]:
    """All that exceeds its limit, in words. **Reads:** nothing."""
    return [told for own in MEASURES if (told := own.excess(cost, limits))]


def times_too_large(cost: Cost, limits: Limits, *, apart: bool) -> float:
    """How many times larger `cost` is than one Part should be. **Reads:** nothing.

    Parameters
    ----------
    cost
        The price of one output.
    limits
        What it is held to.
    apart
        Whether it has a work item of its own, so that all limits are its own.
    """
    shares = [
        cost.bytes_written / max(limits.part_bytes, 1),
        cost.peak_disk / max(limits.max_disk_bytes, 1),
    ]
    if apart:
        shares += [cost.duration.most / limits.part_seconds, _times(cost, limits)]
    return max(shares)


def _times(cost: Cost, limits: Limits) -> float:
    """How many times larger `cost` is than the limit that it exceeds most."""
    return max(own.wanted(cost) / max(own.allowed(limits), 1) for own in MEASURES if own.shrinks)


def too_much(costs: Sequence[Cost], limits: Limits, *, apart: bool) -> list[str]:
    """All in which a request exceeds what it may, in words.

    Parameters
    ----------
    costs
        The price of each of its outputs.
    limits
        What it is held to.
    apart
        Whether each output has a work item of its own, and so the limits for itself.

    **Reads:** nothing.
    """
    if not apart:
        return excess(total(costs), limits)
    if len(costs) > limits.max_parts:
        most = f"{limits.max_parts:,} (HARMONY_VDS_MAX_PARTS)"
        return [f"take {len(costs):,} work items, and one request may take {most}"]
    return next((found for own in costs if (found := excess(own, limits))), [])


def check_total(
    costs: Sequence[Cost], limits: Limits, narrowed: Callable[[], Narrowing], *, apart: bool = False
) -> None:
    """Raise if the outputs of several stores are too much together.

    Parameters
    ----------
    costs
        The price of each output.
    limits
        What the request may do.
    narrowed
        Gives the request; smaller ones are planned and priced for all of its stores.
    apart
        Whether each output has a work item of its own.

    Raises
    ------
    TooLargeError
        The text gives what was asked, the limit, its setting, and requests that fit.

    **Reads:** nothing; coordinates for a request that is too large.
    """
    found = too_much(costs, limits, apart=apart)
    if found:
        whose = "it" if len(costs) == 1 else f"its {len(costs)} outputs together"
        _refuse(f"{whose} would {found[0]}", limits, narrowed(), apart=apart)


def check_volume(
    costs: Sequence[Cost], limits: Limits, narrowing: Narrowing | None, *, apart: bool = False
) -> None:
    """Raise if a request would do more than `limits` allow.

    Parameters
    ----------
    costs
        The price of each of its outputs.
    limits
        What one request may do.
    narrowing
        The request; smaller ones are planned and priced in the same way. None for one store of
        several: what fits is found for all of them together.
    apart
        Whether each output has a work item of its own.

    Raises
    ------
    TooLargeError
        The text gives what was asked, the limit, its setting, and requests that fit.

    **Reads:** nothing; coordinates for a request that is too large.
    """
    found = too_much(costs, limits, apart=apart)
    if not found:
        return
    if narrowing is None:
        raise TooLargeError(f"The request is too large: it would {found[0]}.")
    _refuse(f"it would {found[0]}", limits, narrowing, apart=apart)


def _refuse(told: str, limits: Limits, narrowing: Narrowing, *, apart: bool) -> NoReturn:
    offered = offers(
        narrowing,
        lambda own: not too_much(own, limits, apart=apart),
        lambda cost: _times(cost, limits) / (limits.max_parts if apart else 1),
        (*STRATEGIES, *ALTERNATIVES),
    )
    also = limits.parts_service if not apart and not narrowing.request.synchronous else ""
    raise TooLargeError(_refusal(told, [str(own) for own in offered], also))


def _refusal(asked: str, offered: Sequence[str], parts_service: str) -> str:
    """The text, with as many of the offers as it has room for."""
    whole = "Ask"
    if parts_service:
        whole = f"Order all of it in parts with serviceId={parts_service}, or ask"
    told = f"The request is too large: {asked}. "
    text = ""
    for count in range(len(offered), -1, -1):
        if count:
            way_on = f"{whole} for {'; or '.join(offered[:count])}"
        elif parts_service:
            way_on = f"{whole} for less"
        else:
            way_on = "Ask for less" if offered else "No smaller request was found to fit"
        text = f"{told}{way_on}; or ask the operator for more."
        if len(text) <= _LONGEST:
            break
    return text
