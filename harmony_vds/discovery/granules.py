"""Asks CMR for granules: those that were selected, or those that a request's region meets."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from harmony_vds.discovery.cmr import CmrClient, Record
from harmony_vds.discovery.nearby import boxes_around, meets_shape
from harmony_vds.discovery.shares import Linked
from harmony_vds.errors import NoDataError, TooLargeError
from harmony_vds.model.extent import BoundingBox
from harmony_vds.model.request import Granule, Request
from harmony_vds.model.shape import Shape

_MOST_GRANULES = 20_000
"""Granules looked through for the frames of one request."""
_MOST_SHOWN = 4


@dataclass(frozen=True)
class GranuleSearch:
    """Granules by CMR, with their links."""

    cmr: CmrClient
    """Whom to ask."""
    request: Request
    """Its box, point and time limit the search."""
    most: int
    """Stores from which one request may be answered."""

    def selected(self, granules: Sequence[Granule]) -> list[Linked]:
        """`granules` with the links of their records beside those that arrived.

        Granules whose id is not known keep what arrived. **Reads:** metadata.
        """
        ids = [own.concept_id for own in granules if own.concept_id]
        records = {own.concept_id: own for own in self.cmr.granules_by_id(ids)}
        return [_completed(own, records[own.concept_id]) if own.concept_id in records
                else Linked.of_item(own) for own in granules]  # fmt: skip

    def first(self, collection: str) -> Linked | None:
        """Any one granule of a collection, to see how its granules name stores.

        **Reads:** metadata.
        """
        found = self.cmr.granules({"collection_concept_id": collection}, page_size=1)
        record = next(found, None)
        return None if record is None else Linked.of_record(record)

    def frames(self, collection: str) -> list[Linked]:
        """One granule for each distinct store that the request's region meets.

        Raises
        ------
        TooLargeError
            There are more than may answer one request; the text names some, and how to narrow.
        NoDataError
            No granule meets the box and time.

        **Reads:** metadata.
        """
        kept: dict[object, Linked] = {}
        query = {"collection_concept_id": collection, **region_query(self.request)}
        seen = missed = 0
        for record in self.cmr.granules(query):
            seen += 1
            own = Linked.of_record(record)
            if not meets_shape(own.granule.bbox, self.request.shape):
                missed += 1
                continue
            shared = [candidate for candidate in own.stores if not candidate.granule]
            found = shared or own.stores or own.sidecars
            if found:
                kept.setdefault(found[0].store, own)
            if len(kept) > self.most or seen > _MOST_GRANULES:
                raise self._too_many(list(kept.values()), collection)
        if missed == seen:
            raise NoDataError(
                f"No granule of {collection} meets {_region_words(self.request)}, and its stores "
                "are those of its granules."
            )
        return list(kept.values())

    def _too_many(self, kept: Sequence[Linked], collection: str) -> TooLargeError:
        names = [store_name(own)[:60] for own in kept[:_MOST_SHOWN]]
        return TooLargeError(
            f"The request meets more than {self.most} stores of {collection}, which has one for "
            f"each granule or frame ({', '.join(names)}, …), and one request may be answered from "
            f"{self.most} (HARMONY_VDS_MAX_STORES). Ask for a smaller box or a shorter time range."
        )


def store_name(own: Linked) -> str:
    """The name of the store that a granule names first: its frame's, or its own.

    **Reads:** nothing.
    """
    shared = [candidate for candidate in own.stores if not candidate.granule]
    found = shared or own.stores or own.sidecars
    return found[0].name if found else own.granule.name


def _completed(granule: Granule, record: Record) -> Linked:
    """`granule` as it arrived, and what its record adds."""
    told = Linked.of_record(record)
    known = replace(
        granule,
        name=granule.name or told.granule.name,
        temporal=granule.temporal or told.granule.temporal,
        bbox=granule.bbox or told.granule.bbox,
    )
    return Linked(known, (*told.links, *Linked.of_item(known).links))


def region_query(request: Request) -> dict[str, str | Sequence[str]]:
    """The box, places, shape and time of `request` as CMR's search parameters.

    A shape is asked for by boxes around its parts, whose edges mean the same in every collection;
    CMR's polygons have edges along great circles, or not. **Reads:** nothing.
    """
    query: dict[str, str | Sequence[str]] = {}
    places = [*((own.longitude, own.latitude) for own in request.places), *request.line]
    longitudes, latitudes = [_turned(x) for x, _ in places], [y for _, y in places]
    if len(longitudes) == 1:
        query["point"] = f"{longitudes[0]:g},{latitudes[0]:g}"
    elif longitudes:
        around = BoundingBox(min(longitudes), min(latitudes), max(longitudes), max(latitudes))
        query["bounding_box"] = _box_words(around)
    elif request.bbox is not None:
        query["bounding_box"] = _box_words(request.bbox)
    elif isinstance(request.shape, Shape):
        query["bounding_box[]"] = [_box_words(own) for own in boxes_around(request.shape)]
        query["options[bounding_box][or]"] = "true"
    wanted = request.temporal
    if wanted is not None:
        query["temporal"] = f"{_instant(wanted.start)},{_instant(wanted.end)}"
    return query


def _instant(moment: datetime | None) -> str:
    return "" if moment is None else moment.isoformat().replace("+00:00", "Z")


def _box_words(box: BoundingBox) -> str:
    """A box as CMR wants it: longitudes from -180 to 180, west > east across the antimeridian."""
    south, north = max(box.south, -90.0), min(box.north, 90.0)
    west, east = (-180.0, 180.0) if box.width >= 360 else (_turned(box.west), _turned(box.east))
    if east == -180.0 and west != -180.0:
        east = 180.0
    return ",".join(f"{round(edge, 9):.10g}" for edge in (west, south, east, north))


def _turned(longitude: float) -> float:
    inside = -180.0 <= longitude <= 180.0
    return longitude if inside else (longitude + 180.0) % 360.0 - 180.0


def _region_words(request: Request) -> str:
    parts = [f"the box {request.bbox}"] if request.bbox else []
    parts += ["the shape"] if request.shape is not None else []
    parts += [f"the time range {request.temporal}"] if request.temporal else []
    return " and ".join(parts) or "the request"
