"""What a user asked for, free of Harmony's message format and of any secret."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from harmony_vds.model.extent import BoundingBox, TimeRange
from harmony_vds.model.formats import NETCDF
from harmony_vds.model.places import Place
from harmony_vds.model.shape import Shape

MOST_NAMED = 10
"""Granules that an output names; a list of thousands is no provenance that anyone reads."""


@dataclass(frozen=True)
class VariableLink:
    """A related URL of a requested variable, as it came with the request."""

    variable: str
    """The variable, as in `Source.variables`."""
    href: str
    """Where it leads."""
    type: str = ""
    """KMS type."""
    subtype: str = ""
    """KMS subtype."""
    format: str = ""
    """KMS format."""
    media_type: str = ""
    """MIME type."""
    description: str = ""
    """The publisher's words."""


@dataclass(frozen=True)
class Source:
    """One requested collection and the variables wanted from it."""

    collection: str
    """CMR concept id, e.g. ``C1996881146-POCLOUD``; empty when the store was named directly."""
    short_name: str
    """The collection's short name, the base of output names."""
    version: str = ""
    """The collection's version, as CMR writes it."""
    variables: tuple[str, ...] = ()
    """Requested variable names as the user or UMM-Var wrote them; empty means all."""
    variable_links: tuple[VariableLink, ...] = ()
    """What came with the request of where single variables are."""


@dataclass(frozen=True)
class DimensionRange:
    """A closed range of values of a named dimension; a missing side is open."""

    name: str
    """Name of the dimension."""
    minimum: float | None = None
    """Smallest value, in the units of the dimension's coordinate."""
    maximum: float | None = None
    """Largest value."""

    def __str__(self) -> str:
        sides = ("" if own is None else f"{own:g}" for own in (self.minimum, self.maximum))
        return f"{self.name}({':'.join(sides)})"


@dataclass(frozen=True)
class TargetGrid:
    """The grid and projection of the output, as far as the request states them."""

    crs: str = ""
    """EPSG code, WKT or Proj4 string, in this order of preference; empty: the source's own."""
    interpolation: str = ""
    """Name of the resampling method."""
    scale_extent: tuple[float, float, float, float] | None = None
    """(x min, y min, x max, y max) in units of `crs`."""
    scale_size: tuple[float, float] | None = None
    """(x, y) size of a cell in units of `crs`."""
    width: int | None = None
    """Columns."""
    height: int | None = None
    """Rows."""

    @property
    def states_a_grid(self) -> bool:
        """Whether it says more than how to interpolate. **Reads:** nothing."""
        return self != TargetGrid(interpolation=self.interpolation)

    def parameters(self) -> Mapping[str, object]:
        """What it states, as plain JSON values. **Reads:** nothing."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
            if value not in (None, "")
        }


@dataclass(frozen=True)
class Asset:
    """One file of a granule."""

    href: str
    """Where it is."""
    media_type: str = ""
    """MIME type, where known."""
    description: str = ""
    """The publisher's words."""


@dataclass(frozen=True)
class Granule:
    """One granule that was selected before this service was asked."""

    collection: str
    """CMR concept id of its collection; empty where it belongs to the only one requested."""
    concept_id: str = ""
    """Its own CMR concept id, where known."""
    name: str = ""
    """Its GranuleUR, where known."""
    assets: tuple[Asset, ...] = ()
    """Its files, as far as they arrived."""
    temporal: TimeRange | None = None
    """When its data are of; see `harmony_vds.discovery.periods` for which sides are closed."""
    bbox: BoundingBox | None = None
    """Where its data are of, degrees."""


@dataclass(frozen=True)
class Stretch:
    """Positions ``[start, stop)`` of a dimension: what one Part of a request is of."""

    dimension: str
    """Full path of the dimension, of the store or of the target grid."""
    start: int
    """First position."""
    stop: int
    """Position behind the last."""
    of_target: bool = False
    """Whether it is of the rows of the target grid, which may have a name of the store's."""

    def __str__(self) -> str:
        where = " of the target grid" if self.of_target else ""
        return f"{self.dimension.lstrip('/')}[{self.start}:{self.stop}]{where}"


