"""Opens a virtual store lazily: its hierarchy as a tree of raw, undecoded variables."""

import logging
import weakref
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import xarray as xr
import zarr
from xarray.backends.zarr import ZarrBackendEntrypoint
from zarr.core.sync import sync

from harmony_vds.access.gateway import Access, WorkerAccess
from harmony_vds.errors import (
    NoStoreError,
    StaleSourceError,
    StoreError,
    UpstreamError,
    VdsError,
)
from harmony_vds.model.limits import REQUESTS_IN_FLIGHT
from harmony_vds.model.paths import group_of
from harmony_vds.model.store import ManifestFormat, StoreLocation, VirtualStore
from harmony_vds.stores.codecs import codec_chain, decoder_of, stored_dtype
from harmony_vds.stores.coordinates import KeptCoordinates
from harmony_vds.stores.cuts import cuts_of_array, largest_chunk
from harmony_vds.stores.dimensions import with_short_names
from harmony_vds.stores.geotiff import place_by_tags
from harmony_vds.stores.icechunk import open_icechunk
from harmony_vds.stores.lazy import lazy_data, sparing, stored_array
from harmony_vds.stores.metadata import own_attributes
from harmony_vds.stores.native import open_native
from harmony_vds.stores.projections import add_grid_mappings
from harmony_vds.stores.reader import PlannedArray
from harmony_vds.stores.reading import DEFAULT_READING, Reading
from harmony_vds.stores.reference_records import open_records
from harmony_vds.stores.references import open_references
from harmony_vds.stores.repairs import missing_mark, with_added
from harmony_vds.stores.siblings import Borrowed, borrowed, share
from harmony_vds.stores.subgroup import group_store
from harmony_vds.stores.tickets import OpenArrays, Ticket, open_once
from harmony_vds.stores.vetting import vet
from harmony_vds.stores.zarr import ManifestStore

logger = logging.getLogger(__name__)


def open_store(
    locations: Sequence[StoreLocation], access: Access, reading: Reading = DEFAULT_READING
) -> VirtualStore:
    """The first of `locations` that opens, pinned to its present state.

    Raises
    ------
    NoStoreError
        None opens; the text lists each with its reason.
    UpstreamError
        None opens now, and one of them may when its place is out of trouble.

    **Reads:** metadata.
    """
    failed: list[tuple[StoreLocation, VdsError]] = []
    for location in locations:
        try:
            return _open(location, access, reading)
        except VdsError as error:
            logger.info("%s: %s", location, error)
            failed.append((location, error))
    if len(failed) == 1:
        raise failed[0][1]
    explained = "; ".join(f"{location}: {error}" for location, error in failed)
    if any(isinstance(error, UpstreamError) for _, error in failed):
        raise UpstreamError(f"No virtual store can be opened now: {explained}")
    raise NoStoreError(f"No virtual store can be opened: {explained}")


def open_again(packed: bytes, access: WorkerAccess) -> OpenArrays:
    """The store of a ticket in the state it was opened in, opened once in this process.

    Parameters
    ----------
    packed
        A packed `Ticket`.
    access
        The user's, as it travelled.

    Raises
    ------
    StaleSourceError
        The store has changed since the ticket was written.
    StoreError, ForbiddenError, UpstreamError
        It does not open here.

    **Reads:** metadata.
    """
    return open_once((packed, access), lambda: _open_ticket(Ticket.unpacked(packed), access))


def _open_ticket(ticket: Ticket, access: WorkerAccess) -> OpenArrays:
    restored = access.restore()
    with ExitStack() as unless_opened:
        unless_opened.callback(restored.close_later)
        opened = _open_arrays(ticket.location, restored, ticket.reading)
        weakref.finalize(opened, unless_opened.pop_all().close)
    if opened.ticket.location.snapshot != ticket.location.snapshot:
        raise StaleSourceError(
            f"{ticket.location} has changed since it was opened: it is now at "
            f"{opened.ticket.location.snapshot}. Open it anew."
        )
    return opened


