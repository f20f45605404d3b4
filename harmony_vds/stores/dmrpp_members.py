"""The granules of a stack: their documents, their order, and what of them must be read."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import zarr
from zarr.core.sync import sync

from harmony_vds.access.http import Received
from harmony_vds.errors import StoreError, VdsError
from harmony_vds.model.arrays import Values
from harmony_vds.model.joined_times import is_time, joined_times
from harmony_vds.model.paths import name_of
from harmony_vds.stores.dmrpp import DmrppStore
from harmony_vds.stores.freshness import SourceWatch

_AT_ONCE = 32


@dataclass(frozen=True, eq=False)
class Member:
    """One granule of a stack."""

    name: str
    """What it is called in errors."""
    store: DmrppStore
    """What its document says."""

    async def values(self, path: str) -> Values:
        """All values of the variable at `path`, as stored. **Reads:** chunks."""
        opening = zarr.api.asynchronous.open_array(
            store=self.store, path=path.strip("/"), mode="r", zarr_format=2
        )
        try:
            return np.asarray(await (await opening).getitem(...))
        except VdsError:
            raise
        except (ValueError, RuntimeError) as error:
            told = str(error).partition("\n")[0]
            raise StoreError(f"{self.name}: {path} cannot be read: {told}") from None


class StackWatch(SourceWatch):
    """Watches each granule by the date of its own document."""

    def __init__(self, members: Sequence[Member]) -> None:
        super().__init__(None)
        self._watches = {own.store.data_url: own.store.watch for own in members}

    def check(self, url: str, received: Received) -> None:
        """As `SourceWatch.check`. **Reads:** nothing."""
        own = self._watches.get(url)
        if own is None:
            super().check(url, received)
        else:
            own.check(url, received)


async def read_all(work: Sequence[Any]) -> list[Any]:
    """What each of `work` gives, in order, a bounded number at a time.

    **Reads:** what `work` reads.
    """
    found: list[Any] = []
    for start in range(0, len(work), _AT_ONCE):
        found += await asyncio.gather(*work[start : start + _AT_ONCE])
    return found


def time_paths(store: DmrppStore) -> list[str]:
    """The coordinates along which granules are joined: of times, of one name, the outermost first.

    Raises
    ------
    StoreError
        There are times of several names.

    **Reads:** nothing.
    """
    found = sorted(
        (path for path, dimensions in store.dimensions.items()
         if dimensions == (name_of(path),) and is_time(store.described[path].get("units"))),
        key=lambda path: path.count("/"),
    )  # fmt: skip
    names = list(dict.fromkeys(map(name_of, found)))
    if len(names) > 1:
        raise StoreError(f"The granules have several times to be joined along: {', '.join(names)}.")
    return found


def in_order(members: Sequence[Member], path: str) -> list[Member]:
    """The granules by their times, which the coordinate at `path` tells.

    Raises
    ------
    StoreError
        Two of them are of one time, or one lacks times.

    **Reads:** coordinates.
    """
    for own in members:
        if path not in own.store.storage or not is_time(own.store.described[path].get("units")):
            raise StoreError(f"The granules are no stack: {own.name} has no times at {path}.")
    read: list[Values] = sync(read_all([own.values(path) for own in members]))
    names = [own.name for own in members]
    told = [own.store.described[path] for own in members]
    calendar = str(told[0].get("calendar", "standard"))
    try:
        times, _ = joined_times(read, [str(own["units"]) for own in told], calendar, names)
    except StoreError as error:
        raise StoreError(f"The granules are no stack: {path}: {error}.") from None
    order = sorted(range(len(members)), key=lambda n: tuple(times[n].ravel()[:1].tolist()))
    for before, after in pairwise(order):
        if times[before].size and times[after].size and times[before].max() >= times[after].min():
            raise StoreError(
                f"The granules are no stack: {names[after]} begins before {names[before]} ends."
            )
    return [members[n] for n in order]
