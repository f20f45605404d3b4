"""How much memory a process may have, and how it gives large blocks back to the system."""

import ctypes
import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h of glibc
_LARGE = 16 * 2**20
_CGROUPS = Path("/sys/fs/cgroup")
_NO_LIMIT = 2**60
"""What version 1 writes for "no limit" is a number near 2**63."""


def return_large_blocks() -> None:
    """Have malloc map every block of 16 MiB or more by itself, for the life of the process.

    Left alone, glibc raises that threshold to the largest block that was ever freed, up to 32 MiB,
    and each thread then keeps free blocks of that size: a read of 20 GB through windows of 32 MiB
    held 536 MB instead of 260. Smaller blocks, such as decoded chunks, are kept and reused, up to
    32 MiB a thread, because mapping them anew costs more than inflating them. To be called by
    processes that are the service's own, first of all; without glibc it does nothing.

    **Reads:** nothing.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGE)
        mallopt(_M_TRIM_THRESHOLD, 2 * _LARGE)  # setting one fixes the other at 128 KiB


def return_free_blocks() -> None:
    """Give back to the system what is free now; without glibc it does nothing. **Reads:** nothing.

    Blocks that a finished piece of work leaves behind are of no use to what comes next in a library
    of its own: between the steps of a GeoTIFF they were 60 of 390 MB.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


@contextmanager
def collector_at_rest() -> Iterator[None]:
    """Let no search for garbage run while modules are imported, nor look at them ever after.

    What imports make stays for the life of the process, and searching it again and again takes an
    eighth of the time of importing. **Reads:** nothing.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_on:
            gc.enable()


def allowed_memory(groups: Path = _CGROUPS, membership: Path = Path("/proc/self/cgroup")) -> int:
    """Bytes that this process may have: the least of its control groups' limits, or the machine's.

    Parameters
    ----------
    groups
        Where control groups are mounted, version 2 or version 1.
    membership
        The kernel's list of the groups that the process is in.

    **Reads:** nothing from outside.
    """
    found = [_machine()]
    try:
        lines = membership.read_text(encoding="ascii").splitlines()
    except OSError:
        lines = []
    for line in lines:
        _, kinds, path = line.split(":", 2)
        if kinds not in ("", "memory") and "memory" not in kinds.split(","):
            continue
        root, name = (
            (groups / "memory", "memory.limit_in_bytes") if kinds else (groups, "memory.max")
        )
        # Inside a container the path is often that of the host, and the mount is the group itself.
        own = root / path.lstrip("/")
        found += [
            _limit(place / name) for place in (root, own, *own.parents) if _below(place, root)
        ]
    return min(found)


def _below(place: Path, root: Path) -> bool:
    return place == root or root in place.parents


def _limit(file: Path) -> int:
    try:
        text = file.read_text(encoding="ascii").strip()
    except OSError:
        return _NO_LIMIT
    return int(text) if text.isdigit() else _NO_LIMIT


def _machine() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
