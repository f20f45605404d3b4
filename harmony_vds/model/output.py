"""What was written."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harmony_vds.model.extent import BoundingBox, TimeRange


@dataclass(frozen=True)
class Output:
    """One file, or one folder of objects, on local disk, described for catalogue and staging."""

    path: Path
    """Where it lies."""
    media_type: str
    """MIME type."""
    bbox: BoundingBox
    """Box around the data, degrees; the whole globe where the data have no horizontal grid."""
    temporal: TimeRange
    """Time covered; both sides set."""
    nbytes: int
    """Size of the file, or of all files in the folder."""
    checksum: str
    """SHA-256 of the file, hexadecimal; of a folder that of the sorted lines ``<SHA-256>  <path>``
    of its files."""
    missing: int
    """Chunks that were not in the manifest and read as fill."""
    title: str
    """One line for people."""
    variable: str = ""
    """Full path of the one requested variable that is in it; empty where all are."""
    plan_number: int = 0
    """Which of a request's plans it answers."""

    described: Mapping[str, Any] = field(default_factory=dict)
    """Properties of its STAC item, by STAC's extensions; empty where none is wanted."""
    licence: str = ""
    """Where the licence of the data is; empty where no record says so."""
    browse: Path | None = None
    """A picture of it; None where there is none."""

    @property
    def extension(self) -> str:
        """Of its name, from the first dot on. **Reads:** nothing."""
        return "." + self.path.name.partition(".")[2]
