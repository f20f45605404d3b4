"""``harmony-vds inspect``: what a store holds and what is wrong with it."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harmony_vds.cli import options
from harmony_vds.cli.console import log_to_stderr
from harmony_vds.cli.opened import opened
from harmony_vds.inspection.examples import Example, examples
from harmony_vds.inspection.findings import Finding, Severity
from harmony_vds.inspection.footprint import Raster, as_text, draw, footprint
from harmony_vds.inspection.survey import Survey, VariableSurvey, survey
from harmony_vds.inspection.timeline import Timeline, timelines
from harmony_vds.model.paths import ancestors, group_of, name_of
from harmony_vds.model.plan import human_bytes
from harmony_vds.telemetry import redact

if TYPE_CHECKING:
    from rich.console import RenderableType

_WIDE = 160
"""Columns where there is no terminal to ask."""
_BARS = " ▁▂▃▄▅▆▇█"
_MOST_GAPS = 6
_COLOURS = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.REPAIRED: "cyan"}


def inspect(  # noqa: PLR0917  typer reads options from parameters
    store: options.Named = None,
    collection: options.Collection = None,
    trust: options.Trust = None,
    map_file: Annotated[
        Path | None, typer.Option("--map", help="PNG file for a map of where the data are.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Tell it as JSON.")] = False,
    verbose: options.Verbose = False,
) -> None:
    """Tell what a store holds, where and when, what it is cheap for, and each defect found.

    Reads the manifest and the coordinates, no data.
    """
    log_to_stderr(verbose=verbose)
    with opened(store, collection, trust or []) as own:
        seen = survey(own.store)
        lines = timelines(own.store)
        priced = examples(own.store, own.services.limits)
        shape = footprint(own.store)
    if map_file is not None:
        draw(shape, redact(seen.href), map_file)
    if as_json:
        told = seen.as_json()
        told["timelines"] = [asdict(line) for line in lines]
        told["examples"] = [{**asdict(one), "is_cheap": one.is_cheap} for one in priced]
        print(redact(json.dumps(told, indent=2)))
        return
    _show(seen)
    _show_where_and_when(shape, lines, priced)
    show_findings(seen.findings)


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


def _show_where_and_when(
    shape: "Raster", lines: "Sequence[Timeline]", priced: "Sequence[Example]"
) -> None:
    if shape.any():
        print("\n".join(as_text(shape)))
    for line in lines:
        most = max(line.counts)
        bar = "".join(_BARS[-(-count * (len(_BARS) - 1) // most)] for count in line.counts)
        print(f"steps of {line.path.lstrip('/')} from {line.first} to {line.last}")
        print(f"    │{bar}│")
        for gap in line.gaps[:_MOST_GAPS]:
            between = f"between {gap.after} and {gap.before}"
            print(f"    no step {between}: about {gap.missing:,} missing")
        if len(line.gaps) > _MOST_GAPS:
            print(f"    and {len(line.gaps) - _MOST_GAPS:,} more gaps")
    for one in priced:
        print(one)


def show_findings(findings: "Sequence[Finding]") -> None:
    """Print what is wrong, a line each, for people. **Reads:** nothing."""
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else _WIDE, highlight=False)
    for own in findings:
        place = own.place.lstrip("/") or "the root group"
        colour = _COLOURS[own.severity]
        console.print(f"[{colour}]{own.severity}[/{colour}] {place}: {redact(own.told)}")
    if not findings:
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
