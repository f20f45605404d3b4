"""Granules as CMR really records them: what they name, when and where they are."""

import copy
import json
import re
from typing import Any

import pytest
from conftest import REPOSITORY
from unit.test_placements import validator

from harmony_vds.access.buckets import learn_twins
from harmony_vds.access.trust import Address
from harmony_vds.discovery.cmr import Record
from harmony_vds.discovery.placements.granule import data_hrefs
from harmony_vds.discovery.shares import Linked, store_shares

RECORDS = REPOSITORY.parent / "shared" / "umm"
pytestmark = pytest.mark.shared


def real_items() -> list[Any]:
    found = []
    for path in sorted(RECORDS.glob("granule*.json")):
        told = json.loads(path.read_text())
        told = told.get("data", told)
        for number, item in enumerate(told.get("items", [told])):
            found.append(pytest.param(item, id=f"{path.stem[:24]}-{number}"))
    return found


every_item = pytest.mark.parametrize("item", real_items())


def linked(item: dict[str, Any]) -> Linked:
    return Linked.of_record(Record(umm=item["umm"], meta=item["meta"]))


@every_item
def test_real_record_names_no_store_and_its_files_are_found(item: dict[str, Any]) -> None:
    own = linked(item)
    assert own.stores == ()
    assert own.granule.concept_id.startswith("G")
    urls = {entry["URL"].strip() for entry in item["umm"]["RelatedUrls"]}
    assert {link.url for link in own.links} == urls
    https, direct = data_hrefs(own.links)
    assert https
    assert {*https, *direct} <= urls
    for sidecar in own.sidecars:
        assert sidecar.data_href is not None
        assert not sidecar.data_href.endswith(".dmrpp")


@every_item
def test_real_record_tells_when_its_data_are_of(item: dict[str, Any]) -> None:
    temporal = linked(item).granule.temporal
    assert temporal is not None
    assert temporal.start is not None
    assert temporal.end is not None
    span = item["umm"]["TemporalExtent"]["RangeDateTime"]
    assert temporal.start.isoformat()[:19] == span["BeginningDateTime"][:19]
    assert temporal.end.isoformat()[:19] == span["EndingDateTime"][:19]
    assert temporal.start <= temporal.end


@every_item
def test_real_record_in_one_piece_tells_where_its_data_are_of(item: dict[str, Any]) -> None:
    domain = item["umm"]["SpatialExtent"]["HorizontalSpatialDomain"]
    geometry, box = domain.get("Geometry") or {}, linked(item).granule.bbox
    rectangles = geometry.get("BoundingRectangles") or []
    points = [
        point for polygon in geometry.get("GPolygons") or []
        for point in polygon["Boundary"]["Points"]
    ]  # fmt: skip
    if len(rectangles) > 1 or not (rectangles or points):
        assert box is None
        return
    assert box is not None
    if rectangles:
        assert box.west == rectangles[0]["WestBoundingCoordinate"]
        assert box.north == rectangles[0]["NorthBoundingCoordinate"]
    for point in points:
        assert box.west <= point["Longitude"] <= box.east
        assert box.south <= point["Latitude"] <= box.north


@every_item
def test_pairs_of_real_links_teach_the_https_form_of_each_bucket(item: dict[str, Any]) -> None:
    """Also where another folder stands in the place of the bucket, as at GES DISC."""
    https, direct = data_hrefs(linked(item).links)
    twins = learn_twins(https, direct)
    assert bool(twins) == bool(direct)
    for url in direct:
        name = url.rpartition("/")[2]
        (wanted,) = [own for own in https if own.rpartition("/")[2] == name]
        assert str(twins[0].of(Address.of(url))) == wanted


@every_item
def test_stores_added_to_a_real_record_are_told_apart_as_its_own_and_its_stack(
    item: dict[str, Any],
) -> None:
    """Entries as archives write them, in a copy: synthetic."""
    item = copy.deepcopy(item)
    data = data_hrefs(linked(item).links)[0][0]
    stem = re.sub(r"\.[A-Za-z0-9]+$", "", data)
    stack = f"{data.rpartition('/')[0]}/STACK_OF_MANY.zarr.json.gz"
    before = {error.message for error in validator("granule", "g").iter_errors(item["umm"])}
    item["umm"]["RelatedUrls"] += [
        {"URL": f"{stem}.zarr.json.gz", "Type": "GET DATA", "Format": "Zarr"},
        {"URL": stack, "Type": "GET DATA", "Format": "Zarr"},
    ]
    after = {error.message for error in validator("granule", "g").iter_errors(item["umm"])}
    assert after == before  # they are no fault by the schema
    own = linked(item)
    assert [(found.href, bool(found.granule)) for found in own.stores] == [
        (f"{stem}.zarr.json.gz", bool(re.search(r"\.(nc|h5|hdf|HDF5|grb)$", data))), (stack, False),
    ]  # fmt: skip
    ways = store_shares([own], stacks_first=True)
    assert stack in [found.href for found in ways[0][0].candidates]
