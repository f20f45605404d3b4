"""The one place where clients are put together, and the limits that a request is held to."""

import shutil
import tempfile
from dataclasses import dataclass, field
from typing import Self

from harmony_vds.access.cluster import Cluster
from harmony_vds.access.credentials import Credentials
from harmony_vds.access.gateway import Access
from harmony_vds.discovery.cmr import CmrClient
from harmony_vds.discovery.find import StoreSearch
from harmony_vds.discovery.overrides import Overrides
from harmony_vds.memory import allowed_memory
from harmony_vds.model.formats import AS_STORED, Layout
from harmony_vds.model.limits import Limits
from harmony_vds.model.request import Request, Source
from harmony_vds.settings import Settings, SpotCheck
from harmony_vds.shapes.reader import ReadUpload, ShapeReader
from harmony_vds.stores.cache import ManifestCache
from harmony_vds.stores.reading import DEFAULT_READING, Reading
from harmony_vds.telemetry import Deadline


@dataclass(frozen=True)
class Services:
    """What a request is answered with; a context manager that closes its connections."""

    access: Access
    """Way to stores and archives."""
    cmr: CmrClient
    """The operator's CMR."""
    limits: Limits
    """Ceilings of one request."""
    deadline: Deadline
    """When the request must be done."""
    shapes: ShapeReader
    """Reads shapes."""
    reading: Reading = DEFAULT_READING
    """How chunks are read."""
    overrides: Overrides = field(default_factory=Overrides)
    """What the operator says of collections."""
    max_stores: int = 20
    """Stores from which one request may be answered."""
    layout: Layout = AS_STORED
    """How outputs are laid out."""
    cluster: Cluster | None = None
    """Who reads pieces of outputs in place of this process."""
    max_virtualized: int = 0
    """Granules without any store that are described to answer one request."""
    spot_check: SpotCheck = "off"
    """What happens where a store and headers of its source files disagree."""

    @classmethod
    def of(
        cls,
        settings: Settings,
        credentials: Credentials,
        read_upload: ReadUpload | None = None,
        *,
        seconds: float | None = None,
    ) -> "Services":
        """The services of one request, its clock started; for `seconds`, or as long as it may run.

        **Reads:** nothing.
        """
        deadline = Deadline(settings.max_seconds if seconds is None else seconds)
        cmr = CmrClient(settings.cmr_root, Access.to_cmr(settings, credentials, deadline))
        limits = limits_of(settings)
        reading = Reading(
            planned=settings.reader == "planned",
            gap=int(settings.merge_gap_bytes),
            refuse_stale_references=settings.stale_references == "refuse",
            cache=ManifestCache.of(settings.cache_dir, settings.cache_bytes),
        )
        access = Access.of(settings, credentials, deadline)
        overrides = Overrides.of_file(settings.collections_file)
        layout = Layout(
            settings.zarr, settings.chunks_for, csv=settings.csv_layout, beside=settings.beside
        )
        shapes = ShapeReader.of(settings, access, read_upload)
        return cls(
            access, cmr, limits, deadline, shapes, reading, overrides, settings.max_stores, layout,
            Cluster.at(settings.dask, deadline), max_virtualized=settings.max_virtualized,
            spot_check=settings.spot_check,
        )  # fmt: skip

    def search(self, source: Source, request: Request | None = None) -> StoreSearch:
        """The search for the stores of `source`, which asks nothing yet. **Reads:** nothing."""
        return StoreSearch(
            source, request or Request((source,)), self.cmr, self.access, self.overrides,
            self.max_stores,
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self.cluster is not None:
            self.cluster.close()
        self.access.__exit__(*exc_info)
        self.cmr.access.__exit__(*exc_info)

    def close_later(self) -> None:
        """Close the connections without waiting for it, from any thread. **Reads:** nothing."""
        self.access.close_later()
        self.cmr.access.close_later()


def limits_of(settings: Settings) -> Limits:
    """The limits of one request, as an operator set them or this machine gives them.

    **Reads:** nothing.
    """
    free = shutil.disk_usage(tempfile.gettempdir()).free
    disk = free if settings.max_disk_bytes is None else min(free, settings.max_disk_bytes)
    return Limits(
        max_read_bytes=settings.max_read_bytes,
        max_output_bytes=settings.max_output_bytes,
        max_seconds=settings.max_seconds,
        max_chunks=settings.max_chunks,
        max_rows=settings.max_rows,
        max_requests=settings.max_requests,
        max_decoded_bytes=settings.max_decoded_bytes,
        max_memory_bytes=settings.max_memory_bytes or allowed_memory(),
        max_disk_bytes=disk,
        max_disk_setting=(
            "HARMONY_VDS_MAX_DISK_BYTES" if settings.max_disk_bytes == disk
            else f"free space in {tempfile.gettempdir()}"
        ),
        part_bytes=settings.part_bytes,
        part_seconds=settings.part_seconds,
        max_parts=settings.max_parts,
        parts_service=settings.parts_service_id,
    )  # fmt: skip
