"""What opens a store again elsewhere, and the stores that are open in this process.

A ticket names a store in one state. It holds no secret: access travels beside it, in the one form
of its own that may.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from weakref import WeakValueDictionary

import msgspec
import zarr

from harmony_vds.access.gateway import Access, WorkerAccess
from harmony_vds.model.store import StoreLocation
from harmony_vds.stores.reader import PlannedArray
from harmony_vds.stores.reading import Reading
from harmony_vds.stores.zarr import ManifestStore

_KEPT = 8
"""Stores opened from tickets that stay open between two tasks of a worker."""

type Key = tuple[bytes, WorkerAccess]


@dataclass(frozen=True)
class Ticket:
    """A store in one state, and how it is read."""

    location: StoreLocation
    """Where it is, with `snapshot` set."""
    reading: Reading
    """How its chunks are read."""

    def packed(self) -> bytes:
        """The ticket as JSON, the same bytes for equal tickets. **Reads:** nothing."""
        return msgspec.json.encode(self)

    @classmethod
    def unpacked(cls, packed: bytes) -> "Ticket":
        """The ticket that was `packed`. **Reads:** nothing."""
        return msgspec.json.decode(packed, type=cls)

    @property
    def identity(self) -> tuple[str, ...]:
        """What tells this store and state from all others. **Reads:** nothing."""
        own = self.location
        return str(own.kind), own.href, own.snapshot or "", own.group


@dataclass(frozen=True, eq=False)
class OpenArrays:
    """The arrays of an open store."""

    ticket: Ticket
    """Opens the store again in the same state."""
    access: Access
    """Way to its bytes."""
    manifest: ManifestStore
    """Where its chunks lie."""
    arrays: Mapping[str, zarr.Array[Any]]
    """Full path → array, as zarr sees it."""
    groups: Mapping[str, Mapping[str, Any]]
    """Full path → attributes, parents before children."""
    planned: Mapping[str, PlannedArray]
    """Full path → array, for those that the planned reader can read."""

    def travelling(self) -> Key:
        """Ticket and access, packed to open the store again here or in another process.

        **Reads:** nothing, or metadata when the user's token must first be obtained.
        """
        with _LOCK:
            _LIVE[self._key] = self
        return self._key

    @cached_property
    def _key(self) -> Key:
        return self.ticket.packed(), self.access.for_worker()


_LOCK = threading.Lock()
_LIVE: WeakValueDictionary[Key, OpenArrays] = WeakValueDictionary()
_OPENING: dict[Key, threading.Lock] = {}
_RECENT: OrderedDict[Key, OpenArrays] = OrderedDict()


def open_once(key: Key, opening: Callable[[], OpenArrays]) -> OpenArrays:
    """The store of a ticket that is open in this process, or the one that `opening` opens.

    **Reads:** metadata.
    """
    with _LOCK:
        turn = _OPENING.setdefault(key, threading.Lock())
    with turn:
        with _LOCK:
            found = _LIVE.get(key)
        if found is None:
            found = opening()
        with _LOCK:
            _LIVE[key] = _RECENT[key] = found
            _RECENT.move_to_end(key)
            while len(_RECENT) > _KEPT:
                _OPENING.pop(_RECENT.popitem(last=False)[0], None)
    return found
