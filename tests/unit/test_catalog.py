"""STAC in the form that Harmony turns into links."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from jsonschema import Draft7Validator

from harmony_vds.catalog import output_catalog, stac_bbox
from harmony_vds.model.extent import BoundingBox, TimeRange
from harmony_vds.model.output import Output
from harmony_vds.model.plan import Cost, Plan
from harmony_vds.model.store import ManifestFormat, StoreLocation
from harmony_vds.staging import StagedOutput

SCHEMA = Path(__file__).parents[3] / "shared" / "schemas" / "stac" / "file.json"
START, END = datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 31, 12, tzinfo=UTC)


def staged(name: str, box: BoundingBox) -> StagedOutput:
    output = Output(
        Path(name), "application/netcdf", box, TimeRange(START, END), 1234, "ab" * 32, 2, "t"
    )
    return StagedOutput(name, f"s3://staging/public/job/7/{name}", output)


def plan() -> Plan:
    location = StoreLocation("https://h.example.com/s", ManifestFormat.ICECHUNK, "SNAP")
    return Plan(location, (), {}, (), (), None, {}, (), Cost(9, 3, 4096, 1, 1, 1, 1, 2))


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((-10, -5, 10, 5), [-10, -5, 10, 5]),
        ((170, -5, 190, 5), [170, -5, -170, 5]),
        ((170, -5, -170, 5), [170, -5, -170, 5]),
        ((190, -5, 200, 5), [-170, -5, -160, 5]),
        ((0, -90, 360, 90), [-180, -90, 180, 90]),
        ((20, -90, 380, 90), [-180, -90, 180, 90]),
        ((0, -5, 180, 5), [0, -5, 180, 5]),
        ((170, -5, 180, 5), [170, -5, 180, 5]),
        ((-180, -5, -170, 5), [-180, -5, -170, 5]),
        ((350, -5, 359, 5), [-10, -5, -1, 5]),
        ((350, -5, 370, 5), [-10, -5, 10, 5]),
    ],
)
def test_box_is_given_in_the_longitudes_of_stac(
    box: tuple[float, ...], expected: list[float]
) -> None:
    assert stac_bbox(BoundingBox(*box)) == expected


def test_catalogue_is_flat_and_each_item_is_complete() -> None:
    boxes = [BoundingBox(-10, -5, 10, 5), BoundingBox(170, -5, 190, 5)]
    outputs = [staged(f"{name}.nc4", box) for name, box in zip("ab", boxes, strict=True)]
    catalog = output_catalog(outputs, [plan(), plan()], "request-1")
    assert list(catalog.get_children()) == []
    items = list(catalog.get_items())
    assert [item.id for item in items] == ["a", "b"]
    for item, own in zip(items, outputs, strict=True):
        told = item.to_dict()
        assert told["bbox"] is not None
        assert told["geometry"]["type"] in ("Polygon", "MultiPolygon")
        assert told["properties"]["start_datetime"] == "2024-01-01T00:00:00Z"
        assert told["properties"]["end_datetime"] == "2024-01-31T12:00:00Z"
        assert list(told["assets"]) == ["data"]
        asset = told["assets"]["data"]
        assert (asset["href"], asset["title"], asset["type"], asset["roles"]) == (
            own.href, own.name, "application/netcdf", ["data"],
        )  # fmt: skip
        assert (asset["file:size"], asset["file:checksum"]) == (1234, "1220" + "ab" * 32)
    assert items[1].geometry["type"] == "MultiPolygon"


@pytest.mark.parametrize("name", ["my_catalog.nc4", "CATALOG.nc4", "data.Catalog.nc4"])
def test_item_id_never_ends_in_catalog(name: str) -> None:
    (item,) = output_catalog([staged(name, BoundingBox(0, 0, 1, 1))], [plan()], "r").get_items()
    assert not item.id.lower().endswith("catalog")
    assert "/" not in item.id


@pytest.mark.shared
def test_item_is_valid_against_the_file_extension() -> None:
    (item,) = output_catalog([staged("a.nc4", BoundingBox(0, 0, 1, 1))], [plan()], "r").get_items()
    told = item.to_dict()
    validator = Draft7Validator(json.loads(SCHEMA.read_text()))
    assert list(validator.iter_errors(told)) == []
    told["assets"]["data"]["file:size"] = "large"
    assert list(validator.iter_errors(told)) != []
