"""What the texts of options mean."""

import re
from datetime import datetime, timedelta

from harmony_vds.errors import RequestError
from harmony_vds.model.extent import TimeRange
from harmony_vds.model.moment import parse_moment
from harmony_vds.model.request import DimensionRange, Source
from harmony_vds.user import as_url

_DAY = re.compile(r"\d{4}-?\d\d-?\d\d")
_LAST_OF_DAY = timedelta(days=1, microseconds=-1)


def source_of(store: str | None, collection: str | None, variables: list[str] | None) -> Source:
    """The collection that is asked for, or a store in place of one. **Reads:** nothing.

    Raises
    ------
    RequestError
        Both or none are named.
    """
    if (store is None) == (collection is None):
        raise RequestError("Name either --store or --collection.")
    short_name = collection or as_url(store or "").rstrip("/").rpartition("/")[2].partition(".")[0]
    return Source(collection or "", short_name or "store", variables=tuple(variables or ()))


def shape_of(text: str | None) -> str | None:
    """A shape's GeoJSON as it was given, or the URL of its file. **Reads:** nothing."""
    return text if text is None or text.lstrip().startswith("{") else as_url(text)


def temporal_of(pair: tuple[str, str] | None) -> TimeRange | None:
    """Two instants as people write them; ``..`` leaves a side open. **Reads:** nothing.

    An end that is a date, without a time of day, is the last instant of that day.

    Raises
    ------
    RequestError
        One is no ISO 8601 instant, or they are the wrong way round.
    """
    if not pair:
        return None
    start, end = (None if text == ".." else parse_moment("--temporal", text) for text in pair)
    if end is not None and _DAY.fullmatch(pair[1].strip()):
        end += _LAST_OF_DAY
    return TimeRange(start, end)


def moment_of(option: str, text: str | None) -> datetime | None:
    """An instant as people write it; errors as `parse_moment`. **Reads:** nothing."""
    return None if text is None else parse_moment(option, text)


def months_of(text: str | None) -> tuple[int, ...]:
    """Months as people write them: ``12,1,2``. **Reads:** nothing.

    Raises
    ------
    RequestError
        One is no month.
    """
    try:
        numbers = [int(own) for own in (text or "").split(",") if own.strip()]
    except ValueError:
        numbers = [0]
    if any(not 1 <= own <= 12 for own in numbers) or (text is not None and not numbers):
        raise RequestError(f"--months {text!r} should be months from 1 to 12, such as 12,1,2.")
    return tuple(dict.fromkeys(numbers))


def range_of(text: str) -> DimensionRange:
    """A range as people write it: ``lev=500:850``, ``lev=500:``. **Reads:** nothing.

    Raises
    ------
    RequestError
        It is written otherwise.
    """
    name, _, sides = text.partition("=")
    least, colon, most = sides.partition(":")
    try:
        numbers = [float(own) if own else None for own in (least, most)]
    except ValueError:
        colon = ""
    if not name or not colon:
        raise RequestError(
            f"--dimension {text!r} should be NAME=MIN:MAX, such as lev=500:850 or lev=500:."
        )
    return DimensionRange(name, *numbers)
