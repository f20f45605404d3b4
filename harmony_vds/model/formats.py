"""The forms of a result: what Harmony calls them, how their files are named, how they are laid out.

Writers are chosen by these in `harmony_vds.outputs.write`; a test holds the two together.
"""

import difflib
from dataclasses import dataclass
from typing import Literal

from harmony_vds.errors import UnsupportedError

NETCDF = "application/netcdf"
ZARR = "application/x-zarr"
ZIP = "application/zip"
GEOTIFF = "image/tiff"
PNG = "image/png"
_HDF = ("application/x-hdf", "application/x-hdf5", "application/x-hdf-eos", "hdf5", "h5")
_LONGEST = 80
KERCHUNK = "application/x-zarr;profile=kerchunk"
ICECHUNK = "application/x-zarr;profile=icechunk"
CSV = "text/csv"
PARQUET = "application/vnd.apache.parquet"


type Picture = Literal["legend", "opaque", "transparent"]
"""How a picture is drawn: for people, or as a map server's, its missing cells white or clear."""


@dataclass(frozen=True)
class Format:
    """One form of the result."""

    name: str
    """As people write it on the command line."""
    media_type: str
    """As Harmony knows it."""
    extension: str
    """Of its files, with the dot."""
    spellings: frozenset[str] = frozenset()
    """Other media types that mean it, without blanks and in small letters."""
    per_variable: bool = False
    """Whether each requested variable has a file of its own."""
    by_reference: bool = False
    """Whether it points to the archive's chunks, instead of holding values."""
    is_table: bool = False
    """Whether it has a row for each cell."""
    harmony_name: str = ""
    """As Harmony and UMM-S records name it; empty where they know no such form, so that it is
    ordered on the command line, or once Harmony lists its media type."""
    disk: float = 1.0
    """Most bytes of local disk for each byte written, before compression."""

    @property
    def is_chunked(self) -> bool:
        """Whether it holds the values in chunks of its own. **Reads:** nothing."""
        return not (self.per_variable or self.by_reference or self.is_table)


FORMATS = (
    Format("netcdf", NETCDF, ".nc4", frozenset({
        "", "*/*", "netcdf", "netcdf-4", "application/netcdf4", "application/netcdf-4",
        "application/x-netcdf", "application/x-netcdf4"}), harmony_name="NETCDF-4"),
    Format("zarr", ZARR, ".zarr", frozenset({
        "zarr", "application/zarr", "application/vnd+zarr", "application/vnd.zarr",
        "application/x-zarr;version=3", "application/vnd.zarr;version=3"}), harmony_name="ZARR",
        disk=2.0),
    Format("geotiff", GEOTIFF, ".tif", frozenset({
        "geotiff", "tiff", "cog", "image/geotiff", "image/tiff;application=geotiff",
        "image/tiff;application=geotiff;profile=cloud-optimized"}), per_variable=True,
        harmony_name="GEOTIFF", disk=2.75),
    Format("png", PNG, ".png", frozenset({"png"}), per_variable=True,
        harmony_name="PNG"),
    Format("kerchunk", KERCHUNK, ".json", frozenset({
        "kerchunk", "application/vnd+zarr;profile=kerchunk"}), by_reference=True),
    Format("icechunk", ICECHUNK, ".icechunk", frozenset({
        "icechunk", "application/vnd+zarr;profile=icechunk"}), by_reference=True),
    Format("csv", CSV, ".csv", frozenset({"csv", "text/csv;charset=utf-8"}), is_table=True,
        harmony_name="CSV"),
    Format("parquet", PARQUET, ".parquet", frozenset({
        "parquet", "application/parquet", "application/x-parquet"}), is_table=True),
)  # fmt: skip
"""What is written, netCDF first: it is what people get who do not say what they want."""


@dataclass(frozen=True)
class Layout:
    """How outputs are laid out, where what was asked leaves a choice."""

    zarr: Literal["folder", "zip"] = "folder"
    """Zarr as a prefix of objects, or as one zip file."""
    chunks_for: Literal["store", "map", "series"] = "store"
    """What the chunks of outputs suit: as in the store, whole maps, or series along time."""
    picture: Picture = "legend"
    """Pictures with a legend for people, or the cells alone for a map server."""
    dpi: int | None = None
    """Pixels to an inch that a picture says it has; None to say nothing."""
    beside: Literal["none", "stac", "browse", "both"] = "none"
    """What is put beside each output: its STAC item, a picture of it."""
    csv: Literal["tidy", "giovanni"] = "tidy"
    """CSV with a title for each column, or time series as Giovanni's services write them."""


AS_STORED = Layout()
"""What is done where the operator says nothing."""


def find_format(media_type: str) -> Format | None:
    """The form that a media type or a name means, in any spelling; None where there is none.

    **Reads:** nothing.
    """
    wanted = "".join(media_type.split()).lower()
    return next((own for own in FORMATS if wanted in (own.media_type, *own.spellings)), None)


def format_of(media_type: str) -> Format:
    """As `find_format`, for what must be written.

    Raises
    ------
    UnsupportedError
        It is not written here; the text names what is.

    **Reads:** nothing.

    >>> format_of("application/x-netcdf4").extension
    '.nc4'
    """
    found = find_format(media_type)
    if found is None:
        written = ", ".join(own.media_type for own in FORMATS)
        shown = repr(media_type if len(media_type) <= _LONGEST else f"{media_type[:_LONGEST]}…")
        raise UnsupportedError(
            f"The format {shown} is not written by this service{_reason(media_type)}; ask for one "
            f"of {written}."
        )
    return found


def _reason(media_type: str) -> str:
    """What is odd about a format that is not written, where more can be said than that."""
    wanted = "".join(media_type.split()).lower()
    plain, _, parameters = wanted.partition(";")
    if "opendap" in parameters:
        return ", which gives files and no addresses of OPeNDAP"
    if plain == ZARR and parameters.startswith("profile="):
        return ": the profiles of references are kerchunk and icechunk"
    if parameters and (known := find_format(plain)) is not None:
        return f": of {known.media_type} it knows no form with {parameters[:_LONGEST]}"
    if plain in _HDF:
        return ": files of HDF5 are those of netCDF-4"
    if "json" in plain:
        return ": tables are CSV or Parquet"
    names = {text: own.name for own in FORMATS for text in (own.name, *own.spellings) if text}
    near = difflib.get_close_matches(plain, names, n=1, cutoff=0.85)
    if near:
        return f": {names[near[0]]} may have been meant"
    if plain.startswith("image/"):
        return f": pictures are {PNG}, and images of values {GEOTIFF}"
    return "" if "/" in plain else ": it is neither a media type nor the name of a format"
