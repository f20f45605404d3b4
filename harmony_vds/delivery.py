"""Hands outputs over one after another: each is written, put in its place and deleted here."""

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harmony_vds.pipeline import Prepared, written
from harmony_vds.services import Services
from harmony_vds.staging import StagedOutput, output_name, stage
from harmony_vds.telemetry import Progress, no_progress


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
    staged: list[StagedOutput] = []
    with tempfile.TemporaryDirectory(prefix="vds-") as workdir:
        outputs = written(prepared, Path(workdir), services, progress)
        for output in outputs:
            own = prepared[output.plan_number]
            taken = [other.name for other in staged]
            name = output_name(own.source, own.plan, output, taken, own.label)
            staged += stage([output], [name], location, config)
            _delete(output.path)
    return staged


def _delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)  # a local folder has it now
