"""Laws of averages over any packing, any gaps and any chunks, against exact sums and netCDF4."""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import netCDF4
import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from harmony_vds.model.areas import CellAreas
from harmony_vds.model.average import Measure
from harmony_vds.model.chunks import ChunkIndex, ChunkKind
from harmony_vds.model.decoding import Decoding
from harmony_vds.model.tiles import TileEdges
from harmony_vds.transform.means import AreaMean, TimeMean
from harmony_vds.transform.shared import Shared
from harmony_vds.transform.slabs import Slabs

TYPES = ("i1", "u1", "i2", "u2", "i4", "f4", "f8")


@dataclass
class Stored:
    """Numbers as a store has them, and how they are cut into chunks."""

    raw: np.ndarray
    attributes: dict[str, Any]
    chunks: tuple[int, ...]
    absent: list[tuple[int, ...]]

    def slabs(self) -> Slabs:
        index = ChunkIndex.empty(self.raw.shape, self.chunks, self.raw.itemsize)
        index.kinds[:] = ChunkKind.VIRTUAL
        for number in self.absent:
            index.kinds[number] = ChunkKind.ABSENT
        data = xr.Variable(("t", "y", "x"), self.raw, self.attributes)
        positions = [np.arange(size) for size in self.raw.shape]
        return Slabs(data, Decoding.of(self.raw.dtype, self.attributes), index, positions)

    def known(self) -> np.ma.MaskedArray:
        """What netCDF4 makes of it, in double precision, absent chunks masked."""
        found = by_netcdf4(self.raw, self.attributes)
        for number in self.absent:
            box = tuple(slice(n * c, (n + 1) * c) for n, c in zip(number, self.chunks, strict=True))
            found[box] = np.ma.masked
        return found


def by_netcdf4(raw: np.ndarray, attributes: dict[str, Any]) -> np.ma.MaskedArray:
    """Masked where the netCDF library's rules say so; scaled in double precision."""
    with netCDF4.Dataset("memory.nc", "w", diskless=True) as nc:
        for number, size in enumerate(raw.shape):
            nc.createDimension(f"d{number}", size)
        variable = nc.createVariable(
            "v", raw.dtype, [f"d{n}" for n in range(raw.ndim)],
            fill_value=attributes.get("_FillValue"),
        )  # fmt: skip
        variable.set_auto_maskandscale(False)
        variable.setncatts({k: v for k, v in attributes.items() if k != "_FillValue"})
        variable[...] = raw
        variable.set_auto_maskandscale(True)
        masked = np.ma.getmaskarray(np.ma.masked_invalid(variable[...]))
    values = raw.astype(float) * float(attributes.get("scale_factor", 1))
    return np.ma.masked_array(values + float(attributes.get("add_offset", 0)), masked)


@st.composite
def stored(draw: st.DrawFn) -> Stored:
    dtype = np.dtype(draw(st.sampled_from(TYPES)))
    shape = tuple(draw(st.integers(1, n)) for n in (7, 4, 5))
    low, high = (0, 100) if dtype.kind == "u" else (-100, 100)
    numbers = draw(st.lists(st.integers(low, high), min_size=1, max_size=40))
    raw = np.resize(np.array(numbers), shape).astype(dtype)
    attributes: dict[str, Any] = {}
    if dtype.kind == "f":
        raw.flat[:: draw(st.integers(2, 9))] = draw(st.sampled_from([np.nan, np.inf, 1e20, 0.1]))
    if draw(st.booleans()):
        attributes["_FillValue"] = dtype.type(draw(st.sampled_from([7, 1, 100])))
    if draw(st.booleans()):
        attributes["missing_value"] = np.array(draw(st.sampled_from([[3], [0, 5]])), dtype)
    if draw(st.booleans()):
        attributes["scale_factor"] = draw(st.sampled_from([np.float32(0.01), 0.5, 1.0]))
        attributes["add_offset"] = draw(st.sampled_from([np.float32(273.15), 0.0]))
    if draw(st.booleans()):
        attributes["valid_range"] = np.array([2, 80], dtype)
    elif draw(st.booleans()):
        attributes["valid_min"] = dtype.type(1)
    chunks = tuple(draw(st.integers(1, size)) for size in shape)
    grid = ChunkIndex.grid_shape(shape, chunks)
    anywhere = st.tuples(*(st.integers(0, n - 1) for n in grid))
    return Stored(raw, attributes, chunks, draw(st.lists(anywhere, max_size=2)))


