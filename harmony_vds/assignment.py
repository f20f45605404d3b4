"""An output planned again from the same state of its store: here, or on a worker of a cluster.

A worker gets no arrays but what was asked for: it opens the store and plans as the process did
that sent it, once for each output, and proves by the fingerprint that it means the same bytes.
"""

import os
import socket
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any
from uuid import uuid4

from harmony_vds import __version__
from harmony_vds.access.cluster import Delivered
from harmony_vds.access.gateway import Access, WorkerAccess
from harmony_vds.access.traffic import Traffic
from harmony_vds.combining import combined, subset_of
from harmony_vds.cutting import Cutting
from harmony_vds.errors import SettingsError, StaleSourceError, VdsError
from harmony_vds.model.formats import Layout
from harmony_vds.model.limits import Limits
from harmony_vds.model.part import Part
from harmony_vds.model.store import VirtualStore
from harmony_vds.model.subset import Subset, Wanted
from harmony_vds.prepared import Prepared
from harmony_vds.stores.open import open_store
from harmony_vds.stores.reading import Reading
from harmony_vds.telemetry import redact_all_handlers, timed

_KEPT = 4
"""Stores, and outputs, that a worker keeps open for its next piece."""


@dataclass(frozen=True)
class Manner:
    """How stores are read and outputs are laid out, as an operator set it."""

    reading: Reading
    """How chunks are read."""
    limits: Limits
    """Ceilings of one request."""
    layout: Layout
    """How outputs are laid out."""


def prepared_again(part: Part, opened: Callable[[Part], VirtualStore], manner: Manner) -> Prepared:
    """What `part` was planned as, from its stores in the same state.

    Parameters
    ----------
    part
        The Part, its shape read.
    opened
        Opens the store of a Part of one store.
    manner
        As where it was planned first.

    Raises
    ------
    StaleSourceError
        A store has changed since, and what it holds now is not what was planned.
    StoreError, ForbiddenError, UpstreamError
        A store does not open.

    **Reads:** coordinates.
    """
    if part.members:
        members = [prepared_again(own, opened, manner) for own in part.members]
        with timed("plan"):
            found = combined(members, part.request, part.source)
        found = replace(found, label=part.label, part=part)
    else:
        store = opened(part)
        cutting = Cutting(
            store, manner.limits, apart=True, by_region=part.by_region, layout=manner.layout
        )
        with timed("plan"):
            plan = cutting.plan(part.request, part.source)
        found = Prepared(part.source, store, plan, part.notes, part.label, part)
    if found.plan.fingerprint != part.fingerprint:
        raise StaleSourceError(
            f"{part.location} has changed since part {part.index + 1} of {part.of} was planned. "
            "Order again; the new order is planned for what the store holds now."
        )
    return found


@dataclass(frozen=True)
class Assignment:
    """All that a worker needs to read any piece of one output."""

    run: str
    """Tells whose it is: nothing is shared between runs."""
    part: Part
    """The output, its shape read."""
    access: WorkerAccess
    """The user's, without what records said: the Part tells that of each store."""
    manner: Manner
    """As where it was planned first."""
    version: str = __version__
    """Of the package that planned it."""


def read_pieces(assignment: Assignment, wanted: Sequence[Wanted]) -> Delivered:
    """Pieces of an output, or why they cannot be read; what workers run.

    Errors are handed back and not raised: distributed would log them and pickle their tracebacks.
    They are a `SettingsError` where the worker has another version of this package, a
    `StaleSourceError` where the store has changed since the output was planned, and else as the
    stages raise them. **Reads:** chunks.
    """
    redact_all_handlers()
    try:
        if assignment.version != __version__:
            raise SettingsError(
                f"A dask worker has version {__version__} of harmony-vds, and the service has "
                f"{assignment.version}: start both from one image."
            )
        opened = _opened(assignment)
        variables = {own.planned.path: own for own in opened.subset.variables}
        values = [
            _portable(variables[path].read(block, stored=stored)) for path, block, stored in wanted
        ]
    except VdsError as error:
        return Delivered((), "", Traffic(), (type(error), str(error)))
    connected = opened.connected
    return Delivered(tuple(values), connected.name, replace(connected.access.fetcher.traffic))


def _portable(values: Any) -> Any:
    """`values` without views, which cannot be pickled."""
    if isinstance(values, dict):
        return {k: bytes(v) if isinstance(v, memoryview) else v for k, v in values.items()}
    return values


@dataclass(frozen=True, eq=False)
class _Connected:
    """The connections of a run, for all of its stores and outputs."""

    access: Access
    name: str = field(default_factory=lambda: f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex}")
    """Tells whose counters of traffic are meant."""


@dataclass(frozen=True, eq=False)
class _Opened:
    connected: _Connected
    subset: Subset


def _opened(assignment: Assignment) -> _Opened:
    """The output, planned for whichever piece of it is wanted first."""
    part = assignment.part
    key = (assignment.run, part.fingerprint, part.index, assignment.access)
    return _OUTPUTS.get(key, lambda: _planned(assignment))


def _planned(assignment: Assignment) -> _Opened:
    run, access = assignment.run, assignment.access
    connected = _CONNECTIONS.get((run, access), lambda: _connected(access))
    opened = partial(_store_of, assignment, connected.access)
    return _Opened(connected, subset_of(prepared_again(assignment.part, opened, assignment.manner)))


def _connected(access: WorkerAccess) -> _Connected:
    """Connections that are closed when nothing uses them any more."""
    found = _Connected(access.restore())
    weakref.finalize(found, found.access.close_later)
    return found


def _store_of(assignment: Assignment, access: Access, part: Part) -> VirtualStore:
    """The store of `part`, one of those of an output, opened once for all outputs of a run."""
    key = (assignment.run, part.location, part.recorded, assignment.access)
    return _STORES.get(key, lambda: _open(part, access, assignment.manner.reading))


def _open(part: Part, access: Access, reading: Reading) -> VirtualStore:
    with timed("open"):
        return open_store((part.location,), access.recalling(part.recorded), reading)


@dataclass
class _Kept[T]:
    """What was made last, each made by one thread while the others wait for it."""

    held: OrderedDict[Hashable, T] = field(default_factory=OrderedDict)
    making: dict[Hashable, threading.Lock] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """What belongs to `key`. **Reads:** what `make` reads."""
        with self.lock:
            turn = self.making.setdefault(key, threading.Lock())
        with turn:
            with self.lock:
                if key in self.held:
                    self.held.move_to_end(key)
                    return self.held[key]
            made = make()
            with self.lock:
                self.held[key] = made
                while len(self.held) > _KEPT:
                    self.making.pop(self.held.popitem(last=False)[0], None)
            return made


_CONNECTIONS: _Kept[_Connected] = _Kept()
_STORES: _Kept[VirtualStore] = _Kept()
_OUTPUTS: _Kept[_Opened] = _Kept()
