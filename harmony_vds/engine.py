"""``xr.open_dataset("C1234567890-PROVIDER", engine="vds")``: virtual stores in a notebook.

The same search, the same readers and the same rules of trust as in the service; the Earthdata token
is that of ``EARTHDATA_TOKEN`` or of the login in ``.netrc``. Everything stays lazy: chunks are read
when values are asked for, merged and many at once; ``chunks={}`` gives dask blocks of tens of MiB.
"""

import math
import os
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, ClassVar

import numpy as np
import xarray as xr
from xarray.backends import BackendEntrypoint

from harmony_vds.discovery.found import Answer, FoundStore, locate
from harmony_vds.errors import ForbiddenError, RequestError, StoreError, UpstreamError
from harmony_vds.model.paths import ancestors
from harmony_vds.model.request import Source
from harmony_vds.model.store import VirtualStore
from harmony_vds.outputs.attributes import netcdf_attributes
from harmony_vds.services import Services
from harmony_vds.settings import settings_from_environment
from harmony_vds.stores.blocks import preferred_blocks
from harmony_vds.stores.lazy import base_of
from harmony_vds.stores.open import open_store
from harmony_vds.user import as_url, credentials_of_user, is_concept_id, trusting

_MARKS = ("_FillValue",)
_MOST_NAMED = 12


class VirtualStoreBackend(BackendEntrypoint):
    """Opens collections by their concept id, and stores by URL or path, for xarray."""

    description: ClassVar[str] = "Virtual Zarr stores of Earthdata collections"
    supports_groups: ClassVar[bool] = True
    open_dataset_parameters: ClassVar[tuple[str, ...] | None] = (
        "filename_or_obj", "mask_and_scale", "decode_times", "concat_characters", "decode_coords",
        "drop_variables", "use_cftime", "decode_timedelta", "group", "store_name", "trust",
    )  # fmt: skip

    def open_dataset(  # type: ignore[override]  # noqa: PLR0913  as xarray passes them
        self,
        filename_or_obj: str,
        *,
        mask_and_scale: bool = True,
        decode_times: bool = True,
        concat_characters: bool = True,
        decode_coords: bool = True,
        drop_variables: str | Iterable[str] | None = None,
        use_cftime: bool | None = None,
        decode_timedelta: bool | None = None,
        group: str | None = "/",
        store_name: str | None = None,
        trust: str | Sequence[str] = (),
    ) -> xr.Dataset:
        """One group of a store as a lazy dataset, with the coordinates it inherits.

        Parameters
        ----------
        filename_or_obj
            Concept id of a collection, or URL or path of a chunk manifest.
        mask_and_scale, decode_times, concat_characters, decode_coords
            As in `xarray.open_dataset`; masks follow ``_FillValue`` and ``missing_value`` alone.
        drop_variables, use_cftime, decode_timedelta
            As in `xarray.open_dataset`.
        group
            Path of the group; None for the root.
        store_name
            Which store of a collection that has several.
        trust
            URL prefixes to trust as an operator would, such as the folder of local source files.

        Raises
        ------
        RequestError
            There is no such group, or the collection has several stores; the text lists them.
        StoreError, ForbiddenError, UpstreamError
            No store opens.

        **Reads:** coordinates.
        """
        store, close = _opened(filename_or_obj, store_name, trust)
        decoding = {
            "mask_and_scale": mask_and_scale, "decode_times": decode_times,
            "concat_characters": concat_characters, "decode_coords": decode_coords,
            "drop_variables": drop_variables, "use_cftime": use_cftime,
            "decode_timedelta": decode_timedelta,
        }  # fmt: skip
        decoded = _decoded(store, group or "/", decoding)
        decoded.set_close(close)
        return decoded

    def open_groups_as_dict(
        self,
        filename_or_obj: Any,
        *,
        store_name: str | None = None,
        trust: str | Sequence[str] = (),
        **decoding: Any,
    ) -> dict[str, xr.Dataset]:
        """Every group of a store by its path; parameters and errors as `open_dataset`.

        **Reads:** coordinates.
        """
        store, close = _opened(filename_or_obj, store_name, trust)
        groups = {
            node.path: _decoded(store, node.path, decoding, inherit=False)
            for node in store.tree.subtree
        }
        groups["/"].set_close(close)
        return groups

    def open_datatree(self, filename_or_obj: Any, **options: Any) -> xr.DataTree:
        """The whole hierarchy; parameters and errors as `open_dataset`. **Reads:** coordinates."""
        groups = self.open_groups_as_dict(filename_or_obj, **options)
        tree = xr.DataTree.from_dict(groups)
        tree.set_close(groups["/"]._close)  # noqa: SLF001  as xarray's own engines do
        return tree

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """Whether it is a concept id, which no other engine knows. **Reads:** nothing."""
        return isinstance(filename_or_obj, str) and is_concept_id(filename_or_obj)


