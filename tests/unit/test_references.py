"""kerchunk documents: what is read of them, and what is refused with its reason."""

import gzip
import itertools
import json
import zlib
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
from systems.kits import ask, raw, request, services

from harmony_vds.errors import StoreError
from harmony_vds.pipeline import prepare

VALUES = np.arange(6, dtype="<i2")
FIELD = {
    ".zgroup": '{"zarr_format":2}',
    ".zattrs": "{}",
    "field/.zarray": json.dumps({"shape": [6], "chunks": [4], "dtype": "<i2", "fill_value": -1,
                                 "order": "C", "filters": None, "compressor": None,
                                 "zarr_format": 2}),
    "field/.zattrs": json.dumps({"_ARRAY_DIMENSIONS": ["x"]}),
}  # fmt: skip


@pytest.fixture
def binary(tmp_path: Path) -> Path:
    """Two chunks of four int16 after a header of ten bytes; the second one is half beyond."""
    path = tmp_path / "source.bin"
    path.write_bytes(b"0123456789" + VALUES.tobytes() + b"\xff\xff\xff\xff")
    return path


def document(folder: Path, refs: dict[str, Any], **around: Any) -> str:
    path = folder / "refs.json"
    path.write_text(json.dumps({"version": 1, **around, "refs": {**FIELD, **refs}}))
    return path.as_uri()


def answer(href: str, folder: Path, name: str = "field") -> np.ndarray:
    using = services(trusted=("file:///",))
    return raw(ask(request(), href, using, folder / "out").path, name)


def refusal(href: str, folder: Path) -> str:
    using = services(trusted=("file:///",))
    with pytest.raises(StoreError) as refused:
        ask(request(), href, using, folder / "out")
    return str(refused.value)


def test_byte_ranges_of_a_file_are_read(binary: Path, tmp_path: Path) -> None:
    url = binary.as_uri()
    href = document(tmp_path, {"field/0": [url, 10, 8], "field/1": [url, 18, 8]})
    assert answer(href, tmp_path).tolist() == [0, 1, 2, 3, 4, 5]


def test_path_without_scheme_means_a_file(binary: Path, tmp_path: Path) -> None:
    """The kerchunk library writes local paths bare."""
    href = document(tmp_path, {"field/0": [str(binary), 10, 8], "field/1": [str(binary), 18, 8]})
    assert answer(href, tmp_path).tolist() == [0, 1, 2, 3, 4, 5]


def test_inline_chunks_in_base64_and_plain_text_are_read(tmp_path: Path) -> None:
    text = "\x01\x00\x02\x00\x03\x00\x04\x00"
    inline = f"base64:{b64encode(VALUES[:4].tobytes()).decode()}"
    href = document(tmp_path, {"field/0": inline, "field/1": text})
    assert answer(href, tmp_path).tolist() == [0, 1, 2, 3, 1, 2]


def test_document_of_version_0_and_metadata_as_objects_are_read(tmp_path: Path) -> None:
    inline = f"base64:{b64encode(VALUES[:4].tobytes()).decode()}"
    refs = {key: json.loads(value) for key, value in FIELD.items()}
    path = tmp_path / "refs.json"
    path.write_text(json.dumps({**refs, "field/0": inline, "field/1": inline}))
    assert answer(path.as_uri(), tmp_path).tolist() == [0, 1, 2, 3, 0, 1]


@pytest.mark.parametrize("key", ["scalar/0", "scalar/"])
def test_scalar_is_read_under_every_key_that_writers_give_it(key: str, tmp_path: Path) -> None:
    """kerchunk writes ``0``, VirtualiZarr nothing at all after the slash."""
    scalar = {
        "scalar/.zarray": json.dumps({"shape": [], "chunks": [], "dtype": "<f8", "order": "C",
                                      "fill_value": None, "filters": None, "compressor": None,
                                      "zarr_format": 2}),
        "scalar/.zattrs": json.dumps({"_ARRAY_DIMENSIONS": []}),
        key: f"base64:{b64encode(np.float64(7.25).tobytes()).decode()}",
    }  # fmt: skip
    assert answer(document(tmp_path, scalar), tmp_path, "scalar") == 7.25


def test_chunks_beyond_the_array_are_left_over_and_ignored(tmp_path: Path) -> None:
    inline = f"base64:{b64encode(VALUES[:4].tobytes()).decode()}"
    refs = {"field/0": inline, "field/1": inline, "field/2": ["file:///nowhere", 0, 8]}
    assert answer(document(tmp_path, refs), tmp_path).tolist() == [0, 1, 2, 3, 0, 1]


