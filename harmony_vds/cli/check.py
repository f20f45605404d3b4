"""``harmony-vds check``: whether a store is fit to be published, as an exit status."""

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from harmony_vds.access.trust import is_private
from harmony_vds.cli import options
from harmony_vds.cli.console import log_to_stderr
from harmony_vds.cli.inspect import show_findings
from harmony_vds.cli.opened import Opened, opened
from harmony_vds.discovery import umm
from harmony_vds.errors import RequestError, VdsError
from harmony_vds.inspection.findings import Finding, Severity
from harmony_vds.inspection.placement import misplaced, related_url, unreachable
from harmony_vds.inspection.survey import survey
from harmony_vds.telemetry import redact

_DEFECTS, _UNREADABLE = 1, 2


def check(  # noqa: PLR0917  typer reads options from parameters
    store: options.Named = None,
    collection: Annotated[
        str | None, typer.Option(help="Collection in CMR whose record is to name the store.")
    ] = None,
    record: Annotated[
        Path | None, typer.Option(help="UMM-C record as a JSON file, before CMR has it.")
    ] = None,
    url: Annotated[
        str | None, typer.Option(help="Where the store will be published, if not where it lies.")
    ] = None,
    trust: options.Trust = None,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings are defects, too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Tell the findings as JSON.")] = False,
    verbose: options.Verbose = False,
) -> None:
    """Judge a store and how the collection's record names it; print the entry that does.

    Ends with status 0 when it is good, 1 when it has defects, 2 when it cannot be read.
    """
    log_to_stderr(verbose=verbose)
    named = collection if store is None or record is not None else None
    try:
        with opened(store, named, trust or []) as own:
            told = _record(own, collection or _concept(store), record)
            href = url or own.store.location.href
            findings = [*survey(own.store).findings, *_placement(own, told, href)]
            entry = related_url(href, own.store.location.kind)
    except VdsError as error:
        print(f"harmony-vds: {' '.join(redact(str(error)).split())}", file=sys.stderr)
        raise typer.Exit(_UNREADABLE) from None
    if as_json:
        shown = {"findings": [asdict(f) for f in findings], "RelatedUrl": entry}
        print(redact(json.dumps(shown, indent=2)))
    else:
        show_findings(findings)
        print(f"RelatedUrls entry of the store:\n{json.dumps(entry, indent=2)}")
    severe = {Severity.ERROR, Severity.WARNING} if strict else {Severity.ERROR}
    if any(own.severity in severe for own in findings):
        raise typer.Exit(_DEFECTS)


def _concept(store: str | None) -> str | None:
    from harmony_vds.user import is_concept_id

    return store if store is not None and is_concept_id(store) else None


def _record(own: Opened, collection: str | None, record: Path | None) -> Mapping[str, Any] | None:
    """The UMM-C record that was named, from a file or from CMR."""
    if record is None:
        return None if collection is None else own.services.cmr.collection(collection).umm
    try:
        told: Any = json.loads(record.read_text())
    except (OSError, ValueError) as error:
        raise RequestError(f"{record} is no UMM-C record: {error}.") from None
    if not isinstance(told, Mapping):
        raise RequestError(f"{record} is no UMM-C record: it holds no JSON object.")
    inner = told.get("umm", told)
    return inner if isinstance(inner, Mapping) else told


def _placement(own: Opened, told: Mapping[str, Any] | None, href: str) -> list[Finding]:
    found = []
    scheme, _, rest = href.partition("://")
    if scheme not in ("https", "s3") or (scheme == "https" and is_private(rest.partition("/")[0])):
        found.append(
            Finding(
                Severity.WARNING, "UMM-C",
                f"{href} can be read from here only; say with --url where it will be published",
            )
        )  # fmt: skip
    if told is None:
        return found
    access = own.services.access.recording(
        umm.distribution_prefixes(told), umm.region(told), umm.credentials_endpoint(told)
    )
    return [*found, *misplaced(told, href), *unreachable(own.store, access.fetcher.trust.check)]
