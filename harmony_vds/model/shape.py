"""A shape: the places that a GeoJSON document describes, in one normal form."""

import json
from dataclasses import dataclass
from typing import Any

from harmony_vds.model.extent import BoundingBox

_LONGEST_TOLD = 1000
"""Letters of a document that provenance repeats; a longer one is told by its checksum."""


@dataclass(frozen=True, eq=False)
class Feature:
    """One place with a name."""

    name: str
    """Its ``id``, or its property ``name``, or its number in the document, from 1."""
    geometry: Any
    """A `shapely.Geometry`: valid areas, lines and points in degrees, or a flat collection of them:
    x is the longitude in [-180, 180], split at the antimeridian; y is the latitude."""


@dataclass(frozen=True, eq=False)
class Shape:
    """All features of a document; never empty."""

    features: tuple[Feature, ...]
    """In the order of the document, those without geometry left out."""
    bbox: BoundingBox
    """The narrowest box around all of them; across the antimeridian where that is narrower."""
    vertices: int
    """Positions in the document."""
    sha256: str
    """Checksum of the document's bytes."""
    document: str = ""
    """The document itself, in one line, where it is short."""
    notes: tuple[str, ...] = ()
    """What was mended in it, in sentences for the user."""

    def as_json(self) -> dict[str, object]:
        """What provenance tells of it; no geometry unless it is short. **Reads:** nothing."""
        box = self.bbox
        told: dict[str, object] = {
            "features": len(self.features),
            "vertices": self.vertices,
            "sha256": self.sha256,
            "bbox": [round(edge, 9) for edge in (box.west, box.south, box.east, box.north)],
        }
        if 0 < len(self.document) <= _LONGEST_TOLD:
            told["geojson"] = json.loads(self.document)
        return told
