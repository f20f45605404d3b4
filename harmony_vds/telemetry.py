"""Logs without secrets, stage timings, and the clock that work runs against.

Redaction happens on the finished text of a log line, after formatting, so that a secret cannot
slip through an argument, an exception text or a traceback.
"""

import logging
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from harmony_vds.errors import TimeLimitError

logger = logging.getLogger(__name__)

_SECRETS = re.compile(
    r"(?i)(bearer\s+)[\w.~+/=-]{8,}"
    r"|((?:x-amz-|[?&])[\w-]*(?:token|credential|signature|sig|policy|key|secret|password)=)[^&\s\"']+"
    r"|((?:secret_?access_?key|session_?token|accesstoken|access_token)[\"']?\s*[:=]\s*[\"']?)[^\s\"',}&]+"
    r"|\b(?:AKIA|ASIA)[A-Z0-9]{12,}"
    r"|\beyJ[\w-]{6,}\.[\w-]+(?:\.[\w-]+)?"
)
_MASK = "<redacted>"
_known_secrets: set[str] = set()


def keep_secret(secret: str | None) -> None:
    """From now on mask `secret` itself in every log line, whatever stands around it.

    **Reads:** nothing.
    """
    if secret and len(secret) >= 6:
        _known_secrets.add(secret)


def forget_secrets() -> None:
    """Mask no longer what was told to `keep_secret`; for when nothing knows it any more.

    **Reads:** nothing.
    """
    _known_secrets.clear()


def redact(text: str) -> str:
    """`text` with tokens, keys and signatures masked. **Reads:** nothing."""
    for secret in tuple(_known_secrets):
        text = text.replace(secret, _MASK)
    return _SECRETS.sub(lambda m: "".join(g for g in m.groups() if g) + _MASK, text)


class RedactingFormatter(logging.Formatter):
    """Formats with another formatter, then masks secrets in the finished line."""

    def __init__(self, inner: logging.Formatter | None) -> None:
        super().__init__()
        self.inner = inner or logging.Formatter()

    def format(self, record: logging.LogRecord) -> str:
        """The inner formatter's line, redacted. **Reads:** nothing."""
        return redact(self.inner.format(record))


class WorkItemFilter(logging.Filter):
    """Adds the request id and user of a work item to every record that has none of its own.

    And the time: the library's formatter would take it by a deprecated call, whose warning would
    become a log line in turn.
    """

    def __init__(self, request_id: str, user: str) -> None:
        super().__init__()
        self._own = {"requestId": request_id, "user": user}

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep every record, labelled. **Reads:** nothing."""
        for name, value in self._own.items():
            if getattr(record, name, None) is None:
                setattr(record, name, value)
        moment = datetime.fromtimestamp(record.created, UTC)
        record.timestamp = moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return True


def redact_all_handlers() -> None:
    """Put a `RedactingFormatter` on every log handler that exists now; safe to call again.

    **Reads:** nothing.
    """
    named = [logging.getLogger(name) for name in list(logging.root.manager.loggerDict)]
    for owner in [logging.root, *named]:
        for handler in owner.handlers:
            if not isinstance(handler.formatter, RedactingFormatter):
                handler.setFormatter(RedactingFormatter(handler.formatter))


@dataclass(frozen=True)
class Deadline:
    """The moment by which a request must be done; checked between pieces of work."""

    seconds: float
    """How long the whole request may take, in seconds."""
    started: float = field(default_factory=time.monotonic)
    """`time.monotonic()` at the start of the request."""

    @property
    def remaining(self) -> float:
        """Seconds left; negative once the time is over. **Reads:** nothing."""
        return self.started + self.seconds - time.monotonic()

    def check(self, done: float | None = None) -> None:
        """Do nothing while there is time left.

        Parameters
        ----------
        done
            Share of the work finished so far, in 0..1, for the message.

        Raises
        ------
        TimeLimitError
            The time is over; the text says how far the work got and what to ask instead.

        **Reads:** nothing.
        """
        if self.remaining > 0:
            return
        reached = "" if done is None else f" after {done:.0%} of the bytes were read"
        raise TimeLimitError(
            f"Stopped{reached}: the request did not finish within {self.seconds:g} s, the limit "
            "of this service (HARMONY_VDS_MAX_SECONDS). Ask for a shorter time range, a smaller "
            "box or fewer variables, or split the request into several."
        )


type Progress = Callable[[int, int], None]
"""Called with (bytes done, bytes in all) as chunks arrive."""


def no_progress(done: int, total: int) -> None:
    """Ignore progress. **Reads:** nothing."""


class ProgressLog:
    """Logs how far the work got, now and then, in numbers that log readers can draw."""

    def __init__(self, parts: int, total: int, every: float = 10.0) -> None:
        self.parts = parts
        self.total = total
        self.every = every
        self.started = self.told = time.monotonic()

    def tell(self, part: int, done: int, *, finished: bool = False) -> None:
        """Log a line, if `finished` or the last one is `every` seconds old.

        Parameters
        ----------
        part
            Parts that are finished.
        done
            Bytes written so far, of all parts.
        finished
            Whether a part has just been finished.

        **Reads:** nothing.
        """
        now = time.monotonic()
        if not finished and now - self.told < self.every:
            return
        self.told = now
        share = done / self.total if self.total else 1.0
        remaining = (now - self.started) * (1 - share) / share if share else 0.0
        logger.info(
            "%d of %d parts and %.0f%% of the bytes are written, about %.0f s remain",
            part, self.parts, 100 * share, remaining,
            extra={"parts": self.parts, "partsDone": part, "bytes": self.total, "bytesDone": done,
                   "percent": round(100 * share, 1), "remainingSeconds": round(remaining)},
        )  # fmt: skip


@dataclass
class Advance:
    """How far the writing of all outputs got: told on as it goes, and held to the deadline."""

    log: ProgressLog
    """Logs it."""
    progress: Progress
    """Told it."""
    deadline: Deadline
    """Of the request."""
    done: int = 0
    """Bytes written so far."""
    finished: int = 0
    """Parts that are finished."""

    def __call__(self, nbytes: int) -> None:
        """Count another `nbytes` bytes written; errors as `Deadline.check`. **Reads:** nothing."""
        self.done += nbytes
        total = self.log.total
        self.progress(self.done, total)
        self.log.tell(self.finished, self.done)
        self.deadline.check(self.done / total if total else None)

    def finish_one(self) -> None:
        """Count another part finished. **Reads:** nothing."""
        self.finished += 1
        self.log.tell(self.finished, self.done, finished=True)


@contextmanager
def timed(stage: str) -> Iterator[None]:
    """Log how long the body took, as `stage` and `durationMs`. **Reads:** nothing."""
    start = time.perf_counter()
    try:
        yield
    finally:
        elapsed = round((time.perf_counter() - start) * 1000)
        logger.info("%s took %d ms", stage, elapsed, extra={"stage": stage, "durationMs": elapsed})
