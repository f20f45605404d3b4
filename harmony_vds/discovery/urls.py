"""The ways in which addresses of stores are written, taken apart.

Neither CMR nor Zarr has settled on one, so all that are in use are read::

    https://host/store.icechunk                 a plain URL; what it is, is found by looking
    icechunk+s3://bucket/store@branch           as git writes remotes
    s3://bucket/store|icechunk://branch.main/a  a URL pipeline, with version and group
    s3://bucket/store/|icechunk:@tag.v1/|zarr3:a/b
    https://host/store.zip|zip:inner/path
    s3://bucket.s3.us-west-2.amazonaws.com/key  a bucket spelled as its host
"""

import re
from dataclasses import dataclass, replace

from harmony_vds.errors import NoStoreError

_WRAPPED = re.compile(r"(?P<kind>[a-z0-9]+)\+(?P<url>(?:https?|s3|file)://.*)", re.IGNORECASE)
_HOST_OF_BUCKET = re.compile(
    r"s3://(?:(?P<bucket>[^/]+)\.)?s3[.-](?:(?P<region>[a-z]{2}(?:-[a-z]+)+-\d)\.)?amazonaws\.com"
    r"(?=/|$)(?P<key>.*)",
    re.IGNORECASE,
)
_NAMED_VERSION = re.compile(r"(?:branch|tag|as_of)\..+")
_SNAPSHOT = re.compile(r"[0-9A-HJKMNP-TV-Z]{20}")  # Crockford's base 32, as icechunk writes ids
_ZARR = {"zarr", "zarr2", "zarr3"}


@dataclass(frozen=True)
class StoreUrl:
    """An address of a store, taken apart."""

    href: str
    """Plain URL without surrounding blanks and without trailing slash."""
    kind: str = ""
    """What the address says of the form: ``icechunk``, ``kerchunk``, ``zarr``, ``zip``, or nothing;
    only an address can be this sure, so that it is not looked at again."""
    version: str | None = None
    """``branch.main``, ``tag.v1``, ``as_of.<ISO time>`` or a snapshot id of an icechunk repository;
    None where none is named."""
    group: str = ""
    """Path of a group, or inside a zip file; no slash at either end."""
    region: str | None = None
    """AWS region, where the host of a bucket names it."""

    @classmethod
    def of(cls, text: str) -> "StoreUrl":
        """The parts of `text`.

        Raises
        ------
        NoStoreError
            It is written in a way that is not understood; the text says which part.

        **Reads:** nothing.

        >>> StoreUrl.of("icechunk+s3://bucket/store@dev").version
        'branch.dev'
        """
        root, *stages = text.strip().split("|")
        url = _wrapped(root.strip())
        for stage in stages:
            url = _staged(url, stage.strip(), text)
        return _normal(url)


def _wrapped(root: str) -> StoreUrl:
    """The first part of a pipeline, which may be wrapped as ``icechunk+https://…@branch``."""
    found = _WRAPPED.fullmatch(root)
    if found is None:
        return StoreUrl(root)
    kind = "zarr" if found["kind"].lower() in _ZARR else found["kind"].lower()
    folder, _, last = found["url"].rstrip("/").rpartition("/")
    name, at, version = last.rpartition("@")
    is_path = "://" in folder  # otherwise the last part is the host, and what is before @ a user
    if not (at and name and is_path and kind == "icechunk"):
        return StoreUrl(found["url"], kind)
    named = _NAMED_VERSION.fullmatch(version) or _SNAPSHOT.fullmatch(version)
    return StoreUrl(f"{folder}/{name}", kind, version if named else f"branch.{version}")


def _staged(url: StoreUrl, stage: str, text: str) -> StoreUrl:
    """`url` with one more part of its pipeline."""
    scheme, _, body = stage.partition(":")
    kind = scheme.strip().lower()
    if kind == "icechunk":
        version, group = _icechunk_body(body, text)
        return replace(url, kind=kind, version=version, group=_joined(url.group, group))
    if kind in _ZARR:
        return replace(url, kind=url.kind or "zarr", group=_joined(url.group, body))
    if kind == "zip":
        return replace(url, kind=kind, group=_joined(url.group, body))
    if kind == "kerchunk" and not body.strip("/"):
        return replace(url, kind=kind)
    raise NoStoreError(
        f"{text.strip()} has a part '|{stage}' that is not understood; icechunk:, zarr2:, zarr3:, "
        "zip: and kerchunk: are."
    )


def _icechunk_body(body: str, text: str) -> tuple[str | None, str]:
    """Version and group of ``//branch.main/a``, ``//<snapshot>/a``, ``@tag.v1/a`` or nothing."""
    marked = body.startswith(("//", "@"))
    first, _, rest = body.removeprefix("//").removeprefix("@").partition("/")
    if not first:
        return None, rest
    if marked and (_NAMED_VERSION.fullmatch(first) or _SNAPSHOT.fullmatch(first)):
        return first, rest
    raise NoStoreError(
        f"{text.strip()} names the version {first!r}, which is none of branch.NAME, tag.NAME and a "
        "snapshot id of 20 characters."
    )


def _joined(group: str, more: str) -> str:
    return "/".join(part for part in (group, more.strip("/")) if part)


def _normal(url: StoreUrl) -> StoreUrl:
    href = url.href.rstrip("/")
    found = _HOST_OF_BUCKET.fullmatch(href)
    if found is None:
        return replace(url, href=href)
    place = found["bucket"] + found["key"] if found["bucket"] else found["key"].lstrip("/")
    region = found["region"].lower() if found["region"] else None
    return replace(url, href=f"s3://{place}", region=region)
