"""Lists in sentences: the first of many, and how many more there are."""

from collections.abc import Sequence


def listed(values: Sequence[object], most: int = 6) -> str:
    """The first `most` of `values`, with commas, and how many more there are.

    **Reads:** nothing.

    >>> listed(["a", "b", "c"], 2)
    'a, b and 1 more'
    """
    shown = ", ".join(map(str, values[:most]))
    return f"{shown} and {len(values) - most} more" if len(values) > most else shown
