"""Reads the STAC catalogue that a step of a chain hands on, and the granules that it selects.

An item's own id is random. The granule's name stands in the title of the link to the item, its
concept id in the item's file name, its collection in the catalogue's ``harmony_source`` link.
"""

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, cast
from urllib.parse import urlsplit

import pystac
from botocore.exceptions import BotoCoreError, ClientError
from harmony_service_lib.s3_stac_io import S3StacIO

from harmony_vds.errors import NoDataError, RequestError, UpstreamError
from harmony_vds.model.extent import BoundingBox, TimeRange
from harmony_vds.model.request import Asset, Granule

_CONCEPT = re.compile(r"\bgranule[ _](G\d+-\w+?)(?:_\d+)?(?:\.json)?$")
_SOURCE = re.compile(r"/(C\d+-\w+)$")
_UNREADABLE = (
    pystac.STACError, pystac.STACTypeError, OSError, ValueError, LookupError, TypeError,
    AttributeError, RecursionError,
)  # fmt: skip
"""What pystac raises where documents have another form, or are not there."""


def read_catalog(href: str) -> pystac.Catalog:
    """The catalogue at `href`, in S3 or a local file.

    Raises
    ------
    RequestError
        There is none, or it is not understood.
    UpstreamError
        The bucket is in trouble.

    **Reads:** nothing of any archive.
    """
    with _reading(href):
        return pystac.Catalog.from_file(href, stac_io=S3StacIO())


def items_below(catalog: pystac.Catalog) -> Iterator[pystac.Item]:
    """The items of a catalogue, of those below it, then of those that follow it.

    Raises
    ------
    RequestError
        It leads to itself, to another place, or to what is no item.
    UpstreamError
        The bucket is in trouble.

    **Reads:** nothing of any archive.
    """
    waiting, met = [catalog], set[str]()
    while waiting:
        own = waiting.pop()
        href = own.get_self_href() or f"{own.id} at {id(own)}"
        if href in met:
            raise RequestError(f"The catalogue of inputs leads to itself, at {href}.")
        met.add(href)
        for link in own.get_links("item"):
            item = _target(link, own)
            if not isinstance(item, pystac.Item):
                raise RequestError(
                    f"The catalogue of inputs names {link.href} an item; it is none."
                )
            yield item
        below = [_target(link, own) for rel in ("child", "next") for link in own.get_links(rel)]
        waiting += [each for each in reversed(below) if isinstance(each, pystac.Catalog)]


def _target(link: pystac.Link, owner: pystac.Catalog) -> pystac.STACObject:
    """What a link leads to, in the bucket or on the disk that its catalogue is from."""
    if not link.is_resolved():
        here, there = owner.get_self_href(), link.get_absolute_href() or ""
        if here is None or urlsplit(there)[:2] != urlsplit(here)[:2]:
            raise RequestError(f"The catalogue of inputs leads elsewhere, to {there}.")
        with _reading(there):
            link.resolve_stac_object(root=owner.get_root())
    return cast("pystac.STACObject", link.target)


@contextmanager
def _reading(href: str) -> Iterator[None]:
    """Tell what goes wrong with the document at `href`; pystac wraps some of it, and not all."""
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise UpstreamError(f"{href} cannot be fetched ({type(error).__name__}).") from error
    except _UNREADABLE as error:
        if isinstance(error.__cause__, BotoCoreError | ClientError):
            told = type(error.__cause__).__name__
            raise UpstreamError(f"{href} cannot be fetched ({told}).") from error
        told = f"{type(error.__cause__ or error).__name__}: {error.__cause__ or error}"
        raise RequestError(
            f"The inputs at {href} are no STAC that can be read ({told})."
        ) from error


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
    """An item of the input as a granule of one of the request's collections."""
    collection = _collection(item)
    if not collection and len(collections) == 1:
        collection = collections[0]
    if collection not in collections:
        raise RequestError(
            f"The input {item.id} is not of a requested collection ({', '.join(collections)}); "
            "its catalogue should have a harmony_source link to one of them."
        )
    try:
        start, end = (_in_utc(own) for own in (
            item.common_metadata.start_datetime, item.common_metadata.end_datetime))  # fmt: skip
    except (ValueError, TypeError, AttributeError) as error:
        raise RequestError(f"The times of the input {item.id} cannot be read: {error}.") from None
    instant = _in_utc(item.datetime)
    temporal = TimeRange(start, end) if start and end and start <= end else None
    if temporal is None and instant is not None:
        temporal = TimeRange(instant, instant)
    return Granule(
        collection, _concept_id(item), _name(item), tuple(map(_asset, item.assets.values())),
        temporal, _box(item),
    )  # fmt: skip


def _in_utc(moment: datetime | None) -> datetime | None:
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment


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


def _box(item: pystac.Item) -> BoundingBox | None:
    edges = item.bbox
    if edges is None:
        return None
    try:
        numbers = [float(own) for own in edges]
    except (TypeError, ValueError):
        numbers = []
    if len(numbers) not in (4, 6) or not all(map(math.isfinite, numbers)):
        raise RequestError(f"The bbox of the input {item.id} is {edges!r}, which is no box.")
    half = len(numbers) // 2
    return BoundingBox(numbers[0], numbers[1], numbers[half], numbers[half + 1])
