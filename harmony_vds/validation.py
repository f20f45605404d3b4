"""Says over HTTP, before a job exists, whether its request would be refused.

Harmony posts the operation of a request, with the user's token, to the ``external_validation_url``
of the service's entry and hands any refusal to the user. A check takes some seconds at most; what
cannot be judged in that time, or because something elsewhere is in trouble, is accepted, and the
job will tell. No token is stored: what the log's masks know is forgotten when no check goes on.
"""

import argparse
import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from harmony_service_lib.message import Message
from harmony_service_lib.util import config as harmony_config
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from harmony_vds.access.credentials import Credentials
from harmony_vds.adapter import one_line
from harmony_vds.errors import ErrorGroup, SettingsError, TimeLimitError, VdsError
from harmony_vds.memory import return_large_blocks
from harmony_vds.message import request_from_message
from harmony_vds.operation import check_form, parse_operation
from harmony_vds.pipeline import prepare
from harmony_vds.services import Services
from harmony_vds.settings import Settings, settings_from_environment
from harmony_vds.telemetry import RedactingFormatter, forget_secrets
from harmony_vds.uploads import upload_reader

logger = logging.getLogger(__name__)

PARTS_CHAIN = "harmony-vds-parts"
"""Name of the entry of ``service.yml`` whose requests are written in a work item for each Part."""
_LONGEST_BODY = 16 * 2**20
_MOST_HELD = 4 * _LONGEST_BODY
"""Bytes of all bodies that are held at once; what comes on top of them is accepted."""
_JUDGED = {
    ErrorGroup.REQUEST: HTTPStatus.BAD_REQUEST,
    ErrorGroup.NO_DATA: HTTPStatus.BAD_REQUEST,
    ErrorGroup.STORE: HTTPStatus.BAD_REQUEST,
    ErrorGroup.FORBIDDEN: HTTPStatus.FORBIDDEN,
}
"""What is refused, and how; all other errors may be over when the job runs."""


@dataclass(frozen=True)
class Verdict:
    """What is said of a request."""

    status: HTTPStatus = HTTPStatus.OK
    """200, or why it is refused."""
    description: str = ""
    """The refusal, in one line."""

    def response(self) -> Response:
        """In the form of Harmony's own errors. **Reads:** nothing."""
        if self.status is HTTPStatus.OK:
            return JSONResponse({"code": "accepted"})
        code = "harmony.ForbiddenError" if self.status is HTTPStatus.FORBIDDEN else (
            "harmony.RequestValidationError")  # fmt: skip
        body = {"code": code, "description": f"Error: {self.description}"}
        return JSONResponse(body, self.status)


