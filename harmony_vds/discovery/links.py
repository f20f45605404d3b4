"""Links of CMR's records in one form, and which of them may be virtual stores.

There is no ESDIS standard for naming a store yet, and no keyword for its kind, so several signs
are read: a subtype, a format, the publisher's words, or how the address is written.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

_MARKER = "VIRTUAL COLLECTION"
_STORE_FORMATS = {"zarr", "parquet", "kerchunk", "icechunk"}
_SIDECAR_TYPE = "application/vnd.opendap.dap4.dmrpp+xml"
_WRITTEN_AS_STORE = re.compile(
    r"""^[a-z0-9]+\+(https?|s3|file):// | \|\s*(icechunk|zarr|zarr2|zarr3|kerchunk|zip)\s*(:|$)
      | \.(icechunk|zarr|parq|parquet)/?$ | \.parq\.zip$ | \.zarr\.(zip|json|json\.gz)$
      | _virtual_(s3|https)[^/]*\.json(\.gz)?$ | combined-ref\.json$ """,
    re.IGNORECASE | re.VERBOSE,
)
_CALLED_STORE = re.compile(
    r"\b(kerchunk|icechunk|virtual (data ?set|collection|zarr|store))\b", re.IGNORECASE
)
_MANIFEST_NAME = re.compile(r"\.json(\.gz)?$|/$|/[^/.]+$", re.IGNORECASE)
_NO_STORE_HOSTS = ("search.earthdata.nasa.gov", "doi.org", "github.com", "githubusercontent.com")
_NO_STORE_ENDINGS = (".html", ".htm", ".pdf", ".ipynb", ".md5", ".txt")


@dataclass(frozen=True)
class Link:
    """One entry of ``RelatedUrls``, or an asset of a STAC item."""

    url: str
    """As written, without surrounding blanks."""
    found_in: str
    """Which part of which record holds it."""
    type: str = ""
    """KMS type in upper case, e.g. ``GET DATA``."""
    subtype: str = ""
    """KMS subtype in upper case."""
    format: str = ""
    """KMS format in lower case; for UMM-C that of ``GetData``."""
    mime: str = ""
    """MIME type in lower case."""
    description: str = ""
    """The publisher's words."""

    @property
    def is_store(self) -> bool:
        """Whether it may name a chunk manifest of its own or of many files. **Reads:** nothing."""
        if self._is_elsewhere or self.is_sidecar:
            return False
        return bool(
            self.subtype == _MARKER
            or self.format in _STORE_FORMATS
            or _WRITTEN_AS_STORE.search(self.url)
            or (_CALLED_STORE.search(self.description) and _MANIFEST_NAME.search(self.url))
        )

    @property
    def doubt(self) -> int:
        """How unsure it is that this is a store.

        0 where a subtype says so, 1 by the format, 2 by how the address is written, 3 where it
        stands among recipes. **Reads:** nothing.
        """
        if self.subtype == _MARKER:
            return 0
        if self.subtype == "DATA RECIPE":
            return 3
        return 1 if self.format in _STORE_FORMATS else 2

    @property
    def is_sidecar(self) -> bool:
        """Whether it is the DMR++ description of one data file. **Reads:** nothing."""
        if self.subtype == "DMR++ MISSING DATA" or self._is_elsewhere:
            return False
        written = urlsplit(self.url).path.lower().endswith(".dmrpp")
        return written or self.subtype == "DMR++" or self.mime == _SIDECAR_TYPE

    @property
    def name(self) -> str:
        """Last part of the address. **Reads:** nothing."""
        return self.url.partition("|")[0].rstrip("/").rpartition("/")[2]

    @property
    def _is_elsewhere(self) -> bool:
        """Pages for people, tools and catalogues, which no store is ever at."""
        place = urlsplit(self.url) if "://" in self.url else None
        if place is None or self.type == "GOTO WEB TOOL":
            return True
        host = place.netloc.lower()
        return (
            any(host == own or host.endswith(f".{own}") for own in _NO_STORE_HOSTS)
            or "/virtual-directory/" in place.path
            or place.path.lower().endswith(_NO_STORE_ENDINGS)
        )


def links_of(entries: object, where: str) -> tuple[Link, ...]:
    """The links among the `entries` of a list of related URLs, in the spelling of any record.

    UMM writes ``URL`` and ``MimeType``, Harmony's message ``url`` and ``mimeType``. Entries that
    are no links, or whose address cannot be one, are left out. **Reads:** nothing.
    """
    found = []
    for number, entry in enumerate(entries if isinstance(entries, list | tuple) else ()):
        link = _link(entry, f"{where}[{number}]") if isinstance(entry, Mapping) else None
        if link is not None:
            found.append(link)
    return tuple(found)


def _link(entry: Mapping[str, Any], where: str) -> Link | None:
    """An entry as a link; None where it has no address that can be read."""
    told = {str(key).lower(): value for key, value in entry.items()}
    fetched = told.get("getdata")
    inner = {str(k).lower(): v for k, v in fetched.items()} if isinstance(fetched, Mapping) else {}

    def word(name: str) -> str:
        return str(told.get(name) or inner.get(name) or "").strip()

    url = word("url")
    try:
        urlsplit(url)
    except ValueError:
        return None
    if not url:
        return None
    return Link(
        url, where, word("type").upper(), word("subtype").upper(), word("format").lower(),
        word("mimetype").lower(), word("description"),
    )  # fmt: skip


def stores_among(links: Iterable[Link]) -> tuple[Link, ...]:
    """Those of `links` that may name a store. **Reads:** nothing."""
    return tuple(link for link in links if link.is_store)
