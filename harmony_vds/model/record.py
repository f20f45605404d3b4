"""A request as an output keeps it, so that it can be asked again."""

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

import msgspec
import numpy as np

from harmony_vds.errors import RequestError
from harmony_vds.model.request import Request, Source
from harmony_vds.model.shape import Shape
from harmony_vds.model.store import without_query

LONGEST_SHAPE = 20_000
"""Letters of a GeoJSON document that an output keeps; of a longer one it keeps the checksum."""
_USER = re.compile(r"^(\w+://)[^/]*@")
_CHECKSUM = "shape_sha256"


def recorded(request: Request, source: Source) -> dict[str, object]:
    """What was asked of `source`, in plain JSON values; what has its default is left out.

    **Reads:** nothing.
    """
    request, source = without_queries(request), unsigned(source)
    shape = request.shape
    document = shape.document if isinstance(shape, Shape) else shape
    kept = document if document and len(document) <= LONGEST_SHAPE else None
    plain = _plain(replace(request, sources=(source,), shape=kept))
    default = _plain(Request((source,)))
    record = {name: own for name, own in plain.items() if name == "sources" or own != default[name]}
    if isinstance(shape, Shape) and kept is None:
        record[_CHECKSUM] = shape.sha256
    return record


def without_queries(request: Request) -> Request:
    """`request` without what may be secrets in addresses, queries and user names; to be kept.

    A shape that is still an address keeps it. **Reads:** nothing.
    """
    return replace(
        request,
        sources=tuple(unsigned(own) for own in request.sources),
        granules=tuple(
            replace(granule, assets=tuple(
                replace(own, href=_public(own.href)) for own in granule.assets))
            for granule in request.granules
        ),
    )  # fmt: skip


def unsigned(source: Source) -> Source:
    """`source` with the addresses of its variables as `without_queries`. **Reads:** nothing."""
    links = (replace(own, href=_public(own.href)) for own in source.variable_links)
    return replace(source, variable_links=tuple(links))


def _public(href: str) -> str:
    return _USER.sub(r"\1", without_query(href))


def _plain(request: Request) -> dict[str, object]:
    plain: dict[str, object] = msgspec.to_builtins(request, enc_hook=_builtin)
    return plain


def _builtin(value: object) -> object:
    """Numbers of numpy's, and kinds of instants, which msgspec does not know."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, datetime):
        return value.isoformat()
    raise NotImplementedError


def asked_again(record: Mapping[str, object], shape: str | None = None) -> Request:
    """The request that was `recorded`.

    Parameters
    ----------
    record
        What an output keeps.
    shape
        The GeoJSON document, or its address, where the output does not keep it.

    Raises
    ------
    RequestError
        It is not understood, or the output does not keep the shape and none is given.

    **Reads:** nothing.
    """
    told = dict(record)
    checksum = told.pop(_CHECKSUM, None)
    if checksum and shape is None:
        raise RequestError(
            f"The output does not keep its shape (SHA-256 {checksum}), which was too long. Give "
            "the same document again by --shape."
        )
    try:
        request = msgspec.convert(told, Request)
    except msgspec.ValidationError as error:
        raise RequestError(
            f"The output's record of its request is not understood: {error}."
        ) from None
    return replace(request, shape=shape) if shape else request
