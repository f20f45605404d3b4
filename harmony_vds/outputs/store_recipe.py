"""Lines of Python that open a store by plain xarray, with nothing decoded."""

from collections.abc import Iterable
from urllib.parse import urlsplit

from harmony_vds.model.paths import group_of, join, name_of
from harmony_vds.model.plan import Plan
from harmony_vds.model.store import ManifestFormat, StoreLocation

_RAW = "mask_and_scale=False, decode_times=False, decode_coords=False"


def opened(location: StoreLocation, group: str) -> list[str]:
    """Lines that open a group of a store as ``stored``. **Reads:** nothing."""
    return [*_begun(location), *group_opened(location, group, "stored")]


def are_found(plan: Plan, group: str, paths: Iterable[str]) -> bool:
    """Whether a recipe can take variables from the store beside those of `group`, by their names.

    **Reads:** nothing.
    """
    taken = {own.path for own in plan.variables if group_of(own.path) == group}
    added = {own.path for own in plan.variables if own.is_added}
    return all(
        path and path not in added and join(group, name_of(path)) not in taken - {path}
        for path in paths
    )


def _begun(location: StoreLocation) -> list[str]:
    """Lines before the first group is opened."""
    match location.kind:
        case ManifestFormat.ICECHUNK:
            return _icechunk(location.href, location.region, location.snapshot)
        case ManifestFormat.KERCHUNK_JSON | ManifestFormat.KERCHUNK_PARQUET:
            return [
                "import xarray as xr",
                "",
                "# s3 and https need remote_options and remote_protocol in storage_options;",
                "# earthaccess.get_s3fs_session and get_fsspec_https_session know both.",
            ]
        case ManifestFormat.ZARR:
            return ["import xarray as xr", ""]
        case ManifestFormat.GRANULES:
            return [
                "import xarray as xr  # and harmony_vds, which has the engine",
                "",
                "# No store is published: harmony-vds virtualize writes one of the granules that",
                "# virtual_store_members names.",
            ]
        case _:
            return ["import xarray as xr  # and harmony_vds, which has the engine", ""]


def group_opened(location: StoreLocation, group: str, name: str) -> list[str]:
    """Lines that open a group of the same store as `name`. **Reads:** nothing."""
    place = "/".join(part for part in (location.group.strip("/"), group.strip("/")) if part)
    named = f", group={place!r}" if place else ""
    match location.kind:
        case ManifestFormat.ICECHUNK:
            return [
                f"{name} = xr.open_zarr(session.store, consolidated=False{named}, chunks=None,",
                f"    {_RAW})",
            ]
        case ManifestFormat.KERCHUNK_JSON | ManifestFormat.KERCHUNK_PARQUET:
            return [
                f"{name} = xr.open_dataset({_plain(location.shown)!r}, engine='kerchunk',",
                "    open_dataset_options={'chunks': None"
                + (f", 'group': {place!r}" if place else "")
                + f", {_as_items(_RAW)}}})",
            ]
        case ManifestFormat.ZARR:
            href = _plain(location.shown)
            return [f"{name} = xr.open_zarr({href!r}{named}, chunks=None, {_RAW})"]
        case ManifestFormat.GRANULES:
            return [
                f"{name} = xr.open_dataset('store.icechunk', engine='vds'{named},",
                f"    {_RAW})",
            ]
        case _:
            return [
                f"{name} = xr.open_dataset({location.shown!r}, engine='vds'{named},",
                f"    {_RAW})",
            ]


def _icechunk(href: str, region: str | None, snapshot: str | None) -> list[str]:
    parts = urlsplit(href)
    if parts.scheme == "s3":
        told = f", region={region!r}" if region else ""
        storage = (
            f"icechunk.s3_storage(bucket={parts.netloc!r}, prefix={parts.path.strip('/')!r}{told}, "
            "from_env=True)"
        )
    elif parts.scheme == "file":
        storage = f"icechunk.local_filesystem_storage({parts.path!r})"
    else:
        storage = f"icechunk.http_storage({href!r})"
    return [
        "import icechunk",
        "import xarray as xr",
        "",
        f"storage = {storage}",
        "containers = icechunk.Repository.fetch_config(storage).virtual_chunk_containers",
        "# Keys for protected s3 buckets: earthaccess.get_s3_credentials",
        "ways = {'file': icechunk.Credentials.LocalFileSystemAccess,",
        "        's3': icechunk.s3_from_env_credentials, 'http': icechunk.Credentials.HttpAccess,",
        "        'https': icechunk.Credentials.HttpAccess}",
        "allowed = icechunk.containers_credentials(",
        "    {prefix: ways[prefix.partition(':')[0]]() for prefix in containers})",
        "repository = icechunk.Repository.open(storage, authorize_virtual_chunk_access=allowed)",
        f"session = repository.readonly_session(snapshot_id={snapshot!r})",
    ]


def _plain(href: str) -> str:
    """A path in place of a file's URL, which fsspec and people like better."""
    return href.removeprefix("file://")


def _as_items(arguments: str) -> str:
    """Keyword arguments as the members of a dictionary."""
    pairs = (own.split("=") for own in arguments.split(", "))
    return ", ".join(f"{name!r}: {value}" for name, value in pairs)
