"""What a store is cheap for: one map and one long series of it, each planned and priced."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from harmony_vds.cutting import Cutting
from harmony_vds.errors import VdsError
from harmony_vds.model.extent import TimeRange
from harmony_vds.model.grid import AxisKind
from harmony_vds.model.limits import Limits
from harmony_vds.model.paths import name_of
from harmony_vds.model.places import Place
from harmony_vds.model.plan import Cost, counted, human_bytes
from harmony_vds.model.request import Request, Source
from harmony_vds.model.store import VirtualStore
from harmony_vds.planning.axes import read_axis
from harmony_vds.planning.grids import footing
from harmony_vds.planning.ground import grid_of
from harmony_vds.planning.hierarchy import Hierarchy
from harmony_vds.planning.places import centres
from harmony_vds.planning.ranges import decode

_CHEAP_BYTES, _CHEAP_RATIO = 16 * 2**20, 10.0


@dataclass(frozen=True)
class Example:
    """One way to ask a store, with its price."""

    access: str
    """``map`` or ``series``."""
    variable: str
    """Of which variable."""
    asked: str
    """Of which time, or at which place."""
    chunks: int
    """Chunks that are touched."""
    requests: int
    """Requests to the archive."""
    bytes_read: int
    """Bytes read from the archive."""
    bytes_decoded: int
    """Bytes of whole chunks once decoded."""
    bytes_written: int
    """Bytes of the answer before compression."""
    seconds: str
    """How long it takes, in a fast place and in a slow one."""

    @property
    def is_cheap(self) -> bool:
        """Whether little is read, or most of what is decoded is kept. **Reads:** nothing."""
        few = self.bytes_read <= _CHEAP_BYTES
        return few or self.bytes_decoded <= _CHEAP_RATIO * max(self.bytes_written, 1)

    def __str__(self) -> str:
        what = "cheap" if self.is_cheap else "costly"
        return (
            f"{self.access} of {name_of(self.variable)} {self.asked}: {what}, reads "
            f"{human_bytes(self.bytes_read)} in {counted(self.requests, 'request')} and decodes "
            f"{human_bytes(self.bytes_decoded)} for {human_bytes(self.bytes_written)}; "
            f"{self.seconds}"
        )


def examples(store: VirtualStore, limits: Limits) -> tuple[Example, ...]:
    """A map at one time and a series at one place, of the largest variable that has both.

    **Reads:** coordinates.
    """
    hierarchy = Hierarchy(store)
    fitting = [
        (raw.size * raw.dtype.itemsize, path) for path, raw in hierarchy.variables.items()
        if footing(path, hierarchy).ground is not None and raw.ndim >= 2
    ]  # fmt: skip
    if not fitting:
        return ()
    return tuple(_examples(max(fitting)[1], hierarchy, Cutting(store, limits)))


def _examples(path: str, hierarchy: Hierarchy, cutting: Cutting) -> Iterator[Example]:
    """The price of a map and of a series of one variable, as far as it has such."""
    own = footing(path, hierarchy)
    source = Source("", "example", variables=(path,))
    try:
        if own.t is not None:
            axis = read_axis(AxisKind.T, own.t, hierarchy)
            moment = decode(float(axis.values[axis.values.size // 2]), axis)
            asked = Request((source,), temporal=TimeRange(moment, moment))
            told = f"at {moment:%Y-%m-%dT%H:%M:%SZ}"
            yield _priced(("map", path, told), cutting.plan(asked, source).cost)
        if own.ground is not None:
            grid = grid_of(own.ground, path, hierarchy)
            sizes = grid.shape if len(grid.shape) == 2 else (*grid.shape, 1)
            x, y = centres(grid, *(np.array([size // 2]) for size in sizes))
            place = Place(float(x.flat[0]), float(y.flat[0]))
            asked = Request((source,), points=(place,))
            told = f"at {place.longitude:g} east, {place.latitude:g} north"
            yield _priced(("series", path, told), cutting.plan(asked, source).cost)
    except VdsError:  # such a request would be refused with the same reason
        return


def _priced(of: tuple[str, str, str], cost: Cost) -> Example:
    return Example(
        *of, cost.chunks, cost.requests, cost.bytes_read, cost.bytes_decoded, cost.bytes_written,
        str(cost.duration),
    )  # fmt: skip
