"""What was written."""

from dataclasses import dataclass
from pathlib import Path

from harmony_vds.model.extent import BoundingBox, TimeRange


@dataclass(frozen=True)
class Output:
    """One file on local disk, described for catalogue and staging."""

    path: Path
    """Where the file lies."""
    media_type: str
    """MIME type."""
    bbox: BoundingBox
    """Box around the data, degrees; the whole globe where the data have no horizontal grid."""
    temporal: TimeRange
    """Time covered; both sides set."""
    nbytes: int
    """Size of the file."""
    checksum: str
    """SHA-256 of the file, hexadecimal."""
    missing: int
    """Chunks that were not in the manifest and read as fill."""
    title: str
    """One line for people."""
