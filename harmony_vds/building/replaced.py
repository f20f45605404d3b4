"""Granules that were written anew under their old URLs since a store described them."""

import asyncio
import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from harmony_vds.access.gateway import WorkerAccess
from harmony_vds.access.loop import run
from harmony_vds.building.files import GranuleFile
from harmony_vds.errors import MissingSourceError

ADDED = "added"
"""Under which a commit keeps what marks the granules that it described."""
_AT_ONCE = 32
_ROUNDED = timedelta(seconds=1)
"""Places elsewhere tell dates in whole seconds, some of them the next one."""


def mark_of(url: str) -> str:
    """What stands for a granule's URL in the record of a commit. **Reads:** nothing."""
    return hashlib.sha256(url.encode()).hexdigest()[:16]


class Described:
    """When a repository described each granule, as its commits tell."""

    def __init__(self, commits: Iterable[Any]) -> None:
        """`commits` are those of the branch, the latest first. **Reads:** nothing."""
        self._marked: dict[str, datetime] = {}
        self._built: datetime | None = None
        for own in commits:
            if "choice" in own.metadata:
                self._built = own.written_at
            for mark in own.metadata.get(ADDED, ()):
                self._marked.setdefault(mark, own.written_at)

    def at(self, url: str) -> datetime | None:
        """The time of the commit that described `url` last. **Reads:** nothing."""
        return self._marked.get(mark_of(url), self._built)


def replaced(files: Sequence[GranuleFile], described: Described) -> list[GranuleFile]:
    """Those of `files` that were written after the repository described them.

    Files whose place tells no date, and such as are not there, are not among them.

    Raises
    ------
    ForbiddenError, UpstreamError, StoreError
        A place does not answer.

    **Reads:** metadata, a byte of each file.
    """
    found = []
    for file, modified in zip(files, _modified(files), strict=True):
        known = described.at(file.target)
        slack = timedelta() if file.access is None else _ROUNDED
        if modified is not None and known is not None and modified > known + slack:
            found.append(file)
    return found


def _modified(files: Sequence[GranuleFile]) -> list[datetime | None]:
    told: dict[str, datetime | None] = {
        own.href: datetime.fromtimestamp(own.path.stat().st_mtime, UTC)
        for own in files if own.access is None and own.path.is_file()
    }  # fmt: skip
    ways: dict[WorkerAccess, list[str]] = {}
    for own in files:
        if own.access is not None:
            ways.setdefault(own.access, []).append(own.href)
    for way, hrefs in ways.items():
        with way.restore() as access:
            told |= zip(hrefs, run(_dates(access.fetcher, hrefs)), strict=True)
    return [told.get(own.href) for own in files]


async def _dates(fetcher: Any, hrefs: Sequence[str]) -> list[datetime | None]:
    found: list[datetime | None] = []
    for start in range(0, len(hrefs), _AT_ONCE):
        some = hrefs[start : start + _AT_ONCE]
        found += await asyncio.gather(*(_date(fetcher, own) for own in some))
    return found


async def _date(fetcher: Any, href: str) -> datetime | None:
    """When a file was last changed; None where it is gone, or its place does not tell."""
    try:
        received = await fetcher.fetch_range(href, 0, 1)
    except MissingSourceError:
        return None
    modified: datetime | None = received.modified
    return modified