@dataclass
class Checker:
    """Checks requests, a few at a time, each for a few seconds at most."""

    settings: Settings
    """The operator's."""
    at_once: int = 4
    """Most checks that go on; what comes while all are busy is accepted."""
    seconds: float = 3.0
    """After which a request is accepted."""
    busy: int = 0
    """Checks that go on now."""
    held: int = 0
    """Bytes of bodies that are being received."""
    _pool: ThreadPoolExecutor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._pool = ThreadPoolExecutor(self.at_once, thread_name_prefix="harmony-vds-check")

    async def answer(self, asked: HttpRequest) -> Response:
        """What ``POST /validate`` is answered. **Reads:** coordinates."""
        body = await self.body(asked)
        if body is None:
            return Verdict().response()
        kind, _, token = asked.headers.get("authorization", "").partition(" ")
        own = token if kind.lower() == "bearer" else ""
        return (await self.verdict(body, own)).response()

    async def health(self, _: HttpRequest) -> Response:
        """What ``GET /health`` is answered. **Reads:** nothing."""
        return JSONResponse({"status": "ok", "busy": self.busy})

    async def body(self, asked: HttpRequest) -> bytes | None:
        """The body of a request; None where it is too long to be judged, or comes too slowly.

        What is too long is received all the same: who is still sending would not read the answer.
        **Reads:** nothing.
        """
        received, is_too_long = bytearray(), False
        try:
            async with asyncio.timeout(self.seconds):
                async for piece in asked.stream():
                    is_too_long |= len(received) + len(piece) > _LONGEST_BODY
                    is_too_long |= self.held + len(piece) > _MOST_HELD
                    if is_too_long:
                        self.held -= len(received)
                        received.clear()
                    else:
                        self.held += len(piece)
                        received += piece
        except (TimeoutError, ClientDisconnect):
            is_too_long = True
        finally:
            self.held -= len(received)
        if is_too_long:
            logger.warning("Accepted unchecked: too long, or not received in %g s", self.seconds)
        return None if is_too_long else bytes(received)

    async def verdict(self, body: bytes, token: str) -> Verdict:
        """What is said of the operation in `body`. **Reads:** coordinates."""
        if self.busy >= self.at_once:
            logger.warning("Accepted unchecked: %d checks go on already", self.busy)
            return Verdict()
        self.busy += 1
        check = asyncio.get_running_loop().run_in_executor(self._pool, self._check, body, token)
        check.add_done_callback(self._finished)
        done, _ = await asyncio.wait([check], timeout=self.seconds)
        if not done:
            logger.warning("Accepted unchecked: not judged within %g s", self.seconds)
            return Verdict()
        return check.result()

    def _finished(self, _: object) -> None:
        self.busy -= 1
        if not self.busy:
            forget_secrets()

    def _check(self, body: bytes, token: str) -> Verdict:
        """What is said of a body, in a thread; whatever this check cannot tell is accepted."""
        try:
            self._prepare(body, token)
        except TimeLimitError:
            logger.warning("Accepted unchecked: not judged within %g s", self.seconds)
            return Verdict()
        except VdsError as error:
            told = one_line(str(error))
            status = _JUDGED.get(error.group, HTTPStatus.OK)
            logger.info("%s: %s", "Accepted" if status is HTTPStatus.OK else "Refused", told)
            return Verdict(status, told)
        except Exception:  # a defect of this check must not keep people from their data
            logger.exception("Accepted unchecked: the check failed")
            return Verdict()
        return Verdict()

    def _prepare(self, body: bytes, token: str) -> None:
        operation = parse_operation(body)
        check_form(operation)
        request = request_from_message(Message(operation))
        service = (operation.get("extraArgs") or {}).get("service", "")
        apart = str(service).endswith(PARTS_CHAIN)
        credentials = Credentials.of_token(token or None, self.settings.token_hosts)
        uploads = upload_reader(harmony_config(validate=False))
        with Services.of(self.settings, credentials, uploads, seconds=self.seconds) as services:
            prepare(request, services, apart=apart)


def app(settings: Settings | None = None, at_once: int = 4, seconds: float = 3.0) -> Starlette:
    """The ASGI application: ``POST /validate`` and ``GET /health``.

    Raises
    ------
    SettingsError
        A setting cannot be used, so that no request could be judged.

    **Reads:** nothing.
    """
    checker = Checker(settings or settings_from_environment(), at_once, seconds)
    with Services.of(checker.settings, Credentials.of_token(None), seconds=seconds):
        pass  # some settings are judged where they are used
    return Starlette(routes=[
        Route("/validate", checker.answer, methods=["POST"]),
        Route("/health", checker.health, methods=["GET"]),
    ])  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until told to stop: ``harmony-vds-validate --host 0.0.0.0 --port 8080``.

    **Reads:** coordinates, for each request.
    """
    import uvicorn

    parser = argparse.ArgumentParser(prog="harmony-vds-validate", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--at-once", type=int, default=4, help="most checks that go on")
    parser.add_argument(
        "--seconds", type=float, default=3.0,
        help="after which a request is accepted unchecked; Harmony waits for about five",
    )  # fmt: skip
    asked = parser.parse_args(arguments)
    return_large_blocks()
    handler: Any = logging.StreamHandler()
    handler.setFormatter(RedactingFormatter(logging.Formatter("%(levelname)s %(message)s")))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    try:
        serving = app(None, asked.at_once, asked.seconds)
    except SettingsError as error:
        parser.exit(1, f"harmony-vds-validate: {one_line(str(error))}\n")
    # Harmony gives up after some seconds; uvicorn's own access log would hold no more than paths.
    uvicorn.run(
        serving, host=asked.host, port=asked.port, access_log=False,
        log_config=None, server_header=False,
    )  # fmt: skip
