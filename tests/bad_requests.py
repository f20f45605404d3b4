"""Messages that ask for what cannot be: each a good one with one thing changed.

The store behind them holds five days of global fields of 36 by 72 cells, ``analysed_sst`` and
``mask``, from 2024-01-02 on; C3-ODD holds the variables of `odd_stores`, C4-FRAMES two stores.

Each has a template of its own: its message without the values that the message of the request
gives, without names in quotes and numbers. What shares a template with another stands in `ALSO`.
"""

# ruff: noqa: E501  one case a line

import json
from collections.abc import Callable
from typing import Any

from invocation import encrypted

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
    text = document if isinstance(document, str | bytes) else json.dumps(document)
    return changed(shape_text=text)


def nested(depth: int) -> dict[str, Any]:
    """Collections in collections."""
    inner: dict[str, Any] = {"type": "Point", "coordinates": [0, 0]}
    for _ in range(depth):
        inner = {"type": "GeometryCollection", "geometries": [inner]}
    return inner


def ring(*positions: Any) -> dict[str, Any]:
    return {"type": "Polygon", "coordinates": [list(positions)]}


def average(kind: str, *names: str) -> Change:
    return both(odd(*names), changed(average=kind))


def odd(*names: str) -> Change:
    """The collection with the odd variables, and some of them."""
    return both(sourced(collection="C3-ODD"), named(*names))


def framed(*names: str) -> Change:
    """The collection of two stores, and some of their variables."""
    return both(sourced(collection="C4-FRAMES"), named(*names))


def gridded(**own: Any) -> Change:
    """On a target grid in degrees."""
    return formed(**{"crs": "EPSG:4326", **own})


def placed(longitude: float, latitude: float) -> Change:
    return subset(point=[longitude, latitude])


def operated(**own: str) -> Change:
    """With settings of the operator, by what comes after ``HARMONY_VDS_``."""
    return changed(settings={f"HARMONY_VDS_{name}": value for name, value in own.items()})


def selected(*items: dict[str, Any]) -> Change:
    """With a catalogue of inputs, as after query-cmr."""
    return changed(inputs=list(items))


def mapped(**own: Any) -> Change:
    """As a picture by WMS GetMap."""
    return formed(mime="image/png", isTransparent=False, **own)


SQUARE = ((0, 0), (10, 0), (10, 10), (0, 10), (0, 0))
WHOLE = {"x": {"min": -180, "max": 180}, "y": {"min": -90, "max": 90}}

type Refused = tuple[str, str, Change]
"""Words that the template of its message has and no other's; what the message must name, the field
and its value where they show; the change to the message."""

