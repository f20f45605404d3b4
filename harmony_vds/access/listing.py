"""Names below a place, where it can tell: folders and buckets can, web servers cannot."""

import asyncio
import os

import obstore
from obstore.exceptions import BaseError

from harmony_vds.access.fetch import Fetcher
from harmony_vds.access.trust import Address

MOST_NAMES = 10_000
"""Names beyond which a listing is cut off."""


async def names_below(url: str, fetcher: Fetcher) -> tuple[str, ...] | None:
    """Names directly below `url`, those of folders with a slash; None where it cannot be listed.

    Buckets are listed anonymously: temporary credentials do not allow it.

    To be awaited on the network loop.

    Raises
    ------
    UntrustedError
        The address may not be read.

    **Reads:** metadata.
    """
    address = fetcher.trust.check(url)
    if address.scheme == "file":
        return await asyncio.to_thread(_folder, address)
    if address.scheme != "s3":
        return None
    store = fetcher.s3.client.bucket(address.host, fetcher.buckets.region)
    prefix = f"{address.path.strip('/')}/".lstrip("/")
    try:
        found = await obstore.list_with_delimiter_async(store, prefix or None)
    except BaseError:  # listing is a permission of its own
        return None
    folders = [f"{own.rstrip('/').removeprefix(prefix)}/" for own in found["common_prefixes"]]
    objects = [str(own["path"]).removeprefix(prefix) for own in found["objects"]]
    return tuple(sorted([*folders, *objects])[:MOST_NAMES])


def _folder(address: Address) -> tuple[str, ...] | None:
    try:
        with os.scandir(address.path) as entries:
            names = [f"{own.name}/" if own.is_dir() else own.name for own in entries]
    except OSError:
        return None
    return tuple(sorted(names)[:MOST_NAMES])
