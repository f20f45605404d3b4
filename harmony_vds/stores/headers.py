"""What source files say of their own arrays, read from as few bytes of them as possible.

HDF5 keeps its metadata where there was room when the file was written, so h5py is let loose on the
pieces of a file that are here, and says itself which one it misses. Nothing is fetched inside of
h5py: it holds a lock for the whole process while it reads.
"""

import contextlib
import io
import logging
from collections.abc import Buffer, Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import netCDF4
import numpy as np

if TYPE_CHECKING:
    import h5py

logger = logging.getLogger(__name__)

COMPARED = ("scale_factor", "add_offset", "_Unsigned", "_FillValue", "units", "calendar")
"""Attributes that decide what stored numbers mean."""
_FIRST = 2**16
"""Bytes at the start of a file that are asked for at once: most headers lie in them."""
_BLOCK = 2**15
"""Fewest bytes asked for after that."""
_HDF5 = b"\x89HDF\r\n\x1a\n"
_FILTERS = {
    1: "zlib", 2: "shuffle", 3: "fletcher32", 4: "szip", 5: "nbit", 6: "scaleoffset", 307: "bz2",
    32001: "blosc", 32015: "zstd",
}  # fmt: skip
"""HDF5's numbers of the filters that are compared, as numcodecs calls those that it has."""


@dataclass(frozen=True, eq=False)
class SourceArray:
    """One array as its file describes it."""

    dtype: np.dtype[Any]
    """Type of its elements, byte order included."""
    attributes: Mapping[str, Any]
    """Those of `COMPARED` that it has."""
    shape: tuple[int, ...] = ()
    """Its shape."""
    chunk_shape: tuple[int, ...] | None = None
    """Shape of its chunks; None where it is not cut into chunks of one shape."""
    filters: tuple[str, ...] | None = ()
    """Filters in order of encoding; None where one of them is not known here."""
    fill: Any = None
    """What chunks that were never written read as, where whoever wrote the file chose it."""
    span: tuple[int, int] | None = None
    """First byte of its values and the byte after them, where they lie in one piece."""


@dataclass(eq=False)
class SourceHeader:
    """A source file as far as it is here: its arrays, or the bytes that are still missing."""

    url: str
    """Where it lies."""
    known: int
    """Bytes that it must have for its chunks to lie in it."""
    arrays: dict[str, SourceArray] = field(default_factory=dict)
    """Full path → what was read so far."""
    missing: tuple[int, int] | None = None
    """First byte and length of what must come next; None where nothing more is to be read."""
    _pieces: dict[int, bytes] = field(default_factory=dict, repr=False)
    _size: int | None = None

    def __post_init__(self) -> None:
        self.missing = (0, min(_FIRST, self.known))

    def take(self, body: bytes, size: int | None, paths: Collection[str]) -> None:
        """Put the bytes that were `missing` to the others, and read as far as they go.

        Parameters
        ----------
        body
            The bytes.
        size
            Length of the whole file, if its place told; without it nothing more is asked for.
        paths
            Full paths of the arrays that matter, those that matter most first.

        **Reads:** nothing.
        """
        if self.missing is None:
            return
        self._pieces[self.missing[0]] = body
        self._size = size if self._size is None else self._size
        self.missing = None
        start = self._pieces[0]
        wanted = [path for path in paths if path not in self.arrays]
        try:
            if start.startswith(b"CDF"):
                self._read_classic(start, wanted)
            elif start.startswith(_HDF5):
                self._read_hdf5(wanted)
        except Exception:
            # Foreign bytes, of which some are not here: libraries raise whatever they like, and no
            # value depends on this. `missing` tells what must come next, if anything.
            logger.debug("%s tells no more so far", self.shown, exc_info=True)

    def _read_classic(self, start: bytes, paths: Collection[str]) -> None:
        """Read the header of netCDF-3, which stands before all data."""
        if len(start) < self.length:
            self.missing = (0, min(4 * len(start), self.length))
        # Ends in an error where the header is longer than what is here.
        with netCDF4.Dataset("header", memory=start) as nc:
            self.missing = None
            for path in paths:
                own = nc.variables.get(path.removeprefix("/"))
                if own is not None:
                    told = {name: own.getncattr(name) for name in own.ncattrs()}
                    dtype = np.dtype(own.dtype).newbyteorder(">")
                    self.arrays[path] = SourceArray(dtype, _plain(told), own.shape)

    def _read_hdf5(self, paths: Collection[str]) -> None:
        import h5py  # which few of the modules need, and never before this

        with h5py.File(_Pieces(self), "r") as file:
            for path in paths:
                own = file.get(path)
                if isinstance(own, h5py.Dataset):
                    with contextlib.suppress(TypeError):  # a type that numpy does not have
                        self.arrays[path] = _described(own)

    @property
    def shown(self) -> str:
        """Its URL without a query, which may be a signature. **Reads:** nothing."""
        return self.url.partition("?")[0]

    @property
    def length(self) -> int:
        """Bytes of the file; what is known of them where its place did not tell.

        **Reads:** nothing.
        """
        return self.known if self._size is None else self._size

    def bytes_at(self, start: int, length: int) -> bytes:
        """Bytes ``[start, start + length)`` of the file, less what lies beyond its end.

        Raises
        ------
        OSError
            They are not here; `missing` then names them.

        **Reads:** nothing.
        """
        stop = min(start + length, self.length)
        for first, body in self._pieces.items():
            if first <= start and stop <= first + len(body):
                return body[start - first : stop - first]
        if start < self.length:
            self.missing = (start, min(max(length, _BLOCK), self.length - start))
        raise OSError("These bytes are not here.")


class _Pieces(io.RawIOBase):
    """The pieces of a file that are here, as a file."""

    def __init__(self, header: SourceHeader) -> None:
        super().__init__()
        self._header = header
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        origin = (0, self._position, self._header.length)[whence]
        self._position = origin + offset
        return self._position

    def readinto(self, buffer: Buffer) -> int:
        view = memoryview(buffer).cast("B")
        body = self._header.bytes_at(self._position, len(view))
        view[: len(body)] = body
        self._position += len(body)
        return len(body)


def _described(own: "h5py.Dataset") -> SourceArray:
    import h5py

    created = own.id.get_create_plist()
    chosen = created.fill_value_defined() == h5py.h5d.FILL_VALUE_USER_DEFINED
    codes = [created.get_filter(number)[0] for number in range(created.get_nfilters())]
    start = own.id.get_offset() if own.chunks is None else None
    return SourceArray(
        own.dtype,
        _plain({name: own.attrs[name] for name in COMPARED if name in own.attrs}),
        own.shape,
        own.chunks,
        tuple(_FILTERS[code] for code in codes) if set(codes) <= _FILTERS.keys() else None,
        own.fillvalue if chosen else None,
        None if start is None else (start, start + own.id.get_storage_size()),
    )


def _plain(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes as single numbers or texts, as manifests hold them; others are left out."""
    plain = {}
    for name in COMPARED:
        value = attributes.get(name)
        if isinstance(value, np.ndarray) and value.size == 1:
            value = value.ravel()[0]
        if isinstance(value, bytes):
            value = value.decode("utf-8", "replace")
        if isinstance(value, str | int | float | np.generic):
            plain[name] = value
    return plain
