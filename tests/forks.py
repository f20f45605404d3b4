"""Runs the project's commands in processes of their own that need not import the libraries again.

A process started anew spends most of its time on imports, the same each time. Here one process has
made them, and forks a child for each command; a child has its own environment, folder and streams,
and ends as any process does. What differs from one started anew: hashes are salted as in its
siblings, and no library sees the environment while it is imported.
"""

import atexit
import functools
import gc
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

SERVICE, COMMAND_LINE = "harmony_vds.__main__", "harmony_vds.cli.main"

# Of what nearly every command imports, all that starts no thread: a fork would be without it.
LIBRARIES = (
    "aiohttp", "boto3", "cftime", "h5py", "msgspec", "netCDF4", "numcodecs", "numpy", "obstore",
    "pandas", "pydantic_settings", "pystac", "tenacity", "typer", "xarray", "zarr",
    "harmony_service_lib.cli", "harmony_vds.adapter", "harmony_vds.outputs.write",
    "harmony_vds.planning.planner", "harmony_vds.transform.apply",
)  # fmt: skip

_turn = threading.Lock()


@functools.cache
def _parent() -> subprocess.Popen[str]:
    # The package beside the tests, wherever another one is installed, and no module of the tests.
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    process = subprocess.Popen([sys.executable, "-P", __file__], env=environment, text=True,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # fmt: skip
    atexit.register(_end, process)
    return process


def _end(process: subprocess.Popen[str]) -> None:
    with process:
        process.kill()


def run(
    program: str, arguments: Sequence[str], environment: Mapping[str, str],
    *, cwd: Path | None = None, seconds: int = 300, meanwhile: Callable[[int], None] | None = None,
) -> subprocess.CompletedProcess[str]:  # fmt: skip
    """What ``main`` of the module `program` does with the arguments, in a process of its own.

    `meanwhile` gets the number of the process and is called while that runs.
    """
    with (
        tempfile.NamedTemporaryFile("r") as out,
        tempfile.NamedTemporaryFile("r") as err,
        _turn,
    ):
        command = [program, *arguments]
        job = {"command": command, "environment": dict(environment), "cwd": str(cwd or Path.cwd()),
               "streams": [out.name, err.name], "seconds": seconds}  # fmt: skip
        parent = _parent()
        assert parent.stdin is not None
        assert parent.stdout is not None
        print(json.dumps(job), file=parent.stdin, flush=True)
        number = int(parent.stdout.readline())
        try:
            if meanwhile is not None:
                meanwhile(number)
        finally:
            status = int(parent.stdout.readline())
        return subprocess.CompletedProcess(command, status, out.read(), err.read())


def _become(job: dict[str, Any]) -> None:
    """Make this process one that was started for `job`."""
    for number, name in enumerate(job["streams"], start=1):
        stream = os.open(name, os.O_WRONLY | os.O_APPEND)
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(job["cwd"])
    os.environ.clear()
    os.environ.update(job["environment"])
    tempfile.tempdir = None
    warnings.simplefilter(job["environment"]["PYTHONWARNINGS"])
    signal.alarm(job["seconds"])


def main() -> int:
    """Fork a child for each line of the input, a job; answer with the status it ends with."""
    for name in LIBRARIES:
        importlib.import_module(name)
    assert "icechunk" not in sys.modules  # its threads start as it is imported
    warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
    gc.freeze()
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            job = json.loads(line)
            _become(job)
            sys.argv = job["command"]
            return importlib.import_module(job["command"][0]).main()
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
