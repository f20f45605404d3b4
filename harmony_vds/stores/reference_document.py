"""The text of a kerchunk document, read piece by piece into a table of references."""

import re
import zlib
from typing import Any

import msgspec

from harmony_vds.errors import StoreError
from harmony_vds.stores.crowding import refuse_crowded_json
from harmony_vds.stores.reference_table import ReferenceTable

_HEAD = re.compile(
    rb'\s*\{\s*(?:"version"\s*:\s*\d+\s*,\s*)?(?:"templates"\s*:\s*(\{[^{}]*\})\s*,\s*)?'
    rb'"refs"\s*:\s*\{'
)
_CUT = re.compile(rb'\]\s*,(?=\s*")')
_ODD_KEYS = ("/.z", "\n.z", "//")
_PIECE = 2**20
MANIFEST_LIMIT = 2 * 2**30
"""Most bytes of a reference file, unpacked; the largest published one has 0.54 GB."""
_GZIP = b"\x1f\x8b"


def unpacked(body: bytes, limit: int = MANIFEST_LIMIT) -> bytes | bytearray:
    """The text in `body`, which may be packed by gzip, told by its first bytes.

    Raises
    ------
    StoreError
        It is damaged, or longer than `limit` bytes.

    **Reads:** nothing.
    """
    if body[:2] != _GZIP:
        return body
    text = bytearray()
    rest = body
    try:
        while rest:  # a file may hold several parts, one after the other
            part = zlib.decompressobj(zlib.MAX_WBITS | 16)
            while not part.eof:
                piece = part.decompress(rest, 2**24)
                if not piece and not part.unconsumed_tail and not part.eof:
                    raise StoreError("Its gzip data break off.")
                text += piece
                rest = part.unconsumed_tail
                if len(text) > limit:
                    raise StoreError(f"It unpacks to more than the {limit:,} bytes allowed.")
            rest = part.unused_data
    except zlib.error as error:
        raise StoreError(f"Its gzip data are damaged: {error}.") from None
    return text


def read_document(
    body: bytes | bytearray, piece: int = _PIECE
) -> tuple[ReferenceTable, dict[str, Any]]:
    """The references in the text of a kerchunk document, and what else is said beside them.

    The text is cut between references and decoded in pieces. A cut that is none, inside a nested
    list or a text, leaves a piece that is not JSON; it is then tried with a longer piece.

    Parameters
    ----------
    body
        The text.
    piece
        Least bytes decoded at once.

    Raises
    ------
    msgspec.DecodeError, UnicodeDecodeError
        The text is not a JSON object, or no text at all.
    StoreError
        A metadata document is a byte range, or not valid base64; or there is too much beside the
        references.

    **Reads:** nothing.
    """
    table = ReferenceTable()
    head = _HEAD.match(body)
    position, size = head.end() if head else 0, piece
    while head and (cut := _CUT.search(body, position + size)):
        if not _add_piece(table, b"{" + body[position : cut.start() + 1] + b"}"):
            size *= 2
            continue
        position, size = cut.end(), piece
    rest = body[position:] if position else body
    refuse_crowded_json(rest)
    document = msgspec.json.decode((b'{"refs":{' if head else b"") + rest, type=dict[str, Any])
    if head and head[1]:
        document.setdefault("templates", msgspec.json.decode(head[1]))
    references = document.pop("refs", None) if "refs" in document else document
    if isinstance(references, dict):
        table.add(references)
    return table, document


def _add_piece(table: ReferenceTable, text: bytes | bytearray) -> bool:
    """Add the references in `text`; False if it is not JSON."""
    try:
        ranges = msgspec.json.decode(text, type=dict[str, tuple[str, int, int]])
    except msgspec.ValidationError:
        pass  # metadata or inline chunks stand between the ranges
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    else:
        keys = "\n".join(ranges)
        if not any(odd in keys for odd in _ODD_KEYS) and not keys.startswith(".z"):
            table.add_ranges(ranges)
            return True
    refuse_crowded_json(text)
    try:
        table.add(msgspec.json.decode(text, type=dict[str, Any]))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return True