@pytest.mark.parametrize(
    "refs, around, told",
    [
        ({"field/0": ["file:///a.bin"]}, {}, "without offset and length"),
        ({"field/0": ["file:///a.bin", -1, 8]}, {}, "unusable offset or length"),
        ({"field/0": ["file:///a.bin", 0, "8"]}, {}, "unusable offset or length"),
        ({"field/0": ["a.bin", 0, 8]}, {}, "no complete address"),
        ({"field/0": "base64:%%%"}, {}, "not valid base64"),
        ({"field/.zattrs": ["file:///a.bin", 0, 8]}, {}, "should be text"),
        ({"field/0": ["{{v}}/a.bin", 0, 8]}, {"templates": {"u": "file://"}}, "no complete"),
        ({"field/0": ["{{u(n=1)}}/a.bin", 0, 8]}, {"templates": {"u": "file://"}}, "not run"),
        ({"field/0": ["{{u}}", 0, 8]}, {"templates": {"u": "{{n * 2}}"}}, "template 'u'"),
        ({"field/0": ["{{u}}", 0, 8]}, {"templates": ["u"]}, "templates are no object"),
        ({}, {"gen": [{"key": "field/0"}]}, "(`gen`)"),
    ],
)
def test_unusable_reference_is_refused_with_its_name(
    refs: dict[str, Any], around: dict[str, Any], told: str, tmp_path: Path
) -> None:
    message = refusal(document(tmp_path, refs, **around), tmp_path)
    assert told in message
    assert "field" in message or "refs.json" in message


@pytest.mark.parametrize("body", ["{", "[]", "{}", '{"refs": {}}', '{"refs": []}', "text"])
def test_json_that_holds_no_references_is_refused(body: str, tmp_path: Path) -> None:
    path = tmp_path / "refs.json"
    path.write_text(body)
    assert "refs.json" in refusal(path.as_uri(), tmp_path)


def test_document_is_pinned_by_its_content(tmp_path: Path) -> None:
    inline = f"base64:{b64encode(VALUES[:4].tobytes()).decode()}"
    pinned = []
    for second in (inline, inline, "\x00" * 8):
        href = document(tmp_path, {"field/0": inline, "field/1": second})
        with services(trusted=("file:///",)) as using:
            pinned.append(prepare(request(), using, href)[0].plan.location.snapshot)
    assert pinned[0] == pinned[1] != pinned[2]


@pytest.mark.parametrize("reader", ["planned", "zarr"])
@pytest.mark.parametrize("inline", [False, True])
def test_chunks_named_with_slashes_are_read_by_both_readers(
    inline: bool, reader: str, binary: Path, tmp_path: Path
) -> None:
    described = json.loads(FIELD["field/.zarray"])
    described |= {"shape": [2, 4], "chunks": [1, 4], "dimension_separator": "/"}
    refs = {
        "field/.zarray": json.dumps(described),
        "field/.zattrs": json.dumps({"_ARRAY_DIMENSIONS": ["y", "x"]}),
        "field/0/0": [binary.as_uri(), 10, 8],
        "field/1/0": [binary.as_uri(), 14, 8],
    }
    if inline:
        refs["field/1/0"] = f"base64:{b64encode(VALUES[2:].tobytes()).decode()}"
    href = document(tmp_path, refs)
    using = services(trusted=("file:///",), reader=reader)
    got = raw(ask(request(), href, using, tmp_path / "out").path, "field")
    assert got.tolist() == [[0, 1, 2, 3], [2, 3, 4, 5]]


