"""kerchunk Parquet, written by kerchunk itself: same values as its JSON, few records fetched."""

import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet
from servers import Server, file_server
from systems.kits import ask, raw, request, services
from world import kerchunk_references

from harmony_vds.errors import StoreError, UntrustedError
from harmony_vds.model.chunks import ChunkIndex, ChunkKind
from harmony_vds.pipeline import prepare

ROWS = 4
"""Rows of a record; a day of the field has nine chunks."""


def write_records(folder: Path, document: dict[str, Any], rows: int = ROWS, **options: Any) -> Path:
    from kerchunk.df import refs_to_dataframe

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        refs_to_dataframe(document, str(folder), record_size=rows, **options)
    return folder


@pytest.fixture(scope="module")
def document(days: list[Path]) -> dict[str, Any]:
    return kerchunk_references(days)


@pytest.fixture
def store(document: dict[str, Any], tmp_path: Path) -> Path:
    return write_records(tmp_path / "shelf" / "refs.parq", document)


@pytest.fixture
def shelf(store: Path) -> Iterator[Server]:
    with file_server(store.parent) as server:
        yield server


def index_in(store: Path, path: str, selection: Any = None) -> ChunkIndex:
    with services(trusted=("file:///",)) as using:
        opened = prepare(request([path]), using, store.as_uri())[0].store
        return opened.chunk_index(f"/{path}", selection)


@pytest.mark.parametrize("reader", ["planned", "zarr"])
@pytest.mark.parametrize("threshold", [1, 1000])
def test_values_are_those_of_the_granules(
    threshold: int, reader: str, document: dict[str, Any], days: list[Path], tmp_path: Path
) -> None:
    """Whether the writer coded the paths by categories or not."""
    store = write_records(tmp_path / "r", document, categorical_threshold=threshold)
    using = services(trusted=("file:///",), reader=reader)
    path = ask(request(), store.as_uri(), using, tmp_path / "out").path
    for name in ("analysed_sst", "mask", "time"):
        expected = np.concatenate([raw(day, name) for day in days])
        np.testing.assert_array_equal(raw(path, name), expected)


def test_only_the_records_of_the_box_are_fetched(shelf: Server) -> None:
    with services(trusted=("file:///", shelf.url)) as using:
        opened = prepare(request(["crs"]), using, f"{shelf.url}/refs.parq")[0].store
        shelf.forget()
        index = opened.chunk_index("/analysed_sst", [range(1, 2), range(3), range(3)])
        # The first chunk of the second day is the tenth of all, in the third record of four rows.
        assert shelf.paths() == ["/refs.parq/analysed_sst/refs.2.parq"]
        assert index.is_partial
        assert index.tally([range(1, 2), range(3), range(3)]).requests == 1
        with pytest.raises(ValueError, match="not asked"):
            index.tally([range(5), range(3), range(3)])
        shelf.forget()
        opened.chunk_index("/analysed_sst", [range(1, 2), range(3), range(3)])
        assert shelf.paths() == []
        assert not opened.chunk_index("/analysed_sst").is_partial


