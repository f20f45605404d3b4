"""``harmony-vds doctor``: what works in this place, for this user, and what does not."""

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Any

import typer

from harmony_vds.access.credentials import Credentials
from harmony_vds.access.fetch import RetryPolicy
from harmony_vds.access.gateway import Access
from harmony_vds.access.login import token_of_user
from harmony_vds.cli import checks, options
from harmony_vds.cli.checks import Finding, Verdict
from harmony_vds.discovery.found import Answer, locate
from harmony_vds.errors import VdsError
from harmony_vds.model.request import Source
from harmony_vds.services import Services
from harmony_vds.settings import Settings, settings_from_environment
from harmony_vds.telemetry import redact
from harmony_vds.user import as_url, trusting


def doctor(
    collection: Annotated[
        str | None, typer.Option(help="Concept id of a collection whose store is tried.")
    ] = None,
    store: Annotated[str | None, typer.Option(help="URL or path of a store to try.")] = None,
    trust: options.Trust = None,
    staging: Annotated[
        str | None,
        typer.Option(
            help="Where outputs go; by default what STAGING_BUCKET and STAGING_PATH name."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Tell the findings as JSON.")] = False,
) -> None:
    """Tell which settings are in force and whether everything around the service works.

    Ends with status 1 when something needed does not. Without a collection or store, no single
    data centre is needed; what does not work there is a warning.
    """
    settings = trusting(settings_from_environment(), store, trust or [])
    location = checks.staging_of_environment() if staging is None else staging
    findings = list(_findings(settings, collection, store, location))
    failed = any(finding.verdict is Verdict.FAILED for finding in findings)
    told = checks.settings_by_name(settings)
    if as_json:
        print(redact(json.dumps(_as_json(told, findings, failed=failed), indent=2)))
    else:
        _show(told, findings)
    if failed:
        sys.exit(1)


def _findings(
    settings: Settings, collection: str | None, store: str | None, location: str
) -> Iterator[Finding]:
    """Each thing that was tried, one after another, as it is known."""
    try:
        token = token_of_user(settings.oauth_host)
        yield checks.check_token(token)
    except VdsError as error:
        token = None
        yield Finding("token", Verdict.FAILED, str(error))
    credentials = Credentials.of_token(token, settings.token_hosts)
    yield from checks.check_trust(settings)
    yield checks.check_cache(checks.settings_by_name(settings).get("HARMONY_VDS_CACHE_DIR", ""))
    yield checks.check_staging(location)
    with _impatient(Services.of(settings, credentials)) as services:
        yield checks.check_cmr(settings.cmr_root, services.cmr.access)
        if collection or store:
            yield from _store_findings(services, collection, store)
        elif token:
            yield from checks.check_endpoints(checks.shipped_endpoints(), services.access)


def _impatient(services: Services) -> Services:
    """Services that give up soon: who asks what is wrong need not wait until it is right."""
    cmr = replace(services.cmr, access=_hurried(services.cmr.access))
    return replace(services, access=_hurried(services.access), cmr=cmr)


def _hurried(access: Access) -> Access:
    policy = RetryPolicy(attempts=2, budget=5, longest_wait=1)
    return replace(access, fetcher=replace(access.fetcher, policy=policy))


def _store_findings(
    services: Services, collection: str | None, store: str | None
) -> Iterator[Finding]:
    try:
        if collection:
            endpoints = checks.recorded_endpoints(services.cmr.collection(collection).umm)
            yield from checks.check_endpoints(endpoints, services.access)
        if store:
            found: Answer = (locate(as_url(store), services.access),)
        else:
            found = services.search(Source(str(collection), str(collection))).first()
    except VdsError as error:
        yield Finding("store", Verdict.FAILED, str(error))
        return
    for own in found:
        yield from checks.check_store(own)


def _as_json(settings: dict[str, str], findings: list[Finding], *, failed: bool) -> dict[str, Any]:
    return {
        "ok": not failed,
        "settings": settings,
        "findings": [
            {"check": own.check, "verdict": own.verdict, "told": own.told} for own in findings
        ],
    }


def _show(settings: dict[str, str], findings: list[Finding]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(soft_wrap=not sys.stdout.isatty())
    colours = {Verdict.OK: "green", Verdict.WARNING: "yellow", Verdict.FAILED: "red"}
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, value in settings.items():
        table.add_row(name, Text(redact(value) or "-"))
    console.print(table)
    console.print()
    for own in findings:
        line = Text(f"{own.verdict:<8}", style=colours[own.verdict])
        console.print(line.append(f"{own.check}: {redact(own.told)}", style="default"))
