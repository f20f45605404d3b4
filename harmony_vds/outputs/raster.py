"""Variables of an output as rasters: rows and columns of a regular grid in a reference system.

What the output says of itself decides, by CF's conventions, so that rasters come out alike whether
a grid is the store's own or was made for the request.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from harmony_vds.errors import UnsupportedError
from harmony_vds.model.decoding import packing_of
from harmony_vds.model.paths import group_of, name_of
from harmony_vds.model.plan import GridPlan, Plan, Role
from harmony_vds.model.subset import Subset, SubsetVariable

DEGREES = "EPSG:4326"
_UNEVEN = 0.05
"""Cells by which a centre may lie beside its place in a regular grid: less than one could see."""
_ANGULAR = "projection_{}_angular_coordinate"
_X = {"longitude", "grid_longitude", "projection_x_coordinate", _ANGULAR.format("x")}
_Y = {"latitude", "grid_latitude", "projection_y_coordinate", _ANGULAR.format("y")}
_ADVICE = "ask for a projection (outputCrs, e.g. EPSG:4326), or for netCDF or Zarr"


@dataclass(frozen=True, eq=False)
class Raster:
    """One variable on a regular grid."""

    variable: SubsetVariable
    """The variable."""
    x_axis: int
    """Number of its dimension along which columns run."""
    y_axis: int
    """Number of its dimension along which rows run."""
    crs: str
    """Reference system, as an authority's code or WKT."""
    origin: tuple[float, float]
    """(x, y) of the outer corner of the first cell as stored."""
    step: tuple[float, float]
    """(x, y) from one cell to the next as stored; y is negative where rows run south."""

    @property
    def width(self) -> int:
        """Columns. **Reads:** nothing."""
        return int(self.variable.data.shape[self.x_axis])

    @property
    def height(self) -> int:
        """Rows. **Reads:** nothing."""
        return int(self.variable.data.shape[self.y_axis])

    @property
    def others(self) -> tuple[int, ...]:
        """Numbers of the other dimensions. **Reads:** nothing."""
        own = range(self.variable.data.ndim)
        return tuple(axis for axis in own if axis not in (self.x_axis, self.y_axis))

    @property
    def bands(self) -> int:
        """How many layers there are. **Reads:** nothing."""
        shape = self.variable.data.shape
        return int(np.prod([shape[axis] for axis in self.others], dtype=np.int64))

    @property
    def transform(self) -> tuple[float, float, float, float, float, float]:
        """(a, b, c, d, e, f) from (column, row) as stored to (x, y). **Reads:** nothing."""
        return self.step[0], 0.0, self.origin[0], 0.0, self.step[1], self.origin[1]

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """(least x, least y, greatest x, greatest y). **Reads:** nothing."""
        far = [
            first + step * size
            for first, step, size in zip(
                self.origin, self.step, (self.width, self.height), strict=True
            )
        ]
        low = [min(a, b) for a, b in zip(self.origin, far, strict=True)]
        high = [max(a, b) for a, b in zip(self.origin, far, strict=True)]
        return low[0], low[1], high[0], high[1]


def rasters(subset: Subset, plan: Plan) -> list[Raster]:
    """The requested variables as rasters.

    Raises
    ------
    UnsupportedError
        None of them has a grid, or that of one is not regular; the text says what to ask instead.

    **Reads:** coordinates.
    """
    asked = [own for own in subset.variables if own.planned.role is Role.REQUESTED]
    found = [own for own in (raster_of(variable, subset, plan) for variable in asked) if own]
    if not found:
        names = ", ".join(path.lstrip("/") for path in plan.requested[:4])
        raise UnsupportedError(
            f"{plan.format.media_type} holds grids with rows and columns along dimensions of their "
            f"own, and {names or 'the store'} has none; {_ADVICE}."
        )
    return found


def raster_of(variable: SubsetVariable, subset: Subset, plan: Plan) -> Raster | None:
    """A variable as a raster; None where its dimensions are not rows and columns.

    Errors as in `rasters`. **Reads:** coordinates.
    """
    if variable.data.dtype.kind not in "biuf":
        return None
    dimensions = variable.planned.dimensions
    axes = {kind: own for kind, own in _axes(variable, subset) if own[0] in dimensions}
    if set(axes) != {"x", "y"} or axes["x"][0] == axes["y"][0]:
        return None
    target = plan.target
    if target is not None and (axes["y"][0], axes["x"][0]) == target.dimensions:
        # The store's own grids may lie along dimensions of the same names.
        a, _, left, _, e, top = target.placed
        y_axis, x_axis = map(dimensions.index, target.dimensions)
        return Raster(variable, x_axis, y_axis, target.crs, (left, top), (a, e))
    grid = next(
        (g for g in plan.grids if {own[0] for own in axes.values()} == {*g.dimensions}), None
    )
    crs = _crs(variable, subset, grid)
    (x_dimension, x), (y_dimension, y) = axes["x"], axes["y"]
    columns, rows = (_places(own, crs) for own in (x, y))
    step = [_step(own.planned.path, values) for own, values in ((x, columns), (y, rows))]
    step = _filled(step, grid, (columns.size, rows.size))
    return Raster(
        variable,
        dimensions.index(x_dimension),
        dimensions.index(y_dimension),
        crs,
        (float(columns[0] - step[0] / 2), float(rows[0] - step[1] / 2)),
        (step[0], step[1]),
    )


