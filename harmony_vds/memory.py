"""Gives large blocks of memory back to the system as soon as they are free."""

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h of glibc
_LARGE = 16 * 2**20


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