def _open_arrays(location: StoreLocation, access: Access, reading: Reading) -> OpenArrays:
    zarr.config.set({"async.concurrency": REQUESTS_IN_FLIGHT, "array.rectilinear_chunks": True})
    manifest, pinned = _open_manifest(location, access, reading)
    # Inside a zip file the group is a path that its reader has followed.
    if location.group.strip("/") and location.kind is not ManifestFormat.ZIP:
        manifest = sync(group_store(manifest, location))
    sync(vet(manifest, location.href))
    try:
        root = zarr.open_group(manifest, mode="r", zarr_format=manifest.zarr_format)
        arrays, groups = _walk(root)
    except (ValueError, TypeError) as error:
        told = str(error).partition("\n")[0].partition(" found in store <")[0]  # an object's repr
        raise StoreError(f"{location.href} holds metadata that cannot be read: {told}") from None
    planned = _planned_arrays(manifest, arrays, reading)
    ticket = Ticket(pinned, reading)
    return OpenArrays(ticket, access, manifest, arrays, groups, planned)


def _open_manifest(
    location: StoreLocation, access: Access, reading: Reading
) -> tuple[ManifestStore, StoreLocation]:
    """The manifest at `location`, read by what knows its kind, and the state that it is in."""
    fetcher, stale, cache = access.fetcher, reading.refuse_stale_references, reading.cache
    match location.kind:
        case ManifestFormat.ICECHUNK:
            return open_icechunk(location, access, cache)
        case ManifestFormat.KERCHUNK_JSON:
            return open_references(location, fetcher, refuse_stale=stale, cache=cache)
        case ManifestFormat.KERCHUNK_PARQUET:
            return open_records(location, fetcher, refuse_stale=stale)
        case ManifestFormat.DMRPP if location.members:
            from harmony_vds.stores.dmrpp_stack import open_stack

            return open_stack(location, fetcher, refuse_stale=stale)
        case ManifestFormat.DMRPP:
            from harmony_vds.stores.dmrpp import open_dmrpp  # XML, which few requests need

            return open_dmrpp(location, fetcher, refuse_stale=stale)
        case ManifestFormat.ZARR:
            return open_native(location, fetcher)
        case ManifestFormat.ZIP:
            from harmony_vds.stores.zipped import open_zipped  # few stores are zip files

            return open_zipped(location, fetcher, refuse_stale=stale)
        case other:
            raise StoreError(f"{location.href} is {other}, which this service does not open.")


def _open(location: StoreLocation, access: Access, reading: Reading) -> VirtualStore:
    """The arrays of a manifest as one tree, repaired; what cannot be opened is told by name."""
    opened = _open_arrays(location, access, reading)
    defects = dict(opened.manifest.defects)
    repairs: dict[str, str] = {}
    datasets: dict[str, xr.Dataset] = {}
    taken: dict[str, Borrowed] = {}
    for path, attributes in opened.groups.items():
        try:
            dataset, taken[path] = _open_group(opened, path, attributes, repairs)
        except ValueError as error:  # dimensions of one group that contradict each other
            defects[path] = str(error)
            continue
        dataset.attrs = dict(opened.manifest.attributes(path, attributes))
        reason = _misfit(path, dataset, datasets)
        if reason:
            defects[path] = reason
        else:
            datasets[path] = dataset
    meant, shared = share(datasets, {own: taken[own] for own in datasets})
    for repaired in (shared, place_by_tags(datasets), add_grid_mappings(datasets, location.grids)):
        for place, told in repaired.items():
            repairs[place] = f"{repairs[place]}; {told}" if place in repairs else told
    tree = xr.DataTree.from_dict(datasets)
    gaps = dict.fromkeys(opened.planned, reading.gap)
    known = {f"{path.rstrip('/')}/{n}" for path, own in datasets.items() for n in own.variables}
    added = frozenset(known - {*opened.arrays})
    return VirtualStore(
        opened.ticket.location,
        tree,
        with_added(opened.manifest.chunk_index, added, tree, meant),
        lambda path: gaps.get(meant.get(path, path), -1),
        dict(sorted(defects.items())),
        repairs,
        added,
        opened.manifest.doubt,
        lambda path: opened.arrays[meant.get(path, path)].metadata,
        None if reading.cache is None else KeptCoordinates(opened, reading.cache),
        stored_array,
        sparing,
    )


