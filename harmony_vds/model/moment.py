"""An instant as people and Harmony write it."""

from datetime import UTC, datetime

from harmony_vds.errors import RequestError


def parse_moment(field: str, text: str) -> datetime:
    """An ISO 8601 instant; UTC where it names no zone.

    Raises
    ------
    RequestError
        It is no such instant; the text names `field`.

    **Reads:** nothing.
    """
    try:
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, TypeError, OverflowError):
        raise RequestError(
            f"{field} is {text!r}, which is no ISO 8601 instant such as 2020-01-31T12:00:00Z."
        ) from None
