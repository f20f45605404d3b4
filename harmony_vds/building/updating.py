"""Brings an icechunk repository up to date: new granules come in, deleted ones go out.

Each is one commit. What is there already is not read again, and nothing to do is no commit.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import icechunk
import numpy as np
import numpy.typing as npt
import xarray as xr
import zarr
from virtualizarr.accessor import VirtualiZarrDatasetAccessor
from virtualizarr.manifests import ManifestArray

from harmony_vds.building.choice import Choice
from harmony_vds.building.contents import Contents, contents_of
from harmony_vds.building.encodings import encoded_as
from harmony_vds.building.files import GranuleFile, file_name
from harmony_vds.building.granules import VirtualGranule, read_granule
from harmony_vds.building.joining import Joined, join, refuse_differences
from harmony_vds.building.places import Place, configuration, containers
from harmony_vds.building.repository import sanitised
from harmony_vds.building.virtualize import ALONE, Crew, granules_of, remembered
from harmony_vds.errors import RequestError, StoreError
from harmony_vds.model.extent import BoundingBox
from harmony_vds.model.joined_times import is_time, joined_times


@dataclass(frozen=True)
class Updated:
    """What an update did."""

    snapshot: str
    """The repository's state now."""
    added: tuple[str, ...]
    """URLs of granules that came in."""
    removed: tuple[str, ...]
    """URLs of granules that went out."""
    notes: tuple[str, ...] = ()
    """What was put right on the way."""


def update(
    files: Sequence[GranuleFile],
    place: Place,
    *,
    removing: bool = False,
    crew: Crew = ALONE,
) -> Updated:
    """Let the repository at `place` hold `files`.

    Parameters
    ----------
    files
        All granules that there are now. Those that the repository refers to already are left as
        they are.
    place
        An icechunk repository that `virtualize` wrote.
    removing
        Whether granules that are not among `files` go out.
    crew
        Who reads the new ones.

    Raises
    ------
    RequestError
        There is no repository, or nothing of it would be left.
    StoreError
        A new granule does not fit to those that are there; nothing of it is then committed.
    ForbiddenError, UpstreamError
        A granule cannot be read; the text names it.

    **Reads:** metadata and coordinates of new granules, and of one that is there.
    """
    repository, choice = _opened(place)
    removed: tuple[str, ...] = ()
    if removing:
        removed = _remove(repository, choice, {own.target for own in files})
    contents = contents_of(repository.readonly_session("main").store, choice.dimension)
    present = set(contents.urls)
    fresh = [own for own in files if own.target not in present]
    gathered = granules_of(fresh, choice, crew)
    granules, notes = gathered.granules, gathered.notes
    added: tuple[str, ...] = ()
    if granules:
        known = {own.name: own.target for own in fresh}
        added = tuple(known[own.name] for own in granules)
        repository = _reaching(repository, place, added)
        notes += _append(repository, choice, granules, _sample(files, contents, choice))
    snapshot = repository.lookup_branch("main")
    return Updated(snapshot, added, removed, notes)


def _opened(place: Place) -> tuple[icechunk.Repository, Choice]:
    storage = place.storage()
    if not icechunk.Repository.exists(storage):
        raise RequestError(f"There is no icechunk repository at {place.href}; build one first.")
    repository = icechunk.Repository.open(storage)
    for own in repository.ancestry(branch="main"):
        if "choice" in own.metadata:
            told: Any = own.metadata["choice"]
            listed = {k: tuple(told[k]) for k in ("variables", "groups", "months") if k in told}
            box = {"box": BoundingBox(**told["box"])} if "box" in told else {}
            choice = Choice(**{**told, **listed, **box})
            return repository, replace(choice, is_one_of_many=True)
    raise RequestError(
        f"The repository at {place.href} does not say how it was built, so that new granules could "
        "not be cut alike; build it anew."
    )


