"""Granule files wherever they lie, opened for the libraries that understand them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from obspec_utils.readers import BlockStoreReader
from obspec_utils.registry import ObjectStoreRegistry
from obstore.store import LocalStore

from harmony_vds.access.gateway import WorkerAccess
from harmony_vds.access.ranged import RangedFile
from harmony_vds.access.traffic import Traffic
from harmony_vds.errors import RequestError, StoreError

if TYPE_CHECKING:
    from harmony_vds.building.sidecars import Sidecar

_BLOCK, _BLOCKS = 256 * 1024, 256
"""Bytes fetched at once from elsewhere, and how many such blocks are kept for one file."""
_LARGEST_CLASSIC = 2**30
"""Bytes of a netCDF-3 file elsewhere, which is read whole."""


@dataclass(frozen=True)
class GranuleFile:
    """One file that is to be described by references; it may travel to another process."""

    href: str
    """URL from which it is read here."""
    published: str = ""
    """URL at which others read it, and to which references point; empty for `href`."""
    start: datetime | None = None
    """Begin of its time, UTC, by its record."""
    access: WorkerAccess | None = field(default=None, repr=False)
    """The way to it; None for local files, which their owner names."""
    sidecar: "Sidecar | None" = field(default=None, repr=False)
    """What describes it and lies beside it; None for the file alone."""

    @property
    def name(self) -> str:
        """Last part of its URL. **Reads:** nothing."""
        return file_name(self.href)

    @property
    def target(self) -> str:
        """The URL to which references point. **Reads:** nothing."""
        return self.published or self.href

    @property
    def path(self) -> Path:
        """Where a local file is. **Reads:** nothing."""
        return Path(unquote(urlsplit(self.href).path))

    @classmethod
    def of_path(cls, path: Path, published: str = "") -> "GranuleFile":
        """A local file. **Reads:** nothing.

        Raises
        ------
        RequestError
            There is none, or no reference can name it.
        """
        if path.is_dir():
            raise RequestError(
                f"{path} is a folder; name the granules in it, such as '{path}/*.nc'."
            )
        if not path.is_file():
            raise RequestError(f"There is no file {path}.")
        url = path.resolve().as_uri()
        if "%" in url:  # icechunk and fsspec disagree with others on what it then names
            raise RequestError(
                f"References cannot name {path.resolve()}: its path holds blanks or signs that "
                "URLs have no letter for. Move the file to a path of letters, digits, '.', '_' and "
                "'-'."
            )
        return cls(url, published)


def file_name(url: str) -> str:
    """Last part of a URL. **Reads:** nothing."""
    return unquote(urlsplit(url).path).rpartition("/")[2]


@dataclass(frozen=True)
class Seen:
    """What tells one edition of a file from another."""

    size: int | None = None
    """Bytes; None where its place does not tell."""
    modified: datetime | None = None
    """When it was written last, UTC; None where its place does not tell."""

    @classmethod
    def of_path(cls, path: Path) -> "Seen":
        """The edition of a local file. **Reads:** metadata."""
        told = path.stat()
        return cls(told.st_size, datetime.fromtimestamp(told.st_mtime, UTC))


UNSEEN = Seen()


@dataclass(frozen=True, eq=False)
class OpenFile:
    """An open granule: a place for parsers of references, and a way to read values."""

    registry: Any
    """What VirtualiZarr looks the URL up in."""
    reader: Any
    """A binary file object."""
    form: str
    """``hdf5``, ``classic`` or ``tiff``."""
    traffic: Traffic = field(default_factory=Traffic)
    """What was fetched of it so far; nothing of local files."""
    seen: Seen = UNSEEN
    """Which edition of the file it is."""


@contextmanager
def opened(file: GranuleFile) -> Iterator[OpenFile]:
    """The file open for reading, its form known by its first bytes.

    Raises
    ------
    RequestError
        There is no such file.
    StoreError
        It is of no form that references can describe.
    ForbiddenError, UpstreamError
        It cannot be read.

    **Reads:** metadata.
    """
    parts = urlsplit(file.href)
    if file.access is None:
        path = file.path
        if not path.is_file():
            raise RequestError(f"There is no file {path}.")
        with path.open("rb") as reader:
            registry = ObjectStoreRegistry({"file://": LocalStore()})
            yield OpenFile(registry, reader, _form(reader), seen=Seen.of_path(path))
        return
    with file.access.restore() as access:
        ranged: Any = RangedFile(file.href, access.fetcher)
        registry = ObjectStoreRegistry({f"{parts.scheme}://{parts.netloc}": ranged})
        elsewhere: Any = BlockStoreReader(ranged, parts.path, _BLOCK, _BLOCKS)
        form = _form(elsewhere)
        if form == "classic" and elsewhere.seek(0, 2) > _LARGEST_CLASSIC:
            raise StoreError(
                f"{file.name} is a netCDF-3 file of {elsewhere.tell():,} bytes, which would be "
                f"read whole; at most {_LARGEST_CLASSIC:,} are. Copy it here and name the copy."
            )
        elsewhere.seek(0)
        told = Seen(ranged.first.size, ranged.first.modified)
        yield OpenFile(registry, elsewhere, form, access.fetcher.traffic, told)


def _form(reader: Any) -> str:
    start = bytes(reader.read(8))
    reader.seek(0)
    if start.startswith(b"CDF"):
        return "classic"
    if start == b"\x89HDF\r\n\x1a\n":
        return "hdf5"
    if start[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "tiff"
    raise StoreError("It is neither a netCDF nor an HDF5 file, nor a TIFF.")
