"""Messages that ask for what cannot be: each a good one with one thing changed.

The store behind them holds five days of global fields of 36 by 72 cells, ``analysed_sst`` and
``mask``, from 2024-01-02 on.
"""

# ruff: noqa: E501  one case a line

import json
from collections.abc import Callable
from typing import Any

type Message = dict[str, Any]
type Change = Callable[[Message], object]


def changed(**own: Any) -> Change:
    return lambda message: message.update(own)


def subset(**own: Any) -> Change:
    return lambda message: message["subset"].update(own)


def boxed(*own: Any) -> Change:
    return subset(bbox=list(own))


def timed(start: Any = None, end: Any = None) -> Change:
    given = {"start": start, "end": end}
    return lambda message: message.update(
        temporal={k: v for k, v in given.items() if v is not None}
    )


def ranged(**own: Any) -> Change:
    return subset(dimensions=[own])


def named(*names: Any) -> Change:
    """Variables by name."""
    listed = [{"id": "V1", "name": own, "fullPath": own} for own in names]
    return lambda message: message["sources"][0].update(variables=listed)


def formed(**own: Any) -> Change:
    return lambda message: message["format"].update(own)


def sourced(**own: Any) -> Change:
    return lambda message: message["sources"][0].update(own)


def both(*changes: Change) -> Change:
    return lambda message: [own(message) for own in changes]


def shaped(document: Any) -> Change:
    """A shape of its own, for the test to put into a file."""
    text = document if isinstance(document, str) else json.dumps(document)
    return changed(shape_text=text)


def nested(depth: int) -> dict[str, Any]:
    """Collections in collections."""
    inner: dict[str, Any] = {"type": "Point", "coordinates": [0, 0]}
    for _ in range(depth):
        inner = {"type": "GeometryCollection", "geometries": [inner]}
    return inner


def ring(*positions: Any) -> dict[str, Any]:
    return {"type": "Polygon", "coordinates": [list(positions)]}


SQUARE = ((0, 0), (10, 0), (10, 10), (0, 10), (0, 0))

