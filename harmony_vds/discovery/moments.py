"""Instants as CMR's records write them."""

from datetime import UTC, datetime


def moments_of(text: object) -> list[datetime]:
    """The instant that `text` states, UTC where it names no zone; nothing if it states none.

    **Reads:** nothing.
    """
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return []
    return [moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)]
