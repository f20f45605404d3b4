"""Builds a virtual store from granule files, and refuses what would come out silently wrong."""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from virtualizarr.manifests import ManifestArray

from harmony_vds.building.choice import Choice
from harmony_vds.building.files import GranuleFile
from harmony_vds.building.gathering import Gathered, gather
from harmony_vds.building.granules import Omitted, VirtualGranule, read_granule
from harmony_vds.building.joining import Joined, join
from harmony_vds.building.places import Place
from harmony_vds.building.replaced import ADDED, SEEN, editions, mark_of
from harmony_vds.building.repository import write_repository
from harmony_vds.errors import NoDataError, RequestError, StoreError

_WORTH_PROCESSES = 24
"""Files from which on starting processes takes less time than it saves."""
MOST_REFERENCES = 20_000_000
"""References that are held at once; about 150 bytes each."""

type Tell = Callable[[int, int, int], None]
"""Called with (granules read, granules in all, bytes fetched from elsewhere to read them)."""


def _silent(_done: int, _total: int, _nbytes: int) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class Crew:
    """Who reads the granules."""

    executor: Executor | None = None
    """Reads them elsewhere, such as a dask client's; None for processes of this machine."""
    workers: int = 0
    """How many such processes; 0 for as many as there are processors, 1 for none."""
    tell: Tell = _silent
    """Told how many granules were read."""
    most_references: int = MOST_REFERENCES
    """References that it holds at once."""


ALONE = Crew()
"""As many processes as there are processors."""


@dataclass(frozen=True)
class Built:
    """What was written."""

    snapshot: str
    """Id of the icechunk snapshot; empty for kerchunk."""
    granules: int
    """Granules that it holds."""
    references: int
    """Chunk references that were written."""
    notes: tuple[str, ...] = ()
    """What was put right on the way, or will mislead other readers."""
    digest: str = ""
    """A fingerprint of all references and held values; the same for the same granules."""
    nbytes: int = 0
    """Bytes that were fetched from elsewhere to describe the granules."""
    requests: int = 0
    """By how many requests."""


def virtualize(
    files: Sequence[GranuleFile],
    place: Place,
    choice: Choice | None = None,
    crew: Crew = ALONE,
) -> Built:
    """Write a virtual store that presents `files` as one dataset.

    Parameters
    ----------
    files
        Granules, in any order where they have times.
    place
        Where it goes: ``….json`` and ``….parquet`` become kerchunk references, everything else an
        icechunk repository.
    choice
        What of the granules is kept.
    crew
        Who reads them.

    Raises
    ------
    RequestError
        A file is missing, the store exists, or the dimension cannot be told.
    NoDataError
        No granule holds anything of what was chosen.
    StoreError
        The granules cannot be described by references, or joining them would give wrong values.
    ForbiddenError, UpstreamError
        A granule cannot be read; the text names it.

    **Reads:** metadata and coordinates of the granules.
    """
    if not files:
        raise RequestError("There are no files to virtualise; name at least one.")
    choice = choice or Choice(is_one_of_many=len(files) > 1)
    place.refuse_taken()
    began = datetime.now(UTC)
    gathered = granules_of(files, choice, crew)
    granules = gathered.granules
    if not granules:
        raise NoDataError(f"None of the {len(files)} granules holds a step of what was chosen.")
    joined = join(granules, choice.dimension)
    references = references_of(joined)
    _refuse_many(references, crew.most_references)
    notes = (*gathered.notes, *joined.notes)
    spent = gathered.nbytes, gathered.requests
    seen = editions((own.url, own.seen) for own in granules)
    if is_kerchunk(place):
        from harmony_vds.building.kerchunk import kerchunk_references
        from harmony_vds.building.reference_files import ReferenceFile, write_file

        history = [{**remembered(choice), SEEN: seen, "at": began.isoformat()}]
        write_file(ReferenceFile(kerchunk_references(joined), history), Path(str(place.folder)))
        return Built("", len(granules), references, notes, "", *spent)
    urls = [own.target for own in files]
    snapshot = write_repository(joined, place, urls, remembered(choice), seen)
    return Built(snapshot, len(granules), references, notes, digest_of(joined), *spent)


