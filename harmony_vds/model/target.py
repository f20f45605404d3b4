"""The grid of an output that is not the store's, and the grids of the store it is made from."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any

import numpy as np

from harmony_vds.model.arrays import Floats
from harmony_vds.model.extent import BoundingBox
from harmony_vds.model.swath import Swath

TURN = 360.0
_NO_UNITS = {"", "1", "none", "unitless", "dimensionless", "n/a", "-", "count", "counts"}
_EVEN = 1e-3
"""Cells by which a centre may be off an even spacing: coordinates kept in single precision are."""


class Resampling(StrEnum):
    """How the value of a target cell is made from those of the store's cells."""

    NEAREST = "near"
    """The value of the cell that the target cell's centre lies in."""
    BILINEAR = "bilinear"
    """Weighted by distance in rows and columns, over a neighbourhood as wide as a target cell."""
    CUBIC = "cubic"
    """Likewise by Catmull and Rom's cubic, over twice that neighbourhood."""
    AVERAGE = "average"
    """The mean of the cells under the target cell, weighted by how much of each lies under it."""
    MODE = "mode"
    """The value that most of the cells under the target cell have."""
    MINIMUM = "min"
    """The least value under the target cell."""
    MAXIMUM = "max"
    """The greatest value under the target cell."""

    @property
    def picks(self) -> bool:
        """Whether every value that comes out is one that is stored. **Reads:** nothing."""
        return self in (Resampling.NEAREST, Resampling.MODE)

    @property
    def is_kernel(self) -> bool:
        """Whether values are weighted by their distance. **Reads:** nothing."""
        return self in (Resampling.BILINEAR, Resampling.CUBIC)

    @property
    def reach(self) -> int:
        """Cells on either side of a place that take part. **Reads:** nothing."""
        return {Resampling.NEAREST: 0, Resampling.CUBIC: 2}.get(self, 1)


