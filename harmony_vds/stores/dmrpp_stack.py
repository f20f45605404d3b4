"""DMR++ documents of several granules as one store, joined along time, or along ``granule``.

Every variable has one chunk index over all granules. Only what must be known to join them is read:
times, which may count from another day in each file, and what all granules share and so must have
the same of.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from zarr.core.sync import sync

from harmony_vds.access.fetch import Fetcher
from harmony_vds.access.http import Received
from harmony_vds.access.loop import run
from harmony_vds.errors import StoreError
from harmony_vds.model.arrays import Values
from harmony_vds.model.joined_times import is_time, joined_times
from harmony_vds.model.paths import group_of, join, name_of
from harmony_vds.model.store import StoreLocation
from harmony_vds.stores.dmr_storage import DmrStorage
from harmony_vds.stores.dmrpp import DOCUMENT_LIMIT, DmrHierarchy, store_of
from harmony_vds.stores.dmrpp_members import Member, StackWatch, in_order, read_all, time_paths

NEW_DIMENSION = "granule"
"""Along which granules without a time dimension are joined."""
MOST_HELD = 16 * 2**20
"""Most decoded bytes of one variable, of all granules, that are read to be compared or held."""
_MOST_CUT = 2**20
"""Likewise, of a variable whose chunks do not end where its granules do."""
_ALIKE = (
    "scale_factor", "add_offset", "_FillValue", "missing_value", "_Unsigned", "calendar", "units",
    "flag_values", "flag_masks", "flag_meanings",
)  # fmt: skip
"""Attributes that say what stored numbers mean."""


class DmrppStack(DmrHierarchy):
    """A zarr v2 store over the DMR++ documents of several granules."""

    def __init__(self, members: Sequence[Member], fetcher: Fetcher) -> None:
        self._first = members[0].store
        self._times = time_paths(self._first)
        self._along = name_of(self._times[0]) if self._times else NEW_DIMENSION
        self._members = in_order(members, self._times[0]) if self._times else list(members)
        self._first = self._members[0].store
        super().__init__(fetcher, StackWatch(members))
        self.groups = self._first.groups
        self.described.update(self._first.groups)
        self._join()

    def _join(self) -> None:
        """Fill in every variable, or say why not."""
        known = dict.fromkeys(p for own in self._members for p in own.store.storage)
        for own in self._members:
            for path, reason in own.store.defects.items():
                self.defects.setdefault(path, f"{reason} ({own.name})")
        for path in known:
            try:
                self._add(path)
            except StoreError as error:
                raise StoreError(f"The granules are no stack: {path}: {error}.") from None

    def _add(self, path: str) -> None:
        for own in self._members:
            if path not in own.store.storage:
                raise StoreError(f"{own.name} lacks it")
        dimensions = self._first.dimensions[path]
        self._refuse_unlike(path)
        if self._along in dimensions:
            self._add_joined(path, dimensions.index(self._along))
        elif self._times or dimensions == (name_of(path),):
            self._add_shared(path)
        elif dimensions:
            self._add_joined(path, None)
        else:
            self._add_scalar(path)

    def _refuse_unlike(self, path: str) -> None:
        """Raise where granules mean something else by the same numbers."""
        first, dimensions = self._first.described[path], self._first.dimensions[path]
        for own in self._members[1:]:
            told = own.store.described[path]
            if own.store.dimensions[path] != dimensions:
                raise StoreError(
                    f"{own.name} has it along {own.store.dimensions[path]}, {self._members[0].name}"
                    f" along {dimensions}"
                )
            for name in _ALIKE:
                one, other = first.get(name), told.get(name)
                rebased = name == "units" and is_time(one) and is_time(other)
                if not rebased and not _same(one, other):
                    raise StoreError(
                        f"{own.name} has {name} {other!r}, {self._members[0].name} {one!r}"
                    )

    def _put(self, path: str, storage: DmrStorage, shape: tuple[int, ...], **told: Any) -> None:
        self.storage[path], self.shapes[path] = storage, shape
        self.dimensions[path] = told.get("dimensions", self._first.dimensions[path])
        self.sources[path] = told.get("sources", ())
        self.described[path] = {**self._first.described[path], **told.get("attributes", {})}

    def _add_shared(self, path: str) -> None:
        """What all granules have the same of; the first granule's is read."""
        first, *others = self._read(path)
        for own, values in zip(self._members[1:], others, strict=True):
            if values.shape != first.shape or values.tobytes() != first.tobytes():
                raise StoreError(f"{own.name} has other values than {self._members[0].name}")
        shape, sources = self._first.shapes[path], self._first.sources[path]
        self._put(path, self._first.storage[path], shape, sources=sources)

    def _add_scalar(self, path: str) -> None:
        """A value without dimensions: shared where all have the same, else one for each granule."""
        values = self._read(path)
        if len({own.tobytes() for own in values}) == 1:
            self._hold(path, values[0], self._first.dimensions[path])
        else:
            self._hold(path, np.stack(values), (NEW_DIMENSION,))

    def _add_joined(self, path: str, axis: int | None) -> None:
        """Put a variable of all members together: by references where that can be."""
        storages = [own.store.storage[path] for own in self._members]
        shapes = [own.store.shapes[path] for own in self._members]
        around = {
            shape[:axis] + shape[axis + 1 :] if axis is not None else shape for shape in shapes
        }
        if len(around) > 1:
            raise StoreError(f"its shapes are {', '.join(map(str, dict.fromkeys(shapes)))}")
        told = [self._rebased_by(path, own) for own in self._members]
        lengths = [1 if axis is None else shape[axis] for shape in shapes]
        chunk = 1 if axis is None else storages[0].chunk_shape[axis]
        irregular = any(n % chunk for n in lengths[:-1])
        inline = any(own.inline is not None for own in storages)
        if path in self._times or len(set(told)) > 1 or inline or irregular:
            plain = irregular and path not in self._times and len(set(told)) == 1 and not inline
            self._hold_joined(path, axis, told, _MOST_CUT if plain else MOST_HELD)
            return
        self._refuse_other_storage(storages)
        self._put_chunks(path, axis, storages, lengths)

    def _rebased_by(self, path: str, member: Member) -> str:
        """Units of a member's times at `path`; of bounds those of what they bound, else nothing."""
        described = member.store.described
        for time in (path, *self._times):
            units = described[time].get("units") if time in described else None
            bounds = (described[time].get("bounds"), described[time].get("climatology"))
            ours = time == path or path in [join(group_of(time), str(b)) for b in bounds if b]
            if ours and is_time(units):
                return str(units)
        return ""

    def _refuse_other_storage(self, storages: Sequence[DmrStorage]) -> None:
        first = storages[0]
        for member, own in zip(self._members[1:], storages[1:], strict=True):
            for what, one, other in (
                ("type", first.dtype, own.dtype),
                ("chunk shape", first.chunk_shape, own.chunk_shape),
                ("filters", _decoding(first), _decoding(own)),
                ("fill value", first.fill, own.fill),
            ):
                if not _same(one, other):
                    raise StoreError(
                        f"{member.name} has the {what} {other}, {self._members[0].name} {one}"
                    )

    def _put_chunks(
        self, path: str, axis: int | None, storages: Sequence[DmrStorage], lengths: Sequence[int]
    ) -> None:
        """One index over the chunks of all granules."""
        first, dimensions = storages[0], self._first.dimensions[path]
        shape, chunks = self._first.shapes[path], first.chunk_shape
        numbers = [own.numbers for own in storages]
        if axis is None:
            dimensions = (NEW_DIMENSION, *dimensions)
            shape, chunks, axis = (1, *shape), (1, *chunks), 0
            numbers = [np.insert(own, 0, 0, axis=1) for own in numbers]
        starts = np.cumsum([0, *lengths[:-1]]) // chunks[axis]
        numbers = [own.copy() for own in numbers]
        for own, start in zip(numbers, starts.tolist(), strict=True):
            own[:, axis] += start
        storage = replace(
            first, chunk_shape=chunks, numbers=np.concatenate(numbers), hrefs=(),
            offsets=np.concatenate([own.offsets for own in storages]),
            lengths=np.concatenate([own.lengths for own in storages]),
        )  # fmt: skip
        sources = tuple(url for own in self._members for url in own.store.sources[path])
        whole = (*shape[:axis], sum(lengths), *shape[axis + 1 :])
        self._put(path, storage, whole, dimensions=dimensions, sources=sources)

    def _hold_joined(self, path: str, axis: int | None, units: Sequence[str], most: int) -> None:
        """Read what cannot be joined as chunks, and hold it in the store."""
        values, attributes = self._read(path, most), {}
        if units[0] and len(set(units)) > 1:
            calendar = str(self._first.described[path].get("calendar", "standard"))
            if "scale_factor" in self._first.described[path]:
                raise StoreError("its times are packed, and count from another day in each granule")
            fill = self._first.described[path].get("_FillValue")
            for own, part in zip(self._members, values, strict=True):
                if fill is not None and (part == fill).any():
                    raise StoreError(f"{own.name} has a time that is missing")
            names = [own.name for own in self._members]
            values, common = joined_times(values, units, calendar, names)
            if "units" in self._first.described[path]:
                attributes["units"] = common
            if fill is not None:
                attributes["_FillValue"] = values[0].dtype.type(fill)
        if len({own.dtype for own in values}) > 1:
            raise StoreError(f"its types are {sorted({str(own.dtype) for own in values})}")
        dimensions = self._first.dimensions[path]
        if axis is None:
            self._hold(path, np.stack(values), (NEW_DIMENSION, *dimensions), attributes)
        else:
            self._hold(path, np.concatenate(values, axis), dimensions, attributes)

    def _hold(
        self,
        path: str,
        values: Values,
        dimensions: tuple[str, ...],
        attributes: Mapping[str, Any] | None = None,
    ) -> None:
        first, none = self._first.storage[path], np.empty(0, np.int64)
        fill = first.fill if values.dtype == first.dtype else None
        storage = DmrStorage(
            values.dtype, tuple(max(n, 1) for n in values.shape), (), fill,
            none.reshape(0, values.ndim), none, none, (), values.tobytes(),
        )  # fmt: skip
        self._put(path, storage, values.shape, dimensions=dimensions, attributes=attributes or {})

    def _read(self, path: str, most: int = MOST_HELD) -> list[Values]:
        """The values of every granule, many at a time."""
        counts = [
            int(np.prod(own.store.shapes[path], dtype=object))
            * own.store.storage[path].dtype.itemsize
            for own in self._members
        ]
        if sum(counts) > most:
            raise StoreError(
                f"it has {sum(counts):,} bytes that must be read before the granules are joined; "
                f"at most {most:,} are"
            )
        return sync(read_all([own.values(path) for own in self._members]))


