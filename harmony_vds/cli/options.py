"""The options that commands take, each said once; what their texts mean is told in `meaning`."""

from pathlib import Path
from typing import Annotated

import typer

from harmony_vds.model.average import AverageKind
from harmony_vds.model.formats import FORMATS

# Which store, and who asks.

Store = Annotated[str | None, typer.Option(help="URL or path of a chunk manifest.")]
Named = Annotated[
    str | None, typer.Argument(help="URL or path of a store, or a collection's concept id.")
]
Collection = Annotated[str | None, typer.Option(help="Concept id of a collection in CMR.")]
Trust = Annotated[
    list[str] | None, typer.Option(help="URL prefix to trust as an operator would; repeatable.")
]

# What is kept of it.

Variables = Annotated[
    list[str] | None, typer.Option(help="Variable to keep; repeat for more. All by default.")
]
Box = Annotated[
    tuple[float, float, float, float] | None,
    typer.Option(metavar="W S E N", help="Box in degrees; W > E crosses the antimeridian."),
]
ShapeOfFile = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="GeoJSON file, address or text whose inside is kept."),
]
Points = Annotated[
    list[str] | None,
    typer.Option(metavar="LON,LAT[,NAME]", help="Place for a time series, in degrees; repeatable."),
]
Line = Annotated[
    str | None,
    typer.Option(
        metavar="LON LAT,LON LAT…", help="Line for a time series in each cell it passes; or WKT."
    ),
]
PointsOfFile = Annotated[
    Path | None,
    typer.Option(help="CSV file of places: longitude, latitude and, if wanted, name and time."),
]
Temporal = Annotated[
    tuple[str, str] | None,
    typer.Option(
        metavar="START END", help="Dates or instants (ISO 8601); '..' leaves a side open."
    ),
]
Months = Annotated[str | None, typer.Option(metavar="12,1,2", help="Months of every year to keep.")]
Dimensions = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=MIN:MAX",
        help="Values of another dimension, e.g. lev=500:850; a side may be empty; repeatable.",
    ),
]

# What becomes of it.

Form = Annotated[
    str, typer.Option("--format", help=f"One of {', '.join(own.name for own in FORMATS)}.")
]
Average = Annotated[
    AverageKind | None, typer.Option(help="Average over the kept steps, or over the box.")
]
Crs = Annotated[
    str, typer.Option(help="Put the result in a reference system: EPSG code, WKT or Proj4.")
]
Extent = Annotated[
    tuple[float, float, float, float] | None,
    typer.Option(metavar="XMIN YMIN XMAX YMAX", help="Outer edges of the target grid."),
]
Cell = Annotated[
    tuple[float, float] | None, typer.Option(metavar="X Y", help="Size of a target cell.")
]
Width = Annotated[int | None, typer.Option(help="Columns of the target grid.")]
Height = Annotated[int | None, typer.Option(help="Rows of the target grid.")]
Interpolation = Annotated[
    str,
    typer.Option(
        help="near, bilinear, cubic, average, mode, min, max; at places near or bilinear."
    ),
]

# How a store is made of granules.

Repository = Annotated[
    str,
    typer.Option(
        help="Folder or s3:// prefix of an icechunk repository, or a file ….json or ….parquet."
    ),
]
Granules = Annotated[
    list[str] | None,
    typer.Argument(help="Granules: paths, patterns such as 'data/*.nc', URLs."),
]
GranulesOfCollection = Annotated[
    str | None, typer.Option(help="Take the granules of a collection in CMR: its concept id.")
]
GranulesOfStac = Annotated[
    str | None, typer.Option(help="Take the granules of a STAC catalogue: its path or URL.")
]
TimesOfGranules = Annotated[
    tuple[str, str] | None,
    typer.Option(metavar="START END", help="Granules of a collection in these times."),
]
Region = Annotated[
    tuple[float, float, float, float] | None,
    typer.Option(metavar="W S E N", help="Region to keep, widened to whole chunks."),
]
Groups = Annotated[
    list[str] | None, typer.Option(help="Group to keep; repeat for more. All by default.")
]
Joined = Annotated[
    str | None, typer.Option(help="Dimension to join along; that of the time by default.")
]
TimeFrom = Annotated[
    str,
    typer.Option(
        help="Where the time is if not along a dimension: data, name, attribute[:NAME] or cmr."
    ),
]
FilePattern = Annotated[
    str, typer.Option(help="Regular expression for the data file among a granule's files.")
]
Links = Annotated[str, typer.Option(help="How references name files: https or s3.")]
SourcePrefix = Annotated[
    str | None,
    typer.Option(help="URL prefix under which local files' common folder is published."),
]
Update = Annotated[
    bool, typer.Option("--update", help="Add to the store what it does not hold yet.")
]
RemoveDeleted = Annotated[
    bool,
    typer.Option("--remove-deleted", help="With --update: take out what is listed no more."),
]
CreatedSince = Annotated[
    str | None, typer.Option(help="With --update: ask CMR only for granules created since.")
]
RevisedSince = Annotated[
    str | None,
    typer.Option(help="With --update: ask CMR only for granules new or revised since."),
]
Workers = Annotated[int, typer.Option(help="Processes; 0: one for each processor.")]
Dask = Annotated[str | None, typer.Option(help="Address of a dask scheduler to work on.")]
BucketRegion = Annotated[str, typer.Option(help="AWS region of the output's bucket.")]

# Where it goes, and what is told.

Folder = Annotated[Path, typer.Option(help="Folder for the result.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Log to stderr.")]
