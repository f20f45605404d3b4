"""Describes staged outputs in STAC, in the form that Harmony turns into links for the user.

Harmony makes a link of every asset, whatever its role, reads only the items of a flat catalogue,
and needs bbox, geometry and both times on each: so one item with one data asset per output, and
other assets only where the operator wants files beside outputs.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from harmony_service_lib.util import bbox_to_geometry
from pystac import Asset, Catalog, Item

from harmony_vds.model.extent import BoundingBox
from harmony_vds.model.plan import Plan
from harmony_vds.staging import StagedOutput

FILE_EXTENSION = "https://stac-extensions.github.io/file/v2.1.0/schema.json"


def output_catalog(
    staged: Sequence[StagedOutput], plans: Sequence[Plan], request_id: str
) -> Catalog:
    """A flat catalogue with one item per output. **Reads:** nothing."""
    catalog = Catalog(
        id=f"harmony-vds-{request_id}", description="Subsets of virtual stores, one item per file"
    )
    for own, plan in zip(staged, plans, strict=True):
        catalog.add_item(output_item(own, plan))
    return catalog


def output_item(staged: StagedOutput, plan: Plan) -> Item:
    """The STAC item of one output. **Reads:** nothing."""
    output = staged.output
    bbox = stac_bbox(output.bbox)
    stem = staged.name.rpartition(".")[0]
    item = Item(
        id=f"{stem}_item" if stem.lower().endswith("catalog") else stem,
        geometry=bbox_to_geometry(bbox),
        bbox=bbox,
        datetime=None,
        start_datetime=_utc(output.temporal.start),
        end_datetime=_utc(output.temporal.end),
        properties={
            "title": output.title,
            "virtual_store:href": plan.location.shown,
            **_members(plan),
            "virtual_store:snapshot": plan.location.snapshot,
            "virtual_store:chunks": plan.cost.chunks,
            "virtual_store:missing_chunks": output.missing,
            "virtual_store:bytes_read": plan.cost.bytes_read,
        },
        stac_extensions=[FILE_EXTENSION],
    )
    asset = Asset(
        href=staged.href,
        title=staged.name,
        media_type=output.media_type,
        roles=["data"],
        # A multihash: 12 is SHA-256, 20 its length in hexadecimal.
        extra_fields={"file:size": output.nbytes, "file:checksum": f"1220{output.checksum}"},
    )
    item.add_asset("data", asset)
    for own in staged.beside:
        is_picture = own.output.media_type.startswith("image/")
        key, role = ("browse", "overview") if is_picture else ("metadata", "metadata")
        media_type = own.output.media_type
        item.add_asset(key, Asset(own.href, own.name, media_type=media_type, roles=[role]))
    return item


def _members(plan: Plan) -> dict[str, list[str]]:
    """The granules of a store that was joined for the request; nothing of any other."""
    location = plan.location
    return {"virtual_store:members": list(location.origins)} if location.members else {}


def stac_bbox(box: BoundingBox) -> list[float]:
    """[west, south, east, north] with longitudes in -180..180; west > east across the antimeridian.

    **Reads:** nothing.

    >>> stac_bbox(BoundingBox(170, -5, 190, 5))
    [170.0, -5.0, -170.0, 5.0]
    """
    if box.width >= 360.0:
        return [-180.0, box.south, 180.0, box.north]
    west, east = _wrapped(box.west), _wrapped(box.east)
    if east == -180.0 and west != -180.0:
        east = 180.0
    return [west, float(box.south), east, float(box.north)]


def _wrapped(longitude: float) -> float:
    inside = -180.0 <= longitude <= 180.0
    return float(longitude if inside else round((longitude + 180.0) % 360.0 - 180.0, 9))


def _utc(moment: datetime | None) -> datetime:
    return moment if moment is not None else datetime.now(UTC)
