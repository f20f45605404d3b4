"""Stores that records of single variables (UMM-Var) name."""

from collections.abc import Mapping
from typing import Any

from harmony_vds.discovery.links import Link, links_of, stores_among

type Umm = Mapping[str, Any]


def instance_link(umm: Umm) -> Link | None:
    """The store in which a variable has been put by itself: ``InstanceInformation``.

    **Reads:** nothing.
    """
    told = umm.get("InstanceInformation")
    if not isinstance(told, Mapping):
        return None
    entry = {**told, "Subtype": "VIRTUAL COLLECTION"}  # that it is a store is what the field says
    found = stores_among(links_of([entry], f"UMM-Var {umm.get('Name')} InstanceInformation"))
    return found[0] if found else None


def related_links(entries: object, name: str) -> tuple[Link, ...]:
    """The stores among a variable's related URLs, of its record or as a message brings them.

    **Reads:** nothing.
    """
    return stores_among(links_of(entries, f"UMM-Var {name} RelatedURLs"))


def direct_distribution(umm: Umm) -> Mapping[str, Any]:
    """``DirectDistributionInformation`` of a variable's own store. **Reads:** nothing."""
    instance = umm.get("InstanceInformation")
    told = instance.get("DirectDistributionInformation") if isinstance(instance, Mapping) else None
    return told if isinstance(told, Mapping) else {}
