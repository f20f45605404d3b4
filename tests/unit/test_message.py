"""Harmony messages, captured and malformed, into requests."""

import base64
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from harmony_service_lib.message import Message
from harmony_service_lib.util import create_decrypter
from invocation import SHARED_SECRET, make_message

from harmony_vds.errors import RequestError
from harmony_vds.message import request_from_message
from harmony_vds.model.extent import BoundingBox, TimeRange
from harmony_vds.model.moment import parse_moment
from harmony_vds.model.request import DimensionRange, Request
from harmony_vds.planning.guard import refuse_unsupported

OPERATIONS = Path(__file__).parents[3] / "shared" / "harmony" / "operations"


def captured(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A captured operation as the service got it, and the query parameters that caused it."""
    document = json.loads((OPERATIONS / f"{name}.json").read_text())
    operation = document.get("operation", document)
    asked = {key: value for key, value in operation.items() if not key.startswith("_")}
    return asked, (document.get("request") or {}).get("params") or {}


def parse(message: dict[str, Any]) -> Request:
    return request_from_message(Message(message, create_decrypter(SHARED_SECRET.encode())))


def instants(start: str | None, end: str | None) -> TimeRange:
    return TimeRange(
        None if start is None else datetime.fromisoformat(start),
        None if end is None else datetime.fromisoformat(end),
    )


def subset_box(params: dict[str, Any]) -> list[float] | None:
    """The box that the query's ``lat(…)`` and ``lon(…)``, or ``bbox``, ask for."""
    if "bbox" in params and params.get("service") != "WMS":
        edges = [float(text) for text in params["bbox"].split(",")]
        return edges if len(edges) == 4 else [edges[0], edges[1], edges[3], edges[4]]
    sides: dict[str, list[str]] = {}
    for text in params.get("subset") or () if isinstance(params.get("subset"), list) else ():
        name, _, rest = text.partition("(")
        if name in ("lat", "lon"):
            sides[name] = rest.rstrip(")").split(":")
    if not sides:
        return None
    west, east = sides.get("lon", ["*", "*"])
    south, north = sides.get("lat", ["*", "*"])
    outer = zip((west, south, east, north), (-180, -90, 180, 90), strict=True)
    return [float(default if text == "*" else text) for text, default in outer]


# Times and ranges as the query parameters of each operation say them.
TIMES = {
    "cov_time_open_end": ("2020-01-01T00:00:00+00:00", None),
    "cov_time_single": ("2020-01-01T12:00:00+00:00", "2020-01-01T12:00:00+00:00"),
    "cov_fail_noretry": ("1998-01-01T00:00:00+00:00", "1998-01-02T00:00:00+00:00"),
    "cov_warning_nodata": ("1999-01-01T00:00:00+00:00", "1999-01-02T00:00:00+00:00"),
    "edr_cube": ("2020-01-01T00:00:00+00:00", None),
    "edr_datetime_instant": ("2020-01-01T00:00:00+00:00", None),
    "edr_position_point": ("2020-01-01T00:00:00+00:00", "2020-01-02T00:00:00+00:00"),
}
DIMENSIONS = {
    "cov_dimension_open": (DimensionRange("lev", None, 5.0), DimensionRange("band", 1.0, 1.0)),
    "edr_cube_z": (DimensionRange("lev", 0.0, 100.0),),
}
NAMES = sorted(path.stem for path in OPERATIONS.glob("*.json"))


@pytest.mark.shared
@pytest.mark.parametrize("name", NAMES)
def test_captured_operation_becomes_the_request_that_was_asked(name: str) -> None:
    message, params = captured(name)
    request = parse(message)
    assert [own.collection for own in request.sources] == [
        own["collection"] for own in message["sources"]
    ]
    named = name in ("cov_concept_id_variable", "cov_path_variable", "wms_getmap")
    named |= name.startswith("cov_average") or "parameter-name" in params
    assert [list(own.variables) for own in request.sources] == [["sst"] if named else []]
    box = [-10, -5, 10, 5] if name.startswith("chain_querycmr") else subset_box(params)
    assert request.bbox == (None if box is None else BoundingBox(*box))
    assert request.temporal == (instants(*TIMES[name]) if name in TIMES else None)
    assert request.dimensions == DIMENSIONS.get(name, ())
    point = (10.5, -20.25) if name in ("cov_point", "edr_position_point") else None
    assert request.point == point
    assert (request.shape is not None) == ("shape" in message["subset"])
    assert request.average == params.get("average")
    assert request.pixel_subset == (params.get("pixelSubset") == "true")
    assert request.synchronous == (name == "wms_getmap")
    assert request.is_map_image == (name == "wms_getmap")


@pytest.mark.shared
def test_captured_operation_with_grid_keeps_every_part_of_it() -> None:
    message, _ = captured("cov_crs_3857_grid")
    target = parse(message).target
    assert target is not None
    assert target.crs == "EPSG:3857"
    assert target.interpolation == "bilinear"
    assert target.scale_extent == (-1e6, -1e6, 1e6, 1e6)
    assert (target.width, target.height) == (100, 80)
    sized = parse(captured("cov_crs_proj4")[0]).target
    assert sized is not None
    assert sized.scale_size == (25000.0, 25000.0)
    assert sized.crs.startswith("+proj=laea") or "Lambert" in sized.crs


@pytest.mark.shared
def test_captured_map_operation_keeps_its_box_in_map_units() -> None:
    request = parse(captured("wms_getmap")[0])
    assert request.bbox is None
    assert request.map_box == (-1e6, -1e6, 1e6, 1e6)


@pytest.mark.shared
@pytest.mark.parametrize("name", NAMES)
def test_captured_operation_asks_for_nothing_that_is_never_done(name: str) -> None:
    refuse_unsupported(parse(captured(name)[0]))


def test_empty_list_of_variables_means_all() -> None:
    assert parse(make_message("C1-T", variables=[])).sources[0].variables == ()
    assert parse(make_message("C1-T")).sources[0].variables == ()


def test_full_path_of_a_variable_wins_over_its_name_and_repeats_are_dropped() -> None:
    message = make_message("C1-T", variables=["a"])
    message["sources"][0]["variables"] = [
        {"id": "V1-T", "name": "no2", "fullPath": "/product/no2"},
        {"id": "V2-T", "name": "/product/no2"},
        {"id": "V3-T", "name": "qa"},
    ]
    assert parse(message).sources[0].variables == ("/product/no2", "qa")


def test_variable_without_name_is_refused_because_none_would_mean_all() -> None:
    message = make_message("C1-T", variables=["a"])
    message["sources"][0]["variables"] = [{"id": "V1-T"}]
    with pytest.raises(RequestError, match="V1-T"):
        parse(message)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"sources": []}, "no collection"),
        ({"sources": [{"shortName": "X"}]}, "collection id"),
        ({"subset": {"bbox": [1, 2, 3]}}, "subset.bbox"),
        ({"subset": {"bbox": [1, 2, 3, "x"]}}, "subset.bbox"),
        ({"subset": {"bbox": [1, 2, 3, None]}}, "subset.bbox"),
        ({"subset": {"bbox": [1, 2, 3, float("nan")]}}, "bounding box"),
        ({"subset": {"bbox": [0, 10, 5, -10]}}, "bounding box"),
        ({"subset": {"bbox": [0, 95, 5, 99]}}, "bounding box"),
        ({"subset": {"bbox": [0, 0, 1e6, 1]}}, "bounding box"),
        ({"subset": {"point": [1]}}, "subset.point"),
        ({"subset": {"point": ["a", 1]}}, "subset.point"),
        ({"subset": {"dimensions": [{"name": "lev", "min": "x"}]}}, "subset.dimensions"),
        ({"temporal": {"start": "yesterday"}}, "temporal.start"),
        ({"temporal": {"end": "2020-13-01"}}, "temporal.end"),
        ({"temporal": {"start": 5}}, "temporal.start"),
        ({"temporal": {"start": "0001-01-01T00:00:00+14:00"}}, "temporal.start"),
        ({"temporal": {"start": "2020-01-02", "end": "2020-01-01"}}, "time range"),
        ({"format": {"scaleExtent": {"x": {"min": 0, "max": 1}}}}, "format.scaleExtent"),
        ({"format": {"scaleExtent": {"x": {"min": 0}, "y": {"min": 0}}}}, "format.scaleExtent"),
        ({"format": {"scaleSize": {"x": 1}}}, "format.scaleSize"),
    ],
)  # fmt: skip
def test_unusable_field_is_refused_by_its_name(change: dict[str, Any], named: str) -> None:
    with pytest.raises(RequestError, match=named):
        parse({**make_message("C1-T"), **change})


