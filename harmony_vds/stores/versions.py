"""Which state of an icechunk repository is asked for: a branch, a tag, a snapshot, or a time."""

from datetime import datetime
from typing import Any

import icechunk

from harmony_vds.errors import StoreError
from harmony_vds.model.listing import listed
from harmony_vds.model.store import StoreLocation

_MAIN = "main"
_MOST_NAMED = 20


async def session_of(repository: icechunk.Repository, location: StoreLocation) -> icechunk.Session:
    """A read-only session at the snapshot or version that `location` names, or at ``main``'s tip.

    Raises
    ------
    StoreError
        The repository has no such state; the text names those it has.
    icechunk.IcechunkError
        The repository cannot be read.

    **Reads:** metadata.
    """
    wanted = _wanted(location)
    try:
        return await repository.readonly_session_async(**wanted)
    except icechunk.IcechunkError as error:
        # Format 1 keeps no list of snapshots, so that one it does not have is a missing object.
        absent = "snapshot_id" in wanted and str(error).startswith("object not found")
        unknown = isinstance(error, icechunk.NotFoundError | icechunk.InvalidInputError)
        if not (absent or unknown):
            raise
    asked = location.snapshot or location.version or f"branch.{_MAIN}"
    raise StoreError(
        f"{location.href} has no version {asked}; it has {await _versions(repository)}. A snapshot "
        "is named by its id, a time by as_of.<ISO time>, for the branch main."
    )


def _wanted(location: StoreLocation) -> dict[str, Any]:
    """The version of a location as icechunk's arguments."""
    if location.snapshot:
        return {"snapshot_id": location.snapshot}
    kind, dot, name = (location.version or f"branch.{_MAIN}").partition(".")
    if not dot:
        return {"snapshot_id": kind}
    if kind in ("branch", "tag"):
        return {kind: name}
    if kind == "as_of":
        try:
            moment = datetime.fromisoformat(name)
        except ValueError:
            moment = None
        if moment is not None and moment.tzinfo is not None:
            return {"branch": _MAIN, "as_of": moment}
        raise StoreError(
            f"{location.href} is asked for as of {name!r}, which is no time with its zone, such as "
            "2025-06-30T12:00:00Z."
        )
    raise StoreError(
        f"{location.href} is asked for in the version {location.version!r}, which is none of "
        "branch.<name>, tag.<name>, as_of.<ISO time>, and a snapshot id."
    )


async def _versions(repository: icechunk.Repository) -> str:
    branches = [f"branch.{name}" for name in sorted(await repository.list_branches_async())]
    found = branches + [f"tag.{name}" for name in sorted(await repository.list_tags_async())]
    return listed(found, _MOST_NAMED)
