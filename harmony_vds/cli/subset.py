"""``harmony-vds subset``: cut a store by variables, box and time."""

import json
import logging
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from harmony_vds.cli.places import line_of, places_in, places_of
from harmony_vds.cli.price import tell_price
from harmony_vds.errors import RequestError
from harmony_vds.model.average import AverageKind
from harmony_vds.model.extent import BoundingBox, TimeRange
from harmony_vds.model.formats import FORMATS, format_of
from harmony_vds.model.moment import parse_moment
from harmony_vds.model.request import DimensionRange, Request, Source, TargetGrid
from harmony_vds.pipeline import prepare
from harmony_vds.prepared import Prepared
from harmony_vds.services import Services
from harmony_vds.settings import settings_from_environment
from harmony_vds.telemetry import Progress, RedactingFormatter, no_progress
from harmony_vds.user import as_url, credentials_of_user, trusting

if TYPE_CHECKING:
    from harmony_vds.staging import StagedOutput

_DAY = re.compile(r"\d{4}-?\d\d-?\d\d")
_LAST_OF_DAY = timedelta(days=1, microseconds=-1)


def subset(  # noqa: PLR0917  typer reads options from parameters
    store: Annotated[str | None, typer.Option(help="URL or path of a chunk manifest.")] = None,
    collection: Annotated[
        str | None, typer.Option(help="Concept id of a collection in CMR.")
    ] = None,
    variable: Annotated[
        list[str] | None, typer.Option(help="Variable to keep; repeat for more. All by default.")
    ] = None,
    bbox: Annotated[
        tuple[float, float, float, float] | None,
        typer.Option(metavar="W S E N", help="Box in degrees; W > E crosses the antimeridian."),
    ] = None,
    shape: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="GeoJSON file, address or text whose inside is kept."),
    ] = None,
    point: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LON,LAT[,NAME]", help="Place for a time series, in degrees; repeatable."
        ),
    ] = None,
    line: Annotated[
        str | None,
        typer.Option(
            metavar="LON LAT,LON LAT…",
            help="Line for a time series in each cell it passes; or WKT.",
        ),
    ] = None,
    points: Annotated[
        Path | None,
        typer.Option(help="CSV file of places: longitude, latitude and, if wanted, name and time."),
    ] = None,
    temporal: Annotated[
        tuple[str, str] | None,
        typer.Option(
            metavar="START END", help="Dates or instants (ISO 8601); '..' leaves a side open."
        ),
    ] = None,
    months: Annotated[
        str | None, typer.Option(metavar="12,1,2", help="Months of every year to keep.")
    ] = None,
    dimension: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=MIN:MAX",
            help="Values of another dimension, e.g. lev=500:850; a side may be empty; repeatable.",
        ),
    ] = None,
    form: Annotated[
        str, typer.Option("--format", help=f"One of {', '.join(own.name for own in FORMATS)}.")
    ] = FORMATS[0].name,
    average: Annotated[
        AverageKind | None, typer.Option(help="Average over the kept steps, or over the box.")
    ] = None,
    crs: Annotated[
        str, typer.Option(help="Put the result in a reference system: EPSG code, WKT or Proj4.")
    ] = "",
    extent: Annotated[
        tuple[float, float, float, float] | None,
        typer.Option(metavar="XMIN YMIN XMAX YMAX", help="Outer edges of the target grid."),
    ] = None,
    cell: Annotated[
        tuple[float, float] | None, typer.Option(metavar="X Y", help="Size of a target cell.")
    ] = None,
    width: Annotated[int | None, typer.Option(help="Columns of the target grid.")] = None,
    height: Annotated[int | None, typer.Option(help="Rows of the target grid.")] = None,
    interpolation: Annotated[
        str,
        typer.Option(
            help="near, bilinear, cubic, average, mode, min, max; at places near or bilinear."
        ),
    ] = "",
    output: Annotated[Path, typer.Option(help="Folder for the result.")] = Path(),
    trust: Annotated[
        list[str] | None, typer.Option(help="URL prefix to trust as an operator would; repeatable.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Plan and price, read no data.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Tell the result as JSON.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log to stderr.")] = False,
) -> None:
    """Cut a store by variables, box and time into netCDF-4 or another format."""
    log_to_stderr(verbose=verbose)
    request = _request(store, collection, variable or [], bbox, temporal, dimension or [], form)
    places = (*places_of(point or []), *places_in(points))
    request = replace(request, average=average, months=months_of(months), points=places)
    request = replace(request, line=line_of(line), interpolation=interpolation)
    target = TargetGrid(crs, interpolation, extent, cell, width, height)
    if target != TargetGrid(interpolation=interpolation):
        request = replace(request, target=target)
    named = None if shape is None or shape.lstrip().startswith("{") else as_url(shape)
    request = replace(request, shape=named or shape)
    local = [named] if named and named.startswith("file:") else []
    settings = trusting(settings_from_environment(), store, [*(trust or []), *local])
    with Services.of(settings, credentials_of_user(settings)) as services:
        prepared = prepare(request, services, as_url(store) if store else None)
        plans = [own.plan for own in prepared]
        if dry_run:
            tell_price(plans, as_json=as_json)
            return
        from harmony_vds.delivery import deliver

        if not as_json:
            _print_each(plans, sys.stderr)
        with _progress_bar() as progress:
            staged = deliver(prepared, services, str(output), None, progress)
    if as_json:
        _print_json([_told(prepared[own.output.plan_number], own) for own in staged])
    else:
        _print_each([own.href for own in staged])


