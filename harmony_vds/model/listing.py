"""Values in sentences: the first of many, and the beginning of what is long."""

from collections.abc import Sequence


def listed(values: Sequence[object], most: int = 6) -> str:
    """The first `most` of `values`, with commas, and how many more there are.

    **Reads:** nothing.

    >>> listed(["a", "b", "c"], 2)
    'a, b and 1 more'
    """
    shown = ", ".join(map(str, values[:most]))
    return f"{shown} and {len(values) - most} more" if len(values) > most else shown


def shown(value: object, longest: int = 80) -> str:
    """`value` as Python writes it, at most about `longest` characters of it. **Reads:** nothing.

    >>> shown("abcdefgh", 4)
    "'abc…"
    """
    told = repr(value)
    return told if len(told) <= longest else f"{told[:longest]}…"
