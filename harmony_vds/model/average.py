"""What of a plan is averaged: decided before any chunk is read."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from harmony_vds.model.areas import CellAreas
from harmony_vds.model.cell_set import CellSet

BYTES_OF_SUM = 16
"""A running sum and what rounding took from it."""


class AverageKind(StrEnum):
    """What is averaged over, by Harmony's words."""

    TIME = "time"
    AREA = "area"


class Measure(StrEnum):
    """What an average tells of the values that it was made of."""

    MEAN = "mean"
    COUNT = "count"
    """Values that were there."""
    FRACTION = "fraction"
    """Area of the cells whose values were there, as a share of the area that was asked for."""
    MIN = "min"
    """Smallest value."""
    MAX = "max"
    """Largest value."""
    STD = "std"
    """Standard deviation of the values, weighed as the mean is."""

    @property
    def dtype(self) -> np.dtype[np.float64] | np.dtype[np.int32]:
        """Its type, whatever the store's. **Reads:** nothing."""
        return np.dtype(np.int32) if self is Measure.COUNT else np.dtype(np.float64)


@dataclass(frozen=True)
class AveragedVariable:
    """One variable that is averaged, and the variables of the output that tell the result."""

    path: str
    """Full path in the store; the mean has it in the output."""
    along: tuple[str, ...]
    """Full paths of the dimensions averaged over: one of time, or the two of a grid."""
    dimensions: tuple[str, ...]
    """Full paths of the result's dimensions: a time that was averaged over stays, of length 1."""
    measures: tuple[tuple[Measure, str], ...]
    """What is told, each with the full path of its variable; the mean first."""
    features: int = 0
    """How many features have a mean of their own, along the first dimension of the result; 0 where
    all that was asked for has one."""

    @property
    def bytes_of_results(self) -> int:
        """Bytes of all measures of one element of the result. **Reads:** nothing."""
        return sum(own.dtype.itemsize for own, _ in self.measures) * max(self.features, 1)

    @property
    def bytes_of_sums(self) -> int:
        """Bytes held for one element of the result while it grows. **Reads:** nothing."""
        return BYTES_OF_SUM * len(self.measures) * max(self.features, 1)


@dataclass(frozen=True)
class AveragedTime:
    """The one time that stands for all the steps of a time axis."""

    path: str
    """Full path of the time coordinate."""
    dimension: str
    """Full path of its dimension."""
    bounds_path: str
    """Full path of its bounds in the output, whether or not the store has them."""
    bounds_dimension: str
    """Full path of the second dimension of the bounds."""
    first: float
    """Start of the first step, in the units of the coordinate."""
    last: float
    """End of the last step."""
    is_climatology: bool = False
    """Whether steps between the two were left out because of their months (CF 7.4)."""


@dataclass(frozen=True, eq=False)
class FeatureCells:
    """The cells of each feature of a shape on one grid."""

    dimensions: tuple[str, str]
    """Full paths of the grid's (y, x) dimensions."""
    rows: tuple[npt.NDArray[np.int64], ...]
    """For each feature the rows of its cells in the window."""
    columns: tuple[npt.NDArray[np.int64], ...]
    """Their columns."""

    def within(self, sets: Sequence[CellSet]) -> "FeatureCells":
        """Those of the cells that all `sets` of the same window hold. **Reads:** nothing."""
        pairs = list(zip(self.rows, self.columns, strict=True))
        for own in sets:
            held = [own.at(*pair) for pair in pairs]
            pairs = [(r[h], c[h]) for (r, c), h in zip(pairs, held, strict=True)]
        rows, columns = zip(*pairs, strict=True)
        return FeatureCells(self.dimensions, rows, columns)

    @property
    def digest(self) -> str:
        """SHA-256 of all positions. **Reads:** nothing."""
        found = hashlib.sha256()
        for own in (*self.rows, *self.columns):
            found.update(len(own).to_bytes(8, "little") + own.tobytes())
        return found.hexdigest()


@dataclass(frozen=True, eq=False)
class Features:
    """The features of a shape that have a mean each."""

    names: tuple[str, ...]
    """In the order of the document."""
    dimension: str
    """Full path of the dimension that they make in the output."""
    name_path: str
    """Full path of the variable of their names."""
    cells: tuple[FeatureCells, ...]
    """One for each grid."""

    def on(self, dimensions: tuple[str, ...]) -> FeatureCells:
        """Those on the grid with `dimensions`. **Reads:** nothing."""
        return next(own for own in self.cells if own.dimensions == dimensions)


@dataclass(frozen=True, eq=False)
class AveragePlan:
    """How the variables of a plan are averaged."""

    kind: AverageKind
    """What over."""
    variables: tuple[AveragedVariable, ...]
    """Which."""
    times: tuple[AveragedTime, ...] = ()
    """Of an average over time: what becomes of each time coordinate."""
    areas: tuple[CellAreas, ...] = ()
    """Of an average over area: the weights, one set for each grid."""
    features: Features | None = None
    """Of an average over area: the features that have a mean each; None where all have one."""

    def of(self, path: str) -> AveragedVariable | None:
        """How the variable at `path` is averaged; None if it is not. **Reads:** nothing."""
        return next((own for own in self.variables if own.path == path), None)

    def areas_along(self, dimensions: tuple[str, ...]) -> CellAreas:
        """The areas of the grid with `dimensions`. **Reads:** nothing."""
        return next(own for own in self.areas if own.dimensions == dimensions)

    @property
    def nbytes(self) -> int:
        """Bytes held for the weights. **Reads:** nothing."""
        held = sum(own.nbytes for own in self.areas)
        for own in self.features.cells if self.features else ():
            held += sum(part.nbytes for part in (*own.rows, *own.columns))
        return held

    def as_json(self) -> dict[str, object]:
        """What it is, in plain JSON values. **Reads:** nothing."""
        return {
            "kind": str(self.kind),
            "variables": {own.path: list(own.along) for own in self.variables},
            "times": {
                own.path: [own.first, own.last, own.is_climatology] for own in self.times
            },
            "weights": {" ".join(own.dimensions): own.digest for own in self.areas},
            "features": None if self.features is None else {
                "names": list(self.features.names),
                "cells": {" ".join(own.dimensions): own.digest for own in self.features.cells},
            },
        }  # fmt: skip