def tiles_of(own: Stored, along: tuple[int, ...], sums: int) -> TileEdges:
    kept = [np.arange(n) for n in own.raw.shape]
    return TileEdges.of(kept, own.chunks, own.raw.itemsize, along, sums)


def result(
    own: Stored, along: tuple[int, ...], compute: Callable[..., Any], measure: Measure
) -> np.ndarray:
    """A measure of the whole array, read tile by tile."""
    found = tuple(tiles_of(own, along, 40).one_by_one())
    over_time = len(along) == 1
    shape = [1 if n in along else size for n, size in enumerate(own.raw.shape)]
    shape = shape if over_time else [size for n, size in enumerate(shape) if n not in along]
    places = [
        tuple(slice(0, 1) if n in along else side for n, side in enumerate(tile.block))
        if over_time else tuple(side for n, side in enumerate(tile.block) if n not in along)
        for tile in found
    ]  # fmt: skip
    shared = Shared(found, places, 2, compute)
    whole = tuple(slice(0, size) for size in shape)
    return shared.read(measure, whole, np.dtype(float))


def areas_like(own: Stored, seed: int = 0) -> CellAreas:
    rows, columns = own.raw.shape[1:]
    random = np.random.default_rng(seed)
    return CellAreas(("/y", "/x"), 1e10 * (1 + random.random(rows)), 1 + random.random(columns))


def everywhere(block: Any) -> np.ndarray:
    return np.ones([side.stop - side.start for side in block], bool)


def area_mean(own: Stored, measure: Measure = Measure.MEAN) -> np.ndarray:
    mean = AreaMean(own.slabs(), (1, 2), areas_like(own), everywhere)
    return result(own, (1, 2), mean, measure)


@given(stored())
def test_what_is_missing_is_what_netcdf4_masks_and_the_rest_has_its_values(own: Stored) -> None:
    found = Decoding.of(own.raw.dtype, own.attributes).decode(own.raw)
    expected = by_netcdf4(own.raw, own.attributes)
    np.testing.assert_array_equal(np.isnan(found), expected.mask)
    np.testing.assert_array_equal(found[~expected.mask], expected.compressed())


@given(stored())
def test_time_means_are_exact_to_the_last_digits_and_counted(own: Stored) -> None:
    known = own.known()
    means = result(own, (0,), TimeMean(own.slabs(), 0), Measure.MEAN)[0]
    counts = result(own, (0,), TimeMean(own.slabs(), 0), Measure.COUNT)[0]
    np.testing.assert_array_equal(counts, (~known.mask).sum(axis=0))
    for place in np.ndindex(means.shape):
        values = [Fraction(float(v)) for v in known[(slice(None), *place)].compressed()]
        if not values:
            assert np.isnan(means[place])
            continue
        exact = sum(values, Fraction(0)) / len(values)
        size = max(map(abs, values))
        assert abs(Fraction(float(means[place])) - exact) <= size * Fraction(1, 2**51)


@given(stored())
def test_area_means_are_exact_to_the_last_digits_with_their_share_of_the_area(own: Stored) -> None:
    known, areas = own.known(), areas_like(own).of(slice(None), slice(None))
    means, shares = area_mean(own), area_mean(own, Measure.FRACTION)
    for step in range(own.raw.shape[0]):
        there = ~known.mask[step]
        weights = [Fraction(float(w)) for w in areas[there]]
        values = [Fraction(float(v)) for v in known.data[step][there]]
        assert shares[step] == pytest.approx(areas[there].sum() / areas.sum(), abs=1e-12)
        if not values:
            assert np.isnan(means[step])
            continue
        exact = sum(v * w for v, w in zip(values, weights, strict=True)) / sum(weights)
        assert abs(Fraction(float(means[step])) - exact) <= max(map(abs, values)) / 2**50


