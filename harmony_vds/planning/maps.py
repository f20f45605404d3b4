"""Map images as requests for a target grid.

WMS 1.3.0 gives a box in the order of the reference system's own axes: south, west, north, east in
EPSG:4326, and x before y in CRS:84 and in most projected systems. A box that no latitudes could be
part of in that order, such as -180,-90,180,90 in EPSG:4326, was meant with x first.
"""

from dataclasses import replace

from harmony_vds.errors import RequestError
from harmony_vds.model.request import Request


def as_target(request: Request) -> Request:
    """`request` with the box of its map as the extent of its target, if it is for a map.

    Raises
    ------
    RequestError
        The map has no box, width, height or reference system.

    **Reads:** nothing.
    """
    if not request.is_map_image:
        return request
    target, box = request.target, request.map_box
    if target is None or box is None or not (target.crs and target.width and target.height):
        raise RequestError("A map needs crs, bbox, width and height; this request lacks one.")
    # Imported here: it takes a library that few requests need.
    from harmony_vds.planning.target_crs import is_north_first, target_crs

    crs = target_crs(target.crs)
    first, second, third, fourth = box
    extent = box
    if is_north_first(crs) and not (crs.is_geographic and max(abs(first), abs(third)) > 90):
        extent = (second, first, fourth, third)
    return replace(request, target=replace(target, scale_extent=extent))
