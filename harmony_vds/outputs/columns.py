"""What the columns of a table are: the dimensions of the data one after another, then the data.

One row stands for one cell of the requested variables. They must share their dimensions, or have
fewer: what does not change along a dimension is repeated along it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

from harmony_vds.errors import UnsupportedError
from harmony_vds.model.paths import group_of, name_of
from harmony_vds.model.plan import Plan, Role
from harmony_vds.model.subset import Subset, SubsetVariable

_DESCRIBING = ("bounds", "climatology", "grid_mapping", "coordinates", "cell_measures")
"""Attributes whose variables are no data of their own."""
_OF_PLACES = ("requested_longitude", "requested_latitude", "distance")
_DEGREES = {"degrees_north": "latitude", "degrees_east": "longitude"}


@dataclass(frozen=True, eq=False)
class Column:
    """One column of a table."""

    name: str
    """Its title."""
    variable: SubsetVariable | None
    """What it holds; None for the positions along `dimension`, which has no coordinate."""
    dimension: str = ""
    """Full path of the dimension that it counts; empty for all others."""
    is_data: bool = False
    """Whether it was asked for, and is no coordinate."""


@dataclass(frozen=True, eq=False)
class Table:
    """The shape of a table."""

    dimensions: tuple[str, ...]
    """Full paths; rows run through the last one first."""
    shape: tuple[int, ...]
    """Their lengths."""
    columns: tuple[Column, ...]
    """From left to right."""

    @property
    def data(self) -> tuple[Column, ...]:
        """The columns that were asked for. **Reads:** nothing."""
        return tuple(own for own in self.columns if own.is_data)


def table_of(subset: Subset, plan: Plan) -> Table:
    """The table that holds `subset`.

    Raises
    ------
    UnsupportedError
        Its variables lie on different dimensions; the text names two of them.

    **Reads:** nothing.
    """
    data = _data(subset, plan)
    widest = max(data, key=lambda own: (own.data.ndim, own.data.size))
    dimensions = widest.planned.dimensions
    for own in data:
        if not {*own.planned.dimensions} <= {*dimensions}:
            raise UnsupportedError(
                "A table holds variables on the same dimensions, and "
                f"{_told(widest)} and {_told(own)} differ. Ask for the variables of each in a "
                "request of its own, or for netCDF."
            )
    columns = [*_coordinates(subset, plan, dimensions), *_named(data)]
    return Table(dimensions, tuple(widest.data.shape), tuple(_distinct(columns)))


def _told(own: SubsetVariable) -> str:
    names = ", ".join(name_of(d) for d in own.planned.dimensions)
    return f"{own.planned.path.lstrip('/')} ({names})"


def _data(subset: Subset, plan: Plan) -> list[SubsetVariable]:
    """What was asked for and is no coordinate, with what was computed along with it."""
    asked = [own for own in subset.variables if own.planned.role is Role.REQUESTED]
    describing = {
        name.strip(":")
        for own in subset.variables
        for key in _DESCRIBING
        for name in str(own.data.attrs.get(key, "")).split()
    }
    data = [own for own in asked if not _describes(own, describing)] or asked
    paths = {own.planned.path for own in data}
    for made in () if plan.average is None else plan.average.variables:
        if made.path in paths:
            paths |= {path for _, path in made.measures}
    return [own for own in subset.variables if own.planned.path in paths]


def _describes(own: SubsetVariable, describing: Iterable[str]) -> bool:
    path = own.planned.path
    return (
        own.planned.dimensions == (path,)
        or name_of(path) in describing
        or "grid_mapping_name" in own.data.attrs
    )


def _named(data: Sequence[SubsetVariable]) -> list[Column]:
    """Data by their names, with their groups where two have the same."""
    names = [name_of(own.planned.path) for own in data]
    return [
        Column(
            name if names.count(name) == 1 else own.planned.path.lstrip("/").replace("/", "_"),
            own, is_data=True,
        )
        for name, own in zip(names, data, strict=True)
    ]  # fmt: skip


def _coordinates(subset: Subset, plan: Plan, dimensions: Sequence[str]) -> list[Column]:
    """Places, time, latitude, longitude, and whatever else counts along a dimension."""
    stations = {own.dimension for own in plan.placements} & {*dimensions}
    placing = [own for own in subset.variables if {*own.planned.dimensions} <= {*dimensions}]
    times = [own for own in placing if own.planned.path in plan.time_axes]
    places = _places(placing, plan)
    names = [
        own for own in placing
        if stations & {*own.planned.dimensions} and own.data.dtype.kind == "S"
        and name_of(own.planned.path).startswith("station_name")
    ]  # fmt: skip
    found = [
        *(Column("station", own) for own in names),
        *(Column("time", own) for own in times),
        *places,
        *(
            Column(f"{name}_km" if name == "distance" else name, own)
            for name in _OF_PLACES
            for own in placing
            if stations and name_of(own.planned.path) == name and group_of(own.planned.path) == "/"
        ),
    ]
    known = {
        *stations, *chain.from_iterable(
            own.variable.planned.dimensions for own in found
            if own.variable is not None and own.variable.data.ndim == 1),
    }  # fmt: skip
    for dimension in dimensions:
        if dimension not in known:
            own = [v for v in placing if v.planned.path == dimension and v.data.ndim == 1]
            found.append(Column(name_of(dimension), own[0] if own else None, dimension))
    return found


def _places(placing: Sequence[SubsetVariable], plan: Plan) -> list[Column]:
    """Latitudes and longitudes, or x and y of a projected grid by their own names."""
    wanted = {own.y_path for own in plan.grids} | {own.x_path for own in plan.grids}
    wanted |= set() if plan.target is None else {*plan.target.dimensions}
    stations = {(own.dimension,) for own in plan.placements}
    columns = [
        Column(_place_name(own), own)
        for own in placing
        if own.planned.path in wanted
        or (
            own.planned.dimensions in stations
            and name_of(own.planned.path) not in _OF_PLACES
            and _place_name(own) in _DEGREES.values()
        )
    ]
    order = {"latitude": 0, "longitude": 1}
    return sorted(columns, key=lambda own: order.get(own.name, 2))


def _place_name(own: SubsetVariable) -> str:
    attributes, name = own.data.attrs, name_of(own.planned.path)
    told = str(attributes.get("standard_name", "")) or _DEGREES.get(
        str(attributes.get("units")), ""
    )
    if told in _DEGREES.values():
        return told
    usual = {"lat": "latitude", "lon": "longitude"}
    return usual.get(name.lower(), name)


def _distinct(columns: Sequence[Column]) -> list[Column]:
    """The columns, with numbers behind the titles that occur before."""
    taken: set[str] = set()
    found = []
    for own in columns:
        name, number = own.name, 2
        while name in taken:
            name, number = f"{own.name}_{number}", number + 1
        taken.add(name)
        found.append(Column(name, own.variable, own.dimension, own.is_data))
    return found
