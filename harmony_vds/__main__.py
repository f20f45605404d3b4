"""Harmony's command line: ``python -m harmony_vds --harmony-action invoke …``."""

import argparse
import json
import logging
import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from harmony_vds.memory import collector_at_rest, return_large_blocks
from harmony_vds.stopping import Stopped, stopping_on_sigterm
from harmony_vds.telemetry import WorkItemFilter, keep_secret, redact_all_handlers

logger = logging.getLogger("harmony_vds")

_STOPPED = "The service was told to stop before it was done. It can be run again."
_CHATTY = ("boto3", "botocore", "s3transfer", "urllib3", "aiohttp", "asyncio", "pystac")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one invocation and give its exit status: 0 on success, 1 on failure.

    **Reads:** chunks.
    """
    return_large_blocks()
    # The library insists on these two, though every work item brings its own location.
    os.environ.setdefault("STAGING_BUCKET", "")
    os.environ.setdefault("STAGING_PATH", "")
    os.environ.setdefault("APP_NAME", "harmony-vds")
    keep_secret(os.environ.get("SHARED_SECRET_KEY"))
    with collector_at_rest():
        from harmony_service_lib.cli import is_harmony_cli, run_cli, setup_cli
        from harmony_service_lib.exceptions import HarmonyException
        from harmony_service_lib.util import config

        from harmony_vds.adapter import VirtualStoreAdapter

    parser = argparse.ArgumentParser(
        prog="harmony_vds", description="Answers Harmony requests from virtual Zarr stores."
    )
    setup_cli(parser)
    parsed = parser.parse_args(arguments)
    if not is_harmony_cli(parsed):
        parser.error("only Harmony's arguments are understood here; people use harmony-vds")
    _take_inline_shape(parsed)
    settings = config(validate=False)
    _configure_logging(settings, WorkItemFilter(*_work_item(parsed)))
    try:
        with stopping_on_sigterm(partial(_tell_user, parsed.harmony_metadata_dir, _STOPPED)):
            run_cli(parser, parsed, VirtualStoreAdapter, settings)
    except HarmonyException:
        return 1  # logged and written to error.json by the library
    except Exception as error:  # raised by the library around the adapter: the user must hear of it
        logger.exception("The invocation could not be set up or recorded")
        _tell_user(
            parsed.harmony_metadata_dir,
            "The virtual store service could not read its work item or record its result "
            f"({type(error).__name__}: {error}). Report this with the job id.",
        )
        return 1
    return 0


def _take_inline_shape(parsed: argparse.Namespace) -> None:
    """Hand the message on in a form that the library can read."""
    from harmony_vds.message import readable_message

    path = parsed.harmony_input_file
    try:
        text = Path(path).read_text(encoding="utf-8") if path else parsed.harmony_input
    except (OSError, ValueError):
        return  # the library says what is wrong
    if text and (readable := readable_message(text)) != text:
        parsed.harmony_input, parsed.harmony_input_file = readable, None


def _work_item(parsed: argparse.Namespace) -> tuple[str, str]:
    """Request id and user of the message, as far as it can be read."""
    try:
        path = parsed.harmony_input_file
        message = json.loads(Path(path).read_bytes() if path else parsed.harmony_input)
        return str(message.get("requestId") or ""), str(message.get("user") or "")
    except (OSError, TypeError, ValueError, AttributeError):
        return "", ""


def _tell_user(metadata_dir: str, told: str) -> None:
    """Write an ``error.json`` where the library has none to write, or says only "unknown"."""
    from harmony_service_lib.aws import is_s3, write_s3

    from harmony_vds.adapter import one_line

    document = json.dumps({"error": one_line(told), "category": "Service", "level": "Error"})
    try:
        if is_s3(metadata_dir):
            write_s3(f"{metadata_dir.rstrip('/')}/error.json", document)
        else:
            folder = Path(metadata_dir)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "error.json").write_text(document, encoding="utf-8")
    except Exception:  # nothing is left to tell it by but the log and the exit status
        logger.exception("The error could not be recorded either")


def _configure_logging(settings: Any, labels: logging.Filter) -> None:
    """One JSON object a line on stderr; no secrets, no tracebacks of plain refusals."""
    from harmony_service_lib.logging import build_logger

    build_logger(settings)
    build_logger(settings, name="root")
    root = logging.getLogger()
    for handler in logging.getLogger("root").handlers:
        root.addHandler(handler)
    for handler in {*root.handlers, *logging.getLogger("harmony-service").handlers}:
        handler.addFilter(_without_refusal_traceback)
        handler.addFilter(labels)
    logging.captureWarnings(capture=True)
    root.setLevel(os.environ.get("SERVICE_LOG_LEVEL") or logging.INFO)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    redact_all_handlers()


def _without_refusal_traceback(record: logging.LogRecord) -> bool:
    from harmony_service_lib.exceptions import HarmonyException

    if record.exc_info and isinstance(record.exc_info[1], HarmonyException | Stopped):
        record.exc_info = None
    return True


if __name__ == "__main__":
    sys.exit(main())
