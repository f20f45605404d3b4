"""The granules that ``harmony-vds virtualize`` is told of, by any of three names."""

import glob
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from harmony_vds.errors import RequestError
from harmony_vds.model.extent import BoundingBox, TimeRange
from harmony_vds.model.request import Request, Source
from harmony_vds.services import Services
from harmony_vds.user import as_url

if TYPE_CHECKING:
    from harmony_vds.building.files import GranuleFile


@dataclass(frozen=True)
class GranuleSource:
    """Files, a collection or a STAC catalogue; one of the three."""

    files: tuple[str, ...]
    """Paths, patterns of paths, and URLs."""
    collection: str | None
    """Concept id."""
    stac: str | None
    """Path or URL of a STAC document."""
    box: BoundingBox | None
    """Where granules of the collection must lie."""
    temporal: TimeRange | None
    """When."""
    since: Mapping[str, datetime | None]
    """CMR's ``created_at`` and ``revision_date`` → the first moment that counts; None for any."""
    pattern: str
    """Of the name of a granule's data file; empty for any."""
    direct: bool
    """Whether references name files by ``s3://`` where the record does; https otherwise."""
    prefix: str | None
    """URL below which local files are published."""

    def listed(self, services: Services) -> "list[GranuleFile]":
        """Their data files, with the DMR++ documents beside them.

        Raises
        ------
        RequestError
            No file fits a pattern.
        NoDataError, NoStoreError, StoreError, ForbiddenError, UpstreamError
            As `files_of_collection` and `files_of_stac`.

        **Reads:** metadata.
        """
        from harmony_vds.dmrpp_sidecars import with_sidecars
        from harmony_vds.granule_files import Wanted, files_of_collection, files_of_stac

        wanted = Wanted(self.pattern, self.direct)
        if self.collection is not None:
            source = Source(self.collection, self.collection)
            asked = Request((source,), bbox=self.box, temporal=self.temporal)
            return files_of_collection(services, self.collection, asked, wanted, self.since)
        if self.stac is not None:
            return files_of_stac(as_url(self.stac), services, wanted)
        return with_sidecars(list(_named(self.files, self.prefix, services)), services.access)


def _named(
    files: Sequence[str], source_prefix: str | None, services: Services
) -> "Iterator[GranuleFile]":
    """The files that were named on the command line, patterns expanded."""
    from harmony_vds.building.files import GranuleFile

    remote = [own for own in files if "://" in own and not own.startswith("file:")]
    folders = tuple(sorted({f"{own.rpartition('/')[0]}/" for own in remote}))
    worker = services.access.recording(folders).for_worker() if remote else None
    paths = []
    for own in files:
        # A path may be absolute or begin with dots, which Path.glob does not take.
        found = sorted(glob.glob(own)) if glob.has_magic(own) and not Path(own).exists() else [own]  # noqa: PTH207
        if not found:
            raise RequestError(f"No file fits the pattern {own}.")
        paths += [Path(path).resolve() for path in found if own not in remote]
    yield from (GranuleFile(own, access=worker) for own in remote)
    common = _common_folder(paths)
    for path in paths:
        published = ""
        if source_prefix is not None:
            published = f"{source_prefix.rstrip('/')}/{path.relative_to(common).as_posix()}"
        yield GranuleFile.of_path(path, published)


def _common_folder(paths: Sequence[Path]) -> Path:
    folders = [path.parent for path in paths]
    common = folders[0] if folders else Path()
    while not all(folder.is_relative_to(common) for folder in folders):
        common = common.parent
    return common
