"""Brings an icechunk repository up to date: new granules come in, deleted ones go out.

Each is one commit. What is there already is not read again, and nothing to do is no commit.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import icechunk
import numpy as np
import numpy.typing as npt
import xarray as xr
import zarr
from virtualizarr.manifests import ManifestArray

from harmony_vds.building.arrangement import arrange, order_by_time
from harmony_vds.building.choice import Choice
from harmony_vds.building.contents import Contents, contents_of
from harmony_vds.building.extending import extend
from harmony_vds.building.files import GranuleFile
from harmony_vds.building.granules import VirtualGranule, read_granule
from harmony_vds.building.joining import Joined, join, refuse_differences
from harmony_vds.building.places import Place, configuration, containers
from harmony_vds.building.replaced import Described, replaced
from harmony_vds.building.repository import sanitised
from harmony_vds.building.shared_arrays import lead_to, leading_to
from harmony_vds.building.virtualize import ALONE, Crew, granules_of, remembered
from harmony_vds.errors import RequestError, StoreError
from harmony_vds.model.extent import BoundingBox
from harmony_vds.model.joined_times import is_time, joined_times
from harmony_vds.model.paths import group_of, name_of


@dataclass(frozen=True)
class Updated:
    """What an update did."""

    snapshot: str
    """The repository's state now."""
    added: tuple[str, ...]
    """URLs of granules that came in."""
    removed: tuple[str, ...]
    """URLs of granules that went out."""
    renewed: tuple[str, ...] = ()
    """URLs of granules that were written anew, and are described anew."""
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
        they are, but for such as were written anew since.
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
        A new granule does not fit to those that are there, or all of those were written anew;
        nothing of it is then committed.
    ForbiddenError, UpstreamError
        A granule cannot be read; the text names it.

    **Reads:** metadata and coordinates of new granules, and of one that is there.
    """
    with zarr.config.set({"array.rectilinear_chunks": True}):
        return _updated(files, place, removing=removing, crew=crew)


def _updated(
    files: Sequence[GranuleFile], place: Place, *, removing: bool, crew: Crew
) -> Updated:  # fmt: skip
    repository, choice = _opened(place)
    described = Described(repository.ancestry(branch="main"))
    contents = contents_of(repository.readonly_session("main").store, choice.dimension)
    known = [own for own in files if own.target in set(contents.urls)]
    anew = replaced(known, described)
    sound = [own for own in known if own not in anew]
    removed: tuple[str, ...] = ()
    if removing:
        removed = _remove(repository, choice, {own.target for own in files}, sound)
        contents = contents_of(repository.readonly_session("main").store, choice.dimension)
    fresh = [own for own in files if own.target not in set(contents.urls)]
    if anew and len(anew) == len(contents.urls):
        raise StoreError(
            f"All {len(anew)} granules of the repository were written anew since it described "
            "them, so that nothing is left to compare them with; build the store anew."
        )
    gathered = granules_of([*fresh, *anew], choice, crew)
    granules, notes = gathered.granules, gathered.notes
    targets = {own.name: own.target for own in (*fresh, *anew)}
    told = [targets[own.name] for own in granules]
    renewed = tuple(own.target for own in anew if own.target in told)
    if len(renewed) < len(anew):
        raise StoreError(
            "A granule was written anew and holds nothing now of what was chosen: "
            f"{next(own.target for own in anew if own.target not in told)}. Leave it out of the "
            "list and take it out of the store (--remove-deleted)."
        )
    if granules:
        repository = _reaching(repository, place, told)
        sample = _sample(sound or files, contents, choice, set(renewed))
        notes += _append(repository, choice, granules, sample, (told, set(renewed)))
    snapshot = repository.lookup_branch("main")
    added = tuple(own for own in told if own not in renewed)
    return Updated(snapshot, added, removed, renewed, notes)


def _opened(place: Place) -> tuple[icechunk.Repository, Choice]:
    if place.href.endswith((".json", ".parquet", ".parq")):
        raise RequestError(
            f"{place.href} holds kerchunk references, which are written as a whole and not brought "
            "up to date. Build them anew under another name and put that in its place, or keep an "
            "icechunk repository, which takes new granules alone."
        )
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


def _remove(
    repository: icechunk.Repository, choice: Choice, kept: set[str], sound: Sequence[GranuleFile]
) -> tuple[str, ...]:
    """Take out the granules that are not in `kept`, in one commit; `sound` are as described."""
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
    urls = {contents.urls[number] for number in gone}
    if paths := leading_to(session.store, contents.along, urls):
        lead_to(session.store, paths, _needed(_sample(sound, contents, choice, urls), paths))
    session.commit(f"Removed {len(gone)} granules", metadata=remembered(choice))
    return tuple(contents.urls[number] for number in gone)


def _sample(
    files: Sequence[GranuleFile], contents: Contents, choice: Choice, gone: set[str]
) -> VirtualGranule | None:
    """One of the granules that are there already and not `gone`, to compare new ones with."""
    left = [url for url in contents.urls if url not in gone]
    known = {own.target: own for own in files}
    there = next((known[url] for url in left if url in known), None)
    if there is None:
        if not left or not files:
            return None
        there = GranuleFile(left[0], access=files[0].access)
    found = read_granule(there, choice)
    return found if isinstance(found, VirtualGranule) else None


def _needed(sample: VirtualGranule | None, paths: Sequence[str]) -> VirtualGranule:
    if sample is None:
        raise StoreError(
            f"{paths[0].strip('/')} is stored once for all granules, in one that goes out, and no "
            "other is left unchanged to take its place; build the store anew."
        )
    return sample


def _append(
    repository: icechunk.Repository,
    choice: Choice,
    granules: Sequence[VirtualGranule],
    sample: VirtualGranule | None,
    told: tuple[Sequence[str], set[str]],
) -> tuple[str, ...]:
    """Put new granules in, where their times belong, in one commit.

    `told` are the URLs of all of them, and of those among them that take their own place again.
    """
    urls, renewed = told
    session = repository.writable_session("main")
    contents = contents_of(session.store, choice.dimension)
    if sample is not None:
        refuse_differences([sample, *granules], contents.along)
    joined = join(granules, contents.along)
    if renewed:
        gone = [number for number, url in enumerate(contents.urls) if url in renewed]
        arrange(session, contents, np.flatnonzero(~np.isin(contents.owners, gone)))
        if paths := leading_to(session.store, contents.along, renewed):
            lead_to(session.store, paths, _needed(sample, paths))
        contents = contents_of(session.store, choice.dimension)
    for path in contents.arrays:
        _extend(session.store, path, contents, joined)
    for group, dataset in joined.groups.items():
        _agree(session.store, group, dataset)
    now = contents_of(session.store, choice.dimension)
    order = order_by_time(now)
    if order is not None:
        arrange(session, now, order)
    text = f"Added {len(urls) - len(renewed)} granules, described {len(renewed)} anew"
    session.commit(text, metadata=remembered(choice, urls))
    return joined.notes


def _extend(store: Any, path: str, contents: Contents, joined: Joined) -> None:
    """Put the new steps of one array behind those it has."""
    group, name = group_of(path), name_of(path)
    uneven = joined.irregular.get((group, name))
    variable = uneven.variable if uneven else joined.groups[group].variables[name]
    if path not in contents.held:
        pieces: Sequence[Any] = uneven.pieces if uneven else [variable.data]
        extend(store, path, contents.arrays[path], contents.axis(path), pieces)
        return
    if isinstance(variable.data, ManifestArray):
        raise StoreError(f"The new granules do not hold {name} as the store does; build it anew.")
    axis, array = contents.axis(path), contents.arrays[path]
    shape, before = list(array.shape), array.shape[axis]
    shape[axis] += variable.shape[axis]
    values = _in_units_of(array, variable, name)
    array.resize(tuple(shape))
    array[(*(slice(None),) * axis, slice(before, None))] = values


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