NO_RETRY: list[Refused] = [
    # -- the collection ---------------------------------------------------------------------------
    ("names no collection", "sources", changed(sources=[])),
    ("has no collection id", "source", sourced(collection="")),
    ("which is no concept id", "'../C1-DEMO'", sourced(collection="../C1-DEMO")),
    ("which is the id of a granule", "'G1-DEMO'", sourced(collection="G1-DEMO")),
    ("which are several ids", "'C1-DEMO C2-BARE'", sourced(collection="C1-DEMO C2-BARE")),
    ("shows no collection", "C99-NOWHERE", sourced(collection="C99-NOWHERE")),
    ("name no virtual store", "C2-BARE", sourced(collection="C2-BARE")),
    ("answers no requests for", "being rebuilt until March", sourced(collection="C5-DENIED")),
    ("names # collections in its sources", "MAX_STORES", lambda m: m.update(sources=m["sources"] * 21)),
    ("and this one asks for # collections", "forceAsync", lambda m: m.update(isSynchronous=True, sources=m["sources"] * 2)),
    ("each store of the collection (a frame, say) gives one", "forceAsync", both(framed("temperature"), changed(isSynchronous=True))),
    # -- records that name no store that can be read ----------------------------------------------
    ("has a part … that is not understood", "|tar:inner", sourced(collection="C6-PIPE")),
    ("names the version", "'newest'", sourced(collection="C7-VERSION")),
    ("There is nothing at", "nothing-here", sourced(collection="C8-NOTHING")),
    ("addresses are read only where", "http://archive.example.com", sourced(collection="C9-HTTP")),
    ("it is a private address", "10.1.2.3", sourced(collection="C10-PRIVATE")),
    ("with a user name in it", "UMM-C", sourced(collection="C11-USER")),
    ("only https and s# addresses are", "ftp:", sourced(collection="C12-FTP")),
    ("whose host is", "UMM-C", sourced(collection="C13-HOST")),
    ("Below it lie", "odd.zarr", sourced(collection="C14-FOLDER")),
    ("has no version", "branch.nowhere", sourced(collection="C16-BRANCH")),
    ("holds no group", "'nowhere'", sourced(collection="C17-GROUP")),
    ("refused access (status #)", "token", changed(accessToken=encrypted("of nobody"))),
    ("holds control characters", "accessToken", changed(accessToken=encrypted("of nobody\r\nX: y"))),
    # -- variables --------------------------------------------------------------------------------
    ("The store holds no variable …; it holds", "'zonal_wind'", named("zonal_wind")),
    ("did you mean", "'sst'", named("sst")),
    ("capitals and small letters", "'ANALYSED_SST'", named("ANALYSED_SST")),
    ("is a pattern", "'*'", named("*")),
    ("that looks like # names", "'analysed_sst,mask'", named("analysed_sst,mask")),
    ("holds a constraint", "'analysed_sst[0:4]'", named("analysed_sst[0:4]")),
    ("A variable of the message has no name", "'V1'", named("")),
    ("in the group", "'cloud'", odd("/ascending/cloud")),
    ("is a group of the store", "'/descending'", odd("/descending")),
    ("is a dimension without a variable of its own", "'band'", odd("band")),
    ("is not unique", "'sst'", odd("sst")),
    # -- boxes ------------------------------------------------------------------------------------
    ("FIELD is …, which is no list", "subset.bbox is '0,0,10,10'", subset(bbox="0,0,10,10")),
    ("FIELD holds # values", "subset.bbox holds 3 values", boxed(1, 2, 3)),
    ("holds heights beside", "subset.bbox", boxed(0, 0, 0, 10, 10, 500)),
    ("of FIELD is missing", "The west of subset.bbox", boxed(None, 0, 1, 1)),
    ("which is no number", "The south of subset.bbox is 'b'", boxed(0, "b", 1, 1)),
    ("write south and west as negative", "The south of subset.bbox is '10S'", boxed(0, "10S", 1, 1)),
    ("The bounding box [#] holds a value", "[nan, 0, 1, 1]", boxed(float("nan"), 0, 1, 1)),
    ("has its southern edge north", "[0, 50, 10, 40]", boxed(0, 50, 10, 40)),
    ("The bounding box [#] lies beyond the poles", "[0, 91, 10, 95]", boxed(0, 91, 10, 95)),
    ("has a longitude beyond two turns", "[-1000, 0, 10, 5]", boxed(-1000, 0, 10, 5)),
    ("the store has no latitudes and longitudes, and no reference", "total", both(odd("total"), boxed(0, 0, 10, 10))),
    # -- times ------------------------------------------------------------------------------------
    ("it is no date, and words such as", "temporal.start is 'yesterday'", timed("yesterday")),
    ("which is no text", "temporal.start is 20240101", timed(20240101)),
    ("its month is", "temporal.end is '2024-13-01T00:00:00Z'", timed("2024-01-01T00:00:00Z", "2024-13-01T00:00:00Z")),
    ("its day is", "'2024-06-31'", timed("2024-06-31")),
    ("is no leap year", "'2023-02-29'", timed("2023-02-29")),
    ("its hour is", "'2024-01-01T25:00:00Z'", timed("2024-01-01T25:00:00Z")),
    ("its minute is", "'2024-01-01T00:61:00Z'", timed("2024-01-01T00:61:00Z")),
    ("its second is", "'2024-01-01T00:00:75Z'", timed("2024-01-01T00:00:75Z")),
    ("leap seconds are in no", "temporal.end is '2016-12-31T23:59:60Z'", timed(None, "2016-12-31T23:59:60Z")),
    ("its time of day is not of the form", "'2024-01-01Tnoon'", timed("2024-01-01Tnoon")),
    ("its zone is a word", "'2024-01-01 00:00:00 UTC'", timed("2024-01-01 00:00:00 UTC")),
    ("its zone is not of the form", "'2024-01-01T00:00:00+99:00'", timed("2024-01-01T00:00:00+99:00")),
    ("years run from", "'0000-01-01T00:00:00Z'", timed("0000-01-01T00:00:00Z")),
    ("lies outside of the years", "'0001-01-01T00:00:00+05:00'", timed("0001-01-01T00:00:00+05:00")),
    ("it is a duration", "'P1D'", timed("P1D")),
    ("it is a range", "temporal.end", timed(None, "2024-01-01T00:00:00Z/..")),
    ("cannot be told apart", "'01/02/2024'", timed("01/02/2024")),
    ("a time of day without a date", "'12:00:00'", timed("12:00:00")),
    ("it names no day", "'2024-05'", timed("2024-05")),
    ("days counted from the start", "'2024-366'", timed("2024-366")),
    ("its year has two digits", "'24-01-01'", timed("24-01-01")),
    ("months and days have two digits", "'2024-1-1'", timed("2024-1-1")),
    ("its week or weekday is none", "'2024-W60-1'", timed("2024-W60-1")),
    ("the epoch is not known", "'1.7e9'", timed("1.7e9")),
    ("ends before it starts", "2024-01-05T00:00:00Z/2024-01-03T00:00:00Z", timed("2024-01-05T00:00:00Z", "2024-01-03T00:00:00Z")),
    ("variables have no time coordinate", "time range", both(odd("quality"), timed("2024-01-02"))),
    # -- dimensions -------------------------------------------------------------------------------
    ("No requested variable has a dimension", "'lev'", ranged(name="lev", min=1, max=2)),
    ("is no dimension of a requested variable but a variable", "'analysed_sst'", ranged(name="analysed_sst", min=1)),
    ("has its lower side above", "lat(50:40)", ranged(name="lat", min=50, max=40)),
    ("does not name its dimension", "subset.dimensions", ranged(name="", min=1)),
    ("has no coordinate values", "band", both(odd("spectrum"), ranged(name="band", min=1))),
    ("would cut latitudes, longitudes or times", "time", ranged(name="time", min=0, max=10**10)),
    # -- points -----------------------------------------------------------------------------------
            ("The place (#) lies beyond the poles", "(0, 95)", placed(0, 95)),
    ("The place (#) holds a value", "(nan, 5)", placed(float("nan"), 5)),
    ("The place (#) lies beyond two turns", "(900, 5)", placed(900, 5)),
    ("cannot be asked for together; ask for one", "Points", both(placed(0, 0), boxed(0, 0, 1, 1))),
        ("is neither. Ask for one of them", "interpolation=cubic", both(placed(0, 0), formed(interpolation="cubic"))),
    ("to be put on a target grid", "outputCrs", both(placed(0, 0), gridded())),
        ("they lie in no rows and columns", "plat", both(odd("pass"), placed(1, 1), formed(interpolation="bilinear"))),
    # -- averages ---------------------------------------------------------------------------------
    ("Averages are over time or area", "average='median'", changed(average="median")),
    ("it holds flags", "quality", average("area", "quality")),
    ("angles that go round", "wind_direction", average("area", "wind_direction")),
    ("it holds logarithms", "reflectivity", average("area", "reflectivity")),
    ("it holds times", "updated", average("area", "updated")),
    ("it holds text or marks", "station", average("area", "station")),
    ("without a … dimension", "spectrum", average("time", "spectrum")),
    ("without latitudes and longitudes", "total", average("area", "total")),
    ("in no rows and columns, and their areas", "pass", average("area", "pass")),
        ("shows rows and columns, and", "png", both(changed(average="area"), formed(mime="image/png"))),
    # -- formats ----------------------------------------------------------------------------------
    ("written by this service; ask", "'video/mp4'", formed(mime="video/mp4")),
    ("it is neither a media type", "'nonsense'", formed(mime="nonsense")),
    ("may have been meant", "'netcdf5'", formed(mime="netcdf5")),
    ("it knows no form with", "'application/netcdf;profile=x'", formed(mime="application/netcdf;profile=x")),
    ("no addresses of OPeNDAP", "profile=opendap_url", formed(mime="application/x-netcdf4;profile=opendap_url")),
    ("the profiles of references are", "profile=dmrpp", formed(mime="application/x-zarr;profile=dmrpp")),
    ("files of HDF# are those of", "'application/x-hdf'", formed(mime="application/x-hdf")),
    ("tables are CSV or Parquet", "'application/geo+json'", formed(mime="application/geo+json")),
    ("and images of values", "'image/gif'", formed(mime="image/gif")),
    ("points to the archive's own chunks", "kerchunk", both(changed(average="time"), formed(mime="application/x-zarr;profile=kerchunk"))),
    ("Extending dimensions is not done", "extend", changed(extendDimensions=["time"])),
    ("A picture shows one time and level", "analysed_sst", formed(mime="image/png")),
    ("A table holds variables on the same dimensions", "spectrum", both(odd("profile", "spectrum"), formed(mime="text/csv"))),
    ("along dimensions of their own, and", "pass", both(odd("pass"), formed(mime="image/tiff"))),
    ("are not evenly spaced", "gauss", both(odd("uneven"), formed(mime="image/tiff"))),
    ("which netCDF cannot hold", "phase", odd("phase")),
    ("have no form in a table", "complex", both(odd("phase"), formed(mime="text/csv"))),
    # -- target grids -----------------------------------------------------------------------------
    ("is no known coordinate reference system", "outputCrs 'EPSG:99999999'", formed(crs="EPSG:99999999")),
    ("coordinate reference system that this service takes", "outputCrs '+init=epsg:4326'", formed(crs="+init=epsg:4326")),
    ("in which no map can be drawn", "outputCrs 'EPSG:4978'", formed(crs="EPSG:4978")),
    ("of geographic systems those in degrees", "outputCrs 'EPSG:4807'", formed(crs="EPSG:4807")),
    ("is no resampling method of this service", "interpolation='lanczos'", gridded(interpolation="lanczos")),
    ("should hold ranges of both x and y", "format.scaleExtent", formed(scaleExtent={"x": {"min": 0, "max": 1}})),
    ("each must be a number", "scaleExtent holds 0, nan, 1, 1", gridded(scaleExtent={"x": {"min": 0, "max": 1}, "y": {"min": float("nan"), "max": 1}})),
    ("is empty: x min must", "scaleExtent 0, 10, 1, 5", gridded(scaleExtent={"x": {"min": 0, "max": 1}, "y": {"min": 10, "max": 5}})),
    ("should be two positive numbers", "scaleSize 0, 1", gridded(scaleSize={"x": 0, "y": 1})),
    ("should be a whole number of cells", "width=-5", gridded(width=-5, height=5)),
    ("does not agree with itself along x", "width=7", gridded(scaleExtent=WHOLE, scaleSize={"x": 1, "y": 1}, width=7)),
    ("The target grid is too large", "scaleSize", gridded(scaleExtent=WHOLE, scaleSize={"x": 1e-5, "y": 1e-5})),
    ("The target grid is too long", "1,000,000,000 rows", gridded(scaleSize={"x": 178, "y": 18.5}, height=10**9)),
    ("is not done for what lies along", "interpolation=cubic", both(odd("speed"), gridded(interpolation="cubic"))),
    ("that can be put on another", "outputCrs", both(odd("total"), gridded())),
    ("it names no fill value, and the value", "every", both(odd("every"), gridded(scaleExtent=WHOLE))),
    ("their positions along", "lev", both(sourced(collection="C15-GRANULES"), named("profile"), gridded())),
    ("cannot be combined on one grid: its", "height", both(sourced(collection="C15-GRANULES"), named("height"), gridded())),
    ("A map needs crs", "bbox", both(mapped(), boxed(0, 0, 1, 1))),
    # -- shapes -----------------------------------------------------------------------------------
    ("JSON is malformed", "The shape", shaped("{nothing")),
    ("holds no geometry", "The shape", shaped({"type": "FeatureCollection", "features": []})),
    ("The shape is empty", "GeoJSON", shaped("")),
    ("GeoJSON begins with {", "'[1, 2]'", shaped("[1, 2]")),
    ("The shape is XML", "KML", shaped('<?xml version="1.0"?><kml></kml>')),
    ("The shape is a zip file", "shapefile", shaped("PK\x03\x04 and so on")),
    ("no member", "'type'", shaped({"coordinates": [1, 2]})),
    ("of the shape has the type", "'Polygon'", shaped({"type": "FeatureCollection", "features": [ring(*SQUARE)]})),
    ("has no list of", "The shape", shaped({"type": "FeatureCollection"})),
        ("has the geometry type", "'Circle'", shaped({"type": "Circle", "coordinates": [0, 0]})),
    ("a Polygon, has no coordinates", "Feature 1", shaped({"type": "Polygon"})),
    ("different position(s); a ring needs", "ring 1", shaped(ring((0, 0), (1, 1), (0, 0)))),
    ("all in one place; a line needs", "line 1", shaped({"type": "LineString", "coordinates": [[1, 1], [1, 1]]})),
    ("it should have a longitude and a latitude", "position 1 has 1 number", shaped({"type": "Point", "coordinates": [1]})),
    ("Positions are longitude, latitude, in degrees", "position 1 has the latitude 95", shaped({"type": "Point", "coordinates": [1, 95]})),
    ("crossings, and", "polygon 1", shaped(ring(*[(own * 7919 % 81 - 40, own * 104729 % 79 - 40) for own in range(400)], (0, 0)))),
    ("outline does. Draw it without going back", "polygon 1", shaped(ring(*[(0, 0), (1, 1)] * 5000, (0, 1), (0, 0)))),
    ("its holes leave nothing", "polygon 1", shaped({"type": "Polygon", "coordinates": [SQUARE, SQUARE]})),
    ("The shape is in the coordinate system", "'urn:ogc:def:crs:EPSG::3857'", shaped({**ring(*SQUARE), "crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::3857"}}})),
    ("holds coordinates, but no geometry", "Feature 1", shaped({"type": "Feature", "coordinates": [0, 0], "geometry": None})),
    ("geometry collections more than", "deep", shaped(nested(40))),
    ("the coordinates of its", "Polygon", shaped({"type": "Polygon", "coordinates": "here"})),
    ("is no UTF-# text", "byte 20", shaped(b'{"type": "Point", "n\xff')),
    ("holds more than # positions", "MAX_SHAPE_VERTICES", both(shaped({"type": "MultiPoint", "coordinates": [[0, 0], [1, 1]]}), operated(MAX_SHAPE_VERTICES="1"))),
    ("more than the # allowed", "MAX_SHAPE_BYTES", both(shaped(ring(*SQUARE)), operated(MAX_SHAPE_BYTES="20"))),
    ("names no place (it has no href)", "subset.shape", subset(shape={"href": "", "type": "application/geo+json"})),
        ("The shape is gone", "Send it again", subset(shape={"href": "file:///tmp/shapefile.json", "type": "application/geo+json"})),
            # -- the form of the message ------------------------------------------------------------------
    ("of the message has another form", "isSynchronous of the message has another form than Harmony gives it: expected bool | null, got str", changed(isSynchronous="false")),
    ("of the message lists more than", "sources[0].variables", named(*map(str, range(10_001)))),
    ("half of a character", "sources[0].variables[0].name", named("\ud800")),
    ("is of the kind", "stagingLocation", changed(stagingLocation="gs://bucket/public/")),
    ("it has no name of a bucket", "stagingLocation", changed(stagingLocation="s3:///public/")),
    ("There is nowhere to put outputs", "stagingLocation", changed(stagingLocation=None)),
    # -- limits -----------------------------------------------------------------------------------
    ("it would read", "MAX_READ_BYTES", operated(MAX_READ_BYTES="100")),
    ("it would write", "MAX_OUTPUT_BYTES", operated(MAX_OUTPUT_BYTES="100")),
    ("it would touch", "MAX_CHUNKS", operated(MAX_CHUNKS="1")),
    ("it would make", "MAX_REQUESTS", operated(MAX_REQUESTS="1")),
    ("it would decode", "MAX_DECODED_BYTES", operated(MAX_DECODED_BYTES="100")),
    ("it would hold", "MAX_MEMORY_BYTES", operated(MAX_MEMORY_BYTES="100MB")),
    ("it would put", "MAX_DISK_BYTES", operated(MAX_DISK_BYTES="100")),
    ("it would tell", "MAX_ROWS", both(operated(MAX_ROWS="10"), formed(mime="text/csv"))),
    ("outputs together would", "MAX_OUTPUT_BYTES", both(framed("temperature"), operated(MAX_OUTPUT_BYTES="1500"))),
    ("did not finish within", "MAX_SECONDS", operated(MAX_SECONDS="0.001")),
    ("it would take # work items", "MAX_PARTS", both(changed(extraArgs={"virtual_store_step": "plan"}), operated(PART_BYTES="100", MAX_PARTS="1"))),
    ("The request meets more than # stores of", "MAX_STORES", both(sourced(collection="C15-GRANULES"), named("temperature"), operated(MAX_STORES="1"))),
    # -- chains -----------------------------------------------------------------------------------
    ("it should be …, or not be there", "virtual_store_step: 'write'", changed(extraArgs={"virtual_store_step": "write"})),
    ("is not of a requested collection", "harmony_source", selected({"collection": "C9-OTHER"})),
    ("is none that the step before it planned", "Order again", selected({"part": '{"part": {}, "seal": "x"}'})),
    ("times of the selected granules (", "2031-01-01", selected({"collection": "C1-DEMO", "day": "2031-01-01"})),
]  # fmt: skip
"""What ends with category NoRetry."""

