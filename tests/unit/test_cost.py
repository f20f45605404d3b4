"""The price of a plan against counting, on stores whose chunks are of every kind."""

import itertools

import numpy as np
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from harmony_vds.model.chunks import ChunkIndex, ChunkKind
from harmony_vds.model.plan import PlannedVariable, Role
from harmony_vds.model.selection import AxisSelection
from harmony_vds.model.store import ManifestFormat, StoreLocation, VirtualStore
from harmony_vds.planning.cost import price
from harmony_vds.planning.hierarchy import Hierarchy

LOCATION = StoreLocation("https://example.com/store", ManifestFormat.KERCHUNK_JSON, None, "1")
SIZES = {"time": 5, "y": 7, "x": 9}


def random_index(shape: tuple[int, ...], dtype: np.dtype, seed: int) -> ChunkIndex:
    random = np.random.default_rng(seed)
    chunk_shape = tuple(int(random.integers(1, n + 2)) for n in shape)
    index = ChunkIndex.empty(shape, chunk_shape, dtype.itemsize)
    index.kinds[...] = random.integers(0, ChunkKind.UNASKED, index.kinds.shape)
    index.lengths[...] = random.integers(1, 5000, index.kinds.shape)
    index.sources[...] = random.integers(0, 3, index.kinds.shape)
    index.offsets[...] = random.integers(0, 200_000, index.kinds.shape)
    return index


def store_of(seed: int, gap: int = -1) -> VirtualStore:
    """Three fields, a scalar that maps the grid, and an axis."""
    layout = {
        "wind": (("time", "y", "x"), "i2"), "height": (("y", "x"), "f8"),
        "mask": (("x", "y"), "i1"), "crs": ((), "i4"), "x": (("x",), "f4"),
    }  # fmt: skip
    variables = {
        name: xr.Variable(dims, np.zeros([SIZES[d] for d in dims], dtype))
        for name, (dims, dtype) in layout.items()
    }
    variables["crs"].attrs["grid_mapping_name"] = "latitude_longitude"
    indices = {
        f"/{name}": random_index(own.shape, own.dtype, seed + i)
        for i, (name, own) in enumerate(variables.items())
    }
    axis = indices["/x"].kinds  # an axis with gaps is refused, however it is priced
    axis[axis == ChunkKind.ABSENT] = ChunkKind.VIRTUAL
    tree = xr.DataTree(xr.Dataset(variables))
    return VirtualStore(LOCATION, tree, lambda path, _=None: indices[path], merge_gap=lambda _: gap)


@st.composite
def selections(draw: st.DrawFn) -> dict[str, AxisSelection]:
    """What is kept of some of the dimensions."""
    kept = {}
    for name, size in SIZES.items():
        mask = draw(st.none() | st.lists(st.booleans(), min_size=size, max_size=size))
        if mask is not None:
            kept[f"/{name}"] = AxisSelection.of_mask(np.array(mask))
    return kept


def fetched_by_hand(index: ChunkIndex, touched: set[tuple[int, ...]], gap: int) -> tuple[int, int]:
    """Requests and bytes: objects of the store's own one by one, ranges of a file merged."""
    requests = nbytes = 0
    reach = dict.fromkeys(range(3), -(10**9))  # the furthest byte fetched of each file
    virtual = [n for n in touched if index.kinds[n] == ChunkKind.VIRTUAL]
    for number in sorted(virtual, key=lambda n: int(index.offsets[n])):
        source, start = int(index.sources[number]), int(index.offsets[number])
        end = start + int(index.lengths[number])
        if gap < 0 or start > reach[source] + gap:
            requests += 1
            nbytes += end - start
        else:
            nbytes += max(0, end - reach[source])
        reach[source] = max(reach[source], end)
    native = [n for n in touched if index.kinds[n] == ChunkKind.NATIVE]
    return requests + len(native), nbytes + sum(int(index.lengths[n]) for n in native)


@given(
    seed=st.integers(0, 10**6),
    selection=selections(),
    held=st.booleans(),
    gap=st.sampled_from([-1, 0, 500, 20_000]),
)
def test_the_price_is_that_of_every_touched_chunk(
    seed: int, selection: dict[str, AxisSelection], held: bool, gap: int
) -> None:
    hierarchy = Hierarchy(store_of(seed, gap))
    if held:
        hierarchy.load("/x")
    planned = [
        PlannedVariable(path, hierarchy.dimensions(path), Role.REQUESTED)
        for path in hierarchy.variables
    ]
    chunks = missing = requests = read = decoded = written = 0
    for own in planned:
        raw = hierarchy.variables[own.path]
        index = hierarchy.store.chunk_index(own.path)
        whole = {d: AxisSelection.whole(n) for d, n in zip(own.dimensions, raw.shape, strict=True)}
        sides = [{**whole, **selection}[d].positions.tolist() for d in own.dimensions]
        cells = list(itertools.product(*sides))
        written += len(cells) * raw.dtype.itemsize
        if held and own.path == "/x":
            continue  # read for the plan
        touched = {
            tuple(p // c for p, c in zip(cell, index.chunk_shape, strict=True)) for cell in cells
        }
        for number in touched:
            chunks += 1
            decoded += raw.dtype.itemsize * int(np.prod(index.chunk_shape, dtype=int))
            kind = index.kinds[number]
            # A grid mapping has attributes, not a value: nothing is missing there.
            missing += kind == ChunkKind.ABSENT and own.path != "/crs"
        own_requests, own_bytes = fetched_by_hand(index, touched, gap)
        requests += own_requests
        read += own_bytes
    cost = price(planned, selection, hierarchy)
    assert (cost.chunks, cost.missing, cost.requests) == (chunks, missing, requests)
    assert (cost.bytes_read, cost.bytes_decoded, cost.bytes_written) == (read, decoded, written)


def test_a_price_reads_well() -> None:
    hierarchy = Hierarchy(store_of(1))
    planned = [PlannedVariable("/wind", hierarchy.dimensions("/wind"), Role.REQUESTED)]
    cost = price(planned, {}, hierarchy)
    text = str(cost)
    assert text.startswith(f"{cost.chunks:,} chunks")
    assert f"{cost.missing} of them not in the manifest" in text
    assert text.endswith("→ 630 B out, 1 to 5 s")  # 5 by 7 by 9 numbers of two bytes
