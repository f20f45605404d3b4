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

from harmony_vds.errors import RequestError, SettingsError, VdsError
from harmony_vds.memory import collector_at_rest, return_large_blocks
from harmony_vds.operation import check_form, parse_operation
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
    if not parsed.harmony_metadata_dir:
        parser.error("--harmony-metadata-dir must be given")
    settings = config(validate=False)
    if not _is_taken(parsed, settings):
        return 1
    # The library would read the catalogue where errors reach nobody.
    adapter = partial(VirtualStoreAdapter, sources=parsed.harmony_sources)
    parsed.harmony_sources = ""
    try:
        with stopping_on_sigterm(partial(_tell_user, parsed.harmony_metadata_dir, _STOPPED)):
            run_cli(parser, parsed, adapter, settings)
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


def _is_taken(parsed: argparse.Namespace, settings: Any) -> bool:
    """Whether the message is one that Harmony's library can read; the user is told if not."""
    operation: dict[str, Any] = {}
    refusal = ""
    try:
        operation = _operation(parsed)
        _check(operation, settings.shared_secret_key)
    except VdsError as error:
        refusal = str(error)
    labels = (operation.get(name) for name in ("requestId", "user"))
    told = ("" if own is None else str(own) for own in labels)
    _configure_logging(settings, WorkItemFilter(*told))
    if refusal:
        logger.error("%s", refusal)
        _tell_user(parsed.harmony_metadata_dir, refusal, "NoRetry")
    parsed.harmony_input, parsed.harmony_input_file = json.dumps(operation), None
    return not refusal


def _operation(parsed: argparse.Namespace) -> dict[str, Any]:
    """The message, wherever it stands."""
    path = parsed.harmony_input_file
    try:
        text = Path(path).read_bytes() if path else parsed.harmony_input or ""
    except (OSError, ValueError) as error:
        raise RequestError(f"The message cannot be read from {path}: {error}.") from None
    return parse_operation(text)


def _check(operation: dict[str, Any], secret: str | None) -> None:
    """Raise for what Harmony's library would fail at without saying where."""
    check_form(operation)
    token = operation.get("accessToken")
    if not (token and secret):
        return
    from harmony_service_lib.util import create_decrypter
    from nacl.exceptions import CryptoError

    try:
        create_decrypter(secret.encode())(token)
    except (CryptoError, ValueError, IndexError):
        raise SettingsError(
            "The accessToken of the message was not encrypted by the SHARED_SECRET_KEY of this "
            "service; the two should be those of one Harmony."
        ) from None


def _tell_user(metadata_dir: str, told: str, category: str = "Service") -> None:
    """Write an ``error.json`` where the library has none to write, or says only "unknown"."""
    from harmony_service_lib.aws import is_s3, write_s3

    from harmony_vds.adapter import one_line

    document = json.dumps({"error": one_line(told), "category": category, "level": "Error"})
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