@given(stored(), st.integers(1, 6))
def test_parts_of_a_record_joined_by_their_counts_are_the_whole(own: Stored, cut: int) -> None:
    own = Stored(own.raw, own.attributes, own.chunks, [])
    cut = min(cut, own.raw.shape[0])
    sums, counts = np.zeros(own.raw.shape[1:]), np.zeros(own.raw.shape[1:])
    for steps in (slice(0, cut), slice(cut, None)):
        part = Stored(own.raw[steps], own.attributes, own.chunks, [])
        if part.raw.size:
            mean = TimeMean(part.slabs(), 0)
            count = result(part, (0,), mean, Measure.COUNT)[0]
            sums += np.where(count > 0, result(part, (0,), mean, Measure.MEAN)[0] * count, 0.0)
            counts += count
    whole = result(own, (0,), TimeMean(own.slabs(), 0), Measure.MEAN)[0]
    joined = np.where(counts > 0, sums / np.where(counts > 0, counts, 1), np.nan)
    np.testing.assert_allclose(joined, whole, rtol=1e-12, atol=1e-12 * np.nanmax(np.abs(sums)))


@given(stored(), st.data())
def test_chunks_do_not_show_in_an_average(own: Stored, data: st.DataObject) -> None:
    own = Stored(own.raw, own.attributes, own.chunks, [])
    sides = tuple(data.draw(st.integers(1, size)) for size in own.raw.shape)
    other = Stored(own.raw, own.attributes, sides, [])
    size = float(np.ma.abs(own.known()).max() or 0)
    np.testing.assert_allclose(area_mean(own), area_mean(other), rtol=0, atol=size * 1e-14)


@given(st.floats(-1e6, 1e6), st.integers(1, 5), st.integers(1, 6), st.integers(1, 7))
def test_the_area_mean_of_a_constant_is_the_constant(
    value: float, steps: int, rows: int, columns: int
) -> None:
    own = Stored(np.full((steps, rows, columns), value), {}, (1, 1, columns), [])
    np.testing.assert_allclose(area_mean(own), value, rtol=1e-15 * 4)
    share = area_mean(own, Measure.FRACTION)
    assert ((share > 1 - 1e-12) & (share <= 1)).all()


def test_long_record_of_tenths_is_summed_without_drift() -> None:
    raw = np.full((200_000, 1, 1), 0.1)
    raw[0] = 1e9  # after which each tenth loses digits, one by one
    own = Stored(raw, {}, (1000, 1, 1), [])
    mean = result(own, (0,), TimeMean(own.slabs(), 0), Measure.MEAN)[0, 0, 0]
    exact = (Fraction(10**9) + 199_999 * Fraction(0.1)) / 200_000
    assert abs(Fraction(float(mean)) - exact) <= exact / 2**50


@given(stored())
def test_every_chunk_lies_in_one_slab_of_one_tile(own: Stored) -> None:
    for along in ((0,), (1, 2)):
        seen = np.zeros(own.raw.shape, int)
        edges = tiles_of(own, along, 10**6)
        each = list(edges.one_by_one())
        together = [slab for tile in each for slab in tile.slabs]
        assert edges.all_slabs.tolist() == [[[s.start, s.stop] for s in slab] for slab in together]
        for tile in each:
            for slab in tile.slabs:
                seen[slab] += 1
                for side, chunk, size in zip(slab, own.chunks, own.raw.shape, strict=True):
                    assert side.start % chunk == 0
                    assert side.stop % chunk == 0 or side.stop == size
        assert (seen == 1).all()


def test_bytes_of_an_unsigned_kind_are_read_as_such() -> None:
    attributes = {"_Unsigned": "true", "_FillValue": np.int8(-1), "scale_factor": 0.5}
    found = Decoding.of(np.dtype("i1"), attributes).decode(np.array([-1, -2, 3], "i1"))
    np.testing.assert_array_equal(found, [np.nan, 127.0, 1.5])
