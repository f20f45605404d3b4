"""Finds out sources that are no longer the files that the manifest describes.

A manifest holds byte offsets. When a source file is replaced, the same offsets hold other bytes,
which may well decode to plausible values: nothing but the file's own date and tag can tell.
"""

import logging
from dataclasses import dataclass, field
from datetime import datetime

from harmony_vds.access.answers import CLOCK_SLACK
from harmony_vds.access.http import Received
from harmony_vds.errors import StaleSourceError

logger = logging.getLogger(__name__)


@dataclass
class SourceWatch:
    """Watches the sources of one store for the length of one request."""

    described_at: datetime | None
    """When the manifest was written, UTC; None if that is not known."""
    refuses: bool = True
    """Whether a source newer than the manifest is an error, or a warning in the log."""
    _tags: dict[str, str] = field(default_factory=dict)
    _warned: set[str] = field(default_factory=set)

    def check(self, url: str, received: Received) -> None:
        """Compare what came with a range of `url` with the manifest and with earlier ranges.

        Raises
        ------
        StaleSourceError
            The source is newer than the manifest, or changed while the request was answered.

        **Reads:** nothing.
        """
        where = url.partition("?")[0]
        tag = received.etag
        if tag is not None and self._tags.setdefault(url, tag) != tag:
            raise StaleSourceError(f"{where} changed while this request was answered; ask again.")
        if self._is_newer(received.modified):
            text = (
                f"{where} changed at {received.modified:%Y-%m-%dT%H:%M:%SZ}, after the store was "
                f"written at {self.described_at:%Y-%m-%dT%H:%M:%SZ}; its byte offsets can no "
                "longer be trusted. The publisher must write the store anew."
            )
            if self.refuses:
                raise StaleSourceError(text)
            if url not in self._warned:
                self._warned.add(url)
                logger.warning("%s", text)

    def _is_newer(self, modified: datetime | None) -> bool:
        if self.described_at is None or modified is None:
            return False
        return modified > self.described_at + CLOCK_SLACK
