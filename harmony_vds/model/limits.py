"""How much one request, and one output of it, may do."""

from dataclasses import dataclass

REQUESTS_IN_FLIGHT = 64
"""Requests to the archive at once, and so chunks held at once while they are decoded."""
BYTES_IN_FLIGHT = 96 * 2**20
"""Stored bytes that are fetched or wait to be decoded."""
DECODERS = 4
"""Most chunks that are decoded at once: so many threads inflate a gigabyte of stored bytes in a
second, and each of them holds a chunk, which counts where a process may have 512 MB."""
PROCESS_BYTES = 250 * 10**6
"""What a process holds beside the data of a request: code, manifest and connections; the bound
that ``tests/systems/test_memory.py`` holds."""
UNLIMITED = 2**63 - 1
"""Larger than any request."""


@dataclass(frozen=True)
class Limits:
    """Ceilings of one request; memory and disk are those of its largest output."""

    max_read_bytes: int
    """Most bytes to fetch from the archive."""
    max_output_bytes: int
    """Most bytes to write in all outputs, before compression."""
    max_seconds: float
    """Most seconds from start to end."""
    max_chunks: int = UNLIMITED
    """Most chunks to touch."""
    max_rows: int = UNLIMITED
    """Most rows of a table."""
    max_requests: int = UNLIMITED
    """Most requests to the archive, after merging."""
    max_decoded_bytes: int = UNLIMITED
    """Most bytes of the touched chunks once decoded."""
    max_memory_bytes: int = UNLIMITED
    """Most bytes the process may hold."""
    max_disk_bytes: int = UNLIMITED
    """Most bytes of outputs on local disk at once."""
    max_disk_setting: str = "HARMONY_VDS_MAX_DISK_BYTES"
    """What sets the limit of the disk, in words."""
    part_bytes: int = UNLIMITED
    """Bytes that one output should not exceed, before compression, where it can be cut."""
    part_seconds: float = UNLIMITED
    """Most seconds that a Part may take in a slow place, where each has a work item of its own."""
    max_parts: int = UNLIMITED
    """Most Parts with work items of their own."""
    parts_service: str = ""
    """Id of the service that gives each Part a work item of its own; empty without one."""
