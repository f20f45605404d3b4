"""GeoJSON documents (RFC 7946, and the older form with a ``crs``) made shapes.

Everything a document can do wrong is told with the feature and ring where it does.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
import shapely

from harmony_vds.errors import RequestError, TooLargeError
from harmony_vds.model.shape import Feature, Shape
from harmony_vds.shapes.extent import box_around
from harmony_vds.shapes.geometry import ABSENT, Reading, named, unread

_DEEPEST = 8
"""Geometry collections within one another."""
_MOST_NOTES = 5
_DEGREES = ("CRS84", "EPSG::4326", "EPSG:4326", "EPSG::4979")
_OTHERS = {
    b"PK": "a zip file, perhaps a zipped shapefile",
    b"<": "XML, perhaps KML",
    b"\x00\x00\x27\x0a": "an ESRI shapefile",
    b"\x1f\x8b": "gzipped",
}


class _Object(msgspec.Struct):
    """What any GeoJSON object may hold, unread."""

    type: str = ""
    features: msgspec.Raw = ABSENT
    geometry: msgspec.Raw = ABSENT
    geometries: msgspec.Raw = ABSENT
    coordinates: msgspec.Raw = ABSENT
    properties: Any = None
    id: Any = None
    crs: Any = None


def parse_shape(document: bytes, most_vertices: int) -> Shape:
    """The shape that `document` describes.

    Parameters
    ----------
    document
        A GeoJSON text, UTF-8.
    most_vertices
        Most positions it may hold.

    Raises
    ------
    RequestError
        It is no GeoJSON, or holds what is no place on the Earth; the text says what and where.
    TooLargeError
        It holds more positions.

    **Reads:** nothing.
    """
    text = document.removeprefix(b"\xef\xbb\xbf").strip()
    _refuse_other_forms(text)
    # Each position has a bracket, and each ring of at least four positions another two at most.
    if text.count(b"[") > 2 * most_vertices + 1000:
        raise _too_many(most_vertices)
    draft = _Draft(Reading(most_vertices))
    draft.read(_decoded(text, "The shape"))
    if not draft.features:
        raise RequestError("The shape holds no geometry: nothing could be cut by it.")
    notes = draft.reading.notes
    more = len(notes) - _MOST_NOTES
    return Shape(
        features=tuple(draft.features),
        bbox=box_around([own.geometry for own in draft.features]),
        vertices=draft.reading.vertices,
        sha256=hashlib.sha256(document).hexdigest(),
        document=b" ".join(text.split()).decode(),
        notes=(*notes[:_MOST_NOTES], *([f"The shape has {more} more such flaws."] * (more > 0))),
    )


def _refuse_other_forms(text: bytes) -> None:
    if not text:
        raise RequestError("The shape is empty; it should be GeoJSON.")
    for start, what in _OTHERS.items():
        if text.startswith(start):
            raise RequestError(f"The shape is {what}; it should be GeoJSON.")
    try:
        text.decode()
    except UnicodeDecodeError as error:
        raise RequestError(f"The shape is no UTF-8 text (byte {error.start}).") from None
    if not text.startswith(b"{"):
        raise RequestError(
            f"The shape begins with {text[:20].decode(errors='replace')!r}; GeoJSON begins with {{."
        )


def _decoded(text: bytes | msgspec.Raw, where: str) -> _Object:
    try:
        return msgspec.json.decode(text, type=_Object)
    except (msgspec.DecodeError, RecursionError) as error:
        raise unread(where, error) from None


@dataclass
class _Draft:
    """A shape while it is read."""

    reading: Reading
    features: list[Feature] = field(default_factory=list)

    def read(self, root: _Object) -> None:
        """Read a whole document."""
        _refuse_projected(root.crs)
        if root.type == "FeatureCollection":
            for number, own in enumerate(_list(root.features, "The shape", "features"), 1):
                self._feature(own, number)
        elif root.type == "Feature":
            self._of(root, 1)
        elif root.type:
            self._add(root, 1, str(1))
        else:
            raise RequestError("The shape has no member 'type'; it is no GeoJSON.")

    def _feature(self, text: msgspec.Raw, number: int) -> None:
        where = f"Feature {number}"
        own = _decoded(text, where)
        if own.type != "Feature":
            raise RequestError(
                f"{where} of the shape has the type {own.type!r}; it should be 'Feature'."
            )
        self._of(own, number)

    def _of(self, feature: _Object, number: int) -> None:
        _refuse_projected(feature.crs)
        if feature.geometry == ABSENT:
            if feature.coordinates != ABSENT:
                raise RequestError(
                    f"Feature {number} of the shape holds coordinates, but no geometry around them."
                )
            return
        self._add(
            _decoded(feature.geometry, f"Feature {number}, its geometry"),
            number, named(feature.id, feature.properties, number),
        )  # fmt: skip

    def _add(self, geometry: _Object, number: int, name: str) -> None:
        parts = list(self._parts(geometry, f"Feature {number}", 0))
        joined = [_joined(parts, dimension) for dimension in (2, 1, 0)]
        found = [own for own in joined if not own.is_empty]
        if found:
            singles = [part for own in found for part in shapely.get_parts(own)]
            whole = found[0] if len(found) == 1 else shapely.GeometryCollection(singles)
            self.features.append(Feature(name, whole))

    def _parts(self, own: _Object, where: str, depth: int) -> Iterator[shapely.Geometry]:
        """The plain geometries of one that may be a collection."""
        _refuse_projected(own.crs)
        if own.type != "GeometryCollection":
            yield from self.reading.parts(own.type, own.coordinates, where)
            return
        if depth >= _DEEPEST:
            raise RequestError(
                f"{where} of the shape holds geometry collections more than {_DEEPEST} deep."
            )
        for number, text in enumerate(_list(own.geometries, where, "geometries"), 1):
            inner = f"{where}, geometry {number}"
            yield from self._parts(_decoded(text, inner), inner, depth + 1)


def _joined(parts: list[shapely.Geometry], dimension: int) -> shapely.Geometry:
    """All parts of one dimension, overlaps dissolved."""
    own = [part for part in parts if shapely.get_dimensions(part) == dimension]
    if len(own) == 1:
        return own[0]
    if dimension == 2:
        pieces = shapely.get_parts(own)
        loose = shapely.multipolygons(pieces)
        return loose if shapely.is_valid(loose) else shapely.union_all(own)
    return shapely.union_all(own)


def _list(text: msgspec.Raw, where: str, member: str) -> list[msgspec.Raw]:
    if text == ABSENT:
        raise RequestError(f"{where} has no list of {member}.")
    try:
        return msgspec.json.decode(text, type=list[msgspec.Raw])
    except (msgspec.DecodeError, RecursionError) as error:
        raise unread(f"{where}, its {member}", error) from None


def _refuse_projected(crs: Any) -> None:
    """Documents older than RFC 7946 may be in another system than degrees."""
    if crs is None:
        return
    properties = crs.get("properties") if isinstance(crs, dict) else None
    name = str((properties or {}).get("name", crs) if isinstance(properties, dict) else crs)
    if not name.endswith(_DEGREES):
        raise RequestError(
            f"The shape is in the coordinate system {name[:80]!r}; write it in longitudes and "
            "latitudes (EPSG:4326), as GeoJSON wants."
        )


def _too_many(most: int) -> TooLargeError:
    return TooLargeError(
        f"The shape holds more than {most:,} positions (HARMONY_VDS_MAX_SHAPE_VERTICES); simplify "
        "it to what the cells of the data can show."
    )
