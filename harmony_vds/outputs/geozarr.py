"""GeoZarr's attributes for arrays on regular grids: the conventions ``proj:`` and ``spatial:``.

They say in place what CF says by coordinates and a grid mapping, and stand beside these.
"""

from typing import Any

from harmony_vds.errors import UnsupportedError
from harmony_vds.model.paths import name_of
from harmony_vds.model.plan import Plan
from harmony_vds.model.subset import Subset, SubsetVariable
from harmony_vds.outputs.raster import raster_of

_ROOT = "https://raw.githubusercontent.com/zarr-conventions"
CONVENTIONS = (
    {
        "schema_url": f"{_ROOT}/geo-proj/refs/tags/v1/schema.json",
        "spec_url": "https://github.com/zarr-conventions/geo-proj/blob/v1/README.md",
        "uuid": "f17cb550-5864-4468-aeb7-f3180cfb622f",
        "name": "proj:",
        "description": "Coordinate reference system information for geospatial data",
    },
    {
        "schema_url": f"{_ROOT}/spatial/refs/tags/v1/schema.json",
        "spec_url": "https://github.com/zarr-conventions/spatial/blob/v1/README.md",
        "uuid": "689b58e2-cf7b-45e0-9fff-9cfc0883d6b4",
        "name": "spatial:",
        "description": "Spatial coordinate information",
    },
)


def geozarr_attributes(variable: SubsetVariable, subset: Subset, plan: Plan) -> dict[str, Any]:
    """What the two conventions say of a variable; nothing where its grid is not regular.

    **Reads:** coordinates.
    """
    try:
        raster = raster_of(variable, subset, plan)
    except UnsupportedError:
        return {}
    if raster is None:
        return {}
    dimensions = variable.planned.dimensions
    coded = raster.crs.startswith("EPSG:")
    return {
        "zarr_conventions": [dict(own) for own in CONVENTIONS],
        "proj:code" if coded else "proj:wkt2": raster.crs,
        "spatial:dimensions": [
            name_of(dimensions[axis]) for axis in (raster.y_axis, raster.x_axis)
        ],
        "spatial:transform": list(raster.transform),
        "spatial:shape": [raster.height, raster.width],
        "spatial:bbox": list(raster.bounds),
        "spatial:registration": "pixel",
    }
