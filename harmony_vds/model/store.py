"""A virtual store: where it is published, and what it is once it is open."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from harmony_vds.model.asked import AskedChunks
from harmony_vds.model.chunks import ChunkIndex, Indexers
from harmony_vds.model.extent import BoundingBox
from harmony_vds.model.stored import StoredArray

if TYPE_CHECKING:
    import numpy.typing as npt
    import xarray as xr


_MOST_ORIGINS = 20


class ManifestFormat(StrEnum):
    """The forms of chunk manifest that can be opened."""

    ICECHUNK = "icechunk"
    KERCHUNK_JSON = "kerchunk-json"
    KERCHUNK_PARQUET = "kerchunk-parquet"
    DMRPP = "dmrpp"
    ZARR = "zarr"
    ZIP = "zip"
    """Zarr or kerchunk Parquet inside a zip file."""
    GRANULES = "granules"
    """The data files themselves, described when they were asked for: nothing is published."""

    @property
    def is_published(self) -> bool:
        """Whether it is a form in which stores are found, and named by operators.

        **Reads:** nothing.
        """
        return self is not ManifestFormat.GRANULES


@dataclass(frozen=True)
class RecordedGrid:
    """A projected grid that a record associated with a collection describes."""

    name: str
    """What the record calls it."""
    crs: str
    """EPSG code or PROJ string."""
    rows: int
    """Cells along y."""
    columns: int
    """Cells along x."""


def without_query(href: str) -> str:
    """A web address without its query, and other addresses. **Reads:** nothing."""
    return href.partition("?")[0] if href.lower().startswith(("http:", "https:")) else href


@dataclass(frozen=True, repr=False)
class StoreLocation:
    """Where a chunk manifest is published."""

    href: str
    """URL of the manifest, without trailing slash; ``s3``, ``https`` or, if trusted, others."""
    kind: ManifestFormat
    """Form of the manifest, found by looking at it."""
    snapshot: str | None = None
    """icechunk snapshot id, or the ETag or digest of a reference file; set when opened."""
    region: str | None = None
    """AWS region of the bucket, where the record names one."""
    group: str = ""
    """Path of the group that is the store's root, in a zip file that of the folder; empty for the
    whole hierarchy."""
    version: str | None = None
    """Which version of an icechunk repository is asked for: ``branch.main``, ``tag.v1``, a snapshot
    id or ``as_of.<ISO time>``; None: the tip of its main branch."""
    credentials_endpoint: str | None = None
    """Where a token is exchanged for temporary S3 credentials, where a record names it."""
    data_href: str | None = None
    """URL of the one data file that a DMR++ sidecar describes, where a record names it: it need not
    be the sidecar's own without its suffix."""
    members: tuple["StoreLocation", ...] = ()
    """The DMR++ sidecars, or the files, of several granules that are one store; `href` is the
    first's. Empty for all other stores."""
    grids: tuple[RecordedGrid, ...] = ()
    """Grids of the collection's records, of which one may be that of a variable whose projection
    the store itself does not state."""

    def __repr__(self) -> str:
        return f"StoreLocation({self.shown!r}, {self.kind!r}, snapshot={self.snapshot!r})"

    @property
    def shown(self) -> str:
        """The URL without a query, which may be a signature; for whatever others read.

        **Reads:** nothing.
        """
        return without_query(self.href)

    @property
    def carries_query(self) -> bool:
        """Whether an address in it has a query, which may be a signature. **Reads:** nothing."""
        addresses = (self.href, self.data_href or "")
        own = any(without_query(address) != address for address in addresses)
        return own or any(member.carries_query for member in self.members)

    @property
    def origins(self) -> tuple[str, ...]:
        """The URLs, without queries, of all that it was made of: its members, or itself.

        Of very many members only the first ones and the last are given. **Reads:** nothing.
        """
        shown = [own.shown for own in self.members] or [self.shown]
        if len(shown) <= _MOST_ORIGINS:
            return tuple(shown)
        left = len(shown) - _MOST_ORIGINS
        return (*shown[: _MOST_ORIGINS - 1], f"and {left} more granules until", shown[-1])

    def as_json(self) -> dict[str, object]:
        """What decides the bytes that are read, in plain JSON values. **Reads:** nothing."""
        told: dict[str, object] = {
            "href": self.shown,
            "kind": str(self.kind),
            "snapshot": self.snapshot,
        }
        if self.grids:
            told["grids"] = [[own.crs, own.rows, own.columns] for own in self.grids]
        return told

    def __str__(self) -> str:
        pinned = f"@{self.snapshot}" if self.snapshot else ""
        more = f" and {len(self.members) - 1} more granules" if self.members else ""
        return f"{self.kind} {self.shown}{more}{pinned}"


