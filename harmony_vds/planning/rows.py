"""The price of tables: a row for each cell, whose text is longer than the number it stands for."""

import math
from collections.abc import Collection, Iterable
from dataclasses import replace

from harmony_vds.model.blocks import WINDOW_BYTES
from harmony_vds.model.places import placement_for
from harmony_vds.model.plan import Plan, PlannedVariable, Role
from harmony_vds.planning.hierarchy import Hierarchy

_BYTES_OF_TIME = 22
_BYTES_OF_CELL = 12
"""What a cell takes in CSV, its comma included; in Parquet it takes less."""


def for_columns(
    variables: Iterable[PlannedVariable], axes: Collection[str]
) -> tuple[PlannedVariable, ...]:
    """Those of `variables` that a table has columns for: neither bounds nor ancillary variables.

    **Reads:** nothing.
    """
    return tuple(
        own
        for own in variables
        if own.role is Role.REQUESTED or own.path in axes or own.dimensions == (own.path,)
    )


def in_rows(plan: Plan, hierarchy: Hierarchy) -> Plan:
    """`plan`, priced as a table: values wait on local disk, and rows are written from there.

    **Reads:** nothing.
    """
    asked = [own for own in plan.variables if own.role is Role.REQUESTED]
    rows = max((_cells(own, plan, hierarchy) for own in asked), default=0)
    columns = len(asked) + max((len(own.dimensions) for own in asked), default=0)
    text = rows * (_BYTES_OF_TIME + _BYTES_OF_CELL * columns)
    cost = plan.cost
    disk = cost.bytes_written + text
    memory = cost.peak_memory + min(text, WINDOW_BYTES)  # rows that are being put into words
    return replace(
        plan,
        cost=replace(cost, rows=rows, bytes_written=text, peak_disk=disk, peak_memory=memory),
    )


def _cells(own: PlannedVariable, plan: Plan, hierarchy: Hierarchy) -> int:
    """Cells of a variable in the output."""
    averaged = None if plan.average is None else plan.average.of(own.path)
    placement = placement_for(own.dimensions, plan.placements)
    gone = (*(averaged.along if averaged else ()), *(placement.dimensions if placement else ()))
    shape = hierarchy.variables[own.path].shape
    cells = 1 if placement is None else len(placement)
    source = None if plan.target is None else plan.target.source_of(own.dimensions)
    if plan.target is not None and source is not None:
        gone = (*gone, *source.dimensions)
        cells = math.prod(plan.target.size)
    for dimension, size in zip(own.dimensions, shape, strict=True):
        if dimension not in gone:
            cells *= len(plan.selection.get(dimension, range(size)))
    return cells