def is_kerchunk(place: Place) -> bool:
    """Whether references are written there, and no repository. **Reads:** nothing.

    Raises
    ------
    RequestError
        They would have to go to a bucket.
    """
    if not place.href.endswith((".json", ".parquet", ".parq")):
        return False
    if place.folder is None:
        raise RequestError(
            "kerchunk references are written to a local path and copied from there; only icechunk "
            "is written directly to S3."
        )
    return True


def granules_of(files: Sequence[GranuleFile], choice: Choice, crew: Crew) -> Gathered:
    """The chosen parts of `files`, read side by side; errors as `read_granule`.

    **Reads:** metadata and coordinates of the granules.
    """

    def read(listed: Sequence[GranuleFile]) -> Iterator[VirtualGranule | Omitted]:
        nbytes = 0
        with _pool(crew, len(listed)) as pool:
            for number, own in enumerate(_read(listed, choice, pool), start=1):
                yield own
                nbytes += own.nbytes
                crew.tell(number, len(listed), nbytes)

    return gather(files, choice, read)


def _pool(crew: Crew, files: int) -> AbstractContextManager[Executor | None]:
    count = crew.workers or (os.cpu_count() or 1 if files >= _WORTH_PROCESSES else 1)
    if crew.executor is not None or count <= 1:
        return nullcontext(crew.executor)
    # A forked process would lack the threads that its parent's locks wait for.
    return ProcessPoolExecutor(count, get_context("spawn"))


def _read(
    files: Sequence[GranuleFile], choice: Choice, pool: Executor | None
) -> Iterator[VirtualGranule | Omitted]:
    if pool is None:
        yield from (read_granule(own, choice) for own in files)
        return
    waiting = [pool.submit(read_granule, own, choice) for own in files]
    try:
        for own in waiting:
            yield own.result()
    finally:
        for own in waiting:
            own.cancel()


def references_of(joined: Joined) -> int:
    """How many chunks the granules have. **Reads:** nothing."""
    arrays: list[Any] = [
        own.data for dataset in joined.groups.values() for own in dataset.variables.values()
    ]
    arrays += [piece for own in joined.irregular.values() for piece in own.pieces]
    return sum(len(own.manifest) for own in arrays if isinstance(own, ManifestArray))


def digest_of(joined: Joined) -> str:
    """A fingerprint of all references and held values. **Reads:** nothing."""
    told = hashlib.sha256()
    for group, dataset in sorted(joined.groups.items()):
        for name, variable in sorted(dataset.variables.items(), key=lambda own: str(own[0])):
            told.update(f"{group}/{name} {variable.dims} {sorted(variable.attrs)}".encode())
            _update(told, variable.data)
    for (group, name), own in sorted(joined.irregular.items(), key=lambda own: own[0]):
        told.update(f"{group}/{name}".encode())
        for piece in own.pieces:
            _update(told, piece)
    return told.hexdigest()[:16]


def _update(told: Any, data: Any) -> None:
    if not isinstance(data, ManifestArray):
        told.update(np.asarray(data).tobytes())
        return
    manifest = data.manifest
    told.update("\0".join(manifest._paths.ravel().tolist()).encode())  # noqa: SLF001
    told.update(manifest._offsets.tobytes() + manifest._lengths.tobytes())  # noqa: SLF001


def _refuse_many(count: int, most: int) -> None:
    if count > most:
        raise StoreError(
            f"The granules have {count:,} chunks, and at most {most:,} references are "
            "held at once. Choose fewer variables, or build from some of the granules and add the "
            "others with --update."
        )


def remembered(choice: Choice, added: Sequence[str] = ()) -> dict[str, Any]:
    """What a commit keeps, so that later granules are cut alike, and `added` ones known by date.

    **Reads:** nothing.
    """
    told = asdict(choice)
    kept: dict[str, Any] = {"choice": {key: value for key, value in told.items() if value}}
    return {**kept, ADDED: [mark_of(url) for url in added]} if added else kept
