"""GeoJSON as people write it: what it means, what is mended, and what is refused and why."""

import json
from typing import Any

import numpy as np
import pytest
import shapely
from shapely import box

from harmony_vds.errors import RequestError, TooLargeError
from harmony_vds.model.shape import Shape
from harmony_vds.shapes.geojson import parse_shape

SQUARE = [[0, 0], [10, 0], [10, 10], [0, 10], [0, 0]]


def read(document: Any, most: int = 1_000_000) -> Shape:
    text = document if isinstance(document, bytes) else json.dumps(document).encode()
    return parse_shape(text, most)


def polygon(*rings: list[list[float]]) -> dict[str, Any]:
    return {"type": "Polygon", "coordinates": list(rings)}


def feature(geometry: Any, **more: Any) -> dict[str, Any]:
    return {"type": "Feature", "properties": {}, "geometry": geometry, **more}


def collection(*features: Any) -> dict[str, Any]:
    return {"type": "FeatureCollection", "features": list(features)}


def geometry(document: Any) -> shapely.Geometry:
    (own,) = read(document).features
    return own.geometry


def edges(own: Shape) -> tuple[float, ...]:
    return own.bbox.west, own.bbox.south, own.bbox.east, own.bbox.north


@pytest.mark.parametrize(
    "document",
    [polygon(SQUARE), feature(polygon(SQUARE)), collection(feature(polygon(SQUARE))),
     {"type": "MultiPolygon", "coordinates": [[SQUARE]]},
     {"type": "GeometryCollection", "geometries": [polygon(SQUARE)]},
     polygon(SQUARE[::-1]),  # the other way round
     polygon([[x, y, 100.0] for x, y in SQUARE]),  # with heights
     polygon([SQUARE[0], *SQUARE, SQUARE[-1]]),  # a position twice
     {**polygon(SQUARE), "crs": {"type": "name", "properties": {"name": "EPSG:4326"}}},
     {**polygon(SQUARE), "bbox": [0, 0, 10, 10], "foreign": {"any": [1]}},
     b"\xef\xbb\xbf" + json.dumps(polygon(SQUARE)).encode()],
)  # fmt: skip
def test_square_is_the_same_square_in_every_form(document: Any) -> None:
    assert shapely.equals(geometry(document), box(0, 0, 10, 10))
    assert read(document).notes == ()


def test_features_keep_their_names_and_those_without_geometry_are_left_out() -> None:
    own = read(collection(
        feature(polygon(SQUARE), id="basin-7"), feature(None, id="nowhere"),
        feature(polygon(SQUARE), properties={"Name": "Po"}), feature(polygon(SQUARE), id=12),
        feature({"type": "Polygon", "coordinates": []}), feature(polygon(SQUARE)),
    ))  # fmt: skip
    assert [own.name for own in own.features] == ["basin-7", "Po", "12", "6"]


def test_provenance_tells_a_short_document_whole_and_a_long_one_by_its_checksum() -> None:
    short = read(polygon(SQUARE))
    told = short.as_json()
    assert told["geojson"] == polygon(SQUARE)
    assert (told["features"], told["vertices"], told["bbox"]) == (1, 5, [0, 0, 10, 10])
    long = polygon([[x / 100, 0] for x in range(1000)] + [[5, 5], [0, 0]])
    assert "geojson" not in read(long).as_json()


def test_holes_are_left_out_whatever_way_they_turn() -> None:
    hole = [[2, 2], [4, 2], [4, 4], [2, 4], [2, 2]]
    for own in (hole, hole[::-1]):
        found = geometry(polygon(SQUARE, own))
        assert shapely.equals(found, box(0, 0, 10, 10).difference(box(2, 2, 4, 4)))


HALVES = shapely.union(box(170, -5, 180, 5), box(-180, -5, -170, 5))


@pytest.mark.parametrize(
    "ring",
    [[[170, -5], [190, -5], [190, 5], [170, 5], [170, -5]],  # beyond 180
     [[-190, -5], [-170, -5], [-170, 5], [-190, 5], [-190, -5]],  # beyond -180
     [[530, -5], [550, -5], [550, 5], [530, 5], [530, -5]],  # in another turn
     [[170, -5], [-170, -5], [-170, 5], [170, 5], [170, -5]],  # unsplit
     [[170, 5], [-170, 5], [-170, -5], [170, -5], [170, 5]],  # unsplit, the other way round
     [[180, -5], [-170, -5], [-170, 5], [180, 5], [170, 5], [170, -5], [180, -5]]],
)  # fmt: skip
def test_area_across_the_antimeridian_is_the_same_in_every_form(ring: list) -> None:
    assert shapely.equals(geometry(polygon(ring)), HALVES)
    assert edges(read(polygon(ring))) == (170, -5, -170, 5)


