"""``harmony-vds estimate``: what a request costs, to the byte, before anything is read."""

import inspect
from typing import Any

from harmony_vds.cli.subset import subset

_OF_WRITING = ("output", "dry_run")


def estimate(**options: Any) -> None:
    """Price what `subset` would do with the same options; reads no data."""
    subset(**options, dry_run=True)


def _without_writing() -> inspect.Signature:
    asked = inspect.signature(subset)
    kept = [own for name, own in asked.parameters.items() if name not in _OF_WRITING]
    return asked.replace(parameters=kept)


# The two commands understand the same options, whatever `subset` learns.
estimate.__signature__ = _without_writing()  # type: ignore[attr-defined]
estimate.__annotations__ = {
    name: own for name, own in subset.__annotations__.items() if name not in _OF_WRITING
}
