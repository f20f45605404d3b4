"""Places and lines that arrive as areas: Harmony draws points as tiny squares, lines as corridors.

An EDR request for several points reaches services as a shape of squares 1e-4 degrees wide, one
along a trajectory as a corridor as wide. Where a table is asked for, the user wants a series for
each place, or for each cell along the line in its order, and not the cells that a shape keeps.
"""

from dataclasses import replace

from harmony_vds.model.formats import find_format
from harmony_vds.model.places import Place
from harmony_vds.model.request import Request
from harmony_vds.model.shape import Feature, Shape

WIDEST = 1e-3
"""Degrees: areas as narrow in both directions stand for points, as narrow in one for lines."""
_ROUNDING = 1e-9
"""Degrees: well above the rounding of sums of angles."""

type Bounds = tuple[float, float, float, float]
type Line = tuple[tuple[float, float], ...]


def with_places(request: Request) -> Request:
    """`request` with places or a line instead of its shape, if it wants a table of such a shape.

    Otherwise as it is. **Reads:** nothing.
    """
    form = find_format(request.media_type)
    if not isinstance(request.shape, Shape) or form is None or not form.is_table:
        return request
    if request.average is not None or request.bbox is not None:
        return request
    places = [place for own in request.shape.features for place in _places(own)]
    if places and None not in places:
        points = tuple(own for own in places if own is not None)
        return replace(request, shape=None, points=points)
    line = _line(request.shape)
    return replace(request, shape=None, line=line) if line else request


def _places(feature: Feature) -> list[Place | None]:
    """The middle of each part of a feature; None for a part that is no point."""
    from shapely import get_parts

    parts = _joined([tuple(own.bounds) for own in get_parts(feature.geometry)])
    found: list[Place | None] = []
    for number, (west, south, east, north) in enumerate(parts, 1):
        name = feature.name if len(parts) == 1 else f"{feature.name}.{number}"
        thin = max(east - west, north - south) <= WIDEST
        x, y = round((west + east) / 2, 6), round((south + north) / 2, 6)
        found.append(Place(x - 360 if x > 180 else x, y, name) if thin else None)
    return found


def _joined(parts: list[Bounds]) -> list[Bounds]:
    """Parts by their bounds, each half at the antimeridian together with its other half."""
    found = []
    west = [own for own in parts if own[0] <= _ROUNDING - 180]
    for own in parts:
        if own[2] >= 180 - _ROUNDING:
            halves = [h for h in west if abs(h[1] - own[1]) + abs(h[3] - own[3]) <= _ROUNDING]
            if halves:
                west.remove(halves[0])
                found.append((own[0], own[1], halves[0][2] + 360, own[3]))
                continue
        found.append(own)
    taken = [own for own in parts if own[0] <= _ROUNDING - 180 and own not in west]
    return [own for own in found if own not in taken]


def _line(shape: Shape) -> Line:
    """The middle of a corridor; nothing where the shape is none.

    A corridor goes along one side of a line and back along the other.
    """
    from shapely import get_coordinates, get_parts

    parts = [part for own in shape.features for part in get_parts(own.geometry)]
    if len(parts) != 1 or parts[0].geom_type != "Polygon" or parts[0].interiors:
        return ()
    ring: list[list[float]] = get_coordinates(parts[0])[:-1].tolist()
    if len(ring) < 4 or len(ring) % 2:
        return ()
    for first in range(len(ring)):
        there = [ring[(first + n) % len(ring)] for n in range(len(ring) // 2)]
        back = [ring[first - 1 - n] for n in range(len(ring) // 2)]
        if all(_near(a, b) for a, b in zip(there, back, strict=True)):
            pairs = zip(there, back, strict=True)
            return tuple(
                (round((a[0] + b[0]) / 2, 6), round((a[1] + b[1]) / 2, 6)) for a, b in pairs
            )
    return ()


def _near(a: list[float], b: list[float]) -> bool:
    return max(abs(a[0] - b[0]), abs(a[1] - b[1])) <= WIDEST
