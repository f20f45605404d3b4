"""What an answer over http(s) is worth: data, an error that may pass, or one that will not.

A range that comes back short, as a whole file, or as a login page must never become data.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import urlsplit

import aiohttp

from harmony_vds.access.trust import is_earthdata
from harmony_vds.errors import ForbiddenError, MissingSourceError, StoreError, UpstreamError

REDIRECTS = {301, 302, 303, 307, 308}
CLOCK_SLACK = timedelta(seconds=2)
"""By which dates of files may be off: they have whole seconds, and two machines' clocks differ."""
_RETRIABLE = {408, 429}
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")
_RESOLUTION = re.compile(r'"resolution_url"\s*:\s*"(https://[\w.~:/?#@!$&()*+,;=%-]+)"')


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes


async def read_body(answer: aiohttp.ClientResponse, limit: int) -> bytes:
    """The body: whole up to `limit` bytes on success, the beginning of it on failure.

    Raises
    ------
    StoreError
        There is more of it than `limit`.

    **Reads:** chunks or metadata, as the caller means it.
    """
    if answer.status in REDIRECTS:
        return b""
    # Error texts and login pages may be longer than the range that was asked for.
    is_data = answer.status < 400 and not _is_web_page(answer.headers)
    announced = answer.content_length
    if is_data and announced is not None and announced <= limit:
        return await answer.read()
    pieces = bytearray()
    async for piece in answer.content.iter_chunked(2**18):
        pieces += piece
        if not is_data and len(pieces) > 2**16:
            break
        if is_data and len(pieces) > limit:
            if answer.status == 200 and "Range" in answer.request_info.headers:
                break  # the server ignored the range; the caller says so
            raise StoreError(f"{host_path(str(answer.url))} sent more than {limit:,} bytes.")
    return bytes(pieces)


def check_range(answer: Answer, url: str, start: int, length: int) -> None:
    """Raise unless the answer is exactly bytes ``[start, start + length)``.

    Raises
    ------
    UpstreamError
        Fewer bytes came than were asked for.
    StoreError
        The range was ignored, or another one came.

    **Reads:** nothing.
    """
    status, headers, body = answer
    if status == 200:
        raise StoreError(f"{host_path(url)} ignores byte ranges; it cannot serve chunks.")
    found = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", ""))
    if status != 206 or found is None or int(found[1]) != start:
        raise StoreError(f"{host_path(url)} answered a byte range with another range.")
    if found[3] != "*" and int(found[3]) < start + length:
        raise StoreError(f"{host_path(url)} is shorter than its manifest says.")
    check_length(body, length, url)


def check_length(body: bytes, length: int, url: str) -> None:
    """Raise `UpstreamError` unless `body` holds `length` bytes. **Reads:** nothing."""
    if len(body) != length:
        raise UpstreamError(f"{host_path(url)} sent {len(body):,} bytes instead of {length:,}.")


def refuse_failure(answer: Answer, url: str) -> None:
    """Raise for any answer but a success with data.

    Raises
    ------
    UpstreamError
        408, 429 and 5xx: may pass, not before the time that the answer tells, if it does.
    ForbiddenError
        401, 403, and login pages; the text carries the place where an agreement is accepted.
    StoreError
        Any other failure.

    **Reads:** nothing.
    """
    status, headers, body = answer
    where = host_path(url)
    if status in _RETRIABLE or status >= 500:
        told = headers.get("Retry-After")
        wait = seconds_until(told) if told else None
        raise UpstreamError(f"{where} answered with status {status}.", retry_after=wait)
    if status in (401, 403):
        agreement = _agreement_in(body)
        advice = (
            f"Accept the data centre's agreement at {agreement} and ask again."
            if agreement
            else "Check that the Earthdata token is valid and its user may read this collection."
        )
        raise ForbiddenError(f"{where} refused access (status {status}). {advice}")
    if status == 404:
        raise MissingSourceError(f"{where} does not exist (status 404).")
    if status == 416:
        raise StoreError(f"{where} is shorter than its manifest says (status 416).")
    if status >= 400:
        raise StoreError(f"{where} answered with status {status}.")
    refuse_web_page(headers, where)


def _agreement_in(body: bytes) -> str | None:
    """Where a refusal sends the user; only to Earthdata, for anybody may write refusals."""
    found = _RESOLUTION.search(body.decode("utf-8", "replace"))
    parts = urlsplit(found[1]) if found else None
    if parts is None or parts.scheme != "https" or not is_earthdata(parts.netloc.lower()):
        return None
    return None if "@" in parts.netloc else found and found[1]


def refuse_web_page(headers: Mapping[str, str], where: str) -> None:
    """Raise `ForbiddenError` for an answer that is a page for people. **Reads:** nothing."""
    if _is_web_page(headers):
        raise ForbiddenError(
            f"{where} answered with a web page, probably a login form, instead of data. "
            "Check that the Earthdata token is valid."
        )


def _is_web_page(headers: Mapping[str, str]) -> bool:
    return headers.get("Content-Type", "").lower().startswith("text/html")


def host_path(url: str) -> str:
    """`url` without its query, which may hold a signature. **Reads:** nothing."""
    return url.partition("?")[0]


@lru_cache(maxsize=1024)
def moment(value: str | None) -> datetime | None:
    """The UTC moment that an HTTP date names, or None. **Reads:** nothing."""
    try:
        return parsedate_to_datetime(value).astimezone(UTC) if value else None
    except (ValueError, OverflowError):
        return None


def seconds_until(told: str) -> float | None:
    """Seconds from now that a ``Retry-After`` asks to wait, or None where it is malformed.

    **Reads:** nothing.
    """
    if told.strip().isascii() and told.strip().isdigit():
        return float(told)
    then = moment(told)
    return None if then is None else max((then - datetime.now(UTC)).total_seconds(), 0.0)