REFERENCE = st.one_of(
    st.none(),
    st.binary(min_size=1, max_size=9),
    st.tuples(st.sampled_from(["s3://b/x.nc", "/data/é.nc", "https://h/y.nc"]),
              st.integers(0, 2**40), st.integers(1, 2**31)),
)  # fmt: skip


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    references=st.lists(REFERENCE, min_size=12, max_size=12), rows=st.integers(1, 13),
    categories=st.booleans(), stepwise=st.booleans(),
)  # fmt: skip
def test_index_equals_the_references_one_by_one(
    references: list[Any], rows: int, categories: bool, stepwise: bool,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:  # fmt: skip
    folder = tmp_path_factory.mktemp("records")
    (folder / "f").mkdir()
    array = {"shape": [3, 8], "chunks": [1, 2], "dtype": "<i2", "fill_value": 0, "order": "C",
             "filters": None, "compressor": None, "zarr_format": 2}  # fmt: skip
    told = {".zgroup": {"zarr_format": 2}, "f/.zarray": array,
            "f/.zattrs": {"_ARRAY_DIMENSIONS": ["y", "x"]}}  # fmt: skip
    (folder / ".zmetadata").write_text(json.dumps({"metadata": told, "record_size": rows}))
    for number in range(-(-12 // rows)):
        own = references[number * rows : (number + 1) * rows]
        if any(reference is not None for reference in own):
            own += [None] * (rows - len(own))
            ranges = [own if isinstance(own, tuple) else (None, 0, 0) for own in own]
            path = pa.array([r[0] for r in ranges], pa.string())
            table = pa.table({
                "path": path.dictionary_encode() if categories else path,
                "offset": pa.array([r[1] for r in ranges], pa.int64()),
                "size": pa.array([r[2] for r in ranges], pa.int64()),
                "raw": pa.array([r if isinstance(r, bytes) else None for r in own], pa.binary()),
            })  # fmt: skip
            parquet.write_table(table, folder / "f" / f"refs.{number}.parq", row_group_size=5)
    with services(trusted=("file:///",)) as using:
        opened = prepare(request(["f"]), using, folder.as_uri())[0].store
        if stepwise:
            opened.chunk_index("/f", [range(2, 3), range(1, 5)])
        index = opened.chunk_index("/f")
    for number, reference in enumerate(references):
        place = np.unravel_index(number, (3, 4))
        if reference is None:
            assert index.kinds[place] == ChunkKind.ABSENT
        elif isinstance(reference, bytes):
            assert index.kinds[place] == ChunkKind.INLINE
            assert index.lengths[place] == len(reference)
        else:
            url, offset, length = reference
            assert index.kinds[place] == ChunkKind.VIRTUAL
            found = index.locations[index.sources[place]]
            assert found == (f"file://{url}" if url.startswith("/") else url)
            assert (index.offsets[place], index.lengths[place]) == (offset, length)


def rewritten(record: Path, **columns: Any) -> None:
    table = parquet.read_table(record)
    for name, values in columns.items():
        table = table.set_column(table.column_names.index(name), name, pa.array(values))
    parquet.write_table(table, record)


@pytest.mark.parametrize(
    "columns, told",
    [
        ({"offset": [-1] * ROWS}, "unusable offset"),
        ({"offset": [None, 1, 1, 1]}, "unusable offset"),
        ({"offset": [0.5] * ROWS}, "type double"),
        ({"size": [0] * ROWS}, "without offset and length"),
        ({"path": ["bare.nc"] * ROWS}, "no complete address"),
    ],
)
def test_unusable_record_is_refused_with_its_name(
    columns: dict[str, Any], told: str, store: Path
) -> None:
    rewritten(store / "analysed_sst" / "refs.0.parq", **columns)
    with pytest.raises(StoreError, match=told) as refused:
        index_in(store, "analysed_sst")
    assert "analysed_sst/refs.0.parq" in str(refused.value)


def test_record_with_too_few_rows_is_refused_and_never_filled(store: Path) -> None:
    record = store / "analysed_sst" / "refs.0.parq"
    parquet.write_table(parquet.read_table(record).slice(0, ROWS - 1), record)
    with pytest.raises(StoreError, match="has 3 rows instead of 4"):
        index_in(store, "analysed_sst")


def test_record_that_is_no_parquet_or_claims_too_much_is_refused(store: Path) -> None:
    record = store / "analysed_sst" / "refs.0.parq"
    zeros = pa.array(np.zeros(2**24 + 1, np.int64))
    parquet.write_table(pa.table({"path": zeros, "offset": zeros, "size": zeros, "raw": zeros}),
                        record)  # fmt: skip
    assert record.stat().st_size < 500_000
    with pytest.raises(StoreError, match="16,777,217 rows"):
        index_in(store, "analysed_sst")
    for body in (b"PAR1", b"", record.read_bytes()[:-9], b"\0" * 1000):
        record.write_bytes(body)
        with pytest.raises(StoreError, match=r"refs\.0\.parq cannot be read as Parquet"):
            index_in(store, "analysed_sst")


def test_addresses_in_records_must_be_trusted(store: Path, tmp_path: Path) -> None:
    rewritten(store / "analysed_sst" / "refs.0.parq", path=["https://stranger.example/x"] * ROWS)
    with pytest.raises(UntrustedError, match="stranger"):
        ask(request(), store.as_uri(), services(trusted=("file:///",)), tmp_path / "out")


@pytest.mark.parametrize("text", ["[]", "{}", '{"metadata":{}}', '{"metadata":[],"record_size":1}',
                                  '{"metadata":{},"record_size":0}', "[" * 100_000,
                                  '{"metadata":{},"record_size":1e99}'])  # fmt: skip
def test_metadata_that_are_none_are_refused(text: str, store: Path) -> None:
    (store / ".zmetadata").write_text(text + ' "record_size"')
    with pytest.raises(StoreError, match="zmetadata"):
        index_in(store, "analysed_sst")
