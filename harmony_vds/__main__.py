"""Harmony's command line: ``python -m harmony_vds --harmony-action invoke …``."""

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from typing import Any

from harmony_vds.telemetry import keep_secret, redact_all_handlers

_CHATTY = ("boto3", "botocore", "s3transfer", "urllib3", "aiohttp", "asyncio", "pystac")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one invocation and give its exit status: 0 on success, 1 on failure.

    **Reads:** chunks.
    """
    # The library insists on these two, though every work item brings its own location.
    os.environ.setdefault("STAGING_BUCKET", "")
    os.environ.setdefault("STAGING_PATH", "")
    os.environ.setdefault("APP_NAME", "harmony-vds")
    keep_secret(os.environ.get("SHARED_SECRET_KEY"))
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
    settings = config(validate=False)
    _configure_logging(settings)
    try:
        run_cli(parser, parsed, VirtualStoreAdapter, settings)
    except HarmonyException:
        return 1  # logged and written to error.json by the library
    except Exception:
        logging.getLogger("harmony_vds").exception("The invocation could not be set up or recorded")
        return 1
    return 0


def _configure_logging(settings: Any) -> None:
    """One JSON object a line on stderr; no secrets, no tracebacks of plain refusals."""
    from harmony_service_lib.logging import build_logger

    build_logger(settings)
    build_logger(settings, name="root")
    root = logging.getLogger()
    for handler in logging.getLogger("root").handlers:
        root.addHandler(handler)
    for handler in {*root.handlers, *logging.getLogger("harmony-service").handlers}:
        handler.addFilter(_without_refusal_traceback)
    root.setLevel(os.environ.get("SERVICE_LOG_LEVEL") or logging.INFO)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    redact_all_handlers()


def _without_refusal_traceback(record: logging.LogRecord) -> bool:
    from harmony_service_lib.exceptions import HarmonyException

    if record.exc_info and isinstance(record.exc_info[1], HarmonyException):
        record.exc_info = None
    return True


if __name__ == "__main__":
    sys.exit(main())
