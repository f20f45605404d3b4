"""Names outputs by Harmony's rule and puts them where Harmony wants them."""

import logging
import re
import shutil
import tempfile
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import boto3
from harmony_service_lib.aws import aws_parameters
from harmony_service_lib.util import config as harmony_config
from harmony_service_lib.util import generate_output_filename
from harmony_service_lib.util import stage as stage_to_s3

from harmony_vds.errors import SettingsError, UpstreamError
from harmony_vds.model.extent import BoundingBox, TimeRange
from harmony_vds.model.output import Output
from harmony_vds.model.plan import Plan
from harmony_vds.model.request import Source

logger = logging.getLogger(__name__)

_LONGEST_NAME = 200
_UPLOADS = 8
_ROOTS = ("zarr.json", "repo")
"""The documents without which nothing opens a Zarr store, or an icechunk repository."""
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
        is_subsetted=plan.is_subset,
    )
    stem = re.sub(r"[^A-Za-z0-9._-]+", "_", ruled.removesuffix(extension)).lstrip(".")
    stem = re.sub(r"\.{2,}", ".", stem)[: _LONGEST_NAME - len(extension)] or "output"
    name, number = f"{stem}{extension}", 2
    while name in taken:
        name, number = f"{stem}_{number}{extension}", number + 1
    return name


def stage(
    outputs: Sequence[Output], names: Sequence[str], location: str, config: Any
) -> list[StagedOutput]:
    """Put `outputs` under `location`, an S3 prefix or a local folder.

    A file appears under its name only when it is complete, and the root of a folder after all else
    that is in it.

    Raises
    ------
    SettingsError
        There is no usable location.
    UpstreamError
        The upload failed.

    **Reads:** nothing.
    """
    if not location:
        raise SettingsError(
            "There is nowhere to put outputs: the message has no stagingLocation and the command "
            "line no --harmony-data-location."
        )
    put = _upload if location.startswith("s3://") else _move
    staged = []
    for output, name in zip(outputs, names, strict=True):
        href = put(output, name, location, config)
        logger.info("Staged %s (%d bytes, sha256 %s)", name, output.nbytes, output.checksum)
        staged.append(StagedOutput(name, href, output))
    return staged


def try_location(location: str) -> str:
    """Put a small file under `location` as outputs will be; gives its href. It is left there.

    Raises
    ------
    SettingsError, UpstreamError
        As `stage`.

    **Reads:** nothing.
    """
    with tempfile.TemporaryDirectory(prefix="vds-") as folder:
        path = Path(folder) / _TRIAL
        path.write_text("harmony-vds doctor tried whether outputs can be put here.\n")
        box, times = BoundingBox(-180, -90, 180, 90), TimeRange(None, None)
        trial = Output(path, "text/plain", box, times, path.stat().st_size, "", 0, "")
        return stage([trial], [_TRIAL], location, harmony_config(validate=False))[0].href


def _upload(output: Output, name: str, location: str, config: Any) -> str:
    prefix = location if location.endswith("/") else f"{location}/"
    try:
        if output.path.is_dir():
            return _upload_folder(output.path, name, prefix, config)
        href: str = stage_to_s3(
            str(output.path), name, output.media_type, logger, location=prefix, cfg=config
        )
    except Exception as error:  # boto3 has no common ancestor for what may go wrong here
        raise UpstreamError(
            f"The output {name} could not be put into the staging bucket ({type(error).__name__})."
        ) from error
    return href


def _upload_folder(folder: Path, name: str, prefix: str, config: Any) -> str:
    """Upload all files of a store; its root document, without which none opens, last."""
    root = next(own for name in _ROOTS if (own := folder / name).exists())
    names = [own.relative_to(folder).as_posix() for own in folder.rglob("*") if own.is_file()]
    bucket, _, path = prefix.removeprefix("s3://").partition("/")
    client = boto3.client("s3", **_s3_parameters(config))

    def put(own: str) -> None:
        kind = "application/json" if own.endswith(".json") else "application/octet-stream"
        client.upload_file(
            str(folder / own), bucket, f"{path}{name}/{own}", ExtraArgs={"ContentType": kind}
        )

    with ThreadPoolExecutor(_UPLOADS, thread_name_prefix="harmony-vds-stage") as pool:
        for _ in pool.map(put, sorted(set(names) - {root.name})):
            pass
    href: str = stage_to_s3(
        str(root), f"{name}/{root.name}", "application/json", logger, location=prefix, cfg=config
    )
    return href.removesuffix(f"/{root.name}")


def _s3_parameters(config: Any) -> dict[str, Any]:
    """What Harmony's library makes its own clients with."""
    found: dict[str, Any] = aws_parameters(
        config.use_localstack, config.localstack_host, config.aws_default_region
    )
    return found


def _move(output: Output, name: str, location: str, _: Any) -> str:
    folder = Path(unquote(urlsplit(location).path) if location.startswith("file:") else location)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = folder / f".{name}.part"
        shutil.move(output.path, unfinished)
        if (folder / name).is_dir():
            shutil.rmtree(folder / name)
        unfinished.replace(folder / name)
    except OSError as error:
        raise SettingsError(f"The output cannot be put into {folder}: {error.strerror}.") from None
    return str((folder / name).resolve())