def _reaching(
    repository: icechunk.Repository, place: Place, urls: Sequence[str]
) -> icechunk.Repository:
    """The repository with containers for all of `urls`."""
    known = tuple(repository.config.virtual_chunk_containers or ())
    missing = containers([own for own in urls if not own.startswith(known)])
    if not missing:
        return repository
    opened = icechunk.Repository.open(place.storage(), config=configuration([*known, *missing]))
    opened.save_config()
    return opened


def _remove(repository: icechunk.Repository, choice: Choice, kept: set[str]) -> tuple[str, ...]:
    """Take out the granules that are not in `kept`, in one commit."""
    session = repository.writable_session("main")
    contents = contents_of(session.store, choice.dimension)
    gone = [number for number, url in enumerate(contents.urls) if url not in kept]
    if not gone:
        return ()
    if len(gone) == len(contents.urls):
        raise RequestError(
            f"None of the {len(gone)} granules of the repository is left in the list of granules; "
            "an empty store is of no use. Check the list, or delete the repository."
        )
    arrange(session, contents, np.flatnonzero(~np.isin(contents.owners, gone)))
    session.commit(f"Removed {len(gone)} granules", metadata=remembered(choice))
    return tuple(contents.urls[number] for number in gone)


def _sample(
    files: Sequence[GranuleFile], contents: Contents, choice: Choice
) -> VirtualGranule | None:
    """One of the granules that are there already, to compare new ones with."""
    known = {own.target: own for own in files}
    there = next((known[url] for url in contents.urls if url in known), None)
    if there is None:
        there = GranuleFile(contents.urls[0], access=files[0].access)
    found = read_granule(there, choice)
    return found if isinstance(found, VirtualGranule) else None


def _append(
    repository: icechunk.Repository,
    choice: Choice,
    granules: Sequence[VirtualGranule],
    sample: VirtualGranule | None,
) -> tuple[str, ...]:
    """Put new granules in, where their times belong, in one commit."""
    session = repository.writable_session("main")
    contents = contents_of(session.store, choice.dimension)
    if sample is not None:
        refuse_differences([sample, *granules], contents.along)
    joined = join(granules, contents.along)
    if joined.irregular:
        raise StoreError("The new granules differ in length; build the store anew with them.")
    for path in contents.arrays:
        _extend(session, path, contents, joined)
    for group, dataset in joined.groups.items():
        _agree(session.store, group, dataset)
    now = contents_of(session.store, choice.dimension)
    order = _order(now)
    if order is not None:
        arrange(session, now, order)
    session.commit(f"Added {len(granules)} granules", metadata=remembered(choice))
    return joined.notes


def _extend(session: Any, path: str, contents: Contents, joined: Joined) -> None:
    """Put the new steps of one array behind those it has."""
    group, _, name = path.rpartition("/")
    variable = joined.groups[group or "/"].variables[name]
    axis, array = contents.axis(path), contents.arrays[path]
    before = array.shape[axis]
    if path in contents.held:
        values = _in_units_of(array, variable, name)
        shape = list(array.shape)
        shape[axis] += variable.shape[axis]
        array.resize(tuple(shape))
        array[(*(slice(None),) * axis, slice(before, None))] = values
        return
    if not isinstance(variable.data, ManifestArray) or before % array.chunks[axis]:
        raise StoreError(
            f"The store's last chunk of {name} is not full, and no new granule can follow it; "
            "build the store anew."
        )
    variable = encoded_as(variable, array.metadata.codecs)
    clean = sanitised(xr.Dataset({name: variable}))
    clean.attrs = {}
    try:
        VirtualiZarrDatasetAccessor(clean).to_icechunk(
            session.store, group=group.strip("/") or None, append_dim=contents.along
        )
    except (ValueError, TypeError, NotImplementedError) as error:
        raise StoreError(f"The new granules do not fit to the store: {name}: {error}") from None


