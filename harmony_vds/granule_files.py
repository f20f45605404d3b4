"""The data files of granules, by CMR's records or a STAC catalogue, ready to be virtualised."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from yarl import URL

from harmony_vds.access.buckets import learn_twins
from harmony_vds.access.gateway import Access
from harmony_vds.access.loop import run
from harmony_vds.building.files import GranuleFile, file_name
from harmony_vds.discovery import umm
from harmony_vds.discovery.granules import region_query
from harmony_vds.discovery.placements.granule import credentials_endpoint, data_hrefs
from harmony_vds.discovery.shares import Linked
from harmony_vds.errors import NoDataError, RequestError, StoreError
from harmony_vds.model.moment import parse_moment
from harmony_vds.model.request import Request
from harmony_vds.services import Services

_DATA = re.compile(r"\.(nc4?|h5|he5|hdf5|tiff?)$", re.IGNORECASE)
_MOST_TAUGHT = 20
"""Granules from whose links the https forms of buckets are learnt."""
_CATALOGUE_LIMIT = 64 * 2**20
_MOST_ITEMS = 100_000


@dataclass(frozen=True)
class Wanted:
    """Which of a granule's files, and how references name them."""

    pattern: str = ""
    """Regular expression that the name of the data file matches; empty for any."""
    direct: bool = False
    """Whether references name it by ``s3://``, where the record does; https otherwise."""

    def of(self, linked: Linked) -> tuple[str, str]:
        """(URL to read, URL to publish) of a granule's data file.

        Raises
        ------
        StoreError
            It has none that can be virtualised, or several.

        **Reads:** nothing.
        """
        https, direct = (
            [own for own in urls if self.fits(own)] for urls in data_hrefs(linked.links)
        )
        named = linked.granule.name or linked.granule.concept_id
        names = {file_name(own) for own in (*https, *direct)}
        if not names:
            raise StoreError(f"The granule {named} names no netCDF, HDF5 or TIFF file that fits.")
        if len(names) > 1:
            raise StoreError(
                f"The granule {named} has several data files ({', '.join(sorted(names)[:4])}); say "
                "which one is meant by a pattern of its name (--file)."
            )
        read = (https or direct)[0]
        published = direct[0] if self.direct and direct else read
        return read, published

    def fits(self, url: str) -> bool:
        """Whether the file at `url` may be the one that is meant. **Reads:** nothing."""
        name = file_name(url)
        return bool(re.search(self.pattern, name) if self.pattern else _DATA.search(name))


def files_of_collection(
    services: Services,
    collection: str,
    request: Request,
    wanted: Wanted,
    since: Mapping[str, datetime | None] = MappingProxyType({}),
) -> list[GranuleFile]:
    """The data files of all granules of a collection that `request` meets in space and time.

    Of these only those of the dates in `since`, by CMR's parameters ``created_at`` and
    ``revision_date``, or later ones.

    Raises
    ------
    NoDataError
        CMR finds none.
    NoStoreError, ForbiddenError, UpstreamError, StoreError
        CMR shows no such collection, or cannot answer; a granule names no file.

    **Reads:** metadata.
    """
    record = services.cmr.collection(collection)
    query = {"collection_concept_id": collection, **region_query(request)}
    news = {
        name: f"{own.isoformat().replace('+00:00', 'Z')},"
        for name, own in since.items() if own is not None
    }  # fmt: skip
    linked = [Linked.of_record(own) for own in services.cmr.granules({**query, **news})]
    if not linked and not news:
        raise NoDataError(f"CMR finds no granule of {collection} in the box and time asked for.")
    told = record.umm
    access = services.access.recording(
        umm.distribution_prefixes(told), umm.region(told), umm.credentials_endpoint(told)
    )
    return files_of(linked, access, wanted)


def files_of(linked: Sequence[Linked], access: Access, wanted: Wanted) -> list[GranuleFile]:
    """The data files of granules, with the way to them and their sidecars; errors as `Wanted.of`.

    **Reads:** metadata, whether a sidecar lies beside the first where records name none.
    """
    from harmony_vds.dmrpp_sidecars import with_sidecars  # XML and VirtualiZarr, which few need

    chosen = [wanted.of(own) for own in linked]
    worker = reaching(linked, access, wanted).for_worker()
    files = [
        GranuleFile(
            read, "" if published == read else published,
            None if own.granule.temporal is None else own.granule.temporal.start, access=worker,
        )
        for own, (read, published) in zip(linked, chosen, strict=True)
    ]  # fmt: skip
    known = {
        read: candidate.href
        for own, (read, published) in zip(linked, chosen, strict=True)
        for candidate in own.sidecars
        if file_name(candidate.href).removesuffix(".dmrpp") == file_name(read)
    }
    return with_sidecars(files, access, known)


