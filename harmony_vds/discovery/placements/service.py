"""Stores that the record of an associated service (UMM-S) names."""

from collections.abc import Iterator, Mapping
from typing import Any

from harmony_vds.discovery.links import Link, links_of, stores_among

type Umm = Mapping[str, Any]


def service_links(umm: Umm) -> tuple[Link, ...]:
    """The stores among ``RelatedURLs``, the service's own URL and its connect points.

    The URL of a service is where it answers, and is a store only where it is written as one, or
    where the operation says that what it couples is ``Virtual``. **Reads:** nothing.
    """
    name = f"UMM-S {umm.get('Name')}"
    own = umm.get("URL")
    address = own.get("URLValue") if isinstance(own, Mapping) else None
    virtual = any(_is_virtual(operation) for operation in _operations(umm))
    points = [{"URL": address or "", "Subtype": "VIRTUAL COLLECTION" if virtual else ""}]
    for operation in _operations(umm):
        point = operation.get("ConnectPoint")
        if isinstance(point, Mapping):
            marker = "VIRTUAL COLLECTION" if _is_virtual(operation) else ""
            points.append({"URL": point.get("ResourceLinkage") or "", "Subtype": marker})
    return stores_among(
        (
            *links_of(umm.get("RelatedURLs"), f"{name} RelatedURLs"),
            *links_of(points[1:], f"{name} ConnectPoint"),
            *links_of(points[:1], f"{name} URL"),
        )
    )


def _operations(umm: Umm) -> Iterator[Mapping[str, Any]]:
    for operation in umm.get("OperationMetadata") or ():
        if isinstance(operation, Mapping):
            yield operation


def _is_virtual(operation: Mapping[str, Any]) -> bool:
    coupled = operation.get("CoupledResource")
    resource = coupled.get("DataResource") if isinstance(coupled, Mapping) else None
    kind = resource.get("DataResourceSourceType") if isinstance(resource, Mapping) else ""
    return str(kind).strip().upper() == "VIRTUAL"