NO_RETRY: dict[str, Change] = {
    # -- the collection ---------------------------------------------------------------------------
    "names no collection": changed(sources=[]),
    "has no collection id": sourced(collection=""),
    "shows no collection C99-NOWHERE": sourced(collection="C99-NOWHERE"),
    r"C2-BARE.*no virtual store": sourced(collection="C2-BARE"),
    r"exactly one output, and this one asks for 2 collections": lambda m: m.update(isSynchronous=True, sources=m["sources"] * 2),
    # -- variables --------------------------------------------------------------------------------
    r"holds no variable 'sst'; it holds .*analysed_sst": named("sst"),
    r"holds no variable 'Analysed_SST'": named("Analysed_SST"),
    r"holds no variable 'group/mask/x'": named("group/mask/x"),
    r"holds no variable '\*'": named("*"),
    r"holds no variable 'mask;drop'": named("mask", "mask;drop"),
    r"A variable of the message has no name \(id 'V1'\)": named(""),
    # -- boxes ------------------------------------------------------------------------------------
    r"subset\.bbox should hold 4 numbers and holds \[1, 2, 3\]": boxed(1, 2, 3),
    r"subset\.bbox should hold 4 numbers and holds \[1, 2, 3, 4, 5\]": boxed(1, 2, 3, 4, 5),
    r"subset\.bbox should hold 4 numbers and holds \['a', 'b', 'c', 'd'\]": boxed("a", "b", "c", "d"),
    r"subset\.bbox should hold 4 numbers and holds \[None, 0, 1, 1\]": boxed(None, 0, 1, 1),
    r"bounding box \[nan, 0, 1, 1\] holds a value that is not a number": boxed(float("nan"), 0, 1, 1),
    r"bounding box \[0, 0, inf, 1\] holds a value": boxed(0, 0, float("inf"), 1),
    r"bounding box \[0, 50, 10, 40\] has its southern edge north": boxed(0, 50, 10, 40),
    r"bounding box \[0, 91, 10, 95\] lies beyond the poles": boxed(0, 91, 10, 95),
    r"bounding box \[0, -99, 10, -95\] lies beyond the poles": boxed(0, -99, 10, -95),
    r"bounding box \[-1000, 0, 10, 5\] has a longitude beyond two turns": boxed(-1000, 0, 10, 5),
    # -- times ------------------------------------------------------------------------------------
    r"temporal\.start is 'yesterday', which is no ISO 8601": timed("yesterday"),
    r"temporal\.end is '2024-13-01T00:00:00Z'": timed("2024-01-01T00:00:00Z", "2024-13-01T00:00:00Z"),
    r"temporal\.start is '2024-02-30T00:00:00Z'": timed("2024-02-30T00:00:00Z"),
    r"temporal\.start is '2023-02-29'": timed("2023-02-29"),
    r"temporal\.start is '0000-01-01T00:00:00Z'": timed("0000-01-01T00:00:00Z"),
    r"temporal\.end is '10000-01-01T00:00:00Z'": timed(None, "10000-01-01T00:00:00Z"),
    r"temporal\.end is '2016-12-31T23:59:60Z'": timed(None, "2016-12-31T23:59:60Z"),
    r"temporal\.start is '2024-01-01T25:00:00Z'": timed("2024-01-01T25:00:00Z"),
    r"temporal\.start is '2024-01-01T00:00:00\+99:00'": timed("2024-01-01T00:00:00+99:00"),
    r"temporal\.start is '1\.7e9'": timed("1.7e9"),
    r"temporal\.start is 20240101": timed(20240101),
    r"2024-01-05T00:00:00Z/2024-01-03T00:00:00Z ends before it starts": timed("2024-01-05T00:00:00Z", "2024-01-03T00:00:00Z"),
    # -- dimensions -------------------------------------------------------------------------------
    r"has a dimension 'lev'": ranged(name="lev", min=1, max=2),
    r"has a dimension 'depth'": ranged(name="depth"),
    r"range lat\(50:40\) has its lower side above": ranged(name="lat", min=50, max=40),
    r"subset\.dimensions should hold 1 numbers and holds \['low'\]": ranged(name="lat", min="low"),
    r"range of time would cut": ranged(name="time", min=0, max=10**10),
    # -- points -----------------------------------------------------------------------------------
    r"subset\.point should hold 2 numbers and holds \[1\]": subset(point=[1]),
    r"subset\.point should hold 2 numbers and holds \[1, 2, 3\]": subset(point=[1, 2, 3]),
    r"subset\.point should hold 2 numbers and holds \['x', 'y'\]": subset(point=["x", "y"]),
    r"place \(0, 95\) lies beyond the poles": subset(point=[0, 95]),
    r"place \(nan, 5\) holds a value that is not a number": subset(point=[float("nan"), 5]),
    r"place \(900, 5\) lies beyond two turns": subset(point=[900, 5]),
    # -- averages, formats and what else is asked -------------------------------------------------
    r"average='median' is neither": changed(average="median"),
    r"average='TIME' is neither": changed(average="TIME"),
    r"format 'image/gif' is not written": formed(mime="image/gif"),
    r"format 'text/html' is not written": formed(mime="text/html"),
    r"format 'application/x-netcdf4;profile=opendap_url' is not written": formed(mime="application/x-netcdf4;profile=opendap_url"),
    r"format 'nonsense' is not written": formed(mime="nonsense"),
    r"Extending dimensions is not done": changed(extendDimensions=["time"]),
    r"format\.scaleExtent should hold ranges of both x and y": formed(scaleExtent={"x": {"min": 0, "max": 1}}),
    r"format\.scaleExtent should hold 4 numbers": formed(scaleExtent={"x": {"min": 0, "max": "b"}, "y": {"min": 0, "max": 1}}),
    r"format\.scaleSize should hold 2 numbers": formed(scaleSize={"x": "a", "y": 1}),
    # -- shapes -----------------------------------------------------------------------------------
    r"JSON is malformed: object keys": shaped("{nothing"),
    "holds no geometry": shaped({"type": "FeatureCollection", "features": []}),
    "The shape is empty": shaped(""),
    r"The shape begins with '\[1, 2\]'": shaped("[1, 2]"),
    "The shape is .*KML": shaped('<?xml version="1.0"?><kml></kml>'),
    "no member 'type'": shaped({"coordinates": [1, 2]}),
    "Feature 1 of the shape has the type 'Polygon'": shaped({"type": "FeatureCollection", "features": [ring(*SQUARE)]}),
    "has no list of features": shaped({"type": "FeatureCollection"}),
    "has the geometry type 'Circle'": shaped({"type": "Circle", "coordinates": [0, 0]}),
    "a Polygon, has no coordinates": shaped({"type": "Polygon"}),
    r"different position\(s\); a ring needs three": shaped(ring((0, 0), (1, 1), (0, 0))),
    r"all in one place; a line needs two": shaped({"type": "LineString", "coordinates": [[1, 1], [1, 1]]}),
    r"position 1 has 1 number": shaped({"type": "Point", "coordinates": [1]}),
    r"position 1 has the latitude 95": shaped({"type": "Point", "coordinates": [1, 95]}),
    r"position 3 has the longitude 1000": shaped(ring((0, 0), (0, 1), (1000, 1), (0, 0))),
    "its holes leave nothing": shaped({"type": "Polygon", "coordinates": [SQUARE, SQUARE]}),
    "coordinate system 'urn:ogc:def:crs:EPSG::3857'": shaped({**ring(*SQUARE), "crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::3857"}}}),
    "holds coordinates, but no geometry": shaped({"type": "Feature", "coordinates": [0, 0], "geometry": None}),
    "geometry collections more than": shaped(nested(40)),
    "coordinates of its Polygon.*cannot be read": shaped({"type": "Polygon", "coordinates": "here"}),
    "coordinates of its MultiPolygon.*cannot be read": shaped({"type": "MultiPolygon", "coordinates": [[1, 2]]}),
    "coordinates of its Point of the shape cannot be read": shaped({"type": "Point", "coordinates": ["a", "b"]}),
    "has no list of geometries": shaped({"type": "GeometryCollection"}),
    "The shape: file:///etc/hostname is not read": subset(shape={"href": "file:///etc/hostname", "type": "application/geo+json"}),
    "The shape: http://127.0.0.1:9/x is not read": subset(shape={"href": "http://127.0.0.1:9/x", "type": "application/geo+json"}),
    "The shape is gone": subset(shape={"href": "file:///tmp/shapefile.json", "type": "application/geo+json"}),
    # -- fields of other kinds --------------------------------------------------------------------
    r"subset\.bbox .*'0,0,10,10'": subset(bbox="0,0,10,10"),
    r"subset\.bbox .*\{'west': 0\}": subset(bbox={"west": 0}),
    r"subset\.bbox .*\[\[0, 0\], \[1, 1\], 2, 3\]": subset(bbox=[[0, 0], [1, 1], 2, 3]),
    r"subset\.bbox .*True": subset(bbox=[True, "no", None, {}]),
    r"subset\.point .*'10,20'": subset(point="10,20"),
    r"subset\.point .*\{'x': 1\}": subset(point={"x": 1}),
    r"subset\.dimensions .*\[\[1\]\]": ranged(name="lat", min=[1]),
    r"subset\.dimensions .*\['5S'\]": ranged(name="lat", max="5S"),
    r"format\.scaleSize .*\[None, 1\]": formed(scaleSize={"x": None, "y": 1}),
    r"format\.scaleExtent .*'a'": formed(scaleExtent={"x": {"min": "a", "max": 1}, "y": {"min": 0, "max": 1}}),
    # -- more of the same, as people and programs write it ----------------------------------------
    r"temporal\.start is 'now'": timed("now"),
    r"temporal\.start is 'P1D'": timed("P1D"),
    r"temporal\.start is '2024-W60-1'": timed("2024-W60-1"),
    r"temporal\.start is '12:00:00'": timed("12:00:00"),
    r"temporal\.start is '2024-1-1'": timed("2024-1-1"),
    r"temporal\.start is '24-01-01'": timed("24-01-01"),
    r"temporal\.start is '2024-06-31'": timed("2024-06-31"),
    r"temporal\.start is '2024-00-10'": timed("2024-00-10"),
    r"temporal\.start is '01/02/2024'": timed("01/02/2024"),
    r"temporal\.start is '2024-01-01T00:61:00Z'": timed("2024-01-01T00:61:00Z"),
    r"temporal\.start is '-2024-01-01T00:00:00Z'": timed("-2024-01-01T00:00:00Z"),
    r"temporal\.end is '2024-01-01T00:00:00Z/\.\.'": timed(None, "2024-01-01T00:00:00Z/.."),
    r"temporal\.end is \['2024-01-01'\]": timed(None, ["2024-01-01"]),
    r"temporal\.end is True": timed(None, True),
    r"holds no variable 'analysed sst'": named("analysed sst"),
    r"holds no variable 'analysed_sst,mask'": named("analysed_sst,mask"),
    r"holds no variable 'ANALYSED_SST'.*analysed_sst": named("ANALYSED_SST"),
    r"holds no variable 'température'": named("température"),
    r"holds no variable 'x{80}…'": named("x" * 3000),
    r"holds no variable '<script>'": named("<script>"),
    r"holds no variable '\$\{HOME\}'": named("${HOME}"),
    r"shows no collection C1-DEMO&page_size=1": sourced(collection="C1-DEMO&page_size=1"),
    r"shows no collection \.\./C1-DEMO": sourced(collection="../C1-DEMO"),
    r"shows no collection C1-DEMO C2-BARE": sourced(collection="C1-DEMO C2-BARE"),
    r"format 'image/jpeg' is not written": formed(mime="image/jpeg"),
    r"format 'application/pdf' is not written": formed(mime="application/pdf"),
    r"format 'application/x-hdf' is not written": formed(mime="application/x-hdf"),
    r"format 'application/json' is not written": formed(mime="application/json"),
    r"format 'application/geo\+json' is not written": formed(mime="application/geo+json"),
    r"format 'text/plain' is not written": formed(mime="text/plain"),
    r"format 'application/x-grib' is not written": formed(mime="application/x-grib"),
    r"format 'video/mp4' is not written": formed(mime="video/mp4"),
    r"format 'application/x-zarr;profile=dmrpp' is not written": formed(mime="application/x-zarr;profile=dmrpp"),
    r"kerchunk points to the archive's own chunks": both(changed(average="time"), formed(mime="application/x-zarr;profile=kerchunk")),
    r"icechunk points to the archive's own chunks": both(subset(point=[0, 0]), formed(mime="application/x-zarr;profile=icechunk")),
    r"average='mean' is neither": changed(average="mean"),
    r"average=' ' is neither": changed(average=" "),
    r"has a dimension 'analysed_sst'": ranged(name="analysed_sst", min=1),
    r"has a dimension '/product/lat'": ranged(name="/product/lat", min=1),
    r"subset\.dimensions should hold 1 numbers and holds \[\{\}\]": ranged(name="lat", min={}),
    r"range lon\(10:-10\) has its lower side above": ranged(name="lon", min=10, max=-10),
    r"place \(0, -91\) lies beyond the poles": subset(point=[0, -91]),
    r"place \(inf, 0\) holds a value": subset(point=[float("inf"), 0]),
    r"bounding box \[0, -inf, 1, 1\] holds a value": boxed(0, float("-inf"), 1, 1),
    r"bounding box \[0, 0, 1e\+09, 1\] has a longitude": boxed(0, 0, 1e9, 1),
    r"bounding box \[200, 90\.5, 210, 91\] lies beyond": boxed(200, 90.5, 210, 91),
    r"has a dimension 'x'": ranged(name="x", max=3),
    r"subset\.point should hold 2 numbers and holds \[None, 1\]": subset(point=[None, 1]),
    r"format\.scaleSize should hold 2 numbers and holds \[1, 'b'\]": formed(scaleSize={"x": 1, "y": "b"}),
    r"temporal\.start is \{'a': 1\}": timed({"a": 1}),
    r"format 'application/netcdf;profile=x' is not written": formed(mime="application/netcdf;profile=x"),
    r"holds no variable 'lat;lon'": named("lat;lon"),
    r"place \(-721, 0\) lies beyond two turns": subset(point=[-721, 0]),
}  # fmt: skip
"""What the error says, with category NoRetry → the change to the message."""

