"""Kerchunk references that are brought up to date; written once, when all is done."""

import json
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from harmony_vds.building.arrangement import chunks_of, in_order_of_times
from harmony_vds.building.growing import Arrivals, Substitute, agreed, counted_as, needed, recalled
from harmony_vds.building.joining import Joined, join, refuse_differences
from harmony_vds.building.kerchunk import kerchunk_references
from harmony_vds.building.kerchunk_arrays import KerchunkArray, arrays_in, references_in
from harmony_vds.building.reference_files import ReferenceFile, References, read_file, write_file
from harmony_vds.building.replaced import SEEN, Described, editions
from harmony_vds.building.virtualize import remembered
from harmony_vds.errors import StoreError
from harmony_vds.model.joined_times import is_time
from harmony_vds.model.paths import group_of, name_of

_MOVED = (
    "references that were there moved: who has opened the folder before reads it record by record "
    "and must open it again; publish it under another name"
)


class _Remembered(NamedTuple):
    """One entry of a file's history, in the form of a commit."""

    metadata: dict[str, Any]
    written_at: datetime


class GrowingReferences:
    """The references at a path; `Growing` says what each method does."""

    def __init__(self, path: Path) -> None:
        """Read them; errors as `read_file`. **Reads:** metadata."""
        self._path, self._began = path, datetime.now(UTC)
        told = read_file(path)
        self._history, self._changed, self._moved = told.history, False, False
        self._documents = {k: v for k, v in told.refs.items() if k.endswith((".zgroup", ".zattrs"))}
        self._arrays = arrays_in(told.refs)
        commits = [
            _Remembered(own, datetime.fromisoformat(own["at"])) for own in reversed(told.history)
        ]
        self.choice = recalled(told.history[0]["choice"])
        seen: dict[str, Any] = {}
        for own in told.history:
            seen |= own.get(SEEN, {})
        self.described = Described(commits, seen)
        self._along = self.choice.dimension or self._joined_along()
        self._urls, self._owners = self._found()

    @property
    def urls(self) -> tuple[str, ...]:
        """The granules that they lead to. **Reads:** nothing."""
        return tuple(self._urls[own] for own in dict.fromkeys(self._owners.tolist()))

    def _joined_along(self) -> str:
        for own in self._arrays.values():
            if len(own.dimensions) == 1 and is_time(own.attributes.get("units")):
                return own.dimensions[0]
        raise StoreError("They have no times along a dimension; build them anew with --dimension.")

    def _mine(self) -> dict[str, int]:
        """Path of each array along the granules' dimension → its axis."""
        return {
            path: own.dimensions.index(self._along) for path, own in self._arrays.items()
            if self._along in own.dimensions
        }  # fmt: skip

    def _found(self) -> tuple[list[str], npt.NDArray[np.int64]]:
        """The granules, and the number of the one that each step belongs to."""
        mine = self._mine()
        steps = {self._arrays[path].layout["shape"][axis] for path, axis in mine.items()}
        if len(steps) != 1:
            raise StoreError(f"Their arrays disagree on the length of {self._along}; build anew.")
        owners = np.full(steps.pop(), -1, np.int64)
        urls: dict[str, int] = {}
        for path, axis in mine.items():
            step = self._arrays[path].layout["chunks"][axis]
            for numbers, url in self._arrays[path].urls():
                part = owners[numbers[axis] * step : (numbers[axis] + 1) * step]
                granule = urls.setdefault(url, len(urls))
                if ((part >= 0) & (part != granule)).any():
                    raise StoreError(f"A chunk of {path} lies across granules; build them anew.")
                part[:] = granule
        if (owners < 0).any():
            raise StoreError("Some steps have no reference to tell their granule by; build anew.")
        return list(urls), owners

    def remove(self, gone: Collection[str], substitute: Substitute) -> None:
        """As `Growing.remove`. **Reads:** coordinates of a granule."""
        numbers = [number for number, url in enumerate(self._urls) if url in gone]
        self._arrange(np.flatnonzero(~np.isin(self._owners, numbers)))
        shared = [
            path for path, own in self._arrays.items()
            if self._along not in own.dimensions and any(url in gone for _, url in own.urls())
        ]  # fmt: skip
        if shared:
            found = needed(substitute(gone), shared)
            others = arrays_in(kerchunk_references(Joined(found.groups)))
            for path in shared:
                self._arrays[path].refuse_other_storage(others[path], None)
                self._arrays[path] = others[path]
        self._changed = True

    def append(self, arrivals: Arrivals, substitute: Substitute) -> tuple[str, ...]:
        """As `Growing.append`. **Reads:** coordinates of a granule."""
        sample = substitute(arrivals.renewed)
        if sample is not None:
            refuse_differences([sample, *arrivals.granules], self._along)
        joined = join(arrivals.granules, self._along)
        fresh = kerchunk_references(joined)
        if arrivals.renewed:
            self.remove(arrivals.renewed, lambda _: sample)
        arrays = arrays_in(fresh)
        for path, axis in self._mine().items():
            self._arrays[path] = self._extended(path, axis, arrays[path], joined)
            self._moved |= axis > 0
        self._agree(fresh, arrays)
        self._urls, self._owners = self._found()
        self._sort()
        added = remembered(self.choice, arrivals.urls)
        seen = editions(arrivals.seen())
        self._history.append({**added, SEEN: seen, "at": self._began.isoformat()})
        self._changed = True
        return joined.notes

    def finish(self) -> tuple[str, tuple[str, ...]]:
        """Write the file if anything has changed; it has no snapshots. **Reads:** nothing."""
        if self._changed:
            refs = {**self._documents, **references_in(self._arrays.values())}
            write_file(ReferenceFile(refs, self._history), self._path)
        mixes = self._moved and self._path.suffix != ".json"
        return "", (_MOVED,) if mixes else ()

    def _extended(
        self, path: str, axis: int, other: KerchunkArray, joined: Joined
    ) -> KerchunkArray:
        own = self._arrays[path]
        if not own.is_held:
            return own.followed(other, axis)
        variable = joined.groups[group_of(f"/{path}")].variables[name_of(path)]
        before = own.values()
        after = counted_as(own.attributes.get("units"), before.dtype, variable, name_of(path))
        return own.holding(np.concatenate([before, after.astype(before.dtype)], axis))

    def _agree(self, fresh: References, arrays: dict[str, KerchunkArray]) -> None:
        """Drop attributes on which new granules disagree, as joining all at once does."""
        for path, own in self._arrays.items():
            kept = agreed(own.attributes, arrays[path].attributes)
            own.attributes.clear()
            own.attributes.update(kept)
        for key in self._documents:
            path = key.removesuffix(".zattrs").rstrip("/")
            if key.endswith(".zattrs") and path not in self._arrays:
                told, theirs = json.loads(self._documents[key]), json.loads(fresh.get(key, "{}"))
                self._documents[key] = json.dumps(agreed(told, theirs))

    def _sort(self) -> None:
        times = next(
            (own.values() for own in self._arrays.values() if own.dimensions == (self._along,)
             and is_time(own.attributes.get("units")) and own.is_held), None,
        )  # fmt: skip
        order = None if times is None else in_order_of_times(times, self._owners, self._urls)
        if order is not None:
            self._arrange(order)

    def _arrange(self, order: npt.NDArray[np.int64]) -> None:
        """Keep the steps of `order`, in that order."""
        self._moved = True
        for path, axis in self._mine().items():
            own = self._arrays[path]
            if own.is_held:
                self._arrays[path] = own.holding(np.take(own.values(), order, axis))
                continue
            size = own.layout["shape"][axis]
            kept: Sequence[int] = chunks_of(order, own.lengths(axis), size, path)
            self._arrays[path] = own.arranged(axis, kept, order.size)
        self._owners = self._owners[order]
