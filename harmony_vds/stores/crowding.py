"""Refuses metadata of too many parts before they are parsed.

A list takes three bytes of JSON and sixty of memory, an element four bytes of XML and a hundred: a
document well within its size can fill the memory many times over.
"""

from harmony_vds.errors import StoreError

MOST_PARTS = 2**24
"""Most values of a JSON document that is parsed at once: about a gigabyte at worst."""
MOST_ELEMENTS = 2**22
"""Most tags and attributes of an XML document; those of the largest granules have a tenth."""
_SMALL = 2**20
"""Bytes of text that cannot hold too much."""


def refuse_crowded_json(text: bytes | bytearray) -> None:
    """Raise for JSON of more than `MOST_PARTS` values; texts may count, too. **Reads:** nothing.

    Raises
    ------
    StoreError
        There are more; the text is a sentence of its own about "it".
    """
    _refuse("values", sum(text.count(mark) for mark in b",[{") if len(text) > _SMALL else 0,
            MOST_PARTS)  # fmt: skip


def refuse_crowded_xml(text: bytes) -> None:
    """Raise for XML of more than `MOST_ELEMENTS` tags and attributes. **Reads:** nothing.

    Raises
    ------
    StoreError
        There are more; the text is a sentence of its own about "it".
    """
    _refuse("tags and attributes", sum(text.count(mark) for mark in b"<=&"), MOST_ELEMENTS)


def _refuse(what: str, found: int, most: int) -> None:
    if found > most:
        raise StoreError(f"It holds {found:,} {what}; at most {most:,} are read.")
