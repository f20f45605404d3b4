"""The plan: everything decided about a request before any data chunk is read."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from harmony_vds.model.average import AveragePlan
from harmony_vds.model.cell_set import CellSet
from harmony_vds.model.duration import Duration, expected
from harmony_vds.model.extent import BoundingBox, TimeRange
from harmony_vds.model.formats import AS_STORED, NETCDF, Format, Layout, format_of
from harmony_vds.model.grid import GridKind
from harmony_vds.model.places import Placement
from harmony_vds.model.selection import AxisSelection
from harmony_vds.model.store import StoreLocation
from harmony_vds.model.target import TargetPlan

_IDENTITY = (
    "store", "variables", "selection", "masks", "placements", "average", "target", "asked",
    "layout", "beside",
)  # fmt: skip
"""What of a plan decides the bytes of its output."""


def counted(number: int, noun: str) -> str:
    """How many of what: ``1 chunk``, ``1,602,080 chunks``. **Reads:** nothing."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def human_bytes(count: float) -> str:
    """`count` bytes in binary units, e.g. ``1.8 GiB``. **Reads:** nothing.

    >>> human_bytes(1536)
    '1.5 KiB'
    """
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if abs(count) < 1024 or unit == "TiB":
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    raise AssertionError("unreachable")


def told_apart(
    wanted: float,
    allowed: float,
    shown: Callable[[float], str] = human_bytes,
    exactly: Callable[[float], str] = "{:,.0f} bytes".format,
) -> tuple[str, str]:
    """Both numbers as they are shown; exactly, where that would make one of two different ones.

    **Reads:** nothing.

    >>> told_apart(10.04 * 2**30, 10 * 2**30)
    ('10,780,367,913 bytes', '10,737,418,240 bytes')
    """
    told = shown(wanted), shown(allowed)
    if told[0] == told[1] and wanted != allowed:
        return exactly(wanted), exactly(allowed)
    return told


@dataclass(frozen=True)
class Cost:
    """The price of a plan; exact except for the peaks, which are upper estimates, and the time."""

    chunks: int
    """Chunks touched by `fulfil`, missing ones included."""
    requests: int
    """Requests to the archive."""
    bytes_read: int
    """Bytes fetched from the archive."""
    bytes_decoded: int
    """Bytes of the touched chunks once decoded."""
    bytes_written: int
    """Bytes of the output before compression."""
    peak_memory: int
    """Bytes held at once while reading and writing."""
    peak_disk: int
    """Bytes of local disk in use at once."""
    missing: int
    """Chunks touched that the manifest does not hold and that read as fill."""
    rows: int = 0
    """Rows of the output where it is a table, before those outside of a shape are left out."""
    computing: float = 0.0
    """Seconds in which one core averages, or puts values on another grid; see `Rates.computing`."""

    @property
    def duration(self) -> Duration:
        """How long `fulfil` takes, by measured rates. **Reads:** nothing."""
        return expected(
            self.requests, self.bytes_read, self.bytes_decoded, self.bytes_written, self.computing
        )

    def as_json(self) -> dict[str, object]:
        """The price in plain JSON values, its time as [least, most] seconds. **Reads:** nothing."""
        return {
            **asdict(self),
            "seconds": [round(self.duration.least, 1), round(self.duration.most, 1)],
        }

    def __str__(self) -> str:
        gaps = f", {self.missing:,} of them not in the manifest" if self.missing else ""
        return (
            f"{counted(self.chunks, 'chunk')}{gaps}, {human_bytes(self.bytes_read)} in "
            f"→ {human_bytes(self.bytes_written)} out, {self.duration}"
        )


UNPRICED = Cost(0, 0, 0, 0, 0, 0, 0, 0)
"""In place of a price that is not known yet."""


class Role(StrEnum):
    """Why a variable is in the output."""

    REQUESTED = "requested"
    REQUIRED = "required"


@dataclass(frozen=True)
class PlannedVariable:
    """One variable of the output."""

    path: str
    """Full path, e.g. ``/product/no2``."""
    dimensions: tuple[str, ...]
    """Full paths of its dimensions, in storage order."""
    role: Role
    """Asked for by name, or needed by something that was."""
    is_added: bool = False
    """Whether the store lacks it, and opening added it."""


@dataclass(frozen=True, eq=False)
class Mask:
    """Cells that are in the output's window and not in what was asked for: they become fill."""

    dimensions: tuple[str, ...]
    """Full paths of the dimensions it lies on."""
    inside: CellSet
    """Where values stay; over the kept positions of `dimensions`, in output order."""
    variables: frozenset[str]
    """Full paths of the variables it is put on, each of which has all of `dimensions`."""

    def as_json(self) -> dict[str, object]:
        """What it is, in plain JSON values, its cells by their SHA-256. **Reads:** nothing."""
        return {
            "dimensions": list(self.dimensions),
            "cells": [self.inside.count, self.inside.size],
            "sha256": self.inside.sha256,
            "variables": sorted(self.variables),
        }