def _same(one: Any, other: Any) -> bool:
    if one is None or other is None or isinstance(one, tuple | np.dtype):
        return bool(one is other or one == other)
    a, b = np.asarray(one), np.asarray(other)
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def _decoding(storage: DmrStorage) -> tuple[tuple[tuple[str, Any], ...], ...]:
    """The filters, less how hard they tried."""
    return tuple(
        tuple((key, value) for key, value in own.items() if key != "level")
        for own in storage.filters
    )


def open_stack(
    location: StoreLocation, fetcher: Fetcher, *, refuse_stale: bool = False
) -> tuple[DmrppStack, StoreLocation]:
    """The store of the granules at `location.members`, pinned by the digests of all documents.

    Raises
    ------
    StoreError
        One is no DMR++, or the granules do not fit together; the text names the granule.
    ForbiddenError, UpstreamError
        One cannot be read.

    **Reads:** metadata and coordinates.
    """
    told: list[Received] = run(
        read_all([fetcher.fetch_whole(own.href, DOCUMENT_LIMIT) for own in location.members])
    )
    members, digest = [], hashlib.sha256()
    for own, received in zip(location.members, told, strict=True):
        store, pinned = store_of(received, own, fetcher, refuse_stale=refuse_stale)
        members.append(Member(name_of(own.shown).removesuffix(".dmrpp"), store))
        digest.update(f"{own.href} {pinned.snapshot}\n".encode())
    stack = DmrppStack(members, fetcher)
    return stack, replace(location, snapshot=digest.hexdigest()[:16])
