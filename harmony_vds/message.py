"""Reads a Harmony message into a `Request`; past this module nobody knows Harmony's format."""

import contextlib
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from harmony_service_lib.message import Message

from harmony_vds.errors import RequestError
from harmony_vds.model.extent import BoundingBox, TimeRange
from harmony_vds.model.formats import find_format
from harmony_vds.model.listing import shown
from harmony_vds.model.moment import parse_moment
from harmony_vds.model.request import (
    DimensionRange,
    Request,
    Source,
    TargetGrid,
    VariableLink,
)
from harmony_vds.operation import check_form

_BOX = ("west", "south", "east", "north")
_PLACE = ("longitude", "latitude")
_EXTENT = ("x min", "y min", "x max", "y max")
_SIZE = ("x size", "y size")
_WITH_HEIGHTS = (_BOX, _PLACE)
_COMPASS = re.compile(r"[\d.]+\s*°?\s*[NSEWO]", re.IGNORECASE)
_COLLECTION = re.compile(r"C\d+-\w+")
_CONCEPT = re.compile(r"(?P<kind>[A-Z]+)\d+-\w+")
_KINDS = {"G": "a granule", "V": "a variable", "S": "a service", "T": "a tool", "GRD": "a grid"}
_LONGEST = 80
_MOST_DPI = 100_000
"""Far more than any screen or press has."""


def request_from_message(message: Message) -> Request:
    """What `message` asks, whether or not this service can do it.

    Raises
    ------
    RequestError
        A field holds something unusable; the text names it.

    **Reads:** nothing.
    """
    check_form(message.data)
    if not message.sources:
        raise RequestError("The message names no collection (its list of sources is empty).")
    # Only WMS GetMap sets isTransparent, and its box is in the units of the map.
    is_map = message.format is not None and message.format.isTransparent is not None
    bbox = None if message.subset is None else message.subset.bbox
    return Request(
        sources=tuple(_source(source) for source in message.sources),
        bbox=None if is_map or bbox is None else BoundingBox(*_numbers("subset.bbox", bbox, _BOX)),
        map_box=_quadruple("subset.bbox", bbox, _BOX) if is_map and bbox else None,
        is_map_image=is_map,
        transparent=bool(is_map and message.format.isTransparent),
        dpi=_dpi(message.format.dpi) if is_map else None,
        temporal=_temporal(message),
        point=_point(message),
        shape=_shape(message),
        dimensions=_dimensions(message),
        average=message.average,
        target=_target(message),
        interpolation="" if message.format is None else message.format.interpolation or "",
        media_type=_media_type(message),
        extend=tuple(message.extendDimensions or ()),
        concatenate=bool(message.concatenate),
        synchronous=bool(message.isSynchronous),
        pixel_subset=bool(message.pixelSubset),
    )


def _dpi(stated: object) -> int | None:
    """As stated, where it can be: Harmony hands on whatever a client calls so."""
    return stated if isinstance(stated, int) and 0 < stated < _MOST_DPI else None


def _media_type(message: Message) -> str:
    """What is asked for in this service's spelling, where it writes that."""
    asked = "" if message.format is None else str(message.format.mime or "")
    known = find_format(asked)
    return asked if known is None else known.media_type


def _source(source: Any) -> Source:
    if not source.collection:
        raise RequestError("A source of the message has no collection id.")
    _refuse_other_ids(str(source.collection))
    # An empty list means all variables, as an absent one does.
    variables = [_variable_name(own) for own in source.variables]
    return Source(
        collection=source.collection,
        short_name=source.shortName or source.collection,
        version=source.versionId or "",
        variables=tuple(dict.fromkeys(variables)),
        variable_links=tuple(link for own in source.variables for link in _variable_links(own)),
    )


def _refuse_other_ids(text: str) -> None:
    """Raise for what can be no concept id of a collection, before CMR is asked for it."""
    if _COLLECTION.fullmatch(text):
        return
    told = f"The collection of the message is {shown(text)}"
    form = "A collection's id is of the form C1234567890-PROVIDER"
    if len(re.findall(r"C\d+-\w+", text)) > 1:
        raise RequestError(f"{told}, which are several ids; give each a source of its own.")
    other = _CONCEPT.fullmatch(text)
    if other is not None and other["kind"] in _KINDS:
        raise RequestError(f"{told}, which is the id of {_KINDS[other['kind']]}. {form}.")
    raise RequestError(f"{told}, which is no concept id. {form}.")


