"""Arrays that granules share: stored once, with references that lead to one of the granules."""

from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
import zarr
from virtualizarr.manifests import ManifestArray
from zarr.core.sync import sync

from harmony_vds.building.contents import VIRTUAL, dimensions_of
from harmony_vds.building.encodings import decoding
from harmony_vds.building.granules import VirtualGranule
from harmony_vds.building.repository import just_now
from harmony_vds.errors import StoreError
from harmony_vds.model.paths import group_of, name_of

_BATCH = 100_000


def leading_to(store: Any, along: str, gone: Collection[str]) -> list[str]:
    """Full paths of arrays that do not run along `along` and have a chunk in one of `gone`.

    **Reads:** metadata.
    """
    return [path for path in _shared(store, along) if sync(_leads_to(store, path, gone))]


def lead_to(store: Any, paths: Collection[str], granule: VirtualGranule) -> None:
    """Let the arrays at `paths` lead to `granule`, which holds the same values.

    Raises
    ------
    StoreError
        It stores one of them in another way.

    **Reads:** metadata.
    """
    root = zarr.open_group(store, mode="r+", zarr_format=3)
    for path in paths:
        dataset = granule.groups.get(group_of(path))
        data: Any = None if dataset is None else dataset.variables[name_of(path)].data
        array: Any = root[path.strip("/")]
        if not isinstance(data, ManifestArray) or not _is_stored_alike(array.metadata, data):
            raise StoreError(
                f"{name_of(path)} leads to a granule that is there no more, and {granule.name} "
                "stores it in another way; build the store anew."
            )
        manifest = data.manifest
        store.set_virtual_refs_arr(
            path.strip("/"), manifest.shape_chunk_grid,
            manifest._paths.ravel().tolist(),  # noqa: SLF001  has no public name
            np.ascontiguousarray(manifest._offsets.ravel()),  # noqa: SLF001
            np.ascontiguousarray(manifest._lengths.ravel()),  # noqa: SLF001
            checksum=just_now(),
        )  # fmt: skip


def _is_stored_alike(metadata: Any, data: ManifestArray) -> bool:
    own: Any = data.metadata
    return bool(
        metadata.shape == own.shape
        and metadata.chunk_grid.chunk_shape == own.chunks
        and metadata.data_type == own.data_type
        and decoding(metadata.codecs) == decoding(own.codecs)
        and len(data.manifest.dict()) == int(np.prod(data.manifest.shape_chunk_grid))
    )


def _shared(store: Any, along: str) -> Iterator[str]:
    with zarr.config.set({"array.rectilinear_chunks": True}):
        root = zarr.open_group(store, mode="r", zarr_format=3)
        for path, own in root.members(max_depth=None):
            if isinstance(own, zarr.Array) and along not in dimensions_of(own):
                yield f"/{path}"


async def _leads_to(store: Any, path: str, gone: Collection[str]) -> bool:
    async for _, kinds, paths, *_ in store.array_chunk_iterator(path, batch_size=_BATCH):
        for row in np.flatnonzero(np.asarray(kinds) == VIRTUAL).tolist():
            if str(paths[row]) in gone:
                return True
    return False
