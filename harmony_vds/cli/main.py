"""``harmony-vds``: the service's pipeline, without Harmony, for people."""

import logging
import sys
from typing import Annotated

import typer

from harmony_vds import __version__
from harmony_vds.cli.check import check
from harmony_vds.cli.doctor import doctor
from harmony_vds.cli.estimate import estimate
from harmony_vds.cli.inspect import inspect
from harmony_vds.cli.rerun import rerun
from harmony_vds.cli.subset import subset
from harmony_vds.cli.virtualize import virtualize
from harmony_vds.errors import VdsError
from harmony_vds.memory import return_large_blocks
from harmony_vds.stopping import stopping_on_sigterm
from harmony_vds.telemetry import redact

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",  # paragraphs of docstrings flow as wide as the terminal is
    help="Work with virtual Zarr stores: cut them, build them, find out what is wrong.",
)


def _tell_version(asked: bool) -> None:
    if asked:
        print(f"harmony-vds {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_tell_version, is_eager=True, help="Tell the version."),
    ] = False,
) -> None:
    pass


app.command()(inspect)
app.command()(check)
app.command()(subset)
app.command()(estimate)
app.command()(rerun)
app.command()(virtualize)
app.command()(doctor)


def main() -> None:
    """Run the command line; refusals end with status 1 and one line on stderr.

    **Reads:** what the command reads.
    """
    return_large_blocks()
    try:
        with stopping_on_sigterm():
            app()
    except VdsError as error:
        print(f"harmony-vds: {' '.join(redact(str(error)).split())}", file=sys.stderr)
        sys.exit(1)
    except Exception as error:  # people get a line, and the traceback on request
        logging.getLogger("harmony_vds").info("Unexpected error", exc_info=True)
        told = " ".join(redact(f"{type(error).__name__}: {error}").split())
        print(f"harmony-vds: unexpected {told} (--verbose shows where)", file=sys.stderr)
        sys.exit(1)
