"""Names outputs by Harmony's rule and puts them where Harmony wants them."""

import logging
import re
import shutil
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from harmony_service_lib.util import config as harmony_config
from harmony_service_lib.util import generate_output_filename

from harmony_vds.bucket import TROUBLE, StagingBucket
from harmony_vds.errors import SettingsError, UpstreamError
from harmony_vds.folder import StagedFolder
from harmony_vds.model.extent import BoundingBox, TimeRange
from harmony_vds.model.output import Output
from harmony_vds.model.plan import Plan
from harmony_vds.model.request import Source
from harmony_vds.stopping import undone_if_stopped, work_folder

logger = logging.getLogger(__name__)

_LONGEST_NAME = 200
_BUCKET = re.compile(r"[A-Za-z0-9.\-_]{1,255}")
_TRIAL = "harmony-vds-doctor.txt"


@dataclass(frozen=True)
class StagedOutput:
    """An output where Harmony can find it."""

    name: str
    """File name."""
    href: str
    """``s3://`` URL, or absolute path of a local file."""
    output: Output
    """What it is."""
    beside: tuple["StagedOutput", ...] = ()
    """What lies beside it: its STAC item, a picture."""


def output_name(
    source: Source, plan: Plan, output: Output, taken: Collection[str] = (), label: str = ""
) -> str:
    """The file name of an output: ``<short name>_<version>[_<variable>][_subsetted]<extension>``.

    A store that is one of several of its collection, such as a frame's, puts its own name behind
    those of the collection, or in their place where it begins with the short name.

    Parameters
    ----------
    source
        The collection.
    plan
        What was asked.
    output
        What was written.
    taken
        Names of the same work item, which must differ.
    label
        The store's own name; empty where it is the collection's only one.

    **Reads:** nothing.
    """
    extension = output.extension
    base = f"{source.short_name}_{source.version}" if source.version else source.short_name
    if label:
        base = label if label.startswith(source.short_name) else f"{base}_{label}"
    # The rule drops what it takes for an extension, so a version such as v4.1 needs one to lose.
    alone = [output.variable] if output.variable else []
    variables = alone or (plan.requested if source.variables else ())
    ruled = generate_output_filename(
        f"{base.replace('/', '_')}.zarr",
        ext=extension,
        variable_subset=[path.lstrip("/") for path in variables],
        is_regridded=plan.target is not None,
        is_subsetted=plan.is_subset,
    )
    stem = re.sub(r"[^A-Za-z0-9._-]+", "_", ruled.removesuffix(extension)).lstrip(".")
    stem = re.sub(r"\.{2,}", ".", stem)[: _LONGEST_NAME - len(extension)] or "output"
    name, number = f"{stem}{extension}", 2
    while name in taken:
        name, number = f"{stem}_{number}{extension}", number + 1
    return name


def check_location(location: str | None) -> None:
    """Refuse what is neither an S3 prefix nor a local folder, before there are outputs.

    Raises
    ------
    SettingsError
        It is something else, or nothing.

    **Reads:** nothing.
    """
    if not location:
        raise SettingsError(
            "There is nowhere to put outputs: the message has no stagingLocation and the command "
            "line no --harmony-data-location."
        )
    scheme, _, rest = location.rpartition("://")
    bucket = rest.partition("/")[0]
    if scheme == "s3" and not _BUCKET.fullmatch(bucket):
        raise SettingsError("The stagingLocation is no S3 prefix: it has no name of a bucket.")
    if scheme not in ("s3", "file", "") or not location.isprintable():
        raise SettingsError(
            f"The stagingLocation is of the kind {scheme!r}; it should be an s3:// prefix or the "
            "path of a local folder."
        )


def stage(
    outputs: Sequence[Output],
    names: Sequence[str],
    location: str,
    config: Any,
    fingerprint: str = "",
) -> list[StagedOutput]:
    """Put `outputs` under `location`, an S3 prefix or a local folder.

    A file appears under its name only when it is complete, and the root of a folder after all else
    that is in it. Objects in S3 carry `fingerprint`, so that another run can tell what they hold;
    what another run has completed there meanwhile is taken as it is.

    Raises
    ------
    SettingsError
        There is no usable location.
    UpstreamError
        The upload failed.

    **Reads:** nothing.
    """
    check_location(location)
    put = _upload if location.startswith("s3://") else _move
    staged = []
    for output, name in zip(outputs, names, strict=True):
        found = put(output, name, location, config, fingerprint)
        logger.info(
            "Staged %s (%d bytes, sha256 %s)", name, found.output.nbytes, found.output.checksum
        )
        staged.append(found)
    return staged


def try_location(location: str) -> str:
    """Put a small file under `location` as outputs will be; gives its href. It is left there.

    Raises
    ------
    SettingsError, UpstreamError
        As `stage`.

    **Reads:** nothing.
    """
    with work_folder() as folder:
        path = folder / _TRIAL
        path.write_text("harmony-vds doctor tried whether outputs can be put here.\n")
        box, times = BoundingBox(-180, -90, 180, 90), TimeRange(None, None)
        trial = Output(path, "text/plain", box, times, path.stat().st_size, "", 0, "")
        return stage([trial], [_TRIAL], location, harmony_config(validate=False))[0].href


def _upload(
    output: Output, name: str, location: str, config: Any, fingerprint: str
) -> StagedOutput:
    try:
        bucket = StagingBucket.of(location, config)
        if output.path.is_dir():
            there = StagedFolder(bucket, name).put(output.path, fingerprint)
        else:
            there = bucket.put(output.path, name, output.media_type, output.checksum, fingerprint)
        kept = replace(output, nbytes=there.nbytes, checksum=there.checksum)
        return StagedOutput(name, there.href, kept)
    except TROUBLE as error:
        raise UpstreamError(
            f"The output {name} could not be put into the staging bucket ({type(error).__name__})."
        ) from error


def _move(output: Output, name: str, location: str, _: Any, __: str) -> StagedOutput:
    folder = Path(unquote(urlsplit(location).path) if location.startswith("file:") else location)
    unfinished = folder / f".{name}.part"
    try:
        with undone_if_stopped(partial(_delete, unfinished)):
            folder.mkdir(parents=True, exist_ok=True)
            shutil.move(output.path, unfinished)
            if (folder / name).is_dir():
                shutil.rmtree(folder / name)
            unfinished.replace(folder / name)
    except OSError as error:
        _delete(unfinished)
        raise SettingsError(f"The output cannot be put into {folder}: {error.strerror}.") from None
    return StagedOutput(name, str((folder / name).resolve()), output)


def _delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
        return
    with suppress(OSError):  # what kept it from being written may keep it from being deleted
        path.unlink(missing_ok=True)
