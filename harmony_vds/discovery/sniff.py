"""Tells the form of a chunk manifest by looking at it: CMR has no keyword for it."""

from urllib.parse import urlsplit

from harmony_vds.access.fetch import Fetcher
from harmony_vds.access.loop import run
from harmony_vds.errors import ForbiddenError, MissingSourceError, NoStoreError, VdsError
from harmony_vds.model.store import ManifestFormat

_OTHER_FORMS = {
    ".parq": "kerchunk Parquet",
    ".parquet": "kerchunk Parquet",
    ".dmrpp": "DMR++",
    ".zarr": "native Zarr",
    ".gz": "gzipped kerchunk JSON",
}


def sniff(href: str, fetcher: Fetcher) -> ManifestFormat:
    """The form of the manifest at `href`.

    Raises
    ------
    NoStoreError
        There is a place, but no manifest of a form that can be opened.
    StoreError, ForbiddenError, UpstreamError
        The place cannot be read.

    **Reads:** metadata.
    """
    path = urlsplit(href).path
    for ending, form in _OTHER_FORMS.items():
        if path.endswith(ending):
            raise NoStoreError(f"{href} is {form}, which this service does not open.")
    if path.endswith(".json"):
        return ManifestFormat.KERCHUNK_JSON
    # icechunk repositories: spec v2 has an object `repo`, v1 a reference of its main branch.
    refusal: VdsError | None = None
    for marker in ("repo", "refs/branch.main/ref.json"):
        try:
            run(fetcher.fetch_range(f"{href}/{marker}", 0, 1))
        except MissingSourceError:
            continue
        except ForbiddenError as error:
            refusal = refusal or error  # a bucket that may not be listed refuses what is not there
        else:
            return ManifestFormat.ICECHUNK
    raise refusal or NoStoreError(
        f"{href} holds no icechunk repository (neither `repo` nor `refs/branch.main/ref.json` is "
        "there) and is no `.json` reference file. If it is a folder of several stores, publish "
        "each by its own address."
    )
