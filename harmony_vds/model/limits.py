"""How much one request may do."""

from dataclasses import dataclass

REQUESTS_IN_FLIGHT = 64
"""Requests to the archive at once, and so chunks held at once while they are decoded."""


@dataclass(frozen=True)
class Limits:
    """Ceilings of one request."""

    max_read_bytes: int
    """Most bytes to fetch from the archive."""
    max_output_bytes: int
    """Most bytes to write, before compression."""
    max_seconds: float
    """Most seconds from start to end."""