def test_split_area_across_the_antimeridian_has_the_narrow_box() -> None:
    halves = [[[[170, -5], [180, -5], [180, 5], [170, 5], [170, -5]]],
              [[[-180, -5], [-170, -5], [-170, 5], [-180, 5], [-180, -5]]]]  # fmt: skip
    own = read({"type": "MultiPolygon", "coordinates": halves})
    assert edges(own) == (170, -5, -170, 5)
    assert own.notes == ()


def test_hole_in_another_turn_than_its_outline_is_a_hole() -> None:
    outline = [[170, -5], [190, -5], [190, 5], [170, 5], [170, -5]]
    hole = [[-178, -1], [-176, -1], [-176, 1], [-178, 1], [-178, -1]]
    found = geometry(polygon(outline, hole))
    assert shapely.equals(found, HALVES.difference(box(-178, -1, -176, 1)))


def test_edge_that_goes_the_short_way_round_is_told() -> None:
    own = read(polygon([[170, -5], [-170, -5], [-170, 5], [170, 5], [170, -5]]))
    (note,) = own.notes
    assert "from longitude 170 to -170" in note
    assert "put a position in between" in note


@pytest.mark.parametrize(
    "ring",
    [[[0, 60], [120, 60], [-120, 60], [0, 60]], [[0, 60], [-120, 60], [120, 60], [0, 60]],
     [[-180, 60], [-90, 60], [0, 60], [90, 60], [180, 60], [-180, 60]],
     [[-180, 60], [180, 60], [180, 90], [-180, 90], [-180, 60]],
     [[0, 60], [120, 60], [240, 60], [360, 60]]],
)  # fmt: skip
def test_ring_around_the_pole_encloses_it(ring: list) -> None:
    found = geometry(polygon(ring))
    assert shapely.equals_exact(shapely.normalize(shapely.union_all([found])),
                                shapely.normalize(found))  # fmt: skip
    assert shapely.area(shapely.symmetric_difference(found, box(-180, 60, 180, 90))) < 1e-9


def test_ring_around_the_south_pole_encloses_that() -> None:
    found = geometry(polygon([[0, -70], [120, -60], [-120, -65], [0, -70]]))
    assert shapely.intersects(found, shapely.Point(77, -89.9))
    assert not shapely.intersects(found, shapely.Point(77, 0))


def test_ring_around_the_pole_with_a_hole_around_the_pole_is_a_belt() -> None:
    outer, inner = ([[0, y], [120, y], [-120, y], [0, y]] for y in (50, 70))
    found = geometry(polygon(outer, inner))
    assert shapely.area(shapely.symmetric_difference(found, box(-180, 50, 180, 70))) < 1e-9


def test_box_around_the_whole_earth_is_the_whole_earth() -> None:
    ring = [[-180, -90], [180, -90], [180, 90], [-180, 90], [-180, -90]]
    own = read(polygon(ring))
    assert shapely.equals(own.features[0].geometry, box(-180, -90, 180, 90))
    assert own.notes == ()
    east = [[0, -90], [360, -90], [360, 90], [0, 90], [0, -90]]
    assert shapely.area(geometry(polygon(east))) == pytest.approx(360 * 180)


def test_ring_that_crosses_itself_is_mended_and_told() -> None:
    own = read(polygon([[0, 0], [10, 10], [10, 0], [0, 10], [0, 0]]))
    triangles = shapely.union(
        shapely.Polygon([(0, 0), (0, 10), (5, 5)]), shapely.Polygon([(10, 0), (10, 10), (5, 5)])
    )
    assert shapely.equals(own.features[0].geometry, triangles)
    assert "Self-intersection[5 5]" in own.notes[0]


def test_outline_that_crosses_itself_all_over_is_refused_before_it_is_mended() -> None:
    some = np.random.default_rng(1).uniform(-40, 40, (20_000, 2)).tolist()
    with pytest.raises(RequestError, match=r"polygon 1 .* crosses itself.* about [\d,]{9,} cross"):
        read(polygon([*some, some[0]]))


def test_outlines_that_cross_themselves_are_counted_together() -> None:
    some = np.random.default_rng(2).uniform(-40, 40, (60, 2)).tolist()
    own = polygon([*some, some[0]])
    assert "not valid" in read(own).notes[0]
    with pytest.raises(RequestError, match=r"Feature \d, polygon 1 .* with those before it"):
        read(collection(*[feature(own)] * 9))


