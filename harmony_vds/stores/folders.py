"""The files of one store, whether they are objects at a place or members of a zip file."""

from dataclasses import dataclass
from typing import Protocol
from urllib.parse import quote

from harmony_vds.access.fetch import Fetcher
from harmony_vds.access.http import Received
from harmony_vds.access.listing import names_below


class Folder(Protocol):
    """Gives files by their path; to be awaited on the network loop."""

    @property
    def href(self) -> str:
        """What it is called in errors. **Reads:** nothing."""

    async def read(self, key: str, limit: int) -> Received:
        """All of the file `key`, at most `limit` bytes; errors as `Fetcher.fetch_whole`.

        **Reads:** metadata.
        """

    async def names(self, prefix: str) -> tuple[str, ...] | None:
        """Names directly below `prefix`, those of folders with a slash; None if it cannot tell.

        **Reads:** metadata.
        """


@dataclass(frozen=True)
class PlainFolder:
    """Objects below one address."""

    href: str
    """The address, without trailing slash."""
    fetcher: Fetcher
    """Reads them."""

    async def read(self, key: str, limit: int) -> Received:
        """As `Folder.read`. **Reads:** metadata."""
        return await self.fetcher.fetch_whole(self._url(key), limit)

    async def names(self, prefix: str) -> tuple[str, ...] | None:
        """As `Folder.names`. **Reads:** metadata."""
        return await names_below(self._url(prefix), self.fetcher)

    def _url(self, key: str) -> str:
        return f"{self.href}/{quote(key)}".rstrip("/")
