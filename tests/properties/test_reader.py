"""The planned reader reads what zarr reads and what was written, bit for bit."""

import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from xarray import Variable
from xarray.core.indexing import LazilyIndexedArray

from harmony_vds.access.credentials import Credentials
from harmony_vds.access.gateway import Access
from harmony_vds.errors import StoreError
from harmony_vds.model.store import ManifestFormat, StoreLocation, VirtualStore
from harmony_vds.settings import Settings
from harmony_vds.stores.codecs import codec_chain, decoder_of, stored_dtype
from harmony_vds.stores.layouts import read_layouts
from harmony_vds.stores.lazy import LazyArray
from harmony_vds.stores.open import open_store
from harmony_vds.stores.reader import PlannedArray
from harmony_vds.stores.reading import Reading
from harmony_vds.stores.reference_table import ReferenceTable
from harmony_vds.stores.references import ReferenceStore

SHAPE, CHUNKS = (7, 11, 13), (2, 4, 5)

LAYOUTS: dict[str, tuple[str, list[Any], Any]] = {
    "plain": ("<i2", [], None),
    "big-endian": (">i4", [], None),
    "shuffled and deflated in filters": (
        "<i2", [numcodecs.Shuffle(2), numcodecs.Zlib(4)], None),
    "deflated by the compressor": ("<f8", [numcodecs.Shuffle(8)], numcodecs.Zlib(1)),
    "gzipped": ("|u1", [], numcodecs.GZip(5)),
    "checksummed, then deflated": ("<f4", [numcodecs.Fletcher32()], numcodecs.Zlib(4)),
    "deflated, then checksummed": ("<f4", [numcodecs.Zlib(4), numcodecs.Fletcher32()], None),
    "zstandard": ("<i8", [], numcodecs.Zstd(3)),
    "lz4": ("<u2", [], numcodecs.LZ4()),
    "blosc": ("<f4", [], numcodecs.Blosc("zstd", 3, numcodecs.Blosc.BITSHUFFLE)),
}  # fmt: skip


class Written:
    """One array in one source file, its chunks in shuffled order with gaps between them."""

    def __init__(self, folder: Path, layout: str) -> None:
        dtype, filters, compressor = LAYOUTS[layout]
        rng = np.random.default_rng(len(layout))
        self.values = rng.integers(0, 120, SHAPE).astype(dtype)
        native = zarr.create_array(
            folder / "native", shape=SHAPE, chunks=CHUNKS, dtype=dtype, zarr_format=2,
            filters=filters or None, compressors=compressor, fill_value=77,
        )  # fmt: skip
        native[:] = self.values
        chunks = sorted(p for p in (folder / "native").iterdir() if p.name[0] != ".")
        rng.shuffle(chunks)
        absent = chunks.pop()
        place = tuple(
            slice(int(n) * c, (int(n) + 1) * c)
            for n, c in zip(absent.name.split("."), CHUNKS, strict=True)
        )
        self.values[place] = 77  # a chunk that the manifest does not hold
        references: dict[str, Any] = {".zgroup": json.dumps({"zarr_format": 2})}
        references["data/.zarray"] = (folder / "native" / ".zarray").read_text()
        body = bytearray(b"header")
        for number, path in enumerate(chunks):
            stored = path.read_bytes()
            if number % 5 == 4:
                references[f"data/{path.name}"] = _inlined(stored)
                continue
            references[f"data/{path.name}"] = [
                (folder / "source").as_uri(), len(body), len(stored),
            ]  # fmt: skip
            body += stored + b"\0" * int(rng.integers(0, 40))
        (folder / "source").write_bytes(body)
        self.access = Access.of(
            Settings(trusted_prefixes=(f"{folder.as_uri()}/",)), Credentials.of_token(None)
        )
        table = ReferenceTable()
        table.add(references)
        layouts = read_layouts(table.documents)
        self.manifest = ReferenceStore(layouts, table, self.access.fetcher)
        self.array = zarr.open_group(self.manifest, mode="r", zarr_format=2)["data"]

    def planned(self, gap: int) -> PlannedArray:
        chain = codec_chain(self.array)
        assert chain is not None
        decoder = decoder_of(stored_dtype(self.array), CHUNKS, chain)
        assert decoder is not None
        return PlannedArray(self.manifest, "/data", SHAPE, decoder, 77, gap)


def _inlined(stored: bytes) -> str:
    import base64

    return f"base64:{base64.b64encode(stored).decode()}"


