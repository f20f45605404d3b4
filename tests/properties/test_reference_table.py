"""Reference documents cut into pieces: whatever their form, the index equals a plain reading."""

import asyncio
import json
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harmony_vds.access.credentials import Credentials
from harmony_vds.access.gateway import Access
from harmony_vds.errors import StoreError
from harmony_vds.model.chunks import ChunkKind
from harmony_vds.settings import Settings
from harmony_vds.stores.layouts import read_layouts
from harmony_vds.stores.reference_document import read_document
from harmony_vds.stores.references import ReferenceStore

GRIDS = {"a": (3, 4), "grp/b": (12,), "scalar": ()}
NAMES = st.one_of(
    st.tuples(st.integers(0, 3), st.integers(0, 12)).map(lambda n: f"{n[0]}.{n[1]}"),
    st.integers(0, 13).map(str),
    st.sampled_from(["0", "", "0.0.0", "x", "-1", "1.", "٣", "00001", "a b", "9" * 30]),
)
KEYS = st.tuples(st.sampled_from([*GRIDS, "stray"]), NAMES).map("/".join)
URLS = st.sampled_from(["s3://bucket/é.nc", "/data/one.nc", 'https://host/a?],"b', "file:///x,]"])
RANGES = st.tuples(URLS, st.integers(0, 2**40), st.integers(0, 2**31)).map(list)
TEXTS = st.sampled_from(["base64:AAAA", "plain", "ends like a cut],", '"],"', "", '[1,2],\n"x'])
REFERENCES = st.lists(st.tuples(KEYS, st.one_of(RANGES, RANGES, RANGES, TEXTS)), max_size=60)


def metadata(*, objects: bool) -> dict[str, Any]:
    found: dict[str, Any] = {".zgroup": {"zarr_format": 2}}
    for path, grid in GRIDS.items():
        found[f"{path}/.zarray"] = {
            "shape": list(grid), "chunks": [1] * len(grid), "dtype": "<i2", "fill_value": 0,
            "order": "C", "filters": None, "compressor": None, "zarr_format": 2,
        }  # fmt: skip
        found[f"{path}/.zattrs"] = {"flags": ["a],", "b"], "nested": [["x"], "y"]}
    return {key: own if objects else json.dumps(own) for key, own in found.items()}


def plainly(references: dict[str, Any], path: str) -> dict[tuple[int, ...], Any]:
    """What each chunk of an array refers to, key by key."""
    found = {}
    for key, reference in references.items():
        parent, _, name = key.rpartition("/")
        if parent != path or name.startswith(".z"):
            continue
        parts = name.split(".") if GRIDS[path] else []
        if not all(part.isascii() and part.isdigit() for part in parts):
            continue
        place = tuple(map(int, parts))
        if list(map(str, place)) != parts:
            continue  # 007 is another name than 7
        if len(place) == len(GRIDS[path]) and all(
            n < m for n, m in zip(place, GRIDS[path], strict=True)
        ):
            found[place] = reference
    return found


def store_of(text: str, access: Access) -> ReferenceStore:
    table, _ = read_document(text.encode())
    return ReferenceStore(read_layouts(table.documents), table, access.fetcher)


@pytest.fixture(scope="module")
def access() -> Access:
    return Access.of(Settings(trusted_prefixes=("file:///",)), Credentials.of_token(None))


@given(
    references=REFERENCES, objects=st.booleans(), metadata_first=st.booleans(),
    piece=st.sampled_from([1, 40, 300, 2**20]),
    form=st.sampled_from([{"separators": (",", ":")}, {"indent": 2}, {"ensure_ascii": False}]),
    around=st.sampled_from([{"version": 1}, {}]),
)  # fmt: skip
def test_index_of_any_document_equals_reading_it_key_by_key(  # noqa: PLR0917  one for each part
    references: list[tuple[str, Any]], objects: bool, metadata_first: bool, piece: int,
    form: dict[str, Any], around: dict[str, Any], access: Access,
) -> None:  # fmt: skip
    chunks = {key: own for key, own in references if not key.startswith("scalar/")}
    chunks |= {key: own for key, own in references[:1] if key.startswith("scalar/")}
    parts = [metadata(objects=objects), chunks]
    merged = parts[0] | parts[1] if metadata_first else parts[1] | parts[0]
    text = json.dumps({**around, "refs": merged}, **form)
    table, left = read_document(text.encode(), piece=piece)
    assert left.items() <= around.items()  # the version may be passed over
    store = ReferenceStore(read_layouts(table.documents), table, access.fetcher)
    for path, grid in GRIDS.items():
        index = asyncio.run(store.build_index(f"/{path}", None))
        expected = plainly(merged, path)
        kinds = np.zeros(grid, np.uint8)
        for place, reference in expected.items():
            virtual = isinstance(reference, list)
            kinds[place] = ChunkKind.VIRTUAL if virtual else ChunkKind.INLINE
            if virtual:
                url, offset, length = reference
                address = f"file://{url}" if url.startswith("/") else url
                assert index.locations[index.sources[place]] == address
                assert (index.offsets[place], index.lengths[place]) == (offset, length)
            else:
                size = 3 if reference.startswith("base64:") else len(reference.encode())
                assert index.lengths[place] == size
        np.testing.assert_array_equal(index.kinds, kinds)
        used = {f"file://{r[0]}" if r[0].startswith("/") else r[0]
                for r in expected.values() if isinstance(r, list)}  # fmt: skip
        assert set(index.locations) == used


@pytest.mark.parametrize(
    "unusable",
    [["s3://b/x"], ["s3://b/x", -1, 2], ["s3://b/x", 0, 2**63], ["s3://b/x", 0, 1.5],
     ["s3://b/x", None, 1], ["bare.nc", 0, 1], [None, 0, 1], [["s3://b/x"], 0, 1], {"a": 1}],
)  # fmt: skip
def test_one_unusable_reference_spoils_its_own_array_and_no_other(
    unusable: Any, access: Access
) -> None:
    refs = {
        **metadata(objects=False),
        **{f"grp/b/{n}": ["s3://b/x", n, 5] for n in range(12)},
        **{f"a/0.{n}": ["s3://b/x", n, 5] for n in range(4)},
        "a/1.1": unusable,
    }
    store = store_of(json.dumps({"version": 1, "refs": refs}), access)
    index = asyncio.run(store.build_index("/grp/b", None))
    assert index.offsets.tolist() == list(range(12))
    with pytest.raises(StoreError, match=r"a/1\.1"):
        asyncio.run(store.build_index("/a", None))


@pytest.mark.parametrize(
    "text", ['{"refs":{"a/0":["u",0,1],"b', '{"refs":{"a":["u",0,1],"b":[1,]}}']
)
def test_text_that_breaks_off_is_no_document(text: str) -> None:
    with pytest.raises(msgspec.DecodeError):
        read_document(text.encode(), piece=1)


def test_what_follows_the_references_is_handed_out() -> None:
    refs = {".zgroup": "{}", "a/0": ["u://x", 0, 1], "a/1": ["u://x", 1, 1]}
    text = json.dumps({"refs": refs, "templates": {"u": "s3://bucket"}})
    _, around = read_document(text.encode(), piece=1)
    assert around == {"templates": {"u": "s3://bucket"}}