def test_outline_that_comes_back_to_one_place_again_and_again_is_refused() -> None:
    around = np.linspace(0, 2 * np.pi, 20_000, endpoint=False)
    spikes = np.stack([30 * np.cos(around), 30 * np.sin(around)], axis=1)
    star = np.zeros((2 * len(spikes) + 1, 2))
    star[1::2] = spikes
    with pytest.raises(RequestError, match=r"passes through one place 20,001 times"):
        read(polygon(star.tolist()))


def test_outline_of_many_positions_that_crosses_itself_once_is_mended() -> None:
    around = np.linspace(0, 2 * np.pi, 50_000)
    circle = np.stack([30 * np.cos(around), 30 * np.sin(around)], axis=1).tolist()
    circle[25_000] = [40.0, 0.0]  # beyond the other side
    own = read(polygon([*circle[:-1], circle[0]]))
    assert "Self-intersection" in own.notes[0]
    assert shapely.area(own.features[0].geometry) == pytest.approx(np.pi * 900, rel=1e-3)


def test_hole_beside_its_outline_takes_nothing_away_and_is_told() -> None:
    own = read(polygon(SQUARE, [[20, 0], [30, 0], [30, 10], [20, 0]]))
    assert shapely.equals(own.features[0].geometry, box(0, 0, 10, 10))
    assert "Hole lies outside shell" in own.notes[0]


def test_open_ring_is_closed_and_told() -> None:
    own = read(polygon(SQUARE[:-1]))
    assert shapely.equals(own.features[0].geometry, box(0, 0, 10, 10))
    assert "Feature 1, polygon 1, ring 1 of the shape was not closed" in own.notes[0]


def test_many_flaws_are_told_in_few_sentences() -> None:
    own = read(collection(*(feature(polygon(SQUARE[:-1])) for _ in range(20))))
    assert len(own.notes) == 6
    assert "15 more" in own.notes[-1]


def test_polygons_that_overlap_count_once() -> None:
    other = [[x + 5, y] for x, y in SQUARE]
    found = geometry({"type": "MultiPolygon", "coordinates": [[SQUARE], [other]]})
    assert shapely.equals(found, box(0, 0, 15, 10))


def test_area_without_width_counts_as_a_line() -> None:
    own = read(polygon([[0, 0], [10, 0], [20, 0], [0, 0]]))
    assert shapely.equals(own.features[0].geometry, shapely.LineString([(0, 0), (20, 0)]))
    assert "counts as a line" in " ".join(own.notes)


def test_lines_and_points_cross_the_antimeridian_too() -> None:
    line = geometry({"type": "LineString", "coordinates": [[170, 0], [190, 20]]})
    assert shapely.equals(
        line, shapely.MultiLineString([[(170, 0), (180, 10)], [(-180, 10), (-170, 20)]])
    )
    points = geometry({"type": "MultiPoint", "coordinates": [[190, 1], [-350, 2], [180, 3]]})
    assert shapely.equals(points, shapely.MultiPoint([(-170, 1), (10, 2), (180, 3)]))


def deep(levels: int) -> dict[str, Any]:
    own: dict[str, Any] = polygon(SQUARE)
    for _ in range(levels):
        own = {"type": "GeometryCollection", "geometries": [own]}
    return own