@dataclass(frozen=True)
class Request:
    """One Harmony request or command line; every field is what was asked, nothing is derived."""

    sources: tuple[Source, ...]
    """The collections, in the order of the request; each gets its own outputs."""
    bbox: BoundingBox | None = None
    """Box to cut, in degrees."""
    temporal: TimeRange | None = None
    """Time range to cut."""
    months: tuple[int, ...] = ()
    """Calendar months to keep, 1 to 12, of every year in `temporal`; empty for all."""
    point: tuple[float, float] | None = None
    """(longitude, latitude) in degrees for a time series at one place."""
    shape: Shape | str | None = None
    """Places to cut by; before they are read, the address of a GeoJSON document, or its text."""
    points: tuple[Place, ...] = ()
    """Several places, for a time series at each."""
    line: tuple[tuple[float, float], ...] = ()
    """(longitude, latitude) of the vertices of a line, for a time series in each cell it passes."""
    interpolation: str = ""
    """How values at places are made: of the nearest cell, or weighed between four; other requests
    have it in `target`."""
    dimensions: tuple[DimensionRange, ...] = ()
    """Ranges of other dimensions."""
    average: str | None = None
    """``time`` or ``area``."""
    target: TargetGrid | None = None
    """Output grid, when the request names any part of one."""
    media_type: str = NETCDF
    """MIME type of the output."""
    extend: tuple[str, ...] = ()
    """Dimensions along which the request wants outputs extended."""
    transparent: bool = False
    """A map's missing cells are to be clear."""
    is_map_image: bool = False
    """The request came by WMS GetMap; `bbox` is then absent and `map_box` set."""
    map_box: tuple[float, float, float, float] | None = None
    """WMS BBOX parameter in units and order of the map's CRS."""
    dpi: int | None = None
    """Pixels of a map to an inch of the screen or paper it is for."""
    concatenate: bool = False
    """One output for all granules; a virtual store answers so anyway."""
    synchronous: bool = False
    """The user waits; exactly one data asset may come back."""
    pixel_subset: bool = False
    """Cut by index without masking."""
    granules: tuple[Granule, ...] = ()
    """The granules to answer for; empty for whole collections."""
    from_stack: bool = False
    """Whether the store holds other granules beside `granules`, which are to be picked from it."""
    periods: tuple[TimeRange, ...] = ()
    """Times to keep, beside `temporal`: a step is kept if it meets any of them; empty for all."""
    stretch: Stretch | None = None
    """The part of what is asked that is meant; None for all of it."""

    @property
    def places(self) -> tuple[Place, ...]:
        """All places asked for. **Reads:** nothing."""
        return (() if self.point is None else (Place(*self.point),)) + self.points

    @property
    def has_times(self) -> bool:
        """Whether times are asked for, by a range, months or periods. **Reads:** nothing."""
        return self.temporal is not None or bool(self.periods or self.months)

    @property
    def is_placed(self) -> bool:
        """Whether series at places are asked for. **Reads:** nothing."""
        return bool(self.places or self.line)

    def parameters(self, source: Source) -> Mapping[str, object]:
        """What was asked of `source`, as plain JSON values, for provenance; no secrets, no ids.

        **Reads:** nothing.
        """
        asked: dict[str, object] = {"collection": source.collection or source.short_name}
        if source.variables:
            asked["variables"] = list(source.variables)
        if self.bbox is not None:
            box = self.bbox
            asked["bbox"] = [float(own) for own in (box.west, box.south, box.east, box.north)]
        if isinstance(self.shape, Shape):
            asked["shape"] = self.shape.as_json()
        if self.point is not None:
            asked["point"] = list(self.point)
        if self.line:
            asked["line"] = ", ".join(f"{x:.10g} {y:.10g}" for x, y in self.line)
        if self.points:
            listed = [str(own) for own in self.points[:MOST_NAMED]]
            more = [f"and {len(self.points) - MOST_NAMED} more"]
            asked["points"] = listed + (more if len(self.points) > MOST_NAMED else [])
        if self.interpolation and self.is_placed:
            asked["interpolation"] = self.interpolation
        if self.temporal is not None:
            asked["temporal"] = str(self.temporal)
        if self.months:
            asked["months"] = list(self.months)
        if self.dimensions:
            asked["dimensions"] = [str(own) for own in self.dimensions]
        if self.average is not None:
            asked["average"] = self.average
        if self.pixel_subset:
            asked["pixelSubset"] = True
        if self.target is not None:
            asked["target"] = self.target.parameters()
        if self.granules:
            names = [own.name or own.concept_id for own in self.granules]
            more = [f"and {len(names) - MOST_NAMED} more"] if len(names) > MOST_NAMED else []
            asked["granules"] = names[:MOST_NAMED] + more
        asked["format"] = self.media_type
        if self.stretch is not None:
            asked["part"] = str(self.stretch)
        return asked