def _variable_links(variable: Any) -> list[VariableLink]:
    """The related URLs of a variable's record, which come along where Harmony knows them."""
    return [
        VariableLink(
            _variable_name(variable), str(own.url), own.type or "", own.subtype or "",
            own.format or "", own.mimeType or "", own.description or "",
        )
        for own in variable.relatedUrls or () if own.url
    ]  # fmt: skip


def _variable_name(variable: Any) -> str:
    name = variable.fullPath or variable.name
    if not name:  # leaving it out could leave none, which means all
        raise RequestError(f"A variable of the message has no name (id {variable.id!r}).")
    return str(name)


def _temporal(message: Message) -> TimeRange | None:
    if message.temporal is None or not (message.temporal.start or message.temporal.end):
        return None
    return TimeRange(
        _moment("temporal.start", message.temporal.start),
        _moment("temporal.end", message.temporal.end),
    )


def _moment(field: str, text: str | None) -> datetime | None:
    return None if not text else parse_moment(field, text)


def _point(message: Message) -> tuple[float, float] | None:
    if message.subset is None or not message.subset.point:
        return None
    longitude, latitude = _numbers("subset.point", message.subset.point, _PLACE)
    return longitude, latitude


def _shape(message: Message) -> str | None:
    """Where the shape is, or the shape itself: Harmony keeps those of EDR requests as texts."""
    if message.subset is None or message.subset.shape is None:
        return None
    href = message.subset.shape.href
    if not href:
        raise RequestError("subset.shape names no place (it has no href).")
    return str(href)


def _dimensions(message: Message) -> tuple[DimensionRange, ...]:
    listed = [] if message.subset is None else (message.subset.dimensions or [])
    return tuple(_dimension(own) for own in listed)


def _dimension(told: Any) -> DimensionRange:
    if not told.name:
        raise RequestError("A range of subset.dimensions does not name its dimension.")
    field = f"subset.dimensions of {str(told.name)[:_LONGEST]}"
    sides = (("min", told.min), ("max", told.max))
    lower, upper = (None if own is None else _number(field, side, own) for side, own in sides)
    return DimensionRange(str(told.name), lower, upper)


def _target(message: Message) -> TargetGrid | None:
    """The grid that `format` states; None where it states no more than an interpolation."""
    form = message.format
    if form is None:
        return None
    crs = ""
    if form.srs is not None:
        crs = form.srs.epsg or form.srs.wkt or form.srs.proj4 or ""
    extent = None
    if form.scaleExtent is not None:
        x, y = form.scaleExtent.x, form.scaleExtent.y
        if x is None or y is None:
            raise RequestError("format.scaleExtent should hold ranges of both x and y.")
        extent = _quadruple("format.scaleExtent", [x.min, y.min, x.max, y.max], _EXTENT)
    size = None
    if form.scaleSize is not None:
        width, height = _numbers("format.scaleSize", [form.scaleSize.x, form.scaleSize.y], _SIZE)
        size = (width, height)
    target = TargetGrid(
        crs or form.crs or "", form.interpolation or "", extent, size, form.width, form.height
    )
    return target if target.states_a_grid else None


def _quadruple(
    field: str, values: Sequence[object], names: tuple[str, ...]
) -> tuple[float, float, float, float]:
    a, b, c, d = _numbers(field, values, names)
    return a, b, c, d


def _numbers(field: str, values: object, names: tuple[str, ...]) -> list[float]:
    takes = f"it takes a list of {len(names)} numbers: {', '.join(names)}"
    if not isinstance(values, list | tuple):
        raise RequestError(f"{field} is {shown(values)}, which is no list; {takes}.")
    if names in _WITH_HEIGHTS and len(values) == len(names) * 3 // 2:
        raise RequestError(
            f"{field} holds heights beside its {', '.join(names)} ({shown(values)}); leave them "
            "out, and ask for heights by a range of their dimension."
        )
    if len(values) != len(names):
        raise RequestError(f"{field} holds {len(values)} values ({shown(values)}); {takes}.")
    return [_number(field, *own) for own in zip(names, values, strict=True)]


def _number(field: str, name: str, value: object) -> float:
    told = f"The {name} of {field} is {shown(value)}"
    if value is None:
        raise RequestError(f"The {name} of {field} is missing; it should be a number.")
    if isinstance(value, str) and _COMPASS.fullmatch(value):
        raise RequestError(f"{told}; write south and west as negative numbers, without letters.")
    number = None
    # Python reads 1_000 as a thousand; nobody who asks does.
    is_plain = not isinstance(value, bool) and not (isinstance(value, str) and "_" in value)
    if isinstance(value, int | float | str) and is_plain:
        with contextlib.suppress(ValueError, OverflowError):
            number = float(value)
    if number is None:
        raise RequestError(f"{told}, which is no number.")
    return number