def _opened(
    named: Any, store_name: str | None, trust: str | Sequence[str]
) -> tuple[VirtualStore, Callable[[], None]]:
    """The store of a collection, or at an address, and what closes its connections."""
    if not isinstance(named, str | os.PathLike):
        raise RequestError(f"Name a collection's concept id, or a store's URL, not {named!r}.")
    text = os.fspath(named)
    place = None if is_concept_id(text) else text
    prefixes = [trust] if isinstance(trust, str) else list(trust)
    settings = trusting(settings_from_environment(), place, prefixes)
    # Nobody takes the work away from a notebook that waits.
    settings = settings.model_copy(update={"max_seconds": math.inf})
    services = Services.of(settings, credentials_of_user(settings))
    with ExitStack() as unless_opened:
        unless_opened.callback(services.close_later)
        store = _store_at(place, services) if place else _store_of(text, store_name, services)
        closing = weakref.finalize(_holder(store), unless_opened.pop_all().close)
    return store, _Closing(closing)


class _Closing:
    """Closes a store's connections; a dataset that was sent elsewhere has others."""

    def __init__(self, closing: Callable[[], object] | None = None) -> None:
        self._closing = closing

    def __call__(self) -> None:
        if self._closing is not None:
            self._closing()

    def __reduce__(self) -> tuple[type["_Closing"], tuple[()]]:
        return _Closing, ()


def _holder(store: VirtualStore) -> object:
    """What lives as long as any of the store's lazy arrays does."""
    arrays = (base_of(own) for node in store.tree.subtree for own in node.variables.values())
    return next((own.array.opened for own in arrays if own is not None), store)


def _store_at(place: str, services: Services) -> VirtualStore:
    found = locate(as_url(place), services.access)
    return open_store(found.locations, found.access, services.reading)


def _store_of(concept_id: str, name: str | None, services: Services) -> VirtualStore:
    """The store of a collection: of its first answer that opens."""
    search = services.search(Source(concept_id, concept_id))
    for answer in search.answers():
        found = _chosen(answer, name)
        try:
            return open_store(found.locations, found.access, services.reading)
        except (StoreError, ForbiddenError, UpstreamError) as error:
            search.rejected.add("", error)
    raise search.failure()


def _chosen(answer: Answer, name: str | None) -> FoundStore:
    named = [own for own in answer if name is None or own.label == name]
    if len(named) == 1:
        return named[0]
    labels = ", ".join(own.label or own.locations[0].href for own in answer[:_MOST_NAMED])
    raise RequestError(
        f"The collection has {len(answer)} stores: {labels}. Choose one by store_name=."
    )


def _decoded(
    store: VirtualStore, group: str, decoding: Mapping[str, Any], *, inherit: bool = True
) -> xr.Dataset:
    """One group, decoded lazily as xarray decodes the source files themselves."""
    raw = _raw(store, group, inherit=inherit)
    decoded: xr.Dataset = xr.decode_cf(raw, **decoding)
    for name, variable in decoded.variables.items():
        variable.encoding["source"] = store.location.shown
        variable.encoding.setdefault("dtype", raw.variables[name].dtype)
        if blocks := preferred_blocks(variable):
            variable.encoding["preferred_chunks"] = blocks
    return decoded


def _raw(store: VirtualStore, group: str, *, inherit: bool) -> xr.Dataset:
    """A group as stored, its attributes in the types that the source files gave them."""
    path = f"/{group.strip('/')}"
    if path not in store.tree.groups:
        listed = ", ".join(store.tree.groups[:_MOST_NAMED])
        raise RequestError(f"The store has no group {path!r}; it has {listed}.")
    node: Any = store.tree[path]
    raw: xr.Dataset = node.to_dataset(inherit=False).copy(deep=False)
    for above in list(ancestors(path))[1:] if inherit else ():
        held: Any = store.tree[above]
        found = {name: held.variables[name] for name in raw.dims if name in held.variables}
        raw = raw.assign({name: own for name, own in found.items() if name not in raw.variables})
    for variable in raw.variables.values():
        marks = {name: variable.attrs[name] for name in _MARKS if name in variable.attrs}
        variable.attrs = _plain({**netcdf_attributes(variable.attrs, variable.dtype), **marks})
    raw.attrs = _plain(netcdf_attributes(raw.attrs))
    return raw


def _plain(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes, single numbers not in arrays, as the netCDF library gives them."""
    return {
        name: own[()] if isinstance(own, np.ndarray) and not own.ndim else own
        for name, own in attributes.items()
    }
