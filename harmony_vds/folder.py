"""An output of many objects in S3, such as a Zarr store, put there whole or taken as it is.

Its root document, without which nothing opens it, goes last, in one step that fails where another
run has put one since. It names a listing of all objects with their SHA-256, in the form that
``sha256sum`` writes, beside the folder: the folder is complete where every object is as listed.
"""

import hashlib
import logging
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from harmony_vds.bucket import (
    CHECKSUM,
    FINGERPRINT,
    Held,
    StagedObject,
    StagingBucket,
    TakenError,
)
from harmony_vds.errors import UpstreamError
from harmony_vds.model.formats import ICECHUNK, ZARR, format_of
from harmony_vds.outputs.write import checksum, files_of, listing_of

logger = logging.getLogger(__name__)

_AT_ONCE = 8
FOLDERS = {format_of(ZARR).extension: "zarr.json", format_of(ICECHUNK).extension: "repo"}
"""Ending of a folder's name → its root document."""
_LISTING = "sha256-of-folder"
"""What a root document tells: SHA-256 of its folder, which is that of the listing."""


@dataclass(frozen=True)
class StagedFolder:
    """A folder in the staging bucket."""

    bucket: StagingBucket
    """Where it lies."""
    name: str
    """Its name."""

    def find(self, fingerprint: str) -> StagedObject | None:
        """The folder, where it is complete and holds what a plan with `fingerprint` writes.

        **Reads:** nothing of any archive.
        """
        root = self.bucket.head(self._root)
        if root is None or root.fingerprint != fingerprint:
            return None
        sums = self._listed(root.told.get(_LISTING, ""))
        if sums is None or sums.pop(self._root, "") != root.checksum:
            return None
        with _threads() as pool:
            held = list(pool.map(self.bucket.head, sums))
        if [own and own.checksum for own in held] != list(sums.values()):
            return None
        nbytes = root.nbytes + sum(own.nbytes for own in held if own is not None)
        return self._staged(nbytes, root.told[_LISTING])

    def put(self, path: Path, fingerprint: str) -> StagedObject:
        """Upload the folder at `path`, all but what is there already; or take a complete one.

        Raises
        ------
        UpstreamError
            Another run puts something else there.

        **Reads:** nothing.
        """
        former = self.bucket.head(self._root)
        found = self.find(fingerprint) if former is not None else None
        if found is not None:
            return found
        files = {f"{self.name}/{own.relative_to(path).as_posix()}": own for own in files_of(path)}
        last = files.pop(self._root)
        there = self.bucket.names(f"{self.name}/") or {}
        with _threads() as pool:
            kept = dict(zip(files, pool.map(
                lambda own: self._put(files[own], own, fingerprint, is_there=own in there), files
            ), strict=True))  # fmt: skip
        root = {CHECKSUM: checksum(last), FINGERPRINT: fingerprint}
        listing = self._listing({name: own.checksum for name, own in kept.items()} | {
            self._root: root[CHECKSUM]
        })  # fmt: skip
        root[_LISTING] = hashlib.sha256(listing).hexdigest()
        beside = self._listing_name(root[_LISTING])
        others = self._others(kept)
        try:
            if self.bucket.get(beside) != listing:
                self.bucket.replace(listing, beside, {FINGERPRINT: fingerprint}, None)
            held = self.bucket.replace(
                last, self._root, root, None if former is None else former.etag
            )
        except TakenError:
            return self._overtaken(fingerprint, [*kept, beside])
        self.bucket.delete(own for own in others if own != beside)
        nbytes = held.nbytes + sum(own.nbytes for own in kept.values())
        return self._staged(nbytes, root[_LISTING])

    def _put(self, path: Path, name: str, fingerprint: str, *, is_there: bool) -> Held:
        """Have the bytes of `path` under `name`, or those that stay in their place."""
        told = {CHECKSUM: checksum(path), FINGERPRINT: fingerprint}
        try:
            if not is_there:
                return self.bucket.replace(path, name, told, None)
        except TakenError:  # by a run that goes on at the same time
            logger.info("%s is there by now", name)
        there = self.bucket.head(name)
        if there is not None and there.checksum == told[CHECKSUM]:
            return there
        if there is not None and there.fingerprint == fingerprint and self._keeps_first:
            return there
        try:
            return self.bucket.replace(path, name, told, None if there is None else there.etag)
        except TakenError:
            raise self._disputed() from None

    def _others(self, kept: Mapping[str, Held]) -> list[str]:
        """What else lies in the folder, once all that should is there.

        Raises
        ------
        UpstreamError
            An object is not as it was put there.

        **Reads:** nothing of any archive.
        """
        there = self.bucket.names(f"{self.name}/")
        if there is None:
            return []
        if any(there.pop(name, None) != own.etag for name, own in kept.items()):
            raise self._disputed()
        there.pop(self._root, None)
        return [*there, *self._listings()]

    def _overtaken(self, fingerprint: str, own: list[str]) -> StagedObject:
        """What another run has completed meanwhile; of this one nothing else stays."""
        found = self.find(fingerprint)
        if found is None:
            raise self._disputed()
        stays = {*(self._listed(found.checksum) or own), self._listing_name(found.checksum)}
        self.bucket.delete(set(own) - stays)
        return found

    def _disputed(self) -> UpstreamError:
        return UpstreamError(
            f"Another run of the work item puts something else into {self.name} at the same time; "
            "try again when it is over."
        )

    @property
    def _root(self) -> str:
        return f"{self.name}/{FOLDERS[PurePosixPath(self.name).suffix]}"

    @property
    def _keeps_first(self) -> bool:
        """Whether objects of one name are as good as each other: icechunk's initial snapshot."""
        return self._root.endswith("/repo")

    def _listing_name(self, sha256: str) -> str:
        return f"{self.name}.{sha256[:16]}.sha256"

    def _listings(self) -> Iterator[str]:
        found = self.bucket.names(f"{self.name}.") or {}
        return (own for own in found if own.endswith(".sha256"))

    def _listing(self, sums: Mapping[str, str]) -> bytes:
        return listing_of({
            name.removeprefix(f"{self.name}/"): own for name, own in sums.items()
        }).encode()  # fmt: skip

    def _listed(self, sha256: str) -> dict[str, str] | None:
        """Name → SHA-256 of the objects in the listing that has `sha256`; None without it."""
        body = self.bucket.get(self._listing_name(sha256)) if sha256 else None
        if body is None or hashlib.sha256(body).hexdigest() != sha256:
            return None
        lines = (line.split("  ", 1) for line in body.decode().splitlines())
        return {f"{self.name}/{name}": own for own, name in lines}

    def _staged(self, nbytes: int, sha256: str) -> StagedObject:
        return StagedObject(self.bucket.href(self.name), nbytes, sha256, "")


@contextmanager
def _threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="harmony-vds-stage") as pool:
        yield pool
