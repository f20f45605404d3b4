"""The coordinates of single geometries, checked position by position."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
import shapely

from harmony_vds.errors import RequestError, TooLargeError
from harmony_vds.shapes import sphere
from harmony_vds.shapes.tangle import Tangle

ABSENT = msgspec.Raw(b"null")
"""A member that is not there, or null."""
_FURTHEST = 720.0
"""Longitudes beyond two turns are no degrees."""
_LONGEST_NAME = 80
_PLACE = re.compile(r" - at `\$([^`]*)`")
_NESTED = {
    "Point": 0, "MultiPoint": 1, "LineString": 1, "MultiLineString": 2, "Polygon": 2,
    "MultiPolygon": 3,
}  # fmt: skip
type _Position = list[float]
_FORMS: dict[int, Any] = {
    0: list[float], 1: list[list[float]], 2: list[list[list[float]]],
    3: list[list[list[list[float]]]],
}  # fmt: skip


@dataclass
class Reading:
    """What was read so far of a document."""

    most_vertices: int
    """Most positions it may hold."""
    vertices: int = 0
    """Positions so far."""
    notes: list[str] = field(default_factory=list)
    """What was mended."""
    tangle: Tangle = field(default_factory=Tangle)
    """How often outlines crossed themselves."""

    def parts(self, kind: str, coordinates: msgspec.Raw, where: str) -> Iterator[shapely.Geometry]:
        """The areas, lines and points of a geometry of `kind`; empty ones are left out.

        Raises
        ------
        RequestError
            It is none; the text says why, and where.

        **Reads:** nothing.
        """
        if kind not in _NESTED:
            raise RequestError(
                f"{where} of the shape has the geometry type {kind!r}; known are "
                f"{', '.join(_NESTED)} and GeometryCollection."
            )
        if coordinates == ABSENT:
            raise RequestError(f"{where} of the shape, a {kind}, has no coordinates.")
        try:
            values = msgspec.json.decode(coordinates, type=_FORMS[_NESTED[kind]])
        except (msgspec.DecodeError, RecursionError) as error:
            raise unread(f"{where}, the coordinates of its {kind}", error) from None
        if kind in ("Point", "MultiPoint"):
            yield from self._points([values] if kind == "Point" and values else values, where)
        elif kind in ("LineString", "MultiLineString"):
            for number, own in enumerate([values] if kind == "LineString" else values, 1):
                yield from self._line(own, f"{where}, line {number}")
        else:
            for number, own in enumerate([values] if kind == "Polygon" else values, 1):
                yield from self._area(own, f"{where}, polygon {number}")

    def _points(self, values: Sequence[_Position], where: str) -> Iterator[shapely.Geometry]:
        if values:
            yield sphere.points(self._positions(values, where))

    def _line(self, values: Sequence[_Position], where: str) -> Iterator[shapely.Geometry]:
        if not values:
            return
        positions = self._positions(values, where)
        if len(np.unique(positions, axis=0)) < 2:
            raise RequestError(
                f"{where} of the shape has {len(values)} position(s), all in one place; a line "
                "needs two places."
            )
        self._tell_long_edges(positions, where)
        yield sphere.line(positions)

    def _area(
        self, values: Sequence[Sequence[_Position]], where: str
    ) -> Iterator[shapely.Geometry]:
        if not values:
            return
        rings = [self._ring(own, f"{where}, ring {n}") for n, own in enumerate(values, 1)]
        found, reason = sphere.area(rings, self.tangle, where)
        if found.is_empty:
            raise RequestError(
                f"{where} of the shape is empty: its holes leave nothing of its outline."
            )
        if reason:
            self.notes.append(f"{where} of the shape was not valid ({reason}) and was mended.")
        if shapely.get_dimensions(found) < 2:
            self.notes.append(f"{where} of the shape has no width and counts as a line.")
        yield found

    def _ring(self, values: Sequence[_Position], where: str) -> sphere.Positions:
        positions = self._positions(values, where)
        if len(positions) and (positions[0] != positions[-1]).any():
            positions = np.concatenate([positions, positions[:1]])
            self.notes.append(f"{where} of the shape was not closed; it was, with a straight edge.")
        distinct = len(np.unique(positions, axis=0)) if len(positions) < 100 else 100
        if distinct < 3:
            raise RequestError(
                f"{where} of the shape has {distinct} different position(s); a ring needs three."
            )
        self._tell_long_edges(positions, where)
        return positions

    def _positions(self, values: Sequence[_Position], where: str) -> sphere.Positions:
        """Longitudes and latitudes, shape (n, 2); heights and what follows them are left out."""
        self.vertices += len(values)
        if self.vertices > self.most_vertices:
            raise TooLargeError(
                f"The shape holds more than {self.most_vertices:,} positions "
                "(HARMONY_VDS_MAX_SHAPE_VERTICES); simplify it to what the cells of the data show."
            )
        short = next((n for n, own in enumerate(values, 1) if len(own) < 2), 0)
        if short:
            raise RequestError(
                f"{where} of the shape: position {short} has {len(values[short - 1])} number(s); "
                "it should have a longitude and a latitude."
            )
        found = np.array([own[:2] for own in values], np.float64).reshape(-1, 2)
        _refuse_off_earth(found, where)
        return found

    def _tell_long_edges(self, positions: sphere.Positions, where: str) -> None:
        long = sphere.long_edges(positions)
        beyond = (np.abs(positions[:, 0]) > 180.0).any()
        if long.size and not beyond:
            x = positions[:, 0]
            self.notes.append(
                f"{where} of the shape has an edge from longitude {x[long[0]]:g} to "
                f"{x[long[0] + 1]:g}, which was taken the short way, across the antimeridian. If "
                "the long way is meant, put a position in between."
            )


def _refuse_off_earth(positions: sphere.Positions, where: str) -> None:
    for column, what, most in ((1, "latitude", 90.0), (0, "longitude", _FURTHEST)):
        off = np.flatnonzero(~(np.abs(positions[:, column]) <= most))
        if off.size:
            value = positions[off[0], column]
            raise RequestError(
                f"{where} of the shape: position {off[0] + 1} has the {what} {value:g}, beyond "
                f"±{most:g}. Positions are longitude, latitude, in degrees."
            )


def named(identity: Any, properties: Any, number: int) -> str:
    """The name of a feature: its id, or a property called name, or its number.

    **Reads:** nothing.
    """
    told = [identity]
    if isinstance(properties, dict):
        told += [properties[key] for key in properties if str(key).lower() == "name"]
    found = [str(own).strip() for own in told if isinstance(own, str | int | float)]
    return next((own[:_LONGEST_NAME] for own in found if own), str(number))


def unread(where: str, error: Exception) -> RequestError:
    """The refusal of JSON that `error` says is not what it should be. **Reads:** nothing."""
    prefix = where if where.startswith("The shape") else f"{where} of the shape"
    if isinstance(error, RecursionError):
        return RequestError(f"{prefix} is nested too deeply.")
    text = str(error)
    place = _PLACE.search(text)
    found = _PLACE.sub("", text).replace("`", "")
    at = f" at {place[1]}" if place and place[1] else ""
    return RequestError(f"{prefix} cannot be read: {found}{at}.")