NO_DATA: dict[str, Change] = {
    r"time range 1998-01-01T00:00:00Z/1998-12-31T00:00:00Z.*the store covers 2024-01-02": timed("1998-01-01T00:00:00Z", "1998-12-31T00:00:00Z"),
    r"time range 2030-01-01T00:00:00Z/\.\.": timed("2030-01-01T00:00:00Z"),
    r"time range \.\./2001-01-01T00:00:00Z": timed(None, "2001-01-01T00:00:00Z"),
    r"time range 0001-01-01T00:00:00Z/0001-01-02T00:00:00Z": timed("0001-01-01T00:00:00Z", "0001-01-02T00:00:00Z"),
    r"time range 9999-12-30T00:00:00Z/9999-12-31T00:00:00Z": timed("9999-12-30T00:00:00Z", "9999-12-31T00:00:00Z"),
    r"time range 2024-01-03T13:00:00Z/2024-01-03T14:00:00Z": timed("2024-01-03T13:00:00Z", "2024-01-03T14:00:00Z"),
    r"lat\(100:200\).*nearest is 87\.5": ranged(name="lat", min=100, max=200),
    r"lon\(500:\).*nearest is 177\.5": ranged(name="lon", min=500),
    r"lat\(1:1\.5\).*nearest is 2\.5": ranged(name="lat", min=1, max=1.5),
}  # fmt: skip
"""What the warning says, with category NoData → the change to the message."""
