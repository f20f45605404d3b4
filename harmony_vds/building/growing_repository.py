"""An icechunk repository that is brought up to date, in one commit each way."""

from collections.abc import Collection, Sequence
from typing import Any

import icechunk
import numpy as np
import xarray as xr
import zarr

from harmony_vds.building.arrangement import arrange, order_by_time
from harmony_vds.building.contents import Contents, contents_of
from harmony_vds.building.edition_branch import editions_of, keep_editions
from harmony_vds.building.extending import extend
from harmony_vds.building.growing import (
    Arrivals,
    Substitute,
    agreed,
    counted_as,
    needed,
    recalled,
)
from harmony_vds.building.joining import Joined, join, refuse_differences
from harmony_vds.building.places import Place, configuration, containers
from harmony_vds.building.replaced import Described, editions
from harmony_vds.building.repository import sanitised
from harmony_vds.building.shared_arrays import lead_to, leading_to
from harmony_vds.building.virtualize import remembered
from harmony_vds.errors import RequestError
from harmony_vds.model.paths import group_of, name_of


class GrowingRepository:
    """The repository at a place; `Growing` says what each method does."""

    def __init__(self, place: Place) -> None:
        """Open it.

        Raises
        ------
        RequestError
            There is none, or `virtualize` did not write it.

        **Reads:** metadata.
        """
        storage = place.storage()
        if not icechunk.Repository.exists(storage):
            raise RequestError(f"There is no icechunk repository at {place.href}; build one first.")
        self._place = place
        self._repository = icechunk.Repository.open(storage)
        commits = list(self._repository.ancestry(branch="main"))
        told: Any = next((o.metadata["choice"] for o in commits if "choice" in o.metadata), None)
        if told is None:
            raise RequestError(
                f"The repository at {place.href} does not say how it was built, so that new "
                "granules could not be cut alike; build it anew."
            )
        self.choice = recalled(told)
        self.described = Described(commits, editions_of(self._repository))

    @property
    def urls(self) -> tuple[str, ...]:
        """The granules that it holds. **Reads:** metadata."""
        return self._contents(self._repository.readonly_session("main")).urls

    def _contents(self, session: icechunk.Session) -> Contents:
        return contents_of(session.store, self.choice.dimension)

    def remove(self, gone: Collection[str], substitute: Substitute) -> None:
        """As `Growing.remove`. **Reads:** metadata, and coordinates of a granule."""
        session = self._repository.writable_session("main")
        self._drop(session, gone, substitute)
        session.commit(f"Removed {len(gone)} granules", metadata=remembered(self.choice))

    def _drop(
        self, session: icechunk.Session, gone: Collection[str], substitute: Substitute
    ) -> None:
        contents = self._contents(session)
        numbers = [number for number, url in enumerate(contents.urls) if url in gone]
        arrange(session, contents, np.flatnonzero(~np.isin(contents.owners, numbers)))
        if paths := leading_to(session.store, contents.along, gone):
            lead_to(session.store, paths, needed(substitute(gone), paths))

    def append(self, arrivals: Arrivals, substitute: Substitute) -> tuple[str, ...]:
        """As `Growing.append`. **Reads:** metadata, and coordinates of a granule."""
        self._reach(arrivals.urls)
        session = self._repository.writable_session("main")
        along = self._contents(session).along
        sample = substitute(arrivals.renewed)
        if sample is not None:
            refuse_differences([sample, *arrivals.granules], along)
        joined = join(arrivals.granules, along)
        if arrivals.renewed:
            self._drop(session, arrivals.renewed, lambda _: sample)
        contents = self._contents(session)
        for path in contents.arrays:
            _extend(session.store, path, contents, joined)
        for group, dataset in joined.groups.items():
            _agree(session.store, group, dataset)
        now = self._contents(session)
        order = order_by_time(now)
        if order is not None:
            arrange(session, now, order)
        keep_editions(self._repository, editions(arrivals.seen()))
        fresh = len(arrivals.urls) - len(arrivals.renewed)
        text = f"Added {fresh} granules, described {len(arrivals.renewed)} anew"
        session.commit(text, metadata=remembered(self.choice, arrivals.urls))
        return joined.notes

    def finish(self) -> tuple[str, tuple[str, ...]]:
        """The snapshot; all is committed. **Reads:** nothing."""
        return self._repository.lookup_branch("main"), ()

    def _reach(self, urls: Sequence[str]) -> None:
        """Add the containers that all of `urls` need."""
        known = tuple(self._repository.config.virtual_chunk_containers or ())
        missing = containers([own for own in urls if not own.startswith(known)])
        if missing:
            config = configuration([*known, *missing])
            self._repository = icechunk.Repository.open(self._place.storage(), config=config)
            self._repository.save_config()


def _extend(store: Any, path: str, contents: Contents, joined: Joined) -> None:
    """Put the new steps of one array behind those it has."""
    group, name = group_of(path), name_of(path)
    array, axis = contents.arrays[path], contents.axis(path)
    uneven = joined.irregular.get((group, name))
    if path not in contents.held:
        pieces: Sequence[Any] = (
            uneven.pieces if uneven else [joined.groups[group].variables[name].data]
        )
        extend(store, path, array, axis, pieces)
        return
    variable = uneven.variable if uneven else joined.groups[group].variables[name]
    values = counted_as(array.attrs.get("units"), array.dtype, variable, name)
    shape, before = list(array.shape), array.shape[axis]
    shape[axis] += values.shape[axis]
    array.resize(tuple(shape))
    array[(*(slice(None),) * axis, slice(before, None))] = values


def _agree(store: Any, group: str, dataset: xr.Dataset) -> None:
    """Drop attributes on which new granules disagree, as joining all at once does."""
    root = zarr.open_group(store, path=group.strip("/"), mode="r+", zarr_format=3)
    nodes: list[tuple[Any, Any]] = [(root, sanitised(dataset).attrs)]
    nodes += [(root[str(k)], v.attrs) for k, v in sanitised(dataset).variables.items()]
    for node, attributes in nodes:
        told = node.attrs.asdict()
        kept = agreed(told, attributes)
        if kept != told:
            node.attrs.put(kept)
