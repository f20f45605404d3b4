"""Instants as requests write them, and what is wrong with those that are none."""

import calendar
import re
from datetime import UTC, datetime

from harmony_vds.errors import RequestError
from harmony_vds.model.listing import shown

_WRITE = "Write instants by ISO 8601, such as 2020-01-31T12:00:00Z."
_LONGEST = 60
_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
)  # fmt: skip
_DATE = re.compile(r"(?P<year>\d{4})-?(?P<month>\d\d)-?(?P<day>\d\d)(?:[T ](?P<rest>.*))?")
_CLOCK = re.compile(
    r"(?P<hour>\d\d)(?::?(?P<minute>\d\d)(?::?(?P<second>\d\d)(?:[.,]\d+)?)?)?(?P<zone>.*)"
)
_FORMS = (
    (r"(?:0000|[-+]\d{4,}|\d{5,})-.*", "years run from 0001 to 9999"),
    (r"P[\d.]+[YMWD].*|PT.*", "it is a duration, and no instant; reckon the instant from it"),
    (r".+/.*\d{4}-.*|\d{4}-.*/.*", "it is a range; give its two sides apart, as start and end"),
    (r"\d+/\d+/\d+.*|\d{1,2}[.-]\d{1,2}[.-]\d{4}.*",
     "day and month cannot be told apart in it; the order is year-month-day"),
    (r"\d\d:\d\d.*|T\d\d.*", "it is a time of day without a date"),
    (r"\d{4}|\d{4}-\d\d", "it names no day; a year or month begins with the first of its days"),
    (r"\d{4}-\d{3}(?:T.*)?", "days counted from the start of a year are not read; name the month"),
    (r"\d\d-\d\d-\d\d(?:[T ].*)?", "its year has two digits, and the century is not known"),
    (r"\d{4}-(?:\d-\d\d?|\d\d-\d)(?:[T ].*)?", "months and days have two digits: 01 and not 1"),
    (r"\d{4}-?W.*", "its week or weekday is none; weeks run from 01 to 53, and days from 1 to 7"),
    (r"[-+]?(?!\d{8}$)[\d.]+(?:e[-+]?\d+)?",
     "it is a number, and of seconds or days the epoch is not known"),
)  # fmt: skip
"""What a text may look like, and what is then said of it; the first that fits."""


def parse_moment(field: str, text: object) -> datetime:
    """An ISO 8601 instant; UTC where it names no zone.

    Raises
    ------
    RequestError
        It is no such instant; the text names `field`, and says which part of it is wrong.

    **Reads:** nothing.
    """
    told = f"{field} is {shown(text, _LONGEST)}"
    if not isinstance(text, str):
        raise RequestError(f"{told}, which is no text. {_WRITE}")
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise RequestError(f"{told}: {_flaw(text.strip())}. {_WRITE}") from None
    try:
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError:
        raise RequestError(
            f"{told}, which in UTC lies outside of the years from 0001 to 9999; ask for the time "
            "of the record."
        ) from None


def _flaw(text: str) -> str:
    for form, flaw in _FORMS:
        if re.fullmatch(form, text, re.IGNORECASE):
            return flaw
    date = _DATE.fullmatch(text)
    if date is None:
        return "it is no date, and words such as now or yesterday are not understood"
    year, month, day = (int(date[part]) for part in ("year", "month", "day"))
    if not 1 <= month <= 12:
        return f"its month is {date['month']}, and months run from 01 to 12"
    days = calendar.monthrange(year, month)[1]
    if (month, day) == (2, 29) and days == 28:
        return f"{year} is no leap year, and its February ends with the 28th"
    if not 1 <= day <= days:
        return f"its day is {date['day']}, and {_MONTHS[month - 1]} {year} has {days}"
    return _flaw_of_clock(date["rest"] or "")


def _flaw_of_clock(text: str) -> str:
    clock = _CLOCK.fullmatch(text)
    if clock is None:
        return "its time of day is not of the form 12:00:00"
    if int(clock["hour"]) > 23:
        return f"its hour is {clock['hour']}; hours run from 00 to 23, and a day begins at 00:00:00"
    if int(clock["minute"] or 0) > 59:
        return f"its minute is {clock['minute']}, and minutes run from 00 to 59"
    if clock["second"] == "60":
        return "leap seconds are in no store's calendar; ask for the second before or after"
    if int(clock["second"] or 0) > 59:
        return f"its second is {clock['second']}, and seconds run from 00 to 59"
    if re.fullmatch(r"\s*[A-Za-z]+\S*", clock["zone"]):
        return "its zone is a word; write zones as Z or +01:00"
    return "its zone is not of the form Z or +01:00, with less than 24 hours"
