"""``harmony-vds inspect``: what a store holds and what is wrong with it."""

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from harmony_vds.cli.subset import log_to_stderr
from harmony_vds.discovery.found import locate
from harmony_vds.errors import RequestError
from harmony_vds.inspection.findings import Severity
from harmony_vds.inspection.survey import Survey, VariableSurvey, survey
from harmony_vds.model.paths import ancestors, group_of, name_of
from harmony_vds.model.plan import human_bytes
from harmony_vds.model.request import Source
from harmony_vds.services import Services
from harmony_vds.settings import settings_from_environment
from harmony_vds.stores.open import open_store
from harmony_vds.telemetry import redact
from harmony_vds.user import as_url, credentials_of_user, is_concept_id, trusting

if TYPE_CHECKING:
    from rich.console import RenderableType

_WIDE = 160
"""Columns where there is no terminal to ask."""
_COLOURS = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.REPAIRED: "cyan"}


def inspect(
    store: Annotated[
        str | None, typer.Argument(help="URL or path of a store, or a collection's concept id.")
    ] = None,
    collection: Annotated[
        str | None, typer.Option(help="Concept id of a collection in CMR.")
    ] = None,
    trust: Annotated[
        list[str] | None, typer.Option(help="URL prefix to trust as an operator would; repeatable.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Tell it as JSON.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log to stderr.")] = False,
) -> None:
    """Tell what a store holds: variables, grids, times, sizes, and each defect found.

    Reads the manifest and the coordinates, no data.
    """
    log_to_stderr(verbose=verbose)
    if store and not collection and is_concept_id(store):
        store, collection = None, store
    if (store is None) == (collection is None):
        raise RequestError("Name either a store or a collection.")
    settings = trusting(settings_from_environment(), store, trust or [])
    with Services.of(settings, credentials_of_user(settings)) as services:
        if store:
            found = locate(as_url(store), services.access)
        else:
            source = Source(str(collection), str(collection))
            found = services.search(source).first()[0]
        seen = survey(open_store(found.locations, found.access, services.reading))
    if as_json:
        print(redact(json.dumps(seen.as_json(), indent=2)))
    else:
        _show(seen)


def _show(seen: Survey) -> None:
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else _WIDE, highlight=False)
    console.print(f"[bold]{seen.kind}[/bold] {redact(seen.href)}", soft_wrap=True)
    console.print(
        f"snapshot {seen.snapshot or '-'}; {seen.sources:,} source files, "
        f"{human_bytes(seen.stored)} in the archive, {human_bytes(seen.raw)} decoded"
    )
    for grid in seen.grids:
        west, south, east, north = grid.bbox
        console.print(
            f"{grid.kind} grid {grid.y.lstrip('/')} x {grid.x.lstrip('/')}: "
            f"{' x '.join(f'{size:,}' for size in grid.shape)}, west {west:g}, south {south:g}, "
            f"east {east:g}, north {north:g}"
        )
    for path, name in seen.projections.items():
        console.print(f"projection {path.lstrip('/')}: {name}")
    for time in seen.times:
        covered = time.covered or "no known time"
        console.print(
            f"time {time.path.lstrip('/')}: {time.steps:,} steps, {covered} ({time.calendar})"
        )
    console.print(_tree(seen.variables))
    for own in seen.findings:
        place = own.place.lstrip("/") or "the root group"
        colour = _COLOURS[own.severity]
        console.print(f"[{colour}]{own.severity}[/{colour}] {place}: {redact(own.told)}")
    if not seen.findings:
        console.print("[green]nothing wrong was found[/green]")


def _tree(variables: tuple[VariableSurvey, ...]) -> "RenderableType":
    """The groups as a tree, each with a table of its variables."""
    from rich.tree import Tree

    nodes = {"/": Tree("/")}
    for group in dict.fromkeys(group_of(own.path) for own in variables):
        for own in reversed(list(ancestors(group))):
            if own not in nodes:
                nodes[own] = nodes[group_of(own)].add(f"{name_of(own)}/")
        nodes[group].add(_table([v for v in variables if group_of(v.path) == group]))
    return nodes["/"]


def _table(variables: list[VariableSurvey]) -> "RenderableType":
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for name in ("variable", "type", "dimensions", "chunk"):
        table.add_column(name, overflow="fold")
    for name in ("chunks", "missing", "stored"):
        table.add_column(name, justify="right")
    table.add_column("what it is", overflow="fold")
    for own in variables:
        sizes = ", ".join(f"{name} {size:,}" for name, size in own.sizes.items())
        told = f"{own.title} [{own.units}]" if own.units else own.title
        table.add_row(
            name_of(own.path), own.dtype, sizes or "scalar",
            " x ".join(f"{n:,}" for n in own.chunk_shape) or "-", f"{own.chunks:,}",
            f"{own.missing:,}", human_bytes(own.stored), told.replace("[", "\\["),
        )  # fmt: skip
    return table
