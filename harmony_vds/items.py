"""Reads the STAC catalogue of a chain that begins with query-cmr into the granules it selects.

An item's own id is random. The granule's name stands in the title of the link to the item, its
concept id in the item's file name, its collection in the catalogue's ``harmony_source`` link.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any

import pystac

from harmony_vds.errors import NoDataError, RequestError
from harmony_vds.model.extent import BoundingBox, TimeRange
from harmony_vds.model.request import Asset, Granule

_CONCEPT = re.compile(r"\bgranule[ _](G\d+-\w+?)(?:_\d+)?(?:\.json)?$")
_SOURCE = re.compile(r"/(C\d+-\w+)$")


def granules_of(items: Iterable[pystac.Item], collections: Sequence[str]) -> tuple[Granule, ...]:
    """The granules that `items` stand for.

    Parameters
    ----------
    items
        Items of Harmony's catalogue.
    collections
        Concept ids of the requested collections.

    Raises
    ------
    NoDataError
        There is no item: no granule matches the request.
    RequestError
        An item does not say of which of several collections it is.

    **Reads:** nothing.
    """
    found = tuple(_granule(item, collections) for item in items)
    if not found:
        raise NoDataError("The request selects no granules: the catalogue of inputs is empty.")
    return found


def _granule(item: pystac.Item, collections: Sequence[str]) -> Granule:
    collection = _collection(item)
    if not collection and len(collections) == 1:
        collection = collections[0]
    if collection not in collections:
        raise RequestError(
            f"The input {item.id} is not of a requested collection ({', '.join(collections)}); "
            "its catalogue should have a harmony_source link to one of them."
        )
    start, end = item.common_metadata.start_datetime, item.common_metadata.end_datetime
    instant = item.datetime
    temporal = TimeRange(start, end) if start and end and start <= end else None
    if temporal is None and instant is not None:
        temporal = TimeRange(instant, instant)
    return Granule(
        collection, _concept_id(item), _name(item), tuple(map(_asset, item.assets.values())),
        temporal, _box(item.bbox),
    )  # fmt: skip


def _asset(asset: pystac.Asset) -> Asset:
    return Asset(asset.href.strip(), asset.media_type or "", asset.description or "")


def _collection(item: pystac.Item) -> str:
    """Concept id that the nearest ``harmony_source`` link names."""
    place: Any = item
    while place is not None:
        for link in place.get_links("harmony_source"):
            found = _SOURCE.search(str(link.target))
            if found:
                return found[1]
        place = place.get_parent()
    return ""


def _concept_id(item: pystac.Item) -> str:
    """Concept id of the granule, from the item's file name or its catalogue's description."""
    parent = item.get_parent()
    alone = parent is not None and len(parent.get_item_links()) == 1
    for text in (item.get_self_href() or "", parent.description if parent and alone else ""):
        found = _CONCEPT.search(text)
        if found:
            return found[1]
    return ""


def _name(item: pystac.Item) -> str:
    """GranuleUR, from the title of the link that led to the item."""
    parent = item.get_parent()
    links = parent.get_item_links() if parent is not None else []
    titles = (link.title for link in links if link.target is item and link.title)
    return str(next(titles, "") or item.properties.get("title") or "")


def _box(edges: Sequence[float] | None) -> BoundingBox | None:
    if edges is None or len(edges) not in (4, 6):
        return None
    half = len(edges) // 2
    return BoundingBox(edges[0], edges[1], edges[half], edges[half + 1])
