"""``harmony-vds subset``: cut a store by variables, box and time."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harmony_vds.cli import options
from harmony_vds.cli.console import log_to_stderr, print_each, print_json, progress_bar
from harmony_vds.cli.meaning import months_of, range_of, shape_of, source_of, temporal_of
from harmony_vds.cli.places import line_of, places_in, places_of
from harmony_vds.cli.price import tell_price
from harmony_vds.model.extent import BoundingBox
from harmony_vds.model.formats import FORMATS, format_of
from harmony_vds.model.request import Request, TargetGrid
from harmony_vds.pipeline import prepare
from harmony_vds.prepared import Prepared
from harmony_vds.services import Services
from harmony_vds.settings import settings_from_environment
from harmony_vds.user import as_url, credentials_of_user, trusting

if TYPE_CHECKING:
    from harmony_vds.staging import StagedOutput


def subset(  # noqa: PLR0917  typer reads options from parameters
    store: options.Store = None,
    collection: options.Collection = None,
    variable: options.Variables = None,
    bbox: options.Box = None,
    shape: options.ShapeOfFile = None,
    point: options.Points = None,
    line: options.Line = None,
    points: options.PointsOfFile = None,
    temporal: options.Temporal = None,
    months: options.Months = None,
    dimension: options.Dimensions = None,
    form: options.Form = FORMATS[0].name,
    average: options.Average = None,
    crs: options.Crs = "",
    extent: options.Extent = None,
    cell: options.Cell = None,
    width: options.Width = None,
    height: options.Height = None,
    interpolation: options.Interpolation = "",
    output: options.Folder = Path(),
    trust: options.Trust = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Plan and price, read no data.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Tell the result as JSON.")] = False,
    verbose: options.Verbose = False,
) -> None:
    """Cut a store by variables, box and time into netCDF-4 or another format."""
    log_to_stderr(verbose=verbose)
    target = TargetGrid(crs, interpolation, extent, cell, width, height)
    request = Request(
        sources=(source_of(store, collection, variable),),
        bbox=BoundingBox(*bbox) if bbox else None,
        shape=shape_of(shape),
        points=(*places_of(point or []), *places_in(points)),
        line=line_of(line),
        temporal=temporal_of(temporal),
        months=months_of(months),
        dimensions=tuple(map(range_of, dimension or [])),
        media_type=format_of(form).media_type,
        average=average,
        interpolation=interpolation,
        target=target if target.states_a_grid else None,
    )
    folder = None if dry_run else output
    _answer(request, store, _trusted(trust, request), folder, as_json=as_json)


def _trusted(prefixes: list[str] | None, request: Request) -> list[str]:
    """What the person who runs the command trusts: what they say, and a file of their own."""
    named = isinstance(request.shape, str) and request.shape.startswith("file:")
    return [*(prefixes or []), *([str(request.shape)] if named else [])]


def _answer(
    request: Request, store: str | None, trust: list[str], folder: Path | None, *, as_json: bool
) -> None:
    """Write the outputs of a request into a folder and tell them; without one tell their price."""
    settings = trusting(settings_from_environment(), store, trust)
    with Services.of(settings, credentials_of_user(settings)) as services:
        prepared = prepare(request, services, as_url(store) if store else None)
        plans = [own.plan for own in prepared]
        if folder is None:
            tell_price(plans, as_json=as_json)
            return
        from harmony_vds.delivery import deliver

        if not as_json:
            print_each(plans, sys.stderr)
        with progress_bar() as progress:
            staged = deliver(prepared, services, str(folder), None, progress)
    if as_json:
        print_json([_told(prepared[own.output.plan_number], own) for own in staged])
    else:
        print_each([own.href for own in staged])


def _told(prepared: Prepared, staged: "StagedOutput") -> dict[str, Any]:
    return {"output": staged.href, "nbytes": staged.output.nbytes,
            "sha256": staged.output.checksum, "plan": prepared.plan.as_json()}  # fmt: skip
