"""A request that is too large, and the search for one that is not: each is planned and priced."""

from collections.abc import Callable
from dataclasses import dataclass

from harmony_vds.errors import VdsError
from harmony_vds.model.plan import Cost, Plan
from harmony_vds.model.request import Request, Source
from harmony_vds.model.store import VirtualStore
from harmony_vds.planning.planner import make_plan


@dataclass(frozen=True)
class Offer:
    """A smaller request that fits, as parameters to copy."""

    parameters: str
    """In a coverages request to Harmony, e.g. ``subset=lon(0:10)&subset=lat(-5:5)``."""
    options: str
    """On the command line, e.g. ``--bbox 0 -5 10 5``."""
    cost: Cost
    """Its price."""
    told: str = ""
    """What else to know of it, e.g. ``3 of 5 steps``."""

    def __str__(self) -> str:
        more = f"{self.told}, " if self.told else ""
        return f"{self.parameters} [{self.options}] ({more}{self.cost})"


@dataclass(frozen=True, eq=False)
class Narrowing:
    """A request that is too large, and what smaller ones are held to."""

    store: VirtualStore
    """Its store."""
    request: Request
    """What was asked."""
    source: Source
    """The collection it was asked of."""
    plan: Plan
    """Its plan."""
    fits: Callable[[Cost], bool]
    """Whether a price is within the limits."""

    def fitting(self, request: Request, source: Source | None = None) -> Cost | None:
        """The price of a request, or None if it is still too large or cannot be answered.

        **Reads:** coordinates.
        """
        try:
            cost = make_plan(self.store, request, source or self.source).cost
        except VdsError:
            return None
        return cost if self.fits(cost) else None


def most_fitting(highest: int, fits: Callable[[int], bool]) -> int:
    """The largest number up to `highest` that fits, where fewer always fit; 0 if none does.

    **Reads:** what `fits` reads.
    """
    low = 0
    while low < highest:
        middle = (low + highest + 1) // 2
        if fits(middle):
            low = middle
        else:
            highest = middle - 1
    return low
