"""Places that arrive as areas: Harmony draws the points of a request as tiny squares.

An EDR request for several points reaches services as a shape of squares 1e-4 degrees wide. Where a
table is asked for, the user wants a series for each, and not the cells that a shape keeps.
"""

from dataclasses import replace

from harmony_vds.model.formats import find_format
from harmony_vds.model.places import Place
from harmony_vds.model.request import Request
from harmony_vds.model.shape import Feature, Shape

WIDEST = 1e-3
"""Degrees: areas as narrow in both directions stand for points."""


def with_places(request: Request) -> Request:
    """`request` with places instead of its shape, if it wants a table of a shape of points.

    Otherwise as it is. **Reads:** nothing.
    """
    form = find_format(request.media_type)
    if not isinstance(request.shape, Shape) or form is None or not form.is_table:
        return request
    if request.average is not None or request.bbox is not None:
        return request
    places = [place for own in request.shape.features for place in _places(own)]
    if not places or None in places:
        return request
    return replace(request, shape=None, points=tuple(own for own in places if own is not None))


def _places(feature: Feature) -> list[Place | None]:
    """The middle of each part of a feature; None for a part that is no point."""
    from shapely import get_parts

    parts = get_parts(feature.geometry)
    found: list[Place | None] = []
    for number, part in enumerate(parts, 1):
        west, south, east, north = part.bounds
        name = feature.name if len(parts) == 1 else f"{feature.name}.{number}"
        thin = max(east - west, north - south) <= WIDEST
        middle = round((west + east) / 2, 6), round((south + north) / 2, 6)
        found.append(Place(*middle, name) if thin else None)
    return found
