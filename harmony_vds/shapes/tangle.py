"""How often outlines cross and touch themselves, which mending pays for with the cube.

An outline of 400 positions thrown at random crosses itself 20,000 times and takes 74 s to mend; one
that passes through one place 200,000 times takes 20 s to be looked at. Nothing ends either of them.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import NoReturn, Self

import numpy as np
import numpy.typing as npt
import shapely

from harmony_vds.errors import RequestError
from harmony_vds.model.arrays import Flags, Floats, Integers, Positions

MOST_CROSSINGS = 1_000
"""Crossings that all outlines of a document may have: half a second of mending."""
MOST_TOUCHES = 10_000_000
"""Pairs of positions of an outline that may lie in one place."""
_LOOKED_AT = 16
"""Edges of an outline that are compared with all others first."""
_LONG = 20_000
"""Positions of outlines that are looked at before anything else is done with them."""
_OFTEN = 8
"""Crossings of an edge at which nothing more is done with an outline."""
_MOST_PAIRS = 5_000_000
"""Pairs of edges with boxes that meet of which each is looked at; of more some are."""


@dataclass
class Tangle:
    """What was met so far in the outlines of a document."""

    crossings: int = 0
    """Pairs of edges that cross, of outlines that are mended."""

    def refuse_hopeless(self, ring: Floats, where: str) -> None:
        """Raise for a ring of shape (n, 2) that could not even be judged in a minute.

        Raises
        ------
        RequestError
            It comes back to its own positions, or crosses itself, far too often.

        **Reads:** nothing.
        """
        if len(ring) ** 2 <= 2 * MOST_TOUCHES:
            return
        _, counts = np.unique(ring @ np.array([1.0, 1j]), return_counts=True)
        if int((counts * (counts - 1)).sum()) // 2 > MOST_TOUCHES:
            raise RequestError(
                f"{where} of the shape passes through one place {int(counts.max()):,} times; no "
                "outline does. Draw it without going back."
            )
        if len(ring) > _LONG and (found := _Edges.of(ring)).is_wild:
            self._refuse(found.crossings, where)

    def add(self, outline: shapely.Geometry, where: str) -> None:
        """Count the crossings of a polygon without holes that is about to be mended.

        Raises
        ------
        RequestError
            There are too many by now; the text says how many.

        **Reads:** nothing.
        """
        self.crossings += _Edges.of(shapely.get_coordinates(outline)).crossings
        if self.crossings > MOST_CROSSINGS:
            self._refuse(self.crossings, where)

    def _refuse(self, crossings: int, where: str) -> NoReturn:
        raise RequestError(
            f"{where} of the shape crosses itself: with those before it there are about "
            f"{crossings:,} crossings, and {MOST_CROSSINGS:,} are mended. Draw outlines that do "
            "not cross themselves."
        )


@dataclass(frozen=True, eq=False)
class _Edges:
    """The edges of a closed ring."""

    ring: Floats
    """Its positions; shape (edges + 1, 2)."""
    lines: npt.NDArray[np.object_]
    tree: shapely.STRtree

    @classmethod
    def of(cls, ring: Floats) -> Self:
        lines = shapely.linestrings(np.stack([ring[:-1], ring[1:]], axis=1))
        return cls(ring, lines, shapely.STRtree(lines))

    @property
    def some(self) -> Positions:
        """Numbers of a few of them, spread over the ring."""
        return np.linspace(0, self.lines.size - 1, _LOOKED_AT).astype(np.int64)

    @cached_property
    def crossed_by_some(self) -> Integers:
        """How many edges each of a few crosses."""
        return self._crossed(self.some)

    @property
    def is_wild(self) -> bool:
        """Whether most of them cross many."""
        return float(np.median(self.crossed_by_some)) >= _OFTEN

    @cached_property
    def crossings(self) -> int:
        """Pairs that cross; estimated where very many may."""
        share = self.lines.size / _LOOKED_AT
        if self.tree.query(self.lines[self.some]).shape[1] * share > _MOST_PAIRS:
            return int(self.crossed_by_some.sum() * share / 2)
        return int(self._crossed(np.arange(self.lines.size)).sum()) // 2

    def _crossed(self, numbers: Positions) -> Integers:
        own, other = self.tree.query(self.lines[numbers])
        crossing = own[_cross(self.ring, numbers[own], other)]
        return np.bincount(crossing, minlength=numbers.size)


def _cross(ring: Floats, own: Positions, other: Positions) -> Flags:
    """Whether two edges of a ring have each both ends of the other on different sides."""

    def sides(edges: Positions, others: Positions) -> Floats:
        start, along = ring[edges], ring[edges + 1] - ring[edges]
        first, second = (
            along[:, 0] * (ring[others + end] - start)[:, 1]
            - along[:, 1] * (ring[others + end] - start)[:, 0]
            for end in (0, 1)
        )
        return np.asarray(np.sign(first) * np.sign(second))

    return (sides(own, other) < 0) & (sides(other, own) < 0)
