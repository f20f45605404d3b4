"""One file elsewhere as libraries that read byte ranges want it; every range is checked."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from harmony_vds.access.fetch import Fetcher
from harmony_vds.access.http import Received
from harmony_vds.access.loop import run


@dataclass(frozen=True)
class RangedFile:
    """A store of one object, in the form that obspec's readers use.

    The paths that readers pass along are not looked at.
    """

    url: str
    """What is read."""
    fetcher: Fetcher
    """Reads it."""

    @cached_property
    def first(self) -> Received:
        """Its first byte, and what its place says of it; errors as `Fetcher.fetch_range`.

        **Reads:** metadata.
        """
        return run(self.fetcher.fetch_range(self.url, 0, 1))

    def head(self, _: str) -> dict[str, int]:
        """The file's size in bytes, under ``size``; errors as `Fetcher.fetch_range`.

        **Reads:** metadata.
        """
        return {"size": self.first.size or 0}

    def get_ranges(
        self, _: str, *, starts: Sequence[int], lengths: Sequence[int]
    ) -> Iterable[bytes]:
        """Bytes ``[start, start + length)`` of each pair; errors as `Fetcher.fetch_range`.

        **Reads:** chunks or metadata, as the caller means it.
        """
        return run(self._bodies(starts, lengths))

    async def _bodies(self, starts: Sequence[int], lengths: Sequence[int]) -> list[bytes]:
        """The bytes of each range, all asked for at once."""
        wanted = zip(starts, lengths, strict=True)
        found = await asyncio.gather(
            *(self.fetcher.fetch_range(self.url, start, length) for start, length in wanted)
        )
        return [own.body for own in found]