@dataclass(frozen=True, eq=False)
class SourceAxis:
    """The kept cell centres along one dimension of a grid, in output order."""

    centres: Floats
    """In units of the grid's reference system, running on in one direction; shape (size,)."""
    turns: bool = False
    """Whether they are longitudes in degrees, where a whole turn changes nothing."""

    @property
    def step(self) -> float:
        """Mean spacing; negative where centres descend. **Reads:** nothing."""
        own = self.centres
        return float((own[-1] - own[0]) / (own.size - 1)) if own.size > 1 else 0.0

    @cached_property
    def finest(self) -> float:
        """Least distance of neighbouring centres; 1 where there is but one. **Reads:** nothing."""
        if self.is_even:
            return abs(self.step) or 1.0
        return float(np.abs(np.diff(self.centres)).min())

    @cached_property
    def is_even(self) -> bool:
        """Whether centres are spaced evenly. **Reads:** nothing."""
        own, step = self.centres, self.step
        even = own[0] + step * np.arange(own.size)
        return bool(np.abs(own - even).max() <= _EVEN * abs(step))

    @cached_property
    def is_round(self) -> bool:
        """Whether the last cell meets the first, a turn on. **Reads:** nothing."""
        covered = abs(self.step) * self.centres.size
        return self.turns and abs(covered - TURN) < 0.01 * abs(self.step)

    @cached_property
    def edges(self) -> tuple[float, float]:
        """Where the first cell begins and the last one ends. **Reads:** nothing."""
        own, half = self.centres, self.step / 2
        if self.is_even:
            return float(own[0] - half), float(own[-1] + half)
        return float(1.5 * own[0] - own[1] / 2), float(1.5 * own[-1] - own[-2] / 2)

    def positions(self, values: Floats) -> Floats:
        """Where `values` lie, counted in cells: cell i begins at i and has its centre at i + ½.

        Between the centres of an uneven axis cells are as wide as the centres are apart. What lies
        outside of the cells comes out below 0, or at or above `size`. **Reads:** nothing.
        """
        first, last = self.edges
        if self.turns:
            low, high = min(first, last), max(first, last)
            with np.errstate(invalid="ignore"):
                lying = (values >= low) & (values < low + TURN)
            if not lying.all():
                values = values - TURN * np.floor((values - low) / TURN)
            if self.is_round:  # what rounding puts at the far edge belongs to the near one
                values = np.where(values >= high, values - TURN, values)
        if self.is_even:
            return (values - first) / self.step
        sign = np.sign(self.step)
        known = np.concatenate([[first], self.centres, [last]]) * sign
        places = np.concatenate([[0.0], np.arange(self.centres.size) + 0.5, [self.centres.size]])
        beyond = {"left": -1.0, "right": self.centres.size + 1.0}
        return np.asarray(np.interp(values * sign, known, places, **beyond))

    def spread(self, values: Floats) -> tuple[Floats, Floats]:
        """Least and greatest position of each group of `values`, whose last two axes are a group.

        A little is added on both sides. Longitudes of a group run on without a jump; where the last
        cell meets the first so do its positions, which may end below 0 or above `size`. Elsewhere
        what lies outside of the cells is left out: not-a-number for a group that does not meet
        them. **Reads:** nothing.
        """
        low, high = values.min(axis=(-2, -1)), values.max(axis=(-2, -1))
        turns = [0.0]
        if self.turns:  # a group may meet cells at both ends of the axis, in different turns
            whole = TURN * np.floor((low - min(self.edges)) / TURN)
            low, high = low - whole, high - whole
            turns = [0.0] if self.is_round else [0.0, -TURN]
        found = []
        for turn in turns:
            ends = [self._counted(own + turn) for own in (low, high)]
            first, last = np.minimum(*ends), np.maximum(*ends)
            more = 0.05 * (last - first) + 1.0
            found.append((first - more, last + more))
        if self.is_round:
            return found[0]
        size = self.centres.size
        clipped = [(np.maximum(first, 0.0), np.minimum(last, size - 1.0)) for first, last in found]
        firsts, lasts = (
            np.stack([np.where(first <= last, (first, last)[end], np.nan)
                      for first, last in clipped])
            for end in (0, 1)
        )  # fmt: skip
        return np.fmin.reduce(firsts), np.fmax.reduce(lasts)

    def _counted(self, values: Floats) -> Floats:
        """As `positions`, but of this turn, and counted on in the finest cells beyond the edges."""
        sign = np.sign(self.step) or 1.0
        first, last = (own * sign for own in self.edges)
        inner = np.clip(values * sign, first, last)
        known = np.concatenate([[first], self.centres * sign, [last]])
        places = np.concatenate([[0.0], np.arange(self.centres.size) + 0.5, [self.centres.size]])
        return np.asarray(np.interp(inner, known, places) + (values * sign - inner) / self.finest)


@dataclass(frozen=True, eq=False)
class SourceGrid:
    """One grid of the store, as far as it is kept, with rows and columns."""

    dimensions: tuple[str, str]
    """Full paths of its (row, column) dimensions."""
    crs: str
    """Reference system of its axes, as WKT; empty for plain degrees."""
    x: SourceAxis
    """Centres of its columns."""
    y: SourceAxis
    """Centres of its rows."""

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns) kept. **Reads:** nothing."""
        return self.y.centres.size, self.x.centres.size

    @property
    def sha256(self) -> str:
        """Of the centres. **Reads:** nothing."""
        return hashlib.sha256(self.y.centres.tobytes() + self.x.centres.tobytes()).hexdigest()

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Outer edges (x min, y min, x max, y max) in units of its system. **Reads:** nothing."""
        (x0, x1), (y0, y1) = sorted(self.x.edges), sorted(self.y.edges)
        return x0, y0, x1, y1


