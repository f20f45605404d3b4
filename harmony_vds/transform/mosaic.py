"""Values of several stores, each of them on the same target grid already, as one output.

Where several stores have a value, that of the first counts. Their steps in time are put together:
at a step of one store alone the others have no value. All else, such as levels, must be the same.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from harmony_vds.errors import UnsupportedError
from harmony_vds.model.arrays import Positions, Values
from harmony_vds.model.blocks import split
from harmony_vds.model.paths import name_of
from harmony_vds.model.plan import Role
from harmony_vds.model.subset import Block, Subset, SubsetVariable
from harmony_vds.model.target import TargetPlan
from harmony_vds.model.warp_blocks import BLOCK_BYTES
from harmony_vds.transform.computed import computed
from harmony_vds.transform.mask import fill_of

_MEANING = ("units", "calendar", "scale_factor", "add_offset", "_FillValue", "missing_value",
            "flag_values", "flag_masks")  # fmt: skip
"""Attributes without which numbers of two stores do not mean the same."""


def mosaic(
    subsets: Sequence[Subset], names: Sequence[str], target: TargetPlan
) -> tuple[Subset, list[str]]:
    """One output of several, lazy, and remarks for the user.

    Parameters
    ----------
    subsets
        What each store gives on the target grid, the first of most account.
    names
        What each store is called.
    target
        The grid.

    Raises
    ------
    UnsupportedError
        Their variables cannot be put together; the text gives the numbers.

    **Reads:** coordinates; chunks when values are asked for.
    """
    stores = [{own.planned.path: own for own in subset.variables} for subset in subsets]
    paths = dict.fromkeys(path for own in stores for path in own)
    lines = _Lines(stores, names, target)
    found, notes = [], []
    for path in paths:
        members = [(number, own[path]) for number, own in enumerate(stores) if path in own]
        one = members[0][1]
        if path in (*target.dimensions, target.mapping):
            found.append(one)
        elif set(target.dimensions) <= {*one.planned.dimensions}:
            _refuse_difference(members, names)
            found.append(_combined(members, lines))
        elif (along := _along(members, lines)) is not None:
            found.append(along)
        elif one.planned.role is Role.REQUESTED:
            raise UnsupportedError(
                f"{path.lstrip('/')} differs from store to store and lies on no grid; ask for "
                "other variables, or without a target grid."
            )
        else:
            notes.append(f"{path.lstrip('/')} differs from store to store and is left out.")
    groups = {path: own for subset in reversed(subsets) for path, own in subset.groups.items()}
    times = frozenset[str]().union(*(own.time_axes for own in subsets))
    return Subset(tuple(found), groups, times), notes


class _Lines:
    """The positions along dimensions other than the target's, put together."""

    def __init__(
        self, stores: Sequence[Mapping[str, SubsetVariable]], names: Sequence[str],
        target: TargetPlan,
    ) -> None:  # fmt: skip
        self._stores = stores
        self._names = names
        self._places: dict[str, tuple[list[Positions], int]] = {}
        lengths: dict[str, dict[int, int]] = {}
        for number, store in enumerate(stores):
            for own in store.values():
                for dimension, size in zip(own.planned.dimensions, own.data.shape, strict=True):
                    if dimension not in target.dimensions:
                        lengths.setdefault(dimension, {})[number] = size
        for dimension, sizes in lengths.items():
            self._places[dimension] = self._of(dimension, sizes)

    def places(self, dimension: str, number: int) -> Positions:
        """Where the positions of one store come to lie. **Reads:** nothing."""
        return self._places[dimension][0][number]

    def size(self, dimension: str) -> int:
        """How many positions there are in all. **Reads:** nothing."""
        return self._places[dimension][1]

    def _of(self, dimension: str, sizes: Mapping[int, int]) -> tuple[list[Positions], int]:
        """Where the positions of each store come to lie along a dimension, and its length."""
        known = {
            number: np.asarray(self._stores[number][dimension].data.values)
            for number in sizes
            if dimension in self._stores[number]
        }
        values, counts = list(known.values()), {*sizes.values()}
        if len(counts) == 1 and all(np.array_equal(values[0], own) for own in values[1:]):
            (size,) = counts
            return [np.arange(size)] * len(self._stores), size
        rising = all(own.size < 2 or (np.diff(own) > 0).all() for own in known.values())
        if len(known) < len(sizes) or not self._is_time(dimension, known) or not rising:
            self._refuse(dimension, sizes)
        union = np.unique(np.concatenate([*known.values()]))
        nowhere = np.empty(0, np.int64)
        return [
            np.searchsorted(union, known[number]) if number in known else nowhere
            for number in range(len(self._stores))
        ], union.size

    def _is_time(self, dimension: str, known: Mapping[int, Values]) -> bool:
        """Whether positions are times, counted alike in all stores."""
        said = [self._stores[number][dimension].data for number in known]
        told = {
            (str(own.attrs.get("units", "")), str(own.attrs.get("calendar", "standard")))
            for own in said
        }
        types = {own.dtype for own in said}
        return len(told) == 1 and len(types) == 1 and " since " in next(iter(told))[0]

    def _refuse(self, dimension: str, sizes: Mapping[int, int]) -> None:
        told = ", ".join(f"{size} in {self._names[number]}" for number, size in sizes.items())
        raise UnsupportedError(
            f"The stores cannot be combined on one grid: their positions along "
            f"{name_of(dimension)} are not the same ({told}), and are not times counted alike. Ask "
            "without a target grid, which gives one output each, or for one of them."
        )


