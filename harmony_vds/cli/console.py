"""What commands tell people: logs and progress on stderr, results on standard output."""

import json
import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

from harmony_vds.telemetry import Progress, RedactingFormatter, no_progress


def log_to_stderr(*, verbose: bool) -> None:
    """Log warnings, or everything, to stderr without secrets. **Reads:** nothing."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(RedactingFormatter(logging.Formatter("%(levelname)s %(message)s")))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("harmony_vds").setLevel(logging.INFO if verbose else logging.WARNING)


def print_each(told: Sequence[object], stream: TextIO | None = None) -> None:
    """A line for each, on standard output unless said otherwise. **Reads:** nothing."""
    for own in told:
        print(own, file=stream)


def print_json(told: Sequence[object], indent: int | None = None) -> None:
    """One document: the only one told, or a list of several. **Reads:** nothing."""
    print(json.dumps(told[0] if len(told) == 1 else list(told), indent=indent))


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """A bar on a terminal, nothing elsewhere. **Reads:** nothing."""
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
