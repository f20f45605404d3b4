"""Tells the form of a chunk manifest by looking at it: CMR has no keyword for it."""

from urllib.parse import urlsplit

from harmony_vds.access.fetch import Fetcher
from harmony_vds.access.listing import names_below
from harmony_vds.access.loop import run
from harmony_vds.errors import (
    ForbiddenError,
    MissingSourceError,
    NoStoreError,
    StoreError,
    VdsError,
)
from harmony_vds.model.listing import listed
from harmony_vds.model.store import ManifestFormat

_ENDINGS = {
    ".dmrpp": ManifestFormat.DMRPP,
    ".json": ManifestFormat.KERCHUNK_JSON,
    ".json.gz": ManifestFormat.KERCHUNK_JSON,
    ".parq": ManifestFormat.KERCHUNK_PARQUET,
    ".parquet": ManifestFormat.KERCHUNK_PARQUET,
    ".zip": ManifestFormat.ZIP,
}
# Objects of a folder that only one form of store has, the cheapest to tell first. icechunk
# repositories of version 2 have an object `repo`, those of version 1 a reference of their branch.
_MARKERS = {
    "repo": ManifestFormat.ICECHUNK,
    "refs/branch.main/ref.json": ManifestFormat.ICECHUNK,
    "zarr.json": ManifestFormat.ZARR,
    ".zmetadata": ManifestFormat.ZARR,
    ".zgroup": ManifestFormat.ZARR,
    ".zarray": ManifestFormat.ZARR,
}
_HEADS = {
    b"\x1f\x8b": ManifestFormat.KERCHUNK_JSON,
    b"{": ManifestFormat.KERCHUNK_JSON,
    b"<": ManifestFormat.DMRPP,
    b"PK": ManifestFormat.ZIP,
}
# Files of data themselves, which people name in place of a store.
_GRANULES = {
    b"\x89H": "a netCDF-4 or HDF5 file", b"CD": "a netCDF-3 file", b"II": "a TIFF",
    b"MM": "a TIFF",
}  # fmt: skip
_GRANULE_ENDINGS = (".nc", ".nc4", ".h5", ".he5", ".hdf5", ".tif", ".tiff")
_BUILD = "`harmony-vds virtualize` makes a store of such files; publish that, and name its address."
_CONSOLIDATED_LIMIT = 256 * 2**20
_MOST_NAMES = 12


def sniff(href: str, fetcher: Fetcher) -> ManifestFormat:
    """The form of the manifest at `href`: by its ending, by what lies below it, by how it begins.

    Raises
    ------
    NoStoreError
        There is a place, but no manifest of a form that can be opened; where the place can be
        listed, the text says what is there instead.
    StoreError, ForbiddenError, UpstreamError
        The place cannot be read.

    **Reads:** metadata.
    """
    path = urlsplit(href).path
    for ending, form in _ENDINGS.items():
        if path.endswith(ending):
            return form
    refusal: VdsError | None = None
    for marker, form in _MARKERS.items():
        try:
            run(fetcher.fetch_range(f"{href}/{marker}", 0, 1))
        except MissingSourceError:
            continue
        except ForbiddenError as error:
            refusal = refusal or error  # a bucket that may not be listed refuses what is not there
        else:
            return _consolidated_form(href, fetcher) if marker == ".zmetadata" else form
    found = _by_head(href, fetcher)
    if found is not None:
        return found
    raise refusal or NoStoreError(_nothing_at(href, fetcher))


def _consolidated_form(href: str, fetcher: Fetcher) -> ManifestFormat:
    """Kerchunk's Parquet has the looks of consolidated Zarr, and a record size."""
    body = run(fetcher.fetch_whole(f"{href}/.zmetadata", _CONSOLIDATED_LIMIT)).body
    return ManifestFormat.KERCHUNK_PARQUET if b'"record_size"' in body else ManifestFormat.ZARR


def _by_head(href: str, fetcher: Fetcher) -> ManifestFormat | None:
    """The form of a file by its first bytes; None where there is no file; raises for a granule."""
    try:
        head = run(fetcher.fetch_range(href, 0, 2)).body
    except (StoreError, ForbiddenError):  # no file, or one too short to be a manifest
        return None
    if head in _GRANULES:
        raise NoStoreError(f"{href} is a granule and no store: {_GRANULES[head]}. {_BUILD}")
    return next((form for start, form in _HEADS.items() if head.startswith(start)), None)


def _nothing_at(href: str, fetcher: Fetcher) -> str:
    """Why there is no store at `href`, and what is below it where that can be listed."""
    names = run(names_below(href, fetcher))
    if names is None and href.startswith("file:"):
        return f"There is nothing at {href}, or it may not be read."
    told = (
        f"{href} holds no store: no icechunk repository (`repo`, `refs/branch.main/ref.json`), no "
        "Zarr (`zarr.json`, `.zmetadata`, `.zgroup`), and is itself no reference file or DMR++."
    )
    if not names:
        return f"{told} Publish the address of the store itself."
    if all(own.lower().endswith(_GRANULE_ENDINGS) for own in names):
        return f"{told} Below it lie granules ({listed(names, 3)}). {_BUILD}"
    return (
        f"{told} Below it lie {listed(names, _MOST_NAMES)}: if one of these is the store, ask for "
        f"{href}/{names[0].rstrip('/')} or the like, and publish each by its own address."
    )