def reaching(linked: Sequence[Linked], access: Access, wanted: Wanted) -> Access:
    """`access` that trusts the folders of the granules' files and knows their https forms.

    Errors as `Wanted.of`. **Reads:** nothing.
    """
    folders = {f"{url.rpartition('/')[0]}/" for own in linked for url in wanted.of(own)}
    access = access.recording(tuple(sorted(folders)))
    for own in linked[:_MOST_TAUGHT]:
        https, direct = data_hrefs(own.links)
        endpoint = credentials_endpoint(own.links)
        access = access.recording((*https, *direct), None, endpoint, learn_twins(https, direct))
    return access


def files_of_stac(href: str, services: Services, wanted: Wanted) -> list[GranuleFile]:
    """The data files of a STAC catalogue, collection, item or item collection.

    Raises
    ------
    StoreError
        It is no STAC, or an item names no file, or several.
    NoDataError
        It holds no item.
    ForbiddenError, UpstreamError
        It cannot be read.

    **Reads:** metadata.
    """
    from harmony_vds.dmrpp_sidecars import with_sidecars

    found = []
    for place, item in _items(href, services.access):
        told = item.get("properties", {})
        links = _asset_urls(item, place)
        fitting = [own for own in links if wanted.fits(own)]
        names = {file_name(own) for own in fitting}
        if len(names) != 1:
            raise StoreError(
                f"The item {item.get('id')} has {len(names)} data files; say which one is meant by "
                "a pattern of its name (--file)."
            )
        start = told.get("start_datetime") or told.get("datetime")
        moment = (
            None
            if start is None
            else parse_moment(f"The datetime of the item {item.get('id')}", start)
        )
        by_scheme = {urlsplit(own).scheme: own for own in reversed(fitting)}
        read = by_scheme.get("file") or by_scheme.get("https") or fitting[0]
        published = by_scheme.get("s3", read) if wanted.direct else read
        found.append((read, "" if published == read else published, moment))
    if not found:
        raise NoDataError(f"{href} holds no item.")
    folders = {f"{read.rpartition('/')[0]}/" for read, _, _ in found}
    worker = services.access.recording(tuple(sorted(folders))).for_worker()
    files = [
        GranuleFile(read, published, moment, access=None if read.startswith("file:") else worker)
        for read, published, moment in found
    ]
    return with_sidecars(files, services.access)


def _items(href: str, access: Access) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every item below a STAC document, with the document's URL."""
    waiting, seen = [href], set()
    while waiting:
        place = waiting.pop(0)
        if place in seen:
            continue
        seen.add(place)
        if len(seen) > _MOST_ITEMS:
            raise RequestError(f"{href} leads to more than {_MOST_ITEMS:,} documents.")
        told = _document(place, access)
        match told.get("type"):
            case "Feature":
                yield place, told
            case "FeatureCollection":
                yield from ((place, own) for own in told.get("features", ()))
                waiting += _linked(told, place, {"next"})
            case "Catalog" | "Collection":
                waiting += _linked(told, place, {"item", "child"})
            case other:
                raise StoreError(f"{place} is no STAC document: its type is {other!r}.")


def _linked(told: Mapping[str, Any], place: str, kinds: set[str]) -> list[str]:
    return [
        _joined(place, str(own["href"])) for own in told.get("links", ())
        if own.get("rel") in kinds and "href" in own
    ]  # fmt: skip


def _asset_urls(item: Mapping[str, Any], place: str) -> list[str]:
    return [_joined(place, str(own["href"])) for own in item.get("assets", {}).values()]


def _joined(place: str, href: str) -> str:
    if "://" in href:
        return href
    if href.startswith("/") and place.startswith("file:"):
        return Path(href).as_uri()
    return str(URL(place).join(URL(href)))


def _document(href: str, access: Access) -> Mapping[str, Any]:
    received = run(access.fetcher.fetch_whole(href, _CATALOGUE_LIMIT))
    try:
        told: Mapping[str, Any] = json.loads(received.body)
    except ValueError as error:
        raise StoreError(f"{href} is not JSON: {error}.") from None
    if not isinstance(told, Mapping):
        raise StoreError(f"{href} is no STAC document.")
    return told
