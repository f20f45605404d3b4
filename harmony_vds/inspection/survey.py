"""What a store holds: its variables, grids, times and size, told without reading data."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from harmony_vds.errors import StoreError, VdsError
from harmony_vds.inspection.findings import Finding, findings_of
from harmony_vds.model.chunks import ChunkIndex, ChunkKind
from harmony_vds.model.extent import BoundingBox
from harmony_vds.model.grid import AxisKind, Grid, GridKind
from harmony_vds.model.paths import group_of, name_of
from harmony_vds.model.selection import AxisSelection
from harmony_vds.model.store import VirtualStore
from harmony_vds.planning.axes import read_axis
from harmony_vds.planning.extents import whole_extent
from harmony_vds.planning.grids import Ground, footing
from harmony_vds.planning.ground import grid_of
from harmony_vds.planning.hierarchy import Hierarchy
from harmony_vds.planning.horizontal import is_too_large
from harmony_vds.planning.ranges import time_coverage
from harmony_vds.planning.spatial import HorizontalSelection, grid_plan


@dataclass(frozen=True)
class VariableSurvey:
    """One variable as stored."""

    path: str
    """Full path."""
    dtype: str
    """Stored type, such as ``int16``."""
    sizes: Mapping[str, int]
    """Dimension → length, in storage order."""
    chunk_shape: tuple[int, ...]
    """Shape of a chunk; of the largest, where they differ."""
    chunks: int
    """Chunks of the whole array."""
    missing: int
    """Chunks that the manifest does not hold."""
    stored: int
    """Bytes in the archive; of chunks that the store itself holds, where their size is known."""
    title: str
    """``long_name`` or ``standard_name``."""
    units: str
    """CF units."""


@dataclass(frozen=True)
class GridSurvey:
    """A horizontal grid."""

    kind: str
    """How it states where its cells are: rectilinear, projected, curvilinear or track."""
    y: str
    """Variable of its latitudes or y; empty where they are computed."""
    x: str
    """Variable of its longitudes or x."""
    shape: tuple[int, ...]
    """(rows, columns), or the positions of a track."""
    bbox: tuple[float, float, float, float]
    """West, south, east, north, degrees."""


@dataclass(frozen=True)
class TimeSurvey:
    """A time axis."""

    path: str
    """Time variable."""
    steps: int
    """How many."""
    covered: str
    """From and to, or empty where no time is known."""
    calendar: str
    """CF calendar."""


@dataclass(frozen=True)
class Survey:
    """All of a store."""

    href: str
    """Where it is published."""
    kind: str
    """Form of its manifest."""
    snapshot: str
    """The state that was looked at."""
    sources: int
    """Files in the archive that it refers to."""
    stored: int
    """Bytes in the archive."""
    raw: int
    """Bytes once decoded."""
    variables: tuple[VariableSurvey, ...]
    """By group, in the store's order."""
    grids: tuple[GridSurvey, ...]
    """Each pair of axes once."""
    projections: Mapping[str, str]
    """Grid mapping variable → name of its coordinate reference system."""
    times: tuple[TimeSurvey, ...]
    """Each time axis once."""
    findings: tuple[Finding, ...]
    """What is wrong, and what was put right."""

    def as_json(self) -> dict[str, Any]:
        """Plain values, for a machine. **Reads:** nothing."""
        return asdict(self)


def survey(store: VirtualStore) -> Survey:
    """Look at everything in `store` but its data.

    **Reads:** coordinates.
    """
    hierarchy = Hierarchy(store)
    indexes = dict(_indexes(hierarchy))
    variables = tuple(
        _variable(path, hierarchy, index) for path, index in indexes.items() if index is not None
    )
    feet = {path: footing(path, hierarchy) for path in hierarchy.variables}
    grounds = {
        (f.ground.y, f.ground.x): (f.ground, path)
        for path, f in feet.items()
        if f.ground is not None and not is_too_large(f.ground, hierarchy)
    }
    times = dict.fromkeys(f.t for f in feet.values() if f.t)
    grids = tuple(_readable(_grid(*own, hierarchy) for own in grounds.values()))
    held = [index for index in indexes.values() if index is not None]
    sources = {url.partition("?")[0] for index in held for url in _sources(index)}
    return Survey(
        href=store.location.href,
        kind=str(store.location.kind),
        snapshot=store.location.snapshot or "",
        sources=len(sources),
        stored=sum(own.stored for own in variables),
        raw=sum(index.itemsize * int(np.prod(index.shape, dtype=np.int64)) for index in held),
        variables=variables,
        grids=grids,
        projections=_projections(hierarchy),
        times=tuple(_readable(_time(path, hierarchy) for path in times if path)),
        findings=tuple(findings_of(hierarchy, indexes)),
    )


