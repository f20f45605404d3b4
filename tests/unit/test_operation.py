"""What is no operation of Harmony's is told so, by the field, before the library meets it."""

import json
from typing import Any

import pytest
from invocation import make_message

from harmony_vds.errors import RequestError
from harmony_vds.operation import check_form, parse_operation

SHAPE = '{"type": "Point", "coordinates": [0, 0]}'


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "Expecting value"), ("{", "double quotes"), ("[]", "something else"),
        ("null", "something else"), (b"\xff\xfe{}", "utf-8"), (b"[" * 200_000, "too deeply"),
        (b'{"a":' * 200_000, "too deeply"), ('{"a": ' + "9" * 5000 + "}", "4300 digits"),
    ],
)  # fmt: skip
def test_text_that_holds_no_object_is_refused(text: str | bytes, named: str) -> None:
    with pytest.raises(RequestError, match="JSON object") as refused:
        parse_operation(text)
    assert named in str(refused.value)
    assert len(str(refused.value)) < 300


def test_mark_of_the_order_of_bytes_is_passed_over() -> None:
    assert parse_operation(b'\xef\xbb\xbf{"requestId": "one"}') == {"requestId": "one"}


def test_shape_that_stands_in_the_message_becomes_one_with_an_address() -> None:
    operation = parse_operation(json.dumps({"subset": {"shape": SHAPE}}))
    assert operation["subset"]["shape"]["href"] == SHAPE


def paths(document: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where objects and lists of objects are."""
    if isinstance(document, dict):
        inside = [own for key, told in document.items() for own in paths(told, (*path, key))]
        return [path, *inside]
    if isinstance(document, list) and document and isinstance(document[0], dict):
        return [path, *paths(document[0], (*path, 0))]
    return []


FULL = make_message("C1-DEMO", variables=["sst"], temporal={"start": "2024-01-01T00:00:00Z"})
FULL["sources"][0]["variables"][0]["relatedUrls"] = [{"url": "https://example.com/a"}]
FULL["subset"] |= {"shape": {"href": "s3://bucket/a.json"}, "dimensions": [{"name": "lev"}]}
FULL["format"] |= {
    "srs": {"epsg": "EPSG:4326"}, "scaleSize": {"x": 1, "y": 1},
    "scaleExtent": {"x": {"min": 0, "max": 1}, "y": {"min": 0, "max": 1}},
}  # fmt: skip


def test_operation_as_harmony_writes_it_is_taken() -> None:
    check_form(FULL)


@pytest.mark.parametrize("odd", [5, "text", True])
@pytest.mark.parametrize("path", paths(FULL)[1:], ids=lambda own: ".".join(map(str, own)))
def test_object_that_is_none_is_named(path: tuple[Any, ...], odd: object) -> None:
    operation = json.loads(json.dumps(FULL))
    *way, last = path
    parent = operation
    for key in way:
        parent = parent[key]
    parent[last] = odd
    place = "".join(f"[{own}]" if isinstance(own, int) else f".{own}" for own in path)
    with pytest.raises(RequestError) as refused:
        check_form(operation)
    assert str(refused.value).startswith(f"{place.lstrip('.')} of the message")


def test_half_of_a_character_is_named_wherever_it_stands() -> None:
    for operation, place in (
        ({"requestId": "\ud800"}, "requestId"), ({"\udfff": 1}, r"'\udfff'"),
        ({"extraArgs": {"a": [0, "x\ud83d"]}}, "extraArgs.a[1]"),
    ):  # fmt: skip
        with pytest.raises(RequestError) as refused:
            check_form(operation)
        assert str(refused.value).startswith(f"{place} of the message holds half of a character")
