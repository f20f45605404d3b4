"""What Harmony makes of a request: coverages, EDR and WMS addresses become operations.

For the tests and the tutorial alone. It follows the schema 0.22.0 of Harmony's data operation and
was held against operations that a running Harmony made of the same requests.
"""

import json
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pyproj
import shapely
from shapely.geometry import mapping, shape
from shapely.geometry.polygon import orient

COVERAGES = re.compile(
    r"^/(?P<collection>[^/]+)/ogc-api-coverages/1\.0\.0/collections/(?P<variables>[^/]+)"
    r"/coverage/rangeset$"
)
EDR = re.compile(
    r"^/ogc-api-edr/1\.1\.0/collections/(?P<collection>[^/]+)"
    r"/(?P<query>position|area|cube|trajectory)$"
)
WMS = re.compile(r"^/(?P<collection>[^/]+)/wms$")

_EXTENSIONS = {
    "outputCrs", "interpolation", "scaleExtent", "scaleSize", "width", "height", "format",
    "granuleId", "granuleName", "concatenate", "extend", "average", "grid", "maxResults",
    "forceAsync", "skipPreview", "ignoreErrors", "destinationUrl", "serviceId", "pixelSubset",
    "label", "subset",
}  # fmt: skip
_KNOWN = {
    "coverages": _EXTENSIONS | {"point", "variable"},
    "edr": _EXTENSIONS | {"coords", "bbox", "datetime", "f", "crs", "z", "parameter-name"},
    "wms": {"service", "request", "version", "layers", "crs", "bbox", "format", "styles", "width",
            "height", "transparent", "dpi"},
}  # fmt: skip
_MIMES = {
    "NETCDF-4": "application/netcdf", "GEOTIFF": "image/tiff", "ZARR": "application/x-zarr",
    "CSV": "text/csv", "PNG": "image/png", "JPEG": "image/jpeg", "GIF": "image/gif",
    "application/netcdf4": "application/netcdf", "application/x-netcdf": "application/netcdf",
    "application/x-netcdf4": "application/netcdf",
}  # fmt: skip
_NARROW = 5e-5
"""Degrees around points and lines that become areas."""

type Parameters = Sequence[tuple[str, str]]


class BadOrderError(ValueError):
    """What Harmony answers with status 400."""


@dataclass(frozen=True)
class Collection:
    """What Harmony knows of a collection."""

    concept_id: str
    short_name: str
    version: str
    variables: Mapping[str, Mapping[str, Any]]
    """Name → what an operation tells of the variable."""
    coordinates: Sequence[Mapping[str, Any]] = ()
    formats: Sequence[str] = ("application/netcdf",)
    """Media types that its service gives, the first by default."""


@dataclass
class Order:
    """An operation, and the shape that goes with it as a file."""

    operation: dict[str, Any]
    shape: str | None = None
    """GeoJSON as a service gets it."""
    uploaded: bool = False
    """Whether a user sent the shape as a file."""
    labels: list[str] = field(default_factory=list)


def order(
    path: str, parameters: Parameters, known: Mapping[str, Collection], upload: str | None = None
) -> Order:
    """The operation that a request makes, without what belongs to a job."""
    kind, found = _route(path)
    if found["collection"] not in known:
        raise BadOrderError(f"Unknown collection {found['collection']}.")
    for name, _ in parameters:
        if name not in _KNOWN[kind]:
            raise BadOrderError(f"Invalid query parameter {name}.")
    makers = {"coverages": _coverages, "edr": _edr, "wms": _wms}
    return makers[kind](found, _Asked(parameters), known[found["collection"]], upload)


def _route(path: str) -> tuple[str, re.Match[str]]:
    for kind, pattern in (("coverages", COVERAGES), ("edr", EDR), ("wms", WMS)):
        found = pattern.match(path)
        if found is not None:
            return kind, found
    raise LookupError(path)


@dataclass(frozen=True)
class _Asked:
    """Parameters of a request."""

    parameters: Parameters

    def one(self, name: str) -> str | None:
        return next((value for key, value in self.parameters if key == name), None)

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.parameters if key == name]

    def numbers(self, name: str) -> list[float]:
        text = self.one(name)
        try:
            return [float(part) for part in text.split(",")] if text else []
        except ValueError:
            raise BadOrderError(f"'{name}' must be numbers.") from None


