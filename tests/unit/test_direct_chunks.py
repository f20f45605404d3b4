"""netCDF written chunk by chunk, copied or compressed here: readers find what the sources hold."""

import hashlib
import itertools
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import h5netcdf
import h5py
import netCDF4
import numcodecs
import numpy as np
import pytest
import rasterio
import xarray as xr
from chunked import CHUNK, COLUMNS, ROWS, box_of, granule, stack_in, stored_chunks
from hypothesis import given
from hypothesis import strategies as st
from systems.kits import ask, raw, request, services
from world import virtual_dataset, write_icechunk, write_references

from harmony_vds.errors import StoreError
from harmony_vds.model.formats import AS_STORED, Layout
from harmony_vds.model.plan import PlannedVariable, Role
from harmony_vds.model.stored import RawChunks
from harmony_vds.model.subset import SubsetVariable
from harmony_vds.outputs.direct import write_chunks
from harmony_vds.outputs.filters import Filters, filters_of

STEPS = 3


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    """A store over some days, and its packed values by netCDF4 alone."""
    return stack_in(tmp_path_factory.mktemp("stack"), STEPS)


def answer(store: Path, folder: Path, box=None, layout: Layout = AS_STORED) -> Path:
    using = replace(services(trusted=("file:///",)), layout=layout)
    return ask(request(("field",), box), store.as_uri(), using, folder).path


def test_chunks_of_the_whole_store_are_those_of_the_source_files(stack, tmp_path):
    store, values = stack
    path = answer(store, tmp_path)
    assert np.array_equal(raw(path, "field"), values)
    found = stored_chunks(path)
    for day in range(STEPS):
        source = stored_chunks(store.parent / f"{day}.nc")
        assert {place: found[day, *place[1:]] for place in source} == source
    assert len(found) == STEPS * 3 * 3


def test_cut_at_the_start_of_chunks_copies_the_whole_ones_and_encodes_the_rest(stack, tmp_path):
    store, values = stack
    rows, columns = range(100, 250), range(192, 390)
    path = answer(store, tmp_path, box_of(rows, columns))
    assert np.array_equal(raw(path, "field"), values[:, 100:250, 192:390])
    source = stored_chunks(store.parent / "1.nc")
    found = stored_chunks(path)
    for row, column, copied in ((0, 0, True), (0, 192, False), (100, 0, False)):
        assert (found[1, row, column] == source[0, row + 100, column + 192]) == copied