@dataclass(frozen=True, eq=False)
class TargetPlan:
    """The grid of the output, and how its values are made."""

    crs: str
    """Its reference system as WKT2."""
    transform: tuple[float, float, float, float, float, float]
    """(a, b, c, d, e, f): x = a·column + b·row + c and y = d·column + e·row + f are the place of a
    cell's upper left corner. b and d are zero, e is negative: north is up."""
    shape: tuple[int, int]
    """(rows, columns)."""
    resampling: Resampling
    """How values are made, of the variables that are not in `picked`."""
    picked: frozenset[str]
    """Full paths of the variables that take the nearest value whatever was asked, because they
    hold flags, categories, counts or text."""
    dimensions: tuple[str, str]
    """Full paths of the output's (row, column) dimensions and of their coordinates."""
    mapping: str
    """Full path of the variable that describes the reference system."""
    bbox: BoundingBox
    """Box around its cells, degrees."""
    inside: BoundingBox | None
    """The box that was asked for: cells with their centre outside hold no value. None: all do."""
    sources: tuple[SourceGrid | Swath, ...]
    """The store's grids that values are taken from."""
    strip: tuple[int, int] | None = None
    """Rows ``[first, stop)`` that come out, where the output is a Part; None: all. Everything else
    here is told of the whole grid, so that values do not depend on how it is cut."""

    @property
    def rows(self) -> slice:
        """The rows that come out. **Reads:** nothing."""
        return slice(*(self.strip or (0, self.shape[0])))

    @property
    def size(self) -> tuple[int, int]:
        """(rows, columns) that come out. **Reads:** nothing."""
        return self.rows.stop - self.rows.start, self.shape[1]

    @property
    def xs(self) -> Floats:
        """X of the columns' centres; shape (columns,). **Reads:** nothing."""
        return np.asarray(self.transform[2] + self.transform[0] * (np.arange(self.shape[1]) + 0.5))

    @property
    def ys(self) -> Floats:
        """Y of the centres of the rows that come out; shape (rows,). **Reads:** nothing."""
        rows = np.arange(self.rows.start, self.rows.stop)
        return np.asarray(self.transform[5] + self.transform[4] * (rows + 0.5))

    @property
    def placed(self) -> tuple[float, float, float, float, float, float]:
        """As `transform`, counted from the first row that comes out. **Reads:** nothing."""
        a, b, c, d, e, f = self.transform
        return a, b, c, d, e, f + e * self.rows.start

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """Outer edges (x min, y min, x max, y max), in units of `crs`, of all rows.

        **Reads:** nothing.
        """
        a, _, x, _, e, y = self.transform
        return x, y + e * self.shape[0], x + a * self.shape[1], y

    def source_of(self, dimensions: tuple[str, ...]) -> SourceGrid | Swath | None:
        """The grid that a variable of `dimensions` lies on, if on any. **Reads:** nothing."""
        lying = (own for own in self.sources if set(own.dimensions) <= {*dimensions})
        return next(lying, None)

    def resampling_of(self, path: str) -> Resampling:
        """How values of the variable at `path` are made. **Reads:** nothing."""
        return Resampling.NEAREST if path in self.picked else self.resampling

    def as_json(self) -> dict[str, object]:
        """It in plain JSON values, the store's cells by SHA-256. **Reads:** nothing."""
        told = {} if self.strip is None else {"rows": list(self.strip)}
        return {
            **told,
            "crs": self.crs,
            "transform": list(self.transform),
            "shape": list(self.shape),
            "resampling": str(self.resampling),
            "nearest": sorted(self.picked),
            "inside": None if self.inside is None else str(self.inside),
            "sources": [
                {"dimensions": list(own.dimensions), "crs": own.crs, "shape": list(own.shape),
                 "sha256": own.sha256}
                for own in self.sources
            ],
        }  # fmt: skip


def made_type(dtype: np.dtype[Any], method: Resampling) -> np.dtype[Any]:
    """The type of values made by `method` of stored ones of `dtype`: floating if they are blended.

    Single precision holds what integers of up to 16 bits are packed from. **Reads:** nothing.
    """
    if method.picks:
        return dtype.newbyteorder("=")
    small = dtype.itemsize <= (4 if dtype.kind == "f" else 2)
    return np.dtype(np.float32 if small else np.float64)


def is_blendable(dtype: np.dtype[Any], attributes: Mapping[Any, Any]) -> bool:
    """Whether a value between two values means something: not of flags, categories and text.

    Integers are taken for quantities if they are packed, or if they have units.
    **Reads:** nothing.
    """
    if dtype.kind == "f":
        flags = any(str(name).startswith("flag_") for name in attributes)
        return not flags
    if dtype.kind not in "iu" or any(str(name).startswith("flag_") for name in attributes):
        return False
    if any(name in attributes for name in ("scale_factor", "add_offset")):
        return True
    return str(attributes.get("units", "")).strip().lower() not in _NO_UNITS
