"""Stops a process that is told to: its unfinished files go, and it ends within seconds."""

import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

logger = logging.getLogger(__name__)

STATUS = 128 + signal.SIGTERM
"""Exit status of a process that was told to stop, as shells tell it."""


class Stopped(BaseException):
    """The process was told to stop; no error, so that nothing but the end of it catches it."""


@contextmanager
def stopping_on_sigterm() -> Iterator[None]:
    """Have SIGTERM unwind the body, which takes its temporary files along, and end the process.

    Threads that still read are not waited for: they may be trying for a minute.

    **Reads:** nothing.
    """
    before = signal.signal(signal.SIGTERM, _stop)
    try:
        yield
    except Stopped:
        logger.warning("Stopped by SIGTERM; what was unfinished is deleted")
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(STATUS)
    finally:
        signal.signal(signal.SIGTERM, before)


def _stop(_number: int, _frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # one is enough; a second would break the tidying
    raise Stopped("The service was told to stop before it was done.")