def _coverages(found: re.Match[str], asked: _Asked, known: Collection, upload: str | None) -> Order:
    names = found["variables"].split(",")
    if names == ["parameter_vars"]:
        names = [name for text in asked.all("variable") for name in text.split(",")] or ["all"]
    made = _start(known, names, asked)
    point = asked.numbers("point")
    if point:
        made.operation["subset"]["point"] = point
    if upload is not None:
        made.uploaded, made.shape = True, _normalised(json.loads(upload))
    return made


def _edr(found: re.Match[str], asked: _Asked, known: Collection, _: str | None) -> Order:
    names = (asked.one("parameter-name") or "all").split(",")
    made = _start(known, names, asked)
    subset = made.operation["subset"]
    moments = asked.one("datetime")
    if moments:
        made.operation["temporal"] = _edr_times(moments)
    if found["query"] == "cube":
        box = asked.numbers("bbox")
        subset["bbox"] = box if len(box) == 4 else [*box[:2], *box[3:5]]
        return made
    geometry = shapely.from_wkt(asked.one("coords"))
    if geometry.geom_type == "Point":
        subset["point"] = [geometry.x, geometry.y]
        return made
    if geometry.geom_type not in ("Polygon", "MultiPolygon"):
        parts = shapely.get_parts(geometry)
        geometry = shapely.union_all([own.buffer(_NARROW, cap_style="square") for own in parts])
    made.shape = json.dumps(
        {"type": "FeatureCollection",
         "features": [{"type": "Feature", "properties": {}, "geometry": mapping(geometry)}]}
    )  # fmt: skip
    return made


def _wms(found: re.Match[str], asked: _Asked, known: Collection, _: str | None) -> Order:
    layers = (asked.one("layers") or "").split(",")
    made = _start(known, [layer.partition("/")[2] or "all" for layer in layers], asked)
    operation = made.operation
    operation["subset"] = {"bbox": asked.numbers("bbox")}
    operation["format"] |= {
        "dpi": int(asked.one("dpi") or 72),
        "isTransparent": (asked.one("transparent") or "").upper() == "TRUE",
    }
    operation["isSynchronous"] = True
    return made


def _start(known: Collection, names: list[str], asked: _Asked) -> Order:
    """What requests of all kinds have."""
    source: dict[str, Any] = {"collection": known.concept_id, "shortName": known.short_name,
                              "versionId": known.version}  # fmt: skip
    if names != ["all"]:
        source["variables"] = [_variable(known, name) for name in names]
    source["coordinateVariables"] = list(known.coordinates)
    if names == ["all"]:
        source["visualizations"] = []
    operation: dict[str, Any] = {
        "version": "0.22.0", "sources": [source], "format": _format(asked, known),
        "subset": {"dimensions": []}, "isSynchronous": False, "concatenate": False,
    }  # fmt: skip
    for text in asked.all("subset"):
        for part in re.findall(r"[^,(]+\([^)]*\)", text):
            _cut(operation, part)
    _close_box(operation["subset"])
    if asked.one("average"):
        if asked.one("average") not in ("time", "area"):
            raise BadOrderError("'average' must be 'time' or 'area'.")
        operation["average"] = asked.one("average")
    if asked.one("pixelSubset"):
        operation["pixelSubset"] = asked.one("pixelSubset") == "true"
    if asked.one("extend"):
        operation["extendDimensions"] = str(asked.one("extend")).split(",")
    return Order(operation, labels=asked.all("label"))


def _variable(known: Collection, name: str) -> Mapping[str, Any]:
    for own in known.variables.values():
        if name in (own["name"], own["id"]):
            return own
    raise BadOrderError(f"Coverages were not found for the provided variables: {name}")


