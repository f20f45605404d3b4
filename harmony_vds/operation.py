"""The form of a Harmony operation: what its fields are, before anybody reads what they say.

Harmony's library takes what it is given, and fails at another form without telling where.
"""

import json
import re
from collections.abc import Iterable
from typing import Annotated, Any

import msgspec

from harmony_vds.errors import RequestError

_MOST_LISTED = 10_000
"""Variables, ranges and the like: each is read several times over, and nobody means as many."""
_DEEPEST = 50
"""Objects and lists inside of each other; the library copies them by recursion."""
_PLACE = re.compile(r" - at `\$\.?([^`]*)`$")

type _Several[T] = Annotated[list[T], msgspec.Meta(max_length=_MOST_LISTED)] | None


class _Form(msgspec.Struct, rename="camel"):
    """An object whose fields may all be absent or null; what is not listed may be anything."""


class _RelatedUrl(_Form):
    url: str | None = None
    type: str | None = None
    subtype: str | None = None
    format: str | None = None
    mime_type: str | None = None
    description: str | None = None


class _Variable(_Form):
    name: str | None = None
    full_path: str | None = None
    related_urls: _Several[_RelatedUrl] = None
    visualizations: _Several[dict[str, Any]] = None


class _Source(_Form):
    collection: str | None = None
    short_name: str | None = None
    version_id: str | None = None
    variables: _Several[_Variable] = None
    coordinate_variables: _Several[_Variable] = None
    visualizations: _Several[dict[str, Any]] = None
    granules: _Several[dict[str, Any]] = None


class _System(_Form):
    epsg: str | None = None
    wkt: str | None = None
    proj4: str | None = None


class _Range(_Form):
    min: Any = None
    max: Any = None


class _Extent(_Form):
    x: _Range | None = None
    y: _Range | None = None


class _Size(_Form):
    x: Any = None
    y: Any = None


class _Format(_Form):
    crs: str | None = None
    srs: _System | None = None
    mime: str | None = None
    is_transparent: bool | None = None
    interpolation: str | None = None
    width: int | float | None = None
    height: int | float | None = None
    scale_extent: _Extent | None = None
    scale_size: _Size | None = None


class _Shape(_Form):
    href: str | None = None


class _Dimension(_Form):
    name: str | None = None


class _Subset(_Form):
    shape: _Shape | None = None
    dimensions: _Several[_Dimension] = None


class _Operation(_Form):
    sources: _Several[_Source] = None
    format: _Format | None = None
    subset: _Subset | None = None
    temporal: dict[str, Any] | None = None
    average: str | None = None
    extend_dimensions: _Several[str] = None
    extra_args: dict[str, Any] | None = None
    is_synchronous: bool | None = None
    concatenate: bool | None = None
    pixel_subset: bool | None = None
    staging_location: str | None = None
    access_token: str | None = None


def parse_operation(text: str | bytes) -> dict[str, Any]:
    """The operation that `text` holds, in the form that Harmony's library can read.

    The library knows a shape only by an address, and fails at one that stands in the message.

    Raises
    ------
    RequestError
        It holds no object.

    **Reads:** nothing.
    """
    operation: Any = None
    try:
        operation = json.loads(text if isinstance(text, str) else text.decode("utf-8-sig"))
    except RecursionError:
        told = "it is nested too deeply"
    except ValueError as error:  # also what is no text, and numbers of thousands of digits
        told = str(error)
    else:
        told = "" if isinstance(operation, dict) else "it holds something else"
    if told or not isinstance(operation, dict):
        raise RequestError(f"The message should be a Harmony operation, a JSON object: {told}.")
    subset = operation.get("subset")
    if isinstance(subset, dict) and isinstance(subset.get("shape"), str):
        subset["shape"] = {"href": subset["shape"], "type": "application/geo+json"}
    return operation


def check_form(operation: object) -> None:
    """Refuse what is no operation.

    Raises
    ------
    RequestError
        A field has another form than Harmony gives it, or lists too much; the text names it.

    **Reads:** nothing.
    """
    _refuse_depths(operation)
    try:
        msgspec.convert(operation, _Operation)
        json.dumps(operation, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise RequestError(
            f"{_torn(operation)} of the message holds half of a character (a lone surrogate)."
        ) from None
    except msgspec.ValidationError as error:
        place = _PLACE.search(str(error))
        told = _PLACE.sub("", str(error)).replace("`", "")
        field = place[1] if place else "An operation"
        if "of length" in str(error):
            raise RequestError(
                f"{field} of the message lists more than {_MOST_LISTED:,}; name fewer, or none to "
                "get all."
            ) from None
        raise RequestError(
            f"{field} of the message has another form than Harmony gives it: "
            f"{told[:1].lower()}{told[1:]}."
        ) from None


def _refuse_depths(operation: object) -> None:
    level = [operation]
    for _ in range(_DEEPEST):
        level = [inner for own in level for inner in _inside(own)]
    if level:
        raise RequestError("The message is nested too deeply to be an operation of Harmony's.")


def _inside(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _torn(value: object, place: str = "") -> str:
    """Where the first text is that no encoding can write; empty where there is none."""
    if isinstance(value, str):
        return "" if value.isascii() or not re.search("[\ud800-\udfff]", value) else place
    pairs = value.items() if isinstance(value, dict) else (
        enumerate(value) if isinstance(value, list) else ())  # fmt: skip
    for key, own in pairs:
        inner = f"{place}[{key}]" if isinstance(value, list) else f"{place}.{key}".lstrip(".")
        if found := _torn(own, inner) or _torn(key, ascii(inner)):
            return found
    return ""
