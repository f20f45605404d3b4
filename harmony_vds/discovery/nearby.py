"""Which granules a shape comes near, by the boxes that their records tell."""

from harmony_vds.model.extent import BoundingBox
from harmony_vds.model.shape import Shape

_MOST_BOXES = 10
"""Boxes that one search names; more would not fit into an address."""
_ROUNDED = 1e-4
"""Degrees: what the edges of boxes in records are rounded by."""


def boxes_around(shape: Shape) -> list[BoundingBox]:
    """Boxes around the parts of `shape`, or one around all where these are many.

    **Reads:** nothing.
    """
    import shapely

    parts = shapely.get_parts(shapely.get_parts([own.geometry for own in shape.features]))
    if len(parts) > _MOST_BOXES:
        return [shape.bbox]
    return [BoundingBox(*map(float, own)) for own in shapely.bounds(parts)]


def meets_shape(box: BoundingBox | None, shape: object) -> bool:
    """Whether a granule in `box` may hold cells of `shape`; true where either is not known.

    **Reads:** nothing.
    """
    if box is None or not isinstance(shape, Shape):
        return True
    import shapely

    west, width = (box.west + 180.0) % 360.0 - 180.0, box.width
    if width >= 360.0:
        west, width = -180.0, 360.0
    pieces = [
        shapely.box(west + turn, box.south, west + width + turn, box.north)
        for turn in (0.0, -360.0)
    ]
    place = shapely.union_all(pieces)
    shapely.prepare([own.geometry for own in shape.features])
    return any(shapely.dwithin(own.geometry, place, _ROUNDED) for own in shape.features)
