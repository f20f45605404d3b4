"""Catalogues of inputs of every form lead to their items, or are refused by what is wrong."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from harmony_vds.errors import RequestError, UpstreamError
from harmony_vds.items import granules_of, items_below, read_catalog


@pytest.fixture(autouse=True)
def unstaged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a place for outputs, on which Harmony's library insists."""
    monkeypatch.setenv("ENV", "test")


def write(folder: Path, name: str, rels: dict[str, str] | None = None, **more: Any) -> str:
    """A catalogue; `rels` maps addresses to relations."""
    links = [{"rel": rel, "href": href} for href, rel in (rels or {}).items()]
    told = {"type": "Catalog", "stac_version": "1.0.0", "id": name, "description": name}
    (folder / name).write_text(json.dumps({**told, "links": links, **more}))
    return str(folder / name)


def item(folder: Path, name: str, **more: Any) -> str:
    day = {"datetime": "2024-01-03T00:00:00Z"}
    right = {"type": "Feature", "geometry": None, "bbox": [0, 0, 1, 1], "assets": {}}
    return write(folder, name, **{**right, "properties": day, **more})


def found(href: str) -> list[str]:
    return [own.id for own in items_below(read_catalog(href))]


def test_items_of_catalogues_below_and_behind_are_found_in_their_order(tmp_path: Path) -> None:
    for name in ("a", "b", "c", "d"):
        item(tmp_path, name)
    write(tmp_path, "below", {"./b": "item"})
    write(tmp_path, "deeper", {"./c": "item"})
    write(tmp_path, "second", {"./d": "item"})
    first = write(tmp_path, "first", {"./second": "next", "./a": "item", "./below": "child",
                                      "./deeper": "child"})  # fmt: skip
    assert found(first) == ["a", "b", "c", "d"]


@pytest.mark.parametrize("rel", ["next", "child"])
def test_catalogue_that_leads_to_itself_is_refused(rel: str, tmp_path: Path) -> None:
    alone = write(tmp_path, "alone", {"./alone": rel})
    write(tmp_path, "other", {"./one": rel})
    one = write(tmp_path, "one", {"./other": rel})
    for href in (alone, one):
        with pytest.raises(RequestError, match="leads to itself"):
            found(href)


@pytest.mark.parametrize(
    "href", ["http://169.254.169.254/x", "https://example.com/a.json", "file:///etc/hostname",
             "s3://bucket/a.json"],
)  # fmt: skip
@pytest.mark.parametrize("rel", ["item", "child", "next"])
def test_catalogue_that_leads_to_another_place_is_not_followed(
    rel: str, href: str, tmp_path: Path
) -> None:
    with pytest.raises(RequestError, match="leads elsewhere") as refused:
        found(write(tmp_path, "first", {href: rel}))
    assert href in str(refused.value)


@pytest.mark.parametrize("body", [None, b"", b"{", b"[]", b"5", b"\xff\xff", b"{}", b"[" * 9999])
def test_document_that_is_no_catalogue_is_named(body: bytes | None, tmp_path: Path) -> None:
    place = tmp_path / "inputs.json"
    if body is not None:
        place.write_bytes(body)
    for href in (str(place), write(tmp_path, "first", {"./inputs.json": "item"})):
        with pytest.raises(RequestError, match=r"inputs\.json are no STAC"):
            found(href)


def test_item_in_the_place_of_a_catalogue_and_the_other_way_round_is_told(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="no STAC"):
        read_catalog(item(tmp_path, "item"))
    write(tmp_path, "empty")
    with pytest.raises(RequestError, match="an item; it is none"):
        found(write(tmp_path, "first", {"./empty": "item"}))


@pytest.mark.parametrize(
    ("odd", "named"),
    [
        ({"properties": {}}, "no STAC"),
        ({"properties": {"datetime": "soon"}}, "no STAC"),
        ({"properties": {"datetime": None, "start_datetime": "x", "end_datetime": 5}}, "times of"),
        ({"assets": []}, "no STAC"), ({"assets": {"data": {}}}, "no STAC"),
        ({"assets": {"data": {"href": 5}}}, "no STAC"), ({"assets": {"data": None}}, "no STAC"),
        ({"bbox": ["a", None, 1, 1]}, "bbox of the input odd"),
        ({"bbox": [0, 0, float("inf"), 1]}, "bbox of the input odd"),
        ({"bbox": "0,0,1,1"}, "bbox of the input odd"), ({"bbox": [1]}, "bbox of the input odd"),
    ],
)  # fmt: skip
def test_item_with_a_field_of_another_form_is_refused(
    odd: dict[str, Any], named: str, tmp_path: Path
) -> None:
    item(tmp_path, "odd", **odd)
    catalog = read_catalog(write(tmp_path, "first", {"./odd": "item"}))
    with pytest.raises(RequestError, match=named):
        granules_of(items_below(catalog), ["C1-DEMO"])


def test_time_without_a_zone_is_in_utc(tmp_path: Path) -> None:
    item(tmp_path, "naive", properties={"datetime": "2024-01-03T12:00:00"})
    catalog = read_catalog(write(tmp_path, "first", {"./naive": "item"}))
    (granule,) = granules_of(items_below(catalog), ["C1-DEMO"])
    assert str(granule.temporal) == "2024-01-03T12:00:00Z/2024-01-03T12:00:00Z"


@pytest.fixture
def bucket(s3: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name, value in {
        "AWS_ENDPOINT_URL_S3": s3, "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    client = boto3.client("s3", region_name="us-west-2")
    client.create_bucket(
        Bucket="inputs", CreateBucketConfiguration={"LocationConstraint": "us-west-2"}
    )
    yield client
    client.close()


def test_trouble_of_the_bucket_may_pass(bucket: Any, tmp_path: Path) -> None:
    item(tmp_path, "there")
    bucket.put_object(Bucket="inputs", Key="there", Body=(tmp_path / "there").read_bytes())
    for rel in ("there", "gone"):
        href = write(tmp_path, f"to-{rel}", {f"./{rel}": "item"})
        bucket.put_object(Bucket="inputs", Key=f"to-{rel}", Body=Path(href).read_bytes())
    assert found("s3://inputs/to-there") == ["there"]
    for href in ("s3://inputs/nowhere", "s3://inputs/to-gone"):
        with pytest.raises(UpstreamError, match="cannot be fetched"):
            found(href)
