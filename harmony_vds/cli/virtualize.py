"""``harmony-vds virtualize``: present granules as one virtual store, or bring one up to date."""

import sys
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import TYPE_CHECKING

from harmony_vds.cli import options
from harmony_vds.cli.console import log_to_stderr
from harmony_vds.cli.granules import GranuleSource
from harmony_vds.cli.meaning import moment_of, months_of, temporal_of
from harmony_vds.errors import RequestError
from harmony_vds.model.extent import BoundingBox
from harmony_vds.services import Services
from harmony_vds.settings import settings_from_environment
from harmony_vds.user import credentials_of_user, trusting

if TYPE_CHECKING:
    from harmony_vds.building.choice import Choice
    from harmony_vds.building.files import GranuleFile
    from harmony_vds.building.places import Place
    from harmony_vds.building.virtualize import Crew

_A_WEEK = 7 * 86_400.0
"""Seconds after which reading granules is given up."""


def virtualize(  # noqa: PLR0917  typer reads options from parameters
    output: options.Repository,
    files: options.Granules = None,
    collection: options.GranulesOfCollection = None,
    stac: options.GranulesOfStac = None,
    temporal: options.TimesOfGranules = None,
    bbox: options.Region = None,
    variable: options.Variables = None,
    group: options.Groups = None,
    months: options.Months = None,
    dimension: options.Joined = None,
    time_from: options.TimeFrom = "",
    file: options.FilePattern = "",
    links: options.Links = "https",
    source_prefix: options.SourcePrefix = None,
    update: options.Update = False,
    remove_deleted: options.RemoveDeleted = False,
    created_since: options.CreatedSince = None,
    revised_since: options.RevisedSince = None,
    workers: options.Workers = 0,
    dask: options.Dask = None,
    region: options.BucketRegion = "us-west-2",
    trust: options.Trust = None,
    verbose: options.Verbose = False,
) -> None:
    """Write a store that presents granules as one dataset, without copying their data.

    The granules' values stay where they are; the store holds references to their chunks. What
    would come out silently wrong is refused or mended, and told.
    """
    from harmony_vds.building.choice import Choice
    from harmony_vds.building.places import Place

    log_to_stderr(verbose=verbose)
    _refuse_contradictions(
        sum(own is not None for own in (files or None, collection, stac)),
        update=update, remove=remove_deleted, since=created_since or revised_since, links=links,
    )  # fmt: skip
    settings = trusting(settings_from_environment(), stac, trust or [])
    box = None if bbox is None else BoundingBox(*bbox)
    source = GranuleSource(
        tuple(files or ()), collection, stac, box, temporal_of(temporal),
        {"created_at": moment_of("--created-since", created_since),
         "revision_date": moment_of("--revised-since", revised_since)},
        file, links == "s3", source_prefix,
    )  # fmt: skip
    with Services.of(settings, credentials_of_user(settings), seconds=_A_WEEK) as services:
        listed = source.listed(services)
        choice = Choice(
            dimension, tuple(variable or ()), tuple(group or ()), months_of(months), box,
            time_from, is_one_of_many=len(listed) > 1 or bool(time_from),
        )  # fmt: skip
        place = Place.of(output, settings.s3_endpoint_url, region)
        with _crew(dask, workers) as crew:
            if update:
                _update(listed, place, crew, removing=remove_deleted)
            else:
                _build(listed, place, choice, crew)


def _refuse_contradictions(
    sources: int, *, update: bool, remove: bool, since: str | None, links: str
) -> None:
    if sources != 1:
        raise RequestError("Name either files, a --collection or a --stac catalogue.")
    if (remove or since) and not update:
        raise RequestError(
            "--remove-deleted, --created-since and --revised-since go with --update."
        )
    if remove and since:
        raise RequestError(
            "--created-since and --revised-since list new granules only, so that --remove-deleted "
            "would take out all others; name one of the two."
        )
    if links not in ("https", "s3"):
        raise RequestError(f"References name files by https or s3, not by {links!r}.")


@contextmanager
def _crew(dask: str | None, workers: int) -> "Iterator[Crew]":
    """Who describes granules, here or on a cluster, and tells how far they are."""
    from harmony_vds.building.virtualize import Crew

    with warnings.catch_warnings(), _executor(dask) as executor:
        # VirtualiZarr and zarr warn of parts of Zarr v3 that are not standardised yet.
        warnings.simplefilter("ignore")
        yield Crew(executor, workers, _tell)


@contextmanager
def _executor(dask: str | None) -> "Iterator[Executor | None]":
    """A dask cluster's executor; None where none is named."""
    if dask is None:
        yield None
        return
    try:
        from distributed import Client
    except ImportError:
        raise RequestError(
            "--dask needs the package distributed: pip install distributed."
        ) from None
    with Client(dask) as client:  # type: ignore[no-untyped-call]
        yield client.get_executor(pure=False)


def _tell(done: int, total: int, _nbytes: int) -> None:
    if sys.stderr.isatty():
        print(f"\r{done} of {total} granules", end="", file=sys.stderr)


def _build(
    listed: "Sequence[GranuleFile]", place: "Place", choice: "Choice", crew: "Crew"
) -> None:  # fmt: skip
    from harmony_vds.building.virtualize import virtualize as build

    built = build(listed, place, choice, crew)
    for note in built.notes:
        print(f"note: {note}")
    at = f" snapshot {built.snapshot}," if built.snapshot else ""
    shown = place.folder or place.href
    print(f"{shown}{at} {built.granules} granules, {built.references:,} references")


def _update(
    listed: "Sequence[GranuleFile]", place: "Place", crew: "Crew", *, removing: bool
) -> None:  # fmt: skip
    from harmony_vds.building.updating import update

    done = update(listed, place, removing=removing, crew=crew)
    for note in done.notes:
        print(f"note: {note}")
    at = f" snapshot {done.snapshot}," if done.snapshot else ""
    print(
        f"{place.folder or place.href}{at} {len(done.added)} granules added, "
        f"{len(done.removed)} removed, {len(done.renewed)} described anew"
    )