@dataclass(frozen=True)
class CollectionNotes:
    """What the collection's record says that outputs or fallbacks need."""

    start: datetime | None = None
    """Begin of the collection's temporal extent, UTC."""
    end: datetime | None = None
    """End of the temporal extent, UTC; None while it goes on."""
    title: str = ""
    """Entry title."""
    doi: str = ""
    """DOI without resolver."""
    bbox: BoundingBox | None = None
    """Where the data are of, for outputs without a grid of their own; None where not stated."""
    citation: str = ""
    """How the collection wants to be cited."""
    licence: str = ""
    """Name or text of the licence of its data."""
    licence_url: str = ""
    """Where that licence is."""


class IndexSource(Protocol):
    """Gives chunk indexes."""

    def __call__(self, path: str, selection: Indexers | None = None) -> ChunkIndex:
        """The chunk index of the array at a full path such as ``/product/no2``.

        What lies outside of `selection` may be `ChunkKind.UNREAD`; without one, nothing is.
        **Reads:** metadata.
        """


class CoordinateShelf(Protocol):
    """Keeps the values of coordinates between requests."""

    def take(self, path: str) -> "npt.NDArray[Any] | None":
        """The stored values of the array at a full path; None where they are to be read.

        **Reads:** coordinates, as much as shows that this user may have them.
        """

    def put(self, path: str, values: "npt.NDArray[Any]") -> None:
        """Keep all stored values of the array at a full path. **Reads:** metadata."""


@dataclass(frozen=True, eq=False)
class VirtualStore:
    """A store opened lazily and pinned to one state; nothing of it is decoded."""

    location: StoreLocation
    """Where it came from, with `snapshot` set."""
    tree: "xr.DataTree"
    """Groups and variables as stored: packed values, raw times, attributes from the metadata."""
    chunk_index: IndexSource
    """Where the chunks of each array lie."""
    merge_gap: Callable[[str], int] = lambda _: -1
    """For the array at a full path, the most unwanted bytes between two chunks that are fetched
    together; -1 where every chunk is fetched alone."""
    defects: Mapping[str, str] = field(default_factory=dict)
    """Group or variable path → why it could not be opened, in words for the user."""
    repairs: Mapping[str, str] = field(default_factory=dict)
    """Variable path → what was wrong with its attributes and is put right here, likewise."""
    added: frozenset[str] = frozenset()
    """Full paths of coordinates and grid mappings that the manifest lacks and opening added."""
    doubt: Callable[[str], str | None] = lambda _: None
    """For the array at a full path, why its price is a bound and not exact; None where it is."""
    layout: Callable[[str], Any] = lambda _: None
    """Zarr metadata of the array at a full path: type, chunk shape, codecs, fill value."""
    coordinates: CoordinateShelf | None = None
    """Coordinates that need not be read again; None where nothing is kept."""
    stored: Callable[["xr.Variable"], StoredArray | None] = lambda _: None
    """The chunks behind a variable of the tree, where they hold its values and nothing else."""
    sparing: Callable[["xr.Variable", tuple[AskedChunks, ...]], "xr.Variable"] = lambda own, _: own
    """A variable of the tree of which no chunk is read but those asked for: cells of the others
    hold what stands for chunks that are not there."""
