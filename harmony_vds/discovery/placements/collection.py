"""Stores that a collection's record (UMM-C) names, and where else it says to look."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from harmony_vds.discovery.links import Link, links_of, stores_among

type Umm = Mapping[str, Any]


def collection_links(umm: Umm) -> tuple[Link, ...]:
    """The stores among ``RelatedUrls``: by subtype, by format, or by how they are written.

    ``DATA RECIPE`` entries count only where the address is written as a store's. **Reads:**
    nothing.
    """
    return stores_among(links_of(umm.get("RelatedUrls"), "UMM-C RelatedUrls"))


def association_links(meta: Umm) -> tuple[Link, ...]:
    """The stores in the ``data`` that associations of a collection carry with them.

    Whatever a payload is called, a value that is written as a store's address is one; so is any
    address that a key announces as such. **Reads:** nothing.
    """
    found: list[Link] = []
    details = meta.get("association-details")
    for kind, listed in details.items() if isinstance(details, Mapping) else ():
        for number, association in enumerate(listed if isinstance(listed, list) else ()):
            payload = association.get("data") if isinstance(association, Mapping) else None
            found += _announced(payload, f"association-details {kind}[{number}]")
    return tuple(found)


_ANNOUNCING = ("store", "virtual", "zarr", "icechunk", "kerchunk", "manifest", "reference")


def _announced(payload: object, where: str, key: str = "", depth: int = 0) -> Iterator[Link]:
    if depth > 8:  # deeper than any record; a guard against malice
        return
    if isinstance(payload, Mapping):
        for name, value in payload.items():
            yield from _announced(value, where, str(name), depth + 1)
    elif isinstance(payload, list):
        for value in payload:
            yield from _announced(value, where, key, depth + 1)
    elif isinstance(payload, str) and "://" in payload:
        announced = any(word in key.lower() for word in _ANNOUNCING)
        entry = {"URL": payload, "Subtype": "VIRTUAL COLLECTION" if announced else ""}
        yield from stores_among(links_of([entry], f"{where} {key}"))


def associated_ids(meta: Umm, kind: str) -> tuple[str, ...]:
    """Concept ids of the `kind` (``variables``, ``grids``) associated with a collection.

    **Reads:** nothing.
    """
    listed = (meta.get("associations") or {}).get(kind)
    return tuple(str(own) for own in listed or ())


_FRAME_TYPES = {"CHILD", "RELATED", "SCIENCE ASSOCIATED", "DEPENDENT"}
_FRAME_DOI_TYPES = {"CHILD DATASET", "RELATED DATASET"}
_RESOLVER = re.compile(r"^(https?://(dx\.)?doi\.org/|doi:)", re.IGNORECASE)


def associated_collections(umm: Umm) -> tuple[Mapping[str, str], ...]:
    """Searches for collections that may hold this one's frames, each as CMR's parameters.

    ``MetadataAssociations`` names them by short name and version, ``AssociatedDOIs`` by DOI. What
    is an input, a parent, a campaign or another version holds no frames. **Reads:** nothing.
    """
    found = [
        {"short_name": _text(own, "EntryId"), "version": _text(own, "Version")}
        for own in _entries(umm, "MetadataAssociations")
        if _text(own, "Type").upper() in _FRAME_TYPES and _text(own, "EntryId")
    ]
    found += [
        {"doi": _RESOLVER.sub("", _text(own, "DOI"))}
        for own in _entries(umm, "AssociatedDOIs")
        if _text(own, "Type").upper() in _FRAME_DOI_TYPES and _text(own, "DOI")
    ]
    said = [{key: value for key, value in own.items() if value} for own in found]
    return tuple(own for number, own in enumerate(said) if own not in said[:number])


def _entries(umm: Umm, name: str) -> list[Umm]:
    listed = umm.get(name)
    return [own for own in listed if isinstance(own, Mapping)] if isinstance(listed, list) else []


def _text(entry: Umm, name: str) -> str:
    return str(entry.get(name) or "").strip()