NO_DATA: list[Refused] = [
    ("in the time range …/…: the store covers #; the nearest step is", "1998-01-01T00:00:00Z", timed("1998-01-01T00:00:00Z", "1998-12-31T00:00:00Z")),
    ("the nearest steps are at", "2024-01-03T13:00:00Z", timed("2024-01-03T13:00:00Z", "2024-01-03T14:00:00Z")),
    ("and the nearest is", "lat(100:200)", ranged(name="lat", min=100, max=200)),
    ("No data lie in the box [#]: the store covers", "[0, 80, 10, 85]", both(odd("quality"), boxed(0, 80, 10, 85))),
    ("No data lie in the shape", "shape", both(odd("quality"), shaped({"type": "Point", "coordinates": [0, 80]}))),
    ("lies outside of the data", "(0, 85)", both(odd("quality"), placed(0, 85))),
    ("No data lie under the target grid", "[0, 80, 9, 89]", both(odd("quality"), gridded(scaleExtent={"x": {"min": 0, "max": 9}, "y": {"min": 80, "max": 89}}))),
    ("catalogue of inputs is empty", "granules", selected()),
    ("and the times of the # selected granules", "2024-01-05T00:00:00Z", both(selected({"collection": "C1-DEMO", "day": "2024-01-03"}), timed("2024-01-05T00:00:00Z"))),
    ("No granule of", "C15-GRANULES", both(sourced(collection="C15-GRANULES"), named("temperature"), boxed(100, 0, 110, 10))),
    ("together.", "time range", both(odd("seen"), boxed(-5, 40, 5, 60), timed("2024-01-02", "2024-01-02T12:00:00Z"))),
]  # fmt: skip
"""What ends with category NoData, a warning."""