def _in_units_of(array: Any, variable: xr.Variable, name: str) -> npt.NDArray[Any]:
    """New values of a held variable, times counted as the store counts them."""
    values = np.asarray(variable.data)
    ours, theirs = array.attrs.get("units"), variable.attrs.get("units")
    if ours == theirs or not (is_time(ours) and is_time(theirs)):
        return values
    calendar = str(variable.attrs.get("calendar", "standard"))
    (_, counted), common = joined_times(
        [np.zeros(1, array.dtype), values], [str(ours), str(theirs)], calendar, ["the store", name]
    )
    if common != ours or not np.can_cast(counted.dtype, array.dtype, "same_kind"):
        raise StoreError(
            f"New times of {name} have no exact value in {ours}; build the store anew."
        )
    return counted


def _agree(store: Any, group: str, dataset: xr.Dataset) -> None:
    """Drop attributes on which new granules disagree, as joining all at once does."""
    root = zarr.open_group(store, path=group.strip("/"), mode="r+", zarr_format=3)
    nodes: list[tuple[Any, Any]] = [(root, sanitised(dataset).attrs)]
    nodes += [(root[str(k)], v.attrs) for k, v in sanitised(dataset).variables.items()]
    for node, attributes in nodes:
        told = node.attrs.asdict()
        kept = {
            key: value for key, value in told.items()
            if key in ("units", "_FillValue", "coordinates")
            or key not in attributes or np.array_equal(value, attributes[key])
        }  # fmt: skip
        if kept != told:
            node.attrs.put(kept)


def _order(contents: Contents) -> npt.NDArray[np.int64] | None:
    """Positions of the steps, granules by their first times; None where they lie so already."""
    path = contents.times
    if path is None:
        return None
    times = np.asarray(contents.arrays[path][...])
    starts = np.flatnonzero(np.r_[True, np.diff(contents.owners) != 0])
    runs = np.split(np.arange(times.size), starts[1:])
    names = [file_name(contents.urls[contents.owners[run[0]]]) for run in runs]
    order = sorted(range(len(runs)), key=lambda own: (times[runs[own][0]], names[own]))
    steps = np.concatenate([runs[own] for own in order])
    return None if (np.diff(steps) == 1).all() else steps


def arrange(session: icechunk.Session, contents: Contents, order: npt.NDArray[np.int64]) -> None:
    """Keep of every array along the granules' dimension the steps of `order`, in that order.

    Raises
    ------
    StoreError
        A chunk would have to be cut.

    **Reads:** coordinates.
    """
    for path, array in contents.arrays.items():
        axis = contents.axis(path)
        shape = list(array.shape)
        if path in contents.held:
            values = np.take(np.asarray(array[...]), order, axis)
        else:
            forward, backward = _moves(order, array.shape[axis], array.chunks[axis], axis, path)
            session.reindex_array(path, forward, backward)
        shape[axis] = order.size
        array.resize(tuple(shape))
        if path in contents.held:
            array[...] = values


type Move = Callable[[Any], Any]


def _moves(
    order: npt.NDArray[np.int64], size: int, chunk: int, axis: int, path: str
) -> tuple[Move, Move]:
    """Where each chunk goes, and which comes to each place; those left out go behind the last."""
    whole = order.size // chunk * chunk
    firsts = order[:whole:chunk]
    blocks = order[:whole].reshape(-1, chunk)
    if order.size % chunk or size % chunk or (blocks != firsts[:, None] + np.arange(chunk)).any():
        raise StoreError(
            f"Chunks of {path.lstrip('/')} hold steps of several granules; build the store anew."
        )
    kept = (firsts // chunk).tolist()
    sources = [*kept, *sorted(set(range(size // chunk)) - set(kept))]
    targets = {source: target for target, source in enumerate(sources)}

    def moved(index: Any, table: Any) -> list[int]:
        found = list(index)
        found[axis] = table[found[axis]]
        return found

    return lambda index: moved(index, targets), lambda index: moved(index, sources)
