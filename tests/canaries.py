"""Looks for secrets in what was written, packed or not."""

import contextlib
import io
import re
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
from PIL import Image

ZSTANDARD = b"\x28\xb5\x2f\xfd"
"""How what it compressed begins."""


def texts_of(path: Path) -> Iterator[bytes]:
    """A file as it is, and what is packed in it."""
    body = path.read_bytes()
    yield body
    for start in re.finditer(re.escape(ZSTANDARD), body):  # icechunk's own files
        packed = io.BytesIO(body[start.start() :])
        with contextlib.suppress(OSError), pa.CompressedInputStream(packed, "zstd") as inner:
            yield inner.read()
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as folder:
            yield from (folder.read(name) for name in folder.namelist())
    if path.suffix == ".png":
        with Image.open(path) as picture:
            yield str(picture.info).encode()


def leaks(folder: Path, secrets: Sequence[str]) -> list[tuple[str, str]]:
    """Files below `folder` that hold one of `secrets`, and which."""
    return [
        (str(path.relative_to(folder)), secret)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        for text in texts_of(path)
        for secret in secrets
        if secret.encode() in text or secret in path.name
    ]
