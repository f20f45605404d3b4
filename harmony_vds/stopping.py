"""Stops a process that is told to: its unfinished files go, and it ends within seconds.

SIGTERM unwinds the main thread. That may be kept: by a library that does not return, by a thread
that is waited for while it asks a silent server. So another thread hears the signal too, and ends
the process when the main one has not done so in time; what must not be left behind is then tidied
by those duties that were told beforehand.
"""

import logging
import os
import secrets
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import FrameType
from typing import NoReturn

logger = logging.getLogger(__name__)

STATUS = 128 + signal.SIGTERM
"""Exit status of a process that was told to stop, as shells tell it."""
PATIENCE = 5.0
"""Seconds for the main thread to unwind, and then for the duties; a pod has thirty in all."""

type Duty = Callable[[], object]

_duties: dict[object, Duty] = {}
_end_is_near = threading.Lock()


class Stopped(BaseException):
    """The process was told to stop; no error, so that nothing but the end of it catches it."""


@contextmanager
def stopping_on_sigterm(tell: Duty | None = None) -> Iterator[None]:
    """Have SIGTERM unwind the body, which takes its temporary files along, and end the process.

    Threads that still read are not waited for: they may be trying for a minute.

    Parameters
    ----------
    tell
        Called at the end of a process that was stopped; once, from any thread.

    **Reads:** nothing.
    """
    hearing, told = os.pipe()
    os.set_blocking(told, False)
    over = threading.Event()
    watch = threading.Thread(
        target=_watch, args=(hearing, over, tell), name="harmony-vds-stop", daemon=True
    )
    watch.start()
    before = signal.signal(signal.SIGTERM, _stop)
    told_before = signal.set_wakeup_fd(told, warn_on_full_buffer=False)
    try:
        yield
    except Stopped:
        _end(tell)
    finally:
        over.set()
        signal.set_wakeup_fd(told_before)
        signal.signal(signal.SIGTERM, before)
        os.close(told)
        watch.join()
        os.close(hearing)


@contextmanager
def undone_if_stopped(duty: Duty) -> Iterator[None]:
    """Have `duty` tidy up after the body, should the process be stopped within it.

    It may be called although there is nothing left to tidy, and from any thread.

    **Reads:** nothing.
    """
    key = object()
    _duties[key] = duty
    try:
        yield
    finally:
        if not isinstance(sys.exception(), Stopped):  # which may have broken the body's own tidying
            del _duties[key]


@contextmanager
def work_folder(prefix: str = "vds-") -> Iterator[Path]:
    """A new folder for temporary files, gone after the body and when the process is stopped.

    **Reads:** nothing.
    """
    path = Path(tempfile.gettempdir(), f"{prefix}{secrets.token_hex(8)}")
    with undone_if_stopped(partial(shutil.rmtree, path, ignore_errors=True)):
        path.mkdir(mode=0o700)
        try:
            yield path
        finally:
            shutil.rmtree(path)


def _stop(_number: int, _frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # one is enough; a second would break the tidying
    raise Stopped("The service was told to stop before it was done.")


def _watch(hearing: int, over: threading.Event, tell: Duty | None) -> None:
    """End the process some time after SIGTERM, unless the main thread has done so."""
    while heard := os.read(hearing, 1):
        if heard[0] == signal.SIGTERM and not over.wait(PATIENCE):
            _end(tell)


def _end(tell: Duty | None) -> NoReturn:
    """Do all duties, as far as that takes no longer than it may, and end the process."""
    _end_is_near.acquire()  # who comes second waits here for the end
    last = [*_duties.values(), _say, *([tell] if tell else [])]
    threads = [threading.Thread(target=_tried, args=(duty,), daemon=True) for duty in last]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + PATIENCE
    for thread in threads:
        thread.join(max(deadline - time.monotonic(), 0))
    os._exit(STATUS)


def _tried(duty: Duty) -> None:
    with suppress(Exception):  # nobody is left to hear of it
        duty()


def _say() -> None:
    logger.warning("Stopped by SIGTERM; what was unfinished is deleted")
    sys.stdout.flush()
    sys.stderr.flush()