@given(
    st.integers(0, ROWS - 1), st.integers(1, ROWS), st.integers(0, COLUMNS - 1),
    st.integers(1, COLUMNS), st.sampled_from([(100, 192), (1, 1), (7, 11)]),
    st.sampled_from([(), (50,), (100, 200)]),
)  # fmt: skip
def test_every_window_reads_back_as_the_values_it_was_cut_from(  # noqa: PLR0917
    tmp_path_factory, first_row, rows, first_column, columns, snap, seams
):
    """Straight from stored chunks: any start and end, in pieces cut at any rows."""
    top, left = (n // by * by for n, by in zip((first_row, first_column), snap, strict=True))
    window = (slice(0, 2), slice(top, min(top + rows, ROWS)),
              slice(left, min(left + columns, COLUMNS)))  # fmt: skip
    array = Chunked(np.random.default_rng(3).integers(0, 99, (2, ROWS, COLUMNS)).astype("<i2"))
    positions = tuple(np.arange(s.start, s.stop) for s in window)
    data = xr.Variable(("t", "y", "x"), array.values[window])
    edges = [0, *(s for s in seams if s < data.shape[1]), data.shape[1]]
    blocks = tuple(
        (slice(0, 2), slice(a, b), slice(0, data.shape[2])) for a, b in itertools.pairwise(edges)
    )
    planned = PlannedVariable("/field", ("/t", "/y", "/x"), Role.REQUESTED)
    raw_chunks = RawChunks(data, array, positions)
    own = SubsetVariable(planned, data, CHUNK, blocks, raw=raw_chunks)
    chunks = tuple(min(c, n) for c, n in zip(CHUNK, data.shape, strict=True))
    path = tmp_path_factory.mktemp("window") / "out.nc"
    filters = filters_of(own, chunks)
    with netCDF4.Dataset(path, "w") as nc:
        for name, size in zip("tyx", data.shape, strict=True):
            nc.createDimension(name, size)
        nc.createVariable("field", "i2", tuple("tyx"), compression="zlib", shuffle=filters.shuffle,
                          chunksizes=chunks)  # fmt: skip
    written: list[int] = []
    write_chunks(path, [(own, filters)], frozenset(), written.append)
    assert np.array_equal(raw(path, "field"), array.values[window])
    assert sum(written) == data.nbytes
    shutil.rmtree(path.parent)


class Chunked:
    """Values in memory, as an array of a store whose chunks are shuffled and deflated."""

    chunk_shape = CHUNK
    codecs = ({"id": "shuffle", "elementsize": 2}, {"id": "zlib", "level": 1})

    def __init__(self, values: np.ndarray) -> None:
        self.values, self.shape, self.dtype = values, values.shape, values.dtype

    def read_stored(self, positions):
        found = {}
        numbers = [np.unique(own // c) for own, c in zip(positions, CHUNK, strict=True)]
        for place in np.stack(np.meshgrid(*numbers, indexing="ij"), -1).reshape(-1, 3):
            whole = tuple(slice(n * c, (n + 1) * c) for n, c in zip(place, CHUNK, strict=True))
            inside = tuple(
                slice(max(s.start, p[0]), min(s.stop, p[-1] + 1))
                for s, p in zip(whole, positions, strict=True)
            )
            cells = self.values[whole]
            if self.values[inside].shape == cells.shape:
                full = np.zeros(CHUNK, self.dtype)
                full[tuple(slice(0, n) for n in cells.shape)] = cells
                body = numcodecs.Zlib(1).encode(numcodecs.Shuffle(2).encode(full))
                found[tuple(map(int, place))] = bytes(body)
            else:
                found[tuple(map(int, place))] = self.values[inside]
        return found


@pytest.mark.parametrize(
    ("nc_type", "options"),
    [
        ("i2", {"fletcher32": True}), ("i2", {"shuffle": False}), ("f4", {}), ("i1", {}),
        ("i2", {"endian": "big"}), ("f8", {"fletcher32": True, "shuffle": False}),
    ],
)  # fmt: skip
def test_filters_types_and_byte_orders_of_archives_are_copied_and_read_back(
    nc_type, options, tmp_path
):
    source = granule(tmp_path / "0.nc", 0, nc_type=nc_type, **options)
    store = tmp_path / "store"
    write_icechunk(store, {None: virtual_dataset([source])}, container=f"{tmp_path.as_uri()}/")
    path = answer(store, tmp_path / "out")
    assert raw(path, "field").dtype == raw(source, "field").dtype
    assert np.array_equal(raw(path, "field"), raw(source, "field"))
    assert stored_chunks(path) == stored_chunks(source)
    box = box_of(range(3, 290), range(5, 333))
    path = answer(store, tmp_path / "cut", box)
    assert np.array_equal(raw(path, "field"), raw(source, "field")[:, 3:290, 5:333])


@pytest.mark.parametrize(
    "options", [{"compression": None}, {"compression": None, "shuffle": False}]
)
def test_what_is_not_packed_in_the_archive_is_compressed_here(options, tmp_path):
    source = granule(tmp_path / "0.nc", 0, **options)
    write_icechunk(tmp_path / "store", {None: virtual_dataset([source])},
                   container=f"{tmp_path.as_uri()}/")  # fmt: skip
    path = answer(tmp_path / "store", tmp_path / "out")
    assert np.array_equal(raw(path, "field"), raw(source, "field"))
    with netCDF4.Dataset(path) as nc:
        assert nc["field"].filters()["zlib"]
        assert nc["field"].filters()["shuffle"]


def test_damaged_chunk_is_refused_and_not_copied(stack, tmp_path):
    store, _ = stack
    for own in store.parent.glob("*"):
        shutil.copy(own, tmp_path / own.name)
    with h5py.File(tmp_path / "1.nc") as file:
        place = file["field"].id.get_chunk_info(5).byte_offset
    body = bytearray((tmp_path / "1.nc").read_bytes())
    body[place + 900] ^= 1
    (tmp_path / "1.nc").write_bytes(body)
    text = store.read_text().replace(store.parent.as_posix(), tmp_path.as_posix())
    (tmp_path / "stack.json").write_text(text)
    with pytest.raises(StoreError, match="cannot be decoded"):
        answer(tmp_path / "stack.json", tmp_path / "out")


def test_absent_chunks_hold_the_stores_fill_among_copied_ones(stack, tmp_path):
    store, values = stack
    import json

    document = json.loads(store.read_text())
    del document["refs"]["field/1.1.1"]
    path = answer(write_references(tmp_path / "gap.json", document), tmp_path / "out")
    wanted = values.copy()
    wanted[1, 100:200, 192:384] = -9
    assert np.array_equal(raw(path, "field"), wanted)


@pytest.mark.parametrize(
    "layout", [AS_STORED, Layout(chunks_for="map"), Layout(chunks_for="series")]
)
def test_file_is_a_normal_one_to_every_reader(layout, stack, tmp_path):
    store, values = stack
    path = answer(store, tmp_path, layout=layout)
    with netCDF4.Dataset(path) as nc:
        assert nc.dimensions["time"].isunlimited()
        assert len(nc.dimensions["time"]) == STEPS
        assert nc["field"][0].mask.sum() == (values[0] == -9).sum()
        assert "harmony-vds" in nc.history
    with h5netcdf.File(path) as nc:
        assert np.array_equal(nc["field"][...], values)
        assert nc.dimensions["time"].isunlimited()
        assert nc["field"].dimensions == ("time", "lat", "lon")
    for engine in ("netcdf4", "h5netcdf"):
        with xr.open_dataset(path, engine=engine, mask_and_scale=False) as found:
            assert np.array_equal(found.field.values, values)
            assert found.time.values[2] == np.datetime64("2000-01-03")
    with h5py.File(path) as file:
        assert [own.name for own in file["field"].dims[0].values()] == ["/time"]
        assert "version=2,netcdf=" in file.attrs["_NCProperties"].decode()


def test_file_can_be_lengthened_by_netcdfs_own_library(stack, tmp_path):
    store, values = stack
    path = answer(store, tmp_path)
    with netCDF4.Dataset(path, "a") as nc:
        nc["field"].set_auto_maskandscale(False)
        nc["field"][STEPS] = values[0] + 1
        nc["time"][STEPS] = 99
    assert np.array_equal(raw(path, "field"), np.concatenate([values, values[:1] + 1]))


def test_gdal_and_hdf5_read_the_file_and_so_do_the_tools_that_are_installed(stack, tmp_path):
    path, values = answer(stack[0], tmp_path / "work"), stack[1]
    with rasterio.open(f"NETCDF:{path}:field") as file:
        assert np.array_equal(file.read()[:, ::-1], values)  # GDAL turns rows that run north
    with h5py.File(path) as file:
        assert np.array_equal(file["field"][...], values)
    shutil.copy(path, tmp_path / "out.nc4")
    for command in (
        ["ncdump", "-v", "time", "out.nc4"], ["gdalinfo", "-checksum", "NETCDF:out.nc4:field"],
        ["h5repack", "-f", "GZIP=1", "out.nc4", "again.nc4"],
    ):  # fmt: skip
        if shutil.which(command[0]) is None:
            continue
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "error" not in done.stderr.lower()
    for again in tmp_path.glob("again.nc4"):
        assert np.array_equal(raw(again, "field"), values)


def test_same_request_gives_the_same_bytes(stack, tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    box = box_of(range(3, 290), range(5, 333))
    for cut in (None, box):
        sums = {
            hashlib.sha256(answer(stack[0], tmp_path / f"{cut}{n}", cut).read_bytes()).hexdigest()
            for n in range(3)
        }
        assert len(sums) == 1


def test_values_that_a_step_has_changed_are_never_copied_from_the_store(stack):
    array = Chunked(np.zeros((2, ROWS, COLUMNS), "<i2"))
    data = xr.Variable(("t", "y", "x"), array.values)
    positions = tuple(np.arange(size) for size in array.shape)
    planned = PlannedVariable("/field", ("/t", "/y", "/x"), Role.REQUESTED)
    block = tuple(slice(0, size) for size in array.shape)
    raw_chunks = RawChunks(data, array, positions)
    own = SubsetVariable(planned, data, CHUNK, (block,), raw=raw_chunks)
    assert filters_of(own, CHUNK).raw is not None
    changed = replace(own, data=xr.Variable(("t", "y", "x"), array.values + 1))
    assert changed.copyable is None
    assert filters_of(changed, CHUNK).raw is None
    assert isinstance(filters_of(changed, CHUNK), Filters)
