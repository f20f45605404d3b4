"""What is left of a message once what is particular to its cause is taken out.

Two refusals are of one kind if their templates are equal, whatever values they tell of.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any

_STEPS = (
    (r"(?<!\w)(?:https?|s3|ftp|file)://[^\s;,)'\"]*", "…"),  # addresses
    (r"(?<!\w)'(?:[^'\\]|\\.)*'(?!\w)|(?<!\w)\"[^\"]*\"(?!\w)", "…"),  # what is quoted
    (r"\b(?:subset|temporal|format)\.\w+\b", "FIELD"),
    (r"\d{4}-\d\d-\d\d(?:T[\d:.]+(?:Z|[+-]\d\d:\d\d)?)?", "#"),
    (r"(?<![\w])[-+±]?(?:\d[\d,.]*\d|\d|nan\b|inf\b)(?:e[-+]?\d+)?", "#"),
    (r"\d+", "#"),
    (r"#(?:[,:]? #|:#?|/(?:#|\.\.))+", "#"),
)


def template_of(message: str, given: Iterable[str] = ()) -> str:
    """`message` without the texts that were `given`, addresses, quoted names and numbers."""
    for text in sorted(set(given), key=len, reverse=True):
        if len(text) > 2:
            message = re.sub(rf"(?<!\w){re.escape(text)}(?!\w)", "…", message)
    for pattern, instead in _STEPS:
        message = re.sub(pattern, instead, message)
    return message


def texts_in(document: Any) -> Iterator[str]:
    """All texts that a JSON document holds as values."""
    match document:
        case str():
            yield document
        case dict():
            for own in document.values():
                yield from texts_in(own)
        case list() | tuple():
            for own in document:
                yield from texts_in(own)