def _format(asked: _Asked, known: Collection) -> dict[str, Any]:
    wanted = asked.one("format") or asked.one("f") or known.formats[0]
    made: dict[str, Any] = {"mime": _MIMES.get(wanted, wanted)}
    crs = asked.one("outputCrs") or asked.one("crs")
    if crs:
        srs = _srs(crs)
        made |= {"crs": srs["proj4"], "srs": srs}
    if asked.one("interpolation"):
        made["interpolation"] = asked.one("interpolation")
    extent, size = asked.numbers("scaleExtent"), asked.numbers("scaleSize")
    if extent:
        left, bottom, right, top = extent
        made["scaleExtent"] = {"x": {"min": left, "max": right}, "y": {"min": bottom, "max": top}}
    if size:
        made["scaleSize"] = {"x": size[0], "y": size[1]}
    made |= {name: int(told) for name in ("width", "height") if (told := asked.one(name))}
    return made


def _srs(crs: str) -> dict[str, str]:
    """A reference system as operations tell it."""
    try:
        found = pyproj.CRS.from_user_input(crs)
    except pyproj.exceptions.CRSError:
        raise BadOrderError(f"Could not parse CRS parameter '{crs}'.") from None
    if crs.startswith("+"):
        return {"proj4": crs, "wkt": "", "epsg": ""}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # proj4 text tells less, and Harmony gives it all the same
        proj4 = found.to_proj4().replace(" +type=crs", "")
    return {"proj4": proj4, "wkt": found.to_wkt("WKT1_GDAL"), "epsg": crs.upper()}


def _cut(operation: dict[str, Any], part: str) -> None:
    """Note one ``name(from:to)``."""
    name, _, text = part.rstrip(")").partition("(")
    if name == "time":
        sides = re.findall(r'"([^"]*)"|(\*)', text)
        instants = [_instant(told) if told else None for told, _ in sides]
        start, end = instants if len(instants) == 2 else instants * 2
        sorted_out = (("start", start), ("end", end))
        operation["temporal"] = {side: told for side, told in sorted_out if told}
        return
    low, _, high = text.partition(":")
    sides = {
        side: float(told)
        for side, told in (("min", low), ("max", high or low)) if told != "*"
    }  # fmt: skip
    if name in ("lat", "lon"):
        operation["subset"][name] = sides
    else:
        operation["subset"]["dimensions"].append({"name": name, **sides})


def _close_box(subset: dict[str, Any]) -> None:
    """One box of the ranges of latitude and longitude; what is open goes round the Earth."""
    if "lat" in subset or "lon" in subset:
        lat, lon = subset.pop("lat", {}), subset.pop("lon", {})
        subset["bbox"] = [lon.get("min", -180.0), lat.get("min", -90.0),
                          lon.get("max", 180.0), lat.get("max", 90.0)]  # fmt: skip


def _instant(text: str) -> str:
    moment = datetime.fromisoformat(text)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _edr_times(text: str) -> dict[str, str]:
    start, _, end = text.partition("/")
    sides = (("start", start), ("end", end))
    return {side: told for side, told in sides if told not in ("", "..")}


def _normalised(document: dict[str, Any]) -> str:
    """An uploaded shape as services get it: areas within ±180 degrees, parts turned left."""
    features = document.get("features") or [document]
    geometries = [shape(own.get("geometry", own)) for own in features]
    made = [
        {"type": "Feature", "properties": own.get("properties") or {},
         "geometry": mapping(_within_one_turn(geometry))}
        for own, geometry in zip(features, geometries, strict=True)
    ]  # fmt: skip
    return json.dumps({"type": "FeatureCollection", "features": made})


def _within_one_turn(geometry: shapely.Geometry) -> shapely.Geometry:
    if geometry.geom_type in ("Point", "MultiPoint", "LineString", "MultiLineString"):
        geometry = geometry.buffer(_NARROW)
    turned = [
        shapely.transform(
            shapely.intersection(geometry, shapely.box(-180 + turn, -90, 180 + turn, 90)),
            lambda places, turn=turn: places - [turn, 0],
        )
        for turn in (-360, 0, 360)
    ]
    parts = [orient(part) for part in _areas(turned)]
    return parts[0] if len(parts) == 1 else shapely.MultiPolygon(parts)


def _areas(geometries: Iterable[shapely.Geometry]) -> list[shapely.Polygon]:
    parts = [part for own in geometries for part in shapely.get_parts(own)]
    return [part for part in parts if part.geom_type == "Polygon" and part.area > 0]
