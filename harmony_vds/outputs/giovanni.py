"""A time series as Giovanni's services write it in CSV.

Lines about the request come first, then a line with nothing but a comma, then the series; times
stand in UTC without saying so, and a missing value is the number that the head names.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Self

import pyarrow as pa
import pyarrow.compute as pc

from harmony_vds.model.average import AverageKind
from harmony_vds.model.plan import Plan, Role
from harmony_vds.outputs.cells import unarmed, unarmed_text
from harmony_vds.outputs.columns import Column, Table

FILL = -9999.9
"""Stands for a missing value."""


@dataclass(frozen=True, eq=False)
class Series:
    """Columns over time at one place, or of one area."""

    time: Column
    """When."""
    data: tuple[Column, ...]
    """What was asked for."""
    plan: Plan
    """What it was cut by."""

    @classmethod
    def of(cls, table: Table, plan: Plan) -> Self | None:
        """The series in a table; None where anything but time goes through several values.

        **Reads:** nothing.
        """
        time = next((own for own in table.columns if own.name == "time"), None)
        if time is None or time.variable is None:
            return None
        along = time.variable.planned.dimensions
        others = [n for d, n in zip(table.dimensions, table.shape, strict=True) if d not in along]
        if any(size > 1 for size in others):
            return None
        data = tuple(
            own for own in table.data
            if own.variable is not None and own.variable.planned.role is Role.REQUESTED
        )  # fmt: skip
        return cls(time, data, plan)

    def head(self) -> list[list[str]]:
        """The lines before the first row, their cells apart. **Reads:** nothing."""
        plan = self.plan
        start, end = str(plan.asked.get("temporal", "../..")).split("/")
        covered = plan.coverage
        if covered is not None:
            start = _instant(covered.start) if start == ".." else start
            end = _instant(covered.end) if end == ".." else end
        return [
            ["User Start Date:", start],
            ["User End Date:", end],
            ["User Bounding Box:", ", ".join(f"{edge:.10g}" for edge in self._box())],
            ["Fill Value:", f"{FILL:g}"],
            ["", ""],
            ["time", *(self._title(own) for own in self.data)],
        ]

    def _box(self) -> Sequence[float]:
        asked = self.plan.asked.get("bbox")
        if isinstance(asked, list):
            return asked
        if self.plan.placements:
            (place,) = self.plan.placements[0].places[:1]
            return place.longitude, place.latitude, place.longitude, place.latitude
        box = self.plan.bbox()
        return (-180, -90, 180, 90) if box is None else (box.west, box.south, box.east, box.north)

    def _title(self, own: Column) -> str:
        average = self.plan.average
        if average is None or average.kind is not AverageKind.AREA:
            return unarmed_text(own.name)
        return "_".join(part for part in ("mean", self.plan.product, own.name) if part)

    @staticmethod
    def finish(made: pa.Array, column: Column) -> pa.Array:
        """The cells of a column: times as they stand, numbers without gaps. **Reads:** nothing."""
        if pa.types.is_string(made.type):
            return made if column.name == "time" else unarmed(made)
        if made.null_count:
            return pc.fill_null(made.cast(pa.float64()), FILL)
        return made

    def chosen(self, block: pa.Table) -> pa.Table:
        """The columns of the series, of a block of rows. **Reads:** nothing."""
        return block.select([self.time.name, *(own.name for own in self.data)])


def _instant(moment: datetime | None) -> str:
    return "" if moment is None else moment.strftime("%Y-%m-%dT%H:%M:%SZ")