def _axes(
    variable: SubsetVariable, subset: Subset
) -> Iterator[tuple[str, tuple[str, SubsetVariable]]]:
    """Which is x and which y, each with its dimension and what tells places along it."""
    for own in subset.variables:
        dimensions = own.planned.dimensions
        if len(dimensions) != 1 or own is variable or own.data.dtype.kind not in "iuf":
            continue
        direction = direction_of(own)
        if direction:
            yield direction, (dimensions[0], own)


def direction_of(coordinate: SubsetVariable) -> str:
    """Whether a coordinate is ``x`` or ``y``, by CF; empty where neither. **Reads:** nothing."""
    standard, units = str(coordinate.data.attrs.get("standard_name", "")), _units(coordinate)
    axis = str(coordinate.data.attrs.get("axis", "")).upper()
    if standard in _X or axis == "X" or units in ("degrees_east", "degree_east"):
        return "x"
    if standard in _Y or axis == "Y" or units in ("degrees_north", "degree_north"):
        return "y"
    return ""


def _units(variable: SubsetVariable) -> str:
    return str(variable.data.attrs.get("units", "")).strip()


def _crs(variable: SubsetVariable, subset: Subset, grid: GridPlan | None) -> str:
    """The reference system that the grid mapping names, else that of the plan, else degrees."""
    if grid is not None and grid.crs:
        return grid.crs
    named = str(variable.data.attrs.get("grid_mapping", "")).partition(":")[0].strip()
    place = group_of(variable.planned.path)
    for own in subset.variables:
        if name_of(own.planned.path) != name_of(named) or not place.startswith(
            group_of(own.planned.path)
        ):
            continue
        told = {str(key): np.asarray(value).tolist() for key, value in own.data.attrs.items()}
        wkt, is_geographic = _system(json.dumps(told, sort_keys=True, default=str))
        return DEGREES if is_geographic and grid is not None else wkt
    return DEGREES


@lru_cache(maxsize=16)
def _system(grid_mapping: str) -> tuple[str, bool]:
    """What a grid mapping's attributes say, as WKT, and whether it counts in degrees.

    PROJ takes tenths of a second to look up a datum that it does not know.
    """
    from pyproj import CRS
    from pyproj.exceptions import CRSError

    try:
        found = CRS.from_cf(json.loads(grid_mapping))
    except (CRSError, KeyError, TypeError, ValueError):
        return DEGREES, True
    return found.to_wkt(), found.is_geographic


def _places(axis: SubsetVariable, crs: str) -> npt.NDArray[np.float64]:
    """Cell centres in the units of the reference system, as their own type's shortest decimals."""
    stored = axis.data.values
    attributes = axis.data.attrs
    if stored.dtype.kind == "f":
        values = np.array([float(str(own)) for own in stored.ravel()])
    else:
        scale, offset = packing_of(attributes)
        values = stored.astype(np.float64) * scale + offset
    return values * _metres(_units(axis), crs)


def _metres(units: str, crs: str) -> float:
    """What one unit of an axis is in those of its reference system."""
    if units in ("km", "kilometer", "kilometers", "kilometre", "kilometres"):
        return 1000.0
    if units in ("rad", "radian", "radians"):
        from pyproj import CRS

        # Angles seen from a satellite; in projected systems they are multiplied by its height.
        return float(CRS.from_user_input(crs).to_cf().get("perspective_point_height", 1.0))
    return 1.0


def _step(path: str, centres: npt.NDArray[np.float64]) -> float:
    """The distance of two cells; 0 where there is but one."""
    if centres.size < 2:
        return 0.0
    step = float((centres[-1] - centres[0]) / (centres.size - 1))
    away = np.abs(centres - (centres[0] + step * np.arange(centres.size))).max()
    if not np.isfinite(centres).all() or away > _UNEVEN * abs(step):
        raise UnsupportedError(
            f"The positions along {path.lstrip('/')} are not evenly spaced, as those of a raster "
            f"must be; {_ADVICE}."
        )
    return float(f"{step:.12g}")


def _filled(step: list[float], grid: GridPlan | None, sizes: tuple[int, int]) -> list[float]:
    """`step` with what a single row or column cannot tell: from the plan, or as the other axis."""
    box = None if grid is None or grid.crs else grid.bbox
    spans = (1.0, 1.0) if box is None else (box.east - box.west, box.north - box.south)
    known = [
        own or (span / size if box is not None else abs(other))
        for own, other, span, size in zip(step, step[::-1], spans, sizes, strict=True)
    ]
    return [own or 1.0 for own in known]