ALSO: list[Refused] = [
    *(("of the message has another form", f"{field} of the message", change) for field, change in {
        "sources[0].shortName": sourced(shortName=5), "sources[0].versionId": sourced(versionId=1.0),
        "sources[0].variables[0].name": named(5), "extraArgs": changed(extraArgs="plan"),
        "format.srs.epsg": formed(srs={"epsg": 4326}), "format.crs": formed(crs=4326),
        "format.width": formed(width="10"), "format.mime": formed(mime=["image/png"]),
        "format.isTransparent": formed(isTransparent="no"), "pixelSubset": changed(pixelSubset=1),
        "extendDimensions": changed(extendDimensions="time"), "average": changed(average=5),
        "concatenate": changed(concatenate="true"), "stagingLocation": changed(stagingLocation=5),
        "subset.shape.href": subset(shape={"href": {}}),
    }.items()),
    ("which is no number", "The west of subset.bbox is 1000", boxed(10**400, 0, 1, 1)),
    ("each must be a number", "1e+308", gridded(scaleExtent={"x": {"min": -1e308, "max": 1e308}, "y": {"min": 0, "max": 1}})),
    ("should be a whole number of cells", "height=1e+308", gridded(height=1e308)),
    ("The shape is in the coordinate system", "'EPSG:3857'", shaped({"type": "Feature", "geometry": {**ring(*SQUARE), "crs": {"type": "name", "properties": {"name": "EPSG:3857"}}}})),
    ("should be two positive numbers", "e-324, 1 ", gridded(scaleSize={"x": 5e-324, "y": 1})),
    ("which is no number", "The west of subset.bbox is '1_0'", boxed("1_0", 0, 1, 1)),
    ("it has no name of a bucket", "stagingLocation", changed(stagingLocation="s3://user:pw@bucket/public/")),
    ("is of the kind", "'http'", changed(stagingLocation="http://example.com/public/")),
    ("it is no date, and words such as", "temporal.start is 'now'", timed("now")),
    ("its month is", "'2024-00-10'", timed("2024-00-10")),
    ("its month is", "'20241301'", timed("20241301")),
    ("its day is", "'2024-02-30T00:00:00Z'", timed("2024-02-30T00:00:00Z")),
    ("its hour is", "'2024-01-01T24:00:00Z'", timed("2024-01-01T24:00:00Z")),
    ("years run from", "'-2024-01-01T00:00:00Z'", timed("-2024-01-01T00:00:00Z")),
    ("years run from", "temporal.end is '10000-01-01T00:00:00Z'", timed(None, "10000-01-01T00:00:00Z")),
    ("which is no text", "temporal.end is ['2024-01-01']", timed(None, ["2024-01-01"])),
    ("which is no text", "temporal.end is True", timed(None, True)),
    ("capitals and small letters", "'Analysed_SST'", named("Analysed_SST")),
    ("that looks like # names", "'mask;drop'", named("mask", "mask;drop")),
    ("that looks like # names", "'analysed sst'", named("analysed sst")),
    ("The store holds no variable …; it holds", "'température'", named("température")),
    ("The store holds no variable …; it holds", "'${HOME}'", named("${HOME}")),
    ("The store holds no variable …; it holds", "xxx…'", named("x" * 3000)),
    ("holds a constraint", "'<script>'", named("<script>")),
    ("which is no concept id", "'C1-DEMO&page_size=1'", sourced(collection="C1-DEMO&page_size=1")),
    ("FIELD holds # values", "subset.bbox holds 5 values", boxed(1, 2, 3, 4, 5)),
    ("FIELD is …, which is no list", "subset.point is '10,20'", subset(point="10,20")),
    ("which is no number", "The west of subset.bbox is True", boxed(True, "no", None, {})),
    ("which is no number", "The west of subset.bbox is [0, 0]", boxed([0, 0], [1, 1], 2, 3)),
    ("which is no number", "The min of subset.dimensions of lat is 'low'", ranged(name="lat", min="low")),
    ("which is no number", "The y size of format.scaleSize is 'b'", formed(scaleSize={"x": 1, "y": "b"})),
    ("which is no number", "The x max of format.scaleExtent is 'b'", formed(scaleExtent={"x": {"min": 0, "max": "b"}, "y": {"min": 0, "max": 1}})),
    ("of FIELD is missing", "The x size of format.scaleSize", formed(scaleSize={"x": None, "y": 1})),
    ("write south and west as negative", "The max of subset.dimensions of lat is '5S'", ranged(name="lat", max="5S")),
    ("The bounding box [#] holds a value", "[0, -inf, 1, 1]", boxed(0, float("-inf"), 1, 1)),
    ("The bounding box [#] lies beyond the poles", "[0, -99, 10, -95]", boxed(0, -99, 10, -95)),
    ("has a longitude beyond two turns", "[0, 0, 1e+09, 1]", boxed(0, 0, 1e9, 1)),
    ("The place (#) lies beyond the poles", "(0, -91)", placed(0, -91)),
    ("No requested variable has a dimension", "'/product/lat'", ranged(name="/product/lat", min=1)),
    ("has its lower side above", "lon(10:-10)", ranged(name="lon", min=10, max=-10)),
    ("Averages are over time or area", "average='TIME'", changed(average="TIME")),
    ("Averages are over time or area", "average=' '", changed(average=" ")),
    ("written by this service; ask", "'text/html'", formed(mime="text/html")),
    ("written by this service; ask", "'application/x-grib'", formed(mime="application/x-grib")),
    ("and images of values", "'image/jpeg'", formed(mime="image/jpeg")),
    ("points to the archive's own chunks", "icechunk", both(placed(0, 0), formed(mime="application/x-zarr;profile=icechunk"))),
    ("Positions are longitude, latitude, in degrees", "position 3 has the longitude 1000", shaped(ring((0, 0), (0, 1), (1000, 1), (0, 0)))),
    ("the coordinates of its", "MultiPolygon", shaped({"type": "MultiPolygon", "coordinates": [[1, 2]]})),
    ("FIELD holds # values", "subset.point holds 1 values", subset(point=[1])),
    ("holds heights beside", "subset.point", subset(point=[1, 2, 3])),
    ("cannot be asked for together; ask for one", "Points", both(placed(0, 0), changed(average="time"))),
    ("cannot be asked for together; ask for one", "Points", both(placed(0, 0), shaped(ring(*SQUARE)))),
    ("the store has no latitudes and longitudes, and no reference", "points", both(odd("total"), placed(0, 0))),
    ("the store has no latitudes and longitudes, and no reference", "total", both(odd("total"), shaped(ring(*SQUARE)))),
    ("to be put on a target grid", "outputCrs", both(changed(average="area"), gridded())),
    ("shows rows and columns, and", "geotiff", both(placed(0, 0), formed(mime="image/tiff"))),
    ("has no list of", "Feature 1", shaped({"type": "GeometryCollection"})),
    ("addresses are read only where", "file:///etc/hostname", subset(shape={"href": "file:///etc/hostname", "type": "application/geo+json"})),
]  # fmt: skip
"""More of the kinds of `NO_RETRY`, as people and programs write them."""