def _sources(index: ChunkIndex) -> Iterator[str]:
    """The files that virtual chunks lie in; objects of the store's own are none."""
    for number in np.unique(index.sources[index.kinds == ChunkKind.VIRTUAL]):
        yield index.locations[number]


def _indexes(hierarchy: Hierarchy) -> Iterator[tuple[str, ChunkIndex | None]]:
    """Every variable's chunk index; None where it cannot be built, which is a finding."""
    for path in hierarchy.variables:
        try:
            yield path, hierarchy.store.chunk_index(path)
        except VdsError:
            yield path, None


def _variable(path: str, hierarchy: Hierarchy, index: ChunkIndex) -> VariableSurvey:
    raw = hierarchy.variables[path]
    return VariableSurvey(
        path=path,
        dtype=str(raw.dtype),
        sizes={name_of(d): n for d, n in zip(hierarchy.dimensions(path), raw.shape, strict=True)},
        chunk_shape=index.chunk_shape,
        chunks=int(index.kinds.size),
        missing=int((index.kinds == ChunkKind.ABSENT).sum()),
        stored=int(index.lengths.sum()),
        title=str(raw.attrs.get("long_name") or raw.attrs.get("standard_name") or ""),
        units=str(raw.attrs.get("units", "")),
    )


def _readable[T](found: Iterator[T]) -> Iterator[T]:
    """What can be read of `found`; the rest is told among the findings."""
    while True:
        try:
            yield next(found)
        except StopIteration:
            return
        except VdsError:
            continue


def _grid(ground: Ground, path: str, hierarchy: Hierarchy) -> GridSurvey:
    grid = grid_of(ground, path, hierarchy)
    box = _extent(grid)
    if box is None:
        raise StoreError(f"No cell of {path} has a place.")
    edges = (box.west, box.south, box.east, box.north)
    return GridSurvey(str(grid.kind), grid.y.path, grid.x.path, grid.shape, edges)


def _extent(grid: Grid) -> BoundingBox | None:
    if grid.kind is not GridKind.RECTILINEAR:
        return whole_extent(grid)
    rows, columns = grid.y.values.size, grid.x.values.size
    whole = HorizontalSelection(AxisSelection.whole(rows), AxisSelection.whole(columns), None)
    return grid_plan(grid, whole).bbox


def _time(path: str, hierarchy: Hierarchy) -> TimeSurvey:
    axis = read_axis(AxisKind.T, path, hierarchy)
    covered = time_coverage(axis, AxisSelection.whole(axis.values.size))
    return TimeSurvey(path, axis.values.size, str(covered or ""), axis.calendar)


def _projections(hierarchy: Hierarchy) -> dict[str, str]:
    named: dict[str, str] = {}
    for path, variable in hierarchy.variables.items():
        mapping = str(variable.attrs.get("grid_mapping", "")).split(":")[0].strip()
        found = hierarchy.resolve(mapping, group_of(path)) if mapping else None
        if found is not None and found not in named:
            named[found] = _crs_name(hierarchy.variables[found].attrs)
    return named


def _crs_name(attributes: Mapping[Any, Any]) -> str:
    from pyproj import CRS  # takes as long to import as a store to open
    from pyproj.exceptions import CRSError

    try:
        crs = CRS.from_cf({str(key): value for key, value in attributes.items()})
    except (CRSError, KeyError, ValueError, TypeError):
        return f"not understood ({attributes.get('grid_mapping_name', 'no grid_mapping_name')})"
    authority = crs.to_authority()
    name = str(crs.name)
    if name in ("unknown", "undefined"):
        ellipsoid = crs.ellipsoid.name if crs.ellipsoid else "undefined"
        shape = "no named ellipsoid" if ellipsoid in ("unknown", "undefined") else ellipsoid
        name = f"{crs.type_name}, {shape}"
    return f"{name} ({':'.join(authority)})" if authority else name