@pytest.fixture(scope="module", params=LAYOUTS)
def written(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Iterator[Written]:
    made = Written(tmp_path_factory.mktemp("array"), request.param)
    with made.access:
        yield made


def selections(size: int) -> st.SearchStrategy[Any]:
    whole = st.slices(size).map(lambda s: s if (s.step or 1) > 0 else slice(None, None, -s.step))
    some = st.lists(st.integers(0, size - 1), max_size=6).map(lambda own: np.array(own, np.int64))
    return st.one_of(st.integers(0, size - 1), whole, some)


@settings(max_examples=60)
@given(key=st.tuples(*(selections(n) for n in SHAPE)), gap=st.sampled_from([-1, 0, 16, 10_000]))
def test_planned_reader_equals_zarr_and_what_was_written(
    written: Written, key: tuple[Any, ...], gap: int
) -> None:
    lazy = Variable(("t", "y", "x"), LazilyIndexedArray(LazyArray(written.planned(gap))))
    expected = Variable(("t", "y", "x"), written.values)
    indexers = dict(zip(("t", "y", "x"), key, strict=True))
    got = lazy.isel(indexers).values
    wanted = expected.isel(indexers).values
    assert got.shape == wanted.shape
    assert got.tobytes() == wanted.astype(got.dtype).tobytes()
    by_zarr = written.array.oindex[key]
    assert got.tobytes() == np.asarray(by_zarr, got.dtype).tobytes()


def test_damaged_chunk_is_an_error_where_the_format_can_tell(written: Written) -> None:
    planned = written.planned(0)
    if not planned.decoder.steps:
        return  # plain bytes carry nothing to check
    stored = written.manifest.chunk_index("/data")
    number = tuple(int(n) for n in np.argwhere(stored.sources == 0)[0])
    start, length = int(stored.offsets[number]), int(stored.lengths[number])
    source = Path(stored.locations[0].removeprefix("file://"))
    whole = source.read_bytes()[start : start + length]
    with pytest.raises(StoreError):
        planned.decoder.decode(whole[: length // 2])


def test_bomb_is_not_inflated_past_the_declared_chunk() -> None:
    decoder = decoder_of(np.dtype("u1"), (10, 10), [{"id": "zlib"}])
    assert decoder is not None
    with pytest.raises(StoreError, match="cannot be decoded"):
        decoder.decode(numcodecs.Zlib(9).encode(b"\0" * 50_000_000))
    for codec in (numcodecs.Zstd(), numcodecs.LZ4(), numcodecs.Blosc()):
        claimed = decoder_of(np.dtype("u1"), (10, 10), [codec.get_config()])
        assert claimed is not None
        with pytest.raises(StoreError, match="instead of 100"):
            claimed.decode(codec.encode(b"\0" * 5_000_000))


# ---------------------------------------------------------------- what else archives hold

_RNG = np.random.default_rng(3)
_NUMBERS = _RNG.integers(-500, 500, (9, 7))
OTHERS: dict[str, tuple[np.ndarray, dict[str, Any]]] = {
    "delta": (_NUMBERS.astype("<i4"), {"filters": [numcodecs.Delta("<i4")]}),
    "delta, then shuffled and blosc": (
        _NUMBERS.astype("<i4"),
        {"filters": [numcodecs.Delta("<i4"), numcodecs.Shuffle(4)],
         "compressors": numcodecs.Blosc("lz4")}),
    "scale and offset": (
        _NUMBERS / 4,
        {"filters": [numcodecs.FixedScaleOffset(0, 4, "<f8", "<i2")],
         "compressors": numcodecs.Zlib()}),
    "quantised": (
        (_NUMBERS / 8).astype("<f4"), {"filters": [numcodecs.Quantize(3, "<f4")]}),
    "column order": (_NUMBERS.astype("<i2"), {"order": "F", "compressors": numcodecs.Zlib()}),
    "deflated twice": (
        _NUMBERS.astype("<i2"), {"filters": [numcodecs.Zlib()], "compressors": numcodecs.Zlib()}),
    "big-endian, shuffled": (
        _NUMBERS.astype(">i2"),
        {"filters": [numcodecs.Shuffle(2)], "compressors": numcodecs.Zlib()}),
    "big-endian floats, zstandard": (_NUMBERS.astype(">f8"), {"compressors": numcodecs.Zstd()}),
    "bzip2": (_NUMBERS.astype("<i2"), {"compressors": numcodecs.BZ2()}),
    "lzma": (_NUMBERS.astype("<u4") % 9, {"compressors": numcodecs.LZMA()}),
    "crc32": (_NUMBERS.astype("<i2"), {"filters": [numcodecs.CRC32()]}),
    "bool": (_NUMBERS > 0, {"compressors": numcodecs.Zlib()}),
    "complex": ((_NUMBERS * (1 + 2j)).astype("<c8"), {"compressors": numcodecs.Zlib()}),
    "fixed strings": (_NUMBERS.astype("S5"), {"compressors": numcodecs.Zlib()}),
    "fixed Unicode": (_NUMBERS.astype("<U4"), {"compressors": numcodecs.Zlib()}),
    "strings of any length": (
        _NUMBERS.astype(str).astype(object), {"filters": [numcodecs.VLenUTF8()]}),
    "scalar": (np.array(-7, ">i4"), {}),
    "deflated scalar": (np.array(2.5), {"compressors": numcodecs.Zlib()}),
    "scalar text": (np.array(b"lat_lon", "S7"), {}),
    "nothing along a dimension": (np.zeros((0, 4), "<f4"), {"compressors": numcodecs.Zlib()}),
}  # fmt: skip


def opened(folder: Path, references: dict[str, Any], *, planned: bool) -> VirtualStore:
    (folder / "store.json").write_text(json.dumps({"version": 1, "refs": references}))
    access = Access.of(
        Settings(trusted_prefixes=(f"{folder.as_uri()}/",)), Credentials.of_token(None)
    )
    location = StoreLocation((folder / "store.json").as_uri(), ManifestFormat.KERCHUNK_JSON)
    return open_store([location], access, Reading(planned=planned))


def referring(folder: Path, values: np.ndarray, how: dict[str, Any]) -> dict[str, Any]:
    """References to the chunks of an array that zarr writes, each chunk a file of its own."""
    settings = {"filters": None, "compressors": None, **how}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zarr: some types are no part of its specification
        native = zarr.create_array(
            folder / "native", shape=values.shape, chunks=(4, 3)[: values.ndim], zarr_format=2,
            dtype="str" if values.dtype.kind == "O" else values.dtype, **settings,
        )  # fmt: skip
        native[...] = values
    names = [f"d{axis}" for axis in range(values.ndim)]
    references: dict[str, Any] = {
        ".zgroup": '{"zarr_format": 2}',
        "data/.zarray": (folder / "native" / ".zarray").read_text(),
        "data/.zattrs": json.dumps({"_ARRAY_DIMENSIONS": names}),
    }
    for path in (folder / "native").iterdir():
        if not path.name.startswith("."):
            references[f"data/{path.name}"] = [path.as_uri(), 0, path.stat().st_size]
    return references


@pytest.mark.parametrize("layout", OTHERS)
def test_other_encodings_read_alike_through_either_reader(layout: str, tmp_path: Path) -> None:
    values, how = OTHERS[layout]
    references = referring(tmp_path, values, how)
    for planned in (True, False):
        store = opened(tmp_path, references, planned=planned)
        lazy = store.tree.to_dataset().variables["data"]
        assert lazy.shape == values.shape
        keys: list[Any] = [...]
        if values.size and values.ndim:
            keys += [(8, 6), (slice(None, None, -3), [6, 0, 3]), (slice(2, 2), 1), (slice(3, 8),)]
        for key in keys:
            got, wanted = lazy[key].values, xr.Variable(lazy.dims, values)[key].values
            assert np.shape(got) == np.shape(wanted)
            if values.dtype.kind == "O":
                assert got.astype(object).tolist() == np.asarray(wanted).tolist()
                continue
            native = wanted.dtype.newbyteorder("=")
            assert got.dtype.newbyteorder("=") == native
            assert got.astype(native).tobytes() == wanted.astype(native).tobytes()


def test_filter_that_is_not_known_is_told_by_name_and_its_array_left_out(tmp_path: Path) -> None:
    references = referring(tmp_path, _NUMBERS.astype("<i2"), {})
    metadata = json.loads(references["data/.zarray"])
    metadata["filters"] = [{"id": "szip", "mask": 141, "pixels_per_block": 32}]
    references["data/.zarray"] = json.dumps(metadata)
    store = opened(tmp_path, references, planned=True)
    assert "szip" in store.defects["/data"]
    assert "data" not in store.tree