def _planned_arrays(
    manifest: ManifestStore, arrays: Mapping[str, zarr.Array[Any]], reading: Reading
) -> dict[str, PlannedArray]:
    """The arrays that the planned reader can read, by full path."""
    planned: dict[str, PlannedArray] = {}
    if not reading.planned:
        return planned
    for path, array in arrays.items():
        chain = codec_chain(array)
        if chain is None:
            continue
        cuts = cuts_of_array(array)
        decoder = decoder_of(stored_dtype(array), largest_chunk(cuts), chain)
        if decoder is not None:
            fill = array.metadata.fill_value
            planned[path] = PlannedArray(
                manifest, path, array.shape, decoder, 0 if fill is None else fill, reading.gap, cuts
            )
    return planned


def _walk(root: zarr.Group) -> tuple[dict[str, zarr.Array[Any]], dict[str, dict[str, Any]]]:
    """Arrays and group attributes by full path, parents before children."""
    arrays: dict[str, zarr.Array[Any]] = {}
    groups: dict[str, dict[str, Any]] = {"/": root.attrs.asdict()}
    for name, node in sorted(root.members(max_depth=None), key=lambda member: member[0]):
        if isinstance(node, zarr.Group):
            groups[f"/{name}"] = node.attrs.asdict()
        else:
            arrays[f"/{name}"] = node
    return arrays, groups


def _open_group(
    opened: OpenArrays, path: str, around: Mapping[str, Any], repairs: dict[str, str]
) -> tuple[xr.Dataset, Borrowed]:
    """The variables of one group, and the dimensions that it takes from groups beside it.

    What is wrong with the marks of variables is noted in `repairs`.
    """
    manifest = opened.manifest
    # The entrypoint itself: looking "zarr" up by name imports every installed backend.
    dataset = ZarrBackendEntrypoint().open_dataset(
        manifest,  # type: ignore[arg-type]
        group=path,
        consolidated=False,
        zarr_format=manifest.zarr_format,
        mask_and_scale=False,
        decode_times=False,
        decode_timedelta=False,
        concat_characters=False,
        decode_coords=False,
    )
    for name, variable in dataset.variables.items():
        full = f"{path.rstrip('/')}/{name}"
        array = opened.arrays[full]
        variable.data = lazy_data(opened, full)
        stored = manifest.attributes(full, array.attrs.asdict())
        fill = array.metadata.fill_value
        variable.attrs = own_attributes(str(name), stored, variable.dtype, fill, manifest.fill_role)
        mark = missing_mark(stored, variable.attrs, variable.dtype, around)
        if mark is not None:
            variable.attrs["_FillValue"], repairs[full] = mark
    return with_short_names(dataset), borrowed(path, dataset)


def _misfit(path: str, dataset: xr.Dataset, placed: Mapping[str, xr.Dataset]) -> str | None:
    """Why a group does not fit below its parents, if it does not.

    netCDF lets a group define a dimension again with another length; a tree of datasets that
    inherit dimensions cannot hold that.
    """
    parent = path
    while parent != "/":
        parent = group_of(parent)
        if parent not in placed:
            continue
        for name, size in placed[parent].sizes.items():
            if dataset.sizes.get(name, size) != size:
                return (
                    f"the dimension {name} has {dataset.sizes[name]} entries in {path} and {size} "
                    f"in {parent}"
                )
    return None