NESTED = b'{"type":"Polygon","coordinates":' + b"[" * 9000 + b"]" * 9000 + b"}"
UTM = {**polygon([[500000, 4000000]] * 4), "crs": {"properties": {"name": "EPSG:32618"}}}
BAD: list[tuple[str, Any, str]] = [
    ("nothing", b"", "is empty"),
    ("blanks", b"  \n", "is empty"),
    ("a zip file", b"PK\x03\x04", "a zip file"),
    ("KML", b"<?xml version='1.0'?><kml/>", "XML, perhaps KML"),
    ("an ESRI shapefile", b"\x00\x00\x27\x0a\x00", "ESRI shapefile"),
    ("gzip", b"\x1f\x8b\x08", "gzipped"),
    ("UTF-16", '{"type": "é"}'.encode("utf-16-le"), "no UTF-8|cannot be read"),
    ("Latin-1", b'{"type": "\xe9"}', r"no UTF-8 text \(byte 10\)"),
    ("WKT", b"POLYGON((0 0,1 0,1 1,0 0))", "begins with 'POLYGON"),
    ("a list", b"[[0, 0]]", "GeoJSON begins with {"),
    ("cut off", b'{"type": "Polygon", "coordinates": [[[0, 0', "truncated"),
    ("a comma too many", b'{"type": "Polygon",}', "malformed"),
    ("not a number", b'{"type": "Point", "coordinates": [NaN, 0]}', "invalid character"),
    ("no type", {"coordinates": [0, 0]}, "no member 'type'"),
    ("a type that is no text", {"type": 5}, "Expected str, got int at .type"),
    ("TopoJSON", {"type": "Topology", "objects": {}}, "geometry type 'Topology'"),
    ("an unknown geometry", {"type": "Circle", "coordinates": [0, 0]}, "'Circle'; known are Point"),
    ("no features", {"type": "FeatureCollection"}, "no list of features"),
    ("features no list", {"type": "FeatureCollection", "features": {}},
     "its features cannot"),
    ("an empty collection", collection(), "holds no geometry"),
    ("only null geometries", collection(feature(None)), "holds no geometry"),
    ("only empty geometries", polygon(), "holds no geometry"),
    ("a bare geometry as feature", collection(polygon(SQUARE)), "Feature 1 .*type 'Polygon'"),
    ("a feature without geometry", {"type": "Feature", "coordinates": [0, 0]}, "no geometry ar"),
    ("no coordinates", {"type": "Polygon"}, "Polygon, has no coordinates"),
    ("a number too few", polygon([[0], [1, 1], [2, 0], [0]]), r"position 1 has 1 number"),
    ("a text for a number", polygon([["0", 0]]), r"Expected float, got str at \[0\]\[0\]\[0\]"),
    ("a null for a number", polygon([[0, None]]), r"got null at \[0\]\[0\]\[1\]"),
    ("a truth for a number", polygon([[True, 0]]), "got bool"),
    ("a ring too little", polygon(SQUARE[0]), "Expected array, got int"),  # type: ignore[arg-type]
    ("a list too much", polygon([SQUARE]), "Expected float, got array"),  # type: ignore[list-item]
    ("two corners", polygon([[0, 0], [1, 1], [0, 0]]), "2 different position"),
    ("one corner", polygon([[0, 0]] * 5), "1 different position"),
    ("an empty ring", polygon(SQUARE, []), "ring 2 of the shape has 0 different"),
    ("a line of one place", {"type": "LineString", "coordinates": [[1, 1], [1, 1]]}, "two places"),
    ("latitude 95", polygon([[0, 0], [10, 0], [10, 95], [0, 0]]), "position 3 has the latitude 95"),
    ("swapped", {"type": "Point", "coordinates": [45, 120]}, "Positions are longitude, latitude"),
    ("longitude 721", {"type": "Point", "coordinates": [721, 0]}, "the longitude 721"),
    ("infinity", b'{"type": "Point", "coordinates": [1e999, 0]}', "out of range|longitude inf"),
    ("metres", polygon([[5000, 80], [5010, 80], [5010, 81], [5000, 80]]), "longitude 5000"),
    ("UTM", UTM, "coordinate system 'EPSG:32618'"),
    ("a crs that is a link", {**polygon(SQUARE), "crs": {"type": "link"}}, "coordinate system"),
    ("a hole larger than its outline",
     polygon(SQUARE, [[-1, -1], [11, -1], [11, 11], [-1, 11], [-1, -1]]), "leave nothing"),
    ("collections too deep", deep(12), "more than 8 deep"),
    ("lists too deep", NESTED, "nested too deeply"),
    ("the third of three", collection(feature(polygon(SQUARE)), feature(None),
     feature(polygon(SQUARE, [[0, 0], [1, 1], [0, 0]]))), "Feature 3, polygon 1, ring 2"),
]  # fmt: skip


@pytest.mark.parametrize("document, told", [own[1:] for own in BAD], ids=[own[0] for own in BAD])
def test_bad_document_is_refused_by_what_is_wrong_with_it(document: Any, told: str) -> None:
    with pytest.raises(RequestError, match=told) as caught:
        read(document)
    assert len(str(caught.value)) < 400


def test_too_many_positions_are_refused_before_they_are_parsed() -> None:
    text = b'{"type": "MultiPoint", "coordinates": [' + b"[0,0]," * 20000 + b"nonsense"
    with pytest.raises(TooLargeError, match=r"1,000 positions \(HARMONY_VDS_MAX_SHAPE_VERTICES\)"):
        read(text, 1000)


def test_as_many_positions_as_allowed_are_read_and_one_more_is_not() -> None:
    points = {"type": "MultiPoint", "coordinates": [[x / 10, 0] for x in range(1000)]}
    assert read(points, 1000).vertices == 1000
    with pytest.raises(TooLargeError):
        read(points, 999)
