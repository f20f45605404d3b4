"""Grids and shapes as planning takes them, out of plain numbers and geometries."""

import numpy as np
import shapely

from harmony_vds.model.grid import Axis, AxisKind, Grid
from harmony_vds.model.shape import Feature, Shape
from harmony_vds.shapes.extent import box_around


def axis(kind: AxisKind, values, bounds=None, resolution: float = 1e-12) -> Axis:
    name = "lon" if kind is AxisKind.X else "lat"
    held = None if bounds is None else np.array(bounds, float)
    return Axis(f"/{name}", f"/{name}", kind, np.array(values, float), "", resolution, held)


def grid(lon, lat=(-45.0, 0.0, 45.0), lon_bounds=None, lat_bounds=None) -> Grid:
    return Grid.rectilinear(
        axis(AxisKind.X, lon, lon_bounds), axis(AxisKind.Y, lat, lat_bounds)
    )  # fmt: skip


def shape(*geometries: shapely.Geometry) -> Shape:
    features = tuple(Feature(str(n), own) for n, own in enumerate(geometries, 1))
    return Shape(features, box_around(geometries), 0, "")
