"""Places asked for by name and degrees, and the cells of a grid that answer for them."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from harmony_vds.errors import RequestError
from harmony_vds.model.arrays import Floats, Positions


@dataclass(frozen=True)
class Place:
    """A place on the Earth."""

    longitude: float
    """Degrees_east, any turn of the globe."""
    latitude: float
    """Degrees_north."""
    name: str = ""
    """What the user calls it."""
    time: datetime | None = None
    """The instant it is asked for, UTC; None for all steps."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.longitude) and math.isfinite(self.latitude)):
            raise RequestError(f"The place {self} holds a value that is not a number.")
        if not -90 <= self.latitude <= 90:
            raise RequestError(
                f"The place {self} lies beyond the poles; the order is longitude, latitude, and "
                "latitudes end at ±90."
            )
        if abs(self.longitude) > 720:
            raise RequestError(f"The place {self} lies beyond two turns of the globe.")

    def __str__(self) -> str:
        named = f"{self.name} " if self.name else ""
        moment = "" if self.time is None else f" at {self.time.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
        return f"{named}({self.longitude:g}, {self.latitude:g}){moment}"


AROUND = 4
"""Cells around a place."""
_WORKING_BYTES = 32
"""Bytes that each of them takes while a value between them is made."""


@dataclass(frozen=True, eq=False)
class PlaceTimes:
    """The times that places have of their own."""

    path: str
    """Full path of the variable of times, of which each place takes one step."""
    asked: Floats
    """What was asked, as that variable would state it; shape (places,)."""
    units: str
    """Its CF units."""
    calendar: str
    """Its calendar."""


@dataclass(frozen=True, eq=False)
class Blend:
    """The cells around each place, for values in between."""

    cells: Positions
    """Positions in the store along each dimension of the placement, `AROUND` for each place one
    after another; shape (dimensions, AROUND * places)."""
    weights: Floats
    """What each of them counts, 1 together; shape (places, AROUND)."""
    variables: frozenset[str]
    """Full paths of the variables that have values in between."""


@dataclass(frozen=True, eq=False)
class Placement:
    """The cells of one horizontal grid that answer for places."""

    dimensions: tuple[str, ...]
    """Full paths of the grid's dimensions, rows first; before them that of the times, where places
    have times of their own."""
    cells: Positions
    """Positions in the store along each of them; shape (dimensions, places)."""
    dimension: str
    """Full path of the dimension along which the output lists the places."""
    places: tuple[Place, ...]
    """What was asked, in the order of the output, each with a name."""
    longitudes: Floats
    """Of the cells' centres, degrees_east; shape (places,)."""
    latitudes: Floats
    """Of the cells' centres, degrees_north; shape (places,)."""
    distances: Floats
    """From each place to the centre of its cell, km; shape (places,)."""
    coordinates: tuple[str, ...] = ()
    """Full paths of the variables that hold latitude and longitude of the cells; empty where the
    store has none and the output gets some."""
    times: PlaceTimes | None = None
    """The places' own times; None where each has all steps."""
    blend: Blend | None = None
    """What lies around the places; None where the cells' own values are wanted."""
    width: int = 0
    """Bytes that the value of a cell takes while it is worked on, where more than as stored."""

    def reading(self, path: str) -> "Placement":
        """The cells that are read of a variable: all those around, where it has values in between.

        **Reads:** nothing.
        """
        if not self.has_between(path):
            return self
        assert self.blend is not None
        each = tuple(own for own in self.places for _ in range(AROUND))
        return replace(self, cells=self.blend.cells, places=each, width=_WORKING_BYTES)

    def has_between(self, path: str) -> bool:
        """Whether a variable has values between cells. **Reads:** nothing."""
        return self.blend is not None and path in self.blend.variables

    def __len__(self) -> int:
        return len(self.places)

    def along(self, dimensions: Sequence[str]) -> list[int]:
        """Which of `dimensions` are the grid's, in the order of the grid. **Reads:** nothing."""
        return [dimensions.index(own) for own in self.dimensions if own in dimensions]

    def cells_of(self, dimensions: Sequence[str]) -> Positions:
        """The cells along those of the grid's dimensions that a variable has.

        Shape (dimensions of both, places). **Reads:** nothing.
        """
        return self.cells[[n for n, own in enumerate(self.dimensions) if own in dimensions]]

    def as_json(self) -> dict[str, object]:
        """What it is, in plain JSON values; cells by their SHA-256. **Reads:** nothing."""
        told = "\n".join(map(repr, self.places)).encode() + self.cells.astype("<i8").tobytes()
        between: dict[str, object] = {}
        if self.blend is not None:
            cells = self.blend.cells.astype("<i8").tobytes()
            told += cells + self.blend.weights.astype("<f8").tobytes()
            between["between"] = sorted(self.blend.variables)
        return {
            "dimensions": list(self.dimensions),
            "along": self.dimension,
            "places": len(self),
            "sha256": hashlib.sha256(told).hexdigest(),
            **between,
        }


def placement_for(dimensions: Sequence[str], placements: Sequence[Placement]) -> Placement | None:
    """The placement on whose grid a variable lies, wholly or along one side.

    **Reads:** nothing.
    """
    return next((own for own in placements if own.along(dimensions)), None)
