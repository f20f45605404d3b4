"""Brings a store up to date: new granules come in, deleted ones go out.

What is there already is not read again. Of an icechunk repository, each way is one commit, and
nothing to do is none; kerchunk references are written once, in place of those that were there.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import zarr

from harmony_vds.building.files import GranuleFile
from harmony_vds.building.granules import VirtualGranule, read_granule
from harmony_vds.building.growing import Arrivals, Growing
from harmony_vds.building.places import Place
from harmony_vds.building.replaced import replaced
from harmony_vds.building.virtualize import ALONE, Crew, granules_of, is_kerchunk
from harmony_vds.errors import RequestError, StoreError


@dataclass(frozen=True)
class Updated:
    """What an update did."""

    snapshot: str
    """The repository's state now; empty for kerchunk."""
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
    """Let the store at `place` hold `files`.

    Parameters
    ----------
    files
        All granules that there are now. Those that the store refers to already are left as they
        are, but for such as were written anew since.
    place
        A store that `virtualize` wrote.
    removing
        Whether granules that are not among `files` go out.
    crew
        Who reads the new ones.

    Raises
    ------
    RequestError
        There is no store, or nothing of it would be left.
    StoreError
        A new granule does not fit to those that are there, or all of those were written anew;
        nothing of it is then committed.
    ForbiddenError, UpstreamError
        A granule cannot be read; the text names it.

    **Reads:** metadata and coordinates of new granules, and of one that is there.
    """
    with zarr.config.set({"array.rectilinear_chunks": True}):
        store = _opened(place)
        return _updated(store, files, removing=removing, crew=crew)


def _opened(place: Place) -> Growing:
    if is_kerchunk(place):
        from harmony_vds.building.growing_references import GrowingReferences

        return GrowingReferences(Path(str(place.folder)))
    from harmony_vds.building.growing_repository import GrowingRepository

    return GrowingRepository(place)


def _updated(
    store: Growing, files: Sequence[GranuleFile], *, removing: bool, crew: Crew
) -> Updated:  # fmt: skip
    """Take out, describe anew and add, in one commit; errors as `update`."""
    held = store.urls
    known = [own for own in files if own.target in set(held)]
    anew = replaced(known, store.described)
    sound = [own for own in known if own not in anew]
    removed = _removed(store, held, {own.target for own in files}, sound) if removing else ()
    left = [url for url in held if url not in set(removed)]
    if anew and len(anew) == len(left):
        raise StoreError(
            f"All {len(anew)} granules of the store were written anew since it described them, so "
            "that nothing is left to compare them with; build the store anew."
        )
    fresh = [own for own in files if own.target not in set(held)]
    gathered = granules_of([*fresh, *anew], store.choice, crew)
    told = [own.url for own in gathered.granules]
    renewed = tuple(own.target for own in anew if own.target in told)
    if len(renewed) < len(anew):
        raise StoreError(
            "A granule was written anew and holds nothing now of what was chosen: "
            f"{next(own.target for own in anew if own.target not in told)}. Leave it out of the "
            "list and take it out of the store (--remove-deleted)."
        )
    notes = gathered.notes
    if told:
        arrivals = Arrivals(gathered.granules, frozenset(renewed))
        notes += store.append(arrivals, lambda gone: _sample(sound or files, store, left, gone))
    added = tuple(own for own in told if own not in renewed)
    snapshot, told_last = store.finish()
    return Updated(snapshot, added, removed, renewed, (*notes, *told_last))


def _removed(
    store: Growing, held: Sequence[str], listed: set[str], sound: Sequence[GranuleFile]
) -> tuple[str, ...]:
    """Take out the granules that are not `listed`; those of `sound` are as described."""
    gone = tuple(url for url in held if url not in listed)
    if len(gone) == len(held):
        raise RequestError(
            f"None of the {len(gone)} granules of the store is left in the list of granules; an "
            "empty store is of no use. Check the list, or delete the store."
        )
    if gone:
        store.remove(gone, lambda out: _sample(sound, store, held, out))
    return gone


def _sample(
    files: Sequence[GranuleFile], store: Growing, held: Sequence[str], gone: Collection[str]
) -> VirtualGranule | None:
    """One of the granules that are there already and not `gone`, to compare new ones with."""
    left = [url for url in held if url not in gone]
    known = {own.target: own for own in files}
    there = next((known[url] for url in left if url in known), None)
    if there is None:
        if not left or not files:
            return None
        there = GranuleFile(left[0], access=files[0].access)
    found = read_granule(there, store.choice)
    return found if isinstance(found, VirtualGranule) else None
