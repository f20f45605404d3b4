"""Cells that a request keeps one by one, where rows and columns alone cannot tell them.

Each dimension is cut to the smallest window that holds all of them; along a track, and along
dimensions that swaths lie one after another, to the positions that have any. What is in a window
and was not asked for is masked.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np

from harmony_vds.model.arrays import Flags
from harmony_vds.model.cell_set import CellSet
from harmony_vds.model.plan import Mask
from harmony_vds.model.selection import AxisSelection

type Selections = Mapping[str, AxisSelection]

_WINDOWED = 2
"""Dimensions, the last ones, that are cut to one window: those of rows and columns."""


@dataclass(frozen=True, eq=False)
class Cells:
    """Which cells along some dimensions are kept."""

    dimensions: tuple[str, ...]
    """Full paths."""
    shape: tuple[int, ...]
    """Their lengths in the store."""
    first: tuple[int, ...]
    """Where `inside` begins along each; beyond it nothing is kept."""
    inside: Flags
    """True where a cell is kept."""

    @classmethod
    def of(cls, dimensions: tuple[str, ...], inside: Flags) -> "Cells":
        """Cells told for all of `dimensions`. **Reads:** nothing."""
        return cls(dimensions, inside.shape, (0,) * inside.ndim, inside)

    @property
    def is_empty(self) -> bool:
        """Whether none is kept. **Reads:** nothing."""
        return not self.inside.any()

    def intersection(self, other: "Cells") -> "Cells":
        """The cells that both keep, of the same dimensions. **Reads:** nothing."""
        first = tuple(map(max, self.first, other.first))
        ends = (
            np.add(own.first, own.inside.shape).tolist() for own in (self, other)
        )  # fmt: skip
        stop = [max(end, start) for end, start in zip(map(min, *ends), first, strict=True)]
        parts = [
            own.inside[tuple(slice(a - f, b - f) for a, b, f in zip(first, stop, own.first,
                                                                    strict=True))]
            for own in (self, other)
        ]  # fmt: skip
        return Cells(self.dimensions, self.shape, first, parts[0] & parts[1])

    def at(self, selection: Selections) -> Flags:
        """What is kept at the positions of `selection`, in output order. **Reads:** nothing."""
        positions = [
            selection[own].positions if own in selection else np.arange(size, dtype=np.int64)
            for own, size in zip(self.dimensions, self.shape, strict=True)
        ]
        within = [
            (own >= first) & (own < first + size)
            for own, first, size in zip(positions, self.first, self.inside.shape, strict=True)
        ]
        found = np.zeros([own.size for own in positions], np.bool_)
        taken = [
            own[known] - first
            for own, known, first in zip(positions, within, self.first, strict=True)
        ]
        found[np.ix_(*within)] = self.inside[np.ix_(*taken)]
        return found


@dataclass
class CellCuts:
    """The cells that a request keeps of each variable."""

    of: dict[str, list[Cells]] = field(default_factory=dict)
    """Full path of a variable → cells, all of which must be kept for a value to be."""

    def add(self, path: str, cells: Cells) -> None:
        """Keep no more than `cells` of the variable at `path`. **Reads:** nothing."""
        self.of.setdefault(path, []).append(cells)

    def settle(self, selection: Selections) -> dict[str, AxisSelection] | None:
        """What is kept of each dimension that cells lie on, within `selection`.

        Returns
        -------
        dict or None
            None where nothing is kept of any variable.

        **Reads:** nothing.
        """
        sizes = {
            own: size
            for cells in chain.from_iterable(self.of.values())
            for own, size in zip(cells.dimensions, cells.shape, strict=True)
        }
        needed = {own: np.zeros(size, np.bool_) for own, size in sizes.items()}
        combined = {tuple(map(id, found)): found for found in self.of.values()}
        for together in combined.values():
            for own, lines in _lines(together, selection).items():
                base = selection.get(own, AxisSelection.whole(sizes[own])).positions
                needed[own][base[lines]] = True
        if not all(own.any() for own in needed.values()):
            return None
        return {own: AxisSelection.of_mask(mask) for own, mask in needed.items()}

    def masks(self, selection: Selections, variables: Mapping[str, Sequence[str]]) -> list[Mask]:
        """What is to be blanked of `variables` (full path → dimensions) in `selection`.

        Those for which no cells were noted are blanked by all cells that lie on dimensions of them.
        **Reads:** nothing.
        """
        found = []
        for cells in {id(own): own for own in chain.from_iterable(self.of.values())}.values():
            inside = cells.at(selection)
            if inside.all():
                continue
            covered = {
                path
                for path, dimensions in variables.items()
                if any(own is cells for own in self.of.get(path, [cells]))
                and set(cells.dimensions) <= set(dimensions)
            }
            if covered:
                told = CellSet.of(inside)
                found.append(Mask(cells.dimensions, told, frozenset(covered)))
        return found


def _lines(together: Iterable[Cells], selection: Selections) -> dict[str, Flags]:
    """For each dimension, which positions of `selection` hold cells that all of them keep."""
    own = list(together)
    dimensions = tuple(dict.fromkeys(chain.from_iterable(cells.dimensions for cells in own)))
    inside = np.ones((1,) * len(dimensions), np.bool_)
    for cells in own:
        axes = [dimensions.index(dimension) for dimension in cells.dimensions]
        part = cells.at(selection).transpose(np.argsort(axes))
        inside = (
            inside
            & part[tuple(slice(None) if axis in axes else None for axis in range(len(dimensions)))]
        )
    windowed = {
        own for cells in own for own in cells.dimensions[-_WINDOWED:] if len(cells.dimensions) > 1
    }
    found = {}
    for axis, dimension in enumerate(dimensions):
        others = tuple(other for other in range(len(dimensions)) if other != axis)
        lines = inside.any(axis=others)
        if dimension in windowed and lines.any():
            held = np.flatnonzero(lines)
            lines[held[0] : held[-1] + 1] = True
        found[dimension] = lines
    return found
