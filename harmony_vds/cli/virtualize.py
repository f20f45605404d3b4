"""``harmony-vds virtualize``: present granules as one virtual store, or bring one up to date."""

import glob
import sys
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from harmony_vds.cli import options
from harmony_vds.cli.console import log_to_stderr
from harmony_vds.cli.meaning import months_of, temporal_of
from harmony_vds.errors import RequestError
from harmony_vds.model.extent import BoundingBox
from harmony_vds.model.moment import parse_moment
from harmony_vds.model.request import Request, Source
from harmony_vds.services import Services
from harmony_vds.settings import settings_from_environment
from harmony_vds.user import as_url, credentials_of_user, trusting

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
    from harmony_vds.dmrpp_sidecars import with_sidecars
    from harmony_vds.granule_files import Wanted, files_of_collection, files_of_stac

    log_to_stderr(verbose=verbose)
    _refuse_contradictions(
        sum(own is not None for own in (files or None, collection, stac)),
        update=update, remove=remove_deleted, since=created_since or revised_since, links=links,
    )  # fmt: skip
    settings = trusting(settings_from_environment(), stac, trust or [])
    box = None if bbox is None else BoundingBox(*bbox)
    wanted = Wanted(file, links == "s3")
    with Services.of(settings, credentials_of_user(settings), seconds=_A_WEEK) as services:
        if collection is not None:
            source = Source(collection, collection)
            asked = Request((source,), bbox=box, temporal=temporal_of(temporal))
            since = {
                name: None if text is None else parse_moment(option, text)
                for name, option, text in (
                    ("created_at", "--created-since", created_since),
                    ("revision_date", "--revised-since", revised_since),
                )
            }
            listed = files_of_collection(services, collection, asked, wanted, since)
        elif stac is not None:
            listed = files_of_stac(as_url(stac), services, wanted)
        else:
            named = list(_named(files or [], source_prefix, services))
            listed = with_sidecars(named, services.access)
        choice = Choice(
            dimension, tuple(variable or ()), tuple(group or ()), months_of(months), box, time_from,
            is_one_of_many=len(listed) > 1 or bool(time_from),
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


def _named(
    files: Sequence[str], source_prefix: str | None, services: Services
) -> "Iterator[GranuleFile]":
    """The files that were named on the command line, patterns expanded."""
    from harmony_vds.building.files import GranuleFile

    remote = [own for own in files if "://" in own and not own.startswith("file:")]
    folders = tuple(sorted({f"{own.rpartition('/')[0]}/" for own in remote}))
    worker = services.access.recording(folders).for_worker() if remote else None
    paths = []
    for own in files:
        # A path may be absolute or begin with dots, which Path.glob does not take.
        found = sorted(glob.glob(own)) if glob.has_magic(own) and not Path(own).exists() else [own]  # noqa: PTH207
        if not found:
            raise RequestError(f"No file fits the pattern {own}.")
        paths += [Path(path).resolve() for path in found if own not in remote]
    yield from (GranuleFile(own, access=worker) for own in remote)
    common = _common_folder(paths)
    for path in paths:
        published = ""
        if source_prefix is not None:
            published = f"{source_prefix.rstrip('/')}/{path.relative_to(common).as_posix()}"
        yield GranuleFile.of_path(path, published)


def _common_folder(paths: Sequence[Path]) -> Path:
    folders = [path.parent for path in paths]
    common = folders[0] if folders else Path()
    while not all(folder.is_relative_to(common) for folder in folders):
        common = common.parent
    return common


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
