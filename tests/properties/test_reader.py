"""The planned reader reads what zarr reads and what was written, bit for bit."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from xarray import Variable
from xarray.core.indexing import LazilyIndexedArray

from harmony_vds.access.credentials import Credentials
from harmony_vds.access.gateway import Access
from harmony_vds.errors import StoreError
from harmony_vds.settings import Settings
from harmony_vds.stores.codecs import codec_chain, decoder_of, stored_dtype
from harmony_vds.stores.layouts import read_layouts
from harmony_vds.stores.lazy import LazyArray
from harmony_vds.stores.reader import PlannedArray
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
