"""Granules that were written anew under their old URLs since a store described them."""

import asyncio
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from harmony_vds.access.fetch import Fetcher
from harmony_vds.access.gateway import WorkerAccess
from harmony_vds.access.loop import run
from harmony_vds.building.files import GranuleFile, Seen
from harmony_vds.errors import MissingSourceError

ADDED = "added"
"""Under which a commit keeps what marks the granules that it described."""
SEEN = "seen"
"""Under which a store keeps which editions of its granules it described."""
_AT_ONCE = 32
_ROUNDED = timedelta(seconds=1)
"""Places elsewhere tell dates in whole seconds, some of them the next one."""

type Editions = Mapping[str, Sequence[float | None]]
"""What stands for a URL → size in bytes and date in seconds since 1970, None if not known."""


def mark_of(url: str) -> str:
    """What stands for a granule's URL in the record of a commit. **Reads:** nothing."""
    return hashlib.sha256(url.encode()).hexdigest()[:16]


def editions(granules: Iterable[tuple[str, Seen]]) -> Editions:
    """What is kept of which editions of files were described, by their URLs. **Reads:** nothing."""
    return {
        mark_of(url): (own.size, None if own.modified is None else own.modified.timestamp())
        for url, own in granules
    }


class Described:
    """When a store described each granule, and which edition of it."""

    def __init__(self, commits: Iterable[Any], seen: Editions) -> None:
        """`commits` are those of the store, the latest first. **Reads:** nothing."""
        self._marked: dict[str, datetime] = {}
        self._built: datetime | None = None
        self._seen = seen
        for own in commits:
            if "choice" in own.metadata:
                self._built = own.written_at
            for mark in own.metadata.get(ADDED, ()):
                self._marked.setdefault(mark, own.written_at)

    def at(self, url: str) -> datetime | None:
        """The time of the commit that described `url` last. **Reads:** nothing."""
        return self._marked.get(mark_of(url), self._built)

    def is_other(self, url: str, now: Seen, slack: timedelta) -> bool:
        """Whether `now` is another edition than the one described: larger, older or newer.

        **Reads:** nothing.
        """
        known, at = now.modified, self.at(url)
        if known is not None and at is not None and known > at + slack:
            return True
        size, modified = self._seen.get(mark_of(url), (None, None))
        if size is not None and now.size is not None and size != now.size:
            return True
        return (
            known is not None and modified is not None
            and abs(known.timestamp() - modified) > slack.total_seconds()
        )  # fmt: skip


def replaced(files: Sequence[GranuleFile], described: Described) -> list[GranuleFile]:
    """Those of `files` that are of another edition than the store described.

    Files whose place tells neither date nor size, and such as are not there, are not among them.

    Raises
    ------
    ForbiddenError, UpstreamError, StoreError
        A place does not answer.

    **Reads:** metadata, a byte of each file.
    """
    return [
        file for file, now in zip(files, _seen(files), strict=True)
        if described.is_other(file.target, now, timedelta() if file.access is None else _ROUNDED)
    ]  # fmt: skip


def _seen(files: Sequence[GranuleFile]) -> list[Seen]:
    told = {
        own.href: Seen.of_path(own.path)
        for own in files if own.access is None and own.path.is_file()
    }  # fmt: skip
    ways: dict[WorkerAccess, list[str]] = {}
    for own in files:
        if own.access is not None:
            ways.setdefault(own.access, []).append(own.href)
    for way, hrefs in ways.items():
        with way.restore() as access:
            told |= zip(hrefs, run(_asked(access.fetcher, hrefs)), strict=True)
    return [told.get(own.href, Seen()) for own in files]


async def _asked(fetcher: Fetcher, hrefs: Sequence[str]) -> list[Seen]:
    found: list[Seen] = []
    for start in range(0, len(hrefs), _AT_ONCE):
        some = hrefs[start : start + _AT_ONCE]
        found += await asyncio.gather(*(_now(own, fetcher) for own in some))
    return found


async def _now(href: str, fetcher: Fetcher) -> Seen:
    """What the place of a file says of it now; nothing where it is gone."""
    try:
        received = await fetcher.fetch_range(href, 0, 1)
    except MissingSourceError:
        return Seen()
    return Seen(received.size, received.modified)
