"""Hands outputs over one after another: each is written, put in its place and deleted here."""

import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from harmony_vds import __version__
from harmony_vds.bucket import StagingBucket
from harmony_vds.combining import subset_of
from harmony_vds.folder import FOLDERS, StagedFolder
from harmony_vds.model.output import Output
from harmony_vds.outputs.write import expected
from harmony_vds.pipeline import written
from harmony_vds.prepared import Prepared
from harmony_vds.services import Services
from harmony_vds.staging import StagedOutput, output_name, stage
from harmony_vds.stopping import work_folder
from harmony_vds.telemetry import Progress, no_progress

logger = logging.getLogger(__name__)


def deliver(
    prepared: Sequence[Prepared],
    services: Services,
    location: str,
    config: Any,
    progress: Progress = no_progress,
) -> list[StagedOutput]:
    """The outputs of `prepared` at `location`, one on the local disk at a time.

    Parameters
    ----------
    prepared
        The plans, in order.
    services
        The same as for `prepare`.
    location
        S3 prefix or local folder.
    config
        Of Harmony's library; None where `location` is a folder.
    progress
        Told the bytes written so far and in all.

    Raises
    ------
    TimeLimitError, StoreError, ForbiddenError, UpstreamError, SettingsError
        As `written` and `stage`; what was put in its place before stays there.

    **Reads:** chunks.
    """
    earlier = {} if config is None else _staged_before(prepared, services, location, config)
    leaving_out = {number: own.left_out for number, own in earlier.items()}
    staged = {number: dict(own.staged) for number, own in earlier.items()}
    with work_folder() as workdir:
        outputs = written(prepared, workdir, services, progress, leaving_out)
        names = [other.name for own in staged.values() for other in own.values()]
        for output in outputs:
            own = prepared[output.plan_number]
            name = output_name(own.source, own.plan, output, names, own.label)
            names.append(name)
            mark = fingerprint_of(own)
            # First what goes beside it, so that an output which is there has all of it.
            beside = _stage_beside(output, name, own, location, config)
            (found,) = stage([output], [name], location, config, mark)
            held = staged.setdefault(output.plan_number, {})
            held[output.variable] = replace(found, beside=beside)
            _delete(output.path)
    return [
        staged[number][variable]
        for number in sorted(staged)
        for variable in (earlier[number].variables if number in earlier else staged[number])
    ]


def _stage_beside(
    output: Output, name: str, prepared: Prepared, location: str, config: Any
) -> tuple[StagedOutput, ...]:
    if output.browse is None and not output.described:
        return ()
    from harmony_vds.sidecar import files_beside

    files = files_beside(output, name, prepared.plan)
    mark = fingerprint_of(prepared)
    staged = stage([own for own, _ in files], [own for _, own in files], location, config, mark)
    for own, _ in files:
        _delete(own.path)
    return tuple(staged)


def fingerprint_of(prepared: Prepared) -> str:
    """What tells that an object holds what `prepared` writes. **Reads:** nothing."""
    return f"{prepared.plan.fingerprint}-{__version__}"


@dataclass(frozen=True)
class _Earlier:
    """What an earlier run of this work item has completed of a plan's outputs."""

    variables: tuple[str, ...]
    """Those that the plan's outputs are of, in order; one empty name where all are in one."""
    staged: Mapping[str, StagedOutput]
    """Variable → the output, where it is complete."""

    @property
    def left_out(self) -> tuple[str, ...]:
        """As `written` has it. **Reads:** nothing."""
        return () if len(self.staged) == len(self.variables) else tuple(self.staged)


def _staged_before(
    prepared: Sequence[Prepared], services: Services, location: str, config: Any
) -> dict[int, _Earlier]:
    """Plan's number → what is complete of it; plans of which nothing is are left out."""
    if not location.startswith("s3://"):
        return {}
    bucket = StagingBucket.of(location, config)
    if cleared := bucket.clear_unfinished(services.limits.max_seconds):
        logger.info("Gave up %d uploads that an earlier run left unfinished", cleared)
    if bucket.names("") == {}:
        return {}
    found: dict[int, _Earlier] = {}
    names: list[str] = []
    for number, own in enumerate(prepared):
        outputs = expected(own.plan, own.notes, partial(subset_of, own))
        held: dict[str, StagedOutput] = {}
        for output in outputs:
            names.append(output_name(own.source, own.plan, output, names, own.label))
            there = _complete(replace(output, plan_number=number), names[-1], own, bucket)
            if there is not None:
                held[output.variable] = there
        if held:
            found[number] = _Earlier(tuple(other.variable for other in outputs), held)
    return found


def _complete(
    output: Output, name: str, prepared: Prepared, bucket: StagingBucket
) -> StagedOutput | None:
    """An output that an earlier run has completed, with what it has put beside it."""
    mark = fingerprint_of(prepared)
    is_folder = output.extension in FOLDERS
    held = StagedFolder(bucket, name).find(mark) if is_folder else bucket.find(name, mark)
    if held is None:
        return None
    logger.info("%s is complete from an earlier run", name)
    output = replace(output, nbytes=held.nbytes, checksum=held.checksum)
    return StagedOutput(name, held.href, output, _beside_before(output, name, prepared, bucket))


def _beside_before(
    output: Output, name: str, prepared: Prepared, bucket: StagingBucket
) -> tuple[StagedOutput, ...]:
    """What an earlier run has put beside an output."""
    if prepared.plan.layout.beside == "none":
        return ()
    from harmony_vds.sidecar import names_beside

    held = [
        (own, bucket.find(own, fingerprint_of(prepared))) for own in names_beside(name).values()
    ]
    return tuple(
        StagedOutput(
            own, found.href, replace(output, nbytes=found.nbytes, checksum=found.checksum,
                                     media_type=found.media_type, missing=0))
        for own, found in held if found is not None
    )  # fmt: skip


def _delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)  # a local folder has it now
