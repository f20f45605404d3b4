"""Where and when: a box on the Earth and a range of time, validated once."""

import math
from dataclasses import dataclass
from datetime import datetime

from harmony_vds.errors import RequestError


@dataclass(frozen=True)
class BoundingBox:
    """A closed box in degrees; ``west > east`` means that it crosses the antimeridian."""

    west: float
    """Western edge, degrees_east, any turn of the globe."""
    south: float
    """Southern edge, degrees_north."""
    east: float
    """Eastern edge, degrees_east."""
    north: float
    """Northern edge, degrees_north."""

    def __post_init__(self) -> None:
        edges = (self.west, self.south, self.east, self.north)
        if not all(math.isfinite(edge) for edge in edges):
            raise RequestError(f"The bounding box {self} holds a value that is not a number.")
        if self.south > self.north:
            raise RequestError(
                f"The bounding box {self} has its southern edge north of its northern edge; "
                "the order is west, south, east, north."
            )
        if self.south > 90 or self.north < -90:
            raise RequestError(
                f"The bounding box {self} lies beyond the poles; the order is west, south, "
                "east, north, and latitudes end at ±90."
            )
        if max(abs(self.west), abs(self.east)) > 720:
            raise RequestError(
                f"The bounding box {self} has a longitude beyond two turns of the globe."
            )

    @property
    def width(self) -> float:
        """Degrees of longitude from west to east, at most 360. **Reads:** nothing.

        >>> BoundingBox(170, 0, -170, 10).width
        20.0
        """
        if self.east >= self.west:
            return min(self.east - self.west, 360.0)
        # A whole turn less the rounding of decimals, such as 180.1 to -179.9, is still that turn.
        turns = max(math.ceil((self.west - self.east) / 360.0 - 1e-12), 1)
        return max(self.east - self.west + 360.0 * turns, 0.0)

    def __str__(self) -> str:
        return f"[{self.west:g}, {self.south:g}, {self.east:g}, {self.north:g}]"


WORLD = BoundingBox(-180.0, -90.0, 180.0, 90.0)
"""All there is."""


@dataclass(frozen=True)
class TimeRange:
    """A closed range of instants in UTC; a missing side is open."""

    start: datetime | None = None
    """First instant, timezone-aware UTC, or None for the beginning of the record."""
    end: datetime | None = None
    """Last instant, timezone-aware UTC, or None for the end of the record."""

    def __post_init__(self) -> None:
        if self.start is not None and self.end is not None and self.start > self.end:
            raise RequestError(f"The time range {self} ends before it starts; swap its two sides.")

    @property
    def is_open(self) -> bool:
        """Whether one side is missing. **Reads:** nothing."""
        return self.start is None or self.end is None

    def __str__(self) -> str:
        return f"{_instant(self.start)}/{_instant(self.end)}"


def _instant(moment: datetime | None) -> str:
    return ".." if moment is None else moment.isoformat().replace("+00:00", "Z")
