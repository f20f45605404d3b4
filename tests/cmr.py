"""CMR's searches over a handful of records: what a stand-in for CMR answers with."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

type Item = dict[str, Any]

_PATHS = {
    "/search/collections.umm_json": "C",
    "/search/granules.umm_json": "G",
    "/search/variables.umm_json_v1_9_0": "V",
    "/search/services.umm_json_v1_5_4": "S",
    "/search/grids.umm_json": "GRD",
}
_PARAMETERS = {
    "C": {"concept_id", "short_name", "version", "doi", "page_size"},
    "G": {"concept_id", "collection_concept_id", "granule_ur", "bounding_box",
          "options[bounding_box][or]", "point", "temporal", "created_at", "revision_date",
          "page_size", "sort_key"},
    "V": {"concept_id", "page_size"},
    "S": {"concept_id", "page_size"},
    "GRD": {"concept_id", "page_size"},
}  # fmt: skip


@dataclass
class Page:
    """One answer."""

    items: list[Item]
    hits: int
    following: str | None


def search(
    path: str, query: Sequence[tuple[str, str]], after: str | None, known: Sequence[Item]
) -> Page:
    """CMR's answer to `query`; a LookupError is its 404, a ValueError its 400."""
    if path not in _PATHS:
        raise LookupError("Not Found")
    letter = _PATHS[path]
    asked: dict[str, list[str]] = {}
    for key, value in query:
        asked.setdefault(key.removesuffix("[]"), []).append(value)
    for key in asked:
        if key not in _PARAMETERS[letter]:
            raise ValueError(f"Parameter [{key}] was not recognized.")
    of_kind = re.compile(rf"{letter}\d")
    found = [own for own in known if of_kind.match(own["meta"]["concept-id"])]
    found = [own for own in found if _matches(own, asked)]
    if letter == "G" and "sort_key" in asked:
        found.sort(key=lambda own: own["umm"]["GranuleUR"])
    size = int(asked.get("page_size", ["10"])[0])
    if not 0 <= size <= 2000:
        raise ValueError("page_size must be a number between 0 and 2000")
    start = 0 if after is None else json.loads(after)[0]
    page = found[start : start + size]
    # CMR names a following page whenever this one was full, though it may turn out empty.
    following = json.dumps([start + size]) if len(page) == size else None
    return Page(page, len(found), following)


def _matches(item: Item, asked: dict[str, list[str]]) -> bool:
    meta, umm = item["meta"], item["umm"]
    plain = (
        ("concept_id", meta["concept-id"]),
        ("collection_concept_id", meta.get("collection-concept-id")),
        ("short_name", umm.get("ShortName")),
        ("version", umm.get("Version")),
        ("doi", (umm.get("DOI") or {}).get("DOI")),
        ("granule_ur", umm.get("GranuleUR")),
    )
    if any(key in asked and value not in asked[key] for key, value in plain):
        return False
    boxes = [[*map(float, text.split(","))] for text in asked.get("bounding_box", [])]
    either = any if asked.get("options[bounding_box][or]") == ["true"] else all
    if boxes and not either([_meets(umm, *box) for box in boxes]):
        return False
    for text in asked.get("point", []):
        x, y = map(float, text.split(","))
        if not _meets(umm, x, y, x, y):
            return False
    for parameter, kind in (("created_at", "Insert"), ("revision_date", "Update")):
        if not all(_provided(umm, kind, text) for text in asked.get(parameter, [])):
            return False
    return all(_during(umm, text) for text in asked.get("temporal", []))


def _provided(umm: Item, kind: str, text: str) -> bool:
    """Whether a record came in, or was revised last, at or after the instant before the comma."""
    dates = {own["Type"]: own["Date"] for own in umm["ProviderDates"]}
    since, told = _instant(text.partition(",")[0]), _instant(dates.get(kind, dates["Insert"]))
    return since is None or (told is not None and told >= since)


def _meets(umm: Item, west: float, south: float, east: float, north: float) -> bool:
    if not (-180 <= west <= 180 and -180 <= east <= 180 and -90 <= south <= north <= 90):
        raise ValueError(f"[{west},{south},{east},{north}] is not a valid bounding box")
    geometry = umm["SpatialExtent"]["HorizontalSpatialDomain"]["Geometry"]
    for box in geometry["BoundingRectangles"]:
        left, right = box["WestBoundingCoordinate"], box["EastBoundingCoordinate"]
        bottom, top = box["SouthBoundingCoordinate"], box["NorthBoundingCoordinate"]
        spans = [(west, east)] if west <= east else [(west, 180.0), (-180.0, east)]
        across = any(start <= right and end >= left for start, end in spans)
        if across and south <= top and north >= bottom:
            return True
    return False


def _during(umm: Item, text: str) -> bool:
    start, end = (_instant(side) for side in text.split(","))
    told = umm["TemporalExtent"]["RangeDateTime"]
    begin, finish = _instant(told["BeginningDateTime"]), _instant(told["EndingDateTime"])
    assert begin is not None
    assert finish is not None
    return (start is None or finish >= start) and (end is None or begin <= end)


def _instant(text: str) -> datetime | None:
    return datetime.fromisoformat(text).astimezone(UTC) if text else None
