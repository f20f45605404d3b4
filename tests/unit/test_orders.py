"""The stand-in for Harmony makes the operations that Harmony makes."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import pytest
from orders import BadOrderError, Collection, order

OPERATIONS = Path(__file__).parents[3] / "shared" / "harmony" / "operations"
CAPTURED = sorted(
    path.stem for path in OPERATIONS.glob("*.json") if "request" in json.loads(path.read_text())
)
# Its Accept header was not written down.
UNTOLD = {"cov_accept_png"}
OF_THE_JOB = ("requestId", "user", "client", "accessToken", "stagingLocation", "_catalog",
              "_items", "_decrypted_token")  # fmt: skip
SST = {
    "id": "V1900000001-TESTPROV", "name": "sst", "fullPath": "sst", "type": "SCIENCE_VARIABLE",
    "relatedUrls": [
        {"url": "s3://virtual-stores/demo.icechunk", "urlContentType": "DistributionURL",
         "type": "GET DATA", "subtype": "VIRTUAL COLLECTION", "format": "Icechunk"}
    ],
    "visualizations": [],
}  # fmt: skip
KNOWN = {
    "C1900000001-TESTPROV": Collection(
        "C1900000001-TESTPROV", "VDS_DEMO", "1", {"sst": SST},
        [
            {"id": "V1900000003-TESTPROV", "name": "lat", "fullPath": "lat", "type": "COORDINATE",
             "subtype": "LATITUDE"},
            {"id": "V1900000004-TESTPROV", "name": "lon", "fullPath": "lon", "type": "COORDINATE",
             "subtype": "LONGITUDE"},
        ],
    )
}  # fmt: skip
RANGESET = "/C1900000001-TESTPROV/ogc-api-coverages/1.0.0/collections/all/coverage/rangeset"


def as_parameters(given: dict[str, Any]) -> list[tuple[str, str]]:
    lists = ((name, own if isinstance(own, list) else [own]) for name, own in given.items())
    return [(name, str(value)) for name, own in lists for value in own]


def planar(srs: dict[str, str] | None) -> list[float] | None:
    """Where a reference system puts some places, as its text may differ and it not."""
    if srs is None:
        return None
    crs = pyproj.CRS.from_user_input(srs["epsg"] or srs["wkt"] or srs["proj4"])
    places = pyproj.Transformer.from_crs(4326, crs, always_xy=True).transform(
        [0, 10, -60], [10, 50, 70]
    )
    return np.round(places, 3).tolist()


@pytest.mark.shared
@pytest.mark.parametrize("operation", sorted(set(CAPTURED) - UNTOLD))
def test_captured_request_makes_the_captured_operation(operation: str) -> None:
    captured = json.loads((OPERATIONS / f"{operation}.json").read_text())
    asked, wanted = captured["request"], captured["operation"]
    path = asked["url"].removeprefix("http://localhost:3000")
    made = order(path, as_parameters(asked["params"]), KNOWN, asked["shape"])
    got = made.operation
    for key in OF_THE_JOB:
        wanted.pop(key, None)
    shape = wanted["subset"].pop("shape", None)
    assert (made.shape is not None) == (shape is not None)
    assert made.uploaded == ("s3://" in str(shape))
    for own in (got, wanted):
        srs = own["format"].pop("srs", None)
        own["format"].pop("crs", None)
        own["placed"] = planar(srs)
        own["epsg"] = srs and srs["epsg"]
    assert got == wanted


def test_shape_across_the_antimeridian_is_cut_there() -> None:
    square = {"type": "Polygon",
              "coordinates": [[[170, -5], [190, -5], [190, 5], [170, 5], [170, -5]]]}  # fmt: skip
    made = order(RANGESET, [], KNOWN, json.dumps({"type": "Feature", "geometry": square}))
    assert made.shape is not None
    (feature,) = json.loads(made.shape)["features"]
    west = sorted(min(x for x, _ in part[0]) for part in feature["geometry"]["coordinates"])
    assert (feature["geometry"]["type"], west) == ("MultiPolygon", [-180, 170])


@pytest.mark.parametrize(
    ("path", "parameters"),
    [
        (RANGESET, [("colour", "red")]),
        (RANGESET, [("average", "sometimes")]),
        (RANGESET, [("point", "here")]),
        (RANGESET, [("outputCrs", "EPSG:nothing")]),
        (RANGESET.replace("/all/", "/salt/"), []),
        (RANGESET.replace("C19", "C20"), []),
    ],
)
def test_what_harmony_refuses_is_refused(path: str, parameters: list[tuple[str, str]]) -> None:
    with pytest.raises(BadOrderError):
        order(path, parameters, KNOWN)