@dataclass(frozen=True, eq=False)
class GridPlan:
    """How one horizontal grid is cut."""

    x_path: str
    """Variable of its longitudes, or of its x in `crs`; empty where they were computed."""
    y_path: str
    """Variable of its latitudes, or of its y."""
    bbox: BoundingBox
    """Outer edges of the kept cells, degrees."""
    shifts: npt.NDArray[np.float64] | None = None
    """Multiples of 360 to add to the kept longitudes so that they run on across the edge of the
    data; shape (kept columns,), or None where stored values stand."""
    x_bounds_path: str = ""
    """Bounds of the longitudes; empty without them."""
    kind: GridKind = GridKind.RECTILINEAR
    """How the grid states where its cells are."""
    crs: str = ""
    """Its coordinate reference system as WKT; empty for plain degrees."""
    dimensions: tuple[str, ...] = ()
    """Full paths of the dimensions that carry it: (rows, columns), or the one of a track."""


@dataclass(frozen=True, eq=False)
class Plan:
    """Everything decided about one source of a request; no pixels, no secrets."""

    location: StoreLocation
    """The pinned store."""
    variables: tuple[PlannedVariable, ...]
    """The output's variables, in the store's order."""
    selection: Mapping[str, AxisSelection]
    """Dimension path → kept positions; dimensions not named are kept whole."""
    grids: tuple[GridPlan, ...]
    """The horizontal grids that carry a requested variable."""
    time_axes: tuple[str, ...]
    """Full paths of the time variables that carry a requested variable."""
    coverage: TimeRange | None
    """First and last instant of the kept steps, their bounds included."""
    asked: Mapping[str, object]
    """The request's parameters, for provenance."""
    notes: tuple[str, ...]
    """Remarks that the user should read, e.g. that an open time range was taken to the end."""
    cost: Cost
    """What `fulfil` will read and write."""
    masks: tuple[Mask, ...] = ()
    """What is blanked inside the selection."""
    record: Mapping[str, object] = field(default_factory=dict)
    """The request as `harmony_vds.model.record` keeps it."""
    references: frozenset[str] = frozenset()
    """Full paths of the variables that the output points to instead of holding them."""
    layout: Layout = AS_STORED
    """How the output is laid out."""
    product: str = ""
    """Short name and version of the collection, as titles of its data begin."""
    average: AveragePlan | None = None
    """What is averaged, and over what; None where values stand as they are."""
    georeferences: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Full path of a variable or group → attribute that says where its whole grid lies → what it
    says of the window, None to leave it out."""
    placements: tuple[Placement, ...] = ()
    """The cells that answer for places; one for each grid, and then of it nothing else is read."""
    target: TargetPlan | None = None
    """The grid of the output, where it is another than the store's."""
    beside: tuple["Plan", ...] = ()
    """Of other stores, whose values the output holds too, on the same target grid."""

    @property
    def requested(self) -> tuple[str, ...]:
        """Paths of the variables asked for. **Reads:** nothing."""
        return tuple(v.path for v in self.variables if v.role is Role.REQUESTED)

    @property
    def format(self) -> Format:
        """What is written. **Reads:** nothing."""
        return format_of(str(self.asked.get("format", NETCDF)))

    @property
    def outputs(self) -> int:
        """How many files come out. **Reads:** nothing."""
        if not self.format.per_variable:
            return 1
        asked = [{*own.dimensions} for own in self.variables if own.role is Role.REQUESTED]
        grids = [{*own.dimensions} for own in self.grids if own.dimensions]
        return max(1, sum(any(grid <= own for grid in grids) for own in asked))

    @property
    def is_subset(self) -> bool:
        """Whether less than the whole store comes out. **Reads:** nothing."""
        cut = any(not own.is_whole for own in self.selection.values())
        return "variables" in self.asked or cut or bool(self.masks)

    def bbox(self) -> BoundingBox | None:
        """The box around all grids, or None without one. **Reads:** nothing."""
        if self.target is not None:
            return self.target.bbox
        if not self.grids:
            return None
        boxes = [g.bbox for g in self.grids]
        return BoundingBox(
            min(b.west for b in boxes),
            min(b.south for b in boxes),
            max(b.east for b in boxes),
            max(b.north for b in boxes),
        )

    def as_json(self) -> dict[str, object]:
        """The plan in plain JSON values. **Reads:** nothing."""
        box = self.bbox()
        told: dict[str, object] = {
            "store": self.location.as_json(),
            "asked": dict(self.asked),
            "layout": asdict(self.layout),
            "variables": [
                {"path": v.path, "dimensions": list(v.dimensions), "role": str(v.role)}
                for v in self.variables
            ],
            "selection": {path: s.as_lists() for path, s in sorted(self.selection.items())},
            "masks": [own.as_json() for own in self.masks],
            "references": sorted(self.references),
            "average": None if self.average is None else self.average.as_json(),
            "placements": [own.as_json() for own in self.placements],
            "target": None if self.target is None else self.target.as_json(),
            "bbox": None if box is None else [box.west, box.south, box.east, box.north],
            "temporal": None if self.coverage is None else str(self.coverage),
            "notes": list(self.notes),
            "cost": self.cost.as_json(),
        }
        if self.beside:
            told["beside"] = [own.fingerprint for own in self.beside]
        return told

    @property
    def fingerprint(self) -> str:
        """SHA-256 over store, snapshot and selection: equal plans write equal bytes.

        **Reads:** nothing.
        """
        told = self.as_json()
        content = {key: told[key] for key in _IDENTITY if key in told}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def __str__(self) -> str:
        kept = ", ".join(
            f"{path.rsplit('/', 1)[-1]} {len(s):,} of {s.size:,}"
            for path, s in self.selection.items()
        )
        return f"{self.cost}; {', '.join(self.requested)} from {self.location}; {kept}"
