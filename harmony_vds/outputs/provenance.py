"""What an output says about itself: history, coverage, and what was missing.

``history`` gains one line and ``history_json`` one entry, as Harmony's services write them; the
ACDD coverage attributes are recomputed for what was kept.
"""

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from harmony_vds import __version__
from harmony_vds.model.extent import TimeRange
from harmony_vds.model.plan import Plan
from harmony_vds.outputs.recipe import recipe

PROGRAM = "harmony-vds"
HISTORY_SCHEMA = "https://harmony.earthdata.nasa.gov/schemas/history/0.1.0/history-v0.1.0.json"
# Without a granule query, what a request may have said of granules never reaches the service.
_SCOPE = "Answered from the virtual store of the whole collection."
_SELECTED = "Answered for the selected granules, from the virtual store that holds them."
# GHRSST's names for what ACDD calls geospatial_* and time_coverage_*.
_GHRSST_EDGES = {
    "westernmost_longitude": "geospatial_lon_min",
    "easternmost_longitude": "geospatial_lon_max",
    "southernmost_latitude": "geospatial_lat_min",
    "northernmost_latitude": "geospatial_lat_max",
}


def now() -> datetime:
    """The moment written into outputs; ``SOURCE_DATE_EPOCH`` pins it for repeatable bytes.

    **Reads:** nothing.
    """
    pinned = os.environ.get("SOURCE_DATE_EPOCH")
    return datetime.fromtimestamp(int(pinned), UTC) if pinned else datetime.now(UTC)


def global_attributes(source: Mapping[str, Any], plan: Plan) -> dict[str, Any]:
    """The root attributes of an output: those of the store, brought up to date.

    **Reads:** nothing.
    """
    moment = now().strftime("%Y-%m-%dT%H:%M:%SZ")
    updated = dict(source)
    updated["history"] = _history_line(source.get("history"), moment, plan)
    updated["history_json"] = _history_json(source.get("history_json"), moment, plan)
    updated["date_modified"] = moment
    updated.update(_spatial_coverage(source, plan))
    updated.update(_temporal_coverage(source, plan.coverage))
    stores = [own.location for own in (plan, *plan.beside)]
    updated["virtual_store"] = " ".join(own.shown for own in stores)
    if any(own.members for own in stores):
        updated["virtual_store_members"] = " ".join(url for own in stores for url in own.origins)
    if any(own.snapshot for own in stores):
        updated["virtual_store_snapshot"] = " ".join(own.snapshot or "-" for own in stores)
    updated["virtual_store_missing_chunks"] = plan.cost.missing
    updated["virtual_store_recipe"] = recipe(plan)
    scope = _SELECTED if "granules" in plan.asked else _SCOPE
    remarks = [scope, *plan.notes, *_missing_remark(plan)]
    updated["virtual_store_notes"] = " ".join(remarks)
    return updated


def _missing_remark(plan: Plan) -> list[str]:
    missing, chunks = plan.cost.missing, plan.cost.chunks
    told = f"{missing} of the {chunks} chunks read are not in the manifest and hold fill values."
    return [told] if missing else []


def _history_line(existing: object, moment: str, plan: Plan) -> str:
    asked = ", ".join(f"{key}={_short(value)}" for key, value in plan.asked.items())
    line = f"{moment} {PROGRAM} {__version__} ({asked})"
    return f"{existing}\n{line}" if existing else line


def _short(value: object) -> str:
    if isinstance(value, Mapping):  # a shape, whose own text is in history_json
        return " ".join(f"{key} {_short(own)}" for key, own in value.items() if key != "geojson")
    if isinstance(value, list):
        return ",".join(map(_short, value))
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def _history_json(existing: object, moment: str, plan: Plan) -> str:
    """The history of the source, with what this service has done as its last entry."""
    try:
        entries = json.loads(str(existing)) if existing else []
    except ValueError:
        entries = []
    entries = entries if isinstance(entries, list) else [entries]
    entries.append(
        {
            "$schema": HISTORY_SCHEMA,
            "date_time": moment,
            "program": PROGRAM,
            "version": __version__,
            "parameters": {
                **plan.asked,
                "snapshot": plan.location.snapshot,
                "store": {
                    "href": plan.location.shown,
                    "kind": str(plan.location.kind),
                    "group": plan.location.group,
                    "snapshot": plan.location.snapshot,
                },
                "request": dict(plan.record),
            },
            "derived_from": [url for own in (plan, *plan.beside) for url in own.location.origins],
        }
    )
    return json.dumps(entries)


def _spatial_coverage(source: Mapping[str, Any], plan: Plan) -> dict[str, Any]:
    """Attributes of the box that is covered, in the spellings that the source uses."""
    box = plan.bbox()
    if box is None:
        return {}
    coverage: dict[str, Any] = {
        "geospatial_lat_min": box.south,
        "geospatial_lat_max": box.north,
        "geospatial_lon_min": box.west,
        "geospatial_lon_max": box.east,
    }
    for name, acdd in _GHRSST_EDGES.items():
        if name in source:
            coverage[name] = coverage[acdd]
    if "geospatial_bounds" in source:
        w, s, e, n = box.west, box.south, box.east, box.north
        coverage["geospatial_bounds"] = f"POLYGON (({s} {w}, {s} {e}, {n} {e}, {n} {w}, {s} {w}))"
    return coverage


def _temporal_coverage(source: Mapping[str, Any], covered: TimeRange | None) -> dict[str, Any]:
    if covered is None or covered.start is None or covered.end is None:
        return {}
    start, end = (moment.strftime("%Y-%m-%dT%H:%M:%SZ") for moment in (covered.start, covered.end))
    coverage = {"time_coverage_start": start, "time_coverage_end": end}
    for name, value in (("start_time", start), ("stop_time", end)):
        if name in source:  # GHRSST writes 20241011T000000Z
            coverage[name] = value.replace("-", "").replace(":", "")
    if "time_coverage_duration" in source:
        seconds = int((covered.end - covered.start).total_seconds())
        coverage["time_coverage_duration"] = f"PT{seconds}S"
    return coverage
