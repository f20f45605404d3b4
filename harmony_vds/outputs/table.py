"""Writes tables: CSV and Parquet, one row for each cell, in bounded memory.

Values are decoded by CF; a missing one is an empty cell in CSV and null in Parquet. Rows outside of
a shape are left out. Times stand in UTC.
"""

import csv
import io
import json
import math
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from harmony_vds.model.plan import Plan
from harmony_vds.model.subset import Block, Subset
from harmony_vds.outputs.cells import cells, instants, is_time, unarmed, unarmed_text, zoned
from harmony_vds.outputs.columns import Column, Table, table_of
from harmony_vds.outputs.giovanni import Series
from harmony_vds.outputs.pieces import Step
from harmony_vds.outputs.provenance import global_attributes
from harmony_vds.outputs.rows import Spool, blocks_of, kept_rows, part_of, spread

type Finish = Callable[[pa.Array, Column], pa.Array]
"""What a format makes of the cells of a column."""
_SPECIAL = r'[",\r\n]'
_DESCRIPTIONS = ("units", "long_name", "standard_name", "cell_methods")


def write_csv(subset: Subset, plan: Plan, path: Path, step: Step) -> None:
    """Write `subset` as CSV in UTF-8: titles in the first line, times with the mark of UTC.

    Raises
    ------
    UnsupportedError
        Its variables have no common rows, or values of theirs no form in a table.
    StoreError, UpstreamError, TimeLimitError
        A chunk cannot be read; the file is then incomplete and must not be used.

    **Reads:** chunks.
    """
    table = table_of(subset, plan)
    series = Series.of(table, plan) if plan.layout.csv == "giovanni" else None
    with ExitStack() as stack:
        finish = _as_csv if series is None else series.finish
        spool = stack.enter_context(_spooled(table, path.parent, step))
        rows = _Rows.of(table, plan, spool, finish)
        file = stack.enter_context(path.open("wb"))
        file.write(_lines([_titles(table)] if series is None else series.head()))
        writer: Any = None
        for block in rows.blocks(step):
            own = block if series is None else series.chosen(block)
            if writer is None:
                options = pyarrow.csv.WriteOptions(
                    include_header=False, quoting_style="needed" if rows.wants_quotes else "none"
                )
                writer = stack.enter_context(
                    pyarrow.csv.CSVWriter(file, own.schema, write_options=options)
                )
            writer.write_table(own)


def write_parquet(subset: Subset, plan: Plan, path: Path, step: Step) -> None:
    """Write `subset` as Parquet; attributes of columns and of the store are in its metadata.

    Raises
    ------
    UnsupportedError, StoreError, UpstreamError, TimeLimitError
        As `write_csv`.

    **Reads:** chunks.
    """
    table = table_of(subset, plan)
    about = {"attributes": json.dumps(_plain(global_attributes(subset.groups["/"], plan)))}
    with ExitStack() as stack:
        spool = stack.enter_context(_spooled(table, path.parent, step))
        rows = _Rows.of(table, plan, spool, _as_parquet)
        writer: Any = None
        for block in rows.blocks(step):
            own = block.cast(_described(block.schema, table, about))
            if writer is None:
                writer = stack.enter_context(
                    pyarrow.parquet.ParquetWriter(path, own.schema, compression="zstd")
                )
            writer.write_table(own)


@contextmanager
def _spooled(table: Table, folder: Path, step: Step) -> Iterator[Spool]:
    """The values of all columns on local disk, as long as the context lasts. **Reads:** chunks."""
    variables = [own.variable for own in table.columns if own.variable is not None]
    with tempfile.TemporaryDirectory(prefix="rows-", dir=folder) as disk:
        spool = Spool(variables, Path(disk))
        spool.fill(step)
        yield spool


