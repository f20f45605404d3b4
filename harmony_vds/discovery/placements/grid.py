"""What records of grids (the generic record ``Grid``) say of a collection's own grid."""

import math
from collections.abc import Mapping
from typing import Any

from harmony_vds.model.store import RecordedGrid

type Umm = Mapping[str, Any]


def recorded_grid(umm: Umm) -> RecordedGrid | None:
    """The grid that a record describes; None where it lacks its size or its CRS.

    A record may describe a grid to project to as well as one that data are on, so that only its
    size tells whether it is a store's own. **Reads:** nothing.
    """
    definition = _mapping(umm, "GridDefinition")
    size = _mapping(definition, "DimensionSize")
    rows, columns = (_count(size.get(name)) for name in ("Height", "Width"))
    crs = _mapping(definition, "CoordinateReferenceSystemID").get("Code")
    if not (rows and columns and isinstance(crs, str) and crs.strip()):
        return None
    return RecordedGrid(str(umm.get("Name") or ""), crs.strip(), rows, columns)


def _mapping(umm: Umm, name: str) -> Umm:
    found = umm.get(name)
    return found if isinstance(found, Mapping) else {}


def _count(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return int(value) if value > 0 and value == int(value) else None
