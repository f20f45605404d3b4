"""What is wrong with a store, as far as its metadata and coordinates tell."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from harmony_vds.errors import VdsError
from harmony_vds.model.chunks import ChunkIndex, ChunkKind
from harmony_vds.model.grid import Axis, AxisKind, GridKind
from harmony_vds.model.paths import group_of, name_of
from harmony_vds.planning.axes import read_axis
from harmony_vds.planning.grids import Footing, Ground, footing
from harmony_vds.planning.ground import grid_of
from harmony_vds.planning.hierarchy import Hierarchy


class Severity(StrEnum):
    """What a finding means for requests."""

    ERROR = "error"
    """Something cannot be read, or would be read wrongly."""
    WARNING = "warning"
    """Some requests will be refused, or their answers hold gaps."""
    REPAIRED = "repaired"
    """It was put right when the store was opened; other readers meet it."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong."""

    severity: Severity
    """What it means."""
    place: str
    """Full path of the variable or group."""
    told: str
    """What is wrong, a clause without a full stop."""


def findings_of(
    hierarchy: Hierarchy, indexes: Mapping[str, ChunkIndex | None]
) -> Iterator[Finding]:
    """Everything that is wrong with a store, worst first within each variable.

    Parameters
    ----------
    hierarchy
        The store's variables.
    indexes
        Full path → chunk index, None where there is none to be had.

    **Reads:** coordinates.
    """
    store = hierarchy.store
    for place, reason in store.defects.items():
        yield Finding(Severity.ERROR, place, reason)
    for place, reason in store.repairs.items():
        yield Finding(Severity.REPAIRED, place, reason)
    for path, index in indexes.items():
        yield from _gaps(path, index, hierarchy)
        yield from _lost_mapping(path, hierarchy)
    yield from _axes(hierarchy)


def _gaps(path: str, index: ChunkIndex | None, hierarchy: Hierarchy) -> Iterator[Finding]:
    if index is None:
        yield Finding(Severity.ERROR, path, "its place in the manifest cannot be read")
        return
    missing = int((index.kinds == ChunkKind.ABSENT).sum())
    if missing and "grid_mapping_name" not in hierarchy.variables[path].attrs:
        told = (
            f"{missing:,} of {index.kinds.size:,} chunks are not in the manifest; they read as fill"
        )
        yield Finding(Severity.WARNING, path, told)


def _lost_mapping(path: str, hierarchy: Hierarchy) -> Iterator[Finding]:
    mapping = str(hierarchy.variables[path].attrs.get("grid_mapping", "")).split(":")[0].strip()
    if mapping and hierarchy.resolve(mapping, group_of(path)) is None:
        yield Finding(Severity.WARNING, path, f"its grid mapping {mapping} is not in the store")


def _axes(hierarchy: Hierarchy) -> Iterator[Finding]:
    """What is wrong with coordinates, and which variables cannot be cut by them."""
    feet = {path: footing(path, hierarchy) for path in hierarchy.variables}
    kinds = {
        path: kind
        for own in feet.values()
        for kind, path in ((AxisKind.T, own.t), *_degrees(own.ground))
        if path is not None
    }
    for path, kind in kinds.items():
        try:
            axis = read_axis(kind, path, hierarchy)
        except VdsError as error:
            yield Finding(Severity.ERROR, path, str(error))
        else:
            yield from _axis(axis)
    yield from _misplaced(feet, hierarchy)
    for path, own in feet.items():
        if hierarchy.variables[path].ndim < 2 or path in kinds:
            continue
        if own.obstacle:
            yield Finding(Severity.WARNING, path, f"a box cannot cut it: {own.obstacle}")
        elif own.ground is None and own.t is None:
            bare = ", ".join(name_of(d) for d in hierarchy.dimensions(path))
            told = (
                f"no coordinates lie along its dimensions ({bare}); boxes and times cannot cut it"
            )
            yield Finding(Severity.WARNING, path, told)


def _misplaced(feet: Mapping[str, Footing], hierarchy: Hierarchy) -> Iterator[Finding]:
    """Grids whose cells cannot be placed, or are placed twice and apart; and lost grid mappings."""
    seen = set()
    for path, own in feet.items():
        ground = own.ground
        if ground is None or ground.mapping is None or (ground.y, ground.x) in seen:
            continue
        seen.add((ground.y, ground.x))
        if ground.mapping.remark:
            yield Finding(Severity.WARNING, path, ground.mapping.remark)
        try:
            grid_of(ground, path, hierarchy)
        except VdsError as error:
            yield Finding(Severity.ERROR, path, str(error))


def _degrees(ground: Ground | None) -> tuple[tuple[AxisKind, str | None], ...]:
    """The latitudes and longitudes that run along dimensions of their own."""
    if ground is None or ground.kind is not GridKind.RECTILINEAR or ground.mapping is not None:
        return ()
    return (AxisKind.Y, ground.y), (AxisKind.X, ground.x)


def _axis(axis: Axis) -> Iterator[Finding]:
    values = axis.values
    unknown = int(np.isnan(values).sum())
    if unknown:
        yield Finding(Severity.WARNING, axis.path, f"{unknown:,} of {values.size:,} are missing")
    known = values[np.isfinite(values)]
    steps = np.diff(known)
    if known.size and np.unique(known).size < known.size:
        repeated = known.size - np.unique(known).size
        yield Finding(Severity.WARNING, axis.path, f"{repeated:,} values are repeated")
    elif axis.kind is not AxisKind.X and steps.size and steps.min() < 0 < steps.max():
        yield Finding(Severity.WARNING, axis.path, "its values are not in order")
    if axis.kind is AxisKind.Y and known.size and np.abs(known).max() > 90 + axis.resolution:
        worst = known[np.argmax(np.abs(known))]
        yield Finding(Severity.ERROR, axis.path, f"a latitude of {worst:g} lies beyond the poles")