@dataclass(frozen=True, eq=False)
class _Member:
    """A variable of one store, and where its positions come to lie."""

    variable: SubsetVariable
    places: tuple[Positions, ...]
    """Of the dimensions before rows and columns."""

    def parts(self, block: Block) -> Iterator[tuple[Block, tuple[Positions, ...]]]:
        """Pieces of it in a block of the whole, and where in the block they lie."""
        inner = [
            slice(*np.searchsorted(own, [part.start, part.stop]).tolist())
            for own, part in zip(self.places, block, strict=False)
        ]
        wanted = (*inner, *block[-2:])
        for piece in self.variable.blocks:
            own = tuple(
                slice(max(a.start, b.start), min(a.stop, b.stop))
                for a, b in zip(piece, wanted, strict=True)
            )
            if all(part.start < part.stop for part in own):
                lying = [places[part] for places, part in zip(self.places, own, strict=False)]
                lying += [np.arange(part.start, part.stop) for part in own[-2:]]
                yield own, tuple(
                    at - part.start for at, part in zip(lying, block, strict=True)
                )  # fmt: skip


def _combined(members: Sequence[tuple[int, SubsetVariable]], lines: _Lines) -> SubsetVariable:
    """A variable on the grid, block by block."""
    one = members[0][1]
    others = one.planned.dimensions[:-2]
    own = [
        _Member(variable, tuple(lines.places(dimension, number) for dimension in others))
        for number, variable in members
    ]
    shape = (*(lines.size(dimension) for dimension in others), *one.data.shape[-2:])
    fill, _ = fill_of(one.data)
    dtype = one.data.dtype
    finest = max((variable for _, variable in members), key=lambda v: len(v.blocks))
    cuts = [*(np.arange(1, size) for size in shape[:-2]), *[np.empty(0, np.int64)] * 2]
    whole = tuple(slice(0, size) for size in shape[:-2])
    pieces = [
        block
        for rows, columns in dict.fromkeys(
            (_plain(piece[-2]), _plain(piece[-1])) for piece in finest.blocks
        )
        for block in split((*whole, slice(*rows), slice(*columns)), cuts, dtype.itemsize,
                           BLOCK_BYTES)
    ]  # fmt: skip
    compute = partial(_first_present, own, fill, dtype)
    data = computed(list(map(str, one.data.dims)), shape, dtype, compute, one.data.attrs)
    chunks = tuple(min(a, b) for a, b in zip(one.chunk_shape, shape, strict=True))
    return replace(one, data=data, chunk_shape=chunks, blocks=tuple(pieces), raw=None)


def _first_present(
    members: Sequence[_Member], fill: Any, dtype: np.dtype[Any], block: Block
) -> Values:
    """In each cell of a block the value of the first member that has one; `fill` where none has."""
    size = [part.stop - part.start for part in block]
    found, free = np.full(size, fill, dtype), np.ones(size, np.bool_)
    for member in members:
        for piece, lying in member.parts(block):
            values, at = member.variable.data[piece].values, np.ix_(*lying)
            taken = free[at] & ~_is_missing(values, fill)
            found[at] = np.where(taken, values, found[at])
            free[at] &= ~taken
    return found


def _plain(part: slice) -> tuple[int, int]:
    return part.start, part.stop


def _is_missing(values: Values, fill: Any) -> npt.NDArray[np.bool_]:
    missing = values == fill
    if values.dtype.kind == "f":
        missing |= np.isnan(values)
    return np.asarray(missing)


def _refuse_difference(members: Sequence[tuple[int, SubsetVariable]], names: Sequence[str]) -> None:
    number, one = members[0]
    for other, variable in members[1:]:
        theirs, ours = variable.data, one.data
        pairs = {"type": (ours.dtype, theirs.dtype), "dimensions": (ours.dims, theirs.dims)}
        pairs |= {own: (ours.attrs.get(own), theirs.attrs.get(own)) for own in _MEANING}
        for what, (here, there) in pairs.items():
            if not _is_same(here, there):
                raise UnsupportedError(
                    f"{one.planned.path.lstrip('/')} cannot be combined on one grid: its {what} is "
                    f"{here} in {names[number]} and {there} in {names[other]}. Ask without a "
                    "target grid, which gives one output each, or for one of them."
                )


def _is_same(here: object, there: object) -> bool:
    if here is None or there is None:
        return here is there
    one, other = np.asarray(here), np.asarray(there)
    numbers = one.dtype.kind == "f" and other.dtype.kind == "f"
    return np.array_equal(one, other, equal_nan=numbers)


def _along(members: Sequence[tuple[int, SubsetVariable]], lines: _Lines) -> SubsetVariable | None:
    """A variable that does not lie on the grid, whole; None where stores differ in it."""
    one = members[0][1]
    dimensions = one.planned.dimensions
    shape = tuple(lines.size(own) for own in dimensions)
    if any(own.planned.dimensions != dimensions for _, own in members):
        return None
    fill, _ = fill_of(one.data)
    found, free = np.full(shape, fill, one.data.dtype), np.ones(shape, np.bool_)
    for number, variable in members:
        values = np.asarray(variable.data.values)
        at = np.ix_(*(lines.places(own, number) for own in dimensions)) if dimensions else ()
        known, met = np.asarray(found[at]), np.asarray(~free[at])
        if values.dtype != found.dtype or not _is_same(known[met], values[met]):
            return None
        found[at] = np.where(met, known, values)
        free[at] = False
    data = xr.Variable(one.data.dims, found, one.data.attrs)
    whole = tuple(slice(0, size) for size in shape)
    return replace(one, data=data, chunk_shape=shape, blocks=(whole,), raw=None)
