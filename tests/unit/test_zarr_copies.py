"""Zarr whose chunks are the archive's own, framed: readers find what the sources hold."""

import itertools
import json
import tempfile
import zlib
from base64 import b64encode
from dataclasses import replace
from pathlib import Path

import numcodecs
import numpy as np
import pytest
import rasterio
import xarray as xr
import zarr
from chunked import CHUNK, box_of, granule, stack_in, stored_chunks
from hypothesis import given, settings
from hypothesis import strategies as st
from systems.kits import ask, raw, request, services
from world import kerchunk_references, virtual_dataset, write_icechunk, write_references

from harmony_vds.errors import StoreError
from harmony_vds.model.formats import AS_STORED, ZARR, Layout
from harmony_vds.outputs.objects import Objects
from harmony_vds.outputs.packing import blosc_frame

STEPS = 3
HEADER = 24
"""Bytes that a frame of Blosc has before its only stream."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    """A store over some days, and its packed values by netCDF4 alone."""
    return stack_in(tmp_path_factory.mktemp("stack"), STEPS)


def answer(store: Path, folder: Path, box=None, layout: Layout = AS_STORED) -> Path:
    wanted = replace(request(("field",), box), media_type=ZARR)
    using = replace(services(trusted=("file:///",)), layout=layout)
    return ask(wanted, store.as_uri(), using, folder).path


def objects(path: Path) -> dict[tuple[int, ...], bytes]:
    """The chunk files of the field, by the cell that each begins at."""
    folder = path / "field" / "c"
    files = [own for own in folder.rglob("*") if own.is_file()]
    found = {tuple(map(int, own.relative_to(folder).parts)): own.read_bytes() for own in files}
    chunks = zarr.open_array(path / "field", mode="r").chunks
    return {
        tuple(n * c for n, c in zip(numbers, chunks, strict=True)): body
        for numbers, body in found.items()
    }


def read(path: Path) -> np.ndarray:
    return zarr.open_array(path / "field", mode="r")[...]


def test_objects_are_the_streams_of_the_source_files_behind_a_header(stack, tmp_path):
    store, values = stack
    path = answer(store, tmp_path)
    assert np.array_equal(read(path), values)
    found = objects(path)
    for day in range(STEPS):
        source = stored_chunks(store.parent / f"{day}.nc")
        assert {place: found[day, *place[1:]][HEADER:] for place in source} == source
    assert len(found) == STEPS * 3 * 3


def test_cut_at_the_start_of_chunks_copies_the_whole_ones_and_encodes_the_rest(stack, tmp_path):
    store, values = stack
    path = answer(store, tmp_path, box_of(range(100, 250), range(192, 390)))
    assert np.array_equal(read(path), values[:, 100:250, 192:390])
    source, found = stored_chunks(store.parent / "1.nc"), objects(path)
    for row, column, copied in ((0, 0, True), (0, 192, False), (100, 0, False)):
        own = found[1, row, column][HEADER:]
        assert (own == source[0, row + 100, column + 192]) == copied


@pytest.mark.parametrize(
    ("nc_type", "options", "copied"),
    [
        ("i2", {"shuffle": False}, True), ("f4", {}, True), ("i1", {}, True), ("f8", {}, True),
        ("i2", {"endian": "big"}, True), ("i2", {"fletcher32": True}, False),
        ("i2", {"compression": None, "shuffle": False}, False),
    ],
)  # fmt: skip
def test_types_filters_and_byte_orders_of_archives_are_read_back(
    nc_type, options, copied, tmp_path
):
    source = granule(tmp_path / "0.nc", 0, nc_type=nc_type, **options)
    store = tmp_path / "store"
    write_icechunk(store, {None: virtual_dataset([source])}, container=f"{tmp_path.as_uri()}/")
    path = answer(store, tmp_path / "out")
    found, wanted = read(path), raw(source, "field")
    assert found.dtype.newbyteorder("=") == wanted.dtype.newbyteorder("=")
    assert np.array_equal(found, wanted)
    own = {place: body[HEADER:] for place, body in objects(path).items()}
    assert (own == stored_chunks(source)) == copied
    path = answer(store, tmp_path / "cut", box_of(range(3, 290), range(5, 333)))
    assert np.array_equal(read(path), wanted[:, 3:290, 5:333])


@pytest.mark.parametrize(
    "layout", [AS_STORED, Layout(chunks_for="map"), Layout(chunks_for="series")]
)
def test_copied_and_encoded_chunks_read_back_alike_in_xarray_and_gdal(layout, stack, tmp_path):
    store, values = stack
    path = answer(store, tmp_path, layout=layout)
    with xr.open_zarr(path, chunks=None, mask_and_scale=False) as found:
        assert np.array_equal(found.field.values, values)
        assert found.time.values[2] == np.datetime64("2000-01-03")
    for step in range(STEPS):
        with rasterio.open(f'ZARR:"{path}":/field:{step}') as band:
            assert np.array_equal(band.read(1), values[step])
    codecs = [
        own["name"] for own in json.loads((path / "field" / "zarr.json").read_text())["codecs"]
    ]
    assert codecs == ["bytes", "blosc"]


def test_damaged_chunk_is_refused_and_not_copied(tmp_path):
    source = granule(tmp_path / "0.nc", 0)
    store = write_references(tmp_path / "one.json", kerchunk_references([source]))
    body = bytearray(source.read_bytes())
    stored = stored_chunks(source)[0, 100, 192]
    body[body.index(stored) + 900] ^= 1
    source.write_bytes(body)
    with pytest.raises(StoreError, match="cannot be decoded"):
        answer(store, tmp_path / "out")


def test_copied_chunks_are_gathered_in_shards_when_they_are_many(tmp_path):
    source = granule(tmp_path / "0.nc", 0)
    references = kerchunk_references([source])
    refs = references["refs"]
    array = json.loads(refs["field/.zarray"])
    days, fields = 15, {key: own for key, own in refs.items() if key.startswith("field/0.")}
    refs["field/.zarray"] = json.dumps(array | {"shape": [days, *array["shape"][1:]]})
    for day, (key, own) in itertools.product(range(days), fields.items()):
        refs[f"field/{day}.{key.split('.', 1)[1]}"] = own
    time = json.loads(refs["time/.zarray"]) | {"shape": [days], "chunks": [days],
                                               "compressor": None, "filters": None}  # fmt: skip
    refs["time/.zarray"] = json.dumps(time)
    for key in [own for own in refs if own.startswith("time/") and "." not in own]:
        del refs[key]
    refs["time/0"] = f"base64:{b64encode(np.arange(days, dtype=time['dtype']).tobytes()).decode()}"
    path = answer(write_references(tmp_path / "many.json", references), tmp_path / "out")
    array = zarr.open_array(path / "field", mode="r")
    assert array.shards is not None
    assert array.chunks == CHUNK
    assert np.array_equal(array[...], np.repeat(raw(source, "field"), days, axis=0))
    held = b"".join(own.read_bytes() for own in (path / "field" / "c").rglob("*") if own.is_file())
    assert all(held.count(own) == days for own in stored_chunks(source).values())


@settings(max_examples=30)
@given(st.data())
def test_any_order_of_chunks_makes_objects_that_zarr_reads(data):
    ranks = st.integers(1, 3)
    rank = data.draw(ranks)
    shape, chunks, held = (
        tuple(data.draw(st.lists(st.integers(1, most), min_size=rank, max_size=rank)))
        for most in (9, 4, 3)
    )
    sharded = data.draw(st.booleans())
    shards = tuple(c * h for c, h in zip(chunks, held, strict=True)) if sharded else None
    values = np.arange(np.prod(shape), dtype="<i4").reshape(shape)
    places = list(np.ndindex(*(-(-n // c) for n, c in zip(shape, chunks, strict=True))))
    with tempfile.TemporaryDirectory() as folder:
        array = zarr.create_array(folder, shape=shape, chunks=chunks, shards=shards, dtype="int32",
                                  compressors=None, fill_value=-1)  # fmt: skip
        objects = Objects(Path(folder), shape, chunks, shards)
        for place in data.draw(st.permutations(places)):
            whole = np.full(chunks, -1, "<i4")
            own = values[
                tuple(slice(n * c, (n + 1) * c) for n, c in zip(place, chunks, strict=True))
            ]
            whole[tuple(slice(0, n) for n in own.shape)] = own
            objects.put(place, whole.tobytes())
        assert np.array_equal(array[...], values)


@given(st.binary(min_size=1, max_size=300), st.sampled_from([1, 2, 4, 8]), st.booleans())
def test_frame_of_a_stream_is_what_blosc_reads(body, itemsize, shuffled):
    body = body * itemsize
    packed = bytes(numcodecs.Shuffle(itemsize).encode(body)) if shuffled else body
    frame = blosc_frame(zlib.compress(packed), len(body), itemsize, shuffled=shuffled)
    assert bytes(numcodecs.Blosc().decode(frame)) == body


@pytest.mark.parametrize("shuffled", [False, True])
def test_stream_as_long_as_what_it_inflates_to_is_not_taken_for_that(shuffled):
    random = np.random.default_rng(1).integers(0, 256, 4000, dtype=np.uint8).tobytes()
    bodies = (random[: 4000 - n] + bytes(n) for n in range(0, 4000, 2))
    packed = next(own for own in bodies if len(zlib.compress(own)) == len(own))
    frame = blosc_frame(zlib.compress(packed), len(packed), 2, shuffled=shuffled)
    plain = bytes(numcodecs.Shuffle(2).decode(packed)) if shuffled else packed
    assert bytes(numcodecs.Blosc().decode(frame)) == plain
