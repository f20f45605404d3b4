"""Which variables an output points to, and where their chunks let it begin and end."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from harmony_vds.errors import UnsupportedError
from harmony_vds.model.chunks import ChunkIndex, ChunkKind, ChunkTally, Cut, chunk_numbers
from harmony_vds.model.extent import TimeRange
from harmony_vds.model.grid import AxisKind
from harmony_vds.model.paths import name_of
from harmony_vds.model.plan import Cost, Plan, PlannedVariable
from harmony_vds.model.selection import AxisSelection
from harmony_vds.model.splitting import free_dimensions, in_pieces
from harmony_vds.planning.axes import read_axis
from harmony_vds.planning.cost import kept_indices, price
from harmony_vds.planning.hierarchy import Hierarchy
from harmony_vds.planning.horizontal import GridCuts
from harmony_vds.planning.ranges import time_coverage
from harmony_vds.planning.snapping import snapped

MOST_HELD = 2**24
"""Decoded bytes up to which a variable is held by value where it cannot be pointed to."""
_BYTES_OF_A_REFERENCE = 120
"""A key, an address of the usual length, an offset and a length."""
_POINTED = (ChunkKind.VIRTUAL, ChunkKind.ABSENT)


@dataclass(frozen=True)
class Pointing:
    """What an output of references holds."""

    selection: Mapping[str, AxisSelection]
    """What is kept, as references can name it."""
    references: frozenset[str]
    """Full paths of the variables that are pointed to; the others are held by value."""


def point(
    variables: Sequence[PlannedVariable],
    selection: Mapping[str, AxisSelection],
    hierarchy: Hierarchy,
) -> Pointing:
    """Widen `selection` to what references can name, and tell which of `variables` are pointed to.

    References name whole chunks, and of uncompressed chunks what lies in one run of bytes.

    Coordinates that planning has read are held by value, and so is what has no dimensions, and
    what is small and whose chunks lie in the store itself, or at addresses with a query: that may
    be a signature, which is for whoever read the manifest alone.

    Raises
    ------
    UnsupportedError
        A large variable has chunks that no reference can name; the text says which and why.

    **Reads:** metadata.
    """
    free = [v for v in variables if v.dimensions and v.path not in hierarchy.held]
    cuts: dict[str, list[Cut]] = {}
    for own in free:
        for dimension, cut in zip(own.dimensions, _cuts(own, selection, hierarchy), strict=True):
            cuts.setdefault(dimension, []).append(cut)
    whole = {path: snapped(kept, cuts.get(path, ())) for path, kept in selection.items()}
    references = frozenset(own.path for own in free if _can_point(own, whole, hierarchy))
    return Pointing(whole, references)


def pointed(plan: Plan, grids: GridCuts, hierarchy: Hierarchy) -> Plan:
    """`plan` for an output that points to chunks: widened to whole ones, unmasked, and priced anew.

    Parameters
    ----------
    plan
        What would be cut.
    grids
        The grids that its variables lie on.
    hierarchy
        The store's variables, with the coordinates that planning has read.

    Raises
    ------
    UnsupportedError
        A large variable has chunks that no reference can name.

    **Reads:** coordinates.
    """
    pointing = point(plan.variables, plan.selection, hierarchy)
    held = [own for own in plan.variables if own.path not in pointing.references]
    cost = price(held, pointing.selection, hierarchy)
    for own in plan.variables:
        if own.path in pointing.references:
            cost = _with_references(cost, _tally(own, pointing.selection, hierarchy))
    return replace(
        plan,
        selection=pointing.selection,
        references=pointing.references,
        grids=grids.plans_widened(pointing.selection),
        masks=(),
        coverage=_coverage(plan, pointing.selection, hierarchy),
        notes=(*plan.notes, *_remarks(plan, pointing)),
        cost=cost,
    )


def _with_references(cost: Cost, tally: ChunkTally) -> Cost:
    size = tally.chunks * _BYTES_OF_A_REFERENCE
    return replace(
        cost,
        chunks=cost.chunks + tally.chunks,
        missing=cost.missing + tally.missing,
        bytes_written=cost.bytes_written + size,
        peak_disk=cost.peak_disk + size,
    )


def _tally(
    own: PlannedVariable, selection: Mapping[str, AxisSelection], hierarchy: Hierarchy
) -> ChunkTally:
    kept = kept_indices(own, hierarchy.variables[own.path].shape, selection)
    index = _index(own, selection, hierarchy)
    pieces = in_pieces(index, hierarchy.store.layout(own.path), _kept(own, selection, hierarchy))
    if pieces is not None:
        return pieces.tally([range(size) for size in pieces.shape])
    return index.tally(kept)


def _remarks(plan: Plan, pointing: Pointing) -> list[str]:
    """What a reader of the output should know of it."""
    told = ["The output points to chunks of the archive; reading it needs access to them."]
    wider = [
        f"{name_of(path)} from {len(plan.selection[path]):,} to {len(own):,}"
        for path, own in pointing.selection.items()
        if own != plan.selection[path]
    ]
    if wider:
        told.append(f"It begins and ends with whole chunks: {', '.join(wider)}.")
    if plan.masks:
        told.append("Cells outside of what was asked, in the same rows and columns, are there.")
    return told


def _coverage(
    plan: Plan, selection: Mapping[str, AxisSelection], hierarchy: Hierarchy
) -> TimeRange | None:
    """The time that the widened steps cover."""
    found = []
    for path in plan.time_axes:
        axis = read_axis(AxisKind.T, path, hierarchy)
        kept = selection.get(axis.dimension) or AxisSelection.whole(axis.values.size)
        span = time_coverage(axis, kept)
        found += [span] if span and span.start and span.end else []
    if not found:
        return plan.coverage
    return TimeRange(
        min(own.start for own in found if own.start), max(own.end for own in found if own.end)
    )


def _index(
    own: PlannedVariable, selection: Mapping[str, AxisSelection], hierarchy: Hierarchy
) -> ChunkIndex:
    kept = kept_indices(own, hierarchy.variables[own.path].shape, selection)
    return hierarchy.store.chunk_index(own.path, kept)


def _cuts(
    own: PlannedVariable, selection: Mapping[str, AxisSelection], hierarchy: Hierarchy
) -> list[Cut]:
    """How each dimension may be cut: anywhere where references can name parts of chunks."""
    index, kept = _index(own, selection, hierarchy), _kept(own, selection, hierarchy)
    free = free_dimensions(index, hierarchy.store.layout(own.path), kept)
    return [1 if axis < free else cut for axis, cut in enumerate(index.cuts)]


def _kept(
    own: PlannedVariable, selection: Mapping[str, AxisSelection], hierarchy: Hierarchy
) -> list[AxisSelection]:
    shape = hierarchy.variables[own.path].shape
    return [
        selection.get(dimension, AxisSelection.whole(size))
        for dimension, size in zip(own.dimensions, shape, strict=True)
    ]


def _can_point(
    own: PlannedVariable, selection: Mapping[str, AxisSelection], hierarchy: Hierarchy
) -> bool:
    """Whether references can name all kept chunks of a variable; raise if nothing else serves."""
    kept = kept_indices(own, hierarchy.variables[own.path].shape, selection)
    index = _index(own, selection, hierarchy)
    numbers = [chunk_numbers(s, cut) for s, cut in zip(kept, index.cuts, strict=True)]
    kinds = index.kinds[np.ix_(*numbers)]
    reason = hierarchy.store.doubt(own.path)
    if any(b is not None for b in index.boundaries):
        reason = "its chunks differ in length"
    elif not np.isin(kinds, _POINTED).all():
        reason = "some of its chunks lie in the store itself"
    elif any("?" in own and own.startswith("http") for own in index.locations):
        reason = "the addresses of its files carry queries, which may be signatures"
    if reason is None:
        return True
    held = index.tally(kept).decoded
    if held > MOST_HELD:
        raise UnsupportedError(
            f"{own.path.lstrip('/')} cannot be given by references: {reason}, and its "
            f"{held / 2**20:,.0f} MiB are too much to hold by value. Ask for netCDF, or for other "
            "variables."
        )
    return False
