"""Applies a plan to a store's variables, one lazy step after another."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from harmony_vds.model.average import AverageKind
from harmony_vds.model.blocks import blocks
from harmony_vds.model.chunks import ChunkIndex, chunk_numbers
from harmony_vds.model.masking import asked_chunks
from harmony_vds.model.paths import ancestors, group_of, name_of
from harmony_vds.model.places import Placement, placement_for
from harmony_vds.model.plan import Plan, PlannedVariable
from harmony_vds.model.selection import AxisSelection
from harmony_vds.model.splitting import in_pieces
from harmony_vds.model.store import VirtualStore
from harmony_vds.model.stored import RawChunks
from harmony_vds.model.subset import References, Subset, SubsetVariable
from harmony_vds.model.target import TargetPlan
from harmony_vds.transform.average import averaged, feature_names
from harmony_vds.transform.blend import blended
from harmony_vds.transform.held import held
from harmony_vds.transform.longitudes import continue_longitudes
from harmony_vds.transform.mask import masked
from harmony_vds.transform.sampling import sampled
from harmony_vds.transform.stations import feature_type, with_stations
from harmony_vds.transform.target_attributes import without_place


def apply_plan(store: VirtualStore, plan: Plan) -> Subset:
    """The variables of `plan`, cut and ready to be read piece by piece.

    Values, types, attributes and fill values are those of the store; only longitudes that run on
    across the edge of the data are renumbered, what the plan masks is blanked, what it
    averages is averaged, and what has a target grid is put on it, averages too.
    **Reads:** nothing.
    """
    variables = tuple(made for own in plan.variables for made in _made(store, own, plan))
    variables += feature_names(plan)
    groups = {group for v in plan.variables for group in ancestors(group_of(v.path))} | {"/"}
    attributes = {path: _updated(_attributes(store, path), path, plan) for path in sorted(groups)}
    if plan.target is not None:
        variables = _on_target(store, variables, plan, plan.target)
        attributes = {path: without_place(own) for path, own in attributes.items()}
    if plan.placements:
        variables = with_stations(variables, plan.placements)
        kind = feature_type(variables, plan.placements)
        attributes["/"] = {**attributes["/"], "featureType": kind}
    return Subset(
        variables=variables,
        groups=attributes,
        time_axes=frozenset(
            d for v in plan.variables if v.path in plan.time_axes for d in v.dimensions
        ),
    )


def _made(store: VirtualStore, planned: PlannedVariable, plan: Plan) -> tuple[SubsetVariable, ...]:
    """What a variable of the plan gives: itself, or what its average consists of."""
    placement = placement_for(planned.dimensions, plan.placements)
    if placement is not None:
        return (_sampled(store, planned, plan, placement),)
    if plan.average is None:
        return (masked(_cut(store, planned, plan), plan.masks),)
    own = plan.average.of(planned.path)
    over_area = own is not None and plan.average.kind is AverageKind.AREA
    # An average over area gives the cells outside no weight: they need not be blanked first.
    masks = [m for m in plan.masks if own is None or not over_area or m.dimensions != own.along]
    cut = masked(_cut(store, planned, plan), masks)
    positions = [own.positions for own in _kept(store, planned, plan)]
    return averaged(cut, store.chunk_index(planned.path, positions), positions, plan)


def _on_target(
    store: VirtualStore, variables: Sequence[SubsetVariable], plan: Plan, target: TargetPlan
) -> tuple[SubsetVariable, ...]:
    """Variables with rows and columns put on the target; others as they are."""
    # Imported here: it takes libraries that few requests need.
    from harmony_vds.model.warp_blocks import whole_planes
    from harmony_vds.transform.reproject import Reprojection, reprojected, target_variables

    way = Reprojection(target, frozenset(name_of(own.planned.path) for own in variables))
    moved = []
    for own in held(variables):
        source = target.source_of(own.planned.dimensions)
        if source is None:
            moved.append(own)
            continue
        if own.together:  # an average: no chunk of the store holds it
            positions = [np.arange(size) for size in own.data.shape]
            cuts = whole_planes(own.planned.dimensions, own.data.shape, source.dimensions)
        else:
            positions = [kept.positions for kept in _kept(store, own.planned, plan)]
            cuts = store.chunk_index(own.planned.path, positions).cuts
        moved.append(reprojected(own, positions, cuts, way))
    return (*target_variables(target), *moved)


def _kept(store: VirtualStore, planned: PlannedVariable, plan: Plan) -> list[AxisSelection]:
    stored: xr.Variable = store.tree[group_of(planned.path)].variables[name_of(planned.path)]
    return [
        plan.selection.get(dimension, AxisSelection.whole(size))
        for dimension, size in zip(planned.dimensions, stored.shape, strict=True)
    ]


def _sampled(
    store: VirtualStore, planned: PlannedVariable, plan: Plan, placement: Placement
) -> SubsetVariable:
    stored: xr.Variable = store.tree[group_of(planned.path)].variables[name_of(planned.path)]
    positions = [own.positions for own in _kept(store, planned, plan)]
    cuts = store.chunk_index(planned.path, positions).cuts
    found = sampled(stored, planned, positions, cuts, placement.reading(planned.path))
    if not placement.has_between(planned.path):
        return found
    assert placement.blend is not None
    return blended(found, placement.blend)


def _cut(store: VirtualStore, planned: PlannedVariable, plan: Plan) -> SubsetVariable:
    """The window of one variable, lazy, in pieces along the chunks of the store."""
    node = store.tree[group_of(planned.path)]
    stored: xr.Variable = node.variables[name_of(planned.path)]
    kept = _kept(store, planned, plan)
    indexers = {
        name: _indexer(own) for name, own in zip(stored.dims, kept, strict=True) if not own.is_whole
    }
    positions = [own.positions for own in kept]
    index = store.chunk_index(planned.path, positions)
    asked = asked_chunks(plan.masks, planned.path, planned.dimensions, positions, index.cuts)
    window = store.sparing(stored, asked).isel(indexers)
    data = _georeferenced(planned.path, _continued(planned.path, window, store, plan), plan)
    if planned.path in plan.references:
        pointed = _pointed(index, store.layout(planned.path), kept)
        return SubsetVariable(planned, data, pointed.index.chunk_shape, (), references=pointed)
    pieces = blocks(positions, index.cuts, data.dtype.itemsize)
    array = None if asked else store.stored(stored)
    raw = None if array is None else RawChunks(window, array, tuple(positions))
    return SubsetVariable(planned, data, index.chunk_shape, pieces, raw=raw)


def _pointed(index: ChunkIndex, layout: Any, kept: Sequence[AxisSelection]) -> References:
    """References to chunks, or to pieces of them where what is kept ends inside of some."""
    pieces = in_pieces(index, layout, kept)
    if pieces is not None:
        return References(pieces, tuple(np.arange(size) for size in pieces.kinds.shape), layout)
    numbers = tuple(
        np.concatenate([chunk_numbers(piece, cut) for piece in own.pieces])
        for own, cut in zip(kept, index.cuts, strict=True)
    )
    return References(index, numbers, layout)


def _georeferenced(path: str, data: xr.Variable, plan: Plan) -> xr.Variable:
    """`data` with attributes that say where the whole grid lies brought up to date."""
    if path not in plan.georeferences:
        return data
    placed = data.copy(deep=False)
    placed.attrs = _updated(data.attrs, path, plan)
    return placed


def _updated(attributes: Mapping[Any, Any], path: str, plan: Plan) -> dict[Any, Any]:
    updated = {**attributes, **plan.georeferences.get(path, {})}
    return {name: value for name, value in updated.items() if value is not None}


def _indexer(kept: AxisSelection) -> Any:
    if len(kept.pieces) == 1:
        return slice(kept.pieces[0].start, kept.pieces[0].stop)
    return kept.positions


def _continued(path: str, data: xr.Variable, store: VirtualStore, plan: Plan) -> xr.Variable:
    """Longitudes and their bounds, renumbered where the plan says so."""
    for grid in plan.grids:
        if grid.shifts is None:
            continue
        if path == grid.x_path:
            return continue_longitudes(data, grid.shifts)
        if path == grid.x_bounds_path:
            longitudes = store.tree[group_of(grid.x_path)].variables[name_of(grid.x_path)]
            return continue_longitudes(data, grid.shifts, longitudes.attrs)
    return data


def _attributes(store: VirtualStore, path: str) -> Mapping[str, Any]:
    # xarray, when it writes a store, lists coordinates in a group attribute of its own.
    attributes = store.tree[path].attrs
    return {str(key): value for key, value in attributes.items() if key != "coordinates"}