@pytest.mark.parametrize(
    "mime",
    ["application/netcdf", "application/netcdf4", "application/x-netcdf", "application/x-netcdf4",
     "*/*", "", None],
)  # fmt: skip
def test_every_spelling_of_netcdf_is_netcdf(mime: str | None) -> None:
    message = {**make_message("C1-T"), "format": {} if mime is None else {"mime": mime}}
    assert parse(message).media_type == "application/netcdf"


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2020-01-01T00:00:00.000Z", datetime(2020, 1, 1, tzinfo=UTC)),
        ("2020-01-01", datetime(2020, 1, 1, tzinfo=UTC)),
        ("2020-01-01T12:30:00", datetime(2020, 1, 1, 12, 30, tzinfo=UTC)),
        ("2020-01-01T02:00:00+02:00", datetime(2020, 1, 1, tzinfo=UTC)),
        ("20200101T000000Z", datetime(2020, 1, 1, tzinfo=UTC)),
    ],
)
def test_instants_are_read_as_utc(text: str, moment: datetime) -> None:
    assert parse_moment("temporal.start", text) == moment


def test_request_holds_no_token() -> None:
    message = make_message("C1-T", token="canary-in-message")
    sealed = message["accessToken"]
    told = repr(parse(message))
    assert "canary-in-message" not in told
    assert sealed not in told
    assert base64.b64encode(b"canary-in-message").decode() not in told


@pytest.mark.parametrize(("stated", "kept"), [(96, 96), (0, None), (-3, None), (None, None)])
def test_resolution_of_a_map_is_kept_where_it_can_be_one(stated: object, kept: int | None) -> None:
    form = {"mime": "image/png", "isTransparent": False, "dpi": stated}
    assert parse(make_message("C1-T", format=form)).dpi == kept
