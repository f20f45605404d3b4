"""Stores that records of granules (UMM-G) and STAC items of granules name."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from harmony_vds.discovery.candidates import Candidate
from harmony_vds.discovery.links import Link, links_of, stores_among
from harmony_vds.discovery.moments import moments_of
from harmony_vds.errors import RequestError
from harmony_vds.model.extent import BoundingBox, TimeRange
from harmony_vds.model.request import Granule

type Umm = Mapping[str, Any]

_FILE_ENDING = re.compile(r"\.(nc4?|h5|he5|hdf5?|tiff?|grib2?|grb2?)$", re.IGNORECASE)


def granule_links(umm: Umm) -> tuple[Link, ...]:
    """All links of a granule's record. **Reads:** nothing."""
    return links_of(umm.get("RelatedUrls"), f"UMM-G {umm.get('GranuleUR')} RelatedUrls")


def asset_links(granule: Granule) -> tuple[Link, ...]:
    """The assets of a granule's STAC item as links; Harmony passes on ``GET DATA`` ones only.

    **Reads:** nothing.
    """
    assets = [
        {"URL": own.href, "Type": "GET DATA", "MimeType": own.media_type,
         "Description": own.description}
        for own in granule.assets
    ]  # fmt: skip
    return links_of(assets, f"STAC item {granule.name or granule.concept_id} asset")


def store_candidates(links: tuple[Link, ...], name: str) -> tuple[Candidate, ...]:
    """The stores among a granule's `links`, and whether each is the granule's own.

    A store named after the granule, or after one of its files, describes that granule alone;
    another, such as the stack of a frame, describes many.

    **Reads:** nothing.
    """
    endpoint = credentials_endpoint(links)
    files = tuple(
        f"{_FILE_ENDING.sub('', link.name)}." for link in links
        if link.type.startswith("GET DATA") and _FILE_ENDING.search(link.name)
    )  # fmt: skip
    found = []
    for link in stores_among(links):
        own = bool(name) and link.name.startswith((name, *files))
        candidate = replace(Candidate.of_link(link), credentials_endpoint=endpoint)
        found.append(replace(candidate, granule=name if own else ""))
    return tuple(found)


def sidecar_candidates(links: tuple[Link, ...], name: str) -> tuple[Candidate, ...]:
    """The DMR++ sidecars among a granule's `links`, each with the data file it describes.

    A sidecar may lie in a public bucket while the data are protected, so its data file is the
    data link of the same name, and only without one the sidecar's address less its suffix.

    **Reads:** nothing.
    """
    endpoint = credentials_endpoint(links)
    data = [
        link for link in links
        if link.type.startswith("GET DATA") and not link.is_sidecar and not link.is_store
    ]  # fmt: skip
    found = []
    for link in links:
        if not link.is_sidecar:
            continue
        stem = link.name.removesuffix(".dmrpp")
        scheme = link.url.partition(":")[0]
        twins = sorted(
            (own.url for own in data if own.name == stem),
            key=lambda url: url.partition(":")[0] != scheme,
        )
        candidate = replace(
            Candidate.of_link(link), granule=name, credentials_endpoint=endpoint,
            data_href=twins[0] if twins else link.url.removesuffix(".dmrpp"),
        )  # fmt: skip
        found.append(candidate)
    return tuple(found)


def credentials_endpoint(links: tuple[Link, ...]) -> str | None:
    """Where credentials for a granule's bucket come from. **Reads:** nothing."""
    found = (link.url for link in links if link.url.rstrip("/").endswith("/s3credentials"))
    return next(found, None)


def data_hrefs(links: tuple[Link, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The granule's data over https and over S3. **Reads:** nothing."""
    return (
        tuple(own.url for own in links if own.type == "GET DATA"),
        tuple(own.url for own in links if own.type == "GET DATA VIA DIRECT ACCESS"),
    )


def granule_time(umm: Umm) -> TimeRange | None:
    """When the granule's data are of, UTC; None where the record does not say.

    **Reads:** nothing.
    """
    extent = umm.get("TemporalExtent") or {}
    span = extent.get("RangeDateTime") or {}
    begin = moments_of(span.get("BeginningDateTime") or extent.get("SingleDateTime"))
    end = moments_of(span.get("EndingDateTime")) or begin
    return TimeRange(begin[0], max(end[0], begin[0])) if begin else None


def granule_box(umm: Umm) -> BoundingBox | None:
    """Where the granule's data are of; None where the record does not say it in one piece.

    A rectangle stands as it is; of polygons it is the box around all of them, unless they may
    cross the antimeridian.

    **Reads:** nothing.
    """
    try:
        edges = _edges(umm["SpatialExtent"]["HorizontalSpatialDomain"]["Geometry"])
        return BoundingBox(*map(float, edges)) if edges else None
    except (AttributeError, KeyError, TypeError, ValueError, RequestError):
        return None


def _edges(geometry: Umm) -> tuple[float, ...]:
    """West, south, east and north of a geometry in one piece; nothing of any other."""
    rectangles = geometry.get("BoundingRectangles") or []
    points = [
        (float(point["Longitude"]), float(point["Latitude"]))
        for polygon in geometry.get("GPolygons") or []
        for point in polygon["Boundary"]["Points"]
    ]
    if len(rectangles) == 1 and not points:
        sides = ("West", "South", "East", "North")
        return tuple(rectangles[0][f"{side}BoundingCoordinate"] for side in sides)
    if rectangles or not points:
        return ()
    longitudes, latitudes = zip(*points, strict=True)
    if max(longitudes) - min(longitudes) > 180:
        return ()
    return min(longitudes), min(latitudes), max(longitudes), max(latitudes)
