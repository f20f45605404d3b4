"""What is answered, and what is no data, where a manifest holds only some of its chunks."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from harmony_vds.errors import NoDataError
from harmony_vds.model.chunks import ChunkIndex, ChunkKind
from harmony_vds.model.plan import PlannedVariable, Role
from harmony_vds.model.selection import AxisSelection
from harmony_vds.model.store import ManifestFormat, StoreLocation, VirtualStore
from harmony_vds.planning.hierarchy import Hierarchy
from harmony_vds.planning.presence import refuse_nothing

HOURS = 8
LAYOUT = {"ozone": ("time", "x"), "smoke": ("time", "x"), "terrain": ("x",)}


def index_of(name: str, written: list[bool]) -> ChunkIndex:
    """One chunk an hour, absent where nothing was written; the terrain is always there."""
    if name == "terrain":
        index = ChunkIndex.empty((3,), (3,), 4)
        index.kinds[...] = ChunkKind.VIRTUAL
        return index
    index = ChunkIndex.empty((HOURS, 3), (1, 3), 4)
    index.kinds[written] = ChunkKind.VIRTUAL
    return index


def look(
    hours: AxisSelection, ozone: list[bool], smoke: list[bool], needed: tuple[str, ...] = ()
) -> None:
    """Look for all three at some hours; those `needed` were not asked for by name."""
    sizes = {"time": HOURS, "x": 3}
    variables = {
        name: xr.Variable(own, np.zeros([sizes[d] for d in own], "f4"))
        for name, own in LAYOUT.items()
    }
    written = {"ozone": ozone, "smoke": smoke, "terrain": []}
    store = VirtualStore(
        StoreLocation("https://example.com/store", ManifestFormat.ICECHUNK, None, "1"),
        xr.DataTree(xr.Dataset(variables)),
        lambda path, _=None: index_of(path[1:], written[path[1:]]),
    )
    planned = [
        PlannedVariable(
            f"/{name}", tuple(f"/{d}" for d in own),
            Role.REQUIRED if name in needed else Role.REQUESTED,
        )
        for name, own in LAYOUT.items()
    ]  # fmt: skip
    refuse_nothing(planned, {"/time": hours, "/x": AxisSelection.whole(3)}, Hierarchy(store))


flags = st.lists(st.booleans(), min_size=HOURS, max_size=HOURS)


@given(flags.filter(any), flags, flags)
def test_nothing_is_what_has_no_chunk_at_any_hour_asked_for(
    asked: list[bool], ozone: list[bool], smoke: list[bool]
) -> None:
    hours = AxisSelection.of_mask(np.array(asked))
    there = any(a and (o or s) for a, o, s in zip(asked, ozone, smoke, strict=True))
    if there or hours.is_whole:
        look(hours, ozone, smoke)
    else:
        with pytest.raises(NoDataError, match=rf"room for ozone, smoke.* {2 * sum(asked)} chunks"):
            look(hours, ozone, smoke)


def test_variable_that_only_comes_along_is_no_answer() -> None:
    nothing, all_hours = [False] * HOURS, [True] * HOURS
    with pytest.raises(NoDataError, match="room for ozone where"):
        look(AxisSelection(HOURS, (range(2, 4),)), nothing, all_hours, ("smoke", "terrain"))
