"""Places as people write them: on the command line, or in a CSV file of stations."""

import csv
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from harmony_vds.errors import RequestError
from harmony_vds.model.moment import parse_moment
from harmony_vds.model.places import Place

_COLUMNS = {
    "longitude": ("longitude", "lon", "long", "x"),
    "latitude": ("latitude", "lat", "y"),
    "name": ("name", "station", "station_name", "id", "site"),
    "time": ("time", "datetime", "date", "timestamp"),
}
MOST_PLACES = 100_000
"""Lines of a file that are taken; more are no stations."""


def places_of(texts: Sequence[str]) -> tuple[Place, ...]:
    """Places written ``LON,LAT`` or ``LON,LAT,NAME``.

    Raises
    ------
    RequestError
        One is written otherwise, or lies nowhere.

    **Reads:** nothing.

    >>> places_of(["10.5,-20.25,here"])
    (Place(longitude=10.5, latitude=-20.25, name='here', time=None),)
    """
    return tuple(
        _place(
            parts, (0, 1, 2 if len(parts) > 2 else None, None), "--point, which is LON,LAT[,NAME],"
        )
        for parts in (text.split(",", 2) for text in texts)
    )


def line_of(text: str | None) -> tuple[tuple[float, float], ...]:
    """The vertices of a line written as WKT, or as ``LON LAT,LON LAT``; none without one.

    Raises
    ------
    RequestError
        It is written otherwise, or has a vertex that lies nowhere.

    **Reads:** nothing.

    >>> line_of("LINESTRING (0 0, 10 -5.5)")
    ((0.0, 0.0), (10.0, -5.5))
    """
    if text is None:
        return ()
    bare = re.sub(r"^\s*LINESTRING\s*\((.*)\)\s*$", r"\1", text, flags=re.IGNORECASE)
    try:
        line = [(float(x), float(y)) for x, y in (part.split() for part in bare.split(","))]
    except ValueError:
        line = []
    if len(line) < 2:
        raise RequestError(
            f"--line {text!r} should be LON LAT,LON LAT with two vertices or more, or WKT such as "
            "LINESTRING(0 0, 10 -5.5)."
        )
    for x, y in line:
        Place(x, y)
    return tuple(line)


def places_in(path: Path | None) -> tuple[Place, ...]:
    """The places of a CSV file whose first line names its columns; none without a file.

    Raises
    ------
    RequestError
        The file cannot be read, or a line of it holds no place; the text names the line.

    **Reads:** nothing from outside.
    """
    if path is None:
        return ()
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RequestError(f"The file of places {path} cannot be read: {error}.") from None
    if len(lines) > MOST_PLACES:
        raise RequestError(
            f"The file of places {path} has {len(lines):,} lines, and {MOST_PLACES:,} are the most."
        )
    columns = _columns(lines[0] if lines else [], path)
    places = [
        _place(line, columns, f"Line {number} of {path}")
        for number, line in enumerate(lines[1:], 2)
        if any(own.strip() for own in line)
    ]
    if not places:
        raise RequestError(f"The file {path} holds no places below its first line.")
    return tuple(places)


def _columns(header: Sequence[str], path: Path) -> list[int | None]:
    """Where longitude, latitude, name and time stand; None for what is not there."""
    names = [own.strip().lower() for own in header]
    found = [
        next((n for n, own in enumerate(names) if own in meant), None)
        for meant in _COLUMNS.values()
    ]
    if found[0] is None or found[1] is None:
        raise RequestError(
            f"The first line of {path} should name the columns longitude and latitude, and may "
            f"name the columns name and time; it is {','.join(names)!r}."
        )
    return found


def _place(line: Sequence[str], columns: Sequence[int | None], where: str) -> Place:
    try:
        lon, lat, name, time = ("" if n is None else line[n].strip() for n in columns)
        place = Place(float(lon), float(lat), name)
    except (ValueError, IndexError):
        raise RequestError(f"{where} holds no place: {','.join(line)!r}.") from None
    return replace(place, time=parse_moment(f"{where}: time", time)) if time else place
