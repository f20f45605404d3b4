"""``harmony-vds rerun``: ask again for what an output was the answer to."""

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from harmony_vds.cli import options
from harmony_vds.cli.console import log_to_stderr
from harmony_vds.cli.kept import attributes_of
from harmony_vds.cli.meaning import shape_of
from harmony_vds.errors import RequestError, StaleSourceError
from harmony_vds.model.record import asked_again
from harmony_vds.outputs.provenance import PROGRAM
from harmony_vds.pipeline import prepare
from harmony_vds.prepared import Prepared
from harmony_vds.services import Services
from harmony_vds.settings import settings_from_environment
from harmony_vds.telemetry import no_progress
from harmony_vds.user import as_url, credentials_of_user, is_concept_id, trusting


def rerun(  # noqa: PLR0917  typer reads options from parameters
    file: Annotated[Path, typer.Argument(help="An output of any form but CSV.")],
    store: Annotated[
        str | None, typer.Option(help="URL or path of the store, where it has moved.")
    ] = None,
    shape: Annotated[
        str | None, typer.Option(metavar="FILE", help="The shape, where the output keeps none.")
    ] = None,
    output: options.Folder = Path(),
    trust: options.Trust = None,
    verbose: options.Verbose = False,
) -> None:
    """Repeat the request that an output keeps, on the same snapshot: the same bytes again.

    The time that outputs are marked with is that of the first run. Settings that lay outputs out
    must be those of the first run. An icechunk repository comes out equal in what it holds
    (attributes, arrays, references) and not in its bytes, since icechunk draws its ids at random.
    """
    log_to_stderr(verbose=verbose)
    attributes = _attributes(file)
    moment, kept = _entry(file, attributes)
    shape = shape_of(shape)
    request = asked_again(kept["request"], shape)
    pinned = kept["store"]
    place = store or (None if is_concept_id(request.sources[0].collection) else pinned["href"])
    local = [own for own in (shape, place and as_url(place)) if own and own.startswith("file:")]
    settings = trusting(settings_from_environment(), place, [*(trust or []), *local])
    with _marked(moment), Services.of(settings, credentials_of_user(settings)) as services:
        prepared = prepare(request, services, _address(place, pinned) if place else None)
        _refuse_another_state(prepared, _states(attributes, pinned["snapshot"]))
        from harmony_vds.delivery import deliver

        for staged in deliver(prepared, services, str(output), None, no_progress):
            print(staged.href)


def _attributes(file: Path) -> Mapping[str, Any]:
    """What an output keeps, its history as JSON values."""
    try:
        found = attributes_of(file)
        return {**found, "history_json": json.loads(found.get("history_json", "[]"))}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RequestError(f"{file} cannot be read: {error}.") from None


def _entry(file: Path, attributes: Mapping[str, Any]) -> tuple[datetime, Mapping[str, Any]]:
    """When an output was written by this program, and what it keeps of its request."""
    entries = attributes["history_json"]
    for entry in reversed(entries if isinstance(entries, list) else []):
        own = entry if isinstance(entry, dict) and entry.get("program") == PROGRAM else {}
        kept = own.get("parameters")
        if isinstance(kept, dict) and {"request", "store"} <= set(kept):
            with contextlib.suppress(KeyError, TypeError, ValueError):
                return datetime.fromisoformat(own["date_time"]), kept
    raise RequestError(f"{file} keeps no request of {PROGRAM} in its history_json.")


def _address(place: str, pinned: Mapping[str, Any]) -> str:
    """The store in the state that the output was made from, as far as an address can say so."""
    url = as_url(place)
    if "|" in url:
        return url
    group = f"/{pinned['group'].strip('/')}".rstrip("/")
    if pinned["kind"] == "icechunk":
        return f"{url}|icechunk://{pinned['snapshot']}{group}"
    if pinned["kind"] == "zip":
        return f"{url}|zip:{group.lstrip('/')}"
    return f"{url}|zarr:{group.lstrip('/')}" if group else url


def _states(attributes: Mapping[str, Any], snapshot: str | None) -> list[str]:
    """The states of the stores that an output was made from: of all, or only of the first."""
    first = [snapshot or "-"]
    every = str(attributes.get("virtual_store_snapshot", "")).split()
    return every if every[:1] == first else first


def _refuse_another_state(prepared: list[Prepared], kept: list[str]) -> None:
    for own in prepared:
        stores = [plan.location for plan in (own.plan, *own.plan.beside)]
        found = [store.snapshot or "-" for store in stores][: len(kept)]
        if found == kept:
            continue
        told = " ".join(found)
        raise StaleSourceError(
            f"The output was made from the state {' '.join(kept)} of the store, which is now at "
            f"{told}; asked again, it may hold other values. Ask for a subset anew."
        )


@contextmanager
def _marked(moment: datetime) -> Iterator[None]:
    """Mark outputs with the time of another run."""
    before = os.environ.get("SOURCE_DATE_EPOCH")
    os.environ["SOURCE_DATE_EPOCH"] = str(int(moment.timestamp()))
    try:
        yield
    finally:
        if before is None:
            del os.environ["SOURCE_DATE_EPOCH"]
        else:
            os.environ["SOURCE_DATE_EPOCH"] = before