@dataclass(frozen=True, eq=False)
class _Rows:
    """The rows of a table, whose values lie on local disk."""

    table: Table
    plan: Plan
    spool: Spool
    finish: Finish
    along: Mapping[str, pa.Array]
    """The finished cells of columns along one dimension at most: the same in all blocks."""

    @classmethod
    def of(cls, table: Table, plan: Plan, spool: Spool, finish: Finish) -> Self:
        """The rows of a filled spool. **Reads:** nothing from outside."""
        return cls(table, plan, spool, finish, _along(table, spool, finish))

    @property
    def wants_quotes(self) -> bool:
        """Whether some text needs quotes in CSV; then all text has them."""
        return any(
            own.variable.data.dtype.kind in "SOUT" for own in self.table.data if own.variable
        ) or any(
            pa.types.is_string(own.type)
            and bool(pc.any(pc.match_substring_regex(own, _SPECIAL)).as_py())
            for own in self.along.values()
        )

    def blocks(self, step: Step) -> Iterator[pa.Table]:
        """The rows, block by block; at least one block, if it were without rows."""
        rows, is_first = max(math.prod(self.table.shape), 1), True
        for block in blocks_of(self.table.shape):
            kept = kept_rows(self.plan.masks, self.table, block)
            if is_first or kept is None or kept.any():
                made = pa.table({own.name: self._column(own, block) for own in self.table.columns})
                yield made if kept is None else made.filter(pa.array(kept))
                is_first = False
            size = math.prod(part.stop - part.start for part in block)
            step(self.plan.cost.bytes_written * size // rows)

    def _column(self, own: Column, block: Block) -> pa.Array:
        table, variable = self.table, own.variable
        if own.name in self.along:
            dimensions = (own.dimension,) if variable is None else variable.planned.dimensions
            part = part_of(dimensions, table, block)
            numbers = np.arange(part[0].start, part[0].stop) if part else np.zeros((), np.int64)
            rows = spread(numbers, dimensions, table, block)
            return self.along[own.name].take(pa.array(rows))
        assert variable is not None
        dimensions = variable.planned.dimensions
        values = self.spool.read(variable, part_of(dimensions, table, block))
        made = cells(spread(values, dimensions, table, block), variable.data.attrs)
        return self.finish(made, own)


def _along(table: Table, spool: Spool, finish: Finish) -> Mapping[str, pa.Array]:
    found = {}
    for own in table.columns:
        if own.variable is None:
            size = table.shape[table.dimensions.index(own.dimension)]
            found[own.name] = pa.array(np.arange(size))
        elif own.variable.data.ndim < 2 and not own.is_data:
            whole = tuple(slice(0, size) for size in own.variable.data.shape)
            values = spool.read(own.variable, whole)
            found[own.name] = finish(cells(values, own.variable.data.attrs), own)
    return found


def _as_csv(made: pa.Array, column: Column) -> pa.Array:
    if column.variable is not None and is_time(column.variable.data.attrs):
        return zoned(made)
    return unarmed(made) if pa.types.is_string(made.type) else made


def _as_parquet(made: pa.Array, column: Column) -> pa.Array:
    if column.variable is None or not is_time(column.variable.data.attrs):
        return made
    return instants(made, str(column.variable.data.attrs.get("calendar", "standard")))


def _titles(table: Table) -> list[str]:
    return [unarmed_text(own.name) for own in table.columns]


def _lines(lines: Sequence[Sequence[str]]) -> bytes:
    """Lines of CSV."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue().encode()


def _described(schema: pa.Schema, table: Table, about: Mapping[str, str]) -> pa.Schema:
    fields = []
    for own, column in zip(schema, table.columns, strict=True):
        attributes = {} if column.variable is None else column.variable.data.attrs
        told = {key: str(attributes[key]) for key in _DESCRIPTIONS if key in attributes}
        if column.variable is not None and is_time(attributes):
            told.pop("units", None)
        fields.append(own.with_metadata(told) if told else own)
    return pa.schema(fields, metadata=dict(about))


def _plain(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {key: np.asarray(value).tolist() for key, value in attributes.items()}
