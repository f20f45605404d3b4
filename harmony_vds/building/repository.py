"""Writes joined granules into an icechunk repository, one commit for all of them."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import icechunk
import numpy as np
import xarray as xr
import zarr
from virtualizarr.accessor import VirtualiZarrDatasetAccessor
from virtualizarr.manifests import ManifestArray

from harmony_vds.building.chunk_grids import set_grid
from harmony_vds.building.edition_branch import keep_editions
from harmony_vds.building.irregular import Irregular
from harmony_vds.building.joining import Joined
from harmony_vds.building.marks import is_json
from harmony_vds.building.places import Place, configuration, containers
from harmony_vds.building.replaced import Editions
from harmony_vds.errors import StoreError

_SERIES_CHUNK = 8192
"""Entries of a held series in one chunk, so that granules appended one by one share a chunk."""


def write_repository(
    joined: Joined, place: Place, urls: list[str], told: Mapping[str, Any], seen: Editions
) -> str:
    """A new repository of `joined`; gives the snapshot's id.

    Parameters
    ----------
    joined
        The granules.
    place
        Where; must be free.
    urls
        All places to which references lead.
    told
        What the commit remembers.
    seen
        Which editions of the granules it describes.

    Raises
    ------
    StoreError
        icechunk cannot hold them; nothing is then committed.

    **Reads:** nothing.
    """
    folder = place.folder
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    repository = icechunk.Repository.create(place.storage(), config=configuration(containers(urls)))
    session = repository.writable_session("main")
    for group, dataset in joined.groups.items():
        _write_group(session.store, group, dataset, joined.along)
    for (group, name), own in joined.irregular.items():
        _write_irregular(session.store, group, name, own)
    keep_editions(repository, seen)
    snapshot: str = session.commit(f"{len(urls)} granules", metadata=dict(told))
    return snapshot


def _write_group(store: Any, group: str, dataset: xr.Dataset, along: str | None) -> None:
    clean = sanitised(dataset)
    for variable in clean.variables.values():
        if not isinstance(variable.data, ManifestArray) and along in variable.dims:
            axis = variable.dims.index(along)
            chunks = list(variable.shape)
            chunks[axis] = max(chunks[axis], _SERIES_CHUNK)
            variable.encoding = {**variable.encoding, "chunks": tuple(max(n, 1) for n in chunks)}
    place = None if group == "/" else group.strip("/")
    try:
        VirtualiZarrDatasetAccessor(clean).to_icechunk(store, group=place, mode="a")
    except (ValueError, TypeError, NotImplementedError, icechunk.IcechunkError) as error:
        raise StoreError(f"The group {group} cannot be written to icechunk: {error}") from None


def _write_irregular(store: Any, group: str, name: str, own: Irregular) -> None:
    """Write an array whose chunks differ in length along one dimension, piece by piece."""
    metadata = own.pieces[0].metadata
    clean = sanitised(xr.Dataset({name: own.variable})).variables[name]
    codecs = _split(metadata.codecs)
    parent = zarr.open_group(store, path=group.strip("/"), mode="a", zarr_format=3)
    parent.create_array(
        name, shape=own.shape, chunks=metadata.chunks, dtype=metadata.data_type.to_native_dtype(),
        fill_value=metadata.fill_value, dimension_names=[str(d) for d in own.variable.dims],
        attributes=_plain(clean.attrs), **codecs,
    )  # fmt: skip
    path, start = f"{group.strip('/')}/{name}".strip("/"), 0
    # zarr creates no array whose last chunk reaches beyond it, where others differ in length.
    set_grid(store, path, own.shape, own.lengths)
    for piece in own.pieces:
        manifest = piece.manifest
        grid = manifest.shape_chunk_grid
        offset = [0] * len(grid)
        offset[own.axis] = start
        store.set_virtual_refs_arr(
            path, grid, manifest._paths.ravel().tolist(),  # noqa: SLF001  has no public name
            np.ascontiguousarray(manifest._offsets.ravel()),  # noqa: SLF001
            np.ascontiguousarray(manifest._lengths.ravel()),  # noqa: SLF001
            arr_offset=tuple(offset), checksum=just_now(),
        )  # fmt: skip
        start += grid[own.axis]


def _split(codecs: Any) -> dict[str, Any]:
    from virtualizarr.codecs import extract_codecs

    filters, serializer, compressors = extract_codecs(codecs)
    return {"filters": filters, "serializer": serializer, "compressors": compressors}


def just_now() -> datetime:
    """A time that no file written before this moment is newer than. **Reads:** nothing."""
    return datetime.now(UTC) + timedelta(seconds=1)  # icechunk counts whole seconds


def _plain(attributes: Mapping[Any, Any]) -> dict[str, Any]:
    return {
        str(key): value.tolist() if isinstance(value, np.ndarray | np.generic) else value
        for key, value in attributes.items()
    }


def sanitised(dataset: xr.Dataset) -> xr.Dataset:
    """`dataset` without what JSON cannot hold: attributes that are NaN or infinite.

    **Reads:** nothing.
    """
    clean = dataset.copy()
    clean.attrs = {k: v for k, v in dataset.attrs.items() if is_json(k, v)}
    for variable in clean.variables.values():
        variable.attrs = {k: v for k, v in variable.attrs.items() if is_json(k, v)}
    return clean