def _told(prepared: Prepared, staged: "StagedOutput") -> dict[str, Any]:
    return {"output": staged.href, "nbytes": staged.output.nbytes,
            "sha256": staged.output.checksum, "plan": prepared.plan.as_json()}  # fmt: skip


def _print_each(told: Sequence[object], stream: TextIO | None = None) -> None:
    for own in told:
        print(own, file=stream)


def _print_json(told: Sequence[object], indent: int | None = None) -> None:
    """One document: the only one told, or a list of several."""
    print(json.dumps(told[0] if len(told) == 1 else list(told), indent=indent))


def _request(  # noqa: PLR0917  the options of the command
    store: str | None,
    collection: str | None,
    variables: list[str],
    bbox: tuple[float, float, float, float] | None,
    temporal: tuple[str, str] | None,
    dimensions: list[str],
    form: str,
) -> Request:
    if (store is None) == (collection is None):
        raise RequestError("Name either --store or --collection.")
    short_name = collection or as_url(store or "").rstrip("/").rpartition("/")[2].partition(".")[0]
    source = Source(collection or "", short_name or "store", variables=tuple(variables))
    return Request(
        sources=(source,),
        bbox=BoundingBox(*bbox) if bbox else None,
        temporal=temporal_of(temporal),
        dimensions=tuple(_range(text) for text in dimensions),
        media_type=format_of(form).media_type,
    )


def temporal_of(pair: tuple[str, str] | None) -> TimeRange | None:
    """Two instants as people write them; ``..`` leaves a side open. **Reads:** nothing.

    An end that is a date, without a time of day, is the last instant of that day.

    Raises
    ------
    RequestError
        One is no ISO 8601 instant, or they are the wrong way round.
    """
    if not pair:
        return None
    start, end = (None if text == ".." else parse_moment("--temporal", text) for text in pair)
    if end is not None and _DAY.fullmatch(pair[1].strip()):
        end += _LAST_OF_DAY
    return TimeRange(start, end)


def months_of(text: str | None) -> tuple[int, ...]:
    """Months as people write them: ``12,1,2``. **Reads:** nothing.

    Raises
    ------
    RequestError
        One is no month.
    """
    try:
        numbers = [int(own) for own in (text or "").split(",") if own.strip()]
    except ValueError:
        numbers = [0]
    if any(not 1 <= own <= 12 for own in numbers) or (text is not None and not numbers):
        raise RequestError(f"--months {text!r} should be months from 1 to 12, such as 12,1,2.")
    return tuple(dict.fromkeys(numbers))


def _range(text: str) -> DimensionRange:
    """A range as people write it: ``lev=500:850``, ``lev=500:``."""
    name, _, sides = text.partition("=")
    least, colon, most = sides.partition(":")
    try:
        numbers = [float(own) if own else None for own in (least, most)]
    except ValueError:
        colon = ""
    if not name or not colon:
        raise RequestError(
            f"--dimension {text!r} should be NAME=MIN:MAX, such as lev=500:850 or lev=500:."
        )
    return DimensionRange(name, *numbers)


def log_to_stderr(*, verbose: bool) -> None:
    """Log warnings, or everything, to stderr without secrets. **Reads:** nothing."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(RedactingFormatter(logging.Formatter("%(levelname)s %(message)s")))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("harmony_vds").setLevel(logging.INFO if verbose else logging.WARNING)


@contextmanager
def _progress_bar() -> Iterator[Progress]:
    """A bar on a terminal, nothing elsewhere."""
    if not sys.stderr.isatty():
        yield no_progress
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (BarColumn(), DownloadColumn(binary_units=True), TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("subset", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