@pytest.mark.parametrize("parts", [1, 3])
def test_gzipped_document_is_read_under_any_name(parts: int, binary: Path, tmp_path: Path) -> None:
    url = binary.as_uri()
    plain = tmp_path / document(tmp_path, {"field/0": [url, 10, 8]}).rpartition("/")[2]
    text = plain.read_bytes()
    cuts = [len(text) * n // parts for n in range(parts + 1)]
    packed = b"".join(gzip.compress(text[a:b]) for a, b in itertools.pairwise(cuts))
    for name in ("refs.json.gz", "refs.zarr.json", "refs"):
        (tmp_path / name).write_bytes(packed)
        assert answer((tmp_path / name).as_uri(), tmp_path / name[:-1]).tolist()[:4] == [0, 1, 2, 3]


@pytest.mark.parametrize("spoil", [lambda b: b[:-20], lambda b: b[:40] + b"x" * 9 + b[49:]])
def test_damaged_gzip_is_refused(spoil: Callable[[bytes], bytes], tmp_path: Path) -> None:
    plain = tmp_path / document(tmp_path, {}).rpartition("/")[2]
    packed = tmp_path / "refs.json.gz"
    packed.write_bytes(spoil(gzip.compress(plain.read_bytes())))
    assert "gzip data" in refusal(packed.as_uri(), tmp_path)


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("spelled", ["{{u}}", "{{ u }}"])
def test_names_in_braces_stand_for_their_templates(
    spelled: str, first: bool, binary: Path, tmp_path: Path
) -> None:
    folder, name = binary.as_uri().rsplit("/", 1)
    refs = {
        **FIELD,
        "field/0": [f"{spelled}/{name}", 10, 8],
        "field/1": [f"{spelled}/{name}", 18, 8],
    }
    told = {"version": 1, "templates": {"u": folder}, "refs": refs}
    path = tmp_path / "refs.json"
    path.write_text(json.dumps(told if first else dict(reversed(told.items()))))
    assert answer(path.as_uri(), tmp_path).tolist() == [0, 1, 2, 3, 4, 5]


SHUFFLE, ZLIB = {"id": "shuffle", "elementsize": 2}, {"id": "zlib", "level": 4}


@pytest.mark.parametrize(
    "codecs",
    [
        {"filters": [SHUFFLE], "compressor": ZLIB},
        {"filters": [SHUFFLE, ZLIB]},
        {"filters": [{"id": "numcodecs.shuffle", "elementsize": 2},
                     {"id": "numcodecs.zlib", "level": 4}]},
        {"filters": [{"name": "numcodecs.shuffle", "configuration": {"elementsize": 2}},
                     {"name": "numcodecs.zlib", "configuration": {"level": 4}}]},
    ],
)  # fmt: skip
def test_codecs_are_read_in_every_spelling(codecs: dict[str, Any], tmp_path: Path) -> None:
    packed = zlib.compress(bytes(numcodecs.Shuffle(2).encode(VALUES[:4].tobytes())))
    inline = f"base64:{b64encode(packed).decode()}"
    refs = {
        "field/.zarray": json.dumps(json.loads(FIELD["field/.zarray"]) | codecs),
        "field/0": inline,
        "field/1": inline,
    }
    assert answer(document(tmp_path, refs), tmp_path).tolist() == [0, 1, 2, 3, 0, 1]


STRINGS = {"shape": [3], "chunks": [3], "dtype": "|O", "fill_value": None, "order": "C",
           "filters": [{"id": "vlen-utf8"}], "compressor": None, "zarr_format": 2}  # fmt: skip


def test_texts_of_varying_length_are_read(tmp_path: Path) -> None:
    texts = np.array(["a", "Ålesund", ""], object)
    encoded = b64encode(bytes(numcodecs.VLenUTF8().encode(texts))).decode()
    refs = {"name/.zarray": json.dumps(STRINGS), "name/0": f"base64:{encoded}",
            "name/.zattrs": '{"_ARRAY_DIMENSIONS":["n"]}'}  # fmt: skip
    with services(trusted=("file:///",)) as using:
        opened = prepare(request(["field"]), using, document(tmp_path, refs))[0].store
        assert opened.tree["name"].values.tolist() == texts.tolist()


@pytest.mark.parametrize("codec", ["pickle", "json2"])
def test_variable_of_pickled_objects_is_refused_and_no_other(codec: str, tmp_path: Path) -> None:
    inline = f"base64:{b64encode(VALUES[:4].tobytes()).decode()}"
    refs = {"odd/.zarray": json.dumps(STRINGS | {"filters": [{"id": codec}]}), "odd/0": inline,
            "odd/.zattrs": '{"_ARRAY_DIMENSIONS":["n"]}',
            "field/0": inline, "field/1": inline}  # fmt: skip
    href = document(tmp_path, refs)
    assert answer(href, tmp_path).tolist() == [0, 1, 2, 3, 0, 1]
    with services(trusted=("file:///",)) as using, pytest.raises(StoreError) as refused:
        prepare(request(["odd"]), using, href)
    assert "odd" in str(refused.value)
    assert codec in str(refused.value)
