"""``harmony-vds virtualize``: present granule files as one virtual store."""

import sys
import warnings
from pathlib import Path
from typing import Annotated

import typer


def virtualize(
    files: Annotated[list[Path], typer.Argument(help="Granules, in the order to join them.")],
    output: Annotated[Path, typer.Option(help="Folder of the new icechunk repository.")],
    dimension: Annotated[
        str | None, typer.Option(help="Dimension to join along; that of the time by default.")
    ] = None,
    source_prefix: Annotated[
        str | None,
        typer.Option(help="URL prefix under which the files' common folder is published."),
    ] = None,
) -> None:
    """Write an icechunk store that presents granule files as one dataset."""
    from harmony_vds.building.virtualize import virtualize as build

    def tell(done: int, total: int) -> None:
        if sys.stderr.isatty():
            print(f"\r{done} of {total} granules", end="", file=sys.stderr)

    with warnings.catch_warnings():
        # VirtualiZarr and zarr warn of parts of Zarr v3 that are not standardised yet.
        warnings.simplefilter("ignore")
        snapshot = build(files, output, dimension=dimension, source_prefix=source_prefix, tell=tell)
    print(f"{output.resolve()} snapshot {snapshot}, {len(files)} granules")
