"""DMR++ documents beside granules, which describe them without their headers being read."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr
from zarr.core.sync import sync

from harmony_vds.access.fetch import Fetcher
from harmony_vds.access.gateway import Access, WorkerAccess
from harmony_vds.access.loop import run
from harmony_vds.access.trust import Address
from harmony_vds.building.files import GranuleFile
from harmony_vds.building.sidecars import Described, DescribedArray
from harmony_vds.errors import ForbiddenError, StoreError, UpstreamError
from harmony_vds.stores.dmr import DMRPP, DmrDocument, read_dmr
from harmony_vds.stores.dmrpp import DOCUMENT_LIMIT, SUFFIX, DmrppStore
from harmony_vds.stores.freshness import SourceWatch


@dataclass(frozen=True)
class DmrppSidecar:
    """The DMR++ of one file; it may travel to another process."""

    href: str
    """URL of the document."""
    data_href: str
    """URL from which its file is read."""
    access: WorkerAccess = field(repr=False)
    """The way to both."""

    @contextmanager
    def described(self) -> Iterator[Described]:
        """What the document tells of its file; values can be read inside the context.

        Raises
        ------
        StoreError
            It is missing, or no DMR++, or describes chunks of other files.
        ForbiddenError, UpstreamError
            It, or the file, cannot be read.

        **Reads:** metadata.
        """
        with self.access.restore() as access:
            fetcher = access.fetcher
            received = run(fetcher.fetch_whole(self.href, DOCUMENT_LIMIT))
            document = read_dmr(received.body, self.href)
            there = run(fetcher.fetch_range(self.data_href, 0, 1))
            watch = SourceWatch(None)  # dates are compared by who asks
            store = DmrppStore(document, self.data_href, fetcher, watch)
            yield Described(
                store.groups,
                {path: _array(store, document, path) for path in store.storage},
                store.defects,
                lambda path, rows: _values(store, path, rows),
                there.size,
                there.modified,
                received.modified,
                fetcher.traffic,
            )


def _array(store: DmrppStore, document: DmrDocument, path: str) -> DescribedArray:
    """One array as its document has it; raise where it is none of the file's own chunks."""
    told, shape = store.storage[path], store.shapes[path]
    if told.inline is not None and document.variables[path].dtype is None:
        raise StoreError(f"{path} may be text of varying length")
    if any(own != store.data_url for own in store.sources[path]):
        raise StoreError(f"chunks of {path} lie in other files")
    offsets, lengths, numbers, chunks = told.offsets, told.lengths, told.numbers, told.chunk_shape
    listed = document.variables[path].element.find(f"{DMRPP}chunks")
    is_whole = listed is None or listed.find(f"{DMRPP}chunkDimensionSizes") is None
    if is_whole and len(offsets):  # the reader cuts what lies in one piece
        offsets, lengths, numbers = offsets[:1], lengths.sum(keepdims=True), numbers[:1] * 0
    if is_whole:
        chunks = tuple(max(own, 1) for own in shape)
    return DescribedArray(
        told.dtype, shape, store.dimensions[path], store.described[path], chunks,
        told.filters, told.fill, numbers, offsets, lengths, is_inside=told.inline is not None,
    )  # fmt: skip


def _values(store: DmrppStore, path: str, rows: slice | None) -> npt.NDArray[Any]:
    """Values as stored, by zarr over the document's references."""
    try:
        return np.asarray(sync(_read(store, path, rows)))
    except (ValueError, RuntimeError) as error:
        raise StoreError(f"{path} cannot be read by it: {error}") from None


async def _read(store: DmrppStore, path: str, rows: slice | None) -> Any:
    array = await zarr.api.asynchronous.open_array(
        store=store, path=path.strip("/"), mode="r", zarr_format=2
    )
    return await array.getitem(... if rows is None else rows)


def with_sidecars(
    files: Sequence[GranuleFile], access: Access, known: Mapping[str, str] | None = None
) -> list[GranuleFile]:
    """`files` with the DMR++ documents beside them, where there are any.

    Parameters
    ----------
    files
        Granules.
    access
        The way to files elsewhere.
    known
        File's URL → that of its document, by the records. Without any, a document is looked for
        beside the first file of those elsewhere, and found there, beside each.

    **Reads:** metadata.
    """
    known = dict(known or {})
    elsewhere = [own for own in files if own.access is not None]
    if not known and elsewhere and _is_there(f"{elsewhere[0].href}{SUFFIX}", elsewhere[0].access):
        known = {own.href: f"{own.href}{SUFFIX}" for own in elsewhere}
    found = []
    for own in files:
        href = known.get(own.href, "" if own.access else _beside(own))
        if href:
            way = own.access or _local(access, own.href.rpartition("/")[0])
            way = replace(way, trust=way.trust.recording((href,)))
            own = replace(own, sidecar=DmrppSidecar(href, own.href, way))  # noqa: PLW2901
        found.append(own)
    return found


def _is_there(href: str, way: WorkerAccess | None) -> bool:
    if way is None:
        return False
    with way.restore() as access:
        try:
            run(access.fetcher.fetch_range(href, 0, 1))
        except (StoreError, ForbiddenError, UpstreamError):
            return False
    return True


def _beside(file: GranuleFile) -> str:
    path = file.path
    return f"{file.href}{SUFFIX}" if path.with_name(f"{path.name}{SUFFIX}").is_file() else ""


def _local(access: Access, folder: str) -> WorkerAccess:
    """Access to a folder that the person who runs the command named."""
    fetcher: Fetcher = access.fetcher
    trust = replace(fetcher.trust, operator=(*fetcher.trust.operator, Address.of(f"{folder}/")))
    return replace(access, fetcher=replace(fetcher, trust=trust)).for_worker()
