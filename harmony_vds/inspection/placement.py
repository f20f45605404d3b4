"""How a collection's record names a store: what is wrong with that, and the entry that names it."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from harmony_vds.discovery.candidates import candidates_of, ranked
from harmony_vds.discovery.placements.collection import collection_links
from harmony_vds.errors import UntrustedError, VdsError
from harmony_vds.inspection.findings import Finding, Severity
from harmony_vds.model.store import ManifestFormat, VirtualStore
from harmony_vds.planning.hierarchy import Hierarchy

_RECORD = "UMM-C"
_MOST_SOURCES = 40
_MARK = {"URLContentType": "DistributionURL", "Type": "GET DATA", "Subtype": "VIRTUAL COLLECTION"}
_CALLED = {
    ManifestFormat.ICECHUNK: "icechunk repository",
    ManifestFormat.KERCHUNK_JSON: "kerchunk references (JSON)",
    ManifestFormat.KERCHUNK_PARQUET: "kerchunk references (Parquet)",
    ManifestFormat.ZARR: "Zarr store",
}


def related_url(href: str, kind: ManifestFormat) -> dict[str, str]:
    """The entry of ``RelatedUrls`` (UMM-C 1.18) that names a store. **Reads:** nothing."""
    described = f"Virtual data set reference: {_CALLED.get(kind, 'virtual store')}"
    return {"URL": href, **_MARK, "Description": described}


def misplaced(umm: Mapping[str, Any], href: str) -> Iterator[Finding]:
    """What is wrong with how a collection's record names the store at `href`.

    **Reads:** nothing.
    """
    entries = [own for own in umm.get("RelatedUrls") or () if isinstance(own, Mapping)]
    naming = [own for own in entries if _same(str(own.get("URL", "")), href)]
    if not naming:
        yield Finding(Severity.ERROR, _RECORD, "none of its RelatedUrls names this store")
        return
    for name, value in _MARK.items():
        if not any(own.get(name) == value for own in naming):
            told = naming[0].get(name) or "nothing"
            yield Finding(
                Severity.WARNING, _RECORD,
                f"the entry of this store says {told} for {name}, where {value} is understood",
            )  # fmt: skip
    best = ranked(candidates_of(collection_links(umm)))
    if best and not any(_same(own.href, href) for own in best[0]):
        yield Finding(
            Severity.WARNING, _RECORD,
            f"requests are answered from {best[0][0].href}, which it names too and which comes "
            "before this store",
        )  # fmt: skip


def unreachable(store: VirtualStore, check: Callable[[str], object]) -> Iterator[Finding]:
    """Places to which references lead and which services may not read.

    Parameters
    ----------
    store
        The open store.
    check
        Raises UntrustedError for a URL that may not be read, by the record and the shipped list.

    **Reads:** metadata.
    """
    seen: set[str] = set()
    for path in Hierarchy(store).variables:
        try:
            locations = store.chunk_index(path).locations
        except VdsError:
            continue
        for url in dict.fromkeys((*locations[:1], *locations[-1:])):
            folder = url.rpartition("/")[0]
            if folder in seen or len(seen) >= _MOST_SOURCES:
                continue
            seen.add(folder)
            try:
                check(url)
            except UntrustedError as error:
                yield Finding(Severity.ERROR, path, f"its references lead astray: {error}")


def _same(one: str, other: str) -> bool:
    plain = [
        own.strip().removeprefix("icechunk+").partition("|")[0].rstrip("/") for own in (one, other)
    ]
    return plain[0] == plain[1]
