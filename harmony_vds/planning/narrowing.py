"""A request that is too large, and the search for one that is not: each is planned and priced."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from harmony_vds.errors import VdsError
from harmony_vds.model.plan import Cost, Plan
from harmony_vds.model.request import Request, Source
from harmony_vds.model.store import VirtualStore


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


type Pricing = Callable[[Request, Source], Sequence[Cost]]
"""The price of each output of a request; raises what planning raises."""
type Fits = Callable[[Sequence[Cost]], bool]
"""Whether outputs of such prices are allowed."""
type Excess = Callable[[Cost], float]
"""How many times too large the price of all outputs is."""


@dataclass(frozen=True, eq=False)
class Narrowing:
    """A request that is too large, and how smaller ones are priced."""

    store: VirtualStore
    """Its store."""
    request: Request
    """What was asked."""
    source: Source
    """The collection it was asked of."""
    plan: Plan
    """Its plan."""
    priced: Pricing
    """Plans and prices a request to the same store; of equal shares where it would be cut."""
    cut: Pricing | None = None
    """Likewise, cut as it will be: a chunk under two strips of a target grid is read for both. None
    where shares tell as much."""
    fits: Fits = bool
    """Whether prices are within the limits."""
    excess: Excess = lambda _: 1.0
    """How many times too large a price is: where the search begins, and when it is given up."""
    _known: dict[tuple[Request, Source], Sequence[Cost] | None] = field(
        default_factory=dict, init=False
    )
    """What was priced before: searches end with a request that they have tried."""

    def fitting(self, request: Request, source: Source | None = None) -> Cost | None:
        """The price of a request, or None if it is still too large or cannot be answered.

        **Reads:** coordinates.
        """
        cost, fits = self.tried(request, source)
        return cost if fits else None

    def settled(self, request: Request, source: Source | None = None) -> Cost | None:
        """As `fitting`, for a request that is about to be offered: as it will be cut.

        **Reads:** coordinates.
        """
        if self.cut is None:
            return self.fitting(request, source)
        return replace(self, priced=self.cut, cut=None).fitting(request, source)

    def tried(self, request: Request, source: Source | None = None) -> tuple[Cost | None, bool]:
        """The price of a request, None if it cannot be answered; and whether it fits.

        **Reads:** coordinates.
        """
        costs = self._costs(request, source or self.source)
        return (None, False) if costs is None else (total(costs), self.fits(costs))

    def _costs(self, request: Request, source: Source) -> Sequence[Cost] | None:
        """The price of each output of a request, None if it cannot be answered."""
        asked = request, source
        if asked not in self._known:
            try:
                self._known[asked] = self.priced(request, source)
            except VdsError:
                self._known[asked] = None
        return self._known[asked]


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
        rows=sum(own.rows for own in costs),
        computing=sum(own.computing for own in costs),
    )


def most_fitting(highest: int, fits: Callable[[int], bool], guess: int = 0) -> int:
    """The largest number up to `highest` that fits, where fewer always fit; 0 if none does.

    Large numbers take long to try: from a good `guess` on, few of them are. **Reads:** what `fits`
    reads.
    """
    low, step = 0, max(guess // 16, 1)
    if 0 < guess < highest:
        if fits(guess):
            low = guess
            while low + step < highest and fits(low + step):
                low, step = low + step, 2 * step
            highest = min(highest, low + step)
        else:
            highest = guess - 1
            while highest > step and not fits(highest - step):
                highest, step = highest - step - 1, 2 * step
            low = max(highest - step, 0)
    while low < highest:
        middle = (low + highest + 1) // 2
        if fits(middle):
            low = middle
        else:
            highest = middle - 1
    return low
